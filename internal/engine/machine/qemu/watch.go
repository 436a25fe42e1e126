package qemu

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/awancloud/awan/internal/engine/machine/qemu/qmp"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/machine"
)

// watch is a connection to a process with what its events told.
type watch struct {
	e *Engine
	g *guest
	q *qmp.Client

	mu   sync.Mutex
	shut bool // the system inside has shut down
	more chan struct{}
}

// connect opens the connection. Events are taken from then on.
func (e *Engine) connect(ctx context.Context, g *guest) (*watch, error) {
	w := &watch{e: e, g: g, more: make(chan struct{}, 1)}
	q, err := qmp.Dial(ctx, e.qmpPath(g.id), w.event)
	if err != nil {
		return nil, err
	}
	w.q = q
	return w, nil
}

// take makes a process that answers the machine's, and watches it from then on. ended gives its exit code, if we are its
// parent.
func (e *Engine) take(ctx context.Context, g *guest, w *watch, pid int, ended chan int) error {
	var status struct{ Status string }
	var ends []struct {
		Label string
		Open  bool `json:"frontend-open"`
	}
	if err := errors.Join(w.q.Do(ctx, "query-status", nil, &status), w.q.Do(ctx, "query-chardev", nil, &ends)); err != nil {
		_ = w.q.Close()
		return err
	}
	agent := false
	for _, c := range ends {
		agent = agent || c.Label == "agent" && c.Open
	}
	pidfd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		_ = w.q.Close()
		return fmt.Errorf("the process is gone: %w", err)
	}
	g.mu.Lock()
	g.q, g.pid, g.paused, g.agent, g.ended = w.q, pid, status.Status == "paused", agent, make(chan struct{})
	g.mu.Unlock()
	if status.Status == "shutdown" || status.Status == "guest-panicked" {
		w.shutDown()
	}
	e.work.Go(func() { w.follow(pidfd, ended) })
	e.work.Go(func() { e.collectLog(w) })
	return nil
}

// event is called for each, in their order. It must not wait for an answer.
func (w *watch) event(ev qmp.Event) {
	e, g := w.e, w.g
	var d struct {
		Guest  bool
		Reason string
		Device string
		ID     string
		Open   bool
		NoSpc  bool `json:"nospace"`
	}
	_ = json.Unmarshal(ev.Data, &d)
	switch ev.Name {
	case "RESET":
		if _, _, known := g.view(); !known {
			return
		}
		if err := e.change(g, func(r *record) { r.Boots++ }); err != nil {
			e.log.Warn("count a start", "machine", g.id, "err", err)
		}
		e.tell(g.id, ev.At, "reset", d.Reason)
	case "SHUTDOWN":
		if d.Guest {
			w.shutDown()
		}
	case "STOP", "RESUME":
		g.mu.Lock()
		g.paused = ev.Name == "STOP"
		g.mu.Unlock()
	case "DEVICE_DELETED":
		g.mu.Lock()
		g.gone[d.Device] = true
		close(g.left)
		g.left = make(chan struct{})
		g.mu.Unlock()
	case "VSERPORT_CHANGE":
		if d.ID == "agent0" {
			g.mu.Lock()
			g.agent = d.Open
			g.mu.Unlock()
		}
	case "BLOCK_IO_ERROR":
		e.log.Warn("a machine's disk fails", "machine", g.id, "device", d.Device, "reason", d.Reason, "full", d.NoSpc)
	}
}

func (w *watch) shutDown() {
	w.mu.Lock()
	w.shut = true
	w.mu.Unlock()
	select {
	case w.more <- struct{}{}:
	default:
	}
}

// follow waits for the process's end and records it. A system that has shut down leaves a process that waits: it is told to
// end.
func (w *watch) follow(pidfd int, ended chan int) {
	defer unix.Close(pidfd)
	for open := true; open; {
		select {
		case <-w.more:
			ctx, cancel := context.WithTimeout(w.e.ctx, 5*time.Second)
			_ = w.q.Do(ctx, "quit", nil, nil)
			cancel()
		case <-w.q.Done():
			open = false
		}
	}
	if w.e.ctx.Err() != nil {
		return // we go, not it
	}
	// Without its connection a process cannot be driven any more. It is on its way out, or it is ended.
	if !left(pidfd, 10*time.Second) {
		_ = unix.PidfdSendSignal(pidfd, unix.SIGKILL, nil, 0)
		left(pidfd, 10*time.Second)
	}
	code := -1
	if ended != nil {
		select {
		case code = <-ended:
		case <-time.After(5 * time.Second):
		}
	}
	w.mu.Lock()
	shut := w.shut
	w.mu.Unlock()
	w.e.over(w.g, shut, code)
}

// left waits for a process's end.
func left(pidfd int, most time.Duration) bool {
	for end := time.Now().Add(most); ; {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}, int(time.Until(end).Milliseconds()))
		if n > 0 {
			return true
		}
		if !errors.Is(err, unix.EINTR) || time.Now().After(end) {
			return false
		}
	}
}

// over records how a machine ended and removes what was alive of it.
func (e *Engine) over(g *guest, shut bool, code int) {
	rec, _, _ := g.view()
	kills := e.cg.OOMKills(e.group(g.id))
	at := time.Now()
	kind, reason := "crashed", fmt.Sprintf("its process ended unasked%s", e.lastWords(g.id))
	switch {
	case rec.Stopped && shut:
		kind, reason = "stopped", "the system shut down when asked to"
	case rec.Stopped:
		kind, reason = "stopped", "it was switched off"
	case shut:
		kind, reason = "shutdown", "the system shut down"
	case kills > 0:
		reason = "its process was killed: out of memory on the host"
	case code > 128:
		reason = fmt.Sprintf("its process was killed by signal %d (%s)", code-128, unix.SignalName(unix.Signal(code-128)))
	}
	e.end(g, &machine.Exit{At: at, Clean: shut, Reason: reason + " at " + at.UTC().Format("15:04:05")})
	e.tell(g.id, at, kind, reason)
}

// end writes a machine's end down; then nothing of it is left but its record and its log.
func (e *Engine) end(g *guest, x *machine.Exit) {
	if err := errors.Join(e.cg.Clear(e.group(g.id)), e.keepLog(g.id), e.removeLive(g.id), e.change(g, func(r *record) {
		r.Exit, r.Frozen = x, false
	})); err != nil {
		e.log.Error("record a machine's end", "machine", g.id, "err", err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.q, g.pid, g.paused, g.agent, g.gone = nil, 0, false, false, map[string]bool{}
	if g.ended != nil {
		close(g.ended)
		g.ended = nil
	}
	if g.line != nil {
		g.line.hangUp()
		g.line = nil
	}
}

// adopt takes over what runs, several at a time, and removes what nobody knows.
func (e *Engine) adopt(ctx context.Context) error {
	known := map[string]bool{}
	tokens := make(chan struct{}, 16)
	var wg sync.WaitGroup
	for i, g := range e.machines {
		known[e.group(i)] = true
		wg.Go(func() {
			tokens <- struct{}{}
			defer func() { <-tokens }()
			e.adoptOne(ctx, g)
		})
	}
	wg.Wait()
	var errs []error
	for _, name := range e.cg.Groups(group) {
		if !known[name] {
			errs = append(errs, e.cg.Clear(name))
		}
	}
	dirs, _ := filepath.Glob(filepath.Join(run(e.o.Key), "*"))
	for _, d := range dirs {
		if i := id.ID(filepath.Base(d)); e.machines[i] == nil {
			errs = append(errs, e.removeLive(i))
		}
	}
	return errors.Join(errs...)
}

func (e *Engine) adoptOne(ctx context.Context, g *guest) {
	rec, _, _ := g.view()
	pids := e.cg.Pids(e.group(g.id))
	if !rec.running() {
		if len(pids) > 0 {
			_ = e.cg.Clear(e.group(g.id))
		}
		return
	}
	var err error
	if len(pids) > 0 {
		if err = e.retake(ctx, g, pids[0]); err == nil {
			return
		}
		e.log.Warn("a machine does not answer and is ended", "machine", g.id, "err", err)
	}
	kills, at := e.cg.OOMKills(e.group(g.id)), time.Now()
	reason := "it ended while nobody looked" + e.lastWords(g.id)
	switch {
	case rec.Stopped:
		reason = "it was switched off"
	case err != nil:
		reason = "its process did not answer any more"
	case kills > 0:
		reason = "its process was killed while nobody looked: out of memory on the host"
	}
	e.end(g, &machine.Exit{At: at, Reason: reason + ", found at " + at.UTC().Format("15:04:05")})
}

func (e *Engine) retake(ctx context.Context, g *guest, pid int) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	w, err := e.connect(ctx, g)
	if err != nil {
		return err
	}
	if err := forgetKeys(pid); err != nil {
		e.log.Warn("remove keys", "machine", g.id, "err", err)
	}
	if err := e.take(ctx, g, w, pid, nil); err != nil {
		return err
	}
	if rec, _, _ := g.view(); rec.Frozen {
		e.work.Go(func() { e.thaw(g) })
	}
	return nil
}
