package network

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"slices"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/store"
)

// portDefaults finds the subnet and the groups, and takes a MAC address and addresses.
func (s *Service) portDefaults(ctx context.Context, tx store.Tx, r *portRow) error {
	sp, st := &r.Spec, &r.Status
	sub, err := s.portSubnet(ctx, tx, r)
	if err != nil {
		return err
	}
	sp.Subnet, st.VPC = string(sub.ID), sub.Spec.VPC
	secure := sub.Spec.PortSecurity
	if sp.PortSecurity != nil {
		secure = *sp.PortSecurity
	}
	sp.PortSecurity = &secure
	if err := s.portGroups(ctx, tx, r); err != nil {
		return err
	}
	if err := s.portMAC(tx, r); err != nil {
		return err
	}
	return s.portAddresses(tx, r, sub)
}

func (s *Service) portSubnet(ctx context.Context, tx store.Tx, r *portRow) (*subnetRow, error) {
	if r.Spec.Subnet == "" {
		return s.defaultSubnet(ctx, tx, &r.Meta)
	}
	if rid, ok := id.Parse(r.Spec.Subnet); ok { // also by the ids that OpenStack clients know
		subs, err := users(tx, s.Subnet, &r.Meta, "openstack", string(rid), 1)
		if err != nil {
			return nil, err
		}
		if len(subs) > 0 {
			return subs[0], nil
		}
	}
	return refer(tx, s.Subnet, &r.Meta, "spec.subnet", r.Spec.Subnet)
}

func (s *Service) portGroups(ctx context.Context, tx store.Tx, r *portRow) error {
	sp := &r.Spec
	if !*sp.PortSecurity {
		if len(sp.Groups) > 0 {
			return fail.Field("spec.groups", "a port without port security has no groups").Then("switch port_security on, or give none")
		}
		sp.Groups = []string{}
		return nil
	}
	if sp.Groups == nil {
		g, err := s.defaultGroup(ctx, tx, &r.Meta)
		if err != nil {
			return err
		}
		sp.Groups = []string{string(g.ID)}
	}
	for i, ref := range sp.Groups {
		if ref == DefaultGroup {
			if _, err := s.defaultGroup(ctx, tx, &r.Meta); err != nil {
				return err
			}
		}
		g, err := refer(tx, s.Group, &r.Meta, fmt.Sprintf("spec.groups[%d]", i), ref)
		if err != nil {
			return err
		}
		sp.Groups[i] = string(g.ID)
	}
	seen := map[string]bool{}
	sp.Groups = slices.DeleteFunc(sp.Groups, func(g string) bool { was := seen[g]; seen[g] = true; return was })
	return nil
}

// portMAC takes the MAC address, once.
func (s *Service) portMAC(tx store.Tx, r *portRow) error {
	if r.Status.MAC != "" && (r.Spec.MAC == "" || r.Spec.MAC == r.Status.MAC) {
		r.Spec.MAC = r.Status.MAC
		return nil
	}
	if r.Status.MAC != "" && r.Status.Plugged {
		return fail.Field("spec.mac", "cannot change while the port is plugged").Then("detach it first")
	}
	was := r.Status.MAC
	mac, err := takeMAC(tx, &r.Meta, r.Spec.MAC)
	if err != nil {
		return err
	}
	r.Spec.MAC, r.Status.MAC = mac, mac
	if was == "" {
		return nil
	}
	return tx.Delete(macKey + string(r.Project) + "/" + was)
}

// portAddresses takes the addresses asked for, one of each family where none is, and gives back those that it had before.
func (s *Service) portAddresses(tx store.Tx, r *portRow, sub *subnetRow) error {
	sp, st := &r.Spec, &r.Status
	var want []netip.Addr
	for i, a := range sp.Addresses {
		at, err := address(fmt.Sprintf("spec.addresses[%d]", i), a)
		if err != nil {
			return err
		}
		if slices.Contains(want, at) {
			return fail.Field(fmt.Sprintf("spec.addresses[%d]", i), "%s is there twice", at)
		}
		if err := takeAddress(tx, sub, r.ID, fmt.Sprintf("spec.addresses[%d]", i), at); err != nil {
			return err
		}
		want = append(want, at)
	}
	if len(want) == 0 && !sp.NoAddress {
		var err error
		if want, err = s.chooseAddresses(tx, r, sub); err != nil {
			return err
		}
	}
	slices.SortStableFunc(want, func(a, b netip.Addr) int { return a.BitLen() - b.BitLen() })
	now := make([]string, len(want))
	for i, a := range want {
		now[i] = a.String()
	}
	for _, a := range st.Addresses {
		if at, err := netip.ParseAddr(a); err == nil && !slices.Contains(now, a) {
			if err := tx.Delete(addressKey(sub.ID, at)); err != nil {
				return err
			}
		}
	}
	st.Addresses, sp.Addresses = now, slices.Clone(now)
	return nil
}

func (s *Service) chooseAddresses(tx store.Tx, r *portRow, sub *subnetRow) ([]netip.Addr, error) {
	var out []netip.Addr
	if sub.Spec.CIDR != "" {
		a, err := freeAddress(tx, sub, r.ID)
		if err != nil {
			return nil, err
		}
		out = append(out, a)
	}
	if p, err := netip.ParsePrefix(sub.Spec.CIDR6); err == nil {
		mac, err := net.ParseMAC(r.Status.MAC)
		if err != nil {
			return nil, err
		}
		a := eui64(p, mac)
		if err := takeAddress(tx, sub, r.ID, "spec.addresses", a); err != nil {
			return nil, err
		}
		out = append(out, a)
	}
	return out, nil
}

var hostName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

func (s *Service) checkPort(_ context.Context, _ store.Tx, old, r *portRow) error {
	sp := &r.Spec
	if sp.NoAddress && len(sp.Addresses) > 0 {
		return fail.Field("spec.no_address", "is set, and addresses are given").Then("give one or the other")
	}
	if sp.Hostname != "" && !hostName.MatchString(sp.Hostname) {
		return fail.Field("spec.hostname", "%q is not a name for a host", sp.Hostname).Then("use lower-case letters, digits and hyphens")
	}
	for i, p := range sp.AllowedPairs {
		field := fmt.Sprintf("spec.allowed_pairs[%d]", i)
		if _, err := addressOrPrefix(field+".address", p.Address); err != nil {
			return err
		}
		if p.MAC != "" {
			if hw, err := net.ParseMAC(p.MAC); err != nil || len(hw) != 6 {
				return fail.Field(field+".mac", "%q is not a MAC address", p.MAC)
			}
		}
	}
	if !*sp.PortSecurity && len(sp.AllowedPairs) > 0 {
		return fail.Field("spec.allowed_pairs", "a port without port security may use every address").Then("give none")
	}
	if old != nil && old.Status.Plugged && old.Spec.Device != sp.Device {
		return fail.New(fail.Precondition, "port %s is plugged into %s", called(&r.Meta), old.Spec.Device).Then("detach it there first")
	}
	return nil
}

// BalancerOwner is what the device_owner of a load balancer's port says.
const BalancerOwner = "neutron:LOADBALANCERV2"

// portUnused refuses what still needs the port.
func (s *Service) portUnused(ctx context.Context, tx store.Tx, r *portRow) error {
	if r.Spec.DeviceOwner == BalancerOwner && ident.From(ctx).Method != ident.BySystem {
		return fail.New(fail.Precondition, "port %s is the address of load balancer %s", called(&r.Meta), r.Spec.Device).Then("delete the load balancer")
	}
	if r.Status.Plugged {
		return fail.New(fail.Precondition, "port %s is plugged into %s", called(&r.Meta), r.Spec.Device).Then("detach it there first")
	}
	return s.portFree(tx, r)
}

// portFree refuses when rules or routes lead to the port.
func (s *Service) portFree(tx store.Tx, r *portRow) error {
	if err := unused(tx, s.DNAT, &r.Meta, "port", "delete the rule first"); err != nil {
		return err
	}
	if r.Status.VPC != "" {
		vpc, err := s.VPC.Get(tx, id.ID(r.Status.VPC))
		if err != nil || vpc == nil {
			return err
		}
		for _, rt := range vpc.Spec.Routes {
			if rt.Port == string(r.ID) {
				return fail.New(fail.Precondition, "the route to %s of VPC %s leads to it", rt.Destination, called(&vpc.Meta)).Then("remove the route first")
			}
		}
	}
	return unused(tx, s.FlowLog, &r.Meta, "of", "delete the flow log first")
}

// portChanged gives back what a port had when it is gone, and takes public addresses away from it or from addresses that it
// does not have any more.
func (s *Service) portChanged(_ context.Context, tx store.Tx, old, r *portRow) error {
	if old == nil {
		return nil
	}
	if r == nil {
		for _, a := range old.Status.Addresses {
			if at, err := netip.ParseAddr(a); err == nil {
				if err := tx.Delete(addressKey(id.ID(old.Spec.Subnet), at)); err != nil {
					return err
				}
			}
		}
		if err := tx.Delete(macKey + string(old.Project) + "/" + old.Status.MAC); err != nil {
			return err
		}
	}
	public, err := users(tx, s.PublicIP, &old.Meta, "port", string(old.ID), 0)
	if err != nil {
		return err
	}
	for _, p := range public {
		if r != nil && slices.Contains(r.Status.Addresses, p.Status.Private) {
			continue
		}
		p.Spec.Port, p.Spec.Private, p.Status.Private = "", "", ""
		if err := s.PublicIP.Put(tx, p); err != nil {
			return err
		}
	}
	return nil
}
