package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/awancloud/awan/internal/kernel/id"
)

const (
	dialTime = 5 * time.Second
	attempts = 3 // members that are tried for one connection or request
)

// link is two connections that are one.
type link struct {
	in, out io.Closer
}

func (l *link) cut() {
	_ = l.in.Close()
	_ = l.out.Close()
}

var errUnused = errors.New("no load balancer leads to the pool")

// dial connects with a member.
func (p *pool) dial(ctx context.Context, c *Pool, network string, at netip.AddrPort) (net.Conn, error) {
	if c.From == "" {
		return nil, errUnused
	}
	return p.net.DialFrom(ctx, c.From, network, at)
}

// connect dials a member of the pool; the next one where one does not answer.
func (p *pool) connect(ctx context.Context, network string, c client) (net.Conn, *member, error) {
	tried := map[id.ID]bool{}
	err := errNobody
	for range attempts {
		m := p.pick(c, tried)
		if m == nil {
			break
		}
		tried[m.id] = true
		var out net.Conn
		dial, cancel := context.WithTimeout(ctx, dialTime)
		out, err = p.dial(dial, p.cfg.Load(), network, m.at)
		cancel()
		if err == nil {
			return out, m, nil
		}
	}
	return nil, nil, err
}

var errNobody = errors.New("no member of the pool works")

// passTCP joins a connection with one to a member.
func (l *listener) passTCP(in net.Conn) {
	cfg := l.cfg.Load()
	p := l.proxy.pool(cfg.Pool)
	if p == nil {
		return
	}
	from := addrPort(in.RemoteAddr())
	out, m, err := p.connect(context.Background(), "tcp", client{from: from.Addr()})
	if err != nil {
		l.count.failed.Add(1)
		return
	}
	defer out.Close()
	pair := &link{in, out}
	if !p.hold(m, pair) {
		return
	}
	defer p.release(m, pair)
	m.active.Add(1)
	defer m.active.Add(-1)
	if cfg.ProxyProtocol {
		if _, err := io.WriteString(out, proxyLine(from, cfg.At)); err != nil {
			return
		}
	}
	l.join(in, out, cfg.Idle)
}

// proxyLine tells a member who the client is: the PROXY protocol, version 1
// (https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt).
func proxyLine(from, to netip.AddrPort) string {
	family := "TCP4"
	if from.Addr().Is6() {
		family = "TCP6"
	}
	return fmt.Sprintf("PROXY %s %s %s %d %d\r\n", family, from.Addr(), to.Addr(), from.Port(), to.Port())
}

// join copies both ways until both sides have ended, or nothing came for a while from either.
func (l *listener) join(in, out net.Conn, idle time.Duration) {
	var last atomic.Int64
	var both sync.WaitGroup
	both.Go(func() { l.half(out, in, idle, &last, &l.count.in) })
	l.half(in, out, idle, &last, &l.count.out)
	both.Wait()
}

// half copies one direction, and says its end to the other side.
func (l *listener) half(to, from net.Conn, idle time.Duration, last *atomic.Int64, bytes *atomic.Int64) {
	buf := make([]byte, 32<<10)
	for {
		_ = from.SetReadDeadline(time.Now().Add(idle))
		n, err := from.Read(buf)
		if n > 0 {
			last.Store(time.Now().UnixNano())
			bytes.Add(int64(n))
			_ = to.SetWriteDeadline(time.Now().Add(idle))
			if _, werr := to.Write(buf[:n]); werr != nil {
				_, _ = from.Close(), to.Close()
				return
			}
		}
		if errors.Is(err, os.ErrDeadlineExceeded) && time.Since(time.Unix(0, last.Load())) < idle {
			continue // the other direction is at work
		}
		if errors.Is(err, io.EOF) {
			if w, ok := to.(interface{ CloseWrite() error }); ok && w.CloseWrite() == nil {
				return
			}
		}
		if err != nil {
			_, _ = from.Close(), to.Close()
			return
		}
	}
}

func addrPort(a net.Addr) netip.AddrPort {
	at, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
}
