package iamv5

import (
	"net/http"

	"github.com/awancloud/awan/internal/dialect/openstack/keystone"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/policy"
)

// unlimited stands where clients want a limit and there is none.
const unlimited = -1

func accountRoutes(a *wire.API) []wire.Route {
	return []wire.Route{
		{Method: "GET", Path: "/v5/account-summary", Kind: a.Kinds.User.D, Verb: call.List, Do: summary},
		{Method: "GET", Path: "/v5/features/{feature_name}", Do: feature},
		{Method: "GET", Path: asymmetric, Kind: a.Kinds.Rules.D, Verb: call.Get, Do: showAsymmetric},
		{Method: "PUT", Path: asymmetric, Kind: a.Kinds.Rules.D, Verb: call.Update, Do: setAsymmetric},
	}
}

func count[S, T any](x *wire.Exchange, t kind.Table[S, T], where func(kind.AnyRow) bool) (int, error) {
	rows, _, err := wire.Rows(x, t, "", kind.Filter{Where: where})
	return len(rows), err
}

// summary counts what is in the account.
func summary(x *wire.Exchange) error {
	k := x.API.Kinds
	users, err := count(x, k.User, nil)
	if err != nil {
		return err
	}
	groups, err := count(x, k.Group, nil)
	if err != nil {
		return err
	}
	agencies, err := count(x, k.Agency, nil)
	if err != nil {
		return err
	}
	policies, err := count(x, k.Policy, func(r kind.AnyRow) bool { return !r.(*keystone.PolicyRow).Spec.System })
	if err != nil {
		return err
	}
	wire.Write(x.W, http.StatusOK, map[string]any{"users": users, "groups": groups, "policies": policies, "agencies": agencies,
		"users_quota": unlimited, "groups_quota": unlimited, "policies_quota": unlimited, "policy_size_quota": policy.MaxChars,
		"agencies_quota": unlimited, "versions_per_policy_quota": ident.MaxPolicyVersions,
		"attached_policies_per_user_quota": unlimited, "attached_policies_per_group_quota": unlimited,
		"attached_policies_per_agency_quota": unlimited, "root_user_mfa_enabled": 0})
	return nil
}

// feature tells of parts of Huawei's own console and analyser, neither of which is here.
func feature(x *wire.Exchange) error {
	switch name := x.Param("feature_name"); name {
	case "v5_console", "access_analyzer":
		wire.Write(x.W, http.StatusOK, map[string]string{"feature_status": "off"})
		return nil
	default:
		return fail.New(fail.NotFound, "there is no feature %q", name).Then("ask for v5_console or access_analyzer")
	}
}

const asymmetric = "/v5/asymmetric-signature-switch"

// showAsymmetric tells that requests are signed with shared keys only.
func showAsymmetric(x *wire.Exchange) error {
	if _, err := Rules(x, ""); err != nil {
		return err
	}
	return x.One(http.StatusOK, "asymmetric_signature", map[string]any{"domain_id": string(x.Who.Domain), "asymmetric_signature_switch": false})
}

func setAsymmetric(x *wire.Exchange) error {
	if err := MayChangeRules(x, ""); err != nil {
		return err
	}
	var b struct {
		Switch *bool `json:"asymmetric_signature_switch"`
	}
	if err := x.Body("asymmetric_signature", &b); err != nil {
		return err
	}
	switch {
	case b.Switch == nil:
		return fail.Field("asymmetric_signature.asymmetric_signature_switch", "is required")
	case *b.Switch:
		return fail.New(fail.Unsupported, "this cloud knows signatures with shared keys only (SDK-HMAC-SHA256)").Then("leave the switch off")
	}
	return x.NoContent()
}
