package ident

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/policy"
	"github.com/awancloud/awan/internal/kernel/store"
)

// Keys: lastuse/key/<access>, lastuse/user/<user>, lastuse/policy/<policy> and lastuse/action/<user>/<action> hold when
// it was last used, as Unix seconds. What was used is kept in memory and stored once a minute in one transaction, so
// that calls do not wait for it; what a crash loses is at most that minute's notes.
const usePrefix = "lastuse/"

// useGrain is how exact the times are.
const useGrain = time.Minute

type uses struct {
	mu     sync.Mutex
	stored map[string]time.Time // what the store has, as far as we know
	dirty  map[string]time.Time
}

func useOfKey(access string) string { return "key/" + access }

func useOfUser(p Principal) string { return "user/" + string(p.User) }

// note remembers a use.
func (u *uses) note(what string, at time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if at.Sub(u.stored[what]) < useGrain {
		return
	}
	if u.dirty == nil {
		u.stored, u.dirty = map[string]time.Time{}, map[string]time.Time{}
	}
	if len(u.stored) > maxCached {
		clear(u.stored)
	}
	u.dirty[what], u.stored[what] = at, at
}

func (s *Service) noteDecision(p Principal, action string, d policy.Decision) {
	now := s.now()
	if d.By != nil && d.By.ID != "" {
		s.uses.note("policy/"+d.By.ID, now)
	}
	s.uses.note("action/"+string(p.User)+"/"+strings.ToLower(action), now)
}

// FlushUses stores what was noted since the last time.
func (s *Service) FlushUses(ctx context.Context) error {
	s.uses.mu.Lock()
	dirty := s.uses.dirty
	s.uses.dirty = map[string]time.Time{}
	if s.uses.stored == nil {
		s.uses.stored = map[string]time.Time{}
	}
	s.uses.mu.Unlock()
	if len(dirty) == 0 {
		return nil
	}
	_, err := s.store.Update(ctx, func(tx store.Tx) error {
		for what, at := range dirty {
			if err := tx.Put(usePrefix+what, strconv.AppendInt(nil, at.Unix(), 10)); err != nil {
				return err
			}
		}
		return nil
	})
	return err
}

// lastUse gives when something was last used, counting what is not stored yet; zero: never.
func (s *Service) lastUse(tx store.Tx, what string) (time.Time, error) {
	s.uses.mu.Lock()
	at, ok := s.uses.dirty[what]
	s.uses.mu.Unlock()
	if ok {
		return at.UTC().Truncate(time.Second), nil
	}
	b, ok, err := tx.Get(usePrefix + what)
	if err != nil || !ok {
		return time.Time{}, err
	}
	n, err := strconv.ParseInt(string(b), 10, 64)
	return time.Unix(n, 0).UTC(), err
}

// KeyUsed, UserUsed and PolicyUsed give when something was last used; zero: never since notes were begun. Times are
// exact to a minute.
func (s *Service) KeyUsed(tx store.Tx, access string) (time.Time, error) {
	return s.lastUse(tx, useOfKey(access))
}

// UserUsed is when a user, or an agency, last did something.
func (s *Service) UserUsed(tx store.Tx, user id.ID) (time.Time, error) {
	return s.lastUse(tx, "user/"+string(user))
}

// PolicyUsed is when a policy last allowed something.
func (s *Service) PolicyUsed(tx store.Tx, pol id.ID) (time.Time, error) {
	return s.lastUse(tx, "policy/"+string(pol))
}

// actionsUsed gives the actions that a user was allowed, with when it last was.
func (s *Service) actionsUsed(tx store.Tx, user id.ID) (map[string]time.Time, error) {
	out := map[string]time.Time{}
	p := usePrefix + "action/" + string(user) + "/"
	for k, b := range tx.Scan(p, "") {
		n, err := strconv.ParseInt(string(b), 10, 64)
		if err != nil {
			return nil, err
		}
		out[k[len(p):]] = time.Unix(n, 0).UTC()
	}
	s.uses.mu.Lock()
	defer s.uses.mu.Unlock()
	for what, at := range s.uses.dirty {
		if action, ok := strings.CutPrefix(what, p[len(usePrefix):]); ok {
			out[action] = at.UTC().Truncate(time.Second)
		}
	}
	return out, tx.ScanErr()
}

// forgetUse takes away what was noted of a user.
func forgetUse(tx store.Tx, user id.ID) error {
	if err := forgetPrefix(tx, usePrefix+"action/"+string(user)+"/"); err != nil {
		return err
	}
	return tx.Delete(usePrefix + "user/" + string(user))
}
