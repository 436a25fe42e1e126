package app

import (
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
)

// groupName is the rule for names of environments and applications: no part of an address, so wider than a DNS label.
const groupName = `^[A-Za-z]([A-Za-z0-9_-]{0,62}[A-Za-z0-9])?$`

// metaOf is nil for no row.
func metaOf[S, T any](r *kind.Row[S, T]) *kind.Meta {
	if r == nil {
		return nil
	}
	return &r.Meta
}

// members are the components that belong to an environment or application, those in the trash included.
func (s *Service) members(tx store.Tx, index string, m *kind.Meta) (all []*componentRow, err error) {
	for _, state := range []kind.State{"", kind.Trashed} {
		rows, err := s.Component.List(tx, string(m.Project), kind.Filter{Index: index, Value: m.Name, State: state})
		if err != nil {
			return nil, err
		}
		all = append(all, rows...)
	}
	return all, nil
}

// renamable refuses a new name while an operation holds a component that knows the old one.
func (s *Service) renamable(tx store.Tx, index string, old, now *kind.Meta) error {
	if old == nil || old.Name == now.Name {
		return nil
	}
	rows, err := s.members(tx, index, old)
	if err != nil {
		return err
	}
	for _, r := range rows {
		if r.Job != "" {
			return fail.New(fail.Conflict, "component %s is busy (%s), so its %s cannot be renamed now", r.Name, r.State, index).Then("wait for job %s, then try again", r.Job)
		}
	}
	return nil
}

// renamed tells the components what their environment or application is called now.
func (s *Service) renamed(tx store.Tx, index string, old, now *kind.Meta, set func(*ComponentSpec)) error {
	if old == nil || now == nil || old.Name == now.Name {
		return nil
	}
	rows, err := s.members(tx, index, old)
	if err != nil {
		return err
	}
	for _, r := range rows {
		set(&r.Spec)
		if err := s.Component.Put(tx, r); err != nil {
			return err
		}
	}
	return nil
}
