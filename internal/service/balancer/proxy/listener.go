package proxy

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/awancloud/awan/internal/kernel/id"
)

// listener is a Listener at work.
type listener struct {
	proxy    *Proxy
	at       netip.AddrPort
	vpc      id.ID
	protocol string
	count    *count
	cfg      atomic.Pointer[Listener]
	opened   bool // Proxy.mu
	shut     func() error
	ended    atomic.Bool
	serving  sync.WaitGroup

	mu      sync.Mutex
	conns   map[*counted]bool
	servers map[times]*server // of HTTP, by the times that their connections are given
}

// counted is a connection from a client.
type counted struct {
	net.Conn
	l    *listener
	once sync.Once
}

func (l *listener) hold(c *counted) {
	l.count.total.Add(1)
	l.count.active.Add(1)
	l.mu.Lock()
	if l.conns == nil {
		l.conns = map[*counted]bool{}
	}
	l.conns[c] = true
	l.mu.Unlock()
}

// Close ends it, once.
func (c *counted) Close() error {
	c.once.Do(func() {
		c.l.count.active.Add(-1)
		c.l.mu.Lock()
		delete(c.l.conns, c)
		c.l.mu.Unlock()
	})
	return c.Conn.Close()
}

// CloseWrite says the end of our side to a client of TCP.
func (c *counted) CloseWrite() error {
	if w, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return c.Conn.Close()
}

// close stops listening; what goes on ends by itself, or is cut when the time is over. It returns at once unless that is 0.
func (l *listener) close(drain time.Duration) {
	if !l.opened {
		return
	}
	l.opened = false
	l.mu.Lock()
	l.ended.Store(true) // from now on no server is made
	l.mu.Unlock()
	_ = l.shut()
	end := func() {
		ctx, cancel := context.WithTimeout(context.Background(), drain)
		defer cancel()
		l.mu.Lock()
		servers := l.servers
		l.servers = map[times]*server{}
		l.mu.Unlock()
		var all sync.WaitGroup
		for _, s := range servers {
			all.Go(func() { s.close(ctx) })
		}
		all.Wait()
		l.quiet(ctx)
		l.mu.Lock()
		conns := l.conns
		l.conns = nil
		l.mu.Unlock()
		for c := range conns {
			_ = c.Conn.Close()
		}
		l.serving.Wait()
	}
	if drain == 0 {
		end()
		return
	}
	l.proxy.leaving.Go(end)
}

// quiet waits until no connection is open, or ctx ends.
func (l *listener) quiet(ctx context.Context) {
	for ctx.Err() == nil && l.count.active.Load() > 0 {
		l.mu.Lock()
		n := len(l.conns)
		l.mu.Unlock()
		if n == 0 {
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// times are what an HTTP server is made with. Connections keep the ones they came with.
type times struct{ idle, request time.Duration }

// server serves the connections fed to it.
type server struct {
	http *http.Server
	ch   chan net.Conn
	done chan struct{}
	once sync.Once
	addr net.Addr
}

// feed gives a connection to the server for the times of the moment.
func (l *listener) feed(cfg *Listener, c net.Conn) {
	key := times{cfg.Idle, cfg.Request}
	l.mu.Lock()
	if l.ended.Load() {
		l.mu.Unlock()
		_ = c.Close()
		return
	}
	s := l.servers[key]
	if s == nil {
		s = l.newServer(key, c.LocalAddr())
		l.servers[key] = s
	}
	l.mu.Unlock()
	select {
	case s.ch <- c:
	case <-s.done:
		_ = c.Close()
	}
}

func (l *listener) newServer(t times, addr net.Addr) *server {
	s := &server{ch: make(chan net.Conn), done: make(chan struct{}), addr: addr}
	s.http = &http.Server{Handler: http.HandlerFunc(l.serveHTTP), ReadHeaderTimeout: t.request, IdleTimeout: t.idle, MaxHeaderBytes: 64 << 10,
		TLSConfig: serverTLS(), ErrorLog: quiet(l.proxy.log), HTTP2: &http.HTTP2Config{MaxConcurrentStreams: 250}}
	l.serving.Go(func() { _ = s.http.Serve(s) })
	return s
}

// Accept gives the next connection that was fed.
func (s *server) Accept() (net.Conn, error) {
	select {
	case c := <-s.ch:
		return c, nil
	case <-s.done:
		return nil, net.ErrClosed
	}
}

// Close ends Accept.
func (s *server) Close() error { s.once.Do(func() { close(s.done) }); return nil }

// Addr is where the connections come to.
func (s *server) Addr() net.Addr { return s.addr }

func (s *server) close(ctx context.Context) {
	if s.http.Shutdown(ctx) != nil {
		_ = s.http.Close()
	}
}
