package federation

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"strings"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/secret"
	"github.com/awancloud/awan/internal/kernel/store"
)

// Keys: federation/way/<hash> holds a log-in that is on its way through a provider, federation/seen/<hash> an assertion
// that was used.
const (
	wayPrefix  = "federation/way/"
	seenPrefix = "federation/seen/"
	wayLife    = 15 * time.Minute
)

// Way is a browser's log-in between leaving for the provider and coming back.
type Way struct {
	Provider id.ID     `json:"provider"`
	Nonce    string    `json:"nonce,omitempty"`
	Verifier string    `json:"verifier,omitempty"`
	Request  string    `json:"request,omitempty"` // of a SAML request: its id
	Next     string    `json:"next,omitempty"`    // the page to show afterwards
	Expires  time.Time `json:"expires"`
}

func hash(text string) string {
	d := secret.Digest(text)
	return hex.EncodeToString(d[:])
}

// leave notes a way and gives the state that finds it again: once, and only by the browser that also holds it.
func (s *Service) leave(ctx context.Context, w Way) (state string, err error) {
	state = secret.NewToken()
	w.Expires = s.Now().Add(wayLife).UTC()
	b, err := json.Marshal(w)
	if err != nil {
		return "", err
	}
	_, err = s.Store.Update(ctx, func(tx store.Tx) error { return tx.Put(wayPrefix+hash(state), b) })
	return state, err
}

// Return takes a way up again; held is the state that the browser's cookie has.
func (s *Service) Return(ctx context.Context, state, held string) (w Way, err error) {
	if state == "" || !secret.Equal(state, held) {
		return w, fail.New(fail.Denied, "this log-in was not begun in this browser").Then("begin again on the log-in page")
	}
	_, err = s.Store.Update(ctx, func(tx store.Tx) error {
		b, ok, err := tx.Get(wayPrefix + hash(state))
		if err != nil {
			return err
		}
		if !ok {
			return fail.New(fail.Denied, "this log-in is over already").Then("begin again on the log-in page")
		}
		if err := json.Unmarshal(b, &w); err != nil {
			return err
		}
		return tx.Delete(wayPrefix + hash(state))
	})
	if err == nil && s.Now().After(w.Expires) {
		err = fail.New(fail.Denied, "this log-in took longer than %s", wayLife).Then("begin again on the log-in page")
	}
	return w, err
}

// once marks something as used until it is worthless anyhow; a second time is refused.
func (s *Service) once(ctx context.Context, what string, until time.Time) error {
	_, err := s.Store.Update(ctx, func(tx store.Tx) error {
		_, seen, err := tx.Get(seenPrefix + hash(what))
		if err != nil {
			return err
		}
		if seen {
			return fail.New(fail.Unauthenticated, "this answer of the identity provider was used already").Then("log in there again")
		}
		b, err := json.Marshal(Way{Expires: until.UTC()})
		if err != nil {
			return err
		}
		return tx.Put(seenPrefix+hash(what), b)
	})
	return err
}

// Sweep removes what is over; call it now and then.
func (s *Service) Sweep(ctx context.Context) error {
	_, err := s.Store.Update(ctx, func(tx store.Tx) error {
		var old []string
		for _, prefix := range []string{wayPrefix, seenPrefix, askPrefix, codePrefix, grantPrefix} {
			for k, b := range tx.Scan(prefix, "") {
				var r struct{ Expires time.Time }
				if json.Unmarshal(b, &r) == nil && s.Now().After(r.Expires) {
					old = append(old, k)
					if prefix == grantPrefix {
						old = append(old, tokenPrefix+k[strings.LastIndexByte(k, '/')+1:])
					}
				}
			}
			if err := tx.ScanErr(); err != nil {
				return err
			}
		}
		for k, b := range tx.Scan(keyPrefix, "") {
			var r storedKey
			if json.Unmarshal(b, &r) == nil && s.Now().Sub(r.Created) > KeyLife+keyRest {
				old = append(old, k)
			}
		}
		for _, k := range old {
			if err := tx.Delete(k); err != nil {
				return err
			}
		}
		return tx.ScanErr()
	})
	return err
}

// Run sweeps every hour until ctx ends.
func (s *Service) Run(ctx context.Context, failed func(error)) {
	t := time.NewTicker(time.Hour)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			if err := s.Sweep(ctx); err != nil && ctx.Err() == nil {
				failed(err)
			}
		}
	}
}
