package network

import (
	"context"
	"hash/fnv"
	"reflect"
	"sync"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/fabric"
)

// target is one thing that the engine is told of.
type target struct {
	what string // "vpc", "group", "port"
	id   id.ID
}

// told remembers what the engine was last told, so that what did not change is not said again, and makes sure that one
// thing is told by one goroutine at a time: what is told last is what was read last.
type told struct {
	mu   sync.Mutex
	want map[target]any
	has  map[target]bool // VPCs and groups that the engine may have: others need no removing
	busy [256]sync.Mutex // by hash: who holds one takes no other
}

// hold waits for a target's turn.
func (t *told) hold(x target) (release func()) {
	h := fnv.New32a()
	_, _ = h.Write([]byte(x.what + string(x.id)))
	m := &t.busy[h.Sum32()%uint32(len(t.busy))]
	m.Lock()
	return m.Unlock
}

// same tells whether the engine was told just this last.
func (t *told) same(x target, want any) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	was, ok := t.want[x]
	return ok && reflect.DeepEqual(was, want)
}

func (t *told) set(x target, want any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if want == nil {
		delete(t.want, x)
		return
	}
	t.want[x] = want
}

// held notes that the engine has something, or may have.
func (t *told) held(x target, is bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if is {
		t.has[x] = true
	} else {
		delete(t.has, x)
	}
}

func (t *told) holds(x target) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.has[x]
}

func (t *told) get(x target) any {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.want[x]
}

// applyVPC makes the engine's routing domain that of the rows. force says it again though nothing changed.
func (c *converger) applyVPC(ctx context.Context, domain id.ID, force bool) error {
	x := target{"vpc", domain}
	defer c.told.hold(x)()
	var want fabric.VPC
	var project id.ID
	var there bool
	err := c.s.Store.View(ctx, func(tx store.Tx) error {
		r, p, ok, err := c.s.readVPC(tx, domain)
		if err == nil && ok {
			want, project, there = planVPC(r), p, true
		}
		return err
	})
	if err != nil {
		return err
	}
	if !there {
		if !c.told.holds(x) {
			return nil
		}
		c.ends.close(domain)
		if err := c.s.Engine.DestroyVPC(ctx, domain); err != nil {
			return fail.Wrap(err, fail.Unavailable, "the network %s cannot be removed", domain)
		}
		c.told.set(x, nil)
		c.told.held(x, false)
		return nil
	}
	if !force && c.told.same(x, want) {
		return nil
	}
	c.told.set(x, nil)
	c.told.held(x, true)
	if err := c.s.Engine.EnsureVPC(ctx, domain, want); err != nil {
		return fail.Wrap(err, fail.Unavailable, "the network %s cannot be made", domain)
	}
	c.told.set(x, want)
	return c.ends.open(ctx, domain, project)
}

// applyGroup makes the engine's group that of the rows.
func (c *converger) applyGroup(ctx context.Context, group id.ID, force bool) error {
	x := target{"group", group}
	defer c.told.hold(x)()
	want, there := everything(), group == openGroup
	if !there {
		err := c.s.Store.View(ctx, func(tx store.Tx) error {
			rules, sets, ok, err := c.s.readGroup(tx, group)
			if ok {
				want, there = planGroup(rules, sets), true
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	if !there {
		if !c.told.holds(x) {
			return nil
		}
		if err := c.s.Engine.DestroyGroup(ctx, group); err != nil {
			return fail.Wrap(err, fail.Unavailable, "the security group %s cannot be removed", group)
		}
		c.told.set(x, nil)
		c.told.held(x, false)
		return nil
	}
	if !force && c.told.same(x, want) {
		return nil
	}
	c.told.set(x, nil)
	for _, r := range want.Rules { // the engine must know the groups that rules name
		if r.Group != "" && r.Group != group && c.told.get(target{"group", r.Group}) == nil {
			c.told.held(target{"group", r.Group}, true)
			if err := c.s.Engine.EnsureGroup(ctx, r.Group, c.readPlain(ctx, r.Group)); err != nil {
				return fail.Wrap(err, fail.Unavailable, "the security group %s cannot be made", r.Group)
			}
		}
	}
	c.told.held(x, true)
	if err := c.s.Engine.EnsureGroup(ctx, group, want); err != nil {
		return fail.Wrap(err, fail.Unavailable, "the security group %s cannot be made", group)
	}
	c.told.set(x, want)
	return nil
}

// applyPort makes the engine's port that of the rows.
func (c *converger) applyPort(ctx context.Context, port id.ID, force bool) (fabric.SeenPort, error) {
	x := target{"port", port}
	defer c.told.hold(x)()
	var want fabric.Port
	var there bool
	err := c.s.Store.View(ctx, func(tx store.Tx) error {
		r, ok, err := c.s.readPort(tx, port)
		if err == nil && ok {
			want, there = planPort(r), true
		}
		return err
	})
	if err != nil {
		return fabric.SeenPort{}, err
	}
	if there && !force && c.told.same(x, want) {
		return fabric.SeenPort{}, nil
	}
	ended, err := c.lastTraffic(ctx, port, want)
	if err != nil {
		return fabric.SeenPort{}, err
	}
	if !there {
		if err := c.s.Engine.DestroyPort(ctx, port); err != nil {
			return fabric.SeenPort{}, fail.Wrap(err, fail.Unavailable, "the port %s cannot be removed", port)
		}
		c.told.set(x, nil)
		return fabric.SeenPort{}, ended()
	}
	c.told.set(x, nil)
	seen, err := c.s.Engine.EnsurePort(ctx, port, want)
	if err != nil {
		return seen, fail.Wrap(err, fail.Unavailable, "the port %s cannot be plugged", port)
	}
	c.told.set(x, want)
	return seen, ended()
}
