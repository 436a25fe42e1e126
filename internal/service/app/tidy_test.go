package app

import (
	"bytes"
	"context"
	"io"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/store"
)

// aged is a depot of which only the times count.
type aged map[string]time.Time

func (a aged) Put(context.Context, string, io.Reader, int64) error { return nil }
func (a aged) Open(context.Context, string, int64) (io.ReadCloser, error) {
	return io.NopCloser(new(bytes.Reader)), nil
}
func (a aged) Stat(_ context.Context, key string) (int64, time.Time, error) { return 0, a[key], nil }
func (a aged) Has(_ store.Tx, key string) (bool, error)                     { return !a[key].IsZero(), nil }
func (a aged) List(context.Context, string, string, string) ([]string, []string, string, error) {
	return slices.Sorted(maps.Keys(a)), nil, "", nil
}
func (a aged) Move(context.Context, string, string) error { return nil }
func (a aged) Delete(_ context.Context, keys ...string) error {
	for _, k := range keys {
		delete(a, k)
	}
	return nil
}

// TestTidyUploads: what nothing is made from goes after a day, and all of a project that is gone at once.
func TestTidyUploads(t *testing.T) {
	now := time.Now()
	old, fresh := now.Add(-uploadLife-time.Minute), now.Add(-time.Minute)
	d := aged{"p/used": old, "p/unused": old, "p/fresh": fresh, "p/" + freshUpload + "cut": old, "gone/fresh": fresh}
	s := New(Deps{Now: func() time.Time { return now }})
	s.Uploads = func(id.ID) Depot { return d }
	if err := s.tidyUploads(t.Context(), map[string]bool{"p/used": true}, map[string]bool{"p": true}); err != nil {
		t.Fatal(err)
	}
	if left := slices.Sorted(maps.Keys(d)); !slices.Equal(left, []string{"p/fresh", "p/used"}) {
		t.Errorf("there is %v", left)
	}
}
