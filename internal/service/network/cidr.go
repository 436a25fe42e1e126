package network

import (
	"net/netip"
	"strings"

	"github.com/awancloud/awan/internal/kernel/fail"
)

// reserved are ranges that no tenant's network may have: the cloud's own ends are there, or nothing is.
var reserved = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("169.254.0.0/16"),
	netip.MustParsePrefix("224.0.0.0/3"), netip.MustParsePrefix("::/8"), netip.MustParsePrefix("fe80::/10"), netip.MustParsePrefix("ff00::/8"),
}

// prefix reads a range as it must be written: without bits behind its length.
func prefix(field, s string, v6 bool) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(strings.TrimSpace(s))
	switch {
	case err != nil:
		return p, fail.Field(field, "%q is not a range", s).Then("write ADDRESS/LENGTH, %s say", example(v6))
	case p.Addr().Is4() == v6:
		return p, fail.Field(field, "%s is not a range of %s", s, family(v6)).Then("write one like %s", example(v6))
	case p.Masked() != p:
		return p, fail.Field(field, "%s has bits behind its length", s).Then("write %s", p.Masked())
	}
	return p, nil
}

// network reads a range that a tenant's network may have.
func network(field, s string, v6 bool) (netip.Prefix, error) {
	p, err := prefix(field, s, v6)
	if err != nil {
		return p, err
	}
	for _, r := range reserved {
		if p.Overlaps(r) {
			return p, fail.Field(field, "%s is in %s, which no network may have", s, r).Then("take one of 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16")
		}
	}
	return p, nil
}

func example(v6 bool) string {
	if v6 {
		return "fd00:1:2:3::/64"
	}
	return "192.168.1.0/24"
}

func family(v6 bool) string {
	if v6 {
		return "IPv6"
	}
	return "IPv4"
}

// address reads an address.
func address(field, s string) (netip.Addr, error) {
	a, err := netip.ParseAddr(strings.TrimSpace(s))
	if err != nil || a.Zone() != "" {
		return a, fail.Field(field, "%q is not an address", s)
	}
	return a.Unmap(), nil
}

// addressOrPrefix reads an address, which stands for itself alone, or a range.
func addressOrPrefix(field, s string) (netip.Prefix, error) {
	s = strings.TrimSpace(s)
	if strings.Contains(s, "/") {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			return p, fail.Field(field, "%q is not a range", s)
		}
		return p.Masked(), nil
	}
	a, err := address(field, s)
	if err != nil {
		return netip.Prefix{}, err
	}
	return netip.PrefixFrom(a, a.BitLen()), nil
}

// last is the last address of a range.
func last(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 1 << (7 - i%8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// within tells whether p lies in one of the ranges.
func within(p netip.Prefix, ranges []netip.Prefix) bool {
	for _, r := range ranges {
		if r.Bits() <= p.Bits() && r.Contains(p.Addr()) {
			return true
		}
	}
	return false
}

// span gives the ranges that hold exactly the addresses from a to b.
func span(a, b netip.Addr) []netip.Prefix {
	var out []netip.Prefix
	for a.IsValid() && a.Compare(b) <= 0 {
		bits := a.BitLen()
		for bits > 0 {
			p, err := a.Prefix(bits - 1)
			if err != nil || p.Addr() != a || last(p).Compare(b) > 0 {
				break
			}
			bits--
		}
		p := netip.PrefixFrom(a, bits)
		out = append(out, p)
		a = last(p).Next()
	}
	return out
}

// LastOf is the last address of a range: of IPv4, the one for everybody.
func LastOf(p netip.Prefix) netip.Addr { return last(p) }
