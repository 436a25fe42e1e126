package iamv5

import (
	"cmp"
	"maps"
	"net/http"
	"strings"

	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/kind"
)

type agencyRow = kind.Row[ident.AgencySpec, ident.AgencyStatus]

const (
	// trustTag keeps how a client spelled the service that an agency trusts.
	trustTag = Hidden + "trust"
	// linkedPath is the path of agencies that belong to a service.
	linkedPath = "service-linked-agency/"
	linked     = "/v5/service-linked-agencies"
	// session is how long one through an agency lasts when a client does not say, in seconds.
	session = 3600
)

func agencyRoutes(a *wire.API) []wire.Route {
	k, all := a.Kinds.Agency.D, "/v5/agencies"
	one := all + "/{agency_id}"
	return []wire.Route{
		{Method: "GET", Path: all, Kind: k, Verb: call.List, Do: listAgencies},
		{Method: "POST", Path: all, Kind: k, Verb: call.Create, Do: createAgency},
		{Method: "GET", Path: one, Kind: k, Verb: call.Get, Do: showAgency},
		{Method: "PUT", Path: one, Kind: k, Verb: call.Update, Do: updateAgency},
		{Method: "DELETE", Path: one, Kind: k, Verb: call.Delete, Do: deleteAgency},
		{Method: "PUT", Path: one + "/trust-policy", Kind: k, Verb: call.Update, Do: updateTrust},
		{Method: "PUT", Path: linked, Kind: k, Verb: call.Create, Do: createLinked},
		{Method: "DELETE", Path: linked + "/{agency_id}", Kind: k, Verb: call.Delete, Do: deleteLinked},
		{Method: "GET", Path: "/v5/service-principals", Do: listPrincipals},
	}
}

func agencyView(r *agencyRow) map[string]any {
	w := trustPrincipal{IAM: []string{string(r.Status.TrustDomain)}}
	if s := r.Spec.TrustService; s != "" {
		w = trustPrincipal{Service: []string{cmp.Or(r.Tags[trustTag], "service."+s)}}
	} else if by := r.Tags[trustTag]; by != "" {
		w.IAM[0] = by
	}
	v := map[string]any{"agency_id": r.ID, "agency_name": r.Name, "path": r.Tags[pathTag], "description": r.Spec.Description,
		"max_session_duration": r.Spec.MaxSession, "trust_policy": trustText(w), "created_at": stamp(r.Created),
		"urn": urn(r.Domain, "agency", r.Tags[pathTag]+r.Name)}
	if r.Status.TrustDomain != "" {
		v["trust_domain_id"], v["trust_domain_name"] = r.Status.TrustDomain, r.Status.TrustName
	}
	return v
}

func listAgencies(x *wire.Exchange) error {
	path := x.Query("path_prefix")
	f := kind.Filter{Where: func(r kind.AnyRow) bool { return strings.HasPrefix(r.M().Tags[pathTag], path) }}
	return List(x, x.API.Kinds.Agency, "agencies", "", f, func(r *agencyRow) (any, error) { return agencyView(r), nil })
}

func createAgency(x *wire.Exchange) error {
	var b struct {
		Name        *string `json:"agency_name"`
		Path        *string `json:"path"`
		Trust       *string `json:"trust_policy"`
		Session     *int64  `json:"max_session_duration"`
		Description *string `json:"description"`
	}
	if err := x.Plain(&b); err != nil {
		return err
	}
	account, service, err := trusted(b.Trust)
	if err != nil {
		return err
	}
	row, err := x.Do(x.API.Kinds.Agency.D, call.Create, "", func(c *call.Call) {
		s := wire.Spec{"max_session": session}
		wire.Set(s, "description", b.Description)
		wire.Set(s, "max_session", b.Session)
		applyTrust(s, account, service)
		tags := map[string]string{trustTag: account + service}
		if text(b.Path) != "" {
			tags[pathTag] = *b.Path
		}
		c.Name, c.Spec, c.Tags = b.Name, s.JSON(), &tags
	})
	if err != nil {
		return err
	}
	return x.One(http.StatusCreated, "agency", agencyView(row.(*agencyRow)))
}

func showAgency(x *wire.Exchange) error {
	r, err := wire.Get(x, x.API.Kinds.Agency, x.Param("agency_id"))
	if err != nil {
		return err
	}
	v := agencyView(r)
	v["tags"] = tagsOf(&r.Meta)
	return x.One(http.StatusOK, "agency", v)
}

func updateAgency(x *wire.Exchange) error {
	var b struct {
		Session     *int64  `json:"max_session_duration"`
		Description *string `json:"description"`
	}
	if err := x.Plain(&b); err != nil {
		return err
	}
	_, err := x.Do(x.API.Kinds.Agency.D, call.Update, x.Param("agency_id"), func(c *call.Call) {
		s := wire.Spec{}
		wire.Set(s, "description", b.Description)
		wire.Set(s, "max_session", b.Session)
		c.Spec = s.JSON()
	})
	if err != nil {
		return err
	}
	return done(x)
}

func updateTrust(x *wire.Exchange) error {
	r, err := wire.Get(x, x.API.Kinds.Agency, x.Param("agency_id"))
	if err != nil {
		return err
	}
	if err := Ask(x, x.API.Kinds.Agency.D, call.Update, r.Domain); err != nil {
		return err
	}
	var b struct {
		Trust *string `json:"trust_policy"`
	}
	if err := x.Plain(&b); err != nil {
		return err
	}
	if b.Trust == nil {
		return fail.Field("trust_policy", "is required")
	}
	account, service, err := trusted(b.Trust)
	if err != nil {
		return err
	}
	_, err = x.Do(x.API.Kinds.Agency.D, call.Update, string(r.ID), func(c *call.Call) {
		s, tags := wire.Spec{}, maps.Clone(r.Tags)
		if tags == nil {
			tags = map[string]string{}
		}
		applyTrust(s, account, service)
		tags[trustTag] = account + service
		c.IfRevision, c.Spec, c.Tags = r.Revision, s.JSON(), &tags
	})
	if err != nil {
		return err
	}
	return done(x)
}

func deleteAgency(x *wire.Exchange) error {
	if _, err := x.Do(x.API.Kinds.Agency.D, call.Delete, x.Param("agency_id"), nil); err != nil {
		return err
	}
	return x.NoContent()
}
