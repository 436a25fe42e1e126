package ident

import (
	"sync"
	"time"

	"github.com/awancloud/awan/internal/kernel/clock"
	"github.com/awancloud/awan/internal/kernel/fail"
)

// Limits on guessing passwords: per user and source as the user's domain says and, wider, per source address, so that
// one noisy source cannot lock a user out for everybody else for long, nor try many users.
const (
	maxSourceFailures = 50
	attemptWindow     = 10 * time.Minute
	maxRemembered     = 100_000
)

// lockRules is after how many failures within which time a user is locked out, and for how long.
type lockRules struct {
	after        int
	within, hold time.Duration
}

var defaultLock = lockRules{after: 10, within: attemptWindow, hold: attemptWindow}

func (r LoginRules) lock() lockRules {
	l := lockRules{after: int(r.LockAfter), within: time.Duration(r.LockWindow) * time.Minute, hold: time.Duration(r.LockFor) * time.Minute}
	if l.after == 0 {
		return defaultLock
	}
	return l
}

var sourceLock = lockRules{after: maxSourceFailures, within: attemptWindow, hold: attemptWindow}

type tries struct {
	count       int
	first, last time.Time
}

type attempts struct {
	mu   sync.Mutex
	now  clock.Clock
	seen map[string]*tries
}

func (a *attempts) allowed(user, source string, limit lockRules) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	for key, l := range map[string]lockRules{"u/" + user + "/" + source: limit, "s/" + source: sourceLock} {
		t := a.seen[key]
		if t == nil {
			continue
		}
		left := l.within - a.now().Sub(t.first)
		if t.count >= l.after {
			left = l.hold - a.now().Sub(t.last)
		}
		if left <= 0 {
			delete(a.seen, key)
		} else if t.count >= l.after {
			return fail.New(fail.RateLimited, "too many failed log-ins").Then("try again in %s", left.Round(time.Second))
		}
	}
	return nil
}

func (a *attempts) failed(user, source string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.seen) > maxRemembered {
		clear(a.seen)
	}
	for _, key := range []string{"u/" + user + "/" + source, "s/" + source} {
		t := a.seen[key]
		if t == nil {
			t = &tries{first: a.now()}
			a.seen[key] = t
		}
		t.count++
		t.last = a.now()
	}
}

func (a *attempts) succeeded(user, source string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.seen, "u/"+user+"/"+source)
}
