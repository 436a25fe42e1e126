// Package endpoint holds what operators add to the catalog: regions, services and where they are reached, beside those
// that this cloud itself has. It may import the kernel.
package endpoint

import (
	"context"
	"net/url"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
)

// RegionSpec describes a region; its name is its id.
type RegionSpec struct {
	Description string            `json:"description" doc:"where it is" max:"255"`
	Parent      string            `json:"parent" doc:"name of the region it is part of" max:"255"`
	Extra       map[string]string `json:"extra" doc:"further fields that clients gave" max:"50"`
}

// ServiceSpec describes a service.
type ServiceSpec struct {
	Type        string            `json:"type" doc:"what it is, in OpenStack's words" required:"true" min:"1" max:"255" example:"object-store"`
	Title       string            `json:"title" doc:"its name, which may repeat" max:"255"`
	Description string            `json:"description" doc:"what it does" max:"255"`
	Disabled    bool              `json:"disabled" doc:"not shown in catalogs"`
	Extra       map[string]string `json:"extra" doc:"further fields that clients gave" max:"50"`
}

// EndpointSpec describes an address of a service.
type EndpointSpec struct {
	Service     string `json:"service" doc:"the service it is of" ref:"catalog/service" required:"true"`
	Interface   string `json:"interface" doc:"for whom" enum:"public,internal,admin" required:"true"`
	Region      string `json:"region" doc:"name of the region it is in; none: in all" max:"255"`
	URL         string `json:"url" doc:"its address; $(project_id)s stands for the caller's project" required:"true" max:"1024" example:"https://storage.example.org/v1/AUTH_$(project_id)s"`
	Title       string `json:"title" doc:"its name" max:"255"`
	Description string `json:"description" doc:"what it is for" max:"255"`
	Disabled    bool   `json:"disabled" doc:"not shown in catalogs"`
}

type (
	// Region and the like are the rows.
	Region   = kind.Row[RegionSpec, ident.None]
	Service  = kind.Row[ServiceSpec, ident.None]
	Endpoint = kind.Row[EndpointSpec, ident.None]
)

// Kinds are the resources.
type Kinds struct {
	Region   kind.Table[RegionSpec, ident.None]
	Service  kind.Table[ServiceSpec, ident.None]
	Endpoint kind.Table[EndpointSpec, ident.None]

	seen seen
}

// All lists the definitions.
func (k *Kinds) All() []*kind.Def { return []*kind.Def{k.Region.D, k.Service.D, k.Endpoint.D} }

// New makes the kinds.
func New() *Kinds {
	k := &Kinds{}
	k.Region = kind.TableOf[RegionSpec, ident.None](kind.Kind[RegionSpec, ident.None]{Service: "catalog", Name: "region", Scope: kind.InCloud,
		NamePat: `^[A-Za-z0-9_][A-Za-z0-9_.@ -]{0,254}$`, NoRename: true, Doc: "A region beside this cloud's own, which clients find in the catalog.",
		Columns: []string{"spec.description", "spec.parent"}, CheckDelete: k.regionEmpty, Changed: touch[RegionSpec]}.Def())
	k.Service = kind.TableOf[ServiceSpec, ident.None](kind.Kind[ServiceSpec, ident.None]{Service: "catalog", Name: "service", Scope: kind.InCloud, AnyName: true,
		Doc: "A service that clients find in the catalog beside this cloud's own.", Columns: []string{"spec.type", "spec.title", "spec.disabled"},
		Example: ServiceSpec{Type: "object-store", Title: "swift"}, Changed: k.serviceChanged}.Def())
	k.Endpoint = kind.TableOf[EndpointSpec, ident.None](kind.Kind[EndpointSpec, ident.None]{Service: "catalog", Name: "endpoint", Scope: kind.InCloud, AnyName: true,
		Doc: "Where a service of the catalog is reached.", Columns: []string{"spec.service", "spec.interface", "spec.region", "spec.url"},
		Example: EndpointSpec{Service: "SERVICE", Interface: "public", URL: "https://storage.example.org/v1"},
		Index:   map[string]func(*Endpoint) []string{"service": func(r *Endpoint) []string { return []string{r.Spec.Service} }},
		Check:   k.checkEndpoint, Changed: touch[EndpointSpec]}.Def())
	return k
}

func (k *Kinds) checkEndpoint(_ context.Context, tx store.Tx, _, row *Endpoint) error {
	sid, _ := id.Parse(row.Spec.Service)
	s, err := k.Service.Get(tx, sid)
	if err != nil {
		return err
	}
	if s == nil {
		return fail.Field("spec.service", "there is no service %q", row.Spec.Service).Then("give the id of one: awan service list; the cloud's own keep the addresses they have")
	}
	if u, err := url.Parse(row.Spec.URL); err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
		return fail.Field("spec.url", "%q is not an address", row.Spec.URL).Then("give one like https://storage.example.org/v1")
	}
	return nil
}

// serviceChanged lets a service's endpoints go with it.
func (k *Kinds) serviceChanged(_ context.Context, tx store.Tx, old, row *Service) error {
	if err := bump(tx); row != nil || err != nil {
		return err
	}
	ends, err := k.Endpoint.List(tx, "-", kind.Filter{Index: "service", Value: string(old.ID)})
	if err != nil {
		return err
	}
	for _, e := range ends {
		if err := k.Endpoint.Remove(tx, e); err != nil {
			return err
		}
	}
	return nil
}

func (k *Kinds) regionEmpty(_ context.Context, tx store.Tx, row *Region) error {
	used, err := k.Endpoint.List(tx, "-", kind.Filter{Limit: 1, Where: func(r kind.AnyRow) bool { return r.(*Endpoint).Spec.Region == row.Name }})
	if err == nil && len(used) > 0 {
		return fail.New(fail.Precondition, "region %s still has endpoint %s", row.Name, used[0].ID).Then("delete its endpoints first")
	}
	if err != nil {
		return err
	}
	parts, err := k.Region.List(tx, "-", kind.Filter{Limit: 1, Where: func(r kind.AnyRow) bool { return r.(*Region).Spec.Parent == row.Name }})
	if err == nil && len(parts) > 0 {
		return fail.New(fail.Precondition, "region %s is part of %s", parts[0].Name, row.Name).Then("delete its parts first")
	}
	return err
}
