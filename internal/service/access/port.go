package access

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
)

// ports are the TCP listeners that the rows ask for.
type ports struct {
	s    *Service
	mu   sync.Mutex
	open map[id.ID]*listener
	held map[id.ID]*port // those that cannot be opened yet
}

// port is a row, with the component that its name means.
type port struct {
	*portRow
	component id.ID
}

type listener struct {
	ln  net.Listener
	row *port
	// allow is replaced when the row changes
	mu    sync.Mutex
	allow []netip.Prefix
	conns map[net.Conn]bool
	ended sync.WaitGroup
}

// set opens and closes listeners until they are those of the rows.
func (p *ports) set(rows []*port) {
	reasons := map[id.ID]string{}
	defer func() { p.s.mark(reasons) }() // behind the lock, since it writes rows
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held = map[id.ID]*port{}
	want := map[id.ID]*port{}
	for _, r := range rows {
		want[r.ID] = r
	}
	for i, l := range p.open {
		r := want[i]
		if r == nil || r.Spec.Target != l.row.Spec.Target || r.component != l.row.component {
			l.close()
			delete(p.open, i)
		}
	}
	for i, r := range want {
		l := p.open[i]
		if l == nil {
			var err error
			if l, err = p.listen(r); err != nil {
				p.held[i], reasons[i] = r, whyHeld(r.Status.Address, err)
				continue
			}
		}
		if r.State == kind.Failed {
			reasons[i] = ""
		}
		l.admit(r)
	}
}

// admit takes over from the row who may connect.
func (l *listener) admit(r *port) {
	allow, _ := networks("", r.Spec.Allow) // checked when it was stored
	l.mu.Lock()
	l.allow = allow
	l.mu.Unlock()
}

func (p *ports) listen(r *port) (*listener, error) {
	ln, err := net.Listen("tcp", r.Status.Address)
	if err != nil {
		return nil, err
	}
	l := &listener{ln: ln, row: r, conns: map[net.Conn]bool{}}
	if p.open == nil {
		p.open = map[id.ID]*listener{}
	}
	p.open[r.ID] = l
	l.ended.Go(func() { p.accept(l) })
	return l, nil
}

// retryHeld is how often what cannot be opened is tried again.
const retryHeld = time.Second

// retry tries again what cannot be opened, until ctx ends.
func (p *ports) retry(ctx context.Context) {
	t := time.NewTicker(retryHeld)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		opened := map[id.ID]string{}
		p.mu.Lock()
		for i, r := range p.held {
			if l, err := p.listen(r); err == nil {
				l.admit(r)
				delete(p.held, i)
				opened[i] = ""
			}
		}
		p.mu.Unlock()
		p.s.mark(opened)
	}
}

func (p *ports) accept(l *listener) {
	for {
		c, err := l.ln.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			time.Sleep(10 * time.Millisecond) // out of descriptors: what is open goes on
			continue
		}
		if !l.admits(c) {
			_ = c.Close()
			continue
		}
		l.ended.Go(func() {
			defer l.drop(c)
			p.pass(c, l)
		})
	}
}

// admits tells whether a connection may come, and notes it.
func (l *listener) admits(c net.Conn) bool {
	at, err := netip.ParseAddrPort(c.RemoteAddr().String())
	l.mu.Lock()
	allow := l.allow
	l.mu.Unlock()
	if err != nil || len(allow) > 0 && !in(allow, at.Addr().Unmap()) {
		return false
	}
	return l.hold(c)
}

// hold notes a connection to be cut when the listener closes; it refuses when that has happened.
func (l *listener) hold(c net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conns == nil {
		return false
	}
	l.conns[c] = true
	return true
}

func (l *listener) drop(c net.Conn) {
	_ = c.Close()
	l.mu.Lock()
	delete(l.conns, c)
	l.mu.Unlock()
}

// pass joins a connection with one to an instance that is ready.
func (p *ports) pass(c net.Conn, l *listener) {
	component := l.row.component
	if r := p.s.table.Load().rules[component]; r != nil {
		if at, err := netip.ParseAddrPort(c.RemoteAddr().String()); err != nil || !r.admits(at.Addr().Unmap()) {
			return
		}
	}
	host, done := p.s.Apps.Take(component)
	if host == "" {
		return
	}
	defer done()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	var d net.Dialer
	out, err := d.DialContext(ctx, "tcp", netip.AddrPortFrom(netip.MustParseAddr(host), uint16(l.row.Spec.Target)).String())
	if err != nil {
		p.s.Log.Debug("a TCP port leads nowhere", "port", l.row.Name, "err", err)
		return
	}
	if !l.hold(out) {
		_ = out.Close()
		return
	}
	defer l.drop(out)
	var both sync.WaitGroup
	both.Go(func() { half(out, c) })
	half(c, out)
	both.Wait()
}

// half copies one direction, and says its end to the other side.
func half(to, from net.Conn) {
	_, _ = io.Copy(to, from) // an end is an end, whichever way it came
	if w, ok := to.(interface{ CloseWrite() error }); ok {
		_ = w.CloseWrite()
	}
}

func (l *listener) close() {
	_ = l.ln.Close()
	l.mu.Lock()
	for c := range l.conns {
		_ = c.Close()
	}
	l.conns = nil
	l.mu.Unlock()
	l.ended.Wait()
}

func (p *ports) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, l := range p.open {
		l.close()
		delete(p.open, i)
	}
}
