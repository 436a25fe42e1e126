package pebble

import (
	"bytes"
	"sync"

	"github.com/awancloud/awan/internal/kernel/store"
)

// maxHot bounds the bytes that hot keeps, and maxHotValue those of one value.
const (
	maxHot      = 2 << 20
	maxHotValue = 4 << 10
)

// hot keeps values that were read, absent ones too: a few keys are read by every request, and the library looks for
// each in every level. It follows the commits, in order, before the snapshot that shows them is installed, so an entry
// holds for every snapshot from since on that was ever given out.
type hot struct {
	mu    sync.Mutex
	rev   store.Rev // the newest revision it has heard of
	keys  map[store.Key]hotValue
	ahead map[store.Key]int // changes that were applied and are not durable yet: Updates see them, Views do not
	bytes int
}

type hotValue struct {
	value []byte // never changed
	there bool
	since store.Rev
}

func (v hotValue) size(key store.Key) int { return len(key) + len(v.value) + 96 }

// get gives what a snapshot of this revision holds; known is false where only the snapshot itself can tell.
func (h *hot) get(key store.Key, at store.Rev) (v hotValue, known bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	v, known = h.keys[key]
	return v, known && v.since <= at
}

// getAhead is get for an Update, which reads what was applied, durable or not.
func (h *hot) getAhead(key store.Key) (v hotValue, known bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ahead[key] > 0 {
		return v, false
	}
	v, known = h.keys[key]
	return v, known
}

// expect takes a commit that was applied and will be followed once it is durable.
func (h *hot) expect(changes []store.Change) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, c := range changes {
		h.ahead[c.Key]++
	}
}

// learn takes what was read from a snapshot. One of an older revision teaches nothing: the key may have changed since.
func (h *hot) learn(key store.Key, value []byte, there bool, at store.Rev) {
	if len(value) > maxHotValue {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if at != h.rev {
		return
	}
	h.set(key, hotValue{bytes.Clone(value), there, at})
	for k, v := range h.keys { // in no order
		if h.bytes <= maxHot {
			break
		}
		delete(h.keys, k)
		h.bytes -= v.size(k)
	}
}

func (h *hot) set(key store.Key, v hotValue) {
	if old, ok := h.keys[key]; ok {
		h.bytes -= old.size(key)
	}
	h.keys[key] = v
	h.bytes += v.size(key)
}

// follow takes a commit.
func (h *hot) follow(rev store.Rev, changes []store.Change) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.rev = rev
	for _, c := range changes {
		if h.ahead[c.Key]--; h.ahead[c.Key] <= 0 {
			delete(h.ahead, c.Key)
		}
		old, ok := h.keys[c.Key]
		switch {
		case !ok:
		case len(c.Value) > maxHotValue:
			delete(h.keys, c.Key)
			h.bytes -= old.size(c.Key)
		default:
			h.set(c.Key, hotValue{bytes.Clone(c.Value), !c.Deleted, rev})
		}
	}
}

// forget takes a new state, whatever it holds; it comes before everything else.
func (h *hot) forget(rev store.Rev) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.rev, h.keys, h.ahead, h.bytes = rev, map[store.Key]hotValue{}, map[store.Key]int{}, 0
}
