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
}

func (q Request) request() policy.Request {
	r := policy.Request{Action: q.Action, Resource: q.Resource, Facts: q.Facts}
	parts := strings.SplitN(q.Resource, ":", 5)
	for _, name := range strings.Fields(q.Alias) {
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
	} else {
		s.addFacts(q.Facts, p)
	}
	theirs := policy.Decide(q.request(), own)
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
