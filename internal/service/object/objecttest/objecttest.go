// Package objecttest is the contract of object.Blobs as a test suite: every engine runs it.
package objecttest

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/service/object"
)

// Suite says how to get an engine, and what it need not do.
type Suite struct {
	Open      func(t testing.TB) object.Blobs // an empty one; the suite closes it
	InMemory  bool                            // keeps everything in memory: memory is not measured
	LargeSize int                             // the largest blob of the tests; 5 MiB and a bit when 0
}

// Run runs the whole contract.
func (s Suite) Run(t *testing.T) {
	if s.LargeSize == 0 {
		s.LargeSize = 5<<20 + 12345
	}
	for _, c := range []struct {
		name string
		test func(*testing.T, Suite, object.Blobs)
	}{
		{"Sizes", testSizes}, {"Ranges", testRanges}, {"Absent", testAbsent}, {"Abort", testAbort}, {"Ended", testEnded},
		{"WrongSize", testWrongSize}, {"Delete", testDelete}, {"DeleteWhileOpen", testDeleteWhileOpen}, {"List", testList},
		{"Space", testSpace}, {"Concurrent", testConcurrent}, {"Cancelled", testCancelled}, {"Closed", testClosed},
		{"Bounded", testBounded},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := s.Open(t)
			c.test(t, s, b)
			if err := b.Close(); err != nil {
				t.Error("close:", err)
			}
		})
	}
}

// Content is size bytes that differ from place to place and from seed to seed.
func Content(seed uint64, size int) []byte {
	r := rand.New(rand.NewPCG(seed, uint64(size)))
	b := make([]byte, size+7)
	for i := 0; i < size; i += 8 {
		binary.LittleEndian.PutUint64(b[i:], r.Uint64())
	}
	return b[:size]
}

// Put writes content in pieces of about step bytes and commits it.
func Put(ctx context.Context, b object.Blobs, content []byte, size int64, step int) (object.Ref, error) {
	w, err := b.Create(ctx, size)
	if err != nil {
		return "", err
	}
	defer w.Abort()
	for part := range slices.Chunk(content, step) {
		if n, err := w.Write(part); err != nil || n != len(part) {
			return "", err
		}
	}
	return w.Commit(ctx)
}

// Get reads all of a blob.
func Get(ctx context.Context, b object.Blobs, ref object.Ref) ([]byte, error) {
	r, err := b.Open(ctx, ref)
	if err != nil {
		return nil, err
	}
	got, err := io.ReadAll(io.NewSectionReader(r, 0, r.Size()))
	if e := r.Close(); err == nil {
		err = e
	}
	return got, err
}

func put(t *testing.T, b object.Blobs, content []byte) object.Ref {
	t.Helper()
	ref, err := Put(t.Context(), b, content, int64(len(content)), object.Block)
	if err != nil {
		t.Fatal("put:", err)
	}
	return ref
}

// holds wants ref to be there with content.
func holds(t *testing.T, b object.Blobs, ref object.Ref, content []byte) {
	t.Helper()
	got, err := Get(t.Context(), b, ref)
	if err != nil || !bytes.Equal(got, content) {
		t.Fatalf("%s: got %d bytes, %v; want the %d that were written", ref, len(got), err, len(content))
	}
}

// gone wants ref to be absent.
func gone(t *testing.T, b object.Blobs, ref object.Ref) {
	t.Helper()
	if r, err := b.Open(t.Context(), ref); !fail.Is(err, fail.NotFound) {
		t.Errorf("%s: opening an absent blob gives %v, %v", ref, r, err)
	}
	if _, err := b.Verify(t.Context(), ref); !fail.Is(err, fail.NotFound) {
		t.Errorf("%s: verifying an absent blob gives %v", ref, err)
	}
	if err := b.Delete(t.Context(), ref); err != nil {
		t.Errorf("%s: deleting an absent blob gives %v", ref, err)
	}
}

// list gives what List shows, by reference.
func list(t *testing.T, b object.Blobs) map[object.Ref]object.Info {
	t.Helper()
	seen := map[object.Ref]object.Info{}
	for i, err := range b.List(t.Context()) {
		if err != nil {
			t.Fatal("list:", err)
		}
		if _, twice := seen[i.Ref]; twice {
			t.Errorf("list shows %s twice", i.Ref)
		}
		seen[i.Ref] = i
	}
	return seen
}
