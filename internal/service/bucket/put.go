package bucket

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/store"
)

// Limits of S3, larger where OBS has larger.
const (
	MaxPut    = 5 << 30  // bytes of an upload in one piece, or of a part
	MaxObject = 50 << 40 // bytes of an object
	MaxParts  = 10000
	MinPart   = 5 << 20 // bytes of every part but the last
	maxMeta   = 8 << 10 // bytes of user metadata: OBS's limit, S3's is 2 KiB
	smallMD5  = 64 << 10
)

// Put stores an object from one piece.
func (s *Service) Put(ctx context.Context, c *Caller, in *PutInput) (*Object, error) {
	if in.Append || in.Modify {
		return s.extend(ctx, c, in)
	}
	r := &record{}
	b, err := s.mayPut(ctx, c, in, r)
	if err != nil {
		return nil, err
	}
	key, err := s.protect(b, in.Protect, r)
	if err != nil {
		return nil, err
	}
	if err := s.fill(ctx, b, key, in.Body, in.Size, in.Sums, in.Compute, in.MD5, in.Trailer, r); err != nil {
		return nil, err
	}
	return s.settle(ctx, c, in, r, "")
}

// mayPut asks whether the caller may write the object as it says, and begins its record.
func (s *Service) mayPut(ctx context.Context, c *Caller, in *PutInput, r *record) (*bucket, error) {
	if err := checkKey(in.Key); err != nil {
		return nil, err
	}
	if in.Size > MaxPut {
		return nil, failed("EntityTooLarge", fail.New(fail.TooLarge, "an upload in one piece has at most 5 GiB").Then("upload it in parts"))
	}
	return s.enter(ctx, c, in.Bucket, in.Key, wish{s.object, "create", "obs:object:PutObject"}, func(tx store.Tx, b *bucket) error {
		if in.If.any() {
			now, err := current(tx, b, in.Key)
			if err != nil {
				return err
			}
			if err := in.If.match(now); err != nil {
				return err
			}
		}
		if in.Size > 0 {
			n, err := countOf(tx, b.ID)
			if err != nil {
				return err
			}
			if err := s.room(tx, b, n.Bytes+in.Size); err != nil {
				return err
			}
		}
		return s.describe(tx, c, b, in, r)
	})
}

// describe fills a record with what the uploader says of the object.
func (s *Service) describe(tx store.Tx, c *Caller, b *bucket, in *PutInput, r *record) (err error) {
	size := 0
	for k, v := range in.User {
		size += len(k) + len(v)
	}
	if size > maxMeta {
		return failed("MetadataTooLarge", fail.Field("metadata", "user metadata has %d bytes, at most %d are allowed", size, maxMeta))
	}
	if err := checkTags(in.Tags); err != nil {
		return err
	}
	r.Attr, r.Tags, r.Class = in.Attributes, in.Tags, in.Class
	if r.Class == "" {
		r.Class = b.Spec.Class
	}
	if r.Class == Standard {
		r.Class = ""
	}
	if r.Grants, err = b.grants(c, in.ACL, in.Canned); err != nil {
		return err
	}
	if err := s.known(tx, r.Grants); err != nil {
		return err
	}
	if c.Principal.Domain != b.Domain && b.Spec.Ownership != "enforced" && !(b.Spec.Ownership == "preferred" && in.Canned == "bucket-owner-full-control") {
		r.Owner, r.OwnerName = string(c.Principal.Domain), c.Principal.DomainName
	}
	if r.Lock, err = s.lockOf(tx, c, b, in); err != nil {
		return err
	}
	if r.Hold = in.Hold; r.Hold && !b.Spec.ObjectLock {
		return noLocks(b)
	}
	return nil
}

func checkTags(tags map[string]string) error {
	if len(tags) > 10 {
		return failed("BadRequest", fail.Field("tags", "an object has at most 10 tags, not %d", len(tags)))
	}
	for k, v := range tags {
		if k == "" || len([]rune(k)) > 128 || len([]rune(v)) > 256 {
			return failed("InvalidTag", fail.Field("tags", "a tag's key has 1 to 128 characters, its value at most 256"))
		}
	}
	return nil
}

// protect makes the object's key, wrapped as the request or the bucket says.
func (s *Service) protect(b *bucket, p Protect, r *record) (key []byte, err error) {
	if p.Algorithm == "" {
		p.Algorithm, p.Key = b.Spec.Encryption.Algorithm, b.Spec.Encryption.Key
	}
	switch p.Algorithm {
	case "", "AES256":
	case "kms":
		if p.Key != "" && p.Key != projectKey {
			return nil, failed("KMS.NotFoundException", fail.Field("key", "there is no key %q", p.Key).Then("leave it out: the project's own key is used"))
		}
		r.SSE = sse{Algorithm: "kms", Key: projectKey, Context: p.Context}
	case byCustomer:
		r.SSE = sse{Algorithm: byCustomer, MD5: MD5(p.Customer)}
	default:
		return nil, failed("InvalidEncryptionAlgorithmError", fail.Field("encryption", "%q is not offered", p.Algorithm).Then("use AES256 or kms"))
	}
	key, r.Key, err = s.newKey(b, p.Customer)
	return key, err
}

// projectKey is what the project's own key is called.
const projectKey = "obs/default"

// fill stores the body as the record's one segment, and works out its checksums and ETag.
func (s *Service) fill(ctx context.Context, b *bucket, key []byte, body io.Reader, size int64, want []Sum, compute string, withMD5 bool, trailer func() []Sum, r *record) error {
	h := sums{}
	if (b.Spec.MD5 || withMD5) && r.SSE.Algorithm != byCustomer || size >= 0 && size <= smallMD5 {
		_ = h.add("md5")
	}
	for _, w := range want {
		if err := h.add(w.Kind); err != nil {
			return err
		}
	}
	if err := h.add(compute); err != nil {
		return err
	}
	if r.Upload != "" && h["md5"] == nil {
		h[ofPart] = NewHash("crc64nvme")
	}
	seg, err := s.write(ctx, key, body, size, h)
	if err != nil {
		return err
	}
	if trailer != nil {
		want = append(want, trailer()...)
	}
	if err := h.check(want); err != nil {
		s.discard(seg)
		return err
	}
	r.Size, r.Sums, r.ETag = 0, h.stored(), etag(h, key)
	if seg != nil {
		r.Size, r.Segments = seg.Size, []segment{*seg}
	}
	return nil
}

// etag is the MD5 where it is known, else something that no client takes for one. A part that is sent again has the same
// one again: of two tries, a client may have the answer to either.
func etag(h sums, key []byte) string {
	if md5 := h["md5"]; md5 != nil {
		return hex.EncodeToString(md5.Sum(nil))
	}
	if crc := h[ofPart]; crc != nil {
		mac := hmac.New(sha256.New, key)
		mac.Write(crc.Sum([]byte("etag of a part ")))
		return hex.EncodeToString(mac.Sum(nil)[:16])
	}
	var b [16]byte
	_, _ = rand.Read(b[:])
	return hex.EncodeToString(b[:]) + "-1"
}

// write encrypts a body into a blob of its own; nil for an empty one. size is what it must have, -1 whatever.
func (s *Service) write(ctx context.Context, key []byte, body io.Reader, size int64, h sums) (*segment, error) {
	if size == 0 {
		return nil, drained(body, h)
	}
	seg := &segment{Salt: make([]byte, 16)}
	_, _ = rand.Read(seg.Salt)
	aead, err := segmentCipher(key, seg.Salt)
	if err != nil {
		return nil, err
	}
	cipherSize := int64(-1)
	if size > 0 {
		cipherSize = size + (size+plainBlock-1)/plainBlock*16
	}
	w, err := s.Blobs.Create(ctx, cipherSize)
	if err != nil {
		return nil, err
	}
	defer w.Abort()
	if seg.Size, err = sealTo(w, body, aead, h.write); errors.Is(err, io.ErrUnexpectedEOF) {
		err = failed("IncompleteBody", fail.New(fail.Invalid, "the body broke off after %d bytes", seg.Size).Then("send it again"))
	}
	if err != nil {
		return nil, err
	}
	switch {
	case size >= 0 && seg.Size != size:
		return nil, failed("IncompleteBody", fail.New(fail.Invalid, "the body has %d bytes, %d were announced", seg.Size, size).Then("send it again"))
	case seg.Size == 0:
		return nil, nil
	case seg.Size > MaxPut:
		return nil, failed("EntityTooLarge", fail.New(fail.TooLarge, "an upload in one piece has at most 5 GiB").Then("upload it in parts"))
	}
	if seg.Ref, err = w.Commit(ctx); err != nil {
		return nil, err
	}
	return seg, nil
}

// drained reads a body that must be empty, so that its signature is checked.
func drained(body io.Reader, h sums) error {
	if body == nil {
		return nil
	}
	n, err := io.Copy(io.Discard, body)
	if err == nil && n > 0 {
		err = failed("IncompleteBody", fail.New(fail.Invalid, "the body has %d bytes, none were announced", n))
	}
	h.write(nil)
	return err
}

// discard deletes what was stored for a request that then failed.
func (s *Service) discard(segs ...*segment) {
	for _, seg := range segs {
		if seg != nil {
			_ = s.Blobs.Delete(context.WithoutCancel(s.ctx), seg.Ref)
		}
	}
}

// settle makes a record with its content the newest version of its name. event says what happened, "" for a put.
func (s *Service) settle(ctx context.Context, c *Caller, in *PutInput, r *record, event string) (o *Object, err error) {
	_, err = s.Store.Update(ctx, func(tx store.Tx) error {
		b, err := s.need(tx, in.Bucket)
		if err != nil {
			return err
		}
		if in.If.any() {
			now, err := current(tx, b, in.Key)
			if err != nil {
				return err
			}
			if err := in.If.match(now); err != nil {
				return err
			}
		}
		r.At = s.now().UnixNano()
		if err := s.placeNew(tx, b, in.Key, r); err != nil {
			return err
		}
		o = b.object(in.Key, r, true)
		return s.tell(tx, c, b, orElse(event, "ObjectCreated:Put"), in.Key, r)
	})
	if err != nil {
		if !fail.Is(err, fail.NoSpace) && !fail.Is(err, fail.Unavailable) { // those leave open whether it was stored
			for i := range r.Segments {
				s.discard(&r.Segments[i])
			}
		}
		return nil, err
	}
	s.wakeFree()
	return o, nil
}

func orElse(a, b string) string {
	if a == "" {
		return b
	}
	return a
}

// lockOf is the lock of a new version: what the upload says, else the bucket's.
func (s *Service) lockOf(tx store.Tx, c *Caller, b *bucket, in *PutInput) (Lock, error) {
	if in.Lock.Mode != "" || !in.Lock.Until.IsZero() {
		if !b.Spec.ObjectLock {
			return Lock{}, noLocks(b)
		}
		if err := checkLock(in.Lock, s.lockNow()); err != nil {
			return Lock{}, err
		}
		w := wish{s.object, "update", "obs:object:PutObjectRetention"}
		return in.Lock, s.within(tx, c, c.call(w), b, in.Key, w, nil)
	}
	r := b.Spec.Retention
	if r.Mode == "" {
		return Lock{}, nil
	}
	now := s.lockNow().UTC()
	return Lock{Mode: r.Mode, Until: now.AddDate(r.Years, 0, r.Days)}, nil
}

func checkLock(l Lock, now time.Time) error {
	switch {
	case l.Mode != "governance" && l.Mode != "compliance" || l.Until.IsZero():
		return failed("InvalidArgument", fail.Field("retention", "needs a mode, governance or compliance, and a date"))
	case !l.Until.After(now):
		return failed("InvalidArgument", fail.Field("retention", "the date %s has passed", l.Until.UTC().Format(time.RFC3339)))
	}
	return nil
}

func noLocks(b *bucket) error {
	return failed("InvalidRequest", fail.New(fail.Invalid, "objects of bucket %s cannot be locked", b.Name).Then("use a bucket with object_lock"))
}
