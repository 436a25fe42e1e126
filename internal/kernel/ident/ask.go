package ident

import (
	"strings"

	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/policy"
	"github.com/awancloud/awan/internal/kernel/store"
)

// Request is whether somebody may do something.
type Request struct {
	Action, Resource string
	Alias            string // what the action is called elsewhere: "obs:object:GetObject"; several with spaces between them. Policies may say that
	Domain, Project  id.ID  // where the resource lies; "" as Project: in the domain
	Facts            map[string][]string
	// Late, where set, gives Facts when a policy's condition first asks for them, always the same map; Enterprise is then
	// the enterprise project of the resource, which grants ask for themselves.
	Late       func() map[string][]string
	Enterprise string
}

// FactsOf adds to the facts of a request what is known of p.
func (s *Service) FactsOf(facts map[string][]string, p Principal) map[string][]string {
	s.addFacts(facts, p)
	return facts
}

// asked is q as policies see it, asked by p.
func (s *Service) asked(q Request, p Principal) policy.Request {
	r := q.request()
	if q.Late == nil {
		r.Facts = s.FactsOf(q.Facts, p)
	} else {
		r.Late = func() map[string][]string { return s.FactsOf(q.Late(), p) }
	}
	return r
}

// enterprise is the enterprise project of the resource.
func (q Request) enterprise() string {
	if q.Late != nil {
		return q.Enterprise
	}
	out := ""
	for _, v := range q.Facts["g:EnterpriseProjectId"] {
		out = v
	}
	return out
}

func (q Request) request() policy.Request {
	r := policy.Request{Action: q.Action, Resource: q.Resource}
	if q.Alias == "" {
		return r
	}
	parts := strings.SplitN(q.Resource, ":", 5)
	for name := range strings.FieldsSeq(q.Alias) {
		// An alias names service and type of the resource as well: obs:REGION:DOMAIN:object:PATH.
		if alias := strings.SplitN(name, ":", 3); len(alias) == 3 && len(parts) == 5 {
			parts[0], parts[3] = alias[0], alias[1]
			r.Also = append(r.Also, policy.Alias{Action: name, Resource: strings.Join(parts, ":")})
		}
	}
	return r
}

// Ask answers by what p's policies say, and remembers which of them were of use.
func (s *Service) Ask(tx store.Tx, p Principal, q Request) (policy.Decision, error) {
	d, err := s.answer(tx, p, q)
	if d.Allowed && p.Method != BySystem {
		s.noteDecision(p, q.Action, d)
	}
	return d, err
}

// AskBoth answers by what p's policies and the resource's own say: of which those that speak of p are given. Whatever
// denies, denies. In the resource's domain one of the two is enough; others need both, and nobody needs the resource's.
func (s *Service) AskBoth(tx store.Tx, p Principal, q Request, own []policy.Attached) (policy.Decision, error) {
	var mine policy.Decision
	home := p.Method == BySystem || p.Domain == q.Domain || p.Cloud()
	if !home && !p.Nobody() {
		var err error
		if home, err = s.Visits(tx, p, q.Domain, q.Project); err != nil {
			return mine, err
		}
	}
	if home && p.Project != "" && q.Project != "" && p.Project != q.Project && p.Bound() {
		home = false
	}
	if !p.Nobody() {
		at := q
		if !home {
			at.Domain, at.Project = p.Domain, p.Project
		}
		var err error
		if mine, err = s.Ask(tx, p, at); err != nil {
			return mine, err
		}
	}
	theirs := policy.Decide(s.asked(q, p), own)
	denies := func(d policy.Decision) bool { return !d.Allowed && d.By != nil }
	switch {
	case denies(mine):
		return mine, nil
	case denies(theirs):
		return theirs, nil
	case p.Nobody(), home && theirs.Allowed && !mine.Allowed, !home && !theirs.Allowed:
		return theirs, nil
	}
	return mine, nil
}
