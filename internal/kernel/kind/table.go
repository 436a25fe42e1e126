package kind

import (
	"cmp"
	"encoding/json"
	"reflect"
	"slices"
	"strings"

	jsonv1 "github.com/go-json-experiment/json/v1" // the same meaning as encoding/json, in half the time

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/store"
)

// Keys of a kind's rows:
//
//	row/<service/kind>/<scope>/<id>             the row as JSON
//	rowscope/<service/kind>/<id>                its scope
//	rowname/<service/kind>/<scope>/<name>       its id, for names that must not repeat
//	rowindex/<service/kind>/<index>/<scope>/<value>/<id>
//
// Names that may repeat are in the index "@name" instead.
//
// The scope is the project's or domain's id, or "-" for the cloud.

// ScopeOf is the scope part of a row's keys.
func (d *Desc) ScopeOf(m *Meta) string { return d.ScopeKey(m.Domain, m.Project) }

// ScopeKey is the scope part of keys for rows of this domain and project.
func (d *Desc) ScopeKey(domain, project id.ID) string {
	switch d.Scope {
	case InProject:
		return string(project)
	case InDomain:
		return string(domain)
	}
	return "-"
}

// Prefix is the key prefix of all rows in a scope; of all rows when scope is "".
func (d *Desc) Prefix(scope string) string {
	if scope == "" {
		return "row/" + d.FullName() + "/"
	}
	return "row/" + d.FullName() + "/" + scope + "/"
}

// NamePrefix is the key prefix under which names lead to ids: it changes when rows come, go, or are renamed.
func (d *Desc) NamePrefix() string { return "rowname/" + d.FullName() + "/" }

func (d *Desc) key(scope string, row id.ID) string { return d.Prefix(scope) + string(row) }
func (d *Desc) scopeKey(row id.ID) string          { return "rowscope/" + d.FullName() + "/" + string(row) }
func (d *Desc) nameKey(scope, name string) string {
	return d.NamePrefix() + scope + "/" + name
}
func (d *Desc) indexPrefix(index, scope, value string) string {
	return "rowindex/" + d.FullName() + "/" + index + "/" + scope + "/" + escape(value) + "/"
}

var escapes = strings.NewReplacer("%", "%25", "/", "%2F")

func escape(v string) string { return escapes.Replace(v) }

// Get reads a row by id, in whatever scope; nil when there is none.
func (d *Def) Get(tx store.Tx, row id.ID) (AnyRow, error) {
	scope, ok, err := tx.Get(d.scopeKey(row))
	if err != nil || !ok {
		return nil, err
	}
	return d.read(tx, d.key(string(scope), row))
}

// Find reads a row of a scope by id or by name; nil when there is none in that scope.
func (d *Def) Find(tx store.Tx, scope, idOrName string) (AnyRow, error) {
	if row, ok := id.Parse(idOrName); ok {
		if r, err := d.read(tx, d.key(scope, row)); r != nil || err != nil {
			return r, err
		}
	}
	if d.AnyName {
		return d.onlyOne(tx, scope, idOrName)
	}
	row, ok, err := tx.Get(d.nameKey(scope, idOrName))
	if err != nil || !ok {
		return nil, err
	}
	return d.read(tx, d.key(scope, id.ID(row)))
}

// onlyOne reads the row of a name that may repeat; it is an error when it does.
func (d *Def) onlyOne(tx store.Tx, scope, name string) (AnyRow, error) {
	if name == "" { // which a filter would take for "any"
		return nil, nil
	}
	rows, _, err := d.List(tx, scope, Filter{Exact: name, Limit: 2})
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	if len(rows) > 1 {
		return nil, fail.New(fail.Conflict, "more than one %s is called %s", d.Name, name).Then("say its id: awan %s list", d.Name)
	}
	return rows[0], nil
}

func (d *Def) read(tx store.Tx, key string) (AnyRow, error) {
	b, ok, err := tx.Get(key)
	if err != nil || !ok {
		return nil, err
	}
	r, err := d.decoded.row(d, key, b)
	if err != nil {
		return nil, err
	}
	deepen(reflect.ValueOf(r).Elem())
	return r, nil
}

// Decode reads a stored row.
func (d *Def) Decode(b []byte) (AnyRow, error) {
	r := d.New()
	if err := jsonv1.Unmarshal(b, r); err != nil {
		return nil, fail.Wrap(err, fail.Internal, "a stored %s cannot be read", d.FullName())
	}
	return r, nil
}

func (d *Def) decode(key store.Key, b []byte, shared bool) (AnyRow, error) {
	if shared {
		return d.decoded.row(d, key, b)
	}
	return d.Decode(b)
}

// Put stores row and keeps its name and indexes right; old is the row as it was stored, nil when it is new. A name
// that another row has gives fail.Exists.
func (d *Def) Put(tx store.Tx, old, row AnyRow) error {
	m := row.M()
	scope := d.ScopeOf(m)
	if !d.AnyName {
		if old == nil || old.M().Name != m.Name {
			other, taken, err := tx.Get(d.nameKey(scope, m.Name))
			if err != nil {
				return err
			}
			if taken && id.ID(other) != m.ID {
				return d.taken(tx, scope, m.Name, id.ID(other))
			}
			if old != nil {
				if err := tx.Delete(d.nameKey(scope, old.M().Name)); err != nil {
					return err
				}
			}
			if err := tx.Put(d.nameKey(scope, m.Name), []byte(m.ID)); err != nil {
				return err
			}
		}
	}
	if old == nil {
		if err := tx.Put(d.scopeKey(m.ID), []byte(scope)); err != nil {
			return err
		}
	}
	if err := d.reindex(tx, scope, old, row); err != nil {
		return err
	}
	m.Revision++
	b, err := json.Marshal(row)
	if err != nil {
		return err
	}
	return tx.Put(d.key(scope, m.ID), b)
}

func (d *Def) taken(tx store.Tx, scope, name string, other id.ID) error {
	e := &fail.Error{Kind: fail.Exists, Field: "name", Message: article(d.Name) + " called " + name + " is there already", Next: "choose another name, or update the one there is"}
	if r, err := d.read(tx, d.key(scope, other)); err == nil && r != nil && r.M().State == Trashed {
		e.Message = "a deleted " + d.Name + " called " + name + " is still in the trash"
		e.Next = "restore it (awan " + d.Name + " restore " + name + "), or purge it (awan " + d.Name + " delete --purge " + name + ")"
	}
	return e
}

func (d *Def) reindex(tx store.Tx, scope string, old, row AnyRow) error {
	var was, is map[string][]string
	m := row.M()
	if old != nil {
		was = d.indexes(old)
	}
	is = d.indexes(row)
	for index, values := range was {
		for _, v := range values {
			if slices.Contains(is[index], v) {
				continue
			}
			if err := tx.Delete(d.indexPrefix(index, scope, v) + string(m.ID)); err != nil {
				return err
			}
		}
	}
	for index, values := range is {
		for _, v := range values {
			if slices.Contains(was[index], v) {
				continue
			}
			if err := tx.Put(d.indexPrefix(index, scope, v)+string(m.ID), nil); err != nil {
				return err
			}
		}
	}
	return nil
}

// nameIndex holds the names of kinds whose names may repeat.
const nameIndex = "@name"

func (d *Def) indexes(r AnyRow) map[string][]string {
	is := d.Indexes(r)
	if !d.AnyName {
		return is
	}
	if is == nil {
		is = map[string][]string{}
	}
	is[nameIndex] = []string{r.M().Name}
	return is
}

// Remove deletes the row, its name and its indexes.
func (d *Def) Remove(tx store.Tx, row AnyRow) error {
	m := row.M()
	scope := d.ScopeOf(m)
	keys := []string{d.key(scope, m.ID), d.scopeKey(m.ID)}
	if !d.AnyName {
		keys = append(keys, d.nameKey(scope, m.Name))
	}
	for index, values := range d.indexes(row) {
		for _, v := range values {
			keys = append(keys, d.indexPrefix(index, scope, v)+string(m.ID))
		}
	}
	for _, k := range keys {
		if err := tx.Delete(k); err != nil {
			return err
		}
	}
	return nil
}

// Filter selects rows of a list.
type Filter struct {
	Index, Value string            // rows that this index holds under this value
	Name         string            // substring
	Exact        string            // the whole name; found without reading others where names are unique
	State        State             // "" = all but trashed
	Tags         map[string]string // all of them; an empty value means "has the key"
	Enterprise   string            // the enterprise project's id, "0" for the default one; "" = any
	After        id.ID             // page on: rows after this one
	Skip         int               // of the rows that match, leave out so many first: for clients that count pages
	Limit        int               // at most; 0 = no limit
	Total        *int              // set: how many rows there are on all pages is put there
	Where        func(AnyRow) bool // any other test
	// Shared gives rows whose maps, slices and pointers others read too: whoever asks must not change what those hold.
	Shared bool
}

// List gives the rows of a scope ("" = of all scopes) in the order of creation, and the marker of the next page ("" at
// the end).
func (d *Def) List(tx store.Tx, scope string, f Filter) ([]AnyRow, id.ID, error) {
	p := &page{Filter: f}
	var err error
	if f.Exact != "" && !d.AnyName && scope != "" {
		err = d.byName(tx, scope, f, p.take)
	} else if f.Exact != "" && f.Index == "" && scope != "" {
		f.Index, f.Value = nameIndex, f.Exact
		err = d.scanIndex(tx, scope, f, p.take)
	} else if f.Index != "" {
		err = d.scanIndex(tx, scope, f, p.take)
	} else {
		err = d.scanRows(tx, scope, p)
	}
	if f.Total != nil {
		*f.Total = p.seen
	}
	if err != nil || !p.more {
		return p.rows, "", err
	}
	return p.rows, p.rows[len(p.rows)-1].M().ID, nil
}

func (d *Def) byName(tx store.Tx, scope string, f Filter, take func(AnyRow) bool) error {
	row, ok, err := tx.Get(d.nameKey(scope, f.Exact))
	if err != nil || !ok || f.After != "" && id.ID(row) <= f.After {
		return err
	}
	r, err := d.read(tx, d.key(scope, id.ID(row)))
	if err != nil || r == nil {
		return err
	}
	if f.Index != "" && !slices.Contains(d.Indexes(r)[f.Index], f.Value) {
		return nil
	}
	take(r)
	return nil
}

func (d *Def) scanRows(tx store.Tx, scope string, p *page) error {
	prefix, after := d.Prefix(scope), ""
	if p.After != "" {
		after = prefix + string(p.After)
	}
	for k, b := range tx.Scan(prefix, after) {
		if p.passes() {
			if err := p.pass(b); err != nil {
				return err
			}
			continue
		}
		if p.State != "" { // what need not be read is not
			if is, err := stateOf(b); err == nil && is != p.State {
				continue
			}
		}
		r, err := d.decode(k, b, p.Shared)
		if err != nil {
			return err
		}
		if !p.take(r) {
			return nil
		}
	}
	return tx.ScanErr()
}

func (d *Def) scanIndex(tx store.Tx, scope string, f Filter, take func(AnyRow) bool) error {
	p, after := d.indexPrefix(f.Index, scope, f.Value), ""
	if f.After != "" {
		after = p + string(f.After)
	}
	for k := range tx.Scan(p, after) {
		r, err := d.read(tx, d.key(scope, id.ID(k[len(p):])))
		if err != nil {
			return err
		}
		if r != nil && !take(r) {
			return nil
		}
	}
	return tx.ScanErr()
}

func (f Filter) match(r AnyRow) bool {
	m := r.M()
	if f.State == "" && m.State == Trashed || f.State != "" && f.State != m.State {
		return false
	}
	if f.Name != "" && !strings.Contains(m.Name, f.Name) || f.Exact != "" && f.Exact != m.Name {
		return false
	}
	if f.Enterprise != "" && f.Enterprise != cmp.Or(string(m.EnterpriseProject), "0") {
		return false
	}
	for k, v := range f.Tags {
		if got, ok := m.Tags[k]; !ok || v != "" && got != v {
			return false
		}
	}
	return f.Where == nil || f.Where(r)
}

// Table is typed access to a kind's rows, for the service that owns it.
type Table[S, T any] struct{ D *Def }

// TableOf gives typed access to the rows of k's definition d.
func TableOf[S, T any](d *Def) Table[S, T] { return Table[S, T]{d} }

// Get reads a row by id; nil when there is none.
func (t Table[S, T]) Get(tx store.Tx, row id.ID) (*Row[S, T], error) {
	r, err := t.D.Get(tx, row)
	if r == nil || err != nil {
		return nil, err
	}
	return r.(*Row[S, T]), nil
}

// Find reads a row by id or name in a scope; nil when there is none.
func (t Table[S, T]) Find(tx store.Tx, scope, idOrName string) (*Row[S, T], error) {
	r, err := t.D.Find(tx, scope, idOrName)
	if r == nil || err != nil {
		return nil, err
	}
	return r.(*Row[S, T]), nil
}

// Put stores the row, reading what was there.
func (t Table[S, T]) Put(tx store.Tx, row *Row[S, T]) error {
	old, err := t.D.Get(tx, row.ID)
	if err != nil {
		return err
	}
	return t.D.Put(tx, old, row)
}

// Remove deletes the row.
func (t Table[S, T]) Remove(tx store.Tx, row *Row[S, T]) error { return t.D.Remove(tx, row) }

// List gives rows of a scope.
func (t Table[S, T]) List(tx store.Tx, scope string, f Filter) ([]*Row[S, T], error) {
	rows, _, err := t.D.List(tx, scope, f)
	out := make([]*Row[S, T], len(rows))
	for i, r := range rows {
		out[i] = r.(*Row[S, T])
	}
	return out, err
}

// article puts "a" or "an" before a word.
func article(word string) string {
	if word != "" && strings.ContainsRune("aeio", rune(word[0])) {
		return "an " + word
	}
	return "a " + word
}
