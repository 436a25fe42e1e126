package file_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/service/object"
	"github.com/awancloud/awan/internal/service/object/objecttest"
)

// TestFull fills a small disk. Commits are refused then, reads go on, nothing is lost; after deletes there is room again,
// found by compaction while the disk has none.
func TestFull(t *testing.T) {
	for _, size := range []int{3000, 400_000} {
		disk := newSimDisk()
		disk.capacity = 10 << 20
		opts := small([]string{"/a"})
		opts.Disk, opts.Reserve, opts.VolumeBlobs, opts.CompactAt = disk, 1<<20, 400, 0.9
		e := open(t, opts)
		put := func(i int) (object.Ref, error) {
			return objecttest.Put(t.Context(), e, content(uint64(i), size), int64(size), object.Block)
		}
		blobs := map[object.Ref]int{}
		fill := func() {
			t.Helper()
			begin := len(blobs)
			for i := 0; ; i++ {
				ref, err := put(i)
				if err == nil {
					blobs[ref] = i
					continue
				}
				if !fail.Is(err, fail.NoSpace) || i > 20_000 {
					t.Fatalf("filling with %d bytes at a time: %v", size, err)
				}
				break
			}
			t.Logf("%d blobs of %d bytes went in", len(blobs)-begin, size)
		}
		check := func() {
			t.Helper()
			for ref, i := range blobs {
				if got, err := objecttest.Get(t.Context(), e, ref); err != nil || string(got) != string(content(uint64(i), size)) {
					t.Fatalf("%s: %d bytes, %v", ref, len(got), err)
				}
			}
		}
		fill()
		all := len(blobs)
		if all*size < 5<<20 {
			t.Errorf("only %d blobs of %d bytes went into 10 MiB", all, size)
		}
		check()
		for round := range 2 {
			n := 0
			for ref := range blobs { // by chance half of each volume
				if n++; n%2 == 0 {
					if err := e.Delete(t.Context(), ref); err != nil {
						t.Fatal(err)
					}
					delete(blobs, ref)
				}
			}
			deadline := time.Now().Add(20 * time.Second)
			for {
				ref, err := put(round)
				if err == nil {
					blobs[ref] = round
					break
				}
				if time.Now().After(deadline) {
					s, _ := e.Space(t.Context())
					t.Fatalf("no room was found after deletes: %v; %+v", err, s)
				}
				time.Sleep(time.Millisecond)
			}
			check()
			fill()
			if len(blobs) < all*3/4 {
				t.Errorf("%d blobs fit after half were deleted, %d at first", len(blobs), all)
			}
			check()
		}
		disk = disk.cut(rand.New(rand.NewPCG(1, 2)), 0.5)
		_ = e.Close()
		opts.Disk = disk
		e = open(t, opts)
		check()
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
