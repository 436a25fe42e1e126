package bucket

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/store"
)

// here takes copies into a bucket of this cloud, which must be of the same project still.
type here struct {
	s       *Service
	project id.ID
	rule    *Replication
}

func (h *here) put(ctx context.Context, from *bucket, key string, r *record) error {
	s := h.s
	same := false
	in := &PutInput{Bucket: h.rule.Bucket, Key: key, Size: -1, Attributes: r.Attr, Tags: r.Tags, Class: orElse(h.rule.Class, r.class())}
	err := s.Store.View(ctx, func(tx store.Tx) error {
		b, err := s.need(tx, h.rule.Bucket)
		if err != nil {
			return err
		}
		if b.Project != h.project {
			return noSuchBucket(h.rule.Bucket)
		}
		if b.Spec.ObjectLock {
			in.Lock, in.Hold = s.lockOfReplica(b, r), r.Hold
		}
		in.ACL = s.grantsOfReplica(tx, b, r)
		now, err := current(tx, b, key)
		same = now != nil && now.Repl == replReplica && now.ETag == r.ETag && now.Size == r.Size && now.At >= r.At
		return err
	})
	if err != nil || same { // it was copied, and the cloud ended before that was noted
		return err
	}
	c := itself("replication")
	replica := &record{Repl: replReplica}
	b, err := s.mayPut(ctx, c, in, replica)
	if err != nil {
		return err
	}
	dataKey, err := s.protect(b, Protect{}, replica)
	if err != nil {
		return err
	}
	plain, err := s.openKey(from, r, nil)
	if err != nil {
		return err
	}
	for _, seg := range r.Segments { // each a segment there too, so that parts and checksums stay what they are
		body := &plainReader{ctx: ctx, blobs: s.Blobs, key: plain, segments: []segment{seg}, to: seg.Size}
		made, err := s.write(ctx, dataKey, body, seg.Size, sums{})
		_ = body.Close()
		if err != nil {
			s.discardAll(replica.Segments)
			return err
		}
		made.Sums = seg.Sums
		replica.Segments = append(replica.Segments, *made)
	}
	replica.Size, replica.ETag, replica.Sums, replica.Composite, replica.Multi = r.Size, r.ETag, r.Sums, r.Composite, r.Multi
	_, err = s.settle(ctx, c, in, replica, "ObjectCreated:Copy")
	return err
}

// lockOfReplica is the stronger mode and the later date of the source's lock and the other bucket's default.
func (s *Service) lockOfReplica(to *bucket, r *record) Lock {
	now := s.lockNow().UTC()
	if r.Lock.Mode == "" || !r.Lock.Until.After(now) {
		return Lock{}
	}
	l, d := r.Lock, to.Spec.Retention
	if d.Mode == "" {
		return l
	}
	if until := now.AddDate(d.Years, 0, d.Days); until.After(l.Until) {
		l.Until = until
	}
	if d.Mode == "compliance" {
		l.Mode = d.Mode
	}
	return l
}

// grantsOfReplica are the source's grants that the other bucket takes.
func (s *Service) grantsOfReplica(tx store.Tx, to *bucket, r *record) *ACL {
	if len(r.Grants) == 0 || to.Spec.Ownership == "enforced" {
		return nil
	}
	acl := &ACL{}
	for _, g := range r.Grants {
		if (!public(g.To) || to.Spec.PublicAccess.AllowACLs) && s.known(tx, []Grant{g}) == nil {
			acl.Grants = append(acl.Grants, g)
		}
	}
	return acl
}

func (h *here) remove(ctx context.Context, key string) error {
	s, c := h.s, itself("replication")
	_, err := s.Store.Update(ctx, func(tx store.Tx) error {
		b, err := s.need(tx, h.rule.Bucket)
		if err != nil {
			return err
		}
		if b.Project != h.project {
			return noSuchBucket(h.rule.Bucket)
		}
		now, err := current(tx, b, key)
		if err != nil || now == nil {
			return err
		}
		if b.Spec.Versioning == "off" {
			if err := s.mayGo(now, false); err != nil {
				return refused{err}
			}
			if err := s.remove(tx, b, key, now); err != nil {
				return err
			}
			return s.tell(tx, c, b, "ObjectRemoved:Delete", key, now)
		}
		marker := &record{Marker: true, At: s.now().UnixNano(), Repl: replReplica}
		if err := s.place(tx, b, key, marker); err != nil {
			return err
		}
		return s.tell(tx, c, b, "ObjectRemoved:DeleteMarkerCreated", key, marker)
	})
	s.wakeFree()
	return err
}

// elsewhere takes copies into a bucket of another S3 store.
type elsewhere struct {
	s      *Service
	rule   *Replication
	client *minio.Client
	locks  func() (bool, error) // whether the bucket there takes locks; asked once
}

func (s *Service) elsewhere(rule *Replication, secret string) (receiving, error) {
	u, err := url.Parse(rule.Endpoint)
	if err != nil {
		return nil, err
	}
	client, err := minio.New(u.Host, &minio.Options{Creds: credentials.NewStaticV4(rule.AccessKey, secret, ""), Secure: u.Scheme == "https",
		Transport: s.Outward.Transport, MaxRetries: 1})
	if err != nil {
		return nil, err
	}
	client.SetAppInfo("awan", "replication")
	locks := sync.OnceValues(func() (bool, error) {
		ctx, cancel := context.WithTimeout(s.ctx, time.Minute)
		defer cancel()
		on, _, _, _, err := client.GetObjectLockConfig(ctx, rule.Bucket)
		switch e := minio.ToErrorResponse(err); {
		case err == nil:
			return on == "Enabled", nil
		case e.StatusCode == http.StatusNotFound && e.Code != minio.NoSuchBucket, e.StatusCode == http.StatusNotImplemented, e.StatusCode == http.StatusMethodNotAllowed, e.StatusCode == http.StatusBadRequest:
			return false, nil
		}
		return false, theirs(err)
	})
	return &elsewhere{s, rule, client, locks}, nil
}

// classes are S3's names of our storage classes.
var classes = map[string]string{Standard: "STANDARD", Warm: "STANDARD_IA", Cold: "GLACIER", Deep: "DEEP_ARCHIVE", Intelligent: "INTELLIGENT_TIERING"}

func (e *elsewhere) put(ctx context.Context, from *bucket, key string, r *record) error {
	plain, err := e.s.open(ctx, from, r, nil, 0, r.Size)
	if err != nil {
		return err
	}
	body := &lent{r: plain}
	defer body.close()
	o := minio.PutObjectOptions{UserMetadata: r.Attr.User, UserTags: r.Tags, ContentType: r.Attr.ContentType, ContentEncoding: r.Attr.ContentEncoding,
		ContentDisposition: r.Attr.ContentDisposition, ContentLanguage: r.Attr.ContentLanguage, CacheControl: r.Attr.CacheControl,
		WebsiteRedirectLocation: r.Attr.Redirect}
	if class := classes[orElse(e.rule.Class, r.class())]; class != "STANDARD" {
		o.StorageClass = class
	}
	if until := r.Lock.Until; r.Hold || r.Lock.Mode != "" && until.After(e.s.lockNow()) {
		takes, err := e.locks()
		if err != nil {
			return err
		}
		if takes {
			o.SendContentMd5 = true // which S3 wants with locks
			if r.Hold {
				o.LegalHold = minio.LegalHoldEnabled
			}
			if r.Lock.Mode != "" && until.After(e.s.lockNow()) {
				o.Mode, o.RetainUntilDate = minio.RetentionMode(strings.ToUpper(r.Lock.Mode)), until
			}
		}
	}
	_, err = e.client.PutObject(ctx, e.rule.Bucket, key, body, r.Size, o)
	return theirs(err)
}

// lent is a reader for an HTTP client, which may go on reading after the answer has come: never in a buffer that was given back.
type lent struct {
	mu sync.Mutex
	r  *plainReader
}

func (l *lent) Read(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.r.Read(b)
}

func (l *lent) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	_ = l.r.Close() // reading it fails from now on
}

func (e *elsewhere) remove(ctx context.Context, key string) error {
	return theirs(e.client.RemoveObject(ctx, e.rule.Bucket, key, minio.RemoveObjectOptions{}))
}

// theirs tells what another store will refuse again from what may go better later.
func theirs(err error) error {
	if err == nil {
		return nil
	}
	r := minio.ToErrorResponse(err)
	if r.StatusCode == 0 || r.Code == "" {
		return err
	}
	said := fail.New(fail.Unavailable, "it answered %s: %s", r.Code, r.Message)
	switch r.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusRequestTimeout, http.StatusConflict, http.StatusTooManyRequests:
		return said
	}
	if r.StatusCode < 500 && r.StatusCode >= 400 {
		return refused{said}
	}
	return said
}
