package network

import (
	"context"
	"net/netip"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/store"
)

// Keys: which row has a public address, and where to look for a free one next.
const (
	publicKey     = "net/public/"     // <address>
	publicNextKey = "net/publicnext/" // <pool>
)

// publicDefaults takes an address and finds the port.
func (s *Service) publicDefaults(_ context.Context, tx store.Tx, r *publicRow) error {
	sp, st := &r.Spec, &r.Status
	if sp.Pool == "" {
		sp.Pool = s.Public[0].Name
	}
	if st.BandwidthID == "" {
		st.BandwidthID = string(id.New())
	}
	if sp.Bandwidth != "" {
		b, err := refer(tx, s.Bandwidth, &r.Meta, "spec.bandwidth", sp.Bandwidth)
		if err != nil {
			return err
		}
		sp.Bandwidth = string(b.ID)
	}
	if st.Address == "" {
		a, err := s.takePublic(tx, r)
		if err != nil {
			return err
		}
		st.Address, sp.Address = a.String(), a.String()
	}
	st.Private = ""
	if sp.Port == "" {
		sp.Private = ""
		return nil
	}
	p, err := refer(tx, s.Port, &r.Meta, "spec.port", sp.Port)
	if err != nil {
		return err
	}
	sp.Port = string(p.ID)
	for _, a := range p.Status.Addresses {
		at, err := netip.ParseAddr(a)
		if err == nil && at.Is4() && (sp.Private == "" || sp.Private == a) {
			st.Private = a
			break
		}
	}
	switch {
	case st.Private == "" && sp.Private != "":
		return fail.Field("spec.private", "port %s does not have %s", called(&p.Meta), sp.Private).Then("give one of its IPv4 addresses, or none")
	case st.Private == "":
		return fail.Field("spec.port", "port %s has no IPv4 address", called(&p.Meta))
	case p.Status.VPC == "":
		return fail.Field("spec.port", "port %s is in a network that no VPC routes", called(&p.Meta)).Then("give its subnet a VPC first")
	}
	return nil
}

// takePublic takes the address asked for, or the next free one of the pool.
func (s *Service) takePublic(tx store.Tx, r *publicRow) (netip.Addr, error) {
	var from *Pool
	names := ""
	for i := range s.Public {
		names += " " + s.Public[i].Name
		if s.Public[i].Name == r.Spec.Pool {
			from = &s.Public[i]
		}
	}
	if from == nil {
		return netip.Addr{}, fail.Field("spec.pool", "there is no pool %q", r.Spec.Pool).Then("the pools here are:%s", names)
	}
	p := from.Prefix
	if r.Spec.Address != "" {
		a, err := address("spec.address", r.Spec.Address)
		if err != nil {
			return a, err
		}
		if !p.Contains(a) || p.Bits() < 31 && !usable(p, a) {
			return a, fail.Field("spec.address", "%s is not an address of pool %s", a, from.Name).Then("choose one of %s, or none for any", p)
		}
		_, taken, err := tx.Get(publicKey + a.String())
		if err != nil {
			return a, err
		}
		if taken {
			e := fail.New(fail.Exists, "%s is taken", a).Then("choose another, or none for any")
			e.Field = "spec.address"
			return a, e
		}
		return a, tx.Put(publicKey+a.String(), []byte(r.ID))
	}
	key := publicNextKey + from.Name
	b, _, err := tx.Get(key)
	if err != nil {
		return netip.Addr{}, err
	}
	a, _ := netip.AddrFromSlice(b)
	for range 1 << 16 {
		if !a.IsValid() || !p.Contains(a) {
			a = p.Masked().Addr()
		}
		if p.Bits() >= 31 || usable(p, a) {
			_, taken, err := tx.Get(publicKey + a.String())
			if err != nil {
				return a, err
			}
			if !taken {
				if err := tx.Put(key, a.Next().AsSlice()); err != nil {
					return a, err
				}
				return a, tx.Put(publicKey+a.String(), []byte(r.ID))
			}
		}
		a = a.Next()
	}
	return a, fail.New(fail.NoSpace, "pool %s has no free address", from.Name).Then("release one, or ask the operator for more")
}

func (s *Service) checkPublic(_ context.Context, tx store.Tx, _, r *publicRow) error {
	if r.Spec.Port == "" {
		return nil
	}
	if by, err := s.natOf(tx, r); err != nil || by != "" {
		if err == nil {
			err = fail.New(fail.Precondition, "%s serves %s", r.Status.Address, by).Then("delete that first, or take another address")
		}
		return err
	}
	others, err := users(tx, s.PublicIP, &r.Meta, "port", r.Spec.Port, 0)
	if err != nil {
		return err
	}
	for _, o := range others {
		if o.ID != r.ID && o.Status.Private == r.Status.Private {
			return fail.New(fail.Exists, "%s leads to %s already", o.Status.Address, r.Status.Private).Then("take it away first")
		}
	}
	return nil
}

// natOf names the rule that uses a public address; "" when none does.
func (s *Service) natOf(tx store.Tx, r *publicRow) (string, error) {
	snat, err := users(tx, s.SNAT, &r.Meta, "public-ip", string(r.ID), 1)
	if err != nil {
		return "", err
	}
	if len(snat) > 0 {
		return "SNAT rule " + string(snat[0].ID), nil
	}
	dnat, err := users(tx, s.DNAT, &r.Meta, "public-ip", string(r.ID), 1)
	if err != nil || len(dnat) == 0 {
		return "", err
	}
	return "DNAT rule " + string(dnat[0].ID), nil
}

func (s *Service) publicUnused(_ context.Context, tx store.Tx, r *publicRow) error {
	by, err := s.natOf(tx, r)
	if err != nil || by == "" {
		return err
	}
	return fail.New(fail.Precondition, "%s serves %s", r.Status.Address, by).Then("delete that first")
}

func (s *Service) publicChanged(_ context.Context, tx store.Tx, old, r *publicRow) error {
	if r != nil {
		return nil
	}
	return tx.Delete(publicKey + old.Status.Address)
}

func (s *Service) publicShown(tx store.Tx, r *publicRow) (err error) {
	r.Status.Used, err = s.natOf(tx, r)
	return err
}
