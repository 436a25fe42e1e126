package ident

import (
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/secret"
	"github.com/awancloud/awan/internal/kernel/store"
)

// MaxTokenLife is the longest a token lives; it can always be revoked sooner.
const MaxTokenLife = 24 * time.Hour

// Keys: token/<hash> holds a token's record, tokenof/<user>/<hash> finds a user's, accesskey/<access> a key's row.
const (
	tokenPrefix  = "token/"
	tokenOf      = "tokenof/"
	keyPrefix    = "accesskey/"
	revKey       = "identrev"
	tokenVersion = "awt1."
)

// Token is what is stored of a token; its text is known to its holder only.
type Token struct {
	User    id.ID     `json:"user"`
	Domain  id.ID     `json:"domain"`
	Project id.ID     `json:"project,omitempty"` // "" = scoped to the domain
	Visits  id.ID     `json:"visits,omitempty"`  // the domain it is for, where that is not the user's
	Methods []string  `json:"methods"`
	Issued  time.Time `json:"issued"`
	Expires time.Time `json:"expires"`
	MFA     bool      `json:"mfa,omitempty"`
	// Verified is when the second factor was given last.
	Verified time.Time `json:"verified,omitzero"`
	// Unscoped says that the holder asked for no scope: the token works like one of the domain, but is shown without.
	Unscoped bool `json:"unscoped,omitempty"`
	// System says that an operator asked for the scope of the whole cloud: likewise.
	System  bool   `json:"system,omitempty"`
	AuditID string `json:"audit_id"`
	// Agency is set for a session through an agency: User is then the agency's id too, and By tells who acts.
	Agency id.ID `json:"agency,omitempty"`
	By     Actor `json:"by,omitzero"`
	// Application is the application credential it was given for; it ends with that.
	Application id.ID `json:"application,omitempty"`
	// Trust is the trust it was given for; it ends with that. By is who lends, or acts.
	Trust id.ID `json:"trust,omitempty"`
	// Restricted says what the log-in still lacks.
	Restricted Restriction `json:"restricted,omitempty"`
	// Federated are the groups that an identity provider put the user into, beside its own.
	Federated []string `json:"federated,omitempty"`

	parent string // hash of the token that it is asked for with
}

// TokenFor is a token for a principal in a project ("" = the domain), before it is issued.
func TokenFor(p Principal, project id.ID, methods ...string) Token {
	return Token{User: p.User, Domain: p.Domain, Project: project, Methods: methods, MFA: p.MFA, Verified: p.Verified, Agency: p.Agency, By: p.By,
		Application: p.Application, Trust: p.Trust, Restricted: p.Restricted, Federated: p.Federated, parent: p.Token}
}

func hashToken(token string) string {
	d := secret.Digest(token)
	return hex.EncodeToString(d[:])
}

// IssueToken makes a token for a user and returns its text. life is cut to MaxTokenLife; 0 means that.
func (s *Service) IssueToken(ctx context.Context, t Token, life time.Duration) (string, Token, error) {
	return s.IssueTokenWith(ctx, t, life, func(store.Tx, Token) error { return nil })
}

// IssueTokenWith is IssueToken with what has to be stored with the token or not at all. A token that is asked for with
// another is refused where that one was revoked meanwhile.
func (s *Service) IssueTokenWith(ctx context.Context, t Token, life time.Duration, with func(store.Tx, Token) error) (string, Token, error) {
	if life <= 0 || life > MaxTokenLife {
		life = MaxTokenLife
	}
	now := s.now().UTC()
	text := tokenVersion + secret.NewToken()
	t.Issued, t.AuditID = now, string(id.New())
	if t.MFA && t.Verified.IsZero() && t.parent == "" {
		t.Verified = now
	}
	if end := now.Add(life); t.Expires.IsZero() || t.Expires.After(end) {
		t.Expires = end.Truncate(time.Second)
	}
	b, err := json.Marshal(t)
	if err != nil {
		return "", t, err
	}
	h := hashToken(text)
	_, err = s.store.Update(ctx, func(tx store.Tx) error {
		if t.parent != "" {
			if _, there, err := tx.Get(tokenPrefix + t.parent); err != nil || !there {
				return cmp.Or(err, noToken())
			}
		}
		if err := with(tx, t); err != nil {
			return err
		}
		if err := tx.Put(tokenPrefix+h, b); err != nil {
			return err
		}
		for _, u := range t.holders() {
			if err := tx.Put(tokenOf+string(u)+"/"+h, nil); err != nil {
				return err
			}
		}
		return nil
	})
	return text, t, err
}

// holders are the users with whose keys and passwords a token ends.
func (t Token) holders() []id.ID {
	if t.Trust != "" {
		return []id.ID{t.User, t.By.User}
	}
	return []id.ID{t.User}
}

func noToken() error {
	return fail.New(fail.Unauthenticated, "the token is unknown, revoked or expired").Then("log in again")
}

// ByToken turns a token's text into its principal.
func (s *Service) ByToken(ctx context.Context, text string) (Principal, Token, error) {
	var p Principal
	var t Token
	h := hashToken(text)
	err := s.store.View(ctx, func(tx store.Tx) error {
		b, ok, err := tx.Get(tokenPrefix + h) // always read: a revoked token is refused at once
		if err != nil {
			return err
		}
		if !ok {
			return noToken()
		}
		c, err := s.cached(tx)
		if err != nil {
			return err
		}
		known, err := lookup(c, c.tokens, h, func() (knownToken, error) {
			var t Token
			if err := json.Unmarshal(b, &t); err != nil {
				return knownToken{}, err
			}
			p, err := s.ofToken(tx, t)
			return knownToken{p, t}, err
		})
		p, t = known.principal, known.token
		if !t.Expires.IsZero() && !s.now().Before(t.Expires) {
			return fail.New(fail.Unauthenticated, "the token expired at %s", t.Expires.UTC().Format(time.RFC3339)).Then("log in again")
		}
		if err != nil {
			return err
		}
		return s.still(tx, t)
	})
	p.Method, p.Token, p.Issued, p.Expires, p.MFA, p.Project = ByToken, h, t.Issued, t.Expires, t.MFA, t.Project
	p.Visits, p.Verified, p.vouched = t.Visits, t.Verified, slices.Contains(t.Methods, "mapped")
	if p.Restricted == "" {
		p.Restricted = t.Restricted
	}
	if err != nil {
		return Principal{}, t, err
	}
	s.uses.note(useOfUser(p), s.now())
	return p, t, nil
}

// still checks what ends at a time: that is no change that would empty the cache.
func (s *Service) still(tx store.Tx, t Token) (err error) {
	switch {
	case t.Agency != "":
		_, err = s.through(tx, t.Agency, t.By)
	case t.Application != "":
		_, err = s.ofCredential(tx, t.Application)
	case t.Trust != "":
		_, _, err = s.ofTrust(tx, t.Trust)
	}
	return err
}

type knownToken struct {
	principal Principal
	token     Token
}

// ofToken reads who holds a token.
func (s *Service) ofToken(tx store.Tx, t Token) (p Principal, err error) {
	switch {
	case t.Agency != "":
		return s.through(tx, t.Agency, t.By)
	case t.Application != "":
		return s.ofCredential(tx, t.Application)
	case t.Trust != "":
		p, _, err = s.ofTrust(tx, t.Trust)
		return p, err
	}
	if p, err = s.principal(tx, t.User); err == nil && len(t.Federated) > 0 {
		p.Federated = t.Federated
		p.Groups = slices.Compact(slices.Sorted(slices.Values(slices.Concat(p.Groups, t.Federated))))
	}
	return p, err
}

// RevokeToken makes a token worthless at once; an unknown one is success.
func (s *Service) RevokeToken(ctx context.Context, text string) error {
	return s.revoke(ctx, hashToken(text))
}

func (s *Service) revoke(ctx context.Context, hash string) error {
	_, err := s.store.Update(ctx, func(tx store.Tx) error {
		b, ok, err := tx.Get(tokenPrefix + hash)
		if err != nil || !ok {
			return err
		}
		var t Token
		if err := json.Unmarshal(b, &t); err != nil {
			return err
		}
		if err := tx.Delete(tokenPrefix + hash); err != nil {
			return err
		}
		for _, u := range t.holders() {
			if err := tx.Delete(tokenOf + string(u) + "/" + hash); err != nil {
				return err
			}
		}
		return nil
	})
	return err
}

// revokeAll ends every token and temporary key of a user or an agency, in the caller's transaction.
func revokeAll(tx store.Tx, user id.ID) error {
	for of, record := range map[string]string{tokenOf: tokenPrefix, temporaryOf: temporaryPrefix} {
		p := of + string(user) + "/"
		for k := range tx.Scan(p, "") {
			if err := tx.Delete(record + k[len(p):]); err != nil {
				return err
			}
			if err := tx.Delete(k); err != nil {
				return err
			}
		}
		if err := tx.ScanErr(); err != nil {
			return err
		}
	}
	return nil
}

// RevokeAll ends every token and temporary key of a user or an agency.
func (s *Service) RevokeAll(ctx context.Context, user id.ID) error {
	_, err := s.store.Update(ctx, func(tx store.Tx) error { return revokeAll(tx, user) })
	return err
}

// Sweep removes the records of expired tokens and temporary keys; call it now and then.
func (s *Service) Sweep(ctx context.Context) (removed int, err error) {
	var old []string
	now := s.now()
	err = s.store.View(ctx, func(tx store.Tx) error {
		for k, b := range tx.Scan(tokenPrefix, "") {
			var t Token
			if json.Unmarshal(b, &t) == nil && now.After(t.Expires) {
				old = append(old, strings.TrimPrefix(k, tokenPrefix))
			}
		}
		return tx.ScanErr()
	})
	for _, h := range old {
		if err := s.revoke(ctx, h); err != nil {
			return removed, err
		}
		removed++
	}
	if err != nil {
		return removed, err
	}
	n, err := s.sweepTemporary(ctx)
	if err != nil {
		return removed + n, err
	}
	m, err := s.sweepPasskeys(ctx)
	if err != nil {
		return removed + n + m, err
	}
	o, err := s.sweepOAuth(ctx)
	return removed + n + m + o, err
}

// sweepKeys removes what is stored below a prefix and over.
func (s *Service) sweepKeys(ctx context.Context, prefix string, over func(stored []byte) bool) (removed int, err error) {
	var old []string
	err = s.store.View(ctx, func(tx store.Tx) error {
		for k, b := range tx.Scan(prefix, "") {
			if over(b) {
				old = append(old, k)
			}
		}
		return tx.ScanErr()
	})
	if err != nil || len(old) == 0 {
		return 0, err
	}
	_, err = s.store.Update(ctx, func(tx store.Tx) error {
		for _, k := range old {
			if err := tx.Delete(k); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	return len(old), nil
}
