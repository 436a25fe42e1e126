package ident

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/awancloud/awan/internal/kernel/clock"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/policy"
	"github.com/awancloud/awan/internal/kernel/secret"
	"github.com/awancloud/awan/internal/kernel/store"
)

// Service answers who a caller is and what it may do.
type Service struct {
	Kinds *Kinds
	// PasswordOnAPIs lets people without a second factor log in by password on the APIs in accounts made from now on, until
	// their own rules say otherwise.
	PasswordOnAPIs bool

	store     store.Store
	passwords *secret.Passwords
	sealer    *secret.Sealer
	now       clock.Clock
	attempts  attempts
	uses      uses

	mu    sync.Mutex
	rev   string
	cache *cache // right while rev is the stored one
}

// New makes the service over a store.
func New(s store.Store, passwords *secret.Passwords, sealer *secret.Sealer, now clock.Clock) *Service {
	out := &Service{Kinds: NewKinds(passwords), store: s, passwords: passwords, sealer: sealer, now: now,
		attempts: attempts{now: now, seen: map[string]*tries{}}}
	out.Kinds.service, out.Kinds.others = out, out.Kinds.All()
	return out
}

// bump marks in the caller's transaction that identity changed. The mark is never the same twice, so that what another
// transaction read, which was then undone, is not taken for what this one leaves behind.
func bump(tx store.Tx) error { return tx.Put(revKey, []byte(id.New())) }

// principal reads a user who may log in.
func (s *Service) principal(tx store.Tx, user id.ID) (Principal, error) {
	p, _, err := s.user(tx, user)
	return p, err
}

func (s *Service) user(tx store.Tx, user id.ID) (Principal, *userRow, error) {
	u, err := s.Kinds.User.Get(tx, user)
	if err != nil {
		return Principal{}, nil, err
	}
	if u == nil || u.Spec.Disabled {
		return Principal{}, nil, fail.New(fail.Unauthenticated, "this user cannot log in").Then("ask an administrator of your domain")
	}
	d, err := s.Kinds.Domain.Get(tx, u.Domain)
	if err != nil {
		return Principal{}, nil, err
	}
	if d == nil || d.Spec.Disabled {
		return Principal{}, nil, fail.New(fail.Unauthenticated, "this domain is disabled").Then("ask the operator of the cloud")
	}
	return Principal{User: u.ID, UserName: u.Name, Domain: d.ID, DomainName: d.Name, Groups: u.Spec.Groups}, u, nil
}

// findUser finds a user by id, or by name in a domain given by name or id; domain "" with a name is refused.
func (s *Service) findUser(tx store.Tx, domain, user string) (*userRow, error) {
	if uid, ok := id.Parse(user); ok {
		if u, err := s.Kinds.User.Get(tx, uid); u != nil || err != nil {
			return u, err
		}
	}
	d, err := s.Kinds.Domain.Find(tx, "-", domain)
	if err != nil || d == nil {
		return nil, err
	}
	return s.Kinds.User.Find(tx, string(d.ID), user)
}

// signer is an access key as the cache holds it.
type signer struct {
	principal Principal
	secret    string
}

// ByKey gives the principal of an access key and the secret to verify a signature with.
func (s *Service) ByKey(ctx context.Context, access string) (Principal, string, error) {
	var g signer
	err := s.store.View(ctx, func(tx store.Tx) error {
		c, err := s.cached(tx)
		if err != nil {
			return err
		}
		g, err = lookup(c, c.keys, access, func() (signer, error) { return s.readKey(tx, access) })
		return err
	})
	if err != nil {
		return Principal{}, "", err
	}
	g.principal.Method, g.principal.Key, g.principal.Issued = ByKey, access, s.now()
	s.uses.note(useOfKey(access), s.now())
	s.uses.note(useOfUser(g.principal), s.now())
	return g.principal, g.secret, nil
}

func (s *Service) readKey(tx store.Tx, access string) (g signer, err error) {
	unknown := fail.New(fail.Unauthenticated, "access key %s is unknown or disabled", access).Then("check the key, or make one: awan access-key create")
	row, ok, err := tx.Get(keyPrefix + access)
	if err != nil {
		return g, err
	}
	if !ok {
		return g, unknown
	}
	key, err := s.Kinds.Key.Get(tx, id.ID(row))
	if err != nil {
		return g, err
	}
	if key == nil {
		g, found, err := s.readPair(tx, id.ID(row))
		if err == nil && !found {
			err = unknown
		}
		return g, err
	}
	if key.Spec.Disabled {
		return g, unknown
	}
	var u *userRow
	if g.principal, u, err = s.user(tx, id.ID(key.Spec.User)); err != nil {
		return g, err
	}
	if u.Spec.AccessMode == ConsoleOnly {
		return g, fail.New(fail.Unauthenticated, "this user may use the console only").Then("ask an administrator of your domain")
	}
	g.secret, err = s.unseal(key.Domain, "status.secret_key", key.ID, key.Status.Secret)
	return g, err
}

// Decide asks whether p may do action on resource in a project ("" = in the domain). facts are the call's condition
// keys; those of the principal are added here. tx is the transaction in which the answer must hold.
func (s *Service) Decide(tx store.Tx, p Principal, action, resource string, domain, project id.ID, facts map[string][]string) (policy.Decision, error) {
	return s.Ask(tx, p, Request{Action: action, Resource: resource, Domain: domain, Project: project, Facts: facts})
}

// decide is Decide for questions that are no use of a right.
func (s *Service) decide(tx store.Tx, p Principal, action, resource string, domain, project id.ID, facts map[string][]string) (policy.Decision, error) {
	return s.answer(tx, p, Request{Action: action, Resource: resource, Domain: domain, Project: project, Facts: facts})
}

// May tells whether p may do something at all, without its being a use of the right: for menus, and for names beside ids.
func (s *Service) May(tx store.Tx, p Principal, action, resource string, domain, project id.ID) bool {
	d, err := s.decide(tx, p, action, resource, domain, project, map[string][]string{})
	return err == nil && d.Allowed
}

func (s *Service) answer(tx store.Tx, p Principal, q Request) (policy.Decision, error) {
	if p.Method == BySystem {
		return policy.Decision{Allowed: true, Reason: "the cloud itself"}, nil
	}
	all, err := s.policies(tx, p)
	if err != nil {
		return policy.Decision{}, err
	}
	enterprise := q.enterprise()
	var docs []policy.Attached
	for _, g := range all {
		if g.holds(p, q.Domain, q.Project, enterprise) {
			docs = append(docs, g.Attached)
		}
	}
	req := s.asked(q, p)
	d := policy.Decide(req, docs)
	for _, doc := range p.Narrow {
		if n := policy.Decide(req, []policy.Attached{{Name: "of the session", Source: "what it was narrowed to", Doc: doc}}); d.Allowed && !n.Allowed {
			d = n
		}
	}
	return d, nil
}

func (s *Service) addFacts(f map[string][]string, p Principal) {
	set := func(k, v string) {
		if _, given := f[k]; v != "" && !given {
			f[k] = []string{v}
		}
	}
	now := s.now()
	set("g:CurrentTime", now.UTC().Format(time.RFC3339))
	set("g:DomainId", string(p.Domain))
	set("g:DomainName", p.DomainName)
	set("g:UserId", string(p.User))
	set("g:UserName", p.UserName)
	set("g:PrincipalId", string(p.User))
	set("g:PrincipalAccount", string(p.Domain))
	kind := "User"
	if p.Agency != "" {
		kind = "AssumedAgency"
	}
	set("g:PrincipalType", kind)
	set("g:MFAPresent", strconv.FormatBool(p.MFA))
	set("g:TokenAge", strconv.Itoa(int(now.Sub(p.Issued).Seconds())))
}

// Cloud reports whether the caller's policies may hold beyond its own domain. It is set by Decide's caller.
func (p Principal) Cloud() bool { return p.Method == BySystem || p.cloud }

// MarkCloud notes on p whether it has a grant that holds in the whole cloud.
func (s *Service) MarkCloud(tx store.Tx, p *Principal) error {
	all, err := s.policies(tx, *p)
	for _, g := range all {
		p.cloud = p.cloud || g.cloud
	}
	return err
}

type granted struct {
	policy.Attached
	policy     id.ID
	domain     id.ID  // "" = the holder's own
	project    id.ID  // "" = everywhere in the domain
	enterprise string // "" = whatever it belongs to; "0" = the default one
	cloud      bool
}

// policies gives what is granted to a user and its groups, or to an agency, from a cache that is right for the
// transaction's state.
func (s *Service) policies(tx store.Tx, p Principal) ([]granted, error) {
	c, err := s.cached(tx)
	if err != nil {
		return nil, err
	}
	if p.Trust != "" {
		return lookup(c, c.policies, "trust/"+string(p.Trust), func() ([]granted, error) { return s.lent(tx, p) })
	}
	key := string(p.User)
	if p.Application != "" {
		key += "/" + string(p.Application)
	}
	if len(p.Federated) > 0 { // the same user may come with other groups
		key += "/" + strings.Join(p.Federated, ",")
	}
	return lookup(c, c.policies, key, func() ([]granted, error) { return s.readPolicies(tx, p) })
}

func (s *Service) readPolicies(tx store.Tx, p Principal) ([]granted, error) {
	var out []granted
	vouched := false // a provider's word makes nobody an operator: administrators of its domain say what it may say
	add := func(subject, source string) error {
		grants, err := s.Kinds.Grant.List(tx, string(p.Domain), kind.Filter{Index: "subject", Value: subject})
		if err != nil {
			return err
		}
		for _, g := range grants {
			pol := id.ID(g.Spec.Policy)
			if !p.uses(pol) {
				continue
			}
			doc, err := s.attached(tx, pol, source)
			if err != nil {
				return err
			}
			if doc.Doc == nil {
				continue
			}
			all, err := s.withImplied(tx, granted{Attached: doc, policy: pol, project: id.ID(g.Spec.Project), enterprise: g.Spec.EnterpriseProject,
				cloud: g.Spec.Cloud && !p.Lent() && !vouched}, p.Domain)
			if err != nil {
				return err
			}
			if all, err = s.spread(tx, g, all); err != nil {
				return err
			}
			out = append(out, all...)
		}
		return nil
	}
	source := "user " + p.UserName
	if p.Agency != "" {
		source = "agency " + p.UserName
	}
	if err := add(string(p.User), source); err != nil {
		return nil, err
	}
	for _, g := range p.Groups {
		row, err := s.Kinds.Group.Get(tx, id.ID(g))
		if err != nil {
			return nil, err
		}
		if row == nil {
			continue
		}
		vouched = slices.Contains(p.Federated, g)
		if err := add(g, "group "+row.Name); err != nil {
			return nil, err
		}
	}
	abroad, err := s.visiting(tx, p)
	return append(out, abroad...), err
}

// spread is what a grant gives in the projects in which it holds, where it is inherited.
func (s *Service) spread(tx store.Tx, g *grantRow, all []granted) (out []granted, err error) {
	if !g.Spec.Inherited {
		return all, nil
	}
	below, err := s.Kinds.Below(tx, g.Domain, id.ID(g.Spec.Project))
	for _, project := range below {
		for _, each := range all {
			each.project = project
			out = append(out, each)
		}
	}
	return out, err
}

// attached reads a policy as somebody came by it; without a document where there is none.
func (s *Service) attached(tx store.Tx, pol id.ID, source string) (policy.Attached, error) {
	row, err := s.Kinds.Policy.Get(tx, pol)
	if row == nil || err != nil {
		return policy.Attached{}, err
	}
	doc, err := policy.Parse(row.Spec.Document)
	return policy.Attached{ID: string(row.ID), Name: row.Name, Source: source, Doc: doc}, err
}

// uses tells whether a policy is one that the credential may use.
func (p Principal) uses(pol id.ID) bool {
	if p.Only == nil {
		return true
	}
	for _, o := range p.Only {
		if o == pol {
			return true
		}
	}
	return false
}

// writes tells whether any policy of a user lets it change something.
func (s *Service) writes(tx store.Tx, p Principal) (bool, error) {
	all, err := s.policies(tx, p)
	for _, g := range all {
		if g.Doc.Writes() {
			return true, err
		}
	}
	return false, err
}
