package iam

import (
	"cmp"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"github.com/awancloud/awan/internal/dialect/openstack/keystone"
	"github.com/awancloud/awan/internal/dialect/openstack/token"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/kind"
)

type agencyRow = kind.Row[ident.AgencySpec, ident.AgencyStatus]

// servicePrefix begins the names by which version 3 trusts a service of the cloud in place of an account.
const servicePrefix = "op_svc_"

func agencyRoutes(a *wire.API) []wire.Route {
	k, all := a.Kinds.Agency.D, "/v3.0/OS-AGENCY/agencies"
	return []wire.Route{
		{Method: "GET", Path: all, Kind: k, Verb: call.List, Do: listAgencies},
		{Method: "POST", Path: all, Kind: k, Verb: call.Create, Do: createAgency},
		{Method: "GET", Path: all + "/{agency_id}", Kind: k, Verb: call.Get, Do: showAgency},
		{Method: "PUT", Path: all + "/{agency_id}", Kind: k, Verb: call.Update, Do: updateAgency},
		{Method: "DELETE", Path: all + "/{agency_id}", Kind: k, Verb: call.Delete, Do: deleteAgency},
	}
}

// agencyView is an agency; how long it holds is said in hours.
func agencyView(r *agencyRow) map[string]any {
	v := map[string]any{"id": r.ID, "name": r.Name, "domain_id": r.Domain, "description": r.Spec.Description, "duration": r.Spec.Duration,
		"create_time": stamp(r.Created), "expire_time": nil, "trust_domain_id": r.Status.TrustDomain, "trust_domain_name": r.Status.TrustName,
		"agency_urn": "iam::" + string(r.Domain) + ":agency:" + r.Name}
	if s := r.Spec.TrustService; s != "" {
		v["trust_domain_name"] = servicePrefix + s
	}
	if !r.Status.Expires.IsZero() {
		v["expire_time"] = stamp(r.Status.Expires)
		v["duration"] = strconv.Itoa(int(r.Status.Expires.Sub(r.Created).Hours()))
	}
	return v
}

// agencyBody is an agency as clients send one. DelegatedDomain is how the Terraform provider calls the trusted account
// in an update.
type agencyBody struct {
	Name            *string         `json:"name"`
	DomainID        *string         `json:"domain_id"`
	TrustDomainID   *string         `json:"trust_domain_id"`
	TrustDomainName *string         `json:"trust_domain_name"`
	DelegatedDomain *string         `json:"delegated_domain"`
	Description     *string         `json:"description"`
	Duration        json.RawMessage `json:"duration"`
}

func (b *agencyBody) apply(c *call.Call) {
	s := wire.Spec{}
	wire.Set(s, "description", b.Description)
	if trust := cmp.Or(text(b.TrustDomainID), text(b.TrustDomainName), text(b.DelegatedDomain)); trust != "" {
		s["trust_domain"], s["trust_service"] = trust, ""
		if service, ok := strings.CutPrefix(trust, servicePrefix); ok {
			s["trust_domain"], s["trust_service"] = "", strings.ToLower(service)
		}
	}
	if d := strings.Trim(string(b.Duration), `"`); d != "" && d != "null" {
		s["duration"] = d // a number of days, or a word
	}
	c.Name, c.Spec = b.Name, s.JSON()
}

func listAgencies(x *wire.Exchange) error {
	name, trust := x.Query("name"), x.Query("trust_domain_id")
	rows, _, err := wire.Rows(x, x.API.Kinds.Agency, x.Query("domain_id"), kind.Filter{Where: func(r kind.AnyRow) bool {
		return (name == "" || name == r.M().Name) && (trust == "" || trust == string(r.(*agencyRow).Status.TrustDomain))
	}})
	if err != nil {
		return err
	}
	from, to, err := slice(x, len(rows))
	if err != nil {
		return err
	}
	items := make([]any, 0, to-from)
	for _, r := range rows[from:to] {
		items = append(items, agencyView(r))
	}
	wire.Write(x.W, http.StatusOK, map[string]any{"agencies": items, "links": token.Links{Self: keystone.Self(x, "/v3.0/OS-AGENCY/agencies").Self}})
	return nil
}

func createAgency(x *wire.Exchange) error {
	var b agencyBody
	if err := x.Body("agency", &b); err != nil {
		return err
	}
	row, err := x.Do(x.API.Kinds.Agency.D, call.Create, "", func(c *call.Call) {
		if b.DomainID != nil {
			c.Domain = *b.DomainID
		}
		b.apply(c)
	})
	if err != nil {
		return err
	}
	return x.One(http.StatusCreated, "agency", agencyView(row.(*agencyRow)))
}

func showAgency(x *wire.Exchange) error {
	row, err := wire.Get(x, x.API.Kinds.Agency, x.Param("agency_id"))
	if err != nil {
		return err
	}
	return x.One(http.StatusOK, "agency", agencyView(row))
}

func updateAgency(x *wire.Exchange) error {
	var b agencyBody
	if err := x.Body("agency", &b); err != nil {
		return err
	}
	if row, err := wire.Get(x, x.API.Kinds.Agency, x.Param("agency_id")); err == nil && text(b.DelegatedDomain) == row.Status.TrustName {
		b.DelegatedDomain = nil // as it is: a name that is said again is not looked up again
	}
	row, err := x.Do(x.API.Kinds.Agency.D, call.Update, x.Param("agency_id"), b.apply)
	if err != nil {
		return err
	}
	return x.One(http.StatusOK, "agency", agencyView(row.(*agencyRow)))
}

func deleteAgency(x *wire.Exchange) error {
	if _, err := x.Do(x.API.Kinds.Agency.D, call.Delete, x.Param("agency_id"), nil); err != nil {
		return err
	}
	return x.NoContent()
}
