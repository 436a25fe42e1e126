package ident

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/policy"
	"github.com/awancloud/awan/internal/kernel/store"
)

// AgencySpec describes an agency: rights in this domain that another account, or a service of the cloud, may act with.
type AgencySpec struct {
	Description  string `json:"description" doc:"what it is for" max:"255"`
	TrustDomain  string `json:"trust_domain" doc:"the account, by name or id, whose users may act through it" max:"64" example:"partner"`
	TrustService string `json:"trust_service" doc:"or the service of the cloud that may" pattern:"^[a-z][a-z0-9.-]{1,63}$" example:"app"`
	Duration     string `json:"duration" doc:"how long it holds from its creation on: FOREVER, ONEDAY, or a number of days" pattern:"^(FOREVER|ONEDAY|[1-9][0-9]{0,3})$" default:"FOREVER"`
	MaxSession   int64  `json:"max_session" doc:"how long a session through it may last" unit:"s" min:"900" max:"86400" default:"86400"`
}

// AgencyStatus is what follows from the spec.
type AgencyStatus struct {
	TrustDomain id.ID     `json:"trust_domain_id" doc:"the trusted account's id: a later account of the same name is not trusted"`
	TrustName   string    `json:"trust_domain_name" doc:"its name when the agency was last changed"`
	Expires     time.Time `json:"expires,omitzero" doc:"when it ends by itself"`
	LastUsed    time.Time `json:"last_used,omitzero" doc:"when somebody last did something through it, exact to a minute; none: never"`
}

type agencyRow = kind.Row[AgencySpec, AgencyStatus]

// Assume is the action that a caller's own domain must allow it, on the agency, to act through one.
const Assume = "identity:agency:assume"

// Pass is the verb that lets a caller hand an agency to something that acts with it, a server say.
const Pass = "pass"

func (k *Kinds) agencyKind() kind.Kind[AgencySpec, AgencyStatus] {
	return kind.Kind[AgencySpec, AgencyStatus]{Service: "identity", Name: "agency", Plural: "agencies", Scope: kind.InDomain, NamePat: NamePattern,
		Doc:     "Rights in this domain that another account or a service of the cloud may act with. It may do nothing until a policy is granted to it.",
		Columns: []string{"status.trust_domain_name", "spec.trust_service", "spec.duration", "status.expires", "status.last_used"},
		Example: AgencySpec{TrustDomain: "partner", Duration: "30"},
		Index: map[string]func(*agencyRow) []string{
			"trust": func(r *agencyRow) []string { return []string{string(r.Status.TrustDomain) + r.Spec.TrustService} }},
		Check: k.checkAgency, Changed: k.agencyChanged,
		Shown: func(tx store.Tx, r *agencyRow) (err error) {
			r.Status.LastUsed, err = k.service.UserUsed(tx, r.ID)
			return err
		}}
}

func (k *Kinds) checkAgency(_ context.Context, tx store.Tx, old, row *agencyRow) error {
	s := &row.Spec
	if (s.TrustDomain == "") == (s.TrustService == "") {
		return fail.Field("spec.trust_domain", "trust either an account or a service")
	}
	row.Status.Expires = time.Time{}
	switch s.Duration {
	case "FOREVER", "":
	case "ONEDAY":
		row.Status.Expires = row.Created.Add(24 * time.Hour)
	default:
		days, err := strconv.Atoi(s.Duration)
		if err != nil {
			return fail.Field("spec.duration", "%q is not a number of days", s.Duration)
		}
		row.Status.Expires = row.Created.Add(time.Duration(days) * 24 * time.Hour)
	}
	if s.TrustDomain == "" {
		if old == nil || old.Spec.TrustService != s.TrustService {
			if err := k.checkService(s.TrustService); err != nil {
				return err
			}
		}
		row.Status.TrustDomain, row.Status.TrustName = "", ""
		return nil
	}
	if old != nil && s.TrustDomain == old.Spec.TrustDomain {
		return nil // not resolved again: the name may be another account's by now
	}
	d, err := k.Domain.Find(tx, "-", s.TrustDomain)
	if err != nil {
		return err
	}
	if d == nil {
		return fail.Field("spec.trust_domain", "there is no domain %q", s.TrustDomain)
	}
	row.Status.TrustDomain, row.Status.TrustName = d.ID, d.Name
	return nil
}

func (k *Kinds) agencyChanged(_ context.Context, tx store.Tx, old, row *agencyRow) error {
	if row == nil {
		return k.forgetAgency(tx, old)
	}
	return bump(tx)
}

// forgetAgency takes away what hangs on an agency: its grants, and the sessions and keys that act through it.
func (k *Kinds) forgetAgency(tx store.Tx, a *agencyRow) error {
	if err := k.forgetGrants(tx, a.Domain, string(a.ID)); err != nil {
		return err
	}
	if err := revokeAll(tx, a.ID); err != nil {
		return err
	}
	return bump(tx)
}

// Actor is who acts through an agency.
type Actor struct {
	User    id.ID  `json:"user,omitempty"` // "" = a service of the cloud
	Service string `json:"service,omitempty"`
	Name    string `json:"name"`
	Domain  id.ID  `json:"domain,omitempty"`
	// DomainName is for people.
	DomainName string `json:"domain_name,omitempty"`
}

// ByAgency gives the principal that p becomes through an agency of a domain (each a name or an id). What p may not see
// or does not have the trust of is not there for it. region is part of the agency's name in policies.
func (s *Service) ByAgency(tx store.Tx, p Principal, domain, agency, region string, facts map[string][]string) (Principal, *kind.Meta, policy.Decision, error) {
	var no policy.Decision
	unknown := fail.New(fail.NotFound, "there is no agency %q of %q that trusts your account", agency, domain).
		Then("ask them to name your account, %s, as the one it trusts", p.DomainName)
	if p.Agency != "" {
		return Principal{}, nil, no, fail.New(fail.Denied, "who acts through an agency cannot act through another").Then("use a token of your own")
	}
	if p.Lent() {
		return Principal{}, nil, no, fail.New(fail.Denied, "an application credential or a trust cannot act through an agency").Then("use a token of the user")
	}
	d, err := s.Kinds.Domain.Find(tx, "-", domain)
	if err != nil {
		return Principal{}, nil, no, err
	}
	if d == nil {
		return Principal{}, nil, no, unknown
	}
	a, err := s.Kinds.Agency.Find(tx, string(d.ID), agency)
	if err != nil {
		return Principal{}, nil, no, err
	}
	if a == nil || a.Status.TrustDomain != p.Domain {
		return Principal{}, nil, no, unknown
	}
	facts["g:DomainId"] = []string{string(p.Domain)}
	dec, err := s.Decide(tx, p, Assume, s.Kinds.Agency.D.Resource(region, d.ID, a.Name), p.Domain, "", facts)
	if err != nil || !dec.Allowed {
		return Principal{}, &a.Meta, dec, err
	}
	q, err := s.through(tx, a.ID, Actor{User: p.User, Name: p.UserName, Domain: p.Domain, DomainName: p.DomainName})
	q.MFA, q.Method, q.Issued = p.MFA, ByAgency, s.now()
	return q, &a.Meta, dec, err
}

// ForService gives the principal that a service of the cloud (called by any of the names) becomes through an agency of a
// domain. on is what it acts for: a server, say.
func (s *Service) ForService(tx store.Tx, domain id.ID, agency, on string, names ...string) (Principal, error) {
	a, err := s.Kinds.Agency.Find(tx, string(domain), agency)
	if err != nil {
		return Principal{}, err
	}
	if a == nil {
		return Principal{}, fail.New(fail.NotFound, "there is no agency %q", agency).Then("see awan agency list")
	}
	if !slices.Contains(names, a.Spec.TrustService) {
		return Principal{}, fail.New(fail.Denied, "the agency %q does not trust the service %s", agency, names[0]).
			Then("make one that does: awan agency create NAME --trust-service %s, and grant it what it may do", names[0])
	}
	p, err := s.through(tx, a.ID, Actor{Name: on, Service: a.Spec.TrustService})
	p.Method, p.Issued = ByAgency, s.now()
	return p, err
}

// through is the principal of an agency, while the agency holds and who acts may still log in.
func (s *Service) through(tx store.Tx, agency id.ID, by Actor) (Principal, error) {
	gone := fail.New(fail.Unauthenticated, "the agency is no more, has expired, or does not trust you any longer").Then("ask the account that it belongs to")
	a, err := s.Kinds.Agency.Get(tx, agency)
	if err != nil {
		return Principal{}, err
	}
	if a == nil || a.Status.TrustDomain != by.Domain || a.Spec.TrustService != by.Service || !a.Status.Expires.IsZero() && !s.now().Before(a.Status.Expires) {
		return Principal{}, gone
	}
	d, err := s.Kinds.Domain.Get(tx, a.Domain)
	if err != nil {
		return Principal{}, err
	}
	if d == nil || d.Spec.Disabled {
		return Principal{}, gone
	}
	if by.User != "" {
		if _, err := s.principal(tx, by.User); err != nil {
			return Principal{}, err
		}
	}
	return Principal{User: a.ID, UserName: a.Name, Domain: d.ID, DomainName: d.Name, Agency: a.ID, By: by}, nil
}

// checkService refuses a service that this cloud does not have, by its own name or by that of another cloud's clients.
func (k *Kinds) checkService(name string) error {
	var own, also []string
	for alias, service := range k.Services {
		if name == alias {
			return nil
		}
		if alias == service {
			own = append(own, alias)
		} else {
			also = append(also, alias)
		}
	}
	if len(k.Services) == 0 { // where kinds are looked at without a cloud
		return nil
	}
	slices.Sort(own)
	slices.Sort(also)
	return fail.Field("spec.trust_service", "this cloud has no service %q", name).
		Then("name one of %s; or, as clients of another cloud call them, %s", strings.Join(own, ", "), strings.Join(also, ", "))
}
