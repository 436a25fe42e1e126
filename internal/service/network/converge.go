package network

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/awancloud/awan/internal/kernel/event"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
)

// rowsPrefix is where the service's rows lie.
const rowsPrefix = "row/network/"

// converger tells the engine what the rows say: all of it at the start, then whatever changes, and again what failed.
type converger struct {
	s    *Service
	told told
	ends *ends

	mu    sync.Mutex
	dirty map[target]bool     // true: say it again though nothing changed
	of    map[string][]target // what a row was about when it was last seen, by its key: for what it no longer is about
	kick  chan struct{}
	idle  *sync.Cond // dirty became empty
	work  bool       // a round is under way

	stop    context.CancelFunc
	running sync.WaitGroup
}

func newConverger(s *Service) *converger {
	c := &converger{s: s, told: told{want: map[target]any{}, has: map[target]bool{}}, dirty: map[target]bool{}, of: map[string][]target{},
		kick: make(chan struct{}, 1)}
	c.idle = sync.NewCond(&c.mu)
	c.ends = newEnds(s)
	return c
}

// start tells the engine everything, and follows what changes.
func (c *converger) start(ctx context.Context) error {
	rev, err := c.readAll(ctx)
	if err != nil {
		return err
	}
	if err := c.findOrphans(ctx); err != nil {
		return err
	}
	ctx, c.stop = context.WithCancel(ident.With(context.WithoutCancel(ctx), ident.System()))
	for _, p := range []string{rowsPrefix, quarantineKey} {
		c.running.Go(func() { c.follow(ctx, p, rev) })
	}
	c.running.Go(func() { c.run(ctx) })
	c.running.Go(func() { c.drift(ctx) })
	c.running.Go(func() { c.flows(ctx) })
	return nil
}

func (c *converger) close() {
	if c.stop != nil {
		c.stop()
	}
	c.running.Wait()
	c.ends.closeAll()
}

// readAll marks everything that the rows are about.
func (c *converger) readAll(ctx context.Context) (rev store.Rev, err error) {
	err = c.s.Store.View(ctx, func(tx store.Tx) error {
		rev = tx.Rev()
		for k, v := range tx.Scan(rowsPrefix, "") {
			c.note(tx, k, v, false)
		}
		return tx.ScanErr()
	})
	return rev, err
}

// findOrphans marks what the engine has, so that what no row is about goes.
func (c *converger) findOrphans(ctx context.Context) error {
	for what, list := range map[string]func(context.Context) func(func(id.ID, error) bool){
		"vpc":   func(ctx context.Context) func(func(id.ID, error) bool) { return c.s.Engine.VPCs(ctx) },
		"group": func(ctx context.Context) func(func(id.ID, error) bool) { return c.s.Engine.Groups(ctx) },
		"port":  func(ctx context.Context) func(func(id.ID, error) bool) { return c.s.Engine.Ports(ctx) },
	} {
		for i, err := range list(ctx) {
			if err != nil {
				return fail.Wrap(err, fail.Unavailable, "what the network engine has cannot be listed")
			}
			c.told.held(target{what, i}, true)
			c.mark(target{what, i})
		}
	}
	return nil
}

// follow notes every change below a prefix.
func (c *converger) follow(ctx context.Context, prefix string, rev store.Rev) {
	for ctx.Err() == nil {
		for ch, err := range c.s.Store.Watch(ctx, prefix, rev) {
			if err == nil {
				rev = ch.Rev
				c.changed(ctx, ch)
				continue
			}
			if rev, err = c.readAll(ctx); err != nil && ctx.Err() == nil { // too far behind: all of it again
				c.s.Log.Warn("the rows of networks cannot be read; it is tried again", "err", err)
				pause(ctx, time.Second)
			}
			break
		}
	}
}

func (c *converger) changed(ctx context.Context, ch store.Change) {
	err := c.s.Store.View(ctx, func(tx store.Tx) error {
		c.note(tx, ch.Key, ch.Value, ch.Deleted)
		return tx.ScanErr()
	})
	if err != nil && ctx.Err() == nil {
		c.s.Log.Warn("a change of a network cannot be followed; the next look at everything will", "err", err)
	}
}

// note marks what a row is about, and what it was about before.
func (c *converger) note(tx store.Tx, key string, value []byte, deleted bool) {
	var now []target
	if project, ok := strings.CutPrefix(key, quarantineKey); ok {
		for _, x := range c.s.ofProject(tx, id.ID(project)) {
			c.mark(x)
		}
		return
	}
	service, rest, _ := strings.Cut(strings.TrimPrefix(key, "row/"), "/")
	name, _, _ := strings.Cut(rest, "/")
	row := id.ID(key[len(key)-32:])
	if self := (target{map[string]string{"vpc": "vpc", "subnet": "vpc", "security-group": "group", "port": "port"}[name], row}); self.what != "" {
		now = append(now, self) // also when it is gone: the engine forgets it too
	}
	for _, k := range c.s.Kinds() {
		if !deleted && k.Service == service && k.Name == name {
			if r, err := k.Decode(value); err == nil {
				now = append(now, c.s.about(tx, r)...)
			}
		}
	}
	c.mu.Lock()
	was := c.of[key]
	if deleted {
		delete(c.of, key)
	} else {
		c.of[key] = now
	}
	c.mu.Unlock()
	for _, x := range append(was, now...) {
		c.mark(x)
	}
}

func (c *converger) mark(x target) {
	if x.id == "" {
		return
	}
	c.mu.Lock()
	if _, there := c.dirty[x]; !there {
		c.dirty[x] = false
	}
	c.mu.Unlock()
	select {
	case c.kick <- struct{}{}:
	default:
	}
}

// settle waits until everything that was marked before has been told to the engine, or failed once.
func (c *converger) settle() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.dirty) > 0 || c.work {
		c.idle.Wait()
	}
}

// What fails is tried again after retryFirst, then after twice as long each time, up to retryMost.
const (
	retryFirst = 2 * time.Second
	retryMost  = time.Minute
)

// run works off what is marked. What fails is tried again after a while.
func (c *converger) run(ctx context.Context) {
	again, wait := map[target]bool{}, retryFirst
	for {
		var retry <-chan time.Time
		if len(again) > 0 {
			retry = time.After(wait)
		}
		fresh := false
		select {
		case <-ctx.Done():
			return
		case <-c.kick:
			fresh = true
		case <-retry:
		}
		c.mu.Lock()
		todo := c.dirty
		c.dirty, c.work = map[target]bool{}, true
		c.mu.Unlock()
		if fresh {
			wait = retryFirst
		} else {
			wait = min(2*wait, retryMost)
		}
		maps.Copy(todo, again)
		again = c.round(ctx, todo, again)
		c.mu.Lock()
		c.work = false
		c.idle.Broadcast()
		c.mu.Unlock()
	}
}

// round tells the engine of each target: routing domains and groups before the ports that need them, and those that are to
// go, or that subnets leave, once no port is in them.
// What failed before is not told of again: known names that.
func (c *converger) round(ctx context.Context, todo, known map[target]bool) (failed map[target]bool) {
	failed = map[target]bool{}
	order := slices.SortedFunc(maps.Keys(todo), func(a, b target) int { return strings.Compare(a.what+string(a.id), b.what+string(b.id)) })
	var later []target
	do := func(x target, f func() error) {
		err := f()
		if err == nil || ctx.Err() != nil {
			return
		}
		failed[x] = true
		if !known[x] {
			c.report(ctx, x, err)
		}
	}
	for _, x := range order { // "group", "port", "vpc": groups first
		if x.what == "group" {
			if c.gone(ctx, x) {
				later = append(later, x)
				continue
			}
			do(x, func() error { return c.applyGroup(ctx, x.id, todo[x]) })
		}
	}
	for _, x := range order {
		if x.what == "vpc" {
			if c.gone(ctx, x) || c.loses(ctx, x) {
				later = append(later, x)
				continue
			}
			do(x, func() error { return c.applyVPC(ctx, x.id, todo[x]) })
		}
	}
	var wg sync.WaitGroup
	slots := make(chan struct{}, 8)
	var mu sync.Mutex
	for _, x := range order {
		if x.what != "port" {
			continue
		}
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			if _, err := c.applyPort(ctx, x.id, todo[x]); err != nil && ctx.Err() == nil {
				mu.Lock()
				failed[x] = true
				mu.Unlock()
				if !known[x] {
					c.report(ctx, x, err)
				}
			}
		})
	}
	wg.Wait()
	for _, x := range later {
		if x.what == "vpc" {
			do(x, func() error { return c.applyVPC(ctx, x.id, todo[x]) })
		} else {
			do(x, func() error { return c.applyGroup(ctx, x.id, todo[x]) })
		}
	}
	return failed
}

// report writes down that the engine could not do what a row says.
func (c *converger) report(ctx context.Context, x target, err error) {
	c.s.Log.Warn("the network engine did not take a change; it is tried again", "what", x.what, "id", x.id, "err", err)
	c.emit(ctx, x.id, event.Event{Level: event.Error, Type: "NotApplied", Text: fail.From(err).Public()})
}

// emit adds an event to a row, if it is there.
func (c *converger) emit(ctx context.Context, row id.ID, e event.Event) {
	e.At = c.s.Now().UTC()
	_, err := c.s.Store.Update(ctx, func(tx store.Tx) error {
		for _, k := range []*kind.Def{c.s.VPC.D, c.s.Subnet.D, c.s.Group.D, c.s.Port.D} {
			r, err := k.Get(tx, row)
			if err != nil {
				return err
			}
			if r != nil {
				return event.Emit(tx, row, e)
			}
		}
		return nil
	})
	if err != nil && ctx.Err() == nil {
		c.s.Log.Error("an event cannot be stored", "row", row, "event", e.Type, "err", err)
	}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
