package kind

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/job"
	"github.com/awancloud/awan/internal/kernel/ledger"
	"github.com/awancloud/awan/internal/kernel/store"
)

// Def is a Kind whose types are hidden: what the pipeline, the dialects, the CLI and the console work with.
type Def struct {
	Desc
	actions map[string]*AnyAction
	flows   map[string][]job.AnyStep
	decoded decoded

	New       func() AnyRow
	Copy      func(AnyRow) AnyRow // what the row points to is shared: replace it, do not change it
	QuotaOf   func(row AnyRow) map[ledger.Dim]int64
	MeterOf   func(row AnyRow) map[ledger.Dim]int64
	Indexes   func(row AnyRow) map[string][]string
	Prepare   func(ctx context.Context, old, row AnyRow) error
	Defaults  func(ctx context.Context, tx store.Tx, row AnyRow) error
	Check     func(ctx context.Context, tx store.Tx, old, row AnyRow) error
	Shown     func(tx store.Tx, row AnyRow) error
	CheckDel  func(ctx context.Context, tx store.Tx, row AnyRow) error
	Changed   func(ctx context.Context, tx store.Tx, old, row AnyRow) error
	Public    bool
	LoopEvery time.Duration
	LoopDo    func(ctx context.Context, row AnyRow) (bool, error)
}

// Desc is the part of a kind that is data: it goes to the CLI, the console and OpenAPI as it is.
type Desc struct {
	Service   string          `json:"service"`
	Name      string          `json:"name"`
	Plural    string          `json:"plural"`
	Doc       string          `json:"doc"`
	Scope     Scope           `json:"scope"`
	ReadOnly  bool            `json:"read_only,omitempty"`
	NoRename  bool            `json:"no_rename,omitempty"`
	AnyName   bool            `json:"any_name,omitempty"`
	RandomID  bool            `json:"-"`
	NamePat   string          `json:"name_pattern"`
	NameLike  string          `json:"name_like,omitempty"`
	NameRule  string          `json:"-"`
	Columns   []string        `json:"columns"`
	Spec      []Field         `json:"spec"`
	Status    []Field         `json:"status"`
	Example   json.RawMessage `json:"example,omitempty"`
	Actions   []ActionDesc    `json:"actions"`
	Quotas    []ledger.Dim    `json:"quotas,omitempty"`
	Meters    []ledger.Dim    `json:"meters,omitempty"`
	IndexBy   []string        `json:"indexes,omitempty"`
	Retention time.Duration   `json:"-"`
}

// ActionDesc is the part of an action that is data.
type ActionDesc struct {
	Verb       string  `json:"verb"`
	Doc        string  `json:"doc"`
	Level      Level   `json:"level"`
	In         []Field `json:"in,omitempty"`
	Stream     bool    `json:"stream,omitempty"`
	Collection bool    `json:"collection,omitempty"`
	Secret     bool    `json:"secret,omitempty"`
}

// AnyAction is an Action whose types are hidden.
type AnyAction struct {
	ActionDesc
	NewIn  func() any // pointer to a fresh input; nil when the action takes none
	Change func(ctx context.Context, tx store.Tx, row AnyRow, in any) (string, error)
	Serve  func(ctx context.Context, row AnyRow, in any, s Stream) error
}

// FullName is "service/kind".
func (d *Desc) FullName() string { return d.Service + "/" + d.Name }

// Action is the policy and audit name of a verb: "app:component:create".
func (d *Desc) Action(verb string) string { return d.Service + ":" + d.Name + ":" + verb }

// Action finds a custom action.
func (d *Def) ActionOf(verb string) *AnyAction { return d.actions[verb] }

// Flow gives the steps of a flow; nil when there is nothing to do but to store.
func (d *Def) Flow(name string) []job.AnyStep { return d.flows[name] }

// Flows lists the names of the flows that have steps.
func (d *Def) Flows() []string { return slices.Sorted(maps.Keys(d.flows)) }

// DefaultNamePat is the rule for names: a DNS label.
const DefaultNamePat = `^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$`

// Def hides the types. It panics when the description contradicts itself, which the first test finds.
func (k Kind[S, T]) Def() *Def {
	typed := func(r AnyRow) *Row[S, T] {
		if r == nil {
			return nil
		}
		return r.(*Row[S, T])
	}
	d := &Def{Desc: Desc{Service: k.Service, Name: k.Name, Plural: k.Plural, Doc: k.Doc, Scope: k.Scope, ReadOnly: k.ReadOnly,
		NoRename: k.NoRename, AnyName: k.AnyName, RandomID: k.RandomID, NamePat: k.NamePat, NameRule: k.NameRule, NameLike: k.NameLike, Columns: k.Columns, Spec: FieldsOf(new(S)), Status: FieldsOf(new(T)),
		Retention: k.Retention, Quotas: slices.Compact(slices.Sorted(either(maps.Keys(k.Quota), maps.Keys(k.Holds)))), Meters: slices.Sorted(maps.Keys(k.Meter)),
		IndexBy: slices.Sorted(maps.Keys(k.Index))}, actions: map[string]*AnyAction{}}
	if d.Plural == "" {
		d.Plural = d.Name + "s"
	}
	if d.NamePat == "" && !d.AnyName {
		d.NamePat = DefaultNamePat
	}
	if b, err := json.Marshal(k.Example); err == nil {
		d.Example = b
	}
	d.Public = k.Public
	d.New = func() AnyRow { return new(Row[S, T]) }
	d.Copy = func(r AnyRow) AnyRow { c := *typed(r); return &c }
	d.QuotaOf = func(r AnyRow) map[ledger.Dim]int64 {
		out := map[ledger.Dim]int64{}
		for dim, f := range k.Quota {
			out[dim] = f(typed(r).Spec)
		}
		for dim, f := range k.Holds {
			out[dim] += f(typed(r).Spec, typed(r).Status)
		}
		return out
	}
	d.MeterOf = func(r AnyRow) map[ledger.Dim]int64 {
		out, row := map[ledger.Dim]int64{}, typed(r)
		for dim, f := range k.Meter {
			out[dim] = 0
			if row.State == Active || row.State == Updating {
				out[dim] = f(row.Spec, row.Status)
			}
		}
		return out
	}
	d.Indexes = func(r AnyRow) map[string][]string {
		out := map[string][]string{}
		for name, f := range k.Index {
			out[name] = f(typed(r))
		}
		return out
	}
	if f := k.Prepare; f != nil {
		d.Prepare = func(ctx context.Context, old, row AnyRow) error { return f(ctx, typed(old), typed(row)) }
	}
	if f := k.Defaults; f != nil {
		d.Defaults = func(ctx context.Context, tx store.Tx, row AnyRow) error { return f(ctx, tx, typed(row)) }
	}
	if f := k.Check; f != nil {
		d.Check = func(ctx context.Context, tx store.Tx, old, row AnyRow) error {
			return f(ctx, tx, typed(old), typed(row))
		}
	}
	if f := k.Shown; f != nil {
		d.Shown = func(tx store.Tx, row AnyRow) error { return f(tx, typed(row)) }
	}
	if f := k.CheckDelete; f != nil {
		d.CheckDel = func(ctx context.Context, tx store.Tx, row AnyRow) error { return f(ctx, tx, typed(row)) }
	}
	if f := k.Changed; f != nil {
		d.Changed = func(ctx context.Context, tx store.Tx, old, row AnyRow) error {
			return f(ctx, tx, typed(old), typed(row))
		}
	}
	if k.Loop.Do != nil {
		d.LoopEvery = k.Loop.Every
		d.LoopDo = func(ctx context.Context, row AnyRow) (bool, error) { return k.Loop.Do(ctx, typed(row)) }
	}
	d.flows = map[string][]job.AnyStep{}
	for name, f := range map[string]job.Flow[Row[S, T]]{"create": k.Create, "update": k.Update, "delete": k.Delete, "park": k.Park, "unpark": k.Unpark} {
		if len(f) > 0 {
			d.flows[name] = job.Erase(f)
		}
	}
	for _, a := range k.Actions {
		d.addAction(eraseAction(a, typed))
		if len(a.Flow) > 0 {
			d.flows[a.Verb] = job.Erase(a.Flow)
		}
	}
	return d
}

func (d *Def) addAction(a *AnyAction) {
	if d.actions[a.Verb] != nil || slices.Contains([]string{"create", "get", "list", "update", "delete", "restore", "watch"}, a.Verb) {
		panic(d.FullName() + " has two actions " + a.Verb)
	}
	d.actions[a.Verb] = a
	d.Desc.Actions = append(d.Desc.Actions, a.ActionDesc)
}

func eraseAction[S, T any](a Action[S, T], typed func(AnyRow) *Row[S, T]) *AnyAction {
	out := &AnyAction{ActionDesc: ActionDesc{Verb: a.Verb, Doc: a.Doc, Level: a.Level, In: FieldsOf(a.In), Stream: a.Serve != nil,
		Collection: a.Collection, Secret: a.Secret}}
	if a.In != nil {
		out.NewIn = func() any { return newLike(a.In) }
	}
	if a.Serve != nil {
		out.Serve = func(ctx context.Context, row AnyRow, in any, s Stream) error { return a.Serve(ctx, typed(row), in, s) }
		return out
	}
	if a.Collection {
		panic(fmt.Sprintf("action %s: a collection action must Serve", a.Verb))
	}
	out.Change = func(ctx context.Context, tx store.Tx, row AnyRow, in any) (string, error) {
		flow := ""
		if len(a.Flow) > 0 {
			flow = a.Verb
		}
		if a.Change == nil {
			return flow, nil
		}
		f, err := a.Change(ctx, tx, typed(row), in)
		if f == "" {
			f = flow
		}
		return f, err
	}
	return out
}

// Resource prints the name that policies match: "app:region:domain:component:name". Region is filled by the pipeline.
func (d *Desc) Resource(region string, domain id.ID, path string) string {
	return strings.Join([]string{d.Service, region, string(domain), d.Name, path}, ":")
}

// either gives the elements of both sequences.
func either[V any](a, b iter.Seq[V]) iter.Seq[V] {
	return func(yield func(V) bool) {
		for _, s := range []iter.Seq[V]{a, b} {
			for v := range s {
				if !yield(v) {
					return
				}
			}
		}
	}
}

// Clone copies a row deeply.
func (d *Def) Clone(r AnyRow) AnyRow {
	out := d.Copy(r)
	deepen(reflect.ValueOf(out).Elem())
	return out
}

// Redacted gives the row as a user may see it: secrets masked. The row itself is not changed.
func (d *Def) Redacted(r AnyRow) AnyRow {
	if !HasSecret(d.Spec) && !HasSecret(d.Status) {
		return r
	}
	c := d.Clone(r)
	mask := func(string, string) (string, error) { return Mask, nil }
	_ = EachSecret(c.SpecPtr(), d.Spec, mask)
	_ = EachSecret(c.StatusPtr(), d.Status, mask)
	return c
}

// NewID makes the id of a new row.
func (d *Def) NewID() id.ID {
	if d.RandomID {
		return id.Random()
	}
	return id.New()
}
