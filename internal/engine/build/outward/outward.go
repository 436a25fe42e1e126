// Package outward connects to addresses outside for tenants' sake: a git repository, a registry of others. It reaches
// public addresses, and those that the operator allows, and neither this machine nor the networks around it. It may
// import the kernel.
package outward

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
)

// Dialer connects.
type Dialer struct {
	hosts    []string // "host" or "host:port"
	prefixes []netip.Prefix
}

// New makes a dialer that may also reach what is allowed: a host, HOST:PORT, an address or a prefix (10.1.0.0/16).
func New(allowed []string) (*Dialer, error) {
	d := &Dialer{}
	for _, a := range allowed {
		if a = strings.TrimSpace(strings.ToLower(a)); a == "" {
			continue
		}
		if strings.Contains(a, "/") {
			p, err := netip.ParsePrefix(a)
			if err != nil {
				return nil, fail.Field("allow-sources", "%q is not a network", a).Then("write it as 10.1.0.0/16")
			}
			d.prefixes = append(d.prefixes, p.Masked())
			continue
		}
		d.hosts = append(d.hosts, a)
	}
	return d, nil
}

// special are what netip's own words do not cover.
var special = func() []netip.Prefix {
	var out []netip.Prefix
	for _, p := range []string{"0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
		"240.0.0.0/4", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "2002::/16"} {
		out = append(out, netip.MustParsePrefix(p))
	}
	return out
}()

// Public tells whether an address is one of the public internet.
func Public(a netip.Addr) bool {
	a = a.Unmap()
	return a.IsGlobalUnicast() && !a.IsPrivate() && !slices.ContainsFunc(special, func(p netip.Prefix) bool { return p.Contains(a) })
}

// DialContext connects to address, which is looked up here once: what was checked is what is connected to.
func (d *Dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(strings.ToLower(address))
	if err != nil {
		return nil, fail.New(fail.Invalid, "%q is not an address", address)
	}
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, fail.New(fail.NotFound, "the host %s cannot be found", host).Because(err).Then("check the address")
	}
	var last error
	for _, a := range addrs {
		if !d.may(host, port, a) {
			last = fail.New(fail.Denied, "%s is no public address, and the operator has not allowed it", host).
				Then("the operator can: awan up --allow-sources %s", net.JoinHostPort(host, port))
			continue
		}
		n, _ := strconv.ParseUint(port, 10, 16)
		c, err := (&net.Dialer{Timeout: 20 * time.Second}).DialContext(ctx, network, netip.AddrPortFrom(a.Unmap(), uint16(n)).String())
		if err == nil {
			return c, nil
		}
		last = fail.New(fail.NotFound, "%s does not answer", address).Because(err).Then("check the address, and try again later")
	}
	if last == nil {
		last = fail.New(fail.NotFound, "the host %s has no address", host)
	}
	return nil, last
}

func (d *Dialer) may(host, port string, a netip.Addr) bool {
	a = a.Unmap()
	if slices.Contains(d.hosts, host) || slices.Contains(d.hosts, net.JoinHostPort(host, port)) ||
		slices.ContainsFunc(d.prefixes, func(p netip.Prefix) bool { return p.Contains(a) }) {
		return true
	}
	return Public(a) && !ours(a)
}

// ours tells whether an address is one of this machine.
func ours(a netip.Addr) bool {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return true
	}
	return slices.ContainsFunc(all, func(x net.Addr) bool {
		p, err := netip.ParsePrefix(x.String())
		return err == nil && p.Addr().Unmap() == a
	})
}
