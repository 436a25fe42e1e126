package call

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/awancloud/awan/internal/kernel/event"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/ledger"
	"github.com/awancloud/awan/internal/kernel/store"
)

// MaxPage is the most rows a page holds; DefaultPage what it holds when the caller does not say.
const (
	MaxPage     = 1000
	DefaultPage = 100
)

func (d *Door) list(ctx context.Context, c *Call) (Reply, error) {
	var r Reply
	if c.Filter.Limit <= 0 {
		c.Filter.Limit = DefaultPage
	}
	if c.Filter.Limit > MaxPage {
		return r, fail.Field("limit", "%d is too large; the most is %d", c.Filter.Limit, MaxPage).Then("follow the marker for more")
	}
	var s scope
	err := d.Store.View(ctx, func(tx store.Tx) (err error) {
		if s, err = d.scope(tx, c); err != nil {
			return err
		}
		if err = d.listable(tx, c, s); err != nil {
			return err
		}
		if c.Kind.Scope == kind.InCloud && !c.Kind.Public && !c.Principal.Cloud() {
			where := c.Filter.Where
			seen, err := d.Ident.Visited(tx, c.Principal)
			if err != nil {
				return err
			}
			seen = append(seen, c.Principal.Domain)
			c.Filter.Where = func(row kind.AnyRow) bool {
				return slices.Contains(seen, row.M().ID) && (where == nil || where(row))
			}
		}
		c.Filter.Shared = true
		if r.Rows, r.Next, err = c.Kind.List(tx, c.Kind.ScopeKey(s.domain, s.project), c.Filter); err != nil {
			return err
		}
		return completed(tx, c.Kind, r.Rows...)
	})
	if err != nil {
		return Reply{}, d.refused(ctx, c, s, err)
	}
	for i, row := range r.Rows {
		r.Rows[i] = c.Kind.Redacted(row)
	}
	return r, nil
}

// listable asks whether the caller may list, and narrows the list to the enterprise projects that it may see where it may
// not see all.
func (d *Door) listable(tx store.Tx, c *Call, s scope) error {
	if f := &c.Filter; f.Enterprise != "" {
		ep, err := d.Ident.Kinds.FindEnterpriseProject(tx, s.domain, "enterprise_project", f.Enterprise)
		if err != nil {
			return err
		}
		f.Enterprise = shown(ep)
	}
	_, err := d.allowed(tx, c, s, "*", nil)
	if !fail.Is(err, fail.Denied) {
		return err
	}
	some, gerr := d.granted(tx, c, s)
	if gerr != nil {
		return gerr
	}
	if len(some) == 0 {
		return err
	}
	where := c.Filter.Where
	c.Filter.Where = func(row kind.AnyRow) bool {
		return slices.Contains(some, shown(row.M().EnterpriseProject)) && (where == nil || where(row))
	}
	return nil
}

// row resolves scope, target and permission for a verb on one row.
func (d *Door) row(tx store.Tx, c *Call) (s scope, row kind.AnyRow, why string, err error) {
	if s, err = d.scope(tx, c); err != nil {
		return s, nil, "", err
	}
	row, err = d.find(tx, c, s)
	if err != nil {
		if _, derr := d.allowed(tx, c, s, "*", nil); derr != nil {
			return s, nil, "", derr // who may do nothing here learns nothing of what there is
		}
		return s, nil, "", err
	}
	why, err = d.allowed(tx, c, s, row.M().Name, row)
	return s, row, why, err
}

// completed fills in what the kind keeps elsewhere than in its rows.
func completed(tx store.Tx, k *kind.Def, rows ...kind.AnyRow) error {
	if k.Shown == nil {
		return nil
	}
	for _, row := range rows {
		if err := k.Shown(tx, row); err != nil {
			return err
		}
	}
	return nil
}

func (d *Door) get(ctx context.Context, c *Call) (Reply, error) {
	var r Reply
	var s scope
	err := d.Store.View(ctx, func(tx store.Tx) (err error) {
		if s, r.Row, _, err = d.row(tx, c); err != nil {
			return err
		}
		return completed(tx, c.Kind, r.Row)
	})
	if err != nil {
		return Reply{}, d.refused(ctx, c, s, err)
	}
	r.Row = c.Kind.Redacted(r.Row)
	return r, nil
}

func (d *Door) events(ctx context.Context, c *Call) (Reply, error) {
	var r Reply
	var s scope
	err := d.Store.View(ctx, func(tx store.Tx) (err error) {
		var row kind.AnyRow
		if s, row, _, err = d.row(tx, c); err != nil {
			return err
		}
		n := c.Filter.Limit
		if n <= 0 {
			n = DefaultPage
		}
		r.Events, err = event.Of(tx, row.M().ID, n)
		return err
	})
	if err != nil {
		return Reply{}, d.refused(ctx, c, s, err)
	}
	return r, nil
}

// Change is one line of a watch.
type Change struct {
	Type string      `json:"type"` // "row" or "deleted"
	Row  kind.AnyRow `json:"row,omitempty"`
	ID   string      `json:"id,omitempty"` // of a deleted row
}

// watch emits the rows there are, then every change, until ctx ends. With a target it follows that row only.
func (d *Door) watch(ctx context.Context, c *Call) error {
	var s scope
	var rows []kind.AnyRow
	var rev store.Rev
	err := d.Store.View(ctx, func(tx store.Tx) (err error) {
		if s, err = d.scope(tx, c); err != nil {
			return err
		}
		if _, err = d.allowed(tx, c, s, "*", nil); err != nil {
			return err
		}
		rev = tx.Rev()
		if c.Target != "" {
			row, err := d.find(tx, c, s)
			rows = []kind.AnyRow{row}
			return err
		}
		c.Filter.Limit = 0
		rows, _, err = c.Kind.List(tx, c.Kind.ScopeKey(s.domain, s.project), c.Filter)
		return err
	})
	if err != nil {
		return d.refused(ctx, c, s, err)
	}
	if c.Kind.Scope == kind.InCloud && !c.Principal.Cloud() {
		return fail.New(fail.Denied, "only an operator of the cloud may watch %s", c.Kind.Plural)
	}
	prefix := c.Kind.Prefix(c.Kind.ScopeKey(s.domain, s.project))
	for _, row := range rows {
		if err := c.Stream.Emit(Change{Type: "row", Row: c.Kind.Redacted(row)}); err != nil {
			return err
		}
	}
	if c.Target != "" {
		prefix += string(rows[0].M().ID)
	}
	for ch, err := range d.Store.Watch(ctx, prefix, rev) {
		if err != nil {
			return err
		}
		line := Change{Type: "deleted", ID: ch.Key[len(ch.Key)-32:]}
		if !ch.Deleted {
			row, err := c.Kind.Decode(ch.Value)
			if err != nil {
				return err
			}
			line = Change{Type: "row", Row: c.Kind.Redacted(row)}
		}
		if err := c.Stream.Emit(line); err != nil {
			return err
		}
	}
	return nil
}

// serve runs a streaming action. Writing ones are audited before the first byte, so that a session that is still open
// is in the log already.
func (d *Door) serve(ctx context.Context, c *Call, a *kind.AnyAction) error {
	var s scope
	var row kind.AnyRow
	var why string
	err := d.Store.View(ctx, func(tx store.Tx) (err error) {
		if !a.Collection {
			s, row, why, err = d.row(tx, c)
			return err
		}
		if s, err = d.scope(tx, c); err != nil {
			return err
		}
		why, err = d.allowed(tx, c, s, "*", nil)
		return err
	})
	if err != nil {
		return d.refused(ctx, c, s, err)
	}
	in, err := decodeIn(a, c.In)
	if err != nil {
		return err
	}
	c.Stream.Meta = kind.Meta{Domain: s.domain, Project: s.project, CreatedBy: c.Principal.UserName}
	if a.Level != kind.Write && a.Level != kind.Admin {
		return a.Serve(ctx, row, in, c.Stream)
	}
	e := d.entry(c, s)
	e.Outcome, e.Reason = ledger.Begun, why
	if row != nil {
		e.Row, e.Name = row.M().ID, row.M().Name
	}
	if err := d.Record(ctx, *e); err != nil {
		return fail.Wrap(err, fail.Unavailable, "the audit log cannot be written, so nothing is done")
	}
	err = a.Serve(ctx, row, in, c.Stream)
	outcome, reason := ledger.Succeeded, ""
	if err != nil {
		outcome, reason = ledger.Failed, fail.From(err).Public()
	}
	_, aerr := d.Store.Update(context.WithoutCancel(ctx), func(tx store.Tx) error {
		return ledger.End(tx, e.Domain, e.ID, d.now(), outcome, reason)
	})
	if err == nil {
		err = aerr
	}
	return err
}

func decodeIn(a *kind.AnyAction, raw json.RawMessage) (any, error) {
	if a.NewIn == nil {
		return nil, nil
	}
	in := a.NewIn()
	kind.SetDefaults(in, a.In)
	if err := kind.DecodeStrict(raw, in, "", a.In); err != nil {
		return nil, err
	}
	kind.FillDefaults(in, a.In)
	return in, kind.Validate(in, "", a.In)
}
