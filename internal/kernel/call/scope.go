package call

import (
	"cmp"
	"context"
	"slices"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/ledger"
	"github.com/awancloud/awan/internal/kernel/policy"
	"github.com/awancloud/awan/internal/kernel/store"
)

// scope is the domain and project a call works in.
type scope struct {
	domain      id.ID
	project     id.ID
	projectName string
	frozen      bool  // the project is disabled
	enterprise  id.ID // of a create: the enterprise project asked for
}

// scope resolves what the call addresses. A domain that is not the caller's is visible only to principals with a
// grant for the whole cloud; for all others it does not exist.
func (d *Door) scope(tx store.Tx, c *Call) (scope, error) {
	p := &c.Principal
	s := scope{domain: cmp.Or(p.Visits, p.Domain)}
	if p.Restricted != "" {
		return s, ident.Unfinished(*p)
	}
	if err := d.Ident.Admit(tx, *p, c.Source, c.Dialect == ConsoleDialect); err != nil {
		return s, err
	}
	if p.Method != ident.BySystem {
		if err := d.Ident.MarkCloud(tx, p); err != nil {
			return s, err
		}
	}
	kinds := d.Ident.Kinds
	if c.Domain != "" && c.Domain != string(s.domain) && (p.Visits != "" || c.Domain != p.DomainName) {
		dom, err := kinds.Domain.Find(tx, "-", c.Domain)
		if err != nil {
			return s, err
		}
		if dom != nil && dom.ID != s.domain && !p.Cloud() {
			if there, err := d.visits(tx, p, dom.ID); err != nil || !there {
				dom = nil
			}
		}
		if dom == nil {
			return s, fail.New(fail.NotFound, "there is no domain %q", c.Domain)
		}
		s.domain = dom.ID
	} else if p.Visits != "" {
		if there, err := d.visits(tx, p, p.Visits); err != nil || !there {
			return s, cmp.Or(err, error(fail.New(fail.Unauthenticated, "%s has nothing to do in the domain of this token any more", p.UserName).Then("ask for a token of another domain")))
		}
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
	if pid, ok := id.Parse(want); ok && proj == nil {
		if proj, err = kinds.Project.Get(tx, pid); err != nil {
			return s, err
		}
		if proj != nil && !p.Cloud() {
			if there, err := d.Ident.Visits(tx, *p, proj.Domain, proj.ID); err != nil || !there || p.Visits != "" && p.Visits != proj.Domain {
				proj = nil
			}
		}
	}
	if proj == nil {
		return s, fail.New(fail.NotFound, "there is no project %q", want).Then("see awan project list")
	}
	if p.Project != "" && p.Project != proj.ID && p.Bound() && !c.operates() {
		return s, fail.New(fail.NotFound, "there is no project %q for this token, which is for another", want).Then("ask for a token of that project")
	}
	s.domain, s.project, s.projectName, s.frozen = proj.Domain, proj.ID, proj.Name, proj.Spec.Disabled
	if c.Verb == Create && c.EnterpriseProject != nil {
		s.enterprise, err = d.enterprise(tx, s.domain, *c.EnterpriseProject)
	}
	return s, err
}

// visits tells whether a domain that is not the caller's is one that lets it in. A token of a domain works in that one only.
func (d *Door) visits(tx store.Tx, p *ident.Principal, domain id.ID) (bool, error) {
	if p.Visits != "" && p.Visits != domain {
		return false, nil
	}
	return d.Ident.Visits(tx, *p, domain, "")
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
	if c.Kind.Scope == kind.InProject && row != nil {
		set("g:EnterpriseProjectId", shown(row.M().EnterpriseProject))
	} else if c.Kind.Scope == kind.InProject && c.Verb == Create {
		set("g:EnterpriseProjectId", shown(s.enterprise))
	}
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
	resource := c.Kind.Resource(d.Region, s.domain, path)
	q := ident.Request{Action: c.action(), Resource: resource, Alias: c.Alias, Domain: s.domain, Project: s.project, Facts: facts}
	var own []policy.Attached
	if d.Own != nil && row != nil {
		own = d.Own(c.Kind, row, p)
	}
	ask := func() (policy.Decision, error) { return d.Ident.AskBoth(tx, p, q, own) }
	if c.operates() {
		ask = func() (policy.Decision, error) { return d.Ident.Ask(tx, p, q) }
	}
	dec, err := ask()
	if err != nil {
		return "", err
	}
	if p.Method != ident.BySystem && (!dec.Allowed || c.records()) {
		if c.decision, err = d.Ident.Note(tx, dec, resource, s.domain, facts); err != nil {
			return "", err
		}
	}
	if !dec.Allowed {
		return dec.Reason, d.denied(c, dec.Reason)
	}
	if slices.Contains(d.Critical, c.action()) {
		return dec.Reason, d.Ident.Confirmed(tx, p, s.domain)
	}
	return dec.Reason, nil
}

// operates tells whether an operator looks after a project: what a project may use and did use is the cloud's to say, and operators say
// it with a token or a key of whatever project. Nothing that a project holds is reached so, and no right that was lent goes so far.
func (c *Call) operates() bool {
	return (c.Kind == quotaKind || c.Kind == usageKind) && c.Principal.Cloud() && c.Principal.Whole()
}

// records tells whether the call leaves an audit entry also when it is allowed.
func (c *Call) records() bool {
	switch c.Verb {
	case Get, List, Events, Watch:
		return false
	}
	return true
}

// enterprise finds an enterprise project that takes resources.
func (d *Door) enterprise(tx store.Tx, domain id.ID, idOrName string) (id.ID, error) {
	ep, err := d.Ident.Kinds.FindEnterpriseProject(tx, domain, "enterprise_project", idOrName)
	if ep == "" || err != nil {
		return "", err
	}
	row, err := d.Ident.Kinds.Enterprise.Get(tx, ep)
	if err == nil && row != nil && row.Spec.Disabled {
		err = fail.New(fail.Precondition, "enterprise project %s is disabled", row.Name).Then("enable it first, or choose another")
	}
	return ep, err
}

func shown(ep id.ID) string { return cmp.Or(string(ep), ident.DefaultEnterprise) }

// granted lists the enterprise projects ("0" for the default one) whose resources of the call's kind the caller may
// list, where it may not list all.
func (d *Door) granted(tx store.Tx, c *Call, s scope) ([]string, error) {
	named, err := d.Ident.EnterpriseProjects(tx, c.Principal)
	if err != nil || c.Kind.Scope != kind.InProject {
		return nil, err
	}
	var out []string
	for _, ep := range named {
		facts := map[string][]string{"g:EnterpriseProjectId": {ep}, "g:ProjectId": {string(s.project)}, "g:ProjectName": {s.projectName}}
		if c.Source != "" {
			facts["g:SourceIp"] = []string{c.Source}
		}
		dec, err := d.Ident.Decide(tx, c.Principal, c.action(), c.Kind.Resource(d.Region, s.domain, "*"), s.domain, s.project, facts)
		if err != nil {
			return nil, err
		}
		if dec.Allowed {
			out = append(out, ep)
		}
	}
	return out, nil
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
		if there, err := d.visits(tx, &c.Principal, row.M().ID); err != nil || !there {
			row = nil
		}
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
		Request: redacted(c), Decision: c.decision, Agency: c.Principal.Agency, ByID: c.Principal.By.User, ByIn: c.Principal.By.Domain}
	if p := c.Principal; s.domain != "" && s.domain != p.Domain && p.Agency == "" && p.Method != ident.BySystem {
		p.UserName = p.DomainName + "/" + p.UserName // the domain's auditors may have a user of that name
		e.Actor = p.String()
	}
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
