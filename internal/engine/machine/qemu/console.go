package qemu

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/awancloud/awan/internal/engine/machine/qemu/qmp"
	"github.com/awancloud/awan/internal/kernel/id"
)

// hub shares a machine's serial line, which QEMU gives to one at a time, among all who watch.
type hub struct {
	conn net.Conn

	mu       sync.Mutex
	watchers map[*watcher]struct{}
	over     bool
}

// backlog bounds what is kept for a watcher who does not read; then it loses the newest.
const backlog = 256 << 10

// watcher is one who watches.
type watcher struct {
	h *hub

	mu    sync.Mutex
	more  sync.Cond
	b     bytes.Buffer
	ended bool
}

// Serial implements machine.Engine.
func (e *Engine) Serial(ctx context.Context, i id.ID) (io.ReadWriteCloser, error) {
	var w *watcher
	err := e.withRunning(ctx, i, "the serial console cannot be joined", func(g *guest, _ *qmp.Client, _ record) error {
		g.mu.Lock()
		h := g.line
		g.mu.Unlock()
		if h != nil {
			if w = h.watch(); w != nil {
				return nil
			}
		}
		var d net.Dialer
		c, err := d.DialContext(ctx, "unix", e.linePath(i))
		if err != nil {
			return err
		}
		h = &hub{conn: c, watchers: map[*watcher]struct{}{}}
		w = h.watch()
		e.work.Go(h.pump)
		g.mu.Lock()
		g.line = h
		g.mu.Unlock()
		return nil
	})
	if err != nil {
		return nil, err
	}
	return w, nil
}

// watch joins; nil when the line is over.
func (h *hub) watch() *watcher {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.over {
		return nil
	}
	w := &watcher{h: h}
	w.more.L = &w.mu
	h.watchers[w] = struct{}{}
	return w
}

func (h *hub) pump() {
	b := make([]byte, 16<<10)
	for {
		n, err := h.conn.Read(b)
		h.mu.Lock()
		for w := range h.watchers {
			w.take(b[:n])
		}
		h.mu.Unlock()
		if err != nil {
			h.hangUp()
			return
		}
	}
}

// hangUp ends the line for all.
func (h *hub) hangUp() {
	h.mu.Lock()
	all := h.watchers
	h.watchers, h.over = map[*watcher]struct{}{}, true
	h.mu.Unlock()
	_ = h.conn.Close()
	for w := range all {
		w.end()
	}
}

func (w *watcher) take(b []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.b.Len() < backlog {
		w.b.Write(b)
	}
	w.more.Broadcast()
}

func (w *watcher) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended = true
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
	return w.h.conn.Write(p)
}

// Close leaves; the last one hangs up.
func (w *watcher) Close() error {
	w.h.mu.Lock()
	delete(w.h.watchers, w)
	last := len(w.h.watchers) == 0
	w.h.over = w.h.over || last // nobody may join what is about to end
	w.h.mu.Unlock()
	w.end()
	if last {
		w.h.hangUp()
	}
	return nil
}

// VNC implements machine.Engine: the process is handed one end of a new connection.
func (e *Engine) VNC(ctx context.Context, i id.ID) (net.Conn, error) {
	var conn net.Conn
	err := e.withRunning(ctx, i, "the screen cannot be joined", func(_ *guest, q *qmp.Client, _ record) error {
		ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		if err != nil {
			return err
		}
		ours, theirs := os.NewFile(uintptr(ends[0]), "vnc"), os.NewFile(uintptr(ends[1]), "vnc")
		defer ours.Close()
		defer theirs.Close()
		name := fmt.Sprintf("vnc-%d", ends[1])
		if err := q.DoFile(ctx, ends[1], "getfd", object{"fdname": name}, nil); err != nil {
			return err
		}
		if err := q.Do(ctx, "add_client", object{"protocol": "vnc", "fdname": name, "skipauth": true}, nil); err != nil {
			return err
		}
		conn, err = net.FileConn(ours)
		return err
	})
	return conn, err
}
