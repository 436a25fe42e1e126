package bucket

import (
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/store"
)

// place puts a new version of key where the bucket's versioning has it go: in front of all others, or in the place of
// the null version. What it replaces is freed. r is a marker or has its content on stable storage.
func (s *Service) place(tx store.Tx, b *bucket, key string, r *record) error {
	now, err := current(tx, b, key)
	if err != nil {
		return err
	}
	var newest string
	if now != nil {
		newest = now.Version
	} else if b.Spec.Versioning != "off" {
		old, err := newestOld(tx, b, key)
		if err != nil {
			return err
		}
		if old != nil {
			newest = old.Version
		}
	}
	r.Version = newVersion(s.now(), newest)
	r.Null = b.Spec.Versioning != "enabled"
	var diff count
	add := func(r *record, sign int64) {
		diff.Versions += sign
		diff.hold(r.class(), sign*r.Size)
	}
	switch {
	case now == nil:
	case r.Null && now.Null:
		if err := s.mayGo(now, false); err != nil {
			return err
		}
		add(now, -1)
		diff.Objects--
		if err := unuse(tx, now.Segments); err != nil {
			return err
		}
		if err := s.lost(tx, b); err != nil {
			return err
		}
	default:
		diff.Objects--
		if err := tx.Put(oldAt(b.ID, key, now.Version), encode(now)); err != nil {
			return err
		}
	}
	if r.Null && b.Spec.Versioning == "suspended" && (now == nil || !now.Null) {
		old, err := nullOld(tx, b, key)
		if err != nil {
			return err
		}
		if old != nil {
			if err := s.mayGo(old, false); err != nil {
				return err
			}
			add(old, -1)
			if err := unuse(tx, old.Segments); err != nil {
				return err
			}
			if err := tx.Delete(oldAt(b.ID, key, old.Version)); err != nil {
				return err
			}
		}
	}
	add(r, 1)
	if r.Marker {
		if now != nil {
			if err := tx.Delete(nowAt(b.ID, key)); err != nil {
				return err
			}
		}
		if err := tx.Put(oldAt(b.ID, key, r.Version), encode(r)); err != nil {
			return err
		}
	} else {
		diff.Objects++
		if err := tx.Put(nowAt(b.ID, key), encode(r)); err != nil {
			return err
		}
		if err := use(tx, b, r.Segments); err != nil {
			return err
		}
	}
	return s.book(tx, b, func(c *count) { c.add(diff) })
}

func (c *count) add(d count) {
	c.Objects += d.Objects
	c.Versions += d.Versions
	c.Bytes += d.Bytes
	c.Warm += d.Warm
	c.Cold += d.Cold
	c.Uploads += d.Uploads
}

// remove takes one version away for good. The one behind it becomes current where it was current itself.
func (s *Service) remove(tx store.Tx, b *bucket, key string, r *record) error {
	now, err := current(tx, b, key)
	if err != nil {
		return err
	}
	var diff count
	diff.Versions--
	diff.hold(r.class(), -r.Size)
	if now != nil && now.Version == r.Version {
		diff.Objects--
		if err := tx.Delete(nowAt(b.ID, key)); err != nil {
			return err
		}
	} else if err := tx.Delete(oldAt(b.ID, key, r.Version)); err != nil {
		return err
	}
	if err := unuse(tx, r.Segments); err != nil {
		return err
	}
	if b.Spec.Versioning != "off" && (now == nil || now.Version == r.Version) {
		next, err := newestOld(tx, b, key)
		if err != nil {
			return err
		}
		if next != nil && !next.Marker {
			diff.Objects++
			if err := tx.Delete(oldAt(b.ID, key, next.Version)); err != nil {
				return err
			}
			if err := tx.Put(nowAt(b.ID, key), encode(next)); err != nil {
				return err
			}
		}
	}
	return s.book(tx, b, func(c *count) { c.add(diff) })
}

// rewrite stores a version whose record changed, where it lies.
func rewrite(tx store.Tx, b *bucket, key string, r *record) error {
	now, err := current(tx, b, key)
	if err != nil {
		return err
	}
	if now != nil && now.Version == r.Version {
		return tx.Put(nowAt(b.ID, key), encode(r))
	}
	return tx.Put(oldAt(b.ID, key, r.Version), encode(r))
}

// mayGo refuses to lose a version that is locked. bypass: the caller may end governance locks, and says so.
func (s *Service) mayGo(r *record, bypass bool) error {
	locked := r.Lock.Mode != "" && s.lockNow().Before(r.Lock.Until)
	switch {
	case r.Hold:
		return failed("AccessDenied", fail.New(fail.Denied, "this version is under a legal hold").Then("take the hold away first"))
	case locked && (r.Lock.Mode == "compliance" || !bypass):
		e := fail.New(fail.Denied, "this version is locked until %s (%s)", r.Lock.Until.UTC().Format(time.RFC3339), r.Lock.Mode)
		if r.Lock.Mode == "governance" {
			e = e.Then("those with the right obs:object:BypassGovernanceRetention may say that they want to bypass it")
		}
		return failed("AccessDenied", e)
	}
	return nil
}

// match checks the conditions of a write or delete against the current version, nil being none.
func (cs *Conditions) match(now *record) error {
	if len(cs.IfMatch) > 0 && (now == nil || !has(cs.IfMatch, now.ETag)) {
		if now == nil {
			return failed("NoSuchKey", fail.New(fail.NotFound, "there is no such object to match"))
		}
		return preconditionFailed("If-Match")
	}
	if len(cs.IfNoneMatch) > 0 && now != nil && has(cs.IfNoneMatch, now.ETag) {
		return preconditionFailed("If-None-Match")
	}
	if cs.IfSize != nil && now != nil && now.Size != *cs.IfSize {
		return preconditionFailed("x-amz-if-match-size")
	}
	if t := cs.IfUnmodifiedSince; !t.IsZero() && now != nil && time.Unix(0, now.At).Truncate(time.Second).After(t) {
		return preconditionFailed("If-Unmodified-Since")
	}
	return nil
}

func (cs *Conditions) any() bool {
	return len(cs.IfMatch)+len(cs.IfNoneMatch) > 0 || cs.IfSize != nil || !cs.IfUnmodifiedSince.IsZero() || !cs.IfModifiedSince.IsZero()
}

func has(etags []string, etag string) bool {
	for _, e := range etags {
		if e == "*" || e == etag {
			return true
		}
	}
	return false
}
