package wire

import (
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kind"
)

// MaxRows is the most rows that a list without a limit gives.
const MaxRows = 10_000

// Do sends one call through the door. edit fills in what is special about it; it may be nil. A change of whatever is
// there is tried again where somebody else changed the row meanwhile: clients change one user in several ways at once.
func (x *Exchange) Do(k *kind.Def, verb, target string, edit func(*call.Call)) (kind.AnyRow, error) {
	for try := 0; ; try++ {
		c := x.Call
		c.Kind, c.Verb, c.Target = k, verb, target
		if edit != nil {
			edit(&c)
		}
		r, err := x.API.Door.Do(x.R.Context(), &c)
		if !fail.Is(err, fail.Conflict) || verb != call.Update || c.IfRevision != 0 || try == 5 {
			return r.Row, err
		}
	}
}

// Get reads a row whose type is known.
func Get[S, T any](x *Exchange, t kind.Table[S, T], target string) (*kind.Row[S, T], error) {
	r, err := x.Do(t.D, call.Get, target, nil)
	if err != nil {
		return nil, err
	}
	return r.(*kind.Row[S, T]), nil
}

// Rows reads the rows of a domain ("" = the caller's) that fit, page by page through the door: those after f.After, at
// most f.Limit or, without a limit, MaxRows. more says that there are others.
func Rows[S, T any](x *Exchange, t kind.Table[S, T], domain string, f kind.Filter) (rows []*kind.Row[S, T], more bool, err error) {
	most := f.Limit
	if most <= 0 || most > MaxRows {
		most = MaxRows
	}
	for {
		c := x.Call
		c.Kind, c.Verb = t.D, call.List
		if domain != "" {
			c.Domain = domain
		}
		f.Limit = min(most-len(rows), call.MaxPage)
		c.Filter = f
		r, err := x.API.Door.Do(x.R.Context(), &c)
		if err != nil {
			return nil, false, err
		}
		for _, row := range r.Rows {
			rows = append(rows, row.(*kind.Row[S, T]))
		}
		if r.Next == "" || len(rows) >= most {
			return rows, r.Next != "", nil
		}
		f.After, f.Skip, f.Total = r.Next, 0, nil
	}
}
