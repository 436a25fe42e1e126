package network

import (
	"context"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
)

// Publish lets a public address that is there (by name, id or as it is written) lead to a port, in the caller's transaction.
func (s *Service) Publish(ctx context.Context, tx store.Tx, project id.ID, ref string, port id.ID) error {
	of := &kind.Meta{Project: project}
	r, err := s.PublicByAddress(tx, project, ref)
	if r == nil && err == nil {
		r, err = refer(tx, s.PublicIP, of, "public_ip", ref)
	}
	if err != nil {
		return err
	}
	if r.Spec.Port != "" && r.Spec.Port != string(port) {
		return fail.New(fail.Conflict, "%s leads to port %s", r.Status.Address, r.Spec.Port).Then("take it away from there first, or choose another")
	}
	r.Spec.Port = string(port)
	if err := s.publicDefaults(ctx, tx, r); err != nil {
		return err
	}
	if err := s.checkPublic(ctx, tx, r, r); err != nil {
		return err
	}
	return s.PublicIP.Put(tx, r)
}

// PublicByAddress finds a project's row of a public address; nil when it has none.
func (s *Service) PublicByAddress(tx store.Tx, project id.ID, at string) (*kind.Row[PublicIPSpec, PublicIPStatus], error) {
	rows, err := s.PublicIP.List(tx, string(project), kind.Filter{Index: "address", Value: at, Limit: 1})
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	return rows[0], nil
}
