package keystone

import (
	"cmp"
	"net/http"

	"github.com/awancloud/awan/internal/dialect/openstack/token"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/kind"
)

// ProjectRow and the like are the rows that the wire forms are made from.
type (
	ProjectRow = kind.Row[ident.ProjectSpec, ident.None]
	DomainRow  = kind.Row[ident.DomainSpec, ident.None]
	UserRow    = kind.Row[ident.UserSpec, ident.UserStatus]
	GroupRow   = kind.Row[ident.GroupSpec, ident.None]
	PolicyRow  = kind.Row[ident.PolicySpec, ident.PolicyStatus]
	GrantRow   = kind.Row[ident.GrantSpec, ident.None]
	KeyRow     = kind.Row[ident.KeySpec, ident.KeyStatus]
)

func (a *API) projectRoutes() []route {
	k := a.Kinds.Project.D
	return []route{
		{Method: "GET", Path: "/v3/projects", Kind: k, Verb: call.List, Do: listProjects},
		{Method: "POST", Path: "/v3/projects", Kind: k, Verb: call.Create, Do: createProject},
		{Method: "GET", Path: "/v3/projects/{project_id}", Kind: k, Verb: call.Get, Do: showProject},
		{Method: "PATCH", Path: "/v3/projects/{project_id}", Kind: k, Verb: call.Update, Do: updateProject},
		{Method: "DELETE", Path: "/v3/projects/{project_id}", Kind: k, Verb: call.Delete, Do: deleteProject},
	}
}

// ProjectView is a project on the wire, in a domain as the dialect prints its id.
func ProjectView(x *wire.Exchange, r *ProjectRow, domain string) token.ProjectView {
	v := token.ProjectView{ID: string(r.ID), Name: r.Name, DomainID: domain, ParentID: domain, Description: r.Spec.Description,
		Enabled: !r.Spec.Disabled, Tags: []string{}, Options: map[string]any{}, Links: Self(x, "/v3/projects/"+string(r.ID))}
	v.Tags = tagsOf(r.Tags)
	if r.Spec.Parent != "" {
		v.ParentID = r.Spec.Parent
	}
	return v
}

func (x *exchange) projectShown(r *ProjectRow) any {
	return withForeign(ProjectView(&x.Exchange, r, x.domainID(r.Domain)), r.Spec.Foreign)
}

// projectBody is what clients send. Huawei's send a parent (the region's project), which says nothing here.
type projectBody struct {
	Name        *string        `json:"name"`
	DomainID    *string        `json:"domain_id"`
	ParentID    *string        `json:"parent_id"`
	Description *string        `json:"description"`
	Enabled     *bool          `json:"enabled"`
	IsDomain    *bool          `json:"is_domain"`
	Tags        *[]string      `json:"tags"`
	Options     map[string]any `json:"options"`
}

func (b *projectBody) apply(c *call.Call, foreign *string, parent string) {
	s := wire.Spec{}
	if parent != "" {
		s["parent"] = parent
	}
	wire.Set(s, "foreign", foreign)
	wire.Set(s, "description", b.Description)
	wire.Not(s, "disabled", b.Enabled)
	c.Name, c.Spec = b.Name, s.JSON()
	if b.Tags != nil {
		tags := tagMap(*b.Tags)
		c.Tags = &tags
	}
}

// parent is the project that a new one is to be below, and the domain; a parent that is a domain says the latter only.
func (b *projectBody) parent(x *exchange) (parent, domain string, err error) {
	domain = x.domain(b.DomainID)
	p := b.ParentID
	if p == nil || *p == "" || x.API.Dialect != "openstack" {
		return "", domain, nil
	}
	at := x.API.domainNamed(x.R.Context(), *p)
	if at == domain || at == string(x.Who.Domain) && b.DomainID == nil {
		return "", domain, nil
	}
	row, err := wire.Get(&x.Exchange, x.API.Kinds.Project, *p)
	switch {
	case fail.Is(err, fail.NotFound) && b.DomainID == nil:
		d, derr := wire.Get(&x.Exchange, x.API.Kinds.Domain, at)
		if derr != nil {
			return "", "", err
		}
		return "", string(d.ID), nil
	case err != nil:
		return "", "", err
	case b.DomainID != nil && domain != string(row.Domain):
		return "", "", fail.Field("project.parent_id", "project %s is in another domain", row.Name).Then("leave domain_id out, or give that of the parent")
	}
	return string(row.ID), string(row.Domain), nil
}

// check refuses what this cloud's projects cannot be.
func (b *projectBody) check() error {
	if b.IsDomain != nil && *b.IsDomain {
		return fail.Field("project.is_domain", "a project is no domain here").Then("create a domain: POST /v3/domains")
	}
	return nil
}

func listProjects(x *exchange) error {
	domain, asked := x.domain(nil), x.Query("parent_id")
	if x.API.Dialect == "openstack" {
		if x.flag("is_domain") {
			return x.listActing()
		}
		asked = x.API.domainNamed(x.R.Context(), asked)
	}
	return List(&x.Exchange, x.API.Kinds.Project, "projects", domain, x.byName(), func(r *ProjectRow) bool {
		return x.fits(&r.Meta, r.Spec.Disabled) && x.tagged(r.Tags) && !x.flag("is_domain") && (asked == "" || asked == cmp.Or(r.Spec.Parent, string(r.Domain)))
	}, func(r *ProjectRow) any { return x.projectShown(r) })
}

func createProject(x *exchange) error {
	var b projectBody
	more, err := x.Kept("project", &b)
	if err != nil {
		return err
	}
	if b.IsDomain != nil && *b.IsDomain && x.API.Dialect == "openstack" {
		return x.createActing(&b)
	}
	if err := b.check(); err != nil {
		return err
	}
	parent, domain, err := b.parent(x)
	if err != nil {
		return err
	}
	row, err := x.Do(x.API.Kinds.Project.D, call.Create, "", func(c *call.Call) { c.Domain = domain; b.apply(c, more.over(""), parent) })
	if err != nil {
		return err
	}
	return x.One(http.StatusCreated, "project", x.projectShown(row.(*ProjectRow)))
}

func showProject(x *exchange) error {
	row, err := wire.Get(&x.Exchange, x.API.Kinds.Project, x.Param("project_id"))
	if err != nil {
		d, err := x.acting(err)
		if err != nil {
			return err
		}
		return x.One(http.StatusOK, "project", x.actingView(d))
	}
	return x.One(http.StatusOK, "project", x.projectShown(row))
}

func updateProject(x *exchange) error {
	var b projectBody
	more, err := x.Kept("project", &b)
	if err != nil {
		return err
	}
	foreign, err := former(x, x.API.Kinds.Project, x.Param("project_id"), more, func(s ident.ProjectSpec) string { return s.Foreign })
	if err != nil {
		return err
	}
	row, err := x.Do(x.API.Kinds.Project.D, call.Update, x.Param("project_id"), func(c *call.Call) { b.apply(c, foreign, "") })
	if err != nil {
		d, err := x.acting(err)
		if err != nil {
			return err
		}
		return x.updateActing(d, &b)
	}
	return x.One(http.StatusOK, "project", x.projectShown(row.(*ProjectRow)))
}

func deleteProject(x *exchange) error {
	if _, err := x.Do(x.API.Kinds.Project.D, call.Delete, x.Param("project_id"), nil); err != nil {
		d, err := x.acting(err)
		if err != nil {
			return err
		}
		if _, err := x.Do(x.API.Kinds.Domain.D, call.Delete, string(d.ID), nil); err != nil {
			return err
		}
	}
	return x.NoContent()
}
