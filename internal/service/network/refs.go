package network

import (
	"context"
	"strings"

	"github.com/awancloud/awan/internal/kernel/event"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/ledger"
	"github.com/awancloud/awan/internal/kernel/store"
)

type (
	vpcRow       = kind.Row[VPCSpec, VPCStatus]
	subnetRow    = kind.Row[SubnetSpec, SubnetStatus]
	portRow      = kind.Row[PortSpec, PortStatus]
	groupRow     = kind.Row[GroupSpec, GroupStatus]
	ruleRow      = kind.Row[RuleSpec, RuleStatus]
	addressesRow = kind.Row[AddressGroupSpec, AddressGroupStatus]
	publicRow    = kind.Row[PublicIPSpec, PublicIPStatus]
	bandwidthRow = kind.Row[BandwidthSpec, BandwidthStatus]
	gatewayRow   = kind.Row[GatewaySpec, GatewayStatus]
	snatRow      = kind.Row[SNATSpec, SNATStatus]
	dnatRow      = kind.Row[DNATSpec, DNATStatus]
	peeringRow   = kind.Row[PeeringSpec, PeeringStatus]
	flowRow      = kind.Row[FlowLogSpec, FlowLogStatus]
)

// refer finds what a field names, by id or by a name that only one row of the project has.
func refer[S, T any](tx store.Tx, t kind.Table[S, T], of *kind.Meta, field, ref string) (*kind.Row[S, T], error) {
	row, err := t.Find(tx, string(of.Project), ref)
	if err != nil {
		e := fail.From(err)
		if e.Kind == fail.Conflict {
			e.Kind, e.Field = fail.Invalid, field
		}
		return nil, e
	}
	if row == nil || row.State == kind.Deleting {
		return nil, fail.Field(field, "there is no %s %q", t.D.Name, ref).Then("see awan %s list", t.D.Name)
	}
	return row, nil
}

// users lists what an index holds under a value.
func users[S, T any](tx store.Tx, t kind.Table[S, T], of *kind.Meta, index, value string, limit int) ([]*kind.Row[S, T], error) {
	return t.List(tx, string(of.Project), kind.Filter{Index: index, Value: value, Limit: limit})
}

// unused refuses when an index still holds something under a value, and says what.
func unused[S, T any](tx store.Tx, t kind.Table[S, T], of *kind.Meta, index, next string) error {
	rows, err := users(tx, t, of, index, string(of.ID), 1)
	if err != nil || len(rows) == 0 {
		return err
	}
	return fail.New(fail.Precondition, "%s %s still uses it", t.D.Name, called(&rows[0].Meta)).Then("%s", next)
}

// called is how people know a row: rows without a name of their own are known by their id.
func called(m *kind.Meta) string {
	if m.Name == "" || m.Name == string(m.ID) {
		return string(m.ID)
	}
	return m.Name + " (" + string(m.ID) + ")"
}

// child makes a row that comes with another, in the transaction of that: with its part of the quota, which it cannot exceed
// alone.
func child[S, T any](ctx context.Context, tx store.Tx, t kind.Table[S, T], of *kind.Meta, row *kind.Row[S, T]) error {
	row.Meta = kind.Meta{ID: row.ID, Kind: t.D.FullName(), Domain: of.Domain, Project: of.Project, EnterpriseProject: of.EnterpriseProject, Name: row.Name,
		State: kind.Active, Made: true, Generation: 1, Created: of.Updated, Updated: of.Updated, CreatedBy: ident.From(ctx).UserName}
	if row.Created.IsZero() {
		row.Created, row.Updated = of.Created, of.Created
	}
	if row.ID == "" {
		row.ID = id.New()
	}
	if row.Name == "" {
		row.Name = string(row.ID)
	}
	for dim, n := range t.D.QuotaOf(row) {
		if err := ledger.Reserve(tx, of.Project, dim, n, nil); err != nil {
			return err
		}
	}
	return t.Put(tx, row)
}

// orphan takes away a row that goes with another.
func orphan[S, T any](tx store.Tx, t kind.Table[S, T], row *kind.Row[S, T]) error {
	for dim, n := range t.D.QuotaOf(row) {
		if err := ledger.Reserve(tx, row.Project, dim, -n, nil); err != nil {
			return err
		}
	}
	if err := event.Forget(tx, row.ID); err != nil {
		return err
	}
	return t.Remove(tx, row)
}

func one[S any](dim ledger.Dim) map[ledger.Dim]func(S) int64 {
	return map[ledger.Dim]func(S) int64{dim: func(S) int64 { return 1 }}
}

// some gives the values that are not empty: indexes hold nothing under none.
func some(values ...string) []string {
	var out []string
	for _, v := range values {
		if v != "" {
			out = append(out, v)
		}
	}
	return out
}

// lower is a name as clients compare it.
func lower(s string) string { return strings.ToLower(strings.TrimSpace(s)) }
