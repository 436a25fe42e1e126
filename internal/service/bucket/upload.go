package bucket

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/store"
)

func partAt(upload string, number int) string {
	return partKey + upload + "/" + fmt.Sprintf("%05d", number)
}

func (s *Service) uploading(action string) wish {
	return wish{s.object, "create", "obs:object:" + action}
}

// Begin begins an upload in parts.
func (s *Service) Begin(ctx context.Context, c *Caller, in *UploadInput) (up *Upload, err error) {
	r := &record{Algorithm: in.Algorithm, Composite: in.Composite, Canned: in.Canned}
	in.Size = -1
	if in.Algorithm != "" && NewHash(in.Algorithm) == nil {
		return nil, failed("InvalidRequest", fail.Field("checksum", "%q is not a checksum known here", in.Algorithm))
	}
	b, err := s.mayPut(ctx, c, &in.PutInput, r)
	if err != nil {
		return nil, err
	}
	if _, err := s.protect(b, in.Protect, r); err != nil {
		return nil, err
	}
	upload := string(id.New())
	_, err = s.Store.Update(ctx, func(tx store.Tx) error {
		b, err := s.need(tx, in.Bucket)
		if err != nil {
			return err
		}
		r.At = s.now().UnixNano()
		up = b.upload(in.Key, upload, r)
		if err := tx.Put(uploadAt(b.ID, in.Key, upload), encode(r)); err != nil {
			return err
		}
		return s.book(tx, b, func(c *count) { c.Uploads++ })
	})
	return up, err
}

func (b *bucket) upload(key, upload string, r *record) *Upload {
	o := b.object(key, r, false)
	return &Upload{Bucket: b.Name, Key: key, ID: upload, Begun: o.Modified, Class: o.Class, Owner: o.Owner, OwnerName: o.OwnerName,
		Algorithm: r.Algorithm, Composite: r.Composite, Protect: o.Protect, CustomerMD5: o.CustomerMD5}
}

func needUpload(tx store.Tx, b *bucket, key, upload string) (*record, error) {
	if _, ok := id.Parse(upload); !ok {
		return nil, noSuchUpload(upload)
	}
	r, err := read[record](tx, uploadAt(b.ID, key, upload))
	if err == nil && r == nil {
		err = noSuchUpload(upload)
	}
	return r, err
}

// PutPart stores a part, in the place of an earlier one of its number.
func (s *Service) PutPart(ctx context.Context, c *Caller, in *PartInput) (*Part, error) {
	switch {
	case in.Number < 1 || in.Number > MaxParts:
		return nil, failed("InvalidArgument", fail.Field("partNumber", "is %d; parts are numbered from 1 to %d", in.Number, MaxParts))
	case in.Size > MaxPut:
		return nil, failed("EntityTooLarge", fail.New(fail.TooLarge, "a part has at most 5 GiB"))
	}
	var r *record
	b, err := s.enter(ctx, c, in.Bucket, in.Key, s.uploading("PutObject"), func(tx store.Tx, b *bucket) (err error) {
		if r, err = needUpload(tx, b, in.Key, in.Upload); err != nil || in.Size <= 0 {
			return err
		}
		n, err := countOf(tx, b.ID)
		if err != nil {
			return err
		}
		return s.room(tx, b, n.Bytes+in.Size)
	})
	if err != nil {
		return nil, err
	}
	key, err := s.openKey(b, r, in.Customer)
	if CodeOf(err) == "AccessDenied" {
		err = failed("InvalidRequest", fail.New(fail.Invalid, "the upload was begun with another key of the customer's").Then("send every part with the key that it was begun with"))
	}
	if err != nil {
		return nil, err
	}
	if in.From != nil {
		src, err := s.Get(ctx, c, in.From)
		if err != nil {
			return nil, err
		}
		if src.NotModified {
			return nil, preconditionFailed("If-None-Match")
		}
		defer func() { _ = src.Body.Close() }()
		in.Body, in.Size = src.Body, src.Count
	}
	made := &record{SSE: r.SSE, Upload: in.Upload}
	if err := s.fill(ctx, b, key, in.Body, in.Size, in.Sums, r.Algorithm, in.MD5, in.Trailer, made); err != nil {
		return nil, err
	}
	p := part{ETag: strings.TrimSuffix(made.ETag, "-1")}
	if len(made.Segments) > 0 {
		p.segment = made.Segments[0]
	}
	p.Sums = made.Sums
	_, err = s.Store.Update(ctx, func(tx store.Tx) error { return s.putPart(tx, in, &p) })
	if err != nil {
		if !fail.Is(err, fail.NoSpace) && !fail.Is(err, fail.Unavailable) && p.Size > 0 {
			s.discard(&p.segment)
		}
		return nil, err
	}
	s.wakeFree()
	out := p.shown(in.Number)
	out.Protect, out.CustomerMD5 = r.protect(), r.SSE.MD5
	return out, nil
}

func (s *Service) putPart(tx store.Tx, in *PartInput, p *part) error {
	b, err := s.need(tx, in.Bucket)
	if err != nil {
		return err
	}
	r, err := needUpload(tx, b, in.Key, in.Upload)
	if err != nil {
		return err
	}
	old, err := read[part](tx, partAt(in.Upload, in.Number))
	if err != nil {
		return err
	}
	freed := int64(0)
	if old != nil {
		freed = old.Size
		if err := old.free(tx); err != nil {
			return err
		}
	}
	p.At = s.now().UnixNano()
	if err := tx.Put(partAt(in.Upload, in.Number), encode(p)); err != nil {
		return err
	}
	if p.Size > 0 {
		if err := use(tx, b, []segment{p.segment}); err != nil {
			return err
		}
	}
	return s.book(tx, b, func(c *count) { c.hold(r.class(), p.Size-freed) })
}

func (p *part) free(tx store.Tx) error {
	if p.Size == 0 {
		return nil
	}
	return unuse(tx, []segment{p.segment})
}

func (p *part) shown(n int) *Part {
	return &Part{Number: n, Size: p.Size, ETag: p.ETag, Modified: time.Unix(0, p.At).UTC(), Sums: p.Sums}
}

// partsOf reads the stored parts by number.
func partsOf(tx store.Tx, upload string, after int) (map[int]*part, []int, error) {
	parts, order := map[int]*part{}, []int{}
	for k, v := range tx.Scan(partKey+upload+"/", partAt(upload, after)) {
		p, err := decode[part](v)
		if err != nil {
			return nil, nil, err
		}
		n, _ := strconv.Atoi(k[len(k)-5:])
		parts[n], order = p, append(order, n)
	}
	return parts, order, tx.ScanErr()
}

// Complete makes an object of an upload's parts.
func (s *Service) Complete(ctx context.Context, c *Caller, in *CompleteInput) (o *Object, err error) {
	if _, err := s.enter(ctx, c, in.Bucket, in.Key, s.uploading("PutObject"), nil); err != nil {
		return nil, err
	}
	_, err = s.Store.Update(ctx, func(tx store.Tx) error {
		b, err := s.need(tx, in.Bucket)
		if err != nil {
			return err
		}
		r, err := needUpload(tx, b, in.Key, in.Upload)
		if fail.Is(err, fail.NotFound) {
			now, nerr := current(tx, b, in.Key)
			if nerr == nil && now != nil && now.Upload == in.Upload && in.Upload != "" {
				o = b.object(in.Key, now, true) // the client did not hear that it was done
				return nil
			}
		}
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
		if err := s.assemble(tx, b, in, r); err != nil {
			return err
		}
		r.At, r.Upload = s.now().UnixNano(), in.Upload
		if err := s.placeNew(tx, b, in.Key, r); err != nil {
			return err
		}
		o = b.object(in.Key, r, true)
		return s.tell(tx, c, b, "ObjectCreated:CompleteMultipartUpload", in.Key, r)
	})
	if err == nil {
		s.wakeFree()
	}
	return o, err
}

// assemble turns an upload's record into the object's: the parts that were named, in order; the others are freed.
func (s *Service) assemble(tx store.Tx, b *bucket, in *CompleteInput, r *record) error {
	parts, _, err := partsOf(tx, in.Upload, 0)
	if err != nil {
		return err
	}
	if len(in.Parts) == 0 {
		return failed("MalformedXML", fail.Field("Part", "no part is named").Then("name the parts with their ETags"))
	}
	all := NewHash("md5")
	held := int64(0)
	for _, p := range parts {
		held += p.Size
	}
	r.Segments, r.Size, r.Multi = nil, 0, true
	for i, want := range in.Parts {
		if i > 0 && want.Number <= in.Parts[i-1].Number {
			return failed("InvalidPartOrder", fail.Field("Part", "part %d follows part %d", want.Number, in.Parts[i-1].Number).Then("name the parts in ascending order"))
		}
		p := parts[want.Number]
		if p == nil || want.ETag != "" && want.ETag != p.ETag {
			return failed("InvalidPart", fail.Field("Part", "part %d with ETag %q was not uploaded", want.Number, want.ETag).Then("upload it again"))
		}
		for kind, sum := range want.Sums {
			if have, ok := p.Sums[kind]; ok && have != sum {
				return failed("InvalidPart", fail.Field("Part", "part %d has another %s checksum", want.Number, kind))
			}
		}
		if i < len(in.Parts)-1 && p.Size < MinPart {
			return failed("EntityTooSmall", fail.Field("Part", "part %d has %d bytes, every part but the last needs %d", want.Number, p.Size, MinPart))
		}
		raw, _ := hex.DecodeString(p.ETag)
		all.Write(raw)
		if p.Size > 0 {
			r.Segments = append(r.Segments, p.segment)
		}
		r.Size += p.Size
		delete(parts, want.Number)
		if err := tx.Delete(partAt(in.Upload, want.Number)); err != nil {
			return err
		}
	}
	for n, p := range parts {
		if err := p.free(tx); err != nil {
			return err
		}
		if err := tx.Delete(partAt(in.Upload, n)); err != nil {
			return err
		}
	}
	if in.Size >= 0 && in.Size != r.Size {
		return failed("InvalidRequest", fail.Field("x-amz-mp-object-size", "is %d, the parts have %d bytes", in.Size, r.Size))
	}
	r.ETag = hex.EncodeToString(all.Sum(nil)) + "-" + strconv.Itoa(len(in.Parts))
	if err := r.total(in.Sums); err != nil {
		return err
	}
	r.slim()
	if err := tx.Delete(uploadAt(b.ID, in.Key, in.Upload)); err != nil {
		return err
	}
	return s.book(tx, b, func(c *count) {
		c.Uploads--
		c.hold(r.class(), -held) // place counts them as the object's
	})
}

// manyParts is from how many parts on a record with the longest sums may not fit into a value of the store.
const manyParts = 8000

// slim drops the parts' own sums where the record would be too large with them; the whole's stays.
func (r *record) slim() {
	if len(r.Segments) <= manyParts || len(encode(r)) < store.MaxValue*9/10 {
		return
	}
	for i := range r.Segments {
		r.Segments[i].Sums = nil
	}
}

// total works out the checksum of the whole from those of the parts.
func (r *record) total(want []Sum) (err error) {
	if r.Algorithm == "" {
		return nil
	}
	var sum string
	if r.Composite {
		sum, err = compose(r.Algorithm, r.Segments)
	} else {
		sum, err = combine(r.Algorithm, r.Segments)
	}
	if err != nil {
		return err
	}
	for _, w := range want {
		given := base64.StdEncoding.EncodeToString(w.Value)
		if w.Kind == r.Algorithm && given != sum && given != strings.Split(sum, "-")[0] {
			return badDigest(w.Kind)
		}
	}
	r.Sums = map[string]string{r.Algorithm: sum}
	r.Algorithm = ""
	return nil
}

// Abort ends an upload and frees its parts.
func (s *Service) Abort(ctx context.Context, c *Caller, name, key, upload string) error {
	if _, err := s.enter(ctx, c, name, key, s.uploading("AbortMultipartUpload"), nil); err != nil {
		return err
	}
	_, err := s.Store.Update(ctx, func(tx store.Tx) error {
		b, err := s.need(tx, name)
		if err != nil {
			return err
		}
		r, err := needUpload(tx, b, key, upload)
		if err != nil {
			return err
		}
		return s.abort(tx, b, key, upload, r)
	})
	if err == nil {
		s.wakeFree()
	}
	return err
}

func (s *Service) abort(tx store.Tx, b *bucket, key, upload string, r *record) error {
	parts, _, err := partsOf(tx, upload, 0)
	if err != nil {
		return err
	}
	held := int64(0)
	for n, p := range parts {
		held += p.Size
		if err := p.free(tx); err != nil {
			return err
		}
		if err := tx.Delete(partAt(upload, n)); err != nil {
			return err
		}
	}
	if err := tx.Delete(uploadAt(b.ID, key, upload)); err != nil {
		return err
	}
	return s.book(tx, b, func(c *count) {
		c.Uploads--
		c.hold(r.class(), -held)
	})
}

// Parts lists the stored parts of an upload behind a number.
func (s *Service) Parts(ctx context.Context, c *Caller, name, key, upload string, after, most int) (up *Upload, out []Part, more bool, err error) {
	_, err = s.enter(ctx, c, name, key, wish{s.object, "list", "obs:object:ListMultipartUploadParts"}, func(tx store.Tx, b *bucket) error {
		r, err := needUpload(tx, b, key, upload)
		if err != nil {
			return err
		}
		up = b.upload(key, upload, r)
		parts, order, err := partsOf(tx, upload, after)
		for _, n := range order {
			if more = len(out) == most; more {
				break
			}
			out = append(out, *parts[n].shown(n))
		}
		return err
	})
	return up, out, more, err
}

// Uploads lists the uploads that were not completed, by name and then by when they were begun.
func (s *Service) Uploads(ctx context.Context, c *Caller, in *ListInput) (out []Upload, prefixes []string, more bool, err error) {
	_, err = s.enter(ctx, c, in.Bucket, "", wish{s.object, "list", "obs:bucket:ListBucketMultipartUploads"}, func(tx store.Tx, b *bucket) error {
		base := uploadKey + string(b.ID) + "/"
		l := &lister{tx: tx, b: b, in: in, max: min(in.Max, MaxList)}
		from := ""
		if in.After != "" {
			from = base + behindVersions(in.After)
			if in.AfterVersion != "" {
				from = base + in.After + "\x00" + in.AfterVersion
			}
		}
		for k, v := range tx.Scan(base+in.Prefix, from) {
			key, upload, _ := strings.Cut(k[len(base):], "\x00")
			p := l.common(key)
			if p != "" && (slices.Contains(prefixes, p) || p <= in.After) {
				continue
			}
			if more = len(out)+len(prefixes) >= l.max; more {
				break
			}
			if p != "" {
				prefixes = append(prefixes, p)
				continue
			}
			r, err := decode[record](v)
			if err != nil {
				return err
			}
			out = append(out, *b.upload(key, upload, r))
		}
		return tx.ScanErr()
	})
	return out, prefixes, more, err
}
