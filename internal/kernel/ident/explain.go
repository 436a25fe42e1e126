package ident

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/ledger"
	"github.com/awancloud/awan/internal/kernel/policy"
	"github.com/awancloud/awan/internal/kernel/store"
)

// Question asks whether something would be allowed.
type Question struct {
	User              string            `json:"user" doc:"of which user; empty, and no agency: of yourself" ref:"identity/user"`
	Agency            string            `json:"agency" doc:"or of which agency" ref:"identity/agency"`
	Actions           []string          `json:"actions" doc:"the actions asked about" required:"true" max:"100" example:"app:component:create"`
	Resources         []string          `json:"resources" doc:"on which resources: names, or whole as app:REGION:DOMAIN:component:web; empty: on any" max:"100"`
	Project           string            `json:"project" doc:"in which project; empty: in the domain itself" ref:"identity/project"`
	EnterpriseProject string            `json:"enterprise_project" doc:"for resources of which enterprise project; empty: the default one"`
	Facts             map[string]string `json:"facts" doc:"condition keys and their values, beside those that follow from the caller: g:SourceIp=192.0.2.7" max:"50"`
	Documents         []json.RawMessage `json:"documents" doc:"policy documents to ask instead of those that are granted" max:"20"`
}

// Explained asks about a call that was made, by its entry in the audit log.
type Explained struct {
	Entry string `json:"entry" doc:"id of the audit entry" required:"true"`
}

// Verdict is the answer to one action on one resource.
type Verdict struct {
	Action   string `json:"action"`
	Resource string `json:"resource"`
	Allowed  bool   `json:"allowed"`
	Reason   string `json:"reason"`
	Deciding *Rule  `json:"deciding,omitempty"` // none when no statement spoke of it
}

// Rule is the statement that decided.
type Rule struct {
	Policy    string          `json:"policy"`
	PolicyID  string          `json:"policy_id,omitempty"`
	Held      string          `json:"held,omitempty"` // how the caller comes by the policy: "group dev"
	Number    int             `json:"number"`         // of the statement, from 1
	Sid       string          `json:"sid,omitempty"`
	Statement json.RawMessage `json:"statement,omitempty"`
}

// Explanation is what is known of a past call's decision.
type Explanation struct {
	Entry    ledger.Entry `json:"entry"`
	Allowed  bool         `json:"allowed"`
	Reason   string       `json:"reason"`
	Deciding *Rule        `json:"deciding,omitempty"`
	// Changed says that the deciding policy was changed or deleted since.
	Changed bool `json:"changed"`
	// Then says that the statement shown is that of then; else it is today's, where there is one.
	Then bool `json:"then"`
	// Now is the answer that the same caller would get now for the same call; none when the caller is gone.
	Now *Verdict `json:"now,omitempty"`
}

// Unused asks for rights that nobody uses.
type Unused struct {
	User string `json:"user" doc:"of which user; empty: of all" ref:"identity/user"`
	Days int64  `json:"days" doc:"not used for so long" unit:"days" min:"1" max:"3650" default:"90"`
}

// UnusedRights are those of one user.
type UnusedRights struct {
	User     string         `json:"user"`
	UserID   id.ID          `json:"user_id"`
	LastUsed time.Time      `json:"last_used,omitzero"`
	Policies []UnusedPolicy `json:"policies"` // not the deciding one of any call in that time
	Services []string       `json:"services"` // of which nothing was used
	Actions  []string       `json:"actions"`  // of the other services
}

// UnusedPolicy is a policy that decided nothing.
type UnusedPolicy struct {
	Policy   string    `json:"policy"`
	Held     string    `json:"held"`
	LastUsed time.Time `json:"last_used,omitzero"` // by anybody
}

func (k *Kinds) policyActions() []kind.Action[PolicySpec, PolicyStatus] {
	return []kind.Action[PolicySpec, PolicyStatus]{
		{Verb: "simulate", Doc: "ask what would be allowed: for somebody, or by documents that are not granted yet", Level: kind.Read, In: Question{}, Collection: true,
			Serve: func(ctx context.Context, _ *policyRow, in any, s kind.Stream) error {
				return answerIn(ctx, k, s, func(tx store.Tx, domain id.ID) (any, error) {
					v, err := k.service.simulate(tx, From(ctx), domain, *in.(*Question))
					return map[string]any{"items": v}, err
				})
			}},
		{Verb: "explain", Doc: "why a call was allowed or denied, by its audit entry", Level: kind.Read, In: Explained{}, Collection: true,
			Serve: func(ctx context.Context, _ *policyRow, in any, s kind.Stream) error {
				return answerIn(ctx, k, s, func(tx store.Tx, domain id.ID) (any, error) {
					return k.service.explain(tx, domain, id.ID(in.(*Explained).Entry))
				})
			}},
		{Verb: "unused", Doc: "rights that are granted and not used", Level: kind.Read, In: Unused{}, Collection: true,
			Serve: func(ctx context.Context, _ *policyRow, in any, s kind.Stream) error {
				return answerIn(ctx, k, s, func(tx store.Tx, domain id.ID) (any, error) {
					v, err := k.service.unused(tx, domain, *in.(*Unused))
					return map[string]any{"items": v}, err
				})
			}},
	}
}

// answerIn reads an answer in one view and sends it.
func answerIn(ctx context.Context, k *Kinds, s kind.Stream, read func(tx store.Tx, domain id.ID) (any, error)) error {
	var doc any
	err := k.view(ctx, func(tx store.Tx) (err error) { doc, err = read(tx, s.Meta.Domain); return err })
	if err != nil {
		return err
	}
	return s.Emit(doc)
}

// subjectOf gives who a question is about.
func (s *Service) subjectOf(tx store.Tx, asker Principal, domain id.ID, q *Question) (Principal, error) {
	switch {
	case q.User != "" && q.Agency != "":
		return Principal{}, fail.Field("agency", "ask about either a user or an agency")
	case q.Agency != "":
		if err := ref(tx, s.Kinds.Agency, domain, "agency", &q.Agency); err != nil {
			return Principal{}, err
		}
		return s.agencyNow(tx, id.ID(q.Agency))
	case q.User != "":
		if err := ref(tx, s.Kinds.User, domain, "user", &q.User); err != nil {
			return Principal{}, err
		}
		u, err := s.Kinds.User.Get(tx, id.ID(q.User))
		if err != nil {
			return Principal{}, err
		}
		return Principal{User: u.ID, UserName: u.Name, Domain: u.Domain, Groups: u.Spec.Groups, Method: ByToken, Issued: s.now()}, nil
	}
	return asker, nil
}

func (s *Service) agencyNow(tx store.Tx, agency id.ID) (Principal, error) {
	a, err := s.Kinds.Agency.Get(tx, agency)
	if err != nil || a == nil {
		return Principal{}, err
	}
	return Principal{User: a.ID, UserName: a.Name, Domain: a.Domain, Agency: a.ID, Method: ByAgency, Issued: s.now()}, nil
}

func (s *Service) simulate(tx store.Tx, asker Principal, domain id.ID, q Question) ([]Verdict, error) {
	p, err := s.subjectOf(tx, asker, domain, &q)
	if err != nil {
		return nil, err
	}
	if err := ref(tx, s.Kinds.Project, domain, "project", &q.Project); err != nil {
		return nil, err
	}
	ep, err := s.Kinds.FindEnterpriseProject(tx, domain, "enterprise_project", q.EnterpriseProject)
	if err != nil {
		return nil, err
	}
	var inline []policy.Attached
	for i, d := range q.Documents {
		doc, err := policy.Parse(d)
		if err != nil {
			return nil, checkDocument("documents["+strconv.Itoa(i)+"]", d)
		}
		inline = append(inline, policy.Attached{Name: "document " + strconv.Itoa(i+1), Doc: doc})
	}
	if len(q.Resources) == 0 {
		q.Resources = []string{"*"}
	}
	var out []Verdict
	for _, action := range q.Actions {
		if err := s.Kinds.checkAction(action); err != nil {
			return nil, err
		}
		for _, resource := range q.Resources {
			facts := map[string][]string{"g:EnterpriseProjectId": {shownEnterprise(ep)}}
			if q.Project != "" {
				facts["g:ProjectId"] = []string{q.Project}
			}
			for key, v := range q.Facts {
				facts[key] = []string{v}
			}
			resource = s.whole(action, resource, domain)
			var d policy.Decision
			if len(inline) > 0 {
				s.addFacts(facts, p)
				d = policy.Decide(policy.Request{Action: action, Resource: resource, Facts: facts}, inline)
			} else if d, err = s.decide(tx, p, action, resource, domain, id.ID(q.Project), facts); err != nil {
				return nil, err
			}
			v := Verdict{Action: action, Resource: resource, Allowed: d.Allowed, Reason: d.Reason}
			if v.Deciding, err = s.rule(tx, d.By, inline); err != nil {
				return nil, err
			}
			out = append(out, v)
		}
	}
	return out, nil
}

// whole writes a resource out: the name of one of the action's type stands for it.
func (s *Service) whole(action, resource string, domain id.ID) string {
	if strings.Contains(resource, ":") {
		return resource
	}
	parts := strings.Split(action, ":")
	kindName := "*"
	if len(parts) > 2 {
		kindName = parts[1]
	}
	return strings.Join([]string{parts[0], s.Kinds.region, string(domain), kindName, resource}, ":")
}

// rule reads the deciding statement.
func (s *Service) rule(tx store.Tx, m *policy.Match, inline []policy.Attached) (*Rule, error) {
	if m == nil {
		return nil, nil
	}
	r := &Rule{Policy: m.Policy, PolicyID: m.ID, Held: m.Source, Number: m.Statement, Sid: m.Sid}
	if m.ID == "" {
		return r, nil
	}
	p, err := s.Kinds.Policy.Get(tx, id.ID(m.ID))
	if err != nil || p == nil {
		return r, err
	}
	r.Statement = statementOf(p, m.Statement)
	return r, nil
}

// explain tells why a call was decided as it was.
func (s *Service) explain(tx store.Tx, domain, entry id.ID) (*Explanation, error) {
	e, err := ledger.Find(tx, domain, entry)
	if err != nil {
		return nil, err
	}
	if e == nil {
		return nil, fail.New(fail.NotFound, "there is no audit entry %q", entry).Then("see awan audit -o json for the ids")
	}
	x := &Explanation{Entry: *e, Allowed: e.Outcome != ledger.Denied, Reason: e.Reason}
	d := e.Decision
	if d == nil {
		return x, nil // not a question of policies: a log-in, or the cloud's own work
	}
	x.Allowed, x.Reason = d.Allowed, d.Reason
	var by *policy.Match
	if d.Policy != "" || d.Statement > 0 {
		by = &policy.Match{ID: d.PolicyID, Policy: d.Policy, Source: d.Held, Statement: d.Statement, Sid: d.Sid}
	}
	if x.Deciding, err = s.rule(tx, by, nil); err != nil {
		return nil, err
	}
	if d.PolicyID != "" {
		p, err := s.Kinds.Policy.Get(tx, id.ID(d.PolicyID))
		if err != nil {
			return nil, err
		}
		x.Changed = p == nil || p.Generation != d.Generation
		if x.Then = len(d.Said) > 0; x.Then {
			x.Deciding.Statement = d.Said
		}
	}
	x.Now, err = s.again(tx, e, d)
	return x, err
}

// again asks the same question as then.
func (s *Service) again(tx store.Tx, e *ledger.Entry, d *ledger.Decision) (*Verdict, error) {
	p, err := s.principal(tx, e.ActorID)
	if fail.Is(err, fail.Unauthenticated) {
		if p, err = s.agencyNow(tx, e.ActorID); err != nil || p.User == "" {
			return nil, err
		}
	} else if err != nil {
		return nil, err
	}
	p.Method = ByToken
	facts := map[string][]string{}
	for k, v := range d.Facts {
		facts[k] = v
	}
	now, err := s.decide(tx, p, e.Action, d.Resource, d.Domain, e.Project, facts)
	if err != nil {
		return nil, err
	}
	v := &Verdict{Action: e.Action, Resource: d.Resource, Allowed: now.Allowed, Reason: now.Reason}
	v.Deciding, err = s.rule(tx, now.By, nil)
	return v, err
}

// Note is what the audit log keeps of a decision.
func (s *Service) Note(tx store.Tx, d policy.Decision, resource string, domain id.ID, facts map[string][]string) (*ledger.Decision, error) {
	n := &ledger.Decision{Allowed: d.Allowed, Reason: d.Reason, Resource: resource, Domain: domain, Facts: facts}
	if d.By == nil {
		return n, nil
	}
	n.PolicyID, n.Policy, n.Held, n.Statement, n.Sid = d.By.ID, d.By.Policy, d.By.Source, d.By.Statement, d.By.Sid
	if d.By.ID == "" {
		return n, nil
	}
	p, err := s.Kinds.Policy.Get(tx, id.ID(d.By.ID))
	if p != nil {
		n.Generation = p.Generation
		if said := statementOf(p, n.Statement); len(said) <= maxSaid {
			n.Said = said
		}
	}
	return n, err
}

// maxSaid is the longest statement that the audit log keeps with a decision.
const maxSaid = 4 << 10

func statementOf(p *policyRow, number int) json.RawMessage {
	var doc struct{ Statement []json.RawMessage }
	if json.Unmarshal(p.Spec.Document, &doc) != nil || number < 1 || number > len(doc.Statement) {
		return nil
	}
	return doc.Statement[number-1]
}

// unused finds rights that were not used since.
func (s *Service) unused(tx store.Tx, domain id.ID, q Unused) ([]UnusedRights, error) {
	if err := ref(tx, s.Kinds.User, domain, "user", &q.User); err != nil {
		return nil, err
	}
	users, err := s.Kinds.User.List(tx, string(domain), kind.Filter{Where: func(r kind.AnyRow) bool { return q.User == "" || string(r.M().ID) == q.User }})
	if err != nil {
		return nil, err
	}
	since := s.now().Add(-time.Duration(q.Days) * 24 * time.Hour)
	out := []UnusedRights{}
	for _, u := range users {
		r, err := s.unusedOf(tx, u, since)
		if err != nil {
			return nil, err
		}
		if len(r.Policies)+len(r.Services)+len(r.Actions) > 0 {
			out = append(out, r)
		}
	}
	return out, nil
}

func (s *Service) unusedOf(tx store.Tx, u *userRow, since time.Time) (r UnusedRights, err error) {
	r = UnusedRights{User: u.Name, UserID: u.ID, Policies: []UnusedPolicy{}, Services: []string{}, Actions: []string{}}
	if r.LastUsed, err = s.UserUsed(tx, u.ID); err != nil {
		return r, err
	}
	all, err := s.policies(tx, Principal{User: u.ID, UserName: u.Name, Domain: u.Domain, Groups: u.Spec.Groups})
	if err != nil {
		return r, err
	}
	var docs []policy.Attached
	for _, g := range all {
		docs = append(docs, g.Attached)
		at, err := s.PolicyUsed(tx, g.policy)
		if err != nil {
			return r, err
		}
		if at.Before(since) {
			r.Policies = append(r.Policies, UnusedPolicy{Policy: g.Name, Held: g.Source, LastUsed: at})
		}
	}
	used, err := s.actionsUsed(tx, u.ID)
	if err != nil {
		return r, err
	}
	granted, live := map[string][]string{}, map[string]bool{}
	for _, d := range s.Kinds.others {
		for _, verb := range verbsOf(d) {
			action := strings.ToLower(d.Action(verb))
			if at, ok := used[action]; ok && !at.Before(since) {
				live[d.Service] = true
			} else if policy.MayEver(action, docs) {
				granted[d.Service] = append(granted[d.Service], action)
			}
		}
	}
	for _, service := range slices.Sorted(maps.Keys(granted)) {
		if live[service] {
			r.Actions = append(r.Actions, granted[service]...)
		} else {
			r.Services = append(r.Services, service)
		}
	}
	return r, nil
}

func verbsOf(d *kind.Def) []string {
	out := []string{"list", "get"}
	if !d.ReadOnly {
		out = append(out, "create", "update", "delete")
	}
	for _, a := range d.Desc.Actions {
		out = append(out, a.Verb)
	}
	return out
}
