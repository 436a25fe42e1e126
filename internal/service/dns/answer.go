package dns

import (
	"math/rand/v2"
	"strings"

	"github.com/miekg/dns"

	"github.com/awancloud/awan/internal/kernel/id"
)

// maxAliases bounds how many aliases one answer follows.
const maxAliases = 8

// Answer answers a question as the private zones of a VPC have it. ok is false where none of them has the name: whoever
// asks then looks elsewhere, as it does for the target of an alias that ends the answer.
func (s *Service) Answer(vpc id.ID, q dns.Question) (m *dns.Msg, ok bool) {
	v := s.table.Load().private[vpc]
	z := v.find(strings.ToLower(q.Name))
	if z == nil || q.Qclass != dns.ClassINET {
		return nil, false
	}
	m = v.answer(z, q)
	if m.Rcode == dns.RcodeNameError && z.recursive && len(m.Answer) == 0 {
		return nil, false
	}
	return m, true
}

// Public answers a question as the public zones have it: refused where none has the name.
func (s *Service) Public(q dns.Question) *dns.Msg {
	v := s.table.Load().public
	z := v.find(strings.ToLower(q.Name))
	if z == nil || q.Qclass != dns.ClassINET {
		return &dns.Msg{MsgHdr: dns.MsgHdr{Response: true, Rcode: dns.RcodeRefused}, Question: []dns.Question{q}}
	}
	return v.answer(z, q)
}

// answer looks a question up (RFC 1034 §4.3.2). Names in the answer are written as they were asked.
func (v view) answer(z *zone, q dns.Question) *dns.Msg {
	m := &dns.Msg{MsgHdr: dns.MsgHdr{Response: true, Authoritative: true}, Question: []dns.Question{q}}
	asked, name := q.Name, strings.ToLower(q.Name)
	for range maxAliases {
		n, cut, there := z.node(name)
		if cut != nil {
			m.Authoritative = len(m.Answer) > 0
			m.Ns = cut.pick(dns.TypeNS, "")
			m.Extra = z.glue(m.Ns)
			return m
		}
		if !there {
			m.Rcode = dns.RcodeNameError
			m.Ns = []dns.RR{z.negative()}
			return m
		}
		if alias := n.pick(dns.TypeCNAME, asked); len(alias) > 0 && q.Qtype != dns.TypeCNAME && q.Qtype != dns.TypeANY {
			m.Answer = append(m.Answer, alias...)
			asked = alias[0].(*dns.CNAME).Target
			name = strings.ToLower(asked)
			if z = v.find(name); z == nil {
				return m // whoever asks goes on elsewhere
			}
			continue
		}
		found := n.pick(q.Qtype, asked)
		if q.Qtype == dns.TypeANY { // RFC 8482: no list of everything
			found = []dns.RR{&dns.HINFO{Hdr: dns.RR_Header{Name: asked, Rrtype: dns.TypeHINFO, Class: dns.ClassINET, Ttl: 3600}, Cpu: "RFC8482"}}
		}
		m.Answer = append(m.Answer, found...)
		if len(found) == 0 {
			m.Ns = []dns.RR{z.negative()}
		}
		return m
	}
	m.Rcode, m.Answer = dns.RcodeServerFailure, nil // aliases in a circle
	return m
}

// node finds a name in a zone: itself or the wildcard that covers it (RFC 4592). cut is where another server takes over.
func (z *zone) node(name string) (n, cut *node, there bool) {
	labels := strings.Split(strings.TrimSuffix(name, z.name), ".")
	labels = labels[:len(labels)-1]
	closest := z.name
	for i := len(labels) - 1; i >= 0; i-- {
		at := labels[i] + "." + closest
		below := z.nodes[at]
		if below == nil {
			n = z.nodes["*."+closest]
			return n, nil, n != nil
		}
		if len(below.sets[dns.TypeNS]) > 0 {
			return nil, below, true
		}
		closest = at
	}
	return z.nodes[closest], nil, true
}

// pick gives the records of a type, of several record sets one by weight, with the owner as it was asked for ("": as it is).
func (n *node) pick(typ uint16, owner string) (out []dns.RR) {
	if n == nil || len(n.sets[typ]) == 0 {
		return nil
	}
	for _, rr := range weighed(n.sets[typ]).rrs {
		rr = dns.Copy(rr)
		if owner != "" {
			rr.Header().Name = owner
		}
		out = append(out, rr)
	}
	return out
}

func weighed(sets []*set) *set {
	total := 0
	for _, s := range sets {
		total += s.weight
	}
	if total == 0 {
		return sets[rand.IntN(len(sets))]
	}
	at := rand.IntN(total)
	for _, s := range sets {
		if at -= s.weight; at < 0 {
			return s
		}
	}
	return sets[0]
}

// negative is what says how long to keep that a name or type is not there (RFC 2308 §3).
func (z *zone) negative() dns.RR {
	soa := *z.soa
	soa.Hdr.Ttl = min(soa.Hdr.Ttl, soa.Minttl)
	return &soa
}

// glue gives the addresses of name servers that lie in the zone itself.
func (z *zone) glue(servers []dns.RR) (out []dns.RR) {
	for _, rr := range servers {
		n := z.nodes[strings.ToLower(rr.(*dns.NS).Ns)]
		out = append(append(out, n.pick(dns.TypeA, "")...), n.pick(dns.TypeAAAA, "")...)
	}
	return out
}
