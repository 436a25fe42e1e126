package bucket

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"strings"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
)

// Depot is a bucket of the cloud's own: for what it keeps itself (images, sources). It has no row and no name that a
// caller could say; what lies there is encrypted and durable like everything else.
type Depot struct {
	s    *Service
	name string
	me   *Caller
}

// Depot opens the depot of this name.
func (s *Service) Depot(name string) *Depot {
	return &Depot{s, depotMark + name, &Caller{Principal: ident.Principal{Method: ident.BySystem, UserName: name}}}
}

// For gives the same depot, with what is put there encrypted under a project's key: only so it can be opened.
func (d *Depot) For(project id.ID) *Depot {
	return &Depot{d.s, d.name + depotMark + string(project), d.me}
}

const depotMark = "@" // before its name, and between that and the project that it is seen for

// isDepot tells whether a name is that of a depot: no bucket's name begins so.
func isDepot(name string) bool { return strings.HasPrefix(name, depotMark) }

func depot(name string) *bucket {
	whole, project, _ := strings.Cut(name[len(depotMark):], depotMark)
	whole = depotMark + whole
	sum := sha256.Sum256([]byte("depot " + whole))
	row := &Row{Meta: kind.Meta{ID: id.ID(hex.EncodeToString(sum[:16])), Project: id.ID(cmp.Or(project, "depot "+whole)), Name: whole, State: kind.Active}}
	row.Spec = BucketSpec{Versioning: "off", Class: Standard, FileSystem: true, Ownership: "enforced"}
	return &bucket{Row: row}
}

// Put stores an object; size -1: unknown.
func (d *Depot) Put(ctx context.Context, key string, body io.Reader, size int64) error {
	_, err := d.s.Put(ctx, d.me, &PutInput{Bucket: d.name, Key: key, Body: body, Size: size})
	return err
}

// Append puts bytes behind an object that is at bytes long; at 0 makes it.
func (d *Depot) Append(ctx context.Context, key string, body []byte, at int64) error {
	_, err := d.s.Put(ctx, d.me, &PutInput{Bucket: d.name, Key: key, Body: bytes.NewReader(body), Size: int64(len(body)), Append: true, At: at})
	return err
}

// Open reads an object from a byte on. fail.NotFound when there is none.
func (d *Depot) Open(ctx context.Context, key string, from int64) (io.ReadCloser, error) {
	in := &GetInput{Bucket: d.name, Key: key}
	if from > 0 {
		in.Range = &Range{From: from, To: -1}
	}
	c, err := d.s.Get(ctx, d.me, in)
	if err != nil {
		return nil, err
	}
	return c.Body, nil
}

// Stat tells an object's size and when it was written.
func (d *Depot) Stat(ctx context.Context, key string) (size int64, written time.Time, err error) {
	c, err := d.s.Get(ctx, d.me, &GetInput{Bucket: d.name, Key: key, Head: true})
	if err != nil {
		return 0, written, err
	}
	return c.Size, c.Modified, nil
}

// Has tells, within a transaction, whether there is an object.
func (d *Depot) Has(tx store.Tx, key string) (bool, error) {
	r, err := current(tx, depot(d.name), key)
	return r != nil, err
}

// List gives a page of the objects whose names begin with prefix, and of what lies behind the next delimiter; next is
// the after of the next page, "" at the end.
func (d *Depot) List(ctx context.Context, prefix, delimiter, after string) (keys, prefixes []string, next string, err error) {
	l, err := d.s.List(ctx, d.me, &ListInput{Bucket: d.name, Prefix: prefix, Delimiter: delimiter, After: after, Max: MaxList})
	if err != nil {
		return nil, nil, "", err
	}
	for _, o := range l.Objects {
		keys = append(keys, o.Key)
	}
	if l.Truncated {
		next = l.Next
	}
	return keys, l.Prefixes, next, nil
}

// Move renames an object, in the place of one that has the new name.
func (d *Depot) Move(ctx context.Context, from, to string) error {
	for {
		err := d.s.Rename(ctx, d.me, d.name, from, to)
		if !fail.Is(err, fail.Exists) {
			return err
		}
		if err := d.Delete(ctx, to); err != nil {
			return err
		}
	}
}

// Delete deletes objects; absent is success.
func (d *Depot) Delete(ctx context.Context, keys ...string) error {
	for len(keys) > 0 {
		n := min(len(keys), MaxDelete)
		in := make([]DeleteInput, n)
		for i, k := range keys[:n] {
			in[i].Key = k
		}
		if _, err := d.s.DeleteMany(ctx, d.me, d.name, in); err != nil {
			return err
		}
		keys = keys[n:]
	}
	return nil
}
