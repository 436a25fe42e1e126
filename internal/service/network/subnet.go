package network

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/netip"
	"regexp"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/store"
)

// noGateway as a subnet's gateway says that there is none.
const noGateway = "none"

func (sp *SubnetSpec) prefixes() []netip.Prefix {
	var out []netip.Prefix
	for _, c := range []string{sp.CIDR, sp.CIDR6} {
		if p, err := netip.ParsePrefix(c); err == nil {
			out = append(out, p)
		}
	}
	return out
}

// holds tells whether an address lies in the subnet.
func (sp *SubnetSpec) holds(a netip.Addr) bool {
	for _, p := range sp.prefixes() {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// subnetDefaults finds the VPC and chooses what was left open.
func (s *Service) subnetDefaults(ctx context.Context, tx store.Tx, r *subnetRow) error {
	sp := &r.Spec
	var vpc *vpcRow
	var err error
	switch sp.VPC {
	case Unrouted:
		sp.VPC = ""
	case "":
		if r.Status.Interface == "" { // a new one
			if vpc, err = s.defaultVPC(ctx, tx, &r.Meta); err != nil {
				return err
			}
		}
	default:
		if vpc, err = refer(tx, s.VPC, &r.Meta, "spec.vpc", sp.VPC); err != nil {
			return err
		}
	}
	if vpc != nil {
		sp.VPC = string(vpc.ID)
	}
	if r.Status.Interface == "" {
		r.Status.Interface = string(id.New())
		if vpc != nil && sp.CIDR == "" && sp.CIDR6 == "" {
			if sp.CIDR, err = s.freeRange(tx, vpc); err != nil {
				return err
			}
		}
	}
	if sp.Zone == "" {
		sp.Zone = s.Zone
	}
	if sp.IPv6 && sp.CIDR6 == "" {
		if sp.CIDR6, err = s.freeRange6(tx, r.ID); err != nil {
			return err
		}
	}
	settleFamilies(sp, &r.Status)
	return nil
}

// settleFamilies gives each family that is there an id and a gateway, and takes them from one that is not.
func settleFamilies(sp *SubnetSpec, st *SubnetStatus) {
	for _, f := range []struct {
		cidr, gateway, id *string
	}{{&sp.CIDR, &sp.Gateway, &st.IPv4}, {&sp.CIDR6, &sp.Gateway6, &st.IPv6}} {
		p, err := netip.ParsePrefix(*f.cidr)
		if err != nil {
			*f.gateway, *f.id = "", ""
			continue
		}
		if *f.id == "" {
			*f.id = string(id.New())
		}
		if *f.gateway == "" {
			*f.gateway = p.Masked().Addr().Next().String()
		}
	}
	sp.IPv6 = sp.CIDR6 != ""
}

// freeRange finds a /24 of the VPC's ranges in which no subnet lies yet.
func (s *Service) freeRange(tx store.Tx, vpc *vpcRow) (string, error) {
	taken, err := s.ranges(tx, vpc, "")
	if err != nil {
		return "", err
	}
	from := vpc.Spec.ranges()
	if len(from) == 0 {
		from = []netip.Prefix{netip.MustParsePrefix("192.168.0.0/16")}
	}
	for _, r := range from {
		size := max(r.Bits(), 24)
		for p := netip.PrefixFrom(r.Addr(), size); r.Contains(p.Addr()); p = netip.PrefixFrom(last(p).Next(), size) {
			if !overlaps(p, taken) {
				return p.String(), nil
			}
		}
	}
	return "", fail.Field("spec.cidr", "VPC %s has no free /24", called(&vpc.Meta)).Then("give the range, or extend the VPC's")
}

func overlaps(p netip.Prefix, with []netip.Prefix) bool {
	for _, o := range with {
		if o.Overlaps(p) {
			return true
		}
	}
	return false
}

// ranges are those of a VPC's subnets but one.
func (s *Service) ranges(tx store.Tx, vpc *vpcRow, but id.ID) ([]netip.Prefix, error) {
	subs, err := users(tx, s.Subnet, &vpc.Meta, "vpc", string(vpc.ID), 0)
	var out []netip.Prefix
	for _, sub := range subs {
		if sub.ID != but {
			out = append(out, sub.Spec.prefixes()...)
		}
	}
	return out, err
}

const range6Key = "net/range6/" // + a /64 → the subnet that has it

// freeRange6 takes one of the cloud's own /64, which no other subnet of the cloud has.
func (s *Service) freeRange6(tx store.Tx, subnet id.ID) (string, error) {
	base := s.IPv6.Masked().Addr().As16()
	for range 100 {
		b := base
		var r [8]byte
		_, _ = rand.Read(r[:])
		for i := s.IPv6.Bits(); i < 64; i++ {
			b[i/8] |= r[i/8] & (1 << (7 - i%8))
		}
		p := netip.PrefixFrom(netip.AddrFrom16(b), 64)
		if _, taken, err := tx.Get(range6Key + p.String()); taken || err != nil {
			if err != nil {
				return "", err
			}
			continue
		}
		return p.String(), tx.Put(range6Key+p.String(), []byte(subnet))
	}
	return "", fail.New(fail.NoSpace, "the cloud's IPv6 range has no free /64").Then("give one as cidr6")
}

var domainName = regexp.MustCompile(`^([a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?\.?)+$`)

func (s *Service) checkSubnet(_ context.Context, tx store.Tx, old, r *subnetRow) error {
	sp := &r.Spec
	if err := sp.checkAddresses(); err != nil {
		return err
	}
	for i, d := range sp.DNS {
		if _, err := address(fmt.Sprintf("spec.dns[%d]", i), d); err != nil {
			return err
		}
	}
	for i, d := range sp.NTP {
		if _, err := address(fmt.Sprintf("spec.ntp[%d]", i), d); err != nil {
			return err
		}
	}
	if sp.Domain != "" && !domainName.MatchString(sp.Domain) {
		return fail.Field("spec.domain", "%q is not a domain name", sp.Domain)
	}
	if sp.MTU != 0 && sp.MTU < 576 {
		return fail.Field("spec.mtu", "%d is too small", sp.MTU).Then("give at least 576, or 1280 with IPv6")
	}
	if sp.Zone != s.Zone {
		return fail.Field("spec.zone", "there is no zone %q", sp.Zone).Then("the zone here is %s", s.Zone)
	}
	if sp.VPC != "" {
		vpc, err := refer(tx, s.VPC, &r.Meta, "spec.vpc", sp.VPC)
		if err != nil {
			return err
		}
		taken, err := s.ranges(tx, vpc, r.ID)
		if err != nil {
			return err
		}
		for _, p := range sp.prefixes() {
			field := "spec.cidr"
			if p.Addr().Is6() {
				field = "spec.cidr6"
			}
			if all := vpc.Spec.ranges(); p.Addr().Is4() && len(all) > 0 && !within(p, all) {
				return fail.Field(field, "%s is outside the VPC's range %s", p, vpc.Spec.CIDR).Then("choose one within it, or extend the VPC's range")
			}
			if overlaps(p, taken) {
				return fail.Field(field, "%s overlaps another subnet of the VPC", p).Then("see awan subnet list")
			}
		}
	}
	if old != nil {
		return s.checkSubnetChange(tx, old, r)
	}
	return nil
}

// checkAddresses looks at the ranges, the gateways and the pools.
func (sp *SubnetSpec) checkAddresses() error {
	for _, f := range []struct {
		name, cidr, gateway string
		v6                  bool
	}{{"spec.cidr", sp.CIDR, sp.Gateway, false}, {"spec.cidr6", sp.CIDR6, sp.Gateway6, true}} {
		if f.cidr == "" {
			continue
		}
		p, err := network(f.name, f.cidr, f.v6)
		if err != nil {
			return err
		}
		if !f.v6 && (p.Bits() < 8 || p.Bits() > 29) {
			return fail.Field(f.name, "%s is too large or too small", f.cidr).Then("the length must be from 8 to 29")
		}
		if f.v6 && p.Bits() != 64 {
			return fail.Field(f.name, "%s is not a /64", f.cidr)
		}
		if f.gateway == noGateway {
			continue
		}
		field := map[bool]string{false: "spec.gateway", true: "spec.gateway6"}[f.v6]
		g, err := address(field, f.gateway)
		if err != nil {
			return err
		}
		if !usable(p, g) {
			return fail.Field(field, "%s is not an address of %s that a gateway can have", g, p).Then("leave it empty for %s", p.Addr().Next())
		}
	}
	for i, pool := range sp.Pools {
		field := fmt.Sprintf("spec.pools[%d]", i)
		a, err := address(field+".first", pool.First)
		if err != nil {
			return err
		}
		b, err := address(field+".last", pool.Last)
		if err != nil {
			return err
		}
		if b.Less(a) || !sp.holds(a) || !sp.holds(b) {
			return fail.Field(field, "%s to %s is not within the subnet's range", a, b)
		}
		if g, err := netip.ParseAddr(sp.Gateway); err == nil && a.Compare(g) <= 0 && g.Compare(b) <= 0 {
			return fail.Field(field, "holds the gateway %s", g).Then("leave it out, or give another gateway")
		}
	}
	return nil
}

// usable tells whether a can be something's address: neither the range's own nor its broadcast.
func usable(p netip.Prefix, a netip.Addr) bool {
	if !p.Contains(a) || a == p.Masked().Addr() {
		return false
	}
	return p.Addr().Is6() || a != last(p)
}

// checkSubnetChange refuses what ports stand in the way of.
func (s *Service) checkSubnetChange(tx store.Tx, old, r *subnetRow) error {
	ports, err := users(tx, s.Port, &r.Meta, "subnet", string(r.ID), 0)
	if err != nil {
		return err
	}
	for _, p := range ports {
		for _, a := range p.Status.Addresses {
			at, err := netip.ParseAddr(a)
			if err != nil {
				continue
			}
			if !r.Spec.holds(at) {
				return fail.New(fail.Precondition, "port %s has %s", called(&p.Meta), a).Then("delete the port first, or keep the range")
			}
			if a == r.Spec.Gateway || a == r.Spec.Gateway6 {
				return fail.Field("spec.gateway", "%s is the address of port %s", a, called(&p.Meta)).Then("choose another")
			}
		}
	}
	if old.Spec.VPC == r.Spec.VPC {
		return nil
	}
	for _, p := range ports { // the subnet moves: what leads to it from outside would be cut
		if err := s.portFree(tx, p); err != nil {
			return err
		}
		public, err := users(tx, s.PublicIP, &r.Meta, "port", string(p.ID), 1)
		if err != nil {
			return err
		}
		if len(public) > 0 {
			return fail.New(fail.Precondition, "public address %s leads to port %s", public[0].Status.Address, called(&p.Meta)).Then("take it away first")
		}
	}
	return s.subnetFreeOfNAT(tx, r)
}

func (s *Service) subnetFreeOfNAT(tx store.Tx, r *subnetRow) error {
	if err := unused(tx, s.Gateway, &r.Meta, "subnet", "delete the NAT gateway first"); err != nil {
		return err
	}
	return unused(tx, s.SNAT, &r.Meta, "subnet", "delete the rule first")
}

func (s *Service) subnetUnused(_ context.Context, tx store.Tx, r *subnetRow) error {
	ports, err := users(tx, s.Port, &r.Meta, "subnet", string(r.ID), 1)
	if err != nil {
		return err
	}
	if len(ports) > 0 {
		p := ports[0]
		by := ""
		if p.Spec.Device != "" {
			by = " of " + p.Spec.DeviceOwner + " " + p.Spec.Device
		}
		return fail.New(fail.Precondition, "port %s%s is still in it", called(&p.Meta), by).Then("delete the port first")
	}
	if err := s.subnetFreeOfNAT(tx, r); err != nil {
		return err
	}
	return unused(tx, s.FlowLog, &r.Meta, "of", "delete the flow log first")
}

// subnetChanged keeps what is written elsewhere right: the cloud's own IPv6 ranges, and the VPC that ports are in.
func (s *Service) subnetChanged(_ context.Context, tx store.Tx, old, r *subnetRow) error {
	if old != nil && old.Spec.CIDR6 != "" && (r == nil || r.Spec.CIDR6 != old.Spec.CIDR6) {
		by, there, err := tx.Get(range6Key + old.Spec.CIDR6)
		if err != nil {
			return err
		}
		if there && id.ID(by) == old.ID {
			if err := tx.Delete(range6Key + old.Spec.CIDR6); err != nil {
				return err
			}
		}
	}
	if r == nil {
		return s.forgetAddresses(tx, old.ID)
	}
	if old == nil || old.Spec.VPC == r.Spec.VPC {
		return nil
	}
	ports, err := users(tx, s.Port, &r.Meta, "subnet", string(r.ID), 0)
	if err != nil {
		return err
	}
	for _, p := range ports {
		p.Status.VPC = r.Spec.VPC
		if err := s.Port.Put(tx, p); err != nil {
			return err
		}
	}
	return nil
}

// subnetShown counts the addresses that are left.
func (s *Service) subnetShown(tx store.Tx, r *subnetRow) error {
	p, err := netip.ParsePrefix(r.Spec.CIDR)
	if err != nil {
		return nil
	}
	free := int64(1)<<(32-p.Bits()) - 2
	if r.Spec.Gateway != noGateway {
		free--
	}
	for range tx.Scan(addressesKey+string(r.ID)+"/4", "") {
		free--
	}
	r.Status.Free = free
	return tx.ScanErr()
}

// Holds tells whether an address lies in a subnet.
func Holds(sp *SubnetSpec, at string) bool {
	a := addr(at)
	return a.IsValid() && sp.holds(a)
}
