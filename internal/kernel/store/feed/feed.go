// Package feed tells watchers of a store what was committed, in order.
//
// It keeps the newest changes, up to a number of bytes, in one ring that all watchers read at their own pace: a slow
// watcher costs no memory, it falls out of the ring and is told so. It may import kernel/fail and kernel/store.
package feed

import (
	"bytes"
	"context"
	"iter"
	"strings"
	"sync"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/store"
)

// overhead is what a change costs in memory beside its key and value, roughly.
const overhead = 96

// burst bounds how many commits a watcher copies out under the lock at once.
const burst = 64

// Feed is the ring and its watchers.
type Feed struct {
	limit int

	mu       sync.Mutex
	commits  []commit  // of consecutive revisions; the first is base+1
	base     store.Rev // every later revision up to last is in commits
	last     store.Rev
	size     int
	closed   error
	watchers map[*watcher]struct{}
}

type commit struct {
	changes []store.Change
	size    int
}

type watcher struct {
	prefix store.Key
	next   store.Rev     // the first revision not looked at yet
	wake   chan struct{} // one token: something may have come
	err    error         // ends the watch at once
}

// New makes a feed of a store that stands at rev; changes up to limit bytes can be replayed.
func New(rev store.Rev, limit int) *Feed {
	return &Feed{limit: limit, base: rev, last: rev, watchers: map[*watcher]struct{}{}}
}

// Publish appends the changes of the commit rev, which must be the one after the last. The feed keeps the slices.
func (f *Feed) Publish(rev store.Rev, changes []store.Change) {
	c := commit{changes: changes}
	for i := range changes {
		c.size += overhead + len(changes[i].Key) + len(changes[i].Value)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.commits = append(f.commits, c)
	f.size += c.size
	f.last = rev
	f.trim()
	for w := range f.watchers {
		if matches(changes, w.prefix) {
			w.ping()
		} else if w.next == rev {
			w.next = rev + 1 // nothing for it: other tenants' traffic must not push an idle watcher out of the ring
		}
	}
}

// trim drops the oldest commits beyond the limit, but never the newest one.
func (f *Feed) trim() {
	drop := 0
	for f.size > f.limit && drop < len(f.commits)-1 {
		f.size -= f.commits[drop].size
		f.commits[drop] = commit{} // let go of the values now; the slots go when the slice grows
		drop++
	}
	f.commits = f.commits[drop:]
	f.base += store.Rev(drop)
}

// Reset forgets all history: the store was replaced and stands at rev. Watchers end with fail.Gone.
func (f *Feed) Reset(rev store.Rev) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.commits, f.size, f.base, f.last = nil, 0, rev, rev
	for w := range f.watchers {
		w.err = gone("the state was replaced by a restore")
		w.ping()
	}
}

// Close lets watchers read what is there and then ends them with err.
func (f *Feed) Close(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = err
	for w := range f.watchers {
		w.ping()
	}
}

// Watch is store.Store's Watch.
func (f *Feed) Watch(ctx context.Context, prefix store.Key, from store.Rev) iter.Seq2[store.Change, error] {
	return func(yield func(store.Change, error) bool) {
		w := &watcher{prefix: prefix, next: from + 1, wake: make(chan struct{}, 1)}
		f.mu.Lock()
		if from > f.last && f.closed == nil {
			w.err = gone("revision %d is ahead of this store's %d", from, f.last)
		}
		f.watchers[w] = struct{}{}
		f.mu.Unlock()
		defer func() {
			f.mu.Lock()
			delete(f.watchers, w)
			f.mu.Unlock()
		}()
		for {
			changes, err := f.take(w)
			for _, c := range changes {
				if ctx.Err() != nil {
					return
				}
				c.Value = bytes.Clone(c.Value)
				if !yield(c, nil) {
					return
				}
			}
			switch {
			case ctx.Err() != nil:
				return
			case err != nil:
				yield(store.Change{}, err)
				return
			case len(changes) > 0:
				continue
			}
			select {
			case <-ctx.Done():
				return
			case <-w.wake:
			}
		}
	}
}

// take gives the next changes for w and moves it on. An error comes only when there is nothing left to give.
func (f *Feed) take(w *watcher) ([]store.Change, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if w.err != nil {
		return nil, w.err
	}
	if w.next <= f.base {
		return nil, gone("changes after revision %d are no longer kept (the oldest kept follow revision %d)", w.next-1, f.base)
	}
	var out []store.Change
	for n := 0; w.next <= f.last && n < burst; n++ {
		for _, c := range f.commits[w.next-f.base-1].changes {
			if strings.HasPrefix(c.Key, w.prefix) {
				out = append(out, c)
			}
		}
		w.next++
	}
	if len(out) > 0 {
		return out, nil
	}
	if w.next <= f.last {
		w.ping() // looked at a burst without a match: come again, after others had the lock
		return nil, nil
	}
	return nil, f.closed
}

func (w *watcher) ping() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

func matches(changes []store.Change, prefix store.Key) bool {
	for i := range changes {
		if strings.HasPrefix(changes[i].Key, prefix) {
			return true
		}
	}
	return false
}

func gone(format string, args ...any) error {
	return fail.New(fail.Gone, format, args...).Then("read the present state and watch from its revision")
}
