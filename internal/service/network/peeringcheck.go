package network

import (
	"context"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
)

// States of a peering.
const (
	PeeringPending  = "pending"
	PeeringActive   = "active"
	PeeringRejected = "rejected"
)

// peeringVPCs are those of this project that the peering joins.
func peeringVPCs(r *peeringRow) []string {
	if r.Status.Pair == "" {
		return some(r.Spec.VPC, r.Spec.Peer)
	}
	return some(r.Spec.VPC)
}

func (s *Service) peeringDefaults(_ context.Context, tx store.Tx, r *peeringRow) error {
	vpc, err := refer(tx, s.VPC, &r.Meta, "spec.vpc", r.Spec.VPC)
	if err != nil {
		return err
	}
	r.Spec.VPC = string(vpc.ID)
	if r.Status.State != "" {
		return nil
	}
	if r.Spec.PeerProject == "" {
		r.Spec.PeerProject = string(r.Project)
	}
	peer, err := s.peer(tx, r)
	if err != nil {
		return err
	}
	r.Spec.Peer, r.Spec.PeerProject = string(peer.ID), string(peer.Project)
	r.Status.Shared, r.Status.State = string(r.ID), PeeringActive
	if peer.Project != r.Project {
		r.Status.State, r.Status.Pair = PeeringPending, string(id.New())
	}
	return nil
}

// peer is the VPC of the other side. One of another project is found by its id only, together with that project's.
func (s *Service) peer(tx store.Tx, r *peeringRow) (*vpcRow, error) {
	if id.ID(r.Spec.PeerProject) == r.Project {
		return refer(tx, s.VPC, &r.Meta, "spec.peer", r.Spec.Peer)
	}
	project, _ := id.Parse(r.Spec.PeerProject)
	vpc, ok := id.Parse(r.Spec.Peer)
	if ok {
		row, err := s.VPC.Get(tx, vpc)
		if err != nil {
			return nil, err
		}
		if row != nil && row.Project == project {
			return row, nil
		}
	}
	return nil, fail.Field("spec.peer", "project %s has no VPC %s", r.Spec.PeerProject, r.Spec.Peer).Then("ask its owner for the ids of both")
}

func (s *Service) checkPeering(_ context.Context, tx store.Tx, old, r *peeringRow) error {
	if old != nil {
		return nil
	}
	if r.Spec.VPC == r.Spec.Peer {
		return fail.Field("spec.peer", "is the same VPC").Then("give another")
	}
	all, err := users(tx, s.Peering, &r.Meta, "vpc", r.Spec.VPC, 0)
	if err != nil {
		return err
	}
	for _, p := range all {
		if p.ID != r.ID && p.Status.State != PeeringRejected && (p.Spec.Peer == r.Spec.Peer || p.Spec.VPC == r.Spec.Peer) {
			return fail.New(fail.Exists, "peering %s joins these two already", called(&p.Meta)).Then("use that one")
		}
	}
	return nil
}

// peeringUnused refuses while routes lead over it.
func (s *Service) peeringUnused(_ context.Context, tx store.Tx, r *peeringRow) error {
	for _, v := range peeringVPCs(r) {
		vpc, err := s.VPC.Get(tx, id.ID(v))
		if err != nil {
			return err
		}
		if vpc == nil {
			continue
		}
		for _, rt := range vpc.Spec.Routes {
			if rt.Peering == string(r.ID) {
				return fail.New(fail.Precondition, "the route to %s of VPC %s leads over it", rt.Destination, called(&vpc.Meta)).Then("remove the route first")
			}
		}
	}
	return nil
}

// peeringChanged shows the other project the same peering: it comes, goes and changes its state with this row.
func (s *Service) peeringChanged(ctx context.Context, tx store.Tx, old, r *peeringRow) error {
	if r == nil {
		if old.Status.Pair == "" {
			return nil
		}
		pair, err := s.Peering.Get(tx, id.ID(old.Status.Pair))
		if err != nil || pair == nil {
			return err
		}
		vpc, err := s.VPC.Get(tx, id.ID(pair.Spec.VPC)) // its routes over what is gone lead nowhere
		if err != nil {
			return err
		}
		if vpc != nil {
			var left []Route
			for _, rt := range vpc.Spec.Routes {
				if rt.Peering != string(pair.ID) {
					left = append(left, rt)
				}
			}
			if len(left) != len(vpc.Spec.Routes) {
				vpc.Spec.Routes = left
				if err := s.VPC.Put(tx, vpc); err != nil {
					return err
				}
			}
		}
		return orphan(tx, s.Peering, pair)
	}
	if r.Status.Pair == "" {
		return nil
	}
	if old == nil {
		peer, err := s.peer(tx, r)
		if err != nil {
			return err
		}
		pair := &peeringRow{Spec: PeeringSpec{VPC: r.Spec.Peer, Peer: r.Spec.VPC, PeerProject: string(r.Project), Description: r.Spec.Description},
			Status: PeeringStatus{State: r.Status.State, Pair: string(r.ID), Asked: true, Shared: r.Status.Shared}}
		pair.ID, pair.Name = id.ID(r.Status.Pair), r.Name
		of := peer.Meta
		of.EnterpriseProject, of.Updated = "", r.Updated
		return child(ctx, tx, s.Peering, &of, pair)
	}
	pair, err := s.Peering.Get(tx, id.ID(r.Status.Pair))
	if err != nil || pair == nil || pair.Status.State == r.Status.State {
		return err
	}
	pair.Status.State = r.Status.State
	return s.Peering.Put(tx, pair)
}

func (s *Service) peeringActions() []kind.Action[PeeringSpec, PeeringStatus] {
	answer := func(state string) func(context.Context, store.Tx, *peeringRow, any) (string, error) {
		return func(_ context.Context, _ store.Tx, r *peeringRow, _ any) (string, error) {
			switch {
			case !r.Status.Asked:
				return "", fail.New(fail.Precondition, "this project asked for the peering itself").Then("the other project answers")
			case r.Status.State != PeeringPending:
				return "", fail.New(fail.Precondition, "the peering is %s", r.Status.State)
			}
			r.Status.State = state
			return "", nil
		}
	}
	return []kind.Action[PeeringSpec, PeeringStatus]{
		{Verb: "accept", Doc: "let the other project's VPC in, where there are routes", Level: kind.Write, Change: answer(PeeringActive)},
		{Verb: "reject", Doc: "refuse it", Level: kind.Write, Change: answer(PeeringRejected)}}
}
