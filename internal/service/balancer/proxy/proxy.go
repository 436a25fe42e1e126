package proxy

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/awancloud/awan/internal/kernel/id"
)

// Proxy is what listens and passes on. Close ends it.
type Proxy struct {
	net Network
	log *slog.Logger
	// Logged, when set, is told of every request and connection that ended. It must be quick.
	Logged func(Entry)

	mu        sync.RWMutex
	listeners map[id.ID]*listener
	pools     map[id.ID]*pool
	counts    map[id.ID]*count // of listeners, kept while their row is there
	again     *time.Timer
	closed    bool
	leaving   sync.WaitGroup
}

// New makes a proxy that does nothing yet.
func New(n Network, log *slog.Logger) *Proxy {
	return &Proxy{net: n, log: log, listeners: map[id.ID]*listener{}, pools: map[id.ID]*pool{}, counts: map[id.ID]*count{}}
}

// retryListen is how soon an address that could not be had is tried again.
const retryListen = 2 * time.Second

// Apply makes what is wanted the truth. Pools come first, so that no listener leads to one that is not there yet.
func (p *Proxy) Apply(c *Config) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	was := p.pools
	p.pools = map[id.ID]*pool{}
	for _, want := range c.Pools {
		x := was[want.ID]
		if x == nil {
			x = &pool{id: want.ID, net: p.net, apps: map[string]stuck{}}
			x.http = newTransport(x)
		}
		delete(was, want.ID)
		x.apply(want)
		p.pools[want.ID] = x
	}
	left := p.listeners
	p.listeners = map[id.ID]*listener{}
	var missing bool
	counts := map[id.ID]*count{}
	for _, want := range c.Listeners {
		x := left[want.ID]
		if x != nil && (x.at != want.At || x.vpc != want.VPC || (x.protocol == UDP) != (want.Protocol == UDP)) {
			x = nil
		}
		if counts[want.ID] = p.counts[want.ID]; counts[want.ID] == nil {
			counts[want.ID] = &count{}
		}
		if x == nil {
			x = &listener{proxy: p, at: want.At, vpc: want.VPC, protocol: want.Protocol, count: counts[want.ID], servers: map[times]*server{}}
			if old := left[want.ID]; old != nil {
				old.close(drainTime)
			}
		}
		delete(left, want.ID)
		x.cfg.Store(want)
		p.listeners[want.ID] = x
		if err := x.open(); err != nil {
			missing = true
			p.log.Warn("a load balancer cannot listen; it is tried again", "listener", want.ID, "address", want.At, "err", err)
		}
	}
	p.counts = counts
	for _, x := range left {
		x.close(drainTime)
	}
	for _, x := range was {
		p.leaving.Go(x.close)
	}
	if p.again != nil {
		p.again.Stop()
	}
	if missing {
		p.again = time.AfterFunc(retryListen, func() { p.Apply(c) })
	}
}

// drainTime is how long what goes on may go on after its listener was taken away.
const drainTime = 30 * time.Second

func (p *Proxy) pool(i id.ID) *pool {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.pools[i]
}

// Health tells how a pool's member is; Unknown for one that is not there.
func (p *Proxy) Health(pool, member id.ID) Health {
	x := p.pool(pool)
	if x == nil {
		return Unknown
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if m := x.members[member]; m != nil {
		return m.health
	}
	return Unknown
}

// Listening tells whether a listener's address is open.
func (p *Proxy) Listening(i id.ID) bool {
	p.mu.RLock()
	defer p.mu.RUnlock()
	x := p.listeners[i]
	return x != nil && x.opened
}

// Count gives what went through a listener since the cloud started.
func (p *Proxy) Count(i id.ID) Count {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if c := p.counts[i]; c != nil {
		return c.read()
	}
	return Count{}
}

// Close stops listening and cuts what goes on.
func (p *Proxy) Close() {
	p.mu.Lock()
	p.closed = true
	if p.again != nil {
		p.again.Stop()
	}
	listeners, pools := p.listeners, p.pools
	p.mu.Unlock()
	for _, l := range listeners {
		l.close(0)
	}
	for _, x := range pools {
		cfg := *x.cfg.Load()
		cfg.Drain = 0
		x.cfg.Store(&cfg)
		x.close()
	}
	p.leaving.Wait()
}

// maxConns bounds the connections that one listener has open at once.
const maxConns = 50_000

// open begins to listen, unless that was done.
func (l *listener) open() error {
	if l.opened {
		return nil
	}
	if l.protocol == UDP {
		conn, err := l.proxy.net.ListenPacket(context.Background(), l.vpc, l.at)
		if err != nil {
			return err
		}
		u := &packets{l: l, conn: conn, flows: map[netip.AddrPort]*flow{}}
		l.shut, l.opened = conn.Close, true
		l.serving.Go(u.run)
		return nil
	}
	ln, err := l.proxy.net.Listen(context.Background(), l.vpc, l.at)
	if err != nil {
		return err
	}
	l.shut, l.opened = ln.Close, true
	l.serving.Go(func() { l.accept(ln) })
	return nil
}

// accept takes connections until the listener closes.
func (l *listener) accept(ln net.Listener) {
	for {
		c, err := ln.Accept()
		if err != nil {
			if l.ended.Load() {
				return
			}
			time.Sleep(5 * time.Millisecond) // too many open files, say
			continue
		}
		cfg := l.cfg.Load()
		if !cfg.admits(addrPort(c.RemoteAddr()).Addr()) || l.count.active.Load() >= maxConns {
			l.count.refused.Add(1)
			_ = c.Close()
			continue
		}
		l.take(cfg, &counted{Conn: c, l: l})
	}
}

// take serves a connection.
func (l *listener) take(cfg *Listener, c *counted) {
	l.hold(c)
	switch cfg.Protocol {
	case HTTP:
		l.feed(cfg, c)
	case HTTPS:
		l.feed(cfg, tls.Server(c, l.tls()))
	case TLS:
		l.serving.Go(func() {
			defer c.Close()
			secure := tls.Server(c, l.tls())
			ctx, cancel := context.WithTimeout(context.Background(), handshakeTime)
			err := secure.HandshakeContext(ctx)
			cancel()
			if err != nil {
				l.count.failed.Add(1)
				return
			}
			l.passTCP(secure)
		})
	default:
		l.serving.Go(func() {
			defer c.Close()
			l.passTCP(c)
		})
	}
}

const handshakeTime = 10 * time.Second

// admits tells whether an address may come.
func (c *Listener) admits(a netip.Addr) bool {
	if c.Addresses == nil {
		return true
	}
	for _, p := range c.Addresses {
		if p.Contains(a) {
			return c.Allow
		}
	}
	return !c.Allow
}

func source(r *http.Request) netip.Addr {
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return at.Addr().Unmap()
}
