package call

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/ledger"
	"github.com/awancloud/awan/internal/kernel/store"
)

// The ledgers are read through kinds of their own, which have no rows: so that policies, coverage tests and OpenAPI see
// them like everything else.
var (
	auditKind = kind.Kind[ident.None, ident.None]{Service: "audit", Name: "entry", Plural: "entries", Scope: kind.InDomain, ReadOnly: true,
		Doc: "Who did what, when, from where, and what came of it."}.Def()
	quotaKind = kind.Kind[ident.None, ident.None]{Service: "quota", Name: "quota", Scope: kind.InProject,
		Doc: "How much of what a project uses and may use."}.Def()
	usageKind = kind.Kind[ident.None, ident.None]{Service: "billing", Name: "usage", Plural: "usage", Scope: kind.InProject, ReadOnly: true,
		Doc: "What a project held, for how long."}.Def()
)

// enter authorises a call on a ledger and gives its scope.
func (d *Door) enter(ctx context.Context, c *Call, k *kind.Def, verb string, fn func(tx store.Tx, s scope) error) error {
	if c.Principal.Nobody() {
		return fail.New(fail.Unauthenticated, "this needs a log-in").Then("awan login, or send a token or a signature")
	}
	c.Kind, c.Verb = k, verb
	var s scope
	err := d.Store.View(ctx, func(tx store.Tx) (err error) {
		if s, err = d.scope(tx, c); err != nil {
			return err
		}
		if _, err = d.allowed(tx, c, s, "*", nil); err != nil || fn == nil {
			return err
		}
		return fn(tx, s)
	})
	return d.refused(ctx, c, s, err)
}

// Audit searches the audit log of the call's domain.
func (d *Door) Audit(ctx context.Context, c *Call, q ledger.Query) (out []ledger.Entry, next id.ID, err error) {
	if q.Limit <= 0 || q.Limit > MaxPage {
		q.Limit = DefaultPage
	}
	err = d.enter(ctx, c, auditKind, List, func(tx store.Tx, s scope) (err error) {
		q.Domain = s.domain
		if q.Project != "" {
			p, err := d.Ident.Kinds.Project.Find(tx, string(s.domain), string(q.Project))
			if err != nil {
				return err
			}
			if p == nil {
				return fail.New(fail.NotFound, "there is no project %q", q.Project)
			}
			q.Project = p.ID
		}
		out, next, err = ledger.Search(tx, q)
		return err
	})
	return out, next, err
}

// Quotas lists the project's quota.
func (d *Door) Quotas(ctx context.Context, c *Call) (out []ledger.Quota, err error) {
	err = d.enter(ctx, c, quotaKind, List, func(tx store.Tx, s scope) (err error) {
		out, err = ledger.Quotas(tx, s.project, d.Dims(), d.Limits)
		return err
	})
	return out, err
}

// Dims lists every quota dimension of every kind.
func (d *Door) Dims() []ledger.Dim {
	var out []ledger.Dim
	for _, k := range d.Kinds {
		out = append(out, k.Quotas...)
	}
	return out
}

// SetQuotas gives the project limits of its own, all or none of them; -1 returns to the default. Only operators of the cloud may.
func (d *Door) SetQuotas(ctx context.Context, c *Call, limits map[ledger.Dim]int64) error {
	var s scope
	if err := d.enter(ctx, c, quotaKind, Update, func(_ store.Tx, at scope) error { s = at; return nil }); err != nil {
		return err
	}
	if !c.Principal.Cloud() {
		return d.refused(ctx, c, s, d.denied(c, "only an operator of the cloud sets quotas"))
	}
	known, wanted := d.Dims(), slices.Sorted(maps.Keys(limits))
	for _, dim := range wanted {
		if !slices.Contains(known, dim) {
			return fail.Field("name", "there is no quota %q", dim).Then("see awan quota")
		}
	}
	_, err := d.Store.Update(ctx, func(tx store.Tx) error {
		for _, dim := range wanted {
			if err := ledger.SetLimit(tx, s.project, dim, limits[dim]); err != nil {
				return err
			}
			e := d.entry(c, s)
			e.Name, e.Outcome, e.Ended = string(dim), ledger.Succeeded, e.At
			if c.decision != nil {
				e.Reason = c.decision.Reason
			}
			if err := ledger.Record(tx, e); err != nil {
				return err
			}
		}
		return nil
	})
	return err
}

// Usage adds up what the project held between two moments; what has not passed yet is not counted.
func (d *Door) Usage(ctx context.Context, c *Call, from, to time.Time) (out []ledger.Usage, err error) {
	if now := d.now(); to.After(now) {
		to = now
	}
	err = d.enter(ctx, c, usageKind, List, func(tx store.Tx, s scope) (err error) {
		out, err = ledger.UsageOf(tx, s.project, from, to)
		return err
	})
	return out, err
}

// Permit authorises something that is no call on a kind's rows (a registry request, say): verb on k in the call's
// scope. It gives the scope's domain and project.
func (d *Door) Permit(ctx context.Context, c *Call, k *kind.Def, verb, path string) (domain, project id.ID, err error) {
	if c.Principal.Nobody() {
		return "", "", fail.New(fail.Unauthenticated, "this needs a log-in").Then("send a token, a signature, or a name and password")
	}
	c.Kind, c.Verb, c.Target = k, verb, path
	var s scope
	err = d.Store.View(ctx, func(tx store.Tx) (err error) {
		if s, err = d.scope(tx, c); err == nil {
			_, err = d.allowed(tx, c, s, path, nil)
		}
		return err
	})
	return s.domain, s.project, d.refused(ctx, c, s, err)
}
