package ledger

import (
	"fmt"
	"testing"
	"time"

	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/kernel/store/mem"
)

// TestSearchPages reads a log that spans years page by page: every entry once, newest first.
func TestSearchPages(t *testing.T) {
	s := mem.New()
	defer s.Close()
	now := time.Now()
	const n = 300
	ago := func(i int) time.Duration { return time.Duration(i*i*i) * time.Minute } // of the newest 0, of the oldest 50 years
	_, err := s.Update(t.Context(), func(tx store.Tx) error {
		for i := range n {
			at := now.Add(-ago(i))
			e := Entry{ID: id.At(at)[:20] + id.New()[20:], At: at, Domain: "d", Action: "app:component:create", Name: fmt.Sprint(i)}
			if err := Record(tx, &e); err != nil {
				return err
			}
		}
		return Record(tx, &Entry{Domain: "other", Action: "app:component:create", Name: "not ours"})
	})
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name  string
		q     Query
		first int
		count int
	}{
		{"all", Query{Limit: 7}, 0, n},
		{"one page", Query{Limit: n}, 0, n},
		{"the newest", Query{Limit: 100, Since: now.Add(-ago(10) - time.Second)}, 0, 11},
		{"the oldest", Query{Limit: 100, Until: now.Add(-ago(290))}, 290, 10},
		{"by name", Query{Limit: 1, Resource: "250"}, 250, 1},
		{"none", Query{Limit: 3, Resource: "not ours"}, 0, 0},
	}
	for _, c := range tests {
		t.Run(c.name, func(t *testing.T) {
			c.q.Domain = "d"
			next, got := c.first, 0
			for more := true; more; {
				err := s.View(t.Context(), func(tx store.Tx) error {
					page, marker, err := Search(tx, c.q)
					for _, e := range page {
						if e.Name != fmt.Sprint(next) {
							t.Fatalf("entry %s, want %d", e.Name, next)
						}
						next++
					}
					got += len(page)
					c.q.Before, more = marker, marker != ""
					return err
				})
				if err != nil {
					t.Fatal(err)
				}
			}
			if got != c.count {
				t.Errorf("%d entries, want %d", got, c.count)
			}
		})
	}
}

// TestSearchInABurst pages through more entries than one look takes, made within moments.
func TestSearchInABurst(t *testing.T) {
	s := mem.New()
	defer s.Close()
	const n = 3*manyKeys + 7
	_, err := s.Update(t.Context(), func(tx store.Tx) error {
		for i := range n {
			if err := Record(tx, &Entry{At: time.Now(), Domain: "d", Name: fmt.Sprint(i)}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	q := Query{Domain: "d", Limit: 700}
	next := n
	for more := true; more; {
		err := s.View(t.Context(), func(tx store.Tx) error {
			page, marker, err := Search(tx, q)
			for _, e := range page {
				if next--; e.Name != fmt.Sprint(next) {
					t.Fatalf("entry %s, want %d", e.Name, next)
				}
			}
			q.Before, more = marker, marker != ""
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if next != 0 {
		t.Errorf("%d entries were not seen", next)
	}
}
