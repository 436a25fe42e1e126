package front

import (
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// recordHandshake is the first byte of every TLS connection (RFC 8446 §5.1); no HTTP method begins with it.
const recordHandshake = 0x16

// conn is an accepted connection, or what runs inside a CONNECT tunnel, with the bytes read from it so far.
type conn struct {
	net.Conn
	peer   netip.Addr
	local  netip.Addr // where the client meant to go: inside a tunnel, the tunnel's target if that is an address
	port   uint16     // likewise
	tunnel bool
	inside bool         // it came to a listener of AddInside
	outer  *conn        // what a tunnel runs in
	state  atomic.Int32 // the http.ConnState of whatever runs innermost

	out   gathering
	ahead atomic.Bool // a large body comes: read more than is asked for
	front []byte      // read already, to be read again
	in    *[]byte     // what front lies in, when that is of a pool
	inErr error       // met behind front
	once  sync.Once
	done  func()
}

// LocalAddr is by what certificates are chosen when the client names no host.
func (c *conn) LocalAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(c.local, c.port))
}

func (c *conn) Close() error {
	c.once.Do(c.done)
	return c.Conn.Close()
}

// noteState keeps what net/http says of a connection with the accepted one, so that Shutdown need not wait for those on
// which nothing was asked (browsers open such ahead of need).
func noteState(raw net.Conn, s http.ConnState) {
	if t, ok := raw.(*tls.Conn); ok {
		raw = t.NetConn()
	}
	if c, ok := raw.(*conn); ok {
		for c.outer != nil {
			c = c.outer
		}
		c.state.Store(int32(s))
	}
}

// accept takes connections from ln until it is closed.
func (f *Front) accept(ln net.Listener, inside bool) {
	var pause time.Duration
	for {
		raw, err := ln.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil: // out of file descriptors, say: go on when there are some again
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			f.log.Error("a connection could not be accepted", "address", ln.Addr(), "error", err)
			select {
			case <-time.After(pause):
			case <-f.drain:
				return
			}
			continue
		}
		pause = 0
		local, peer := addrPort(raw.LocalAddr()), addrPort(raw.RemoteAddr())
		c := &conn{Conn: raw, peer: peer.Addr(), local: local.Addr(), port: local.Port(), inside: inside}
		c.done = func() { f.conns.leave(c) }
		if !f.conns.enter(c) {
			f.log.Warn("a connection was refused: too many are open", "peer", c.peer)
			c.done = func() {}
			f.end(c)
			continue
		}
		f.serving.Go(func() { f.dispatch(c) })
	}
}

func (f *Front) end(c net.Conn) {
	if err := c.Close(); err != nil {
		f.log.Debug("closing a connection", "error", err)
	}
}

// dispatch hands c to the server for TLS or for plain HTTP, by its first byte.
func (f *Front) dispatch(c *conn) {
	if len(c.front) == 0 {
		var first [1]byte
		if err := c.SetReadDeadline(time.Now().Add(f.opts.HeaderTime)); err != nil {
			f.end(c)
			return
		}
		n, err := c.Conn.Read(first[:])
		if err == nil {
			err = c.SetReadDeadline(time.Time{})
		}
		if err != nil || n == 0 {
			f.end(c)
			return
		}
		c.front = first[:1]
	}
	to, what := f.clearFeed, net.Conn(c)
	if c.front[0] == recordHandshake {
		config := f.tls
		if c.inside {
			config = f.inside
		}
		to, what = f.secureFeed, tls.Server(c, config)
	}
	if !to.give(what) {
		f.end(what)
	}
}

// feed is a net.Listener whose connections are given by hand.
type feed struct {
	addr net.Addr
	next chan net.Conn
	done chan struct{}
	once sync.Once
}

func newFeed(addr net.Addr) *feed {
	return &feed{addr: addr, next: make(chan net.Conn), done: make(chan struct{})}
}

func (l *feed) give(c net.Conn) bool {
	select {
	case l.next <- c:
		return true
	case <-l.done:
		return false
	}
}

// Accept gives the next connection.
func (l *feed) Accept() (net.Conn, error) {
	select {
	case c := <-l.next:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Close ends Accept and refuses what is still given.
func (l *feed) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

// Addr is the main listener's.
func (l *feed) Addr() net.Addr { return l.addr }

// census counts open connections, in all and by source.
type census struct {
	max, perSource int

	mu      sync.Mutex
	open    map[*conn]struct{}
	sources map[netip.Addr]int
}

func (n *census) enter(c *conn) bool {
	from := source(c.peer)
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.open) >= n.max || !from.IsLoopback() && n.sources[from] >= n.perSource {
		return false
	}
	n.open[c] = struct{}{}
	n.sources[from]++
	return true
}

func (n *census) leave(c *conn) {
	from := source(c.peer)
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.open, c)
	if n.sources[from]--; n.sources[from] == 0 {
		delete(n.sources, from)
	}
}

func (n *census) close(which func(*conn) bool) {
	n.mu.Lock()
	var left []*conn
	for c := range n.open {
		if which(c) {
			left = append(left, c)
		}
	}
	n.mu.Unlock()
	for _, c := range left {
		_ = c.Close() // it may be closed already; there is nobody left to tell
	}
}

// source is what counts as one source: an IPv4 address, or an IPv6 network of the size that one customer gets.
func source(a netip.Addr) netip.Addr {
	if a.Is4() || a.IsLoopback() {
		return a
	}
	p, err := a.Prefix(64)
	if err != nil {
		return a
	}
	return p.Addr()
}

func addrPort(a net.Addr) netip.AddrPort {
	at, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(at.Addr().Unmap().WithZone(""), at.Port())
}
