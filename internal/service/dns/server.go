package dns

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/net/netutil"

	"github.com/awancloud/awan/internal/kernel/fail"
)

// Server answers for the public zones, over UDP and TCP. It looks nothing up elsewhere and gives no zone away.
type Server struct {
	addr    netip.AddrPort
	servers []*dns.Server
	serving sync.WaitGroup
	limit   *limiter
	public  func(dns.Question) *dns.Msg
}

const (
	maxUDP      = 1232 // bytes of an answer over UDP (the DNS flag day of 2020): larger ones come over TCP
	maxConns    = 256  // TCP connections at once
	idle        = 8 * time.Second
	bindRetries = 10
)

// Serve listens at HOST:PORT; port 0 takes one that is free for both UDP and TCP.
func (s *Service) Serve(address string) (*Server, error) {
	var err error
	for range bindRetries {
		var packets net.PacketConn
		if packets, err = net.ListenPacket("udp", address); err != nil {
			break
		}
		var ln net.Listener
		if ln, err = net.Listen("tcp", packets.LocalAddr().String()); err != nil {
			_ = packets.Close()
			continue // with port 0 another number may do
		}
		return s.serve(packets, ln), nil
	}
	return nil, fail.Wrap(err, fail.Unavailable, "the name server cannot listen on %s", address).Then("stop what uses that port, or choose another with --dns")
}

func (s *Service) serve(packets net.PacketConn, ln net.Listener) *Server {
	v := &Server{addr: packets.LocalAddr().(*net.UDPAddr).AddrPort(), public: s.Public, limit: newLimiter(s.Now)}
	v.servers = []*dns.Server{
		{PacketConn: packets, Handler: dns.HandlerFunc(v.handle), UDPSize: dns.DefaultMsgSize},
		{Listener: netutil.LimitListener(ln, maxConns), Handler: dns.HandlerFunc(v.handle), ReadTimeout: idle, WriteTimeout: idle,
			IdleTimeout: func() time.Duration { return idle }, MaxTCPQueries: 128},
	}
	for _, one := range v.servers {
		up := make(chan struct{})
		one.NotifyStartedFunc = func() { close(up) }
		v.serving.Go(func() {
			if err := one.ActivateAndServe(); err != nil && !errors.Is(err, net.ErrClosed) {
				s.Log.Error("the name server ended", "err", err)
			}
		})
		<-up
	}
	return v
}

// Addr is where it listens.
func (v *Server) Addr() netip.AddrPort { return v.addr }

// Close stops it.
func (v *Server) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	for _, one := range v.servers {
		_ = one.ShutdownContext(ctx) // what is left is cut
	}
	v.serving.Wait()
	return nil
}

// handle answers one message.
func (v *Server) handle(w dns.ResponseWriter, r *dns.Msg) {
	from, udp := netip.Addr{}, false
	switch a := w.RemoteAddr().(type) {
	case *net.UDPAddr:
		from, udp = a.AddrPort().Addr().Unmap(), true
	case *net.TCPAddr:
		from = a.AddrPort().Addr().Unmap()
	}
	if r.Response {
		return
	}
	verdict := pass
	if udp { // over TCP the source is who it says
		verdict = v.limit.ask(from)
	}
	if verdict == drop {
		return
	}
	m := v.reply(r)
	size := dns.MaxMsgSize
	if udp {
		size = dns.MinMsgSize
		if o := r.IsEdns0(); o != nil {
			size = min(max(int(o.UDPSize()), dns.MinMsgSize), maxUDP)
		}
	}
	if verdict == slip { // whoever is real asks again over TCP
		m.Answer, m.Ns, m.Extra, m.Truncated = nil, nil, nil, true
	}
	m.Truncate(size)
	_ = w.WriteMsg(m) // who asked may be gone
}

// reply makes the answer to a message.
func (v *Server) reply(r *dns.Msg) *dns.Msg {
	refuse := func(code int) *dns.Msg { return new(dns.Msg).SetRcode(r, code) }
	edns := r.IsEdns0()
	switch {
	case r.Opcode != dns.OpcodeQuery:
		return refuse(dns.RcodeNotImplemented)
	case len(r.Question) != 1:
		return refuse(dns.RcodeFormatError)
	case r.Question[0].Qtype == dns.TypeAXFR || r.Question[0].Qtype == dns.TypeIXFR:
		return refuse(dns.RcodeRefused)
	case edns != nil && edns.Version() != 0:
		m := refuse(dns.RcodeBadVers)
		return m.SetEdns0(maxUDP, false)
	}
	m := v.public(r.Question[0])
	code, authoritative := m.Rcode, m.Authoritative
	m.SetRcode(r, code)
	m.Authoritative = authoritative
	m.Compress = true
	if edns != nil {
		m.SetEdns0(maxUDP, false)
	}
	return m
}
