package bucket

import (
	"context"
	"io"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/store"
)

// extend appends to an object, or changes it in the middle. Both write new segments; what is stored never changes.
func (s *Service) extend(ctx context.Context, c *Caller, in *PutInput) (o *Object, err error) {
	r := &record{}
	if in.At < 0 {
		return nil, failed("InvalidArgument", fail.Field("position", "must not be negative"))
	}
	b, err := s.mayPut(ctx, c, in, r)
	if err != nil {
		return nil, err
	}
	if b.Spec.Versioning != "off" {
		return nil, failed("MethodNotAllowed", fail.New(fail.Unsupported, "bucket %s keeps versions, so its objects do not change", b.Name).Then("upload the object anew"))
	}
	if in.Modify {
		if err := b.mustBeFileSystem("changed in the middle"); err != nil {
			return nil, err
		}
	}
	old, err := s.before(ctx, in)
	if err != nil {
		return nil, err
	}
	if old == nil {
		if in.At != 0 {
			return nil, failed("PositionNotEqualToLength", fail.Field("position", "is %d, and there is no object yet", in.At).Then("begin at 0"))
		}
		key, err := s.protect(b, in.Protect, r)
		if err != nil {
			return nil, err
		}
		if err := s.fill(ctx, b, key, in.Body, in.Size, in.Sums, "", in.MD5, in.Trailer, r); err != nil {
			return nil, err
		}
		r.Append = true
		return s.settle(ctx, c, in, r, "ObjectCreated:Append")
	}
	key, err := s.openKey(b, old, in.Protect.Customer)
	if err != nil {
		return nil, err
	}
	made := &record{SSE: old.SSE}
	if err := s.fill(ctx, b, key, in.Body, in.Size, in.Sums, "", in.MD5, in.Trailer, made); err != nil {
		return nil, err
	}
	grown, fresh, err := s.spliced(ctx, key, old, made, in.At)
	if err != nil {
		s.discardAll(made.Segments)
		return nil, err
	}
	if o, err = s.swap(ctx, c, in, old, grown); err != nil {
		s.discardAll(append(fresh, made.Segments...))
	}
	return o, err
}

func (s *Service) discardAll(segs []segment) {
	for i := range segs {
		s.discard(&segs[i])
	}
}

// before reads the object that is extended; nil when there is none yet.
func (s *Service) before(ctx context.Context, in *PutInput) (old *record, err error) {
	err = s.Store.View(ctx, func(tx store.Tx) error {
		b, err := s.need(tx, in.Bucket)
		if err != nil {
			return err
		}
		old, err = current(tx, b, in.Key)
		return err
	})
	switch {
	case err != nil || old == nil:
	case in.Append && !old.Append && !old.Multi && old.Size > 0:
		err = failed("ObjectNotAppendable", fail.New(fail.Conflict, "the object was not made by appending").Then("upload it anew, or append to another"))
	case in.Append && in.At != old.Size:
		err = failed("PositionNotEqualToLength", fail.New(fail.Conflict, "position is %d, the object has %d bytes", in.At, old.Size).Then("append at %d", old.Size))
	case in.Modify && in.At > old.Size:
		err = failed("InvalidRange", fail.Field("position", "is %d, the object has %d bytes", in.At, old.Size))
	case len(old.Segments) >= MaxParts:
		err = failed("AppendTooManyTimes", fail.New(fail.Precondition, "an object grows by at most %d appends", MaxParts).Then("upload it anew"))
	}
	return old, err
}

// spliced gives a record of old with made's bytes at a position. Segments that are cut are written anew.
func (s *Service) spliced(ctx context.Context, key []byte, old, made *record, at int64) (*record, []segment, error) {
	out := *old
	out.Segments, out.Size = nil, 0
	end := at + made.Size
	var fresh []segment
	pos := int64(0)
	inserted := false
	insert := func() {
		if !inserted {
			out.Segments = append(out.Segments, made.Segments...)
			inserted = true
		}
	}
	for _, seg := range old.Segments {
		from, to := pos, pos+seg.Size
		pos = to
		if to <= at {
			out.Segments = append(out.Segments, seg)
			continue
		}
		if from < at {
			head, err := s.cut(ctx, key, seg, 0, at-from)
			if err != nil {
				return nil, fresh, err
			}
			fresh, out.Segments = append(fresh, *head), append(out.Segments, *head)
		}
		insert()
		if to > end {
			if from >= end {
				out.Segments = append(out.Segments, seg)
				continue
			}
			tail, err := s.cut(ctx, key, seg, end-from, seg.Size)
			if err != nil {
				return nil, fresh, err
			}
			fresh, out.Segments = append(fresh, *tail), append(out.Segments, *tail)
		}
	}
	insert()
	for _, seg := range out.Segments {
		out.Size += seg.Size
	}
	out.ETag, out.Sums, out.Multi, out.Append = etag(sums{}, nil), nil, false, true
	return &out, fresh, nil
}

// cut writes a part of a segment as one of its own.
func (s *Service) cut(ctx context.Context, key []byte, seg segment, from, to int64) (*segment, error) {
	r := &plainReader{ctx: ctx, blobs: s.Blobs, key: key, segments: []segment{seg}, from: from, to: to}
	defer func() { _ = r.Close() }()
	return s.write(ctx, key, r, to-from, sums{})
}

// swap stores the grown record if the object is still the one it grew from.
func (s *Service) swap(ctx context.Context, c *Caller, in *PutInput, old, grown *record) (o *Object, err error) {
	_, err = s.Store.Update(ctx, func(tx store.Tx) error {
		b, err := s.need(tx, in.Bucket)
		if err != nil {
			return err
		}
		now, err := current(tx, b, in.Key)
		if err != nil {
			return err
		}
		if now == nil || now.Version != old.Version || now.ETag != old.ETag {
			return failed("OperationAborted", fail.New(fail.Conflict, "the object changed meanwhile").Then("read its length again"))
		}
		if err := s.mayGo(now, false); err != nil {
			return err
		}
		kept := map[string]bool{}
		for _, seg := range grown.Segments {
			kept[string(seg.Ref)] = true
		}
		var gone []segment
		for _, seg := range old.Segments {
			if !kept[string(seg.Ref)] {
				gone = append(gone, seg)
			}
		}
		if err := unuse(tx, gone); err != nil {
			return err
		}
		if err := use(tx, b, grown.Segments); err != nil {
			return err
		}
		grown.At = s.now().UnixNano()
		if err := tx.Put(nowAt(b.ID, in.Key), encode(grown)); err != nil {
			return err
		}
		o = b.object(in.Key, grown, true)
		if err := s.tell(tx, c, b, "ObjectCreated:Append", in.Key, grown); err != nil {
			return err
		}
		return s.book(tx, b, func(n *count) { n.hold(grown.class(), grown.Size-old.Size) })
	})
	if err == nil {
		s.wakeFree()
	}
	return o, err
}

// Truncate cuts an object of a bucket with file_system, or fills it up with zeros.
func (s *Service) Truncate(ctx context.Context, c *Caller, name, key string, size int64) error {
	in := &PutInput{Bucket: name, Key: key, Modify: true, If: Conditions{}}
	b, err := s.mayPut(ctx, c, in, &record{})
	if err != nil {
		return err
	}
	if err := b.mustBeFileSystem("truncated"); err != nil {
		return err
	}
	old, err := s.before(ctx, in)
	if err != nil {
		return err
	}
	if old == nil {
		return noSuchKey(key)
	}
	dataKey, err := s.openKey(b, old, nil)
	if err != nil {
		return err
	}
	var fresh []segment
	cut := *old
	switch {
	case size < 0 || size > MaxObject:
		return failed("InvalidArgument", fail.Field("length", "must be from 0 to %d", int64(MaxObject)))
	case size > old.Size:
		zeros, err := s.write(ctx, dataKey, io.LimitReader(zero{}, size-old.Size), size-old.Size, sums{})
		if err != nil {
			return err
		}
		fresh = []segment{*zeros}
		cut.Segments = append(append([]segment{}, old.Segments...), *zeros)
	case size < old.Size:
		cut.Segments = nil
		left := size
		for _, seg := range old.Segments {
			if left <= 0 {
				break
			}
			if seg.Size > left {
				head, err := s.cut(ctx, dataKey, seg, 0, left)
				if err != nil {
					return err
				}
				fresh, seg = []segment{*head}, *head
			}
			cut.Segments = append(cut.Segments, seg)
			left -= seg.Size
		}
	}
	cut.Size, cut.Sums = size, nil
	cut.ETag = etag(sums{}, nil)
	if _, err := s.swap(ctx, c, in, old, &cut); err != nil {
		s.discardAll(fresh)
		return err
	}
	return nil
}

// zero gives zeros without end.
type zero struct{}

func (zero) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}
