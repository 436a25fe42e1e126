package bucket

import (
	"context"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/store"
)

// Get gives an object's description and, unless Head, its content. The caller closes it.
func (s *Service) Get(ctx context.Context, c *Caller, in *GetInput) (*Content, error) {
	action := orElse(in.As, "obs:object:GetObject")
	if in.Version != "" && in.As == "" {
		action = "obs:object:GetObjectVersion"
	}
	var r *record
	var out *Content
	var fetch bool
	b, err := s.enterOn(ctx, c, in.Bucket, in.Key, wish{s.object, "get", action}, func(tx store.Tx, b *bucket) (found *record, err error) {
		var latest bool
		found, latest, err = b.version(tx, in.Key, in.Version)
		if found != nil {
			out = &Content{Object: *b.object(in.Key, found, latest)}
		}
		r = found
		if fetch = b.fetches(in, action, found, err); fetch {
			err = nil
		}
		return found, err
	}, nil)
	if err != nil {
		if r != nil && r.Marker && fail.Is(err, fail.NotFound) {
			return out, err // who asks is told that it is a delete marker
		}
		return nil, err
	}
	if fetch {
		if err := s.fetch(ctx, b, in.Key); err != nil && CodeOf(err) != "NoSuchKey" {
			return nil, err
		}
		again := *in
		again.fetched = true
		return s.Get(ctx, c, &again)
	}
	if r.Marker {
		return out, failed("MethodNotAllowed", fail.New(fail.Unsupported, "version %s of %q is a delete marker: there is nothing to read", r.id(), in.Key))
	}
	if err := s.answer(ctx, b, in, r, out); err != nil {
		return nil, err
	}
	return out, nil
}

// answer fills in what the request asks for of the version it found.
func (s *Service) answer(ctx context.Context, b *bucket, in *GetInput, r *record, out *Content) (err error) {
	if out.NotModified, err = in.If.fresh(r); err != nil {
		return err
	}
	if r.SSE.Algorithm == byCustomer || in.Customer != nil {
		if _, err := s.openKey(b, r, in.Customer); err != nil {
			return err
		}
	}
	from, to := int64(0), r.Size
	if r.Multi {
		out.PartCount = len(r.Segments)
	}
	switch {
	case in.Part > 0:
		if from, to, err = r.part(in.Part); err != nil {
			return err
		}
		out.Partial = true
	case in.Range != nil:
		if from, to, err = in.Range.of(r.Size); err != nil {
			return err
		}
		out.Partial = true
	}
	out.From, out.To, out.Count = from, to-1, to-from
	if in.Head || out.NotModified {
		return nil
	}
	if cold(r.class()) && (r.Restored == 0 || s.now().Unix() > r.Restored) {
		return failed("InvalidObjectState", fail.New(fail.Denied, "the object is in storage class %s", r.class()).Then("restore it first"))
	}
	out.Body, err = s.open(ctx, b, r, in.Customer, from, to)
	return err
}

// open reads the plain bytes from..to (not counted) of a version.
func (s *Service) open(ctx context.Context, b *bucket, r *record, customer []byte, from, to int64) (*plainReader, error) {
	key, err := s.openKey(b, r, customer)
	if err != nil {
		return nil, err
	}
	p := &plainReader{ctx: ctx, blobs: s.Blobs, key: key, segments: r.Segments, from: from, to: to}
	if from < to { // so that what cannot be read is an answer of its own, not a broken one
		if err := p.fill(); err != nil {
			_ = p.Close()
			return nil, err
		}
	}
	return p, nil
}

func cold(class string) bool { return class == Cold || class == Deep }

// part gives the bytes of a part.
func (r *record) part(n int) (from, to int64, err error) {
	if !r.Multi && n == 1 {
		return 0, r.Size, nil
	}
	if !r.Multi || n > len(r.Segments) {
		return 0, 0, failed("InvalidPartNumber", fail.New(fail.Invalid, "the object has no part %d", n))
	}
	for i := range n {
		from, to = to, to+r.Segments[i].Size
	}
	return from, to, nil
}

// of turns a range as asked into bytes from..to (not counted).
func (g *Range) of(size int64) (from, to int64, err error) {
	switch {
	case g.From < 0:
		from, to = max(0, size+g.From), size
	case g.To < 0 || g.To >= size:
		from, to = g.From, size
	default:
		from, to = g.From, g.To+1
	}
	if from >= to {
		return 0, 0, failed("InvalidRange", fail.Field("Range", "the object has %d bytes: nothing of the range is there", size))
	}
	return from, to, nil
}

// fresh checks the conditions of a read; true says that the client has what there is.
func (cs *Conditions) fresh(r *record) (bool, error) {
	at := time.Unix(0, r.At).Truncate(time.Second)
	if len(cs.IfMatch) > 0 {
		if !has(cs.IfMatch, r.ETag) {
			return false, preconditionFailed("If-Match")
		}
	} else if t := cs.IfUnmodifiedSince; !t.IsZero() && at.After(t) {
		return false, preconditionFailed("If-Unmodified-Since")
	}
	if len(cs.IfNoneMatch) > 0 {
		return has(cs.IfNoneMatch, r.ETag), nil
	}
	return !cs.IfModifiedSince.IsZero() && !at.After(cs.IfModifiedSince), nil
}
