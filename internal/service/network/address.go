package network

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
)

const day = kind.Span(24 * time.Hour)

// Keys: which port has an address of a subnet, where to look for a free one next, and which port of a project has a MAC
// address. They are written in the transaction of the port.
const (
	addressesKey = "net/address/" // <subnet>/<4 or 6><address in hex>
	nextKey      = "net/next/"    // <subnet>/<4 or 6>
	macKey       = "net/mac/"     // <project>/<MAC>
)

func addressKey(subnet id.ID, a netip.Addr) string {
	return addressesKey + string(subnet) + "/" + familyDigit(a.Is6()) + hex.EncodeToString(a.AsSlice())
}

func familyDigit(v6 bool) string {
	if v6 {
		return "6"
	}
	return "4"
}

// holder is the port that has an address; "" when it is free.
func holder(tx store.Tx, subnet id.ID, a netip.Addr) (id.ID, error) {
	b, _, err := tx.Get(addressKey(subnet, a))
	return id.ID(b), err
}

// takeAddress gives a port an address that was asked for.
func takeAddress(tx store.Tx, sub *subnetRow, port id.ID, field string, a netip.Addr) error {
	for _, p := range sub.Spec.prefixes() {
		if !p.Contains(a) {
			continue
		}
		if !usable(p, a) {
			return fail.Field(field, "%s is the range's own or its broadcast address", a).Then("choose another")
		}
		if a.String() == sub.Spec.Gateway || a.String() == sub.Spec.Gateway6 {
			return fail.Field(field, "%s is the gateway's", a).Then("choose another")
		}
		by, err := holder(tx, sub.ID, a)
		if err != nil {
			return err
		}
		if by != "" && by != port {
			e := fail.New(fail.Exists, "%s is taken by port %s", a, by).Then("choose another, or leave it open")
			e.Field = field
			return e
		}
		return tx.Put(addressKey(sub.ID, a), []byte(port))
	}
	return fail.Field(field, "%s is outside subnet %s", a, called(&sub.Meta)).Then("choose one of %s", sub.Spec.rangesText())
}

func (sp *SubnetSpec) rangesText() string {
	switch {
	case sp.CIDR != "" && sp.CIDR6 != "":
		return sp.CIDR + " or " + sp.CIDR6
	case sp.CIDR6 != "":
		return sp.CIDR6
	}
	return sp.CIDR
}

// freeAddress takes the next free IPv4 address, going round, so that one that was given up is not given out again at once.
func freeAddress(tx store.Tx, sub *subnetRow, port id.ID) (netip.Addr, error) {
	p, err := netip.ParsePrefix(sub.Spec.CIDR)
	if err != nil {
		return netip.Addr{}, err
	}
	pools := sub.Spec.pools(p)
	key := nextKey + string(sub.ID) + "/4"
	b, _, err := tx.Get(key)
	if err != nil {
		return netip.Addr{}, err
	}
	from, _ := netip.AddrFromSlice(b)
	for _, later := range []bool{true, false} { // first behind the last one, then from the beginning
		for _, pool := range pools {
			a := pool.first
			if later && from.IsValid() && a.Less(from) {
				a = from
			}
			for ; a.IsValid() && a.Compare(pool.last) <= 0; a = a.Next() {
				if a.String() == sub.Spec.Gateway {
					continue
				}
				by, err := holder(tx, sub.ID, a)
				if err != nil {
					return a, err
				}
				if by != "" {
					continue
				}
				if err := tx.Put(key, a.Next().AsSlice()); err != nil {
					return a, err
				}
				return a, tx.Put(addressKey(sub.ID, a), []byte(port))
			}
		}
	}
	return netip.Addr{}, fail.New(fail.NoSpace, "subnet %s has no free address", called(&sub.Meta)).Then("delete ports, or use another subnet")
}

type pool struct{ first, last netip.Addr }

// pools are the IPv4 addresses that are given out.
func (sp *SubnetSpec) pools(p netip.Prefix) []pool {
	var out []pool
	for _, r := range sp.Pools {
		a, err := netip.ParseAddr(r.First)
		b, err2 := netip.ParseAddr(r.Last)
		if err == nil && err2 == nil && a.Is4() && p.Contains(a) && p.Contains(b) {
			out = append(out, pool{a, b})
		}
	}
	if len(out) == 0 {
		return []pool{{p.Masked().Addr().Next(), last(p).Prev()}}
	}
	return out
}

// eui64 is the IPv6 address that a MAC address leads to (RFC 4291, appendix A): guests that configure themselves have it.
func eui64(p netip.Prefix, mac net.HardwareAddr) netip.Addr {
	b := p.Masked().Addr().As16()
	copy(b[8:], []byte{mac[0] ^ 2, mac[1], mac[2], 0xff, 0xfe, mac[3], mac[4], mac[5]})
	return netip.AddrFrom16(b)
}

// takeMAC gives a port a MAC address: the one asked for, or a new one.
func takeMAC(tx store.Tx, of *kind.Meta, want string) (string, error) {
	key := func(mac string) string { return macKey + string(of.Project) + "/" + mac }
	if want != "" {
		hw, err := net.ParseMAC(want)
		if err != nil || len(hw) != 6 {
			return "", fail.Field("spec.mac", "%q is not a MAC address", want).Then("write six pairs of hex digits, fa:16:3e:12:34:56 say")
		}
		if hw[0]&1 != 0 || want == "00:00:00:00:00:00" {
			return "", fail.Field("spec.mac", "%s is no address of a single device", hw).Then("the first pair must be even")
		}
		by, _, err := tx.Get(key(hw.String()))
		if err != nil {
			return "", err
		}
		if len(by) > 0 && id.ID(by) != of.ID {
			e := fail.New(fail.Exists, "%s is the MAC address of port %s", hw, by).Then("choose another, or leave it open")
			e.Field = "spec.mac"
			return "", e
		}
		return hw.String(), tx.Put(key(hw.String()), []byte(of.ID))
	}
	for range 1000 {
		var b [3]byte
		_, _ = rand.Read(b[:])
		mac := fmt.Sprintf("fa:16:3e:%02x:%02x:%02x", b[0], b[1], b[2])
		_, taken, err := tx.Get(key(mac))
		if err != nil {
			return "", err
		}
		if !taken {
			return mac, tx.Put(key(mac), []byte(of.ID))
		}
	}
	return "", fail.New(fail.NoSpace, "no free MAC address was found").Then("delete ports")
}

// forgetAddresses takes away what is written of a subnet that is gone.
func (s *Service) forgetAddresses(tx store.Tx, subnet id.ID) error {
	for _, p := range []string{addressesKey, nextKey} {
		for k := range tx.Scan(p+string(subnet)+"/", "") {
			if err := tx.Delete(k); err != nil {
				return err
			}
		}
	}
	return tx.ScanErr()
}
