package ident

import (
	"context"
	"strconv"
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
	Kinds     *Kinds
	store     store.Store
	passwords *secret.Passwords
	sealer    *secret.Sealer
	now       clock.Clock
	attempts  attempts

	mu    sync.Mutex
	rev   string
	known map[id.ID][]granted // the policies of users, right while rev is the stored one
}

type granted struct {
	policy.Attached
	policy  id.ID
	project id.ID // "" = everywhere in the domain
	cloud   bool
}

// New makes the service over a store.
func New(s store.Store, passwords *secret.Passwords, sealer *secret.Sealer, now clock.Clock) *Service {
	return &Service{Kinds: NewKinds(passwords), store: s, passwords: passwords, sealer: sealer, now: now,
		attempts: attempts{now: now, seen: map[string]*tries{}}, known: map[id.ID][]granted{}}
}

// bump marks in the caller's transaction that identity changed.
func bump(tx store.Tx) error {
	b, _, err := tx.Get(revKey)
	if err != nil {
		return err
	}
	n, _ := strconv.ParseUint(string(b), 10, 64)
	return tx.Put(revKey, strconv.AppendUint(nil, n+1, 10))
}

// principal reads a user who may log in.
func (s *Service) principal(tx store.Tx, user id.ID) (Principal, error) {
	u, err := s.Kinds.User.Get(tx, user)
	if err != nil {
		return Principal{}, err
	}
	if u == nil || u.Spec.Disabled {
		return Principal{}, fail.New(fail.Unauthenticated, "this user cannot log in").Then("ask an administrator of your domain")
	}
	d, err := s.Kinds.Domain.Get(tx, u.Domain)
	if err != nil {
		return Principal{}, err
	}
	if d == nil || d.Spec.Disabled {
		return Principal{}, fail.New(fail.Unauthenticated, "this domain is disabled").Then("ask the operator of the cloud")
	}
	return Principal{User: u.ID, UserName: u.Name, Domain: d.ID, DomainName: d.Name, Groups: u.Spec.Groups}, nil
}

var badLogin = fail.Error{Kind: fail.Unauthenticated, Message: "the user name, domain or password is wrong",
	Next: "check all three; after ten failures in a row the log-in is closed for a while"}

// ByPassword logs a user in. domain is a name or id; source is the caller's address, for the limit on guessing.
func (s *Service) ByPassword(ctx context.Context, domain, user, password, source string) (Principal, error) {
	if err := s.attempts.allowed(domain+"/"+user, source); err != nil {
		return Principal{}, err
	}
	var p Principal
	var hash string
	err := s.store.View(ctx, func(tx store.Tx) error {
		u, err := s.findUser(tx, domain, user)
		if err != nil || u == nil {
			return err
		}
		if u.Spec.Password != "" {
			h, err := s.unseal(u.Domain, "spec.password", u.ID, u.Spec.Password)
			if err != nil {
				return err
			}
			hash = h
		}
		p, err = s.principal(tx, u.ID)
		return err
	})
	if err != nil && !fail.Is(err, fail.Unauthenticated) {
		return Principal{}, err
	}
	if hash == "" {
		hash = s.decoy(ctx) // the same work for an unknown user, so that time does not tell which names exist
	}
	ok, _, verr := s.passwords.Verify(ctx, hash, password)
	if verr != nil {
		return Principal{}, verr
	}
	if !ok || p.User == "" {
		s.attempts.failed(domain+"/"+user, source)
		bad := badLogin
		return Principal{}, &bad
	}
	if err != nil {
		return Principal{}, err
	}
	s.attempts.succeeded(domain+"/"+user, source)
	p.Method, p.Issued = ByPassword, s.now()
	return p, nil
}

func (s *Service) decoy(ctx context.Context) string {
	h, err := s.passwords.Hash(ctx, "no such user")
	if err != nil {
		return ""
	}
	return h
}

// findUser finds a user by id, or by name in a domain given by name or id; domain "" with a name is refused.
func (s *Service) findUser(tx store.Tx, domain, user string) (*kind.Row[UserSpec, None], error) {
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

// ByKey gives the principal of an access key and the secret to verify a signature with.
func (s *Service) ByKey(ctx context.Context, access string) (Principal, string, error) {
	var p Principal
	var plain string
	err := s.store.View(ctx, func(tx store.Tx) error {
		unknown := fail.New(fail.Unauthenticated, "access key %s is unknown or disabled", access).Then("check the key, or make one: awan access-key create")
		row, ok, err := tx.Get(keyPrefix + access)
		if err != nil {
			return err
		}
		if !ok {
			return unknown
		}
		key, err := s.Kinds.Key.Get(tx, id.ID(row))
		if err != nil {
			return err
		}
		if key == nil || key.Spec.Disabled {
			return unknown
		}
		if p, err = s.principal(tx, id.ID(key.Spec.User)); err != nil {
			return err
		}
		plain, err = s.unseal(key.Domain, "status.secret_key", key.ID, key.Status.Secret)
		return err
	})
	p.Method, p.Key, p.Issued = ByKey, access, s.now()
	if err != nil {
		return Principal{}, "", err
	}
	return p, plain, nil
}

// Decide asks whether p may do action on resource in a project ("" = in the domain). facts are the call's condition
// keys; those of the principal are added here. tx is the transaction in which the answer must hold.
func (s *Service) Decide(tx store.Tx, p Principal, action, resource string, domain, project id.ID, facts map[string][]string) (policy.Decision, error) {
	if p.Method == BySystem {
		return policy.Decision{Allowed: true, Reason: "the cloud itself"}, nil
	}
	all, err := s.policies(tx, p)
	if err != nil {
		return policy.Decision{}, err
	}
	var docs []policy.Attached
	for _, g := range all {
		if g.holds(p, domain, project) {
			docs = append(docs, g.Attached)
		}
	}
	s.addFacts(facts, p)
	return policy.Decide(policy.Request{Action: action, Resource: resource, Facts: facts}, docs), nil
}

func (s *Service) addFacts(f map[string][]string, p Principal) {
	set := func(k, v string) {
		if v != "" {
			f[k] = []string{v}
		}
	}
	now := s.now()
	set("g:CurrentTime", now.UTC().Format(time.RFC3339))
	set("g:DomainId", string(p.Domain))
	set("g:DomainName", p.DomainName)
	set("g:UserId", string(p.User))
	set("g:UserName", p.UserName)
	set("g:PrincipalType", "User")
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

// policies gives what is granted to a user and its groups, from a cache that is right for the transaction's state.
func (s *Service) policies(tx store.Tx, p Principal) ([]granted, error) {
	b, _, err := tx.Get(revKey)
	if err != nil {
		return nil, err
	}
	rev := string(b)
	s.mu.Lock()
	if s.rev == rev {
		if g, ok := s.known[p.User]; ok {
			s.mu.Unlock()
			return g, nil
		}
	}
	s.mu.Unlock()
	got, err := s.readPolicies(tx, p)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rev != rev {
		s.rev, s.known = rev, map[id.ID][]granted{}
	}
	s.known[p.User] = got
	return got, nil
}

func (s *Service) readPolicies(tx store.Tx, p Principal) ([]granted, error) {
	var out []granted
	add := func(subject, source string) error {
		grants, err := s.Kinds.Grant.List(tx, string(p.Domain), kind.Filter{Index: "subject", Value: subject})
		if err != nil {
			return err
		}
		for _, g := range grants {
			pol, err := s.Kinds.Policy.Get(tx, id.ID(g.Spec.Policy))
			if err != nil {
				return err
			}
			if pol == nil {
				continue
			}
			doc, err := policy.Parse(pol.Spec.Document)
			if err != nil {
				return err
			}
			out = append(out, granted{Attached: policy.Attached{Name: pol.Name, Source: source, Doc: doc},
				policy: pol.ID, project: id.ID(g.Spec.Project), cloud: g.Spec.Cloud})
		}
		return nil
	}
	if err := add(string(p.User), "user "+p.UserName); err != nil {
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
		if err := add(g, "group "+row.Name); err != nil {
			return nil, err
		}
	}
	return out, nil
}
