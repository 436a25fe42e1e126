package ident

import (
	"sync"
	"time"

	"github.com/awancloud/awan/internal/kernel/clock"
	"github.com/awancloud/awan/internal/kernel/fail"
)

// Limits on guessing passwords: per user and, wider, per source address, so that one noisy source cannot lock a user
// out for everybody else for long, nor try many users.
const (
	maxUserFailures   = 10
	maxSourceFailures = 50
	attemptWindow     = 10 * time.Minute
	maxRemembered     = 100_000
)

type tries struct {
	count int
	first time.Time
}

type attempts struct {
	mu   sync.Mutex
	now  clock.Clock
	seen map[string]*tries
}

func (a *attempts) allowed(user, source string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	for key, most := range map[string]int{"u/" + user + "/" + source: maxUserFailures, "s/" + source: maxSourceFailures} {
		t := a.seen[key]
		if t == nil {
			continue
		}
		left := attemptWindow - a.now().Sub(t.first)
		if left <= 0 {
			delete(a.seen, key)
		} else if t.count >= most {
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
	}
}

func (a *attempts) succeeded(user, source string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.seen, "u/"+user+"/"+source)
}
