package reach

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/fabric"
)

// CheckVPC tells what stands against a VPC becoming as wanted.
func (w World) CheckVPC(vpc id.ID, want fabric.VPC) error {
	if err := want.Check(); err != nil {
		return err
	}
	for name, p := range w.Ports {
		if p.VPC != vpc {
			continue
		}
		s, ok := subnetOf(want, p.Subnet)
		if !ok {
			return fail.New(fail.Precondition, "the port %s is in the subnet %s", name, p.Subnet).Then("remove the port first")
		}
		for _, a := range p.Addresses {
			if !within(s, a) {
				return fail.New(fail.Precondition, "the port %s has %s, which would no longer be in its subnet", name, a).Then("remove the port first")
			}
		}
	}
	for i, n := range want.NAT {
		if n.Public.IsValid() && !n.Public.Is4() {
			return fail.Field(fmt.Sprintf("nat.%d.public", i), "IPv6 does not leave the cloud")
		}
		if err := w.free(n.Public, vpc, ""); err != nil {
			return err
		}
	}
	for _, f := range want.Forward {
		if err := w.free(f.Public.Addr(), vpc, ""); err != nil {
			return err
		}
	}
	return nil
}

// CheckDestroyVPC tells what stands against destroying a VPC.
func (w World) CheckDestroyVPC(vpc id.ID) error {
	for name, p := range w.Ports {
		if p.VPC == vpc {
			return fail.New(fail.Precondition, "the port %s is in it", name).Then("remove its ports first")
		}
	}
	return nil
}

// CheckDestroyGroup tells what stands against destroying a group.
func (w World) CheckDestroyGroup(group id.ID) error {
	for name, p := range w.Ports {
		if slices.Contains(p.Groups, group) {
			return fail.New(fail.Precondition, "the port %s is a member of it", name).Then("take its members out first")
		}
	}
	return nil
}

// CheckPort tells what stands against a port becoming as wanted.
func (w World) CheckPort(name id.ID, want fabric.Port) error {
	if err := want.Check(); err != nil {
		return err
	}
	v, ok := w.VPCs[want.VPC]
	if !ok {
		return fail.New(fail.Precondition, "there is no VPC %s", want.VPC)
	}
	s, ok := subnetOf(v, want.Subnet)
	if !ok {
		return fail.New(fail.Precondition, "the VPC has no subnet %s", want.Subnet)
	}
	for _, g := range want.Groups {
		if _, ok := w.Groups[g]; !ok {
			return fail.New(fail.Precondition, "there is no security group %s", g)
		}
	}
	for i, a := range want.Addresses {
		at := fmt.Sprintf("addresses.%d", i)
		if !within(s, a) {
			return fail.Field(at, "%s is not in the subnet", a)
		}
		if isGateway(v, a) {
			return fail.Field(at, "%s is the gateway's", a)
		}
		if other, ok := w.otherAt(want.VPC, a, name); ok {
			return fail.New(fail.Conflict, "the port %s has %s", other, a)
		}
	}
	for i, u := range want.Public {
		if !u.Address.Is4() {
			return fail.Field(fmt.Sprintf("public.%d.address", i), "IPv6 does not leave the cloud")
		}
		if err := w.free(u.Address, want.VPC, name); err != nil {
			return err
		}
	}
	return nil
}

// otherAt finds the port, but for one, that has an address in a VPC.
func (w World) otherAt(vpc id.ID, a netip.Addr, but id.ID) (id.ID, bool) {
	if w.Held != nil {
		port, ok := w.Held(vpc, a)
		return port, ok && port != but
	}
	for name, p := range w.Ports {
		if name != but && p.VPC == vpc && slices.Contains(p.Addresses, a) {
			return name, true
		}
	}
	return "", false
}

// free tells whether a VPC, or a port of it, may have a public address.
func (w World) free(a netip.Addr, vpc, port id.ID) error {
	if !a.IsValid() {
		return nil
	}
	for name, p := range w.Ports {
		if slices.ContainsFunc(p.Public, func(u fabric.Public) bool { return u.Address == a }) && name != port && (port != "" || p.VPC != vpc) {
			return fail.New(fail.Conflict, "the port %s has the public address %s", name, a)
		}
	}
	for name, v := range w.VPCs {
		if name != vpc && (slices.ContainsFunc(v.NAT, func(n fabric.NAT) bool { return n.Public == a }) ||
			slices.ContainsFunc(v.Forward, func(f fabric.Forward) bool { return f.Public.Addr() == a })) {
			return fail.New(fail.Conflict, "the VPC %s has the public address %s", name, a)
		}
	}
	return nil
}

func subnetOf(v fabric.VPC, name id.ID) (fabric.Subnet, bool) {
	for _, s := range v.Subnets {
		if s.ID == name {
			return s, true
		}
	}
	return fabric.Subnet{}, false
}
