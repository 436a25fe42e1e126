package ident

import (
	"context"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
)

// DefaultEnterprise is how the enterprise project is called that resources belong to that name none. It has no row and
// can neither be changed nor disabled.
const DefaultEnterprise = "0"

// EnterpriseSpec describes an enterprise project: a set of resources, across projects, that is managed and paid for
// together.
type EnterpriseSpec struct {
	Description string `json:"description" doc:"what it is for" max:"512"`
	Type        string `json:"type" doc:"prod, or poc for a trial" enum:"prod,poc" default:"prod"`
	Disabled    bool   `json:"disabled" doc:"takes no more resources; those it has stay and work on"`
}

type enterpriseRow = kind.Row[EnterpriseSpec, None]

func (k *Kinds) enterpriseKind() kind.Kind[EnterpriseSpec, None] {
	return kind.Kind[EnterpriseSpec, None]{Service: "identity", Name: "enterprise-project", Scope: kind.InDomain, NamePat: `^[\p{L}\p{N}_-]{1,255}$`,
		Doc:     "A set of resources, across projects, that is managed and paid for together. Every resource belongs to one; 0 is the default.",
		Columns: []string{"spec.type", "spec.disabled", "spec.description"}, Example: EnterpriseSpec{Description: "the web shop"},
		Check:       checkEnterprise,
		CheckDelete: k.enterpriseEmpty,
		Changed: func(_ context.Context, tx store.Tx, old, row *enterpriseRow) error {
			if row == nil {
				if err := k.forgetGrantsBy(tx, old.Domain, "enterprise-project", string(old.ID)); err != nil {
					return err
				}
			}
			return bump(tx)
		}}
}

func checkEnterprise(_ context.Context, _ store.Tx, _, row *enterpriseRow) error {
	if row.Name == "default" || row.Name == DefaultEnterprise || row.Name == "all_granted_eps" {
		return fail.Field("name", "%q is the name of the default one", row.Name)
	}
	return nil
}

func (k *Kinds) enterpriseEmpty(_ context.Context, tx store.Tx, row *enterpriseRow) error {
	for _, d := range k.holders() {
		rows, _, err := d.List(tx, "", kind.Filter{Limit: 1, Where: func(r kind.AnyRow) bool { return r.M().EnterpriseProject == row.ID }})
		if err != nil {
			return err
		}
		if len(rows) > 0 {
			return fail.New(fail.Precondition, "enterprise project %s still has %s %s", row.Name, d.Name, rows[0].M().Name).
				Then("move its resources to another one first")
		}
	}
	return nil
}

// holders are the kinds whose rows belong to enterprise projects.
func (k *Kinds) holders() (out []*kind.Def) {
	for _, d := range k.others {
		if d.Scope == kind.InProject {
			out = append(out, d)
		}
	}
	return out
}

// FindEnterpriseProject gives the id of a domain's enterprise project by id or name: "" of the default one, which is
// called 0 or default. field is named in the error.
func (k *Kinds) FindEnterpriseProject(tx store.Tx, domain id.ID, field, idOrName string) (id.ID, error) {
	if idOrName == "" || idOrName == DefaultEnterprise || idOrName == "default" {
		return "", nil
	}
	row, err := k.Enterprise.Find(tx, string(domain), idOrName)
	if err != nil {
		return "", err
	}
	if row == nil {
		return "", fail.Field(field, "there is no enterprise project %q", idOrName).Then("see awan enterprise-project list; 0 is the default one")
	}
	return row.ID, nil
}

// shownEnterprise is an enterprise project's id as policies and clients see it.
func shownEnterprise(ep id.ID) string {
	if ep == "" {
		return DefaultEnterprise
	}
	return string(ep)
}
