package network

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/miekg/dns"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
)

// ends are where the cloud itself answers in each VPC: metadata and names.
type ends struct {
	s  *Service
	mu sync.Mutex
	at map[id.ID]*end
}

type end struct {
	web   *http.Server
	names []*dns.Server
	done  sync.WaitGroup
}

func newEnds(s *Service) *ends { return &ends{s: s, at: map[id.ID]*end{}} }

// open begins to answer in a routing domain, once.
func (e *ends) open(ctx context.Context, domain, project id.ID) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.at[domain] != nil {
		return nil
	}
	place := place{domain: domain, project: project}
	web, err := e.s.Engine.Listen(ctx, domain, netip.AddrPortFrom(OwnAddress, 80))
	if fail.Is(err, fail.Unsupported) {
		return nil // an engine that carries no packets: nobody could ask
	}
	if err != nil {
		return fail.Wrap(err, fail.Unavailable, "the metadata service of network %s cannot be opened", domain)
	}
	streams, err := e.s.Engine.Listen(ctx, domain, netip.AddrPortFrom(OwnAddress, 53))
	if err != nil {
		return errors.Join(fail.Wrap(err, fail.Unavailable, "the resolver of network %s cannot be opened", domain), web.Close())
	}
	packets, err := e.s.Engine.ListenPacket(ctx, domain, netip.AddrPortFrom(OwnAddress, 53))
	if err != nil {
		return errors.Join(fail.Wrap(err, fail.Unavailable, "the resolver of network %s cannot be opened", domain), web.Close(), streams.Close())
	}
	n := &end{web: &http.Server{Handler: e.s.metadata(place), ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 20 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10}}
	n.names = []*dns.Server{{Listener: streams, Handler: e.s.resolver(place)}, {PacketConn: packets, Handler: e.s.resolver(place)}}
	n.done.Go(func() { e.ended("metadata service", domain, n.web.Serve(web)) })
	for _, d := range n.names {
		n.done.Go(func() { e.ended("resolver", domain, d.ActivateAndServe()) })
	}
	e.at[domain] = n
	return nil
}

func (e *ends) ended(what string, domain id.ID, err error) {
	if err != nil && !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
		e.s.Log.Warn("the "+what+" of a network ended", "network", domain, "err", err)
	}
}

func (e *ends) close(domain id.ID) {
	e.mu.Lock()
	n := e.at[domain]
	delete(e.at, domain)
	e.mu.Unlock()
	if n != nil {
		n.close()
	}
}

func (n *end) close() {
	_ = n.web.Close()
	for _, d := range n.names {
		if d.Listener != nil {
			_ = d.Listener.Close()
		}
		if d.PacketConn != nil {
			_ = d.PacketConn.Close()
		}
	}
	n.done.Wait()
}

func (e *ends) closeAll() {
	e.mu.Lock()
	all := e.at
	e.at = map[id.ID]*end{}
	e.mu.Unlock()
	for _, n := range all {
		n.close()
	}
}

// place is where somebody asks from.
type place struct{ domain, project id.ID }
