package iam

import (
	"net/http"

	"github.com/awancloud/awan/internal/dialect/openstack/keystone"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kind"
)

// unlimited stands where clients want a limit and there is none.
const unlimited = -1

func quotaRoutes(a *wire.API) []wire.Route {
	return []wire.Route{
		{Method: "GET", Path: "/v3.0/OS-QUOTA/domains/{domain_id}", Kind: a.Kinds.User.D, Verb: call.List, Do: domainQuota},
		{Method: "GET", Path: "/v3.0/OS-QUOTA/projects/{project_id}", Kind: a.Kinds.Project.D, Verb: call.Get, Do: projectQuota},
	}
}

func quota(of string, used int) map[string]any {
	return map[string]any{"type": of, "used": used, "quota": unlimited, "min": 0, "max": unlimited}
}

func resources(x *wire.Exchange, items []any) error {
	wire.Write(x.W, http.StatusOK, map[string]any{"quotas": map[string]any{"resources": items}})
	return nil
}

// domainQuota counts what an account has; there is no limit to it.
func domainQuota(x *wire.Exchange) error {
	k, domain := x.API.Kinds, x.Param("domain_id")
	custom := func(r kind.AnyRow) bool { return !r.(*keystone.PolicyRow).Spec.System }
	to := func(of string, in func(*keystone.GrantRow) bool) func() (int, error) {
		return func() (int, error) {
			return count(x, k.Grant, domain, func(r kind.AnyRow) bool {
				g := r.(*keystone.GrantRow)
				subject, _, _, _ := parts(g)
				return subject == of && in(g)
			})
		}
	}
	projects := func(g *keystone.GrantRow) bool { return g.Spec.EnterpriseProject == "" }
	enterprise := func(g *keystone.GrantRow) bool { return g.Spec.EnterpriseProject != "" }
	all := []struct {
		of    string
		count func() (int, error)
	}{
		{"user", func() (int, error) { return count(x, k.User, domain, nil) }},
		{"group", func() (int, error) { return count(x, k.Group, domain, nil) }},
		{"agency", func() (int, error) { return count(x, k.Agency, domain, nil) }},
		{"policy", func() (int, error) { return count(x, k.Policy, domain, custom) }},
		{"assigment_group_mp", to("group", projects)}, // sic
		{"assigment_agency_mp", to("agency", projects)},
		{"assigment_group_ep", to("group", enterprise)},
		{"assigment_user_ep", to("user", enterprise)},
	}
	asked := x.Query("type")
	items := []any{}
	for _, r := range all {
		if asked != "" && asked != r.of {
			continue
		}
		n, err := r.count()
		if err != nil {
			return err
		}
		items = append(items, quota(r.of, n))
	}
	if len(items) == 0 {
		return fail.Field("type", "%q is not something that is counted here", asked)
	}
	return resources(x, items)
}

func count[S, T any](x *wire.Exchange, t kind.Table[S, T], domain string, where func(kind.AnyRow) bool) (int, error) {
	rows, _, err := wire.Rows(x, t, domain, kind.Filter{Where: where})
	return len(rows), err
}

// projectQuota counts the projects of the account that a project is of, which are all on one level.
func projectQuota(x *wire.Exchange) error {
	row, err := wire.Get(x, x.API.Kinds.Project, x.Param("project_id"))
	if err != nil {
		return err
	}
	n, err := count(x, x.API.Kinds.Project, string(row.Domain), nil)
	if err != nil {
		return err
	}
	return resources(x, []any{quota("project", n)})
}
