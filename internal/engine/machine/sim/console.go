package sim

import (
	"bytes"
	"context"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/machine"
)

const keptLog = 16 << 10

// console is a serial line: a log, and who watches.
type console struct {
	mu       sync.Mutex
	log      []byte
	watchers map[*watcher]struct{}
	screens  []io.Closer // of those who watch the screen, or did
}

// write is what the system says.
func (c *console) write(b []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.log = append(c.log, b...); len(c.log) > keptLog {
		c.log = slices.Clone(c.log[len(c.log)-keptLog/2:])
	}
	for w := range c.watchers {
		w.take(b)
	}
}

// hangUp ends the line of all who watch.
func (c *console) hangUp() {
	c.mu.Lock()
	all := c.watchers
	screens := c.screens
	c.watchers, c.screens = nil, nil
	c.mu.Unlock()
	for w := range all {
		_ = w.Close()
	}
	for _, s := range screens {
		_ = s.Close()
	}
}

// watcher is one end of the line. What it writes comes back as an echo, and each line brings a new prompt.
type watcher struct {
	c *console

	mu    sync.Mutex
	more  sync.Cond
	b     bytes.Buffer
	ended bool
}

func (c *console) watch() *watcher {
	w := &watcher{c: c}
	w.more.L = &w.mu
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.watchers == nil {
		c.watchers = map[*watcher]struct{}{}
	}
	c.watchers[w] = struct{}{}
	return w
}

func (w *watcher) take(b []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.b.Len() < keptLog {
		w.b.Write(b)
	}
	w.more.Broadcast()
}

// Read waits for what the system says.
func (w *watcher) Read(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.b.Len() == 0 && !w.ended {
		w.more.Wait()
	}
	if w.b.Len() == 0 {
		return 0, io.EOF
	}
	return w.b.Read(p)
}

// Write is what is typed.
func (w *watcher) Write(p []byte) (int, error) {
	w.mu.Lock()
	ended := w.ended
	w.mu.Unlock()
	if ended {
		return 0, io.ErrClosedPipe
	}
	for _, ch := range p {
		if ch == '\r' || ch == '\n' {
			w.c.write([]byte("\r\nlogin: "))
		} else {
			w.c.write([]byte{ch})
		}
	}
	return len(p), nil
}

// Close leaves.
func (w *watcher) Close() error {
	w.c.mu.Lock()
	delete(w.c.watchers, w)
	w.c.mu.Unlock()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended = true
	w.more.Broadcast()
	return nil
}

// Serial implements machine.Engine.
func (e *Engine) Serial(ctx context.Context, i id.ID) (io.ReadWriteCloser, error) {
	c := Call{Method: "Serial", Machine: i}
	var w *watcher
	err := e.withRunning(ctx, c, func(g *guest) error {
		w = g.console.watch()
		return nil
	})
	if err = e.after(ctx, c, err); err != nil {
		return nil, err
	}
	return w, nil
}

// Log implements machine.Engine.
func (e *Engine) Log(ctx context.Context, i id.ID, most int64) ([]byte, error) {
	c := Call{Method: "Log", Machine: i}
	if err := e.before(ctx, c); err != nil {
		return nil, err
	}
	e.mu.Lock()
	g := e.machines[i]
	known := g != nil && g.seen.Phase != ""
	e.mu.Unlock()
	if !known {
		return nil, gone(i)
	}
	g.console.mu.Lock()
	b := slices.Clone(g.console.log)
	g.console.mu.Unlock()
	if most > 0 && int64(len(b)) > most {
		b = b[int64(len(b))-most:]
	}
	return b, e.after(ctx, c, nil)
}

// tell hands an event to whoever listens.
func (e *Engine) tell(i id.ID, kind, detail string) {
	e.events.Send(machine.Event{Machine: i, At: time.Now(), Kind: kind, Detail: detail})
}
