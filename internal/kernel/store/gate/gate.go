// Package gate lets calls into a store, or an engine, until it closes, and lets Close wait for those inside.
// It may import kernel/fail only.
package gate

import (
	"cmp"
	"context"
	"sync"

	"github.com/awancloud/awan/internal/kernel/fail"
)

// Gate counts the calls inside. The zero value is open.
type Gate struct {
	What string // what is behind it, for those who come too late; "" = the state store

	mu     sync.Mutex
	closed bool
	inside sync.WaitGroup
}

// Closed is what a call gets after Close.
func Closed() error { return closed("the state store") }

func closed(what string) error {
	return fail.New(fail.Unavailable, "%s is closed", what).Then("retry when the cloud has started again")
}

// Enter admits a call, which must Leave, unless the gate is closed or ctx has ended.
func (g *Gate) Enter(ctx context.Context) error {
	if err := Live(ctx); err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return closed(cmp.Or(g.What, "the state store"))
	}
	g.inside.Add(1)
	return nil
}

// Leave ends what Enter began.
func (g *Gate) Leave() { g.inside.Done() }

// Close refuses new calls and waits for those inside. It reports whether this call was the one that closed the gate.
func (g *Gate) Close() bool {
	g.mu.Lock()
	first := !g.closed
	g.closed = true
	g.mu.Unlock()
	g.inside.Wait()
	return first
}

// Live returns a fail error when ctx has ended.
func Live(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fail.From(err)
	}
	return nil
}
