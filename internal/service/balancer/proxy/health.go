package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"syscall"
	"time"
)

// sameChecks tells whether two configurations check the same members in the same way.
func sameChecks(a, b *Pool) bool {
	return a.From == b.From && reflect.DeepEqual(a.Monitor, b.Monitor) &&
		slices.EqualFunc(a.Members, b.Members, func(x, y Member) bool { return x.ID == y.ID && x.At == y.At })
}

// check begins the checks anew.
func (p *pool) check(c *Pool) {
	if p.stop != nil {
		p.stop()
		p.checks.Wait()
	}
	ctx, stop := context.WithCancel(context.Background())
	p.stop = stop
	if c.Monitor == nil || c.From == "" {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range p.order {
		p.checks.Go(func() { p.watch(ctx, c, m) })
	}
}

// watch checks one member until ctx ends. The first check decides at once, later ones when enough say the same.
func (p *pool) watch(ctx context.Context, c *Pool, m *member) {
	tick := time.NewTicker(c.Monitor.Delay)
	defer tick.Stop()
	for {
		err := p.probe(ctx, c, m.at)
		if ctx.Err() != nil {
			return
		}
		p.mu.Lock()
		m.note(err == nil, c.Monitor)
		p.mu.Unlock()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// note takes the result of a check. p.mu is held.
func (m *member) note(ok bool, c *Monitor) {
	says, need := Offline, c.Down
	if ok {
		says, need = Online, c.Up
	}
	if m.health == says {
		m.streak = 0
		return
	}
	if m.streak++; m.health != Unknown && m.streak < need {
		return
	}
	if says == Online {
		m.since = time.Now()
	}
	m.health, m.streak = says, 0
}

var errUnwanted = errors.New("the answer's status is not one of those wanted")

// probe checks a member once.
func (p *pool) probe(ctx context.Context, c *Pool, at netip.AddrPort) error {
	m := c.Monitor
	ctx, cancel := context.WithTimeout(ctx, m.Timeout)
	defer cancel()
	if m.Port != 0 {
		at = netip.AddrPortFrom(at.Addr(), m.Port)
	}
	switch m.Type {
	case HTTP, HTTPS:
		return p.probeHTTP(ctx, c, at)
	case UDP:
		return p.probeUDP(ctx, c, at)
	}
	conn, err := p.dial(ctx, c, "tcp", at)
	if err != nil {
		return err
	}
	return conn.Close()
}

// probeUDP fails when the member's machine says that nobody listens; silence is no failure, for the protocol is not known.
func (p *pool) probeUDP(ctx context.Context, c *Pool, at netip.AddrPort) error {
	conn, err := p.dial(ctx, c, "udp", at)
	if err != nil {
		return err
	}
	defer conn.Close()
	until, _ := ctx.Deadline()
	_ = conn.SetDeadline(until)
	if _, err := conn.Write([]byte("health check")); err != nil {
		return err
	}
	_, err = conn.Read(make([]byte, 1500))
	if errors.Is(err, os.ErrDeadlineExceeded) && !errors.Is(err, syscall.ECONNREFUSED) {
		return nil
	}
	return err
}

func (p *pool) probeHTTP(ctx context.Context, c *Pool, at netip.AddrPort) error {
	m := c.Monitor
	one := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, // members' certificates are their own
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return p.dial(ctx, c, "tcp", at) }}}
	r, err := http.NewRequestWithContext(ctx, m.Method, m.Type+"://"+at.String()+m.Path, nil)
	if err != nil {
		return err
	}
	if m.Host != "" {
		r.Host = m.Host
	}
	r.Header.Set("User-Agent", "awan-health-check")
	resp, err := one.Do(r)
	if err != nil {
		return err
	}
	_ = resp.Body.Close()
	for _, w := range m.Codes {
		if resp.StatusCode >= w.First && resp.StatusCode <= w.Last {
			return nil
		}
	}
	return errUnwanted
}
