package proxy

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"
)

// maxFlows bounds how many clients of one UDP listener are told apart at once.
const maxFlows = 20_000

// packets joins each client with a member for as long as packets come.
type packets struct {
	l     *listener
	conn  net.PacketConn
	mu    sync.Mutex
	flows map[netip.AddrPort]*flow
	ended sync.WaitGroup
}

type flow struct {
	out  net.Conn
	last time.Time
}

// run reads packets until the listener closes.
func (u *packets) run() {
	buf := make([]byte, 64<<10)
	for {
		n, from, err := u.conn.ReadFrom(buf)
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				break
			}
			continue // a client's machine said that nobody listens there: nothing to us
		}
		cfg, at := u.l.cfg.Load(), addrPort(from)
		if !cfg.admits(at.Addr()) {
			continue
		}
		if f := u.flow(cfg, at, from); f != nil {
			u.l.count.in.Add(int64(n))
			_, _ = f.out.Write(buf[:n]) // as with any packet: it may be lost
		}
	}
	u.mu.Lock()
	for _, f := range u.flows {
		_ = f.out.Close()
	}
	u.mu.Unlock()
	u.ended.Wait()
}

// flow gives the client's connection to a member, a new one where there is none.
func (u *packets) flow(cfg *Listener, at netip.AddrPort, from net.Addr) *flow {
	u.mu.Lock()
	f := u.flows[at]
	if f != nil {
		f.last = time.Now()
	}
	full := len(u.flows) >= maxFlows
	u.mu.Unlock()
	if f != nil || full {
		return f
	}
	p := u.l.proxy.pool(cfg.Pool)
	if p == nil {
		return nil
	}
	out, m, err := p.connect(context.Background(), "udp", client{from: at.Addr()})
	if err != nil {
		u.l.count.failed.Add(1)
		return nil
	}
	pair := &link{out, out}
	if !p.hold(m, pair) {
		_ = out.Close()
		return nil
	}
	m.active.Add(1)
	u.l.count.total.Add(1)
	u.l.count.active.Add(1)
	f = &flow{out: out, last: time.Now()}
	u.mu.Lock()
	u.flows[at] = f
	u.mu.Unlock()
	u.ended.Go(func() {
		u.back(f, from)
		_ = out.Close()
		p.release(m, pair)
		m.active.Add(-1)
		u.l.count.active.Add(-1)
		u.mu.Lock()
		delete(u.flows, at)
		u.mu.Unlock()
	})
	return f
}

// back sends a member's packets to the client until nothing comes either way.
func (u *packets) back(f *flow, to net.Addr) {
	buf := make([]byte, 64<<10)
	for {
		idle := u.l.cfg.Load().Idle
		_ = f.out.SetReadDeadline(time.Now().Add(idle))
		n, err := f.out.Read(buf)
		u.mu.Lock()
		if err == nil {
			f.last = time.Now()
		}
		quiet := time.Since(f.last) >= idle
		u.mu.Unlock()
		switch {
		case err == nil:
			u.l.count.out.Add(int64(n))
			_, _ = u.conn.WriteTo(buf[:n], to)
		case errors.Is(err, os.ErrDeadlineExceeded) && !quiet:
		default:
			return
		}
	}
}
