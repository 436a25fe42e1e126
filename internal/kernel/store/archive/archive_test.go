package archive_test

import (
	"bytes"
	"slices"
	"testing"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/kernel/store/archive"
)

// FuzzRead wants that whatever is accepted is exactly what Write makes of its records, and that refusals are public.
func FuzzRead(f *testing.F) {
	var good bytes.Buffer
	w := archive.NewWriter(f.Context(), &good, 7)
	for _, k := range []string{"a", "a/b", "\xff"} {
		if err := w.Put(k, []byte("value of "+k)); err != nil {
			f.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		f.Fatal(err)
	}
	f.Add(good.Bytes())
	f.Add(good.Bytes()[:20])
	f.Fuzz(func(t *testing.T, b []byte) {
		type record struct {
			key   string
			value []byte
		}
		var all []record
		rev, err := archive.Read(t.Context(), bytes.NewReader(b), func(k store.Key, v []byte) error {
			all = append(all, record{k, v})
			return nil
		})
		if err != nil {
			if !slices.Contains([]fail.Kind{fail.Invalid, fail.Unsupported}, fail.KindOf(err)) {
				t.Fatal(err)
			}
			return
		}
		var again bytes.Buffer
		w := archive.NewWriter(t.Context(), &again, rev)
		for _, r := range all {
			if err := w.Put(r.key, r.value); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil || !bytes.Equal(again.Bytes(), b) {
			t.Fatalf("accepted %x, which is written as %x (%v)", b, again.Bytes(), err)
		}
	})
}
