package ident

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/policy"
	"github.com/awancloud/awan/internal/kernel/secret"
	"github.com/awancloud/awan/internal/kernel/store"
)

// How long temporary keys live.
const (
	MinTemporary     = 15 * time.Minute
	DefaultTemporary = 15 * time.Minute
	MaxTemporary     = 24 * time.Hour
)

// Keys: temporary/<access> holds a temporary key, temporaryof/<user or agency>/<access> finds those of one.
const (
	temporaryPrefix = "temporary/"
	temporaryOf     = "temporaryof/"
	temporaryStart  = "TMP" // of a temporary access key, so that people tell it from a lasting one
)

// Temporary is a key that ends by itself. It works only together with its security token.
type Temporary struct {
	Access, Secret, Token string
	Expires               time.Time
}

// temporary is what is stored of it.
type temporary struct {
	User        id.ID           `json:"user"` // or the agency
	Domain      id.ID           `json:"domain"`
	Project     id.ID           `json:"project,omitempty"`
	Agency      id.ID           `json:"agency,omitempty"`
	By          Actor           `json:"by,omitzero"`
	Application id.ID           `json:"application,omitempty"`
	Federated   []string        `json:"federated,omitempty"`
	MFA         bool            `json:"mfa,omitempty"`
	Secret      string          `json:"secret"` // sealed
	Token       string          `json:"token"`  // its hash
	Narrow      json.RawMessage `json:"narrow,omitempty"`
	Issued      time.Time       `json:"issued"`
	Expires     time.Time       `json:"expires"`
}

// IssueTemporary makes a temporary key that acts as p, at most as narrow allows (a policy document; none: nothing is
// taken away). It ends after life, and at once with the user or agency.
func (s *Service) IssueTemporary(ctx context.Context, p Principal, life time.Duration, narrow json.RawMessage) (Temporary, error) {
	if life == 0 {
		life = DefaultTemporary
	}
	if life < MinTemporary || life > MaxTemporary {
		return Temporary{}, fail.Field("duration", "a temporary key lives from %d to %d seconds", int(MinTemporary.Seconds()), int(MaxTemporary.Seconds()))
	}
	if p.Restricted != "" {
		return Temporary{}, Unfinished(p)
	}
	if p.Trust != "" {
		return Temporary{}, fail.New(fail.Denied, "a trust gives tokens, no keys").Then("use the token, or log in as the user")
	}
	if strings.HasPrefix(p.Key, temporaryStart) && p.Agency == "" {
		return Temporary{}, fail.New(fail.Denied, "a temporary key cannot make another").Then("use a token or a lasting key")
	}
	if isDocument(narrow) {
		if err := checkDocument("policy", narrow); err != nil {
			return Temporary{}, err
		}
	} else {
		narrow = nil
	}
	now := s.now().UTC()
	out := Temporary{Access: temporaryStart + secret.NewAccessKey()[len(temporaryStart):], Secret: secret.NewSecretKey(), Token: "awk1." + secret.NewToken(),
		Expires: now.Add(life).Truncate(time.Second)}
	t := temporary{User: p.User, Domain: p.Domain, Project: p.Project, Agency: p.Agency, By: p.By, Application: p.Application, MFA: p.MFA,
		Token: hashToken(out.Token), Narrow: narrow, Issued: now, Expires: out.Expires, Federated: p.Federated}
	var err error
	if t.Secret, err = s.Seal(p.Domain, "temporary", id.ID(out.Access), out.Secret); err != nil {
		return Temporary{}, err
	}
	b, err := json.Marshal(t)
	if err != nil {
		return Temporary{}, err
	}
	_, err = s.store.Update(ctx, func(tx store.Tx) error {
		if err := tx.Put(temporaryPrefix+out.Access, b); err != nil {
			return err
		}
		return tx.Put(temporaryOf+string(p.User)+"/"+out.Access, nil)
	})
	return out, err
}

// ByTemporary gives the principal of a temporary key and the secret to verify a signature with. token is the security
// token that was sent with it.
func (s *Service) ByTemporary(ctx context.Context, access, token string) (Principal, string, error) {
	wrong := fail.New(fail.Unauthenticated, "temporary key %s is unknown, ended, or not of this security token", access).Then("get a new one")
	var g signer
	var t temporary
	err := s.store.View(ctx, func(tx store.Tx) error {
		b, ok, err := tx.Get(temporaryPrefix + access) // always read: a revoked key is refused at once
		if err != nil {
			return err
		}
		if !ok {
			return wrong
		}
		c, err := s.cached(tx)
		if err != nil {
			return err
		}
		known, err := lookup(c, c.temporary, access, func() (k knownTemporary, err error) {
			if err = json.Unmarshal(b, &k.temporary); err == nil {
				k.signer, err = s.readTemporary(tx, access, k.temporary)
			}
			return k, err
		})
		if err != nil {
			return err
		}
		if g, t = known.signer, known.temporary; !secret.Equal(t.Token, hashToken(token)) || !s.now().Before(t.Expires) {
			return wrong
		}
		return s.still(tx, Token{Agency: t.Agency, By: t.By, Application: t.Application})
	})
	if err != nil {
		return Principal{}, "", err
	}
	p := g.principal
	p.Method, p.Key, p.Project, p.MFA, p.Issued, p.Expires = ByKey, access, t.Project, t.MFA, t.Issued, t.Expires
	s.uses.note(useOfUser(p), s.now())
	return p, g.secret, nil
}

type knownTemporary struct {
	signer
	temporary
}

func (s *Service) readTemporary(tx store.Tx, access string, t temporary) (g signer, err error) {
	g.principal, err = s.ofToken(tx, Token{User: t.User, Agency: t.Agency, By: t.By, Application: t.Application, Federated: t.Federated})
	if err != nil {
		return g, err
	}
	if t.Narrow != nil {
		doc, err := policy.Parse(t.Narrow)
		if err != nil {
			return g, err
		}
		g.principal.Narrow = append(slices.Clone(g.principal.Narrow), doc)
	}
	g.secret, err = s.unseal(t.Domain, "temporary", id.ID(access), t.Secret)
	return g, err
}

// RevokeTemporary ends a temporary key at once; an unknown one is success.
func (s *Service) RevokeTemporary(ctx context.Context, access string) error {
	_, err := s.store.Update(ctx, func(tx store.Tx) error {
		b, ok, err := tx.Get(temporaryPrefix + access)
		if err != nil || !ok {
			return err
		}
		var t temporary
		if err := json.Unmarshal(b, &t); err != nil {
			return err
		}
		if err := tx.Delete(temporaryPrefix + access); err != nil {
			return err
		}
		return tx.Delete(temporaryOf + string(t.User) + "/" + access)
	})
	return err
}

func (s *Service) sweepTemporary(ctx context.Context) (removed int, err error) {
	var old []string
	err = s.store.View(ctx, func(tx store.Tx) error {
		for k, b := range tx.Scan(temporaryPrefix, "") {
			var t temporary
			if json.Unmarshal(b, &t) == nil && s.now().After(t.Expires) {
				old = append(old, strings.TrimPrefix(k, temporaryPrefix))
			}
		}
		return tx.ScanErr()
	})
	for _, access := range old {
		if err := s.RevokeTemporary(ctx, access); err != nil {
			return removed, err
		}
		removed++
	}
	return removed, err
}

// Unfinished is the refusal of a log-in that lacks something.
func Unfinished(p Principal) error {
	if p.Restricted == OnlyRequests {
		return fail.New(fail.Denied, "this application credential may make certain requests only, and this is none of them").Then("see its access rules, or make another credential")
	}
	e := fail.New(fail.Denied, "this log-in is not complete")
	switch p.Restricted {
	case NeedsCode:
		return e.Then("give the code of your second factor: awan login asks for it")
	case NeedsFactor:
		return e.Then("you may change things here, so your account wants a second factor: enrol one with awan mfa enrol, then log in again")
	}
	return e.Then("choose a new password: awan password, then log in again")
}
