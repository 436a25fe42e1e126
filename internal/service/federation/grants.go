package federation

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/store"
)

// Keys: oidc/grant/<user>/<client>/<hash> holds a token's record; oidc/token/<hash> finds it. A token's text, or an
// access token's id, is known to its holder only.
const (
	grantPrefix = "oidc/grant/"
	tokenPrefix = "oidc/token/"

	// AccessLife is how long an access token is good, RefreshLife how long a refresh token that is not used.
	AccessLife  = 15 * time.Minute
	RefreshLife = 30 * 24 * time.Hour
)

// Grant is what a token stands for.
type Grant struct {
	Client  id.ID     `json:"client"`
	User    id.ID     `json:"user"`
	Scopes  []string  `json:"scopes"`
	LogIn   time.Time `json:"log_in"`
	Methods []string  `json:"methods,omitempty"`
	Refresh bool      `json:"refresh,omitempty"`
	Family  id.ID     `json:"family"`         // all tokens that came of one log-in
	Used    bool      `json:"used,omitempty"` // a refresh token that was exchanged already
	Issued  time.Time `json:"issued"`
	Expires time.Time `json:"expires"`
}

func (g *Grant) key(h string) string {
	return grantPrefix + string(g.User) + "/" + string(g.Client) + "/" + h
}

func (s *Service) keep(tx store.Tx, g *Grant, text string, life time.Duration) error {
	g.Issued = s.Now().UTC()
	g.Expires = g.Issued.Add(life)
	b, err := json.Marshal(g)
	if err != nil {
		return err
	}
	h := hash(text)
	if err := tx.Put(g.key(h), b); err != nil {
		return err
	}
	return tx.Put(tokenPrefix+h, []byte(g.key(h)))
}

// NewAccess makes an access token; its id is what finds it again.
func (s *Service) NewAccess(ctx context.Context, g Grant) (tokenID string, until time.Time, err error) {
	tokenID = newText()
	g.Refresh, g.Used = false, false
	if g.Family == "" {
		g.Family = id.New()
	}
	_, err = s.Store.Update(ctx, func(tx store.Tx) error { return s.keep(tx, &g, tokenID, AccessLife) })
	return tokenID, g.Expires, err
}

// errReused ends a family of tokens: its refresh token was used twice, so somebody else has it.
var errReused = fail.New(fail.Unauthenticated, "the refresh token was used already, so all tokens of that log-in are revoked")

// NewPair makes an access token and a refresh token. current is the refresh token they take the place of; "" at a log-in.
func (s *Service) NewPair(ctx context.Context, g Grant, current string) (tokenID, refresh string, until time.Time, err error) {
	tokenID, refresh = newText(), newText()
	reused := false
	_, err = s.Store.Update(ctx, func(tx store.Tx) error {
		access, again := g, g
		if g.Family == "" {
			access.Family = id.New()
		}
		if current != "" {
			old, err := s.grant(tx, current)
			if err != nil {
				return err
			}
			if reused = old.Used; reused {
				return s.revokeFamily(tx, old)
			}
			access.Family = old.Family
			old.Used = true
			b, err := json.Marshal(old)
			if err != nil {
				return err
			}
			if err := tx.Put(old.key(hash(current)), b); err != nil {
				return err
			}
		}
		again.Family = access.Family
		access.Refresh, access.Used, again.Refresh, again.Used = false, false, true, false
		if err := s.keep(tx, &access, tokenID, AccessLife); err != nil {
			return err
		}
		until = access.Expires
		return s.keep(tx, &again, refresh, RefreshLife)
	})
	if err == nil && reused {
		err = errReused
	}
	return tokenID, refresh, until, err
}

// grant reads a token's record, whoever's it is and whether or not it is good.
func (s *Service) grant(tx store.Tx, text string) (*Grant, error) {
	unknown := fail.New(fail.NotFound, "the token is unknown, revoked or expired")
	at, ok, err := tx.Get(tokenPrefix + hash(text))
	if err != nil || !ok {
		return nil, cmpErr(err, unknown)
	}
	b, ok, err := tx.Get(string(at))
	if err != nil || !ok {
		return nil, cmpErr(err, unknown)
	}
	g := &Grant{}
	if err := json.Unmarshal(b, g); err != nil {
		return nil, err
	}
	if s.Now().After(g.Expires) {
		return nil, unknown
	}
	return g, nil
}

func cmpErr(err, otherwise error) error {
	if err != nil {
		return err
	}
	return otherwise
}

// GrantOf gives what a good token stands for: its client is in use, and its user may log in.
func (s *Service) GrantOf(ctx context.Context, text string, refresh bool) (g *Grant, err error) {
	reused := false
	check := func(tx store.Tx) error {
		if g, err = s.grant(tx, text); err != nil {
			return err
		}
		if g.Refresh != refresh {
			return fail.New(fail.NotFound, "the token is unknown, revoked or expired")
		}
		if reused = g.Used; reused {
			return nil
		}
		client, err := s.Client(tx, string(g.Client))
		if err != nil {
			return err
		}
		user, err := s.Ident.Kinds.User.Get(tx, g.User)
		if err != nil {
			return err
		}
		domain, err := s.Ident.Kinds.Domain.Get(tx, client.Domain)
		if err != nil {
			return err
		}
		if user == nil || user.Spec.Disabled || domain == nil || domain.Spec.Disabled || user.Domain != client.Domain {
			return fail.New(fail.Unauthenticated, "this user cannot log in")
		}
		return nil
	}
	if err := s.Store.View(ctx, check); err != nil {
		return nil, err
	}
	if !reused {
		return g, nil
	}
	if _, err := s.Store.Update(ctx, func(tx store.Tx) error { return s.revokeFamily(tx, g) }); err != nil {
		return nil, err
	}
	return nil, errReused
}

// revokeFamily ends all tokens of one log-in.
func (s *Service) revokeFamily(tx store.Tx, of *Grant) error {
	return s.revoke(tx, of.User, of.Client, func(g *Grant) bool { return g.Family == of.Family })
}

func (s *Service) revoke(tx store.Tx, user, client id.ID, which func(*Grant) bool) error {
	prefix := grantPrefix + string(user) + "/"
	if client != "" {
		prefix += string(client) + "/"
	}
	var hashes, keys []string
	for k, b := range tx.Scan(prefix, "") {
		var g Grant
		if json.Unmarshal(b, &g) == nil && which(&g) {
			keys, hashes = append(keys, k), append(hashes, k[strings.LastIndexByte(k, '/')+1:])
		}
	}
	if err := tx.ScanErr(); err != nil {
		return err
	}
	for i, k := range keys {
		if err := tx.Delete(k); err != nil {
			return err
		}
		if err := tx.Delete(tokenPrefix + hashes[i]); err != nil {
			return err
		}
	}
	return nil
}

// Revoke ends a token of a client, and with a refresh token all that came of its log-in; an unknown one is success.
func (s *Service) Revoke(ctx context.Context, client id.ID, text string) error {
	_, err := s.Store.Update(ctx, func(tx store.Tx) error {
		g, err := s.grant(tx, text)
		if fail.Is(err, fail.NotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		if g.Client != client {
			return fail.New(fail.Denied, "the token is another client's")
		}
		if g.Refresh {
			return s.revokeFamily(tx, g)
		}
		h := hash(text)
		if err := tx.Delete(g.key(h)); err != nil {
			return err
		}
		return tx.Delete(tokenPrefix + h)
	})
	return err
}

// EndAll ends what a client holds of a user; "" is every client.
func (s *Service) EndAll(ctx context.Context, user, client id.ID) error {
	_, err := s.Store.Update(ctx, func(tx store.Tx) error {
		return s.revoke(tx, user, client, func(*Grant) bool { return true })
	})
	return err
}

// Claims tells what an app that was given scopes may know of a user.
func (s *Service) Claims(ctx context.Context, user id.ID, scopes []string) (c Claims, err error) {
	err = s.Store.View(ctx, func(tx store.Tx) error {
		u, err := s.Ident.Kinds.User.Get(tx, user)
		if err != nil {
			return err
		}
		if u == nil {
			return fail.New(fail.NotFound, "this user is no more")
		}
		d, err := s.Ident.Kinds.Domain.Get(tx, u.Domain)
		if err != nil {
			return err
		}
		if slices.Contains(scopes, "profile") {
			c.Name, c.Domain, c.Updated = u.Name, u.Domain, u.Updated
			if d != nil {
				c.DomainName = d.Name
			}
		}
		if slices.Contains(scopes, "email") {
			c.Email = u.Spec.Email
		}
		if slices.Contains(scopes, "groups") {
			c.Groups = []string{}
			for _, g := range u.Spec.Groups {
				row, err := s.Ident.Kinds.Group.Get(tx, id.ID(g))
				if err != nil {
					return err
				}
				if row != nil {
					c.Groups = append(c.Groups, row.Name)
				}
			}
		}
		return nil
	})
	return c, err
}

// Claims are what an app learns of a user; empty where it may not know.
type Claims struct {
	Name, DomainName, Email string
	Domain                  id.ID
	Updated                 time.Time
	Groups                  []string
}
