package bucket

import (
	"context"
	"strings"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/store"
)

// Copy copies an object on the server. What the copy does not replace it takes from the source.
func (s *Service) Copy(ctx context.Context, c *Caller, in *CopyInput) (*Object, error) {
	src, err := s.Get(ctx, c, &in.From)
	if err != nil {
		return nil, err
	}
	if src.NotModified {
		return nil, preconditionFailed("x-amz-copy-source-if-none-match")
	}
	defer func() { _ = src.Body.Close() }()
	if src.Count > MaxPut {
		return nil, failed("InvalidRequest", fail.New(fail.TooLarge, "an object of more than 5 GiB is copied in parts"))
	}
	to := in.To
	same := in.From.Bucket == to.Bucket && in.From.Key == to.Key && in.From.Version == ""
	if same && !in.Attrs && !in.NoTags && to.Class == "" && to.Protect.Algorithm == "" && to.Redirect == "" && to.ACL == nil && to.Canned == "" {
		return nil, failed("InvalidRequest", fail.New(fail.Invalid, "the copy would be the same object").
			Then("change its metadata, storage class, redirect or encryption with it"))
	}
	if !in.Attrs {
		redirect := to.Redirect
		to.Attributes = src.Attributes
		to.Redirect = redirect
	}
	if !in.NoTags {
		to.Tags = src.Tags
	}
	to.Body, to.Size = src.Body, src.Count
	if to.Compute == "" && !src.Composite {
		for kind := range src.Sums {
			to.Compute = kind
		}
	}
	r := &record{}
	b, err := s.mayPut(ctx, c, &to, r)
	if err != nil {
		return nil, err
	}
	key, err := s.protect(b, to.Protect, r)
	if err != nil {
		return nil, err
	}
	if err := s.fill(ctx, b, key, to.Body, to.Size, nil, to.Compute, false, nil, r); err != nil {
		return nil, err
	}
	if !b.Spec.MD5 && len(src.Parts) == 0 && src.CustomerMD5 == "" {
		r.ETag = src.ETag // the same content
	}
	return s.settle(ctx, c, &to, r, "ObjectCreated:Copy")
}

// Rename gives an object of a bucket with file_system another name, at once and without touching its content.
func (s *Service) Rename(ctx context.Context, c *Caller, name, from, to string) error {
	if err := checkKey(to); err != nil {
		return err
	}
	if strings.HasSuffix(from, "/") != strings.HasSuffix(to, "/") || from == to || strings.HasSuffix(from, "/") && strings.HasPrefix(to, from) {
		return failed("InvalidArgument", fail.Field("name", "%q cannot become %q", from, to).Then("a folder's name ends in a slash, a file's does not, and a folder does not move into itself"))
	}
	renaming := func(from, to string) map[string]wish {
		return map[string]wish{from: {s.object, "delete", "obs:object:RenameObject"}, to: s.uploading("PutObject")}
	}
	for key, w := range renaming(from, to) {
		if _, err := s.enter(ctx, c, name, key, w, nil); err != nil {
			return err
		}
	}
	_, err := s.Store.Update(ctx, func(tx store.Tx) error {
		b, err := s.need(tx, name)
		if err != nil {
			return err
		}
		if err := b.mustBeFileSystem("renamed"); err != nil {
			return err
		}
		if !strings.HasSuffix(from, "/") {
			return s.rename(tx, b, from, to)
		}
		var inside []string
		at := nowAt(b.ID, "")
		for k := range tx.Scan(at+from, "") {
			if inside = append(inside, k[len(at):]); len(inside) > MaxRename {
				return failed("InvalidRequest", fail.New(fail.Invalid, "the folder %q holds more than %d objects", from, MaxRename).Then("rename the folders in it, one after the other"))
			}
		}
		if err := tx.ScanErr(); err != nil {
			return err
		}
		if len(inside) == 0 {
			return noSuchKey(from)
		}
		for _, key := range inside {
			next := to + key[len(from):]
			if err := checkKey(next); err != nil {
				return err
			}
			for key, w := range renaming(key, next) {
				if err := s.within(tx, c, c.call(w), b, key, w, nil); err != nil {
					return err
				}
			}
			if err := s.rename(tx, b, key, next); err != nil {
				return err
			}
		}
		return nil
	})
	return err
}

// MaxRename is how many objects a folder that is renamed may hold: it happens in one transaction.
const MaxRename = 10000

// rename gives an object another name.
func (s *Service) rename(tx store.Tx, b *bucket, from, to string) error {
	r, err := current(tx, b, from)
	if err != nil {
		return err
	}
	if r == nil {
		return noSuchKey(from)
	}
	if there, err := current(tx, b, to); err != nil {
		return err
	} else if there != nil {
		return failed("ObjectAlreadyExists", fail.New(fail.Exists, "there is an object %q already", to).Then("delete it first"))
	}
	if err := s.mayGo(r, false); err != nil {
		return err
	}
	if err := tx.Delete(nowAt(b.ID, from)); err != nil {
		return err
	}
	return tx.Put(nowAt(b.ID, to), encode(r))
}

func (b *bucket) mustBeFileSystem(what string) error {
	if b.Spec.FileSystem {
		return nil
	}
	return failed("MethodNotAllowed", fail.New(fail.Unsupported, "objects of bucket %s cannot be %s", b.Name, what).Then("create the bucket with file_system"))
}
