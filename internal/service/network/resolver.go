package network

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
)

// DefaultDomain is where names of ports are whose subnet has no domain of its own.
const DefaultDomain = "internal"

const nameTTL = 30

// resolver answers names in one network: those of its ports itself, others by asking on where the network reaches out.
func (s *Service) resolver(at place) dns.Handler {
	return dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		answer := new(dns.Msg)
		answer.SetReply(q)
		if len(q.Question) != 1 || q.Opcode != dns.OpcodeQuery || q.Question[0].Qclass != dns.ClassINET {
			answer.Rcode = dns.RcodeNotImplemented
		} else if err := s.answer(ctx, at, w.RemoteAddr(), q, answer); err != nil {
			s.Log.Debug("a name cannot be answered", "network", at.domain, "name", q.Question[0].Name, "err", err)
			answer.Rcode = dns.RcodeServerFailure
		}
		if opt := q.IsEdns0(); opt != nil {
			if answer.IsEdns0() == nil {
				answer.SetEdns0(1232, false)
			}
		}
		size := dns.MinMsgSize
		if opt := q.IsEdns0(); opt != nil {
			size = int(opt.UDPSize())
		}
		if _, udp := w.RemoteAddr().(*net.UDPAddr); udp {
			answer.Truncate(size)
		}
		_ = w.WriteMsg(answer) // the other side may be gone
	})
}

// answer fills in what is known, or what somebody else knows.
func (s *Service) answer(ctx context.Context, at place, from net.Addr, q, out *dns.Msg) error {
	question := q.Question[0]
	name := strings.ToLower(strings.TrimSuffix(question.Name, "."))
	var known, outward bool
	err := s.Store.View(ctx, func(tx store.Tx) error {
		n, err := s.namesIn(tx, at)
		if err != nil {
			return err
		}
		outward = n.outward
		for _, a := range n.addresses[name] {
			known = true
			h := dns.RR_Header{Name: question.Name, Class: dns.ClassINET, Ttl: nameTTL}
			switch {
			case a.Is4() && (question.Qtype == dns.TypeA || question.Qtype == dns.TypeANY):
				h.Rrtype = dns.TypeA
				out.Answer = append(out.Answer, &dns.A{Hdr: h, A: a.AsSlice()})
			case a.Is6() && (question.Qtype == dns.TypeAAAA || question.Qtype == dns.TypeANY):
				h.Rrtype = dns.TypeAAAA
				out.Answer = append(out.Answer, &dns.AAAA{Hdr: h, AAAA: a.AsSlice()})
			}
		}
		if host := n.reverse[name]; host != "" {
			known = true
			if question.Qtype == dns.TypePTR {
				out.Answer = append(out.Answer, &dns.PTR{Hdr: dns.RR_Header{Name: question.Name, Rrtype: dns.TypePTR, Class: dns.ClassINET, Ttl: nameTTL}, Ptr: dns.Fqdn(host)})
			}
		}
		if !outward {
			outward, err = s.hasPublic(tx, at, from)
		}
		return err
	})
	switch {
	case err != nil:
		return err
	case known:
		out.Authoritative = true
		return nil
	}
	if s.Names != nil {
		if m, ok := s.Names(at.domain, question); ok {
			out.Answer, out.Ns, out.Extra, out.Rcode, out.Authoritative = m.Answer, m.Ns, m.Extra, m.Rcode, m.Authoritative
			return nil
		}
	}
	switch {
	case ours(name):
		out.Authoritative, out.Rcode = true, dns.RcodeNameError
		return nil
	case !outward:
		out.Rcode = dns.RcodeRefused // this network does not reach the outside
		return nil
	}
	return s.askOn(ctx, q, out)
}

// hasPublic tells whether who asks has a public address of its own.
func (s *Service) hasPublic(tx store.Tx, at place, from net.Addr) (bool, error) {
	ap, err := netip.ParseAddrPort(from.String())
	if err != nil {
		return false, nil
	}
	ports, err := s.Port.List(tx, string(at.project), kind.Filter{Index: "address", Value: ap.Addr().Unmap().String()})
	for _, p := range ports {
		if p.Status.VPC != string(at.domain) {
			continue
		}
		ips, err := users(tx, s.PublicIP, &p.Meta, "port", string(p.ID), 1)
		return len(ips) > 0, err
	}
	return false, err
}

// askOn asks the operator's resolvers, one after the other.
func (s *Service) askOn(ctx context.Context, q, out *dns.Msg) error {
	var last error
	for _, r := range s.resolvers() {
		for _, network := range []string{"udp", "tcp"} {
			c := dns.Client{Net: network, Timeout: 2 * time.Second}
			in, _, err := c.ExchangeContext(ctx, q, r.String())
			if err != nil {
				last = err
				break
			}
			if in.Truncated && network == "udp" {
				continue
			}
			id := out.Id
			*out = *in
			out.Id, out.RecursionAvailable = id, true
			return nil
		}
	}
	if last == nil {
		out.Rcode = dns.RcodeServerFailure
	}
	return last
}

// resolvers are the operator's, else the machine's.
func (s *Service) resolvers() []netip.AddrPort {
	if len(s.Resolvers) > 0 {
		return s.Resolvers
	}
	c, err := dns.ClientConfigFromFile("/etc/resolv.conf")
	if err != nil {
		return nil
	}
	var out []netip.AddrPort
	for _, h := range c.Servers {
		if a, err := netip.ParseAddr(h); err == nil {
			out = append(out, netip.AddrPortFrom(a, 53))
		}
	}
	return out
}

// names are those of a network's ports.
type names struct {
	addresses map[string][]netip.Addr
	reverse   map[string]string
	outward   bool // the network's own names are not all that it may ask
}

// ours tells whether nobody else has a say about a name.
func ours(name string) bool {
	return name == DefaultDomain || strings.HasSuffix(name, "."+DefaultDomain)
}

func (s *Service) namesIn(tx store.Tx, at place) (names, error) {
	n := names{addresses: map[string][]netip.Addr{}, reverse: map[string]string{}}
	r, _, _, err := s.readVPC(tx, at.domain)
	if err != nil {
		return n, err
	}
	n.outward = r.vpc != nil && r.vpc.Spec.Internet || len(r.snat) > 0
	for _, sub := range r.subnets {
		domain := DefaultDomain
		if d := lower(sub.Spec.Domain); d != "" {
			domain = strings.TrimSuffix(d, ".")
		}
		of := sub.Meta
		ports, err := users(tx, s.Port, &of, "subnet", string(sub.ID), 0)
		if err != nil {
			return n, err
		}
		for _, p := range ports {
			host := hostOf(p)
			if host == "" {
				continue
			}
			for _, a := range addrs(p.Status.Addresses) {
				full := host + "." + domain
				n.addresses[full] = append(n.addresses[full], a)
				n.addresses[host] = append(n.addresses[host], a)
				if rev, err := dns.ReverseAddr(a.String()); err == nil {
					n.reverse[strings.TrimSuffix(rev, ".")] = full
				}
			}
		}
	}
	return n, nil
}
