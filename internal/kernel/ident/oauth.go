package ident

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/secret"
	"github.com/awancloud/awan/internal/kernel/store"
)

// The three steps of OAuth 1.0a (RFC 5849): a consumer asks (a request token), a user grants (a verifier), the consumer
// fetches an access token, which is an application credential that only works signed. Lives are those of Keystone.
const (
	requestTokenLife = 8 * time.Hour
	AccessTokenLife  = 24 * time.Hour
	// NonceLife is how old a signed request may be, and how far ahead its clock.
	NonceLife = 5 * time.Minute
)

// Keys: oauthask/<id> holds a request token, oauthnonce/<consumer>/<what a request says it is> nothing but when it was.
const (
	askPrefix   = "oauthask/"
	noncePrefix = "oauthnonce/"
)

// RequestToken is a consumer's wish for rights in a project, and who granted which.
type RequestToken struct {
	ID       id.ID     `json:"id"`
	Consumer id.ID     `json:"consumer"`
	Domain   id.ID     `json:"domain"`
	Project  id.ID     `json:"project"`
	Secret   string    `json:"secret"` // sealed
	Expires  time.Time `json:"expires"`
	User     id.ID     `json:"user,omitempty"`     // who granted; "" = nobody yet
	Verifier string    `json:"verifier,omitempty"` // its hash
	Policies []string  `json:"policies,omitempty"`
}

// Signer is whose signature is checked: what it signs with.
type Signer struct{ ID, Domain id.ID }

// Consumer gives a consumer and its secret.
func (s *Service) Consumer(ctx context.Context, consumer string) (g Signer, key string, err error) {
	cid, _ := id.Parse(consumer)
	err = s.store.View(ctx, func(tx store.Tx) error {
		row, err := s.Kinds.Consumer.Get(tx, cid)
		if err != nil {
			return err
		}
		if row == nil {
			return fail.New(fail.Unauthenticated, "there is no consumer %.64q", consumer).Then("ask for one: awan consumer create")
		}
		g = Signer{row.ID, row.Domain}
		key, err = s.unseal(row.Domain, "status.secret", row.ID, row.Status.Secret)
		return err
	})
	return g, key, err
}

// OnceOnly refuses a request of a consumer that was seen before. Older ones than NonceLife are refused by their time.
func (s *Service) OnceOnly(ctx context.Context, consumer id.ID, at time.Time, nonce string) error {
	if d := s.now().Sub(at); d > NonceLife || d < -NonceLife {
		return fail.New(fail.Unauthenticated, "the request says it was signed at %s, which is not now", at.UTC().Format(time.RFC3339)).Then("check the clock")
	}
	key := noncePrefix + string(consumer) + "/" + hashToken(at.UTC().Format(time.RFC3339)+" "+nonce)
	_, err := s.store.Update(ctx, func(tx store.Tx) error {
		if _, seen, err := tx.Get(key); err != nil || seen {
			if err == nil {
				err = fail.New(fail.Unauthenticated, "this signed request was sent before").Then("sign each request with a nonce of its own")
			}
			return err
		}
		b, err := s.now().UTC().MarshalText()
		if err != nil {
			return err
		}
		return tx.Put(key, b)
	})
	return err
}

// AskAs stores a consumer's wish for rights in a project of its domain, and gives the secret to sign with from now on.
func (s *Service) AskAs(ctx context.Context, consumer Signer, project string) (t RequestToken, plain string, err error) {
	plain = secret.NewToken()
	_, err = s.store.Update(ctx, func(tx store.Tx) error {
		p, err := s.Kinds.Project.Find(tx, string(consumer.Domain), project)
		if err != nil {
			return err
		}
		if p == nil {
			return fail.New(fail.NotFound, "there is no project %q in the consumer's domain", project).Then("say which with the header Requested-Project-Id")
		}
		t = RequestToken{ID: id.New(), Consumer: consumer.ID, Domain: consumer.Domain, Project: p.ID, Expires: s.now().Add(requestTokenLife).UTC()}
		if t.Secret, err = s.Seal(t.Domain, "oauth", t.ID, plain); err != nil {
			return err
		}
		return putAsk(tx, t)
	})
	return t, plain, err
}

func putAsk(tx store.Tx, t RequestToken) error {
	b, err := json.Marshal(t)
	if err != nil {
		return err
	}
	return tx.Put(askPrefix+string(t.ID), b)
}

func (s *Service) askedFor(tx store.Tx, ask string) (t RequestToken, err error) {
	none := fail.New(fail.NotFound, "there is no request token %.64q, or it has ended", ask).Then("let the consumer ask again")
	aid, ok := id.Parse(ask)
	if !ok {
		return t, none
	}
	b, ok, err := tx.Get(askPrefix + string(aid))
	if err != nil || !ok {
		if err == nil {
			err = none
		}
		return t, err
	}
	if err := json.Unmarshal(b, &t); err != nil {
		return t, err
	}
	if !s.now().Before(t.Expires) {
		return t, none
	}
	return t, nil
}

// Grant lets a consumer have some of p's roles (ids or names) in the project that it asked for. It gives the verifier by which
// the consumer shows that p told it.
func (s *Service) Grant(ctx context.Context, p Principal, ask string, roles []string) (t RequestToken, verifier string, err error) {
	verifier = secret.NewBackupCode()
	_, err = s.store.Update(ctx, func(tx store.Tx) error {
		if t, err = s.askedFor(tx, ask); err != nil {
			return err
		}
		if !p.Whole() || p.Nobody() {
			return fail.New(fail.Denied, "only a user who logs in itself lends its rights").Then("use a token of the user's own")
		}
		if t.Domain != p.Domain {
			return fail.New(fail.NotFound, "there is no request token %.64q, or it has ended", ask).Then("a consumer is for users of its own domain")
		}
		if t.User != "" && t.User != p.User {
			return fail.New(fail.Denied, "another user granted this already").Then("let the consumer ask again")
		}
		if len(roles) == 0 {
			return fail.Field("roles", "say which of your roles the consumer may use")
		}
		held, err := s.Roles(tx, p, p.Domain, t.Project)
		if err != nil {
			return err
		}
		t.User, t.Verifier, t.Policies = p.User, hashToken(verifier), nil
		for _, r := range roles {
			i := slices.IndexFunc(held, func(h Role) bool { return string(h.ID) == r || h.Name == r })
			if i < 0 {
				return fail.New(fail.Denied, "you do not have the role %.64q in that project, so you cannot lend it", r)
			}
			t.Policies = append(t.Policies, string(held[i].ID))
		}
		return putAsk(tx, t)
	})
	return t, verifier, err
}

// AskedBy gives a consumer's request token and its secret.
func (s *Service) AskedBy(ctx context.Context, consumer Signer, ask string) (t RequestToken, plain string, err error) {
	err = s.store.View(ctx, func(tx store.Tx) error {
		if t, err = s.askedFor(tx, ask); err != nil {
			return err
		}
		if t.Consumer != consumer.ID {
			return fail.New(fail.NotFound, "there is no request token %.64q, or it has ended", ask)
		}
		plain, err = s.unseal(t.Domain, "oauth", t.ID, t.Secret)
		return err
	})
	return t, plain, err
}

// Fetched ends a request token whose verifier is right, and gives who granted it. A wrong verifier ends it too: each has
// one try.
func (s *Service) Fetched(ctx context.Context, t RequestToken, verifier string) (p Principal, err error) {
	good := false
	_, err = s.store.Update(ctx, func(tx store.Tx) error {
		t, err := s.askedFor(tx, string(t.ID))
		if err != nil {
			return err
		}
		if t.User == "" {
			return fail.New(fail.Unauthenticated, "nobody granted this yet").Then("let a user authorize it: PUT /v3/OS-OAUTH1/authorize/%s", t.ID)
		}
		if good = secret.Equal(t.Verifier, hashToken(verifier)); good {
			if p, err = s.principal(tx, t.User); err != nil {
				return err
			}
		}
		return tx.Delete(askPrefix + string(t.ID))
	})
	if err == nil && !good {
		err = fail.New(fail.Unauthenticated, "the verifier is wrong, and the request token is over").Then("let the consumer ask again")
	}
	return p, err
}

// AccessToken gives what a consumer's access token acts as, and its secret.
func (s *Service) AccessToken(ctx context.Context, consumer Signer, token string) (p Principal, plain string, err error) {
	none := fail.New(fail.Unauthenticated, "there is no access token %.64q of this consumer, or it has ended", token).Then("let the consumer ask again")
	cid, _ := id.Parse(token)
	err = s.store.View(ctx, func(tx store.Tx) error {
		row, err := s.Kinds.Credential.Get(tx, cid)
		if err != nil {
			return err
		}
		if row == nil || row.Spec.Consumer != string(consumer.ID) {
			return none
		}
		if plain, err = s.unseal(row.Domain, "status.secret", row.ID, row.Status.Secret); err != nil {
			return err
		}
		p, err = s.ofCredential(tx, row.ID)
		p.Expires = row.Spec.Expires
		return err
	})
	p.Method, p.Issued = ByCredential, s.now()
	return p, plain, err
}

// sweepOAuth removes what is over.
func (s *Service) sweepOAuth(ctx context.Context) (removed int, err error) {
	asks, err := s.sweepKeys(ctx, askPrefix, func(b []byte) bool {
		var t RequestToken
		return json.Unmarshal(b, &t) == nil && s.now().After(t.Expires)
	})
	if err != nil {
		return asks, err
	}
	nonces, err := s.sweepKeys(ctx, noncePrefix, func(b []byte) bool {
		var at time.Time
		return at.UnmarshalText(b) == nil && s.now().Sub(at) > 2*NonceLife
	})
	return asks + nonces, err
}
