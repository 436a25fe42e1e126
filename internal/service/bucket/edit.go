package bucket

import (
	"context"
	"strings"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/store"
)

// Edit changes what may change of a stored version. Each change needs its own right.
func (s *Service) Edit(ctx context.Context, c *Caller, in *EditInput) (o *Object, err error) {
	w := in.wish(s)
	_, err = s.enterOn(ctx, c, in.Bucket, in.Key, w, func(tx store.Tx, b *bucket) (*record, error) {
		r, _, err := b.version(tx, in.Key, in.Version)
		return r, err
	}, func(tx store.Tx, b *bucket) error {
		if !in.Bypass {
			return nil
		}
		w := wish{s.object, "bypass", "obs:object:BypassGovernanceRetention"}
		return s.within(tx, c, c.call(w), b, in.Key, w, nil)
	})
	if err != nil {
		return nil, err
	}
	_, err = s.Store.Update(ctx, func(tx store.Tx) error {
		b, err := s.need(tx, in.Bucket)
		if err != nil {
			return err
		}
		r, latest, err := b.version(tx, in.Key, in.Version)
		if err != nil {
			return err
		}
		if r.Marker {
			return failed("MethodNotAllowed", fail.New(fail.Unsupported, "version %s of %q is a delete marker", r.id(), in.Key))
		}
		was := r.class()
		if err := s.edit(tx, c, b, in, r); err != nil {
			return err
		}
		if err := rewrite(tx, b, in.Key, r); err != nil {
			return err
		}
		if in.Lock != nil || in.Hold != nil {
			if err := s.record(tx, c, b, w, in.Key); err != nil {
				return err
			}
		}
		o = b.object(in.Key, r, latest)
		if r.class() == was {
			return nil
		}
		return s.book(tx, b, func(n *count) {
			n.hold(was, -r.Size)
			n.hold(r.class(), r.Size)
		})
	})
	return o, err
}

// wish is the right that the change needs.
func (in *EditInput) wish(s *Service) wish {
	name := "PutObject"
	switch {
	case in.Tags != nil && len(*in.Tags) == 0:
		name = "DeleteObjectTagging"
	case in.Tags != nil:
		name = "PutObjectTagging"
	case in.ACL != nil || in.Canned != "":
		name = "PutObjectAcl"
	case in.Lock != nil:
		name = "PutObjectRetention"
	case in.Hold != nil:
		name = "PutObjectLegalHold"
	case in.RestoreDays > 0:
		name = "RestoreObject"
	}
	if in.Version != "" && (in.Tags != nil || in.ACL != nil || in.Canned != "") {
		name = strings.Replace(name, "Object", "ObjectVersion", 1)
	}
	return wish{s.object, "update", "obs:object:" + name}
}

func (s *Service) edit(tx store.Tx, c *Caller, b *bucket, in *EditInput, r *record) (err error) {
	if in.Tags != nil {
		if err := checkTags(*in.Tags); err != nil {
			return err
		}
		r.Tags = *in.Tags
	}
	if in.ACL != nil || in.Canned != "" {
		if r.Grants, err = b.grants(c, in.ACL, in.Canned); err != nil {
			return err
		}
		if err := s.known(tx, r.Grants); err != nil {
			return err
		}
		r.Emptied = in.ACL != nil && len(in.ACL.Grants) == 0
	}
	if in.Attributes != nil {
		r.Attr = *in.Attributes
	}
	if in.Class != "" {
		if r.Class = in.Class; r.Class == Standard {
			r.Class = ""
		}
	}
	if in.Hold != nil {
		if !b.Spec.ObjectLock {
			return noLocks(b)
		}
		r.Hold = *in.Hold
	}
	if in.Lock != nil {
		if err := s.relock(b, r, *in.Lock, in.Bypass); err != nil {
			return err
		}
	}
	if in.RestoreDays > 0 {
		if !cold(r.class()) {
			return failed("InvalidObjectState", fail.New(fail.Denied, "the object is in storage class %s and can be read as it is", r.class()))
		}
		r.Restored = s.now().Add(time.Duration(in.RestoreDays) * 24 * time.Hour).Unix()
	}
	return nil
}

// relock changes a version's lock. A compliance lock only grows; a governance lock shrinks for those who may bypass it.
func (s *Service) relock(b *bucket, r *record, l Lock, bypass bool) error {
	if !b.Spec.ObjectLock {
		return noLocks(b)
	}
	now := s.lockNow()
	if l.Mode != "" || !l.Until.IsZero() {
		if err := checkLock(l, now); err != nil {
			return err
		}
	}
	if r.Lock.Mode != "" && now.Before(r.Lock.Until) {
		weaker := l.Until.Before(r.Lock.Until) || r.Lock.Mode == "compliance" && l.Mode != "compliance"
		if weaker || l.Mode != r.Lock.Mode {
			if r.Lock.Mode == "compliance" && weaker || r.Lock.Mode == "governance" && !bypass {
				return failed("AccessDenied", fail.New(fail.Denied, "this version is locked until %s (%s): a lock can be made longer, not shorter",
					r.Lock.Until.UTC().Format(time.RFC3339), r.Lock.Mode))
			}
		}
	}
	r.Lock = l
	return nil
}
