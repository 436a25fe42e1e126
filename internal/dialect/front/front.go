// Package front is the cloud's one listener: TLS by the cloud's own CA, the way in for every client and every dialect.
//
// It decides which service a request is for (by host name, by path prefix, by method and path), keeps limits, gives
// each request an id, writes the access log, and answers what no service should see: plain HTTP, unknown names, other
// people's proxies. It knows no wire format beyond its own error answer. It may import the standard library,
// dialect/route and the kernel; it is given handlers and never asks for a package that makes them.
package front

import (
	"cmp"
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/secret"
)

const (
	idleTime    = 2 * time.Minute
	maxHeader   = 64 << 10
	maxStreams  = 250 // HTTP/2 requests at once on one connection
	defaultBody = 8 << 20
)

// Options are what a Front is made of. CA, Listen, Names.Domain and Logger must be set.
type Options struct {
	Listen string // HOST:PORT; port 0 takes a free one
	CA     *secret.CA
	Names  Names
	Logger *slog.Logger

	Services []Service // their order decides where two claim the same method and path
	Native   *Service  // the native API, under /awan/
	Console  *Service  // everything else on the cloud's own names
	// Apps gives what serves an app's host name or address, nil when it is no app's. It is asked at each request, each
	// handshake and each CONNECT, so it must be quick. Names of services come first: an app cannot take one over.
	Apps func(host string) http.Handler
	// Certificate gives a handshake a certificate of somebody else's making; nil, or giving nil: the CA makes one.
	Certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)

	// Inside answers what comes to a listener of AddInside, where no service of the cloud is; InsideName tells whether the CA
	// makes a certificate of a name for who is at an address there.
	Inside     http.Handler
	InsideName func(name string, from netip.Addr) bool

	MaxConns     int // open connections in all; 0: 16384
	MaxPerSource int // of one address that is not this machine's (IPv6: one /64); 0: 512

	HeaderTime time.Duration // for the first byte, the TLS handshake and the header, each; 0: 10 s
	StallTime  time.Duration // longest silence in the middle of a body, either way; 0: one minute. Apps' uploads may pause
}

// Names are the names under which the cloud is reached.
type Names struct {
	Domain string   // "awan.localhost"
	Region string   // "awan-1"
	More   []string // further domains that mean the same cloud
	Hosts  []string // further names of this machine
}

// Front is the listener. Make it with New, begin with Start, end with Shutdown.
type Front struct {
	opts   Options
	log    *slog.Logger
	router *router
	tls    *tls.Config
	inside *tls.Config  // what instances meet
	secure *http.Server // what came by TLS
	clear  *http.Server // what came without

	secureFeed, clearFeed *feed
	drain                 chan struct{}
	serving               sync.WaitGroup
	conns                 census

	mu        sync.Mutex
	listeners map[netip.Addr]net.Listener
	within    []net.Listener // of AddInside
	main      netip.AddrPort
	closed    bool
}

// New checks the options and makes a Front that does not listen yet.
func New(o Options) (*Front, error) {
	if o.CA == nil || o.Logger == nil || o.Names.Domain == "" || o.Listen == "" {
		return nil, fail.New(fail.Internal, "front.New needs Listen, CA, Names.Domain and Logger")
	}
	o.MaxConns = cmp.Or(o.MaxConns, 16384)
	o.MaxPerSource = cmp.Or(o.MaxPerSource, 512)
	o.HeaderTime = cmp.Or(o.HeaderTime, 10*time.Second)
	o.StallTime = cmp.Or(o.StallTime, time.Minute)
	router, err := newRouter(o)
	if err != nil {
		return nil, err
	}
	f := &Front{opts: o, log: o.Logger, router: router, drain: make(chan struct{}), listeners: map[netip.Addr]net.Listener{}}
	f.conns = census{max: o.MaxConns, perSource: o.MaxPerSource, open: map[*conn]struct{}{}, sources: map[netip.Addr]int{}}
	f.secure = f.server(http.HandlerFunc(f.serveSecure))
	f.clear = f.server(http.HandlerFunc(f.serveClear))
	f.tls = o.CA.TLSConfig(f.ours)
	if o.Certificate != nil {
		f.tls.NextProtos = append(f.tls.NextProtos, "acme-tls/1") // an authority's question whether a name leads here (RFC 8737)
		made := f.tls.GetCertificate
		f.tls.GetCertificate = func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			if c, err := o.Certificate(hello); c != nil || err != nil {
				return c, err
			}
			return made(hello)
		}
	}
	f.inside = f.insideTLS()
	f.secure.TLSConfig = f.tls.Clone() // net/http changes the one it is given
	return f, nil
}

func (f *Front) server(h http.Handler) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: f.opts.HeaderTime,
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(f.log.Handler(), slog.LevelDebug),
		ConnContext:       withConn,
		ConnState:         noteState,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: maxStreams,
			SendPingTimeout:      idleTime / 2,
			PingTimeout:          f.opts.HeaderTime,
			WriteByteTimeout:     f.opts.StallTime,
		},
	}
}

// ours decides for which names and addresses the CA makes certificates.
func (f *Front) ours(name string, _ netip.Addr) bool {
	return name == "" || f.router.known(name) // without a name it is the address they reached us at: ours
}

// Start binds the address and serves until Shutdown.
func (f *Front) Start() error {
	ln, err := net.Listen("tcp", f.opts.Listen)
	if err != nil {
		return fail.Wrap(err, fail.Unavailable, "the cloud cannot listen on %s", f.opts.Listen).
			Then("stop what uses that port, or choose another with --listen")
	}
	main, err := netip.ParseAddrPort(ln.Addr().String())
	if err != nil {
		return fail.Wrap(err, fail.Internal, "the listener has a strange address")
	}
	f.main = netip.AddrPortFrom(main.Addr().Unmap(), main.Port())
	f.secureFeed, f.clearFeed = newFeed(ln.Addr()), newFeed(ln.Addr())
	f.goServe(f.secure, f.secureFeed)
	f.goServe(f.clear, f.clearFeed)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.listen(f.main.Addr(), ln)
	return nil
}

func (f *Front) goServe(s *http.Server, ln net.Listener) {
	f.serving.Go(func() {
		if err := s.Serve(ln); err != nil && err != http.ErrServerClosed {
			f.log.Error("the listener ended", "error", err)
		}
	})
}

// listen accepts on ln until it is closed. f.mu is held.
func (f *Front) listen(addr netip.Addr, ln net.Listener) {
	f.listeners[addr] = ln
	f.serving.Go(func() { f.accept(ln, false) })
}

// Addr gives the address bound by Start.
func (f *Front) Addr() netip.AddrPort { return f.main }

// AddAddress opens the same port on another address of this machine (an app's own, say). It does nothing where the
// main listener covers the address already.
func (f *Front) AddAddress(addr netip.Addr) error {
	addr = addr.Unmap()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return fail.New(fail.Unavailable, "the cloud is stopping")
	}
	if f.listeners[addr] != nil || f.covers(addr) {
		return nil
	}
	at := netip.AddrPortFrom(addr, f.main.Port())
	ln, err := net.Listen("tcp", at.String())
	if err != nil {
		return fail.Wrap(err, fail.Unavailable, "the cloud cannot listen on %s", at)
	}
	f.listen(addr, ln)
	return nil
}

// Taken tells whether a label under the cloud's domain belongs to a service: no app may have it.
func (f *Front) Taken(label string) bool {
	return f.router.labels[label] != nil || label == f.opts.Names.Region
}

// RemoveAddress closes what AddAddress opened; requests under way go on.
func (f *Front) RemoveAddress(addr netip.Addr) {
	addr = addr.Unmap()
	f.mu.Lock()
	defer f.mu.Unlock()
	if ln := f.listeners[addr]; ln != nil && addr != f.main.Addr() {
		delete(f.listeners, addr)
		f.shut(ln)
	}
}

func (f *Front) shut(ln net.Listener) {
	if err := ln.Close(); err != nil {
		f.log.Debug("closing a listener", "address", ln.Addr(), "error", err)
	}
}

// covers tells whether the main listener takes connections to addr: it is bound to every address. f.main never changes
// after Start.
func (f *Front) covers(addr netip.Addr) bool {
	main := f.main.Addr()
	return main == addr || main.IsUnspecified() && (main.Is6() || addr.Is4())
}

// Shutdown stops accepting, tells streams to end (Info.Drain), waits for requests under way as long as ctx allows, and
// closes what is left, upgraded connections included.
func (f *Front) Shutdown(ctx context.Context) error {
	f.mu.Lock()
	if f.closed {
		f.mu.Unlock()
		return nil
	}
	f.closed = true
	for _, ln := range f.listeners {
		f.shut(ln)
	}
	for _, ln := range f.within {
		f.shut(ln)
	}
	f.mu.Unlock()
	close(f.drain)
	f.conns.close(func(c *conn) bool { return http.ConnState(c.state.Load()) == http.StateNew }) // nothing was asked on it yet
	var err error
	for _, s := range []*http.Server{f.secure, f.clear} {
		if e := s.Shutdown(ctx); e != nil && err == nil {
			err = fail.Wrap(e, fail.Timeout, "some requests were cut off because they took too long to end")
		}
	}
	f.conns.close(func(*conn) bool { return true })
	f.serving.Wait()
	return err
}
