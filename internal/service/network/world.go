package network

import (
	"context"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/fabric/reach"
)

// World is what a VPC's rows let pass: the same plan that the engine is told, for whoever asks why something is or is not
// reached. Only ports that something is plugged into are in it, and of peered networks nothing. Whoever calls has asked the
// door whether the VPC may be seen.
func (s *Service) World(ctx context.Context, vpc id.ID) (reach.World, error) {
	w := reach.New()
	err := s.Store.View(ctx, func(tx store.Tx) error {
		r, _, _, err := s.readVPC(tx, vpc)
		if err != nil {
			return err
		}
		if r.vpc == nil {
			return fail.New(fail.NotFound, "there is no VPC %s", vpc)
		}
		w.VPCs[vpc] = planVPC(r)
		w.Groups[openGroup] = everything()
		for _, sub := range r.subnets {
			ports, err := users(tx, s.Port, &sub.Meta, "subnet", string(sub.ID), 0)
			if err != nil {
				return err
			}
			for _, p := range ports {
				if err := s.addPort(tx, w, p.ID); err != nil {
					return err
				}
			}
		}
		return nil
	})
	return w, err
}

func (s *Service) addPort(tx store.Tx, w reach.World, port id.ID) error {
	r, ok, err := s.readPort(tx, port)
	if err != nil || !ok {
		return err
	}
	want := planPort(r)
	w.Ports[port] = want
	for _, g := range want.Groups {
		if _, there := w.Groups[g]; there {
			continue
		}
		rules, sets, ok, err := s.readGroup(tx, g)
		if err != nil {
			return err
		}
		if ok {
			w.Groups[g] = planGroup(rules, sets)
		}
	}
	return nil
}
