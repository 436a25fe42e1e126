package keystone

import (
	"net/http"

	"github.com/awancloud/awan/internal/dialect/openstack/token"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
)

func (a *API) domainRoutes() []route {
	k := a.Kinds.Domain.D
	return []route{
		{Method: "GET", Path: "/v3/domains", Kind: k, Verb: call.List, Do: listDomains},
		{Method: "POST", Path: "/v3/domains", Kind: k, Verb: call.Create, Do: createDomain},
		{Method: "GET", Path: "/v3/domains/{domain_id}", Kind: k, Verb: call.Get, Do: showDomain},
		{Method: "PATCH", Path: "/v3/domains/{domain_id}", Kind: k, Verb: call.Update, Do: updateDomain},
		{Method: "DELETE", Path: "/v3/domains/{domain_id}", Kind: k, Verb: call.Delete, Do: deleteDomain},
	}
}

func (x *exchange) domainView(r *DomainRow) token.DomainView {
	return token.DomainView{ID: x.domainID(r.ID), Name: r.Name, Description: r.Spec.Description, Enabled: !r.Spec.Disabled, Tags: []string{},
		Options: map[string]any{}, Links: x.Self("/v3/domains/" + x.domainID(r.ID))}
}

type domainBody struct {
	Name        *string        `json:"name"`
	Description *string        `json:"description"`
	Enabled     *bool          `json:"enabled"`
	Options     map[string]any `json:"options"`
}

func (b *domainBody) apply(c *call.Call) {
	s := wire.Spec{}
	wire.Set(s, "description", b.Description)
	wire.Not(s, "disabled", b.Enabled)
	c.Name, c.Spec = b.Name, s.JSON()
}

func listDomains(x *exchange) error {
	return List(&x.Exchange, x.API.Kinds.Domain, "domains", "", x.byName(), func(r *DomainRow) bool { return x.fits(&r.Meta, r.Spec.Disabled) },
		func(r *DomainRow) any { return x.domainView(r) })
}

func createDomain(x *exchange) error {
	var b domainBody
	if err := x.Body("domain", &b); err != nil {
		return err
	}
	row, err := x.Do(x.API.Kinds.Domain.D, call.Create, "", b.apply)
	if err != nil {
		return err
	}
	return x.One(http.StatusCreated, "domain", x.domainView(row.(*DomainRow)))
}

func showDomain(x *exchange) error {
	row, err := wire.Get(&x.Exchange, x.API.Kinds.Domain, x.Param("domain_id"))
	if err != nil {
		return err
	}
	return x.One(http.StatusOK, "domain", x.domainView(row))
}

func updateDomain(x *exchange) error {
	var b domainBody
	if err := x.Body("domain", &b); err != nil {
		return err
	}
	row, err := x.Do(x.API.Kinds.Domain.D, call.Update, x.Param("domain_id"), b.apply)
	if err != nil {
		return err
	}
	return x.One(http.StatusOK, "domain", x.domainView(row.(*DomainRow)))
}

func deleteDomain(x *exchange) error {
	if _, err := x.Do(x.API.Kinds.Domain.D, call.Delete, x.Param("domain_id"), nil); err != nil {
		return err
	}
	return x.NoContent()
}
