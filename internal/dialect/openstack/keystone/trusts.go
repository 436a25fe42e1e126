package keystone

import (
	"net/http"
	"slices"

	"github.com/awancloud/awan/internal/dialect/openstack/token"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/kind"
)

// TrustRow is some of a user's rights that are lent to another.
type TrustRow = kind.Row[ident.TrustSpec, ident.TrustStatus]

const trustPath = "/v3/OS-TRUST/trusts"

func (a *API) trustRoutes() []route {
	k := a.Kinds.Trust.D
	return []route{
		{Method: "GET", Path: trustPath, Kind: k, Verb: call.List, Do: listTrusts},
		{Method: "POST", Path: trustPath, Kind: k, Verb: call.Create, Do: createTrust},
		{Method: "GET", Path: trustPath + "/{trust_id}", Kind: k, Verb: call.Get, Do: showTrust},
		{Method: "DELETE", Path: trustPath + "/{trust_id}", Kind: k, Verb: call.Delete, Do: deleteTrust},
		{Method: "GET", Path: trustPath + "/{trust_id}/roles", Kind: k, Verb: call.Get, Do: trustRoles},
		{Method: "GET", Path: trustPath + "/{trust_id}/roles/{role_id}", Kind: k, Verb: call.Get, Do: trustRole},
	}
}

// trust finds a trust, and the exchange to go on with: trusts are the business of both their users, so no policy is asked. One that is over is not there for OpenStack's clients.
func (x *exchange) trust() (*TrustRow, *exchange, error) {
	target := x.Param("trust_id")
	if x.Who.Whole() {
		y := x.asOwner("own trust")
		if row, err := wire.Get(&y.Exchange, x.API.Kinds.Trust, target); err == nil && (row.Spec.Trustor == string(x.Who.User) || row.Spec.Trustee == string(x.Who.User)) {
			return x.running(row, y)
		}
	}
	row, err := wire.Get(&x.Exchange, x.API.Kinds.Trust, target)
	if err != nil {
		return nil, nil, err
	}
	return x.running(row, x)
}

func (x *exchange) running(row *TrustRow, y *exchange) (*TrustRow, *exchange, error) {
	if end := row.Spec.Expires; !end.IsZero() && !x.API.Door.Now().Before(end) {
		return nil, nil, fail.New(fail.NotFound, "the trust %s is over", row.ID)
	}
	return row, y, nil
}

func (x *exchange) trustView(r *TrustRow) (map[string]any, error) {
	self := trustPath + "/" + string(r.ID)
	roles := []any{}
	for _, p := range r.Spec.Policies {
		v, err := x.heldRole(p)
		if err != nil {
			return nil, err
		}
		roles = append(roles, v)
	}
	v := map[string]any{"id": r.ID, "trustor_user_id": r.Spec.Trustor, "trustee_user_id": r.Spec.Trustee, "project_id": r.Spec.Project, "impersonation": r.Spec.Impersonation,
		"expires_at": token.Time(r.Spec.Expires), "deleted_at": nil, "remaining_uses": nil, "redelegation_count": 0, "roles": roles,
		"roles_links": token.Links{Self: x.Self(self + "/roles").Self}, "links": x.Self(self)}
	if r.Spec.Uses > 0 {
		v["remaining_uses"] = r.Status.Left
	}
	return v, nil
}

// heldRole is a role by its id, with its name where the caller may know it.
func (x *exchange) heldRole(policy string) (any, error) {
	row, err := wire.Get(&x.Exchange, x.API.Kinds.Policy, policy)
	switch {
	case fail.Is(err, fail.Denied), fail.Is(err, fail.NotFound):
		return map[string]any{"id": policy}, nil
	case err != nil:
		return nil, err
	}
	return x.API.roleView(x, row), nil
}

func listTrusts(x *exchange) error {
	trustor, trustee, me := x.Query("trustor_user_id"), x.Query("trustee_user_id"), string(x.Who.User)
	y, domain, f := x, x.domain(nil), kind.Filter{}
	if x.Who.Whole() && (trustor == me || trustee == me) {
		y, domain = x.asOwner("own trusts"), ""
	}
	if trustor != "" {
		f.Index, f.Value = "trustor", trustor
	} else if trustee != "" {
		f.Index, f.Value = "trustee", trustee
	}
	var failed error
	now := x.API.Door.Now()
	err := List(&y.Exchange, x.API.Kinds.Trust, "trusts", domain, f, func(r *TrustRow) bool {
		return (trustee == "" || trustee == r.Spec.Trustee) && (r.Spec.Expires.IsZero() || now.Before(r.Spec.Expires))
	}, func(r *TrustRow) any {
		v, err := y.trustView(r)
		if err != nil && failed == nil {
			failed = err
		}
		delete(v, "roles") // as Keystone lists them
		delete(v, "roles_links")
		return v
	})
	if failed != nil {
		return failed
	}
	return err
}

func createTrust(x *exchange) error {
	var b struct {
		Trustor       *string      `json:"trustor_user_id"`
		Trustee       *string      `json:"trustee_user_id"`
		Project       *string      `json:"project_id"`
		Impersonation *bool        `json:"impersonation"`
		Expires       *string      `json:"expires_at"`
		Uses          *int64       `json:"remaining_uses"`
		Roles         *[]token.Ref `json:"roles"`
		Redelegate    *bool        `json:"allow_redelegation"`
		Count         *int64       `json:"redelegation_count"`
		Deleted       *string      `json:"deleted_at"`
	}
	if err := x.Body("trust", &b); err != nil {
		return err
	}
	s := wire.Spec{}
	wire.Set(s, "trustor", b.Trustor)
	wire.Set(s, "trustee", b.Trustee)
	wire.Set(s, "project", b.Project)
	wire.Set(s, "impersonation", b.Impersonation)
	if b.Redelegate != nil && *b.Redelegate || b.Count != nil && *b.Count > 0 {
		return fail.Field("trust.allow_redelegation", "what is lent cannot be lent on here").Then("let the trustor make another trust")
	}
	if b.Uses != nil {
		if *b.Uses < 1 {
			return fail.Field("trust.remaining_uses", "is at least 1").Then("leave it out for any number")
		}
		s["uses"] = *b.Uses
	}
	if b.Expires != nil && *b.Expires != "" {
		at, err := moment("trust.expires_at", *b.Expires)
		if err != nil {
			return err
		}
		s["expires"] = at
	}
	if b.Roles != nil {
		policies := []string{}
		for _, r := range *b.Roles {
			policies = append(policies, one(r.ID, r.Name))
		}
		s["policies"] = policies
	}
	y, domain := x, x.domain(nil)
	if b.Trustor != nil && *b.Trustor == string(x.Who.User) && x.Who.Whole() {
		y, domain = x.asOwner("own trust"), ""
	}
	row, err := y.Do(x.API.Kinds.Trust.D, call.Create, "", func(c *call.Call) { c.Domain, c.Spec = domain, s.JSON() })
	if err != nil {
		return err
	}
	v, err := x.trustView(row.(*TrustRow))
	if err != nil {
		return err
	}
	return x.One(http.StatusCreated, "trust", v)
}

func showTrust(x *exchange) error {
	row, _, err := x.trust()
	if err != nil {
		return err
	}
	v, err := x.trustView(row)
	if err != nil {
		return err
	}
	return x.One(http.StatusOK, "trust", v)
}

// deleteTrust ends a trust: the trustor may, and who is allowed to by policy.
func deleteTrust(x *exchange) error {
	row, y, err := x.trust()
	if err != nil {
		return err
	}
	if row.Spec.Trustor != string(x.Who.User) {
		y = x
	}
	if _, err := y.Do(x.API.Kinds.Trust.D, call.Delete, string(row.ID), func(c *call.Call) { c.Domain = string(row.Domain) }); err != nil {
		return err
	}
	return x.NoContent()
}

func trustRoles(x *exchange) error {
	row, _, err := x.trust()
	if err != nil {
		return err
	}
	return x.lentRoles(row.Spec.Policies)
}

func trustRole(x *exchange) error {
	row, _, err := x.trust()
	if err != nil {
		return err
	}
	return x.lentRole(row.Spec.Policies, "trust")
}

// lentRoles answers with what a trust or an access token lends.
func (x *exchange) lentRoles(policies []string) error {
	items := []any{}
	for _, p := range policies {
		v, err := x.heldRole(p)
		if err != nil {
			return err
		}
		items = append(items, v)
	}
	token.WriteList(x.W, "roles", items, token.Links{Self: x.Self(x.R.URL.Path).Self})
	return nil
}

// lentRole answers with the one in the path, if it is among them.
func (x *exchange) lentRole(policies []string, by string) error {
	role := x.Param("role_id")
	if !slices.Contains(policies, role) {
		return fail.New(fail.NotFound, "the %s does not lend the role %s", by, role)
	}
	v, err := x.heldRole(role)
	if err != nil {
		return err
	}
	return x.One(http.StatusOK, "role", v)
}
