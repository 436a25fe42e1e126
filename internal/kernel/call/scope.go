package call

import (
	"context"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/ledger"
	"github.com/awancloud/awan/internal/kernel/store"
)

// scope is the domain and project a call works in.
type scope struct {
	domain      id.ID
	project     id.ID
	projectName string
	frozen      bool // the project is disabled
}

// scope resolves what the call addresses. A domain that is not the caller's is visible only to principals with a
// grant for the whole cloud; for all others it does not exist.
func (d *Door) scope(tx store.Tx, c *Call) (scope, error) {
	p := &c.Principal
	s := scope{domain: p.Domain}
	if p.Method != ident.BySystem {
		if err := d.Ident.MarkCloud(tx, p); err != nil {
			return s, err
		}
	}
	kinds := d.Ident.Kinds
	if c.Domain != "" && c.Domain != string(p.Domain) && c.Domain != p.DomainName {
		dom, err := kinds.Domain.Find(tx, "-", c.Domain)
		if err != nil {
			return s, err
		}
		if dom == nil || !p.Cloud() {
			return s, fail.New(fail.NotFound, "there is no domain %q", c.Domain)
		}
		s.domain = dom.ID
	}
	if c.Kind.Scope == kind.InDomain && c.Domain == "" && p.Cloud() { // operators may name a row of any domain by its id
		if rid, ok := id.Parse(c.Target); ok {
			row, err := c.Kind.Get(tx, rid)
			if row != nil {
				s.domain = row.M().Domain
			}
			return s, err
		}
	}
	if c.Kind.Scope != kind.InProject {
		return s, nil
	}
	want := c.Project
	if want == "" {
		want = string(p.Project)
	}
	if want == "" {
		return s, fail.Field("project", "say which project").Then("give its name or id, or log in with a project: awan projects")
	}
	proj, err := kinds.Project.Find(tx, string(s.domain), want)
	if err != nil {
		return s, err
	}
	if proj == nil && p.Cloud() {
		if pid, ok := id.Parse(want); ok {
			if proj, err = kinds.Project.Get(tx, pid); err != nil {
				return s, err
			}
		}
	}
	if proj == nil {
		return s, fail.New(fail.NotFound, "there is no project %q", want).Then("see awan project list")
	}
	if p.Project != "" && p.Project != proj.ID && p.Method == ident.ByToken {
		return s, fail.New(fail.NotFound, "there is no project %q for this token, which is for another", want).Then("ask for a token of that project")
	}
	s.domain, s.project, s.projectName, s.frozen = proj.Domain, proj.ID, proj.Name, proj.Spec.Disabled
	return s, nil
}

// allowed asks the policies; a refusal names the action and the reason.
func (d *Door) allowed(tx store.Tx, c *Call, s scope, path string, row kind.AnyRow) (string, error) {
	p := c.Principal
	if c.Kind.Scope == kind.InCloud && !p.Cloud() && c.Verb != Get && c.Verb != List {
		return "", d.denied(c, "only an operator of the cloud may do this")
	}
	facts := map[string][]string{}
	set := func(k, v string) {
		if v != "" {
			facts[k] = []string{v}
		}
	}
	set("g:ProjectId", string(s.project))
	set("g:ProjectName", s.projectName)
	set("g:SourceIp", c.Source)
	if row != nil {
		for k, v := range row.M().Tags {
			facts["g:ResourceTag/"+k] = []string{v}
		}
	}
	if c.Tags != nil {
		for k, v := range *c.Tags {
			facts["g:RequestTag/"+k] = []string{v}
			facts["g:TagKeys"] = append(facts["g:TagKeys"], k)
		}
	}
	dec, err := d.Ident.Decide(tx, p, c.action(), c.Kind.Resource(d.Region, s.domain, path), s.domain, s.project, facts)
	if err != nil {
		return "", err
	}
	if !dec.Allowed {
		return dec.Reason, d.denied(c, dec.Reason)
	}
	return dec.Reason, nil
}

func (d *Door) denied(c *Call, reason string) error {
	return fail.New(fail.Denied, "%s may not %s: %s", c.Principal, c.action(), reason).Then("ask an administrator of your domain for a policy that allows it")
}

// find reads the target row within the scope. Rows of others do not exist for the caller.
func (d *Door) find(tx store.Tx, c *Call, s scope) (kind.AnyRow, error) {
	key := c.Kind.ScopeKey(s.domain, s.project)
	row, err := c.Kind.Find(tx, key, c.Target)
	if err != nil {
		return nil, err
	}
	if row != nil && c.Kind.Scope == kind.InCloud && !c.Kind.Public && !c.Principal.Cloud() && row.M().ID != c.Principal.Domain {
		row = nil
	}
	if row == nil {
		return nil, fail.New(fail.NotFound, "there is no %s %q", c.Kind.Name, c.Target).Then("see awan %s list", c.Kind.Name)
	}
	return row, nil
}

// entry begins the audit record of a call.
func (d *Door) entry(c *Call, s scope) *ledger.Entry {
	e := &ledger.Entry{ID: id.New(), At: d.now(), Domain: s.domain, Project: s.project, Actor: c.Principal.String(), ActorID: c.Principal.User,
		Source: c.Source, Agent: c.Agent, Dialect: c.Dialect, Action: c.action(), Kind: c.Kind.FullName(), Name: c.Target, RequestID: c.RequestID,
		Request: redacted(c)}
	if e.Domain == "" {
		e.Domain = c.Principal.Domain
	}
	return e
}

// refused records a call that was denied, in a transaction of its own: the call's own changed nothing. When even that
// fails the call fails as that.
func (d *Door) refused(ctx context.Context, c *Call, s scope, err error) error {
	if !fail.Is(err, fail.Denied) {
		return err
	}
	e := d.entry(c, s)
	e.Outcome, e.Reason, e.Ended = ledger.Denied, fail.From(err).Message, e.At
	if _, werr := d.Store.Update(context.WithoutCancel(ctx), func(tx store.Tx) error { return ledger.Record(tx, e) }); werr != nil {
		return fail.Wrap(werr, fail.Unavailable, "the audit log cannot be written, so nothing is done")
	}
	return err
}

// Record audits something that is not a call on a kind (a log-in, an exec session) in a transaction of its own.
func (d *Door) Record(ctx context.Context, e ledger.Entry) error {
	if e.At.IsZero() {
		e.At = d.now()
	}
	if e.Ended.IsZero() && e.Outcome != ledger.Begun {
		e.Ended = e.At
	}
	_, err := d.Store.Update(ctx, func(tx store.Tx) error { return ledger.Record(tx, &e) })
	return err
}
