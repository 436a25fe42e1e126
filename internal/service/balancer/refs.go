package balancer

import (
	"net/netip"
	"strings"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
)

// refer turns the name or id in a field into the id, and gives the row.
func refer[S, T any](tx store.Tx, t kind.Table[S, T], of *kind.Meta, field string, ref *string) (*kind.Row[S, T], error) {
	r, err := t.Find(tx, string(of.Project), *ref)
	if err != nil {
		return nil, err
	}
	if r == nil || r.State == kind.Deleting {
		return nil, fail.Field(field, "there is no %s %q", t.D.Name, *ref).Then("see awan %s list", t.D.Name)
	}
	*ref = string(r.ID)
	return r, nil
}

// maybe is refer for fields that may be empty.
func maybe[S, T any](tx store.Tx, t kind.Table[S, T], of *kind.Meta, field string, ref *string) (*kind.Row[S, T], error) {
	if *ref == "" {
		return nil, nil
	}
	return refer(tx, t, of, field, ref)
}

// users are the rows that an index holds under a row's id.
func users[S, T any](tx store.Tx, t kind.Table[S, T], of *kind.Meta, index string) ([]*kind.Row[S, T], error) {
	return t.List(tx, string(of.Project), kind.Filter{Index: index, Value: string(of.ID)})
}

// unused refuses to delete a row that others of a kind need.
func unused[S, T any](tx store.Tx, t kind.Table[S, T], of *kind.Meta, index string) error {
	rows, err := users(tx, t, of, index)
	if err != nil || len(rows) == 0 {
		return err
	}
	return fail.New(fail.Precondition, "the %s %s (%s) needs it", t.D.Name, rows[0].Name, rows[0].ID).Then("delete or change that first")
}

func prefix(field, text string) (netip.Prefix, error) {
	if p, err := netip.ParsePrefix(text); err == nil {
		return p.Masked(), nil
	}
	a, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Prefix{}, fail.Field(field, "%q is neither an address nor a network", text).Then("write 192.0.2.7 or 192.0.2.0/24")
	}
	return netip.PrefixFrom(a, a.BitLen()), nil
}

// fits tells whether a pool's protocol may be behind a listener's.
func fits(listener, pool string) bool {
	switch listener {
	case "http", "https":
		return pool == "http" || pool == "https"
	case "tls":
		return pool == "tcp"
	}
	return listener == pool
}

func oneLine(s string) bool { return !strings.ContainsAny(s, "\r\n\x00") }
