package kind_test

import (
	"context"
	"testing"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/kernel/store/mem"
)

// A name that may repeat finds its row while only one has it, and follows a rename.
func TestRepeatedNames(t *testing.T) {
	type none struct{}
	table := kind.TableOf[none, none](kind.Kind[none, none]{Service: "s", Name: "thing", Scope: kind.InProject, AnyName: true}.Def())
	s := mem.New()
	find := func(name string) (got *kind.Row[none, none], err error) {
		_ = s.View(context.Background(), func(tx store.Tx) error {
			got, err = table.Find(tx, "p", name)
			return nil
		})
		return got, err
	}
	put := func(row id.ID, name string) {
		t.Helper()
		_, err := s.Update(context.Background(), func(tx store.Tx) error {
			return table.Put(tx, &kind.Row[none, none]{Meta: kind.Meta{ID: row, Project: "p", Name: name, State: kind.Active}})
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	one, two := id.New(), id.New()
	put(one, "web/1")
	if r, err := find("web/1"); err != nil || r == nil || r.ID != one {
		t.Fatalf("got %v, %v", r, err)
	}
	put(two, "web/1")
	if _, err := find("web/1"); !fail.Is(err, fail.Conflict) {
		t.Fatalf("two have the name: got %v", err)
	}
	put(two, "web/2")
	if r, err := find("web/1"); err != nil || r.ID != one {
		t.Fatalf("after the rename: got %v, %v", r, err)
	}
	if r, err := find(string(two)); err != nil || r.ID != two {
		t.Fatalf("by id: got %v, %v", r, err)
	}
	if r, err := find(""); r != nil || err != nil {
		t.Fatalf("no name: got %v, %v", r, err)
	}
	if r, err := find("web"); r != nil || err != nil {
		t.Fatalf("nobody has it: got %v, %v", r, err)
	}
}
