package native

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
)

// namedAnswer is answer with the names of what the rows refer to by id, as far as the caller may see it: for people, who
// know nothing by its id.
func (a *API) namedAnswer(ctx context.Context, w http.ResponseWriter, c *call.Call, r call.Reply) error {
	n := namer{a: a, c: c, names: map[string]string{}, may: map[string]bool{}}
	rows := r.Rows
	if r.Row != nil {
		rows = append(rows, r.Row)
	}
	err := a.Door.Store.View(ctx, func(tx store.Tx) error {
		for _, row := range rows {
			b, err := json.Marshal(row)
			if err != nil {
				return err
			}
			var doc struct{ Spec map[string]any }
			if json.Unmarshal(b, &doc) != nil {
				continue // a row whose spec is no object refers to nothing
			}
			if err := n.walk(tx, c.Kind.Spec, doc.Spec); err != nil {
				return err
			}
		}
		return tx.ScanErr()
	})
	if err != nil {
		return err
	}
	return answerWith(w, c, r, n.names)
}

type namer struct {
	a     *API
	c     *call.Call
	names map[string]string
	may   map[string]bool // by kind
}

func (n *namer) walk(tx store.Tx, fields []kind.Field, spec map[string]any) error {
	for _, f := range fields {
		var values []any
		ref := f.Ref
		switch v := spec[f.Name].(type) {
		case string:
			values = []any{v}
		case []any:
			values = v
			if ref == "" && f.Item != nil {
				ref = f.Item.Ref
			}
		case map[string]any:
			if err := n.walk(tx, f.Fields, v); err != nil {
				return err
			}
		}
		for _, v := range values {
			if m, ok := v.(map[string]any); ok && f.Item != nil {
				if err := n.walk(tx, f.Item.Fields, m); err != nil {
					return err
				}
			}
			if s, ok := v.(string); ok && ref != "" {
				if err := n.look(tx, ref, s); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (n *namer) look(tx store.Tx, ref, value string) error {
	at, ok := id.Parse(value)
	if !ok || n.names[value] != "" {
		return nil
	}
	for _, k := range n.a.Door.Kin(ref) {
		if !n.mayGet(tx, k) {
			continue
		}
		row, err := k.Get(tx, at)
		if err != nil {
			return err
		}
		if row == nil {
			continue
		}
		if m := row.M(); m.Domain == n.c.Principal.Domain || m.ID == n.c.Principal.Domain || n.c.Principal.Cloud() || k.Scope == kind.InCloud && k.Public {
			n.names[value] = m.Name
		}
		return nil
	}
	return nil
}

func (n *namer) mayGet(tx store.Tx, k *kind.Def) bool {
	may, asked := n.may[k.FullName()]
	if !asked {
		p := n.c.Principal
		may = n.a.Door.Ident.May(tx, p, k.Action(call.Get), k.Resource(n.a.Door.Region, p.Domain, "*"), p.Domain, p.Project)
		n.may[k.FullName()] = may
	}
	return may
}
