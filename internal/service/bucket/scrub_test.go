package bucket_test

import (
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/ledger"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/bucket"
	"github.com/awancloud/awan/internal/service/object"
)

// faulty is an engine whose disks go bad when told to.
type faulty struct {
	object.Blobs
	bad sync.Map // object.Ref
}

func (f *faulty) Verify(ctx context.Context, ref object.Ref) (int, error) {
	if _, bad := f.bad.Load(ref); bad {
		return 0, fail.New(fail.DataLoss, "block 0 is not what was written")
	}
	return f.Blobs.Verify(ctx, ref)
}

func (f *faulty) refs() (out []object.Ref) {
	for info := range f.List(context.Background()) {
		out = append(out, info.Ref)
	}
	return out
}

// TestScrub: what went bad on the disks is found, reported to whom it belongs by its name, and counted.
func TestScrub(t *testing.T) {
	w, ctx := start(t), t.Context()
	w.bucket("archive", bucket.BucketSpec{Versioning: "enabled"})
	first := w.put("archive", "deed", "1")
	ref := w.blobs.refs()[0]
	w.put("archive", "deed", "2")
	w.put("archive", "will", "3")
	health := func() int64 {
		h, err := w.Health(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return h.Damaged
	}
	w.do("archive", "scrub")
	w.event("archive", "Scrubbed", "3 pieces of content were read and are whole")
	w.blobs.bad.Store(ref, true)
	w.do("archive", "scrub")
	w.event("archive", "Damaged", `object "deed", version `+first.Version)
	w.event("archive", "Scrubbed", "1 of 3 pieces of content are damaged")
	if n := health(); n != 1 {
		t.Errorf("%d damaged", n)
	}
	audited := 0
	_ = w.Kernel.Store.View(ctx, func(tx store.Tx) error {
		found, _, err := ledger.Search(tx, ledger.Query{Domain: w.Admin.DomainID, Action: "bucket:object:verify", Limit: 10})
		audited = len(found)
		return err
	})
	if audited != 1 {
		t.Errorf("%d audit entries", audited)
	}
	w.blobs.bad.Delete(ref)
	w.Clock.Add(31 * day) // the turn of all blobs comes by itself
	w.event("archive", "Repaired", `"deed"`)
	if n := health(); n != 0 {
		t.Errorf("%d damaged", n)
	}
	w.blobs.bad.Store(ref, true)
	w.Clock.Add(31 * day)
	waitFor(t, "the damage", func() (any, bool) { return nil, health() == 1 })
	if _, err := w.Delete(ctx, w.me, &bucket.DeleteInput{Bucket: "archive", Key: "deed", Version: first.Version}); err != nil {
		t.Fatal(err)
	}
	if n := health(); n != 0 {
		t.Errorf("what is deleted counts: %d", n)
	}
	if _, err := w.Door.Do(ctx, &call.Call{Kind: w.Rows.D, Verb: "scrub", Target: "no-such", Principal: w.Root}); !fail.Is(err, fail.NotFound) {
		t.Errorf("%v", err)
	}
}

// TestOrphans: content whose request died is freed, but not before it is certain that no request is about to use it.
func TestOrphans(t *testing.T) {
	w, ctx := start(t), t.Context()
	w.bucket("data", bucket.BucketSpec{})
	w.put("data", "used", "x")
	used := w.blobs.refs()[0]
	up, err := w.Begin(ctx, w.me, &bucket.UploadInput{PutInput: bucket.PutInput{Bucket: "data", Key: "parts"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.PutPart(ctx, w.me, &bucket.PartInput{Bucket: "data", Key: "parts", Upload: up.ID, Number: 1, Body: strings.NewReader("part"), Size: 4}); err != nil {
		t.Fatal(err)
	}
	write := func() object.Ref {
		bw, err := w.blobs.Create(ctx, 3)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = bw.Write([]byte("gone"[:3]))
		ref, err := bw.Commit(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return ref
	}
	orphan, late := write(), write()
	w.Clock.Add(8 * day)
	waitFor(t, "the first look", func() (any, bool) { return nil, w.Service.Suspects() == 2 })
	// A slow request stored its content long ago, and names it only now.
	if _, err := w.Kernel.Store.Update(ctx, func(tx store.Tx) error {
		return tx.Put("bucket/blob/"+string(late), []byte("someone"))
	}); err != nil {
		t.Fatal(err)
	}
	w.Clock.Add(day / 12)
	waitFor(t, "the orphan's end", func() ([]object.Ref, bool) { r := w.blobs.refs(); return r, len(r) == 3 })
	for _, ref := range w.blobs.refs() {
		if ref == orphan {
			t.Error("the orphan is there")
		}
	}
	if got, err := w.get(bucket.GetInput{Bucket: "data", Key: "used"}); got != "x" {
		t.Errorf("%s: %q, %v", used, got, err)
	}
}
