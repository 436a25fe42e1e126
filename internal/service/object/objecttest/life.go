package objecttest

import (
	"context"
	"io"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/service/object"
)

// testAbort gives up in the middle; nothing stays.
func testAbort(t *testing.T, s Suite, b object.Blobs) {
	for _, n := range []int{0, 1, 5000, s.LargeSize} {
		for _, size := range []int64{int64(n), -1} {
			w, err := b.Create(t.Context(), size)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := w.Write(Content(1, n)); err != nil {
				t.Fatal(err)
			}
			w.Abort()
			w.Abort()
			if ref, err := w.Commit(t.Context()); !fail.Is(err, fail.Precondition) {
				t.Errorf("commit after abort: %q, %v", ref, err)
			}
		}
	}
	if seen := list(t, b); len(seen) != 0 {
		t.Errorf("left behind: %v", seen)
	}
}

// testEnded goes on after the commit.
func testEnded(t *testing.T, s Suite, b object.Blobs) {
	for _, n := range []int{5000, s.LargeSize} {
		content := Content(2, n)
		w, err := b.Create(t.Context(), -1)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(content); err != nil {
			t.Fatal(err)
		}
		ref, err := w.Commit(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if again, err := w.Commit(t.Context()); !fail.Is(err, fail.Precondition) {
			t.Errorf("a second commit: %q, %v", again, err)
		}
		if _, err := w.Write([]byte("more")); !fail.Is(err, fail.Precondition) {
			t.Errorf("a write after the commit: %v", err)
		}
		w.Abort()
		holds(t, b, ref, content)
	}
}

func testDelete(t *testing.T, s Suite, b object.Blobs) {
	for _, n := range []int{0, 5000, s.LargeSize} {
		stays, goes := put(t, b, Content(3, n)), put(t, b, Content(4, n))
		if err := b.Delete(t.Context(), goes); err != nil {
			t.Fatal(err)
		}
		gone(t, b, goes)
		holds(t, b, stays, Content(3, n))
	}
	if n := len(list(t, b)); n != 3 {
		t.Errorf("%d blobs are left, want 3", n)
	}
}

// testDeleteWhileOpen reads on after the blob was deleted.
func testDeleteWhileOpen(t *testing.T, s Suite, b object.Blobs) {
	for _, n := range []int{5000, s.LargeSize} {
		content := Content(5, n)
		ref := put(t, b, content)
		var readers []object.Reader
		for range 2 {
			r, err := b.Open(t.Context(), ref)
			if err != nil {
				t.Fatal(err)
			}
			readers = append(readers, r)
		}
		if err := b.Delete(t.Context(), ref); err != nil {
			t.Fatal(err)
		}
		gone(t, b, ref)
		for _, r := range readers {
			got := make([]byte, n)
			if _, err := r.ReadAt(got, 0); err != nil && err != io.EOF || string(got) != string(content) {
				t.Errorf("reading %d bytes after the delete: %v", n, err)
			}
			if err := r.Close(); err != nil {
				t.Error(err)
			}
		}
		gone(t, b, ref)
		if seen := list(t, b); len(seen) != 0 {
			t.Errorf("left behind: %v", seen)
		}
	}
}

func testList(t *testing.T, s Suite, b object.Blobs) {
	begin := time.Now().Add(-2 * time.Second) // engines may keep whole seconds
	want := map[object.Ref]int{}
	for i, n := range []int{0, 1, 70000, s.LargeSize, 1, 5} {
		want[put(t, b, Content(uint64(i), n))] = n
	}
	seen := list(t, b)
	for ref, n := range want {
		got, ok := seen[ref]
		if !ok || got.Size != int64(n) || got.Written.Before(begin) || got.Written.After(time.Now().Add(2*time.Second)) {
			t.Errorf("%s of %d bytes is listed as %+v", ref, n, got)
		}
	}
	if len(seen) != len(want) {
		t.Errorf("%d blobs, %d listed", len(want), len(seen))
	}
	for range b.List(t.Context()) {
		break // may stop early
	}
	for ref := range b.List(t.Context()) {
		if err := b.Delete(t.Context(), ref.Ref); err != nil { // may delete what it is shown
			t.Fatal(err)
		}
	}
	if seen := list(t, b); len(seen) != 0 {
		t.Errorf("left after deleting all: %v", seen)
	}
}

func testSpace(t *testing.T, s Suite, b object.Blobs) {
	space := func() object.Space {
		got, err := b.Space(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	if got := space(); got.Blobs != 0 || got.Live != 0 {
		t.Errorf("an empty engine holds %+v", got)
	}
	small, large := put(t, b, Content(1, 5000)), put(t, b, Content(1, s.LargeSize))
	if got := space(); got.Blobs != 2 || got.Live != int64(5000+s.LargeSize) || got.Free > got.Total {
		t.Errorf("with %d bytes in two blobs: %+v", 5000+s.LargeSize, got)
	}
	for i, ref := range []object.Ref{small, small, large} {
		if err := b.Delete(t.Context(), ref); err != nil {
			t.Fatal(err)
		}
		if got := space(); got.Blobs != 1-int64(i/2) {
			t.Errorf("after delete %d: %+v", i, got)
		}
	}
	if got := space(); got.Live != 0 {
		t.Errorf("all deleted: %+v", got)
	}
}

// testConcurrent has many writers and readers work at once against what each knows of its own blobs.
func testConcurrent(t *testing.T, s Suite, b object.Blobs) {
	var wg sync.WaitGroup
	for w := range 16 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(1, uint64(w)))
			mine := map[object.Ref][]byte{}
			for i := range 25 {
				n := r.IntN(10000)
				if i%10 == 9 {
					n = r.IntN(s.LargeSize / 2)
				}
				content := Content(uint64(w*100+i), n)
				size := int64(n)
				if i%3 == 0 {
					size = -1
				}
				ref, err := Put(t.Context(), b, content, size, 1+r.IntN(2*object.Block))
				if err != nil {
					t.Error(err)
					return
				}
				mine[ref] = content
				for ref, content := range mine { // one of them, by chance
					got, err := Get(t.Context(), b, ref)
					if err != nil || string(got) != string(content) {
						t.Errorf("%s: %d of %d bytes, %v", ref, len(got), len(content), err)
					}
					if i%4 == 0 {
						if err := b.Delete(t.Context(), ref); err != nil {
							t.Error(err)
						}
						delete(mine, ref)
					}
					break
				}
			}
			for ref, content := range mine {
				if got, err := Get(t.Context(), b, ref); err != nil || string(got) != string(content) {
					t.Errorf("%s at last: %d of %d bytes, %v", ref, len(got), len(content), err)
				}
			}
		})
	}
	wg.Wait()
}

func testCancelled(t *testing.T, s Suite, b object.Blobs) {
	ref := put(t, b, []byte("x"))
	over, cancel := context.WithCancel(t.Context())
	cancel()
	refuse := func(what string, err error) {
		t.Helper()
		if !fail.Is(err, fail.Canceled) {
			t.Errorf("%s of a cancelled request: %v", what, err)
		}
	}
	_, err := b.Create(over, 1)
	refuse("create", err)
	_, err = b.Open(over, ref)
	refuse("open", err)
	refuse("delete", b.Delete(over, ref))
	_, err = b.Verify(over, ref)
	refuse("verify", err)
	for _, err = range b.List(over) {
		break
	}
	refuse("list", err)
	for _, n := range []int{5000, s.LargeSize} {
		w, err := b.Create(t.Context(), int64(n))
		if err != nil {
			t.Fatal(err)
		}
		_, _ = w.Write(Content(1, n))
		_, err = w.Commit(over)
		refuse("commit", err)
		w.Abort()
	}
	if seen := list(t, b); len(seen) != 1 {
		t.Errorf("blobs after cancelled commits: %v", seen)
	}
	holds(t, b, ref, []byte("x"))
}

func testClosed(t *testing.T, _ Suite, b object.Blobs) {
	ref := put(t, b, []byte("x"))
	w, err := b.Create(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	refuse := func(what string, err error) {
		t.Helper()
		if !fail.Is(err, fail.Unavailable) {
			t.Errorf("%s after close: %v", what, err)
		}
	}
	if _, err = w.Write([]byte("x")); err == nil {
		_, err = w.Commit(t.Context())
	}
	refuse("commit", err)
	w.Abort()
	_, err = b.Create(t.Context(), 1)
	refuse("create", err)
	_, err = b.Open(t.Context(), ref)
	refuse("open", err)
	refuse("delete", b.Delete(t.Context(), ref))
	_, err = b.Verify(t.Context(), ref)
	refuse("verify", err)
	_, err = b.Space(t.Context())
	refuse("space", err)
	for _, err = range b.List(t.Context()) {
		break
	}
	refuse("list", err)
}

// testBounded writes and reads much more than it lets memory grow.
func testBounded(t *testing.T, s Suite, b object.Blobs) {
	if s.InMemory {
		t.Skip("this engine keeps everything in memory, as it says")
	}
	const writers, each, limit = 4, 24 << 20, 48 << 20
	piece := Content(1, object.Block)
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before, peak := heap(), uint64(0)
	var mu sync.Mutex
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() {
			w, err := b.Create(t.Context(), -1)
			if err != nil {
				t.Error(err)
				return
			}
			defer w.Abort()
			for n := 0; n < each; n += len(piece) {
				if _, err := w.Write(piece); err != nil {
					t.Error(err)
					return
				}
			}
			mu.Lock()
			peak = max(peak, heap())
			mu.Unlock()
			ref, err := w.Commit(t.Context())
			if err != nil {
				t.Error(err)
				return
			}
			r, err := b.Open(t.Context(), ref)
			if err != nil {
				t.Error(err)
				return
			}
			if n, err := io.Copy(io.Discard, io.NewSectionReader(r, 0, r.Size())); err != nil || n != r.Size() || n < each {
				t.Errorf("writer %d reads %d of %d: %v", i, n, r.Size(), err)
			}
			mu.Lock()
			peak = max(peak, heap())
			mu.Unlock()
			_ = r.Close()
			_ = b.Delete(t.Context(), ref)
		})
	}
	wg.Wait()
	if grown := int64(peak) - int64(before); grown > limit {
		t.Errorf("memory grew by %d MiB while %d MiB were written", grown>>20, writers*each>>20)
	}
}
