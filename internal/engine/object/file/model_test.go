package file_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/service/object"
	"github.com/awancloud/awan/internal/service/object/objecttest"
)

// model is what must be there: blobs whose commit was acknowledged, and those of which a delete was asked for, which may
// be there or not. Contents say themselves what they should be.
type model struct {
	mu    sync.Mutex
	must  map[object.Ref]string // contents' names
	may   map[object.Ref]string
	puts  int
	bytes int64
}

func newModel() *model {
	return &model{must: map[object.Ref]string{}, may: map[object.Ref]string{}}
}

// content is size bytes, of which the first 16 tell the rest.
func content(seed uint64, size int) []byte {
	b := objecttest.Content(seed, size)
	if size >= 16 {
		binary.LittleEndian.PutUint64(b, seed)
		binary.LittleEndian.PutUint64(b[8:], uint64(size))
	}
	return b
}

// whole reports whether b is as it was written: all of it.
func whole(b []byte) bool {
	if len(b) < 16 {
		return true
	}
	return binary.LittleEndian.Uint64(b[8:]) == uint64(len(b)) && bytes.Equal(b, content(binary.LittleEndian.Uint64(b), len(b)))
}

func name(b []byte) string { return fmt.Sprintf("%d %.16x", len(b), b) }

// work does random things until ops are done or the engine fails; then it says so.
func (m *model) work(ctx context.Context, b object.Blobs, r *rand.Rand, ops int, largest int) error {
	for range ops {
		switch r.IntN(10) {
		case 0, 1, 2:
			ref, want, ok := m.pick(r, true)
			if !ok {
				continue
			}
			if err := b.Delete(ctx, ref); err != nil {
				return err
			}
			_ = want
		case 3, 4:
			m.mu.Lock()
			var ref object.Ref
			var want string
			for ref, want = range m.must {
				break
			}
			m.mu.Unlock()
			if ref == "" {
				continue
			}
			got, err := objecttest.Get(ctx, b, ref)
			m.mu.Lock()
			_, still := m.must[ref]
			m.mu.Unlock()
			if err != nil {
				if fail.Is(err, fail.NotFound) && !still {
					continue
				}
				return fmt.Errorf("reading %s: %w", ref, err)
			}
			if !whole(got) || name(got) != want {
				return fmt.Errorf("wrong bytes: %s is %s, want %s", ref, name(got), want)
			}
		default:
			size := r.IntN(6000)
			switch r.IntN(12) {
			case 0:
				size = r.IntN(largest)
			case 1:
				size = r.IntN(40)
			}
			c := content(r.Uint64(), size)
			announced := int64(size)
			if r.IntN(3) == 0 {
				announced = -1
			}
			ref, err := objecttest.Put(ctx, b, c, announced, 1+r.IntN(100_000))
			if fail.Is(err, fail.NoSpace) {
				continue
			}
			if err != nil {
				return err
			}
			m.mu.Lock()
			if _, twice := m.must[ref]; twice {
				err = fmt.Errorf("the reference %s was given twice", ref)
			}
			m.must[ref] = name(c)
			m.puts++
			m.bytes += int64(size)
			m.mu.Unlock()
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// pick takes a blob that must be there, which may be deleted from then on.
func (m *model) pick(_ *rand.Rand, forDelete bool) (object.Ref, string, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for ref, want := range m.must {
		if forDelete {
			delete(m.must, ref)
			m.may[ref] = want
		}
		return ref, want, true
	}
	return "", "", false
}

// check compares an engine with the model, and takes over what it shows beyond: from now on that must stay.
func (m *model) check(t *testing.T, b object.Blobs) {
	t.Helper()
	for ref, want := range m.must {
		got, err := objecttest.Get(t.Context(), b, ref)
		if err != nil || name(got) != want || !whole(got) {
			t.Fatalf("%s was acknowledged as %s and is %s, %v", ref, want, name(got), err)
		}
		if n, err := b.Verify(t.Context(), ref); err != nil {
			t.Fatalf("verifying %s: %d repaired, %v", ref, n, err)
		}
	}
	shown := map[object.Ref]bool{}
	var live int64
	for i, err := range b.List(t.Context()) {
		if err != nil {
			t.Fatal("list:", err)
		}
		got, err := objecttest.Get(t.Context(), b, i.Ref)
		if err != nil || int64(len(got)) != i.Size || !whole(got) {
			t.Fatalf("%s is listed with %d bytes and is %s, %v", i.Ref, i.Size, name(got), err)
		}
		if want, ok := m.may[i.Ref]; ok && want != name(got) {
			t.Fatalf("%s was deleted as %s and came back as %s", i.Ref, want, name(got))
		}
		delete(m.may, i.Ref)
		m.must[i.Ref] = name(got)
		shown[i.Ref] = true
		live += i.Size
	}
	for ref := range m.must {
		if !shown[ref] {
			t.Fatalf("%s is not listed", ref)
		}
	}
	for ref := range m.may {
		if _, err := b.Open(t.Context(), ref); !fail.Is(err, fail.NotFound) {
			t.Fatalf("%s is not listed, and opening it gives %v", ref, err)
		}
	}
	clear(m.may)
	if s, err := b.Space(t.Context()); err != nil || s.Blobs != int64(len(m.must)) || s.Live != live {
		t.Fatalf("space says %+v, %v; there are %d blobs of %d bytes", s, err, len(m.must), live)
	}
}
