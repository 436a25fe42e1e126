package objecttest

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"slices"
	"sync"
	"testing"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/service/object"
)

var grammar = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// testSizes writes every kind of size, told and not told before, in small and in large pieces.
func testSizes(t *testing.T, s Suite, b object.Blobs) {
	refs := map[object.Ref][]byte{}
	for i, n := range []int{0, 1, 100, 4096, object.Block - 1, object.Block, object.Block + 1, 1<<20 - 1, 1 << 20, 1<<20 + 1,
		16 * object.Block, 16*object.Block + 1, s.LargeSize} {
		content := Content(uint64(i), n)
		for _, size := range []int64{int64(n), -1} {
			for _, step := range []int{object.Block, 7777, 1 << 20} {
				ref, err := Put(t.Context(), b, content, size, step)
				if err != nil {
					t.Fatalf("%d bytes (announced as %d) in pieces of %d: %v", n, size, step, err)
				}
				if _, twice := refs[ref]; twice || !grammar.MatchString(string(ref)) {
					t.Errorf("%d bytes are called %q", n, ref)
				}
				refs[ref] = content
			}
		}
	}
	for ref, content := range refs {
		holds(t, b, ref, content)
		if n, err := b.Verify(t.Context(), ref); n != 0 || err != nil {
			t.Errorf("verifying %s of %d bytes: %d repaired, %v", ref, len(content), n, err)
		}
	}
}

// testRanges reads at every kind of offset, as io.ReaderAt promises it, also from many goroutines.
func testRanges(t *testing.T, s Suite, b object.Blobs) {
	for _, n := range []int{0, 1, 5000, object.Block, 3*object.Block + 5, s.LargeSize} {
		content := Content(9, n)
		r, err := b.Open(t.Context(), put(t, b, content))
		if err != nil {
			t.Fatal(err)
		}
		if r.Size() != int64(n) {
			t.Errorf("size %d, want %d", r.Size(), n)
		}
		var at []int
		for _, o := range []int{0, 1, 17, n / 3, n / 2, object.Block - 1, object.Block, object.Block + 1, 2 * object.Block, n - 1, n, n + 1} {
			if o >= 0 && !slices.Contains(at, o) {
				at = append(at, o)
			}
		}
		var wg sync.WaitGroup
		for _, off := range at {
			wg.Go(func() {
				for _, l := range []int{0, 1, 16, 5000, object.Block - 1, object.Block, object.Block + 1, 2*object.Block + 1, n + 1} {
					p := make([]byte, l)
					got, err := r.ReadAt(p, int64(off))
					want := content[min(off, n):min(off+l, n)]
					if !bytes.Equal(p[:got], want) || got < l && !errors.Is(err, io.EOF) || got == l && err != nil && !errors.Is(err, io.EOF) {
						t.Errorf("%d bytes at %d of %d: %d, %v", l, off, n, got, err)
					}
				}
			})
		}
		wg.Wait()
		if _, err := r.ReadAt(make([]byte, 1), -1); err == nil {
			t.Error("reading before the beginning succeeds")
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
}

func testAbsent(t *testing.T, _ Suite, b object.Blobs) {
	ref := put(t, b, []byte("x"))
	for _, r := range []object.Ref{"", "nothing", ".", "..", "../../etc/passwd", "a/b", ref + "0", ref[:len(ref)-1],
		object.Ref(bytes.Repeat([]byte("f"), 64)), object.Ref(bytes.Repeat([]byte("f"), 4000))} {
		gone(t, b, r)
	}
	holds(t, b, ref, []byte("x"))
}

// testWrongSize announces one size and writes another.
func testWrongSize(t *testing.T, s Suite, b object.Blobs) {
	for _, c := range [][2]int{{10, 9}, {10, 11}, {0, 1}, {1, 0}, {s.LargeSize, s.LargeSize - 1}, {s.LargeSize, s.LargeSize + 1}} {
		w, err := b.Create(t.Context(), int64(c[0]))
		if err != nil {
			t.Fatal(err)
		}
		_, err = w.Write(Content(1, c[1]))
		if err == nil {
			_, err = w.Commit(t.Context())
		}
		if !fail.Is(err, fail.Invalid) {
			t.Errorf("%d bytes announced, %d written: %v", c[0], c[1], err)
		}
		w.Abort()
	}
	if seen := list(t, b); len(seen) != 0 {
		t.Errorf("left behind: %v", seen)
	}
}
