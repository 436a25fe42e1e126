package kind_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/kernel/store/mem"
)

// A page in the middle is found by a number, and how many rows there are is told with it, whether or not rows have to be read
// for that.
func TestPagesThatAreCounted(t *testing.T) {
	type none struct{}
	table := kind.TableOf[none, none](kind.Kind[none, none]{Service: "s", Name: "thing", Scope: kind.InProject, AnyName: true}.Def())
	s := mem.New()
	for i := range 20 {
		_, err := s.Update(context.Background(), func(tx store.Tx) error {
			m := kind.Meta{ID: id.New(), Project: "p", Name: fmt.Sprintf("r%02d", i), State: kind.Active}
			switch {
			case i%5 == 4:
				m.State = kind.Trashed
			case i%5 == 0: // what looks like a state and is none
				m.Tags = map[string]string{"state": "trashed", "a": `"state":"trashed"`}
			}
			return table.Put(tx, &kind.Row[none, none]{Meta: m})
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	names := func(f kind.Filter) (out []string) {
		err := s.View(context.Background(), func(tx store.Tx) error {
			rows, err := table.List(tx, "p", f)
			for _, r := range rows {
				out = append(out, r.Name)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	even := func(r kind.AnyRow) bool { return (r.M().Name[2]-'0')%2 == 0 }
	for _, tc := range []struct {
		f     kind.Filter
		want  []string
		total int
	}{
		{kind.Filter{Skip: 4, Limit: 3}, []string{"r05", "r06", "r07"}, 16},
		{kind.Filter{Skip: 4, Limit: 3, Name: "r"}, []string{"r05", "r06", "r07"}, 16},
		{kind.Filter{Skip: 15, Limit: 3}, []string{"r18"}, 16},
		{kind.Filter{Skip: 16, Limit: 3}, nil, 16},
		{kind.Filter{Skip: 1, Limit: 1, State: kind.Trashed}, []string{"r09"}, 4},
		{kind.Filter{Skip: 2, Limit: 2, Where: even}, []string{"r06", "r08"}, 8},
	} {
		total := 0
		f := tc.f
		f.Total = &total
		if got := names(f); !slices.Equal(got, tc.want) || total != tc.total {
			t.Errorf("%+v: %v of %d, want %v of %d", tc.f, got, total, tc.want, tc.total)
		}
		if got := names(tc.f); !slices.Equal(got, tc.want) {
			t.Errorf("%+v, not counted: %v, want %v", tc.f, got, tc.want)
		}
	}
}
