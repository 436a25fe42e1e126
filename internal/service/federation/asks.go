package federation

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/ledger"
	"github.com/awancloud/awan/internal/kernel/secret"
	"github.com/awancloud/awan/internal/kernel/store"
)

// Keys: oidc/ask/<id> holds an app's request for a log-in, oidc/code/<hash> the code it was answered with,
// oidc/consent/<user>/<client> what a user agreed to.
const (
	askPrefix     = "oidc/ask/"
	codePrefix    = "oidc/code/"
	consentPrefix = "oidc/consent/"

	askLife  = 20 * time.Minute
	codeLife = time.Minute
)

// Ask is an app's request that somebody log in.
type Ask struct {
	ID        id.ID     `json:"id"`
	Client    id.ID     `json:"client"`
	Redirect  string    `json:"redirect"`
	State     string    `json:"state,omitempty"`
	Nonce     string    `json:"nonce,omitempty"`
	Challenge string    `json:"challenge,omitempty"` // PKCE, S256
	Mode      string    `json:"mode,omitempty"`
	Scopes    []string  `json:"scopes"`
	Fresh     bool      `json:"fresh,omitempty"`   // the log-in must be newer than the request
	MaxAge    *uint     `json:"max_age,omitempty"` // seconds since the log-in, at most
	Consent   bool      `json:"consent,omitempty"` // ask even who agreed before
	Created   time.Time `json:"created"`
	Expires   time.Time `json:"expires"`

	User    id.ID     `json:"user,omitempty"` // who agreed; "" = nobody yet
	LogIn   time.Time `json:"log_in,omitzero"`
	Methods []string  `json:"methods,omitempty"`
}

// NewAsk notes a request.
func (s *Service) NewAsk(ctx context.Context, a Ask) (*Ask, error) {
	a.ID, a.Created = id.New(), s.Now().UTC()
	a.Expires = a.Created.Add(askLife)
	return &a, s.put(ctx, askPrefix+string(a.ID), a)
}

func (s *Service) put(ctx context.Context, key string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = s.Store.Update(ctx, func(tx store.Tx) error { return tx.Put(key, b) })
	return err
}

func (s *Service) ask(tx store.Tx, askID string) (*Ask, error) {
	b, ok, err := tx.Get(askPrefix + askID)
	if err != nil {
		return nil, err
	}
	var a Ask
	if ok {
		if err := json.Unmarshal(b, &a); err != nil {
			return nil, err
		}
	}
	if !ok || s.Now().After(a.Expires) {
		return nil, fail.New(fail.NotFound, "this log-in is over, or took longer than %s", askLife).Then("begin again in the app")
	}
	return &a, nil
}

// AskOf reads a request.
func (s *Service) AskOf(ctx context.Context, askID string) (a *Ask, err error) {
	err = s.Store.View(ctx, func(tx store.Tx) error {
		a, err = s.ask(tx, askID)
		return err
	})
	return a, err
}

// Consent is what a user is asked.
type Consent struct {
	Ask    *Ask
	Client *Client
	Stale  bool // the log-in is older than the app accepts: log in again first
	Agreed bool // agreed before, to no less: there is nothing to ask
}

// Title is the app's name for people.
func (c *Consent) Title() string {
	if c.Client.Spec.Title != "" {
		return c.Client.Spec.Title
	}
	return c.Client.Name
}

// ConsentOf tells what p is asked. Apps are for the people of their own domain.
func (s *Service) ConsentOf(ctx context.Context, askID string, p ident.Principal) (c *Consent, err error) {
	err = s.Store.View(ctx, func(tx store.Tx) error {
		c, err = s.consent(tx, askID, p)
		return err
	})
	return c, err
}

func (s *Service) consent(tx store.Tx, askID string, p ident.Principal) (*Consent, error) {
	a, err := s.ask(tx, askID)
	if err != nil {
		return nil, err
	}
	client, err := s.Client(tx, string(a.Client))
	if err != nil {
		return nil, err
	}
	c := &Consent{Ask: a, Client: client}
	if client.Domain != p.Domain {
		return nil, fail.New(fail.Denied, "%s is for users of another domain", c.Title()).Then("log in as one of that domain's users")
	}
	c.Stale = a.Fresh && p.Issued.Before(a.Created) || a.MaxAge != nil && s.Now().Sub(p.Issued) > time.Duration(*a.MaxAge)*time.Second
	b, ok, err := tx.Get(consentPrefix + string(p.User) + "/" + string(a.Client))
	if err != nil || !ok {
		return c, err
	}
	var agreed []string
	if err := json.Unmarshal(b, &agreed); err != nil {
		return nil, err
	}
	c.Agreed = !a.Consent && !slices.ContainsFunc(a.Scopes, func(sc string) bool { return !slices.Contains(agreed, sc) })
	return c, nil
}

// Agree notes that p lets the app know who they are, with its audit entry.
func (s *Service) Agree(ctx context.Context, askID string, p ident.Principal, methods []string, from ledger.Entry) error {
	_, err := s.Store.Update(ctx, func(tx store.Tx) error {
		c, err := s.consent(tx, askID, p)
		if err != nil {
			return err
		}
		if c.Stale {
			return fail.New(fail.Denied, "%s wants a newer log-in", c.Title()).Then("log in again")
		}
		c.Ask.User, c.Ask.LogIn, c.Ask.Methods = p.User, p.Issued.UTC(), methods
		b, err := json.Marshal(c.Ask)
		if err != nil {
			return err
		}
		if err := tx.Put(askPrefix+askID, b); err != nil {
			return err
		}
		scopes, err := json.Marshal(c.Ask.Scopes)
		if err != nil {
			return err
		}
		if err := tx.Put(consentPrefix+string(p.User)+"/"+string(c.Ask.Client), scopes); err != nil {
			return err
		}
		e := from
		e.At = s.Now().UTC()
		e.Ended, e.Domain, e.Actor, e.ActorID = e.At, p.Domain, p.String(), p.User
		e.Action, e.Kind, e.Row, e.Name, e.Outcome = s.Clients.D.Desc.Action("log-in"), s.Clients.D.FullName(), c.Client.ID, c.Client.Name, ledger.Succeeded
		return ledger.Record(tx, &e)
	})
	return err
}

// Refuse ends a request that the user said no to.
func (s *Service) Refuse(ctx context.Context, askID string) (a *Ask, err error) {
	_, err = s.Store.Update(ctx, func(tx store.Tx) error {
		if a, err = s.ask(tx, askID); err != nil {
			return err
		}
		return tx.Delete(askPrefix + askID)
	})
	return a, err
}

// code is an answered request, found by its code.
type code struct {
	Ask     id.ID     `json:"ask"`
	Expires time.Time `json:"expires"`
}

// SaveCode notes the code that a request was answered with.
func (s *Service) SaveCode(ctx context.Context, askID, text string) error {
	return s.put(ctx, codePrefix+hash(text), code{id.ID(askID), s.Now().Add(codeLife).UTC()})
}

// TakeCode gives the request that a code answers: once.
func (s *Service) TakeCode(ctx context.Context, text string) (a *Ask, err error) {
	_, err = s.Store.Update(ctx, func(tx store.Tx) error {
		key := codePrefix + hash(text)
		b, ok, err := tx.Get(key)
		if err != nil {
			return err
		}
		var c code
		if ok {
			if err := json.Unmarshal(b, &c); err != nil {
				return err
			}
		}
		if !ok || s.Now().After(c.Expires) {
			return fail.New(fail.NotFound, "the code is unknown, used or expired")
		}
		if a, err = s.ask(tx, string(c.Ask)); err != nil {
			return err
		}
		if err := tx.Delete(askPrefix + string(c.Ask)); err != nil {
			return err
		}
		return tx.Delete(key)
	})
	return a, err
}

// newText is a credential's text.
func newText() string { return secret.NewToken() }
