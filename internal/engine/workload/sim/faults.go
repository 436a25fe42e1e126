package sim

import (
	"context"
	"sync"

	"github.com/awancloud/awan/internal/kernel/fail"
)

// Gate is a Before hook behind which calls wait until a test lets them through, one by one.
type Gate struct {
	once sync.Once
	wait chan Call
	pass chan error
}

func (g *Gate) init() {
	g.once.Do(func() { g.wait, g.pass = make(chan Call), make(chan error) })
}

// Hook is the hook itself.
func (g *Gate) Hook(ctx context.Context, c Call) error {
	g.init()
	select {
	case g.wait <- c:
	case <-ctx.Done():
		return fail.From(ctx.Err())
	}
	return <-g.pass
}

// Next waits for a call to arrive at the gate and gives it; Pass must follow.
func (g *Gate) Next(ctx context.Context) (Call, error) {
	g.init()
	select {
	case c := <-g.wait:
		return c, nil
	case <-ctx.Done():
		return Call{}, ctx.Err()
	}
}

// Pass lets the call that Next gave go on, or fails it.
func (g *Gate) Pass(err error) { g.pass <- err }

// FailNth is a hook that fails the nth call (from 1) of a method, or of any when method is "", and no other.
func FailNth(method string, n int, err error) func(context.Context, Call) error {
	var mu sync.Mutex
	seen := 0
	return func(_ context.Context, c Call) error {
		mu.Lock()
		defer mu.Unlock()
		if method != "" && c.Method != method {
			return nil
		}
		if seen++; seen == n {
			return err
		}
		return nil
	}
}
