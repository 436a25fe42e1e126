package keystone

import (
	"net/http"

	"github.com/awancloud/awan/internal/dialect/openstack/token"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
)

// Keystone's domains are projects too, with is_domain set. Here they are not, but clients that treat them so find them: a
// domain stands under its own id at /v3/projects/{id}.

// domainID is a domain's id as this dialect prints it. Keystone's first domain has the id "default", which clients write
// into their configurations and compare with what they read: so has a domain that is called Default.
func (x *exchange) domainID(d id.ID) string {
	if x.API.Dialect != "openstack" {
		return string(d)
	}
	if x.first == "" {
		x.first = x.API.domainNamed(x.R.Context(), "default")
	}
	if x.first == string(d) {
		return "default"
	}
	return string(d)
}

// acting finds the domain that a path's project id may be of, where there is no such project.
func (x *exchange) acting(notFound error) (*DomainRow, error) {
	if x.API.Dialect != "openstack" || !fail.Is(notFound, fail.NotFound) {
		return nil, notFound
	}
	row, err := wire.Get(&x.Exchange, x.API.Kinds.Domain, x.API.domainNamed(x.R.Context(), x.Param("project_id")))
	if err != nil || string(row.ID) != x.API.domainNamed(x.R.Context(), x.Param("project_id")) {
		return nil, notFound
	}
	return row, nil
}

// actingView is a domain as a project on the wire.
func (x *exchange) actingView(r *DomainRow) any {
	return map[string]any{"id": x.domainID(r.ID), "name": r.Name, "domain_id": nil, "parent_id": nil, "is_domain": true, "description": r.Spec.Description,
		"enabled": !r.Spec.Disabled, "tags": []string{}, "options": map[string]any{}, "links": x.Self("/v3/projects/" + x.domainID(r.ID))}
}

// domainBody is what a body says of the domain that it means.
func (b *projectBody) domain() (*domainBody, error) {
	if b.ParentID != nil && *b.ParentID != "" || b.DomainID != nil && *b.DomainID != "" {
		return nil, fail.Field("project.is_domain", "a domain is in no other and below nothing").Then("leave domain_id and parent_id out")
	}
	if b.Tags != nil && len(*b.Tags) > 0 {
		return nil, fail.Field("project.tags", "a domain has none here")
	}
	return &domainBody{Name: b.Name, Description: b.Description, Enabled: b.Enabled}, nil
}

func (x *exchange) createActing(b *projectBody) error {
	d, err := b.domain()
	if err != nil {
		return err
	}
	row, err := x.Do(x.API.Kinds.Domain.D, call.Create, "", d.apply)
	if err != nil {
		return err
	}
	return x.One(http.StatusCreated, "project", x.actingView(row.(*DomainRow)))
}

func (x *exchange) updateActing(row *DomainRow, b *projectBody) error {
	d := &domainBody{Name: b.Name, Description: b.Description, Enabled: b.Enabled}
	changed, err := x.Do(x.API.Kinds.Domain.D, call.Update, string(row.ID), d.apply)
	if err != nil {
		return err
	}
	return x.One(http.StatusOK, "project", x.actingView(changed.(*DomainRow)))
}

func (x *exchange) listActing() error {
	return List(&x.Exchange, x.API.Kinds.Domain, "projects", "", x.byName(), func(r *DomainRow) bool { return x.fits(&r.Meta, r.Spec.Disabled) },
		func(r *DomainRow) any { return x.actingView(r) })
}

// domainRef is a domain's id and name on the wire.
func (x *exchange) domainRef(d id.ID, name string) token.Ref {
	return token.Ref{ID: x.domainID(d), Name: name}
}
