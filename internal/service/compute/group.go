package compute

import (
	"context"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/ledger"
	"github.com/awancloud/awan/internal/kernel/store"
)

// GroupSpec describes a server group.
type GroupSpec struct {
	Policy string `json:"policy" doc:"whether its servers stand on one machine or on different ones; soft: as far as possible" enum:"affinity,anti-affinity,soft-affinity,soft-anti-affinity" default:"anti-affinity" immutable:"true"`
}

// GroupStatus tells who is in it.
type GroupStatus struct {
	Members []string `json:"members,omitempty" doc:"ids of its servers"`
}

type groupRow = kind.Row[GroupSpec, GroupStatus]

func (s *Service) describeGroups() {
	s.Group = kind.TableOf[GroupSpec, GroupStatus](kind.Kind[GroupSpec, GroupStatus]{
		Service: "compute", Name: "server-group", Scope: kind.InProject, AnyName: true, RandomID: true, // gophercloud looks at the version in scheduler hints
		Doc:     "Servers that stand on one machine, or on different ones.",
		Columns: []string{"spec.policy"}, Example: GroupSpec{Policy: "soft-anti-affinity"},
		Quota: map[ledger.Dim]func(GroupSpec) int64{"compute.server-groups": func(GroupSpec) int64 { return 1 }},
		Shown: func(tx store.Tx, r *groupRow) error {
			members, err := s.Server.List(tx, string(r.Project), kind.Filter{Index: "group", Value: string(r.ID)})
			for _, m := range members {
				r.Status.Members = append(r.Status.Members, string(m.ID))
			}
			return err
		},
		CheckDelete: func(_ context.Context, tx store.Tx, r *groupRow) error {
			members, err := s.Server.List(tx, string(r.Project), kind.Filter{Index: "group", Value: string(r.ID), Limit: 1})
			if err == nil && len(members) > 0 {
				err = fail.New(fail.Precondition, "server %s is still in it", members[0].Name).Then("delete its servers first")
			}
			return err
		}}.Def())
}

// grouped finds the server's group and refuses what one machine cannot do.
func (s *Service) grouped(tx store.Tx, row *serverRow) error {
	if row.Spec.Group == "" {
		return nil
	}
	g, err := s.Group.Find(tx, string(row.Project), row.Spec.Group)
	if err != nil {
		return err
	}
	if g == nil {
		return fail.Field("spec.group", "there is no server group %q", row.Spec.Group).Then("awan server-group create %s", row.Spec.Group)
	}
	if g.Spec.Policy == "anti-affinity" {
		others, err := s.Server.List(tx, string(row.Project), kind.Filter{Index: "group", Value: string(g.ID), Limit: 1})
		if err != nil {
			return err
		}
		if len(others) > 0 {
			return fail.New(fail.NoSpace, "the servers of group %s must stand on different machines, and this cloud has one", g.Name).
				Then("use a group with the policy soft-anti-affinity")
		}
	}
	row.Status.GroupID = g.ID
	return nil
}

// SetGroup is the input of joining a group.
type SetGroup struct {
	Group string `json:"group" doc:"the server group, by name or id; empty: it leaves the one it is in" ref:"compute/server-group"`
}

func (s *Service) setGroup(_ context.Context, tx store.Tx, row *serverRow, in any) (string, error) {
	if err := unlocked(row); err != nil {
		return "", err
	}
	row.Spec.Group, row.Status.GroupID = in.(*SetGroup).Group, ""
	return "", s.grouped(tx, row)
}
