// Package fault makes things fail where a test wants them to: at the nth store commit, engine call or other event.
//
// A crash sweep numbers every moment at which the process could die and dies at each of them once:
//
//	for n := 1; ; n++ {
//		plan := fault.At(n, fault.Die)
//		run(fault.Store(inner, plan))    // ends with errors once the plan's process is dead
//		if !plan.Fired() { break }       // n is beyond the last moment: the sweep is done
//		run(fault.Store(inner, fault.Never())) // the next incarnation finds what is there
//		check()
//	}
//
// Each event has two moments: before it happens, and after it has happened but before the caller learns of it.
// It may import kernel/fail and kernel/store.
package fault

import (
	"context"
	"fmt"
	"sync"

	"github.com/awancloud/awan/internal/kernel/fail"
)

// Action is what happens when a plan fires.
type Action int

// The actions.
const (
	Fail  Action = iota // this event fails, later ones go on
	Panic               // this event panics with a *Fault
	Die                 // this and every later event fails with ErrDead, as if the process were gone
)

// Fault is the error that a plan makes, or its panic.
type Fault struct{ Moment string }

// Error names the moment.
func (f *Fault) Error() string { return "fault made " + f.Moment }

// ErrDead is what everything gives after a plan's Die, until a new incarnation is made on the same inner parts.
var ErrDead error = &fail.Error{Kind: fail.Unavailable, Message: "this incarnation is dead (made by a fault plan)"}

// Plan counts moments and fires at one of them. It is safe for concurrent use; all decorators of one incarnation share
// one plan.
type Plan struct {
	at     int
	action Action
	died   context.Context
	die    context.CancelFunc

	mu      sync.Mutex
	moments int
	fired   string
}

// At makes a plan that fires at the nth moment, counted from 1.
func At(n int, action Action) *Plan {
	p := &Plan{at: n, action: action}
	p.died, p.die = context.WithCancel(context.Background())
	return p
}

// Never makes a plan that only counts.
func Never() *Plan { return At(0, Fail) }

// Moments is how many moments have passed.
func (p *Plan) Moments() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.moments
}

// Fired reports whether the plan's moment came.
func (p *Plan) Fired() bool { return p.Moment() != "" }

// Moment describes the moment at which the plan fired: "before commit (moment 7)"; "" when it did not.
func (p *Plan) Moment() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.fired
}

// Died is closed when the incarnation has died.
func (p *Plan) Died() <-chan struct{} { return p.died.Done() }

// Live is ErrDead after the incarnation's death.
func (p *Plan) Live() error {
	if p.died.Err() != nil {
		return ErrDead
	}
	return nil
}

// Call wraps an event, an engine's call say, in its two moments. When the second one fires the event has happened and
// the caller gets an error all the same.
func (p *Plan) Call(name string, event func() error) error {
	if err := p.moment("before " + name); err != nil {
		return err
	}
	if err := event(); err != nil {
		return err
	}
	return p.moment("after " + name)
}

func (p *Plan) moment(name string) error {
	if err := p.Live(); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.moments++
	if p.moments != p.at {
		return nil
	}
	p.fired = fmt.Sprintf("%s (moment %d)", name, p.moments)
	fault := &Fault{Moment: p.fired}
	switch p.action {
	case Panic:
		panic(fault)
	case Die:
		p.die()
		return ErrDead
	}
	return fail.New(fail.Unavailable, "a fault was injected").Because(fault)
}
