// Package clock is where the kernel gets the time from, so that retention, leases and tokens can be tested.
package clock

import (
	"sync"
	"time"
)

// Clock tells the time. time.Now is one.
type Clock func() time.Time

// Manual is a clock that tests move by hand.
type Manual struct {
	mu  sync.Mutex
	now time.Time
}

// NewManual starts at t.
func NewManual(t time.Time) *Manual { return &Manual{now: t} }

// Now is the Clock.
func (m *Manual) Now() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.now
}

// Add moves the clock; a negative d sets it back.
func (m *Manual) Add(d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now = m.now.Add(d)
}
