package openstack_test

import (
	"context"
	"net/http"
	"testing"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/catalog"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/domains"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/endpoints"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/groups"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/projects"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/regions"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/roles"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/services"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/tokens"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/users"
	"github.com/gophercloud/gophercloud/v2/pagination"

	"github.com/awancloud/awan/test/conformance/cloudtest"
)

// must stops the test at the first call that fails.
func must[T any](t *testing.T) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// done is must for calls that give nothing but an error.
func done(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// all reads a list to its end.
func all(t *testing.T, p pagination.Pager) pagination.Page {
	t.Helper()
	return must[pagination.Page](t)(p.AllPages(t.Context()))
}

func logIn(t *testing.T, c *cloudtest.Cloud, o gophercloud.AuthOptions) (*gophercloud.ProviderClient, *gophercloud.ServiceClient) {
	t.Helper()
	o.IdentityEndpoint = c.URL + "/v3"
	p := must[*gophercloud.ProviderClient](t)(openstack.NewClient(o.IdentityEndpoint))
	p.HTTPClient = *c.Client(t)
	done(t, openstack.Authenticate(t.Context(), p, o))
	return p, must[*gophercloud.ServiceClient](t)(openstack.NewIdentityV3(p, gophercloud.EndpointOpts{Region: "awan-1"}))
}

// TestGophercloud: the Go client that most tools for OpenStack are made of.
func TestGophercloud(t *testing.T) {
	c := cloudtest.Start(t)
	ctx := context.Background()
	admin := gophercloud.AuthOptions{Username: c.Admin.User, Password: c.Admin.Password, DomainName: c.Admin.Domain, TenantName: c.Admin.Project, AllowReauth: true}
	p, id := logIn(t, c, admin)

	tok := must[*tokens.Token](t)(tokens.Get(ctx, id, p.TokenID).ExtractToken())
	if tok.ID != p.TokenID || tok.ExpiresAt.IsZero() {
		t.Errorf("token: %v", tok.ExpiresAt)
	}
	if ok := must[bool](t)(tokens.Validate(ctx, id, p.TokenID)); !ok {
		t.Error("the token is not valid")
	}
	entries := must[[]tokens.CatalogEntry](t)(catalog.ExtractServiceCatalog(all(t, catalog.List(id))))
	if len(entries) != 2 || entries[0].Type != "identity" || entries[1].Type != "network" {
		t.Errorf("catalog: %v", entries)
	}
	must[*regions.Region](t)(regions.Get(ctx, id, "awan-1").Extract())
	if s := must[[]services.Service](t)(services.ExtractServices(all(t, services.List(id, nil)))); len(s) != 2 {
		t.Errorf("services: %v", s)
	}
	if e := must[[]endpoints.Endpoint](t)(endpoints.ExtractEndpoints(all(t, endpoints.List(id, endpoints.ListOpts{Availability: gophercloud.AvailabilityPublic})))); len(e) != 2 {
		t.Errorf("endpoints: %v", e)
	}
	if d := must[*domains.Domain](t)(domains.Get(ctx, id, string(c.Admin.DomainID)).Extract()); d.Name != "awan" || !d.Enabled {
		t.Errorf("domain: %v", d)
	}

	no := false
	project := must[*projects.Project](t)(projects.Create(ctx, id, projects.CreateOpts{Name: "shop", Description: "first", Tags: []string{"a", "b"}}).Extract())
	project = must[*projects.Project](t)(projects.Update(ctx, id, project.ID, projects.UpdateOpts{Name: "store", Enabled: &no}).Extract())
	if project.Name != "store" || project.Enabled || project.Description != "first" || len(project.Tags) != 2 {
		t.Errorf("project: %+v", project)
	}
	listed := must[[]projects.Project](t)(projects.ExtractProjects(all(t, projects.List(id, projects.ListOpts{Name: "store"}))))
	if len(listed) != 1 || listed[0].ID != project.ID {
		t.Errorf("projects: %v", listed)
	}

	user := must[*users.User](t)(users.Create(ctx, id, users.CreateOpts{Name: "alice", Password: "correct-horse", DefaultProjectID: string(c.Admin.ProjectID),
		Description: "tester"}).Extract())
	if u := must[*users.User](t)(users.Get(ctx, id, user.ID).Extract()); u.Name != "alice" || !u.Enabled || u.DefaultProjectID != string(c.Admin.ProjectID) {
		t.Errorf("user: %+v", u)
	}
	group := must[*groups.Group](t)(groups.Create(ctx, id, groups.CreateOpts{Name: "crew"}).Extract())
	done(t, users.AddToGroup(ctx, id, group.ID, user.ID).ExtractErr())
	if in := must[bool](t)(users.IsMemberOfGroup(ctx, id, group.ID, user.ID).Extract()); !in {
		t.Error("alice is not in the group")
	}
	if g := must[[]groups.Group](t)(groups.ExtractGroups(all(t, users.ListGroups(id, user.ID)))); len(g) != 1 {
		t.Errorf("alice's groups: %v", g)
	}
	role := must[[]roles.Role](t)(roles.ExtractRoles(all(t, roles.List(id, roles.ListOpts{Name: "read-only"}))))[0]
	done(t, roles.Assign(ctx, id, role.ID, roles.AssignOpts{GroupID: group.ID, ProjectID: string(c.Admin.ProjectID)}).ExtractErr())
	given := must[[]roles.RoleAssignment](t)(roles.ExtractRoleAssignments(all(t, roles.ListAssignments(id, roles.ListAssignmentsOpts{GroupID: group.ID}))))
	if len(given) != 1 || given[0].Role.ID != role.ID || given[0].Scope.Project.ID != string(c.Admin.ProjectID) {
		t.Errorf("assignments: %+v", given)
	}

	// without a scope the user's default project is meant; the group's role is in the token
	q, _ := logIn(t, c, gophercloud.AuthOptions{Username: "alice", Password: "correct-horse", DomainName: "awan"})
	r, ok := q.GetAuthResult().(tokens.CreateResult)
	if !ok {
		t.Fatal("no result of the log-in")
	}
	if in := must[*tokens.Project](t)(r.ExtractProject()); in == nil || in.Name != "awan-1" {
		t.Errorf("alice's token is for %+v", in)
	}
	if has := must[[]tokens.Role](t)(r.ExtractRoles()); len(has) != 1 || has[0].Name != "read-only" {
		t.Errorf("alice's roles: %v", has)
	}
	// a token for another scope, by the token
	s, _ := logIn(t, c, gophercloud.AuthOptions{TokenID: q.TokenID, Scope: &gophercloud.AuthScope{DomainName: "awan"}})
	if s.TokenID == q.TokenID {
		t.Error("the token is the same for another scope")
	}

	done(t, roles.Unassign(ctx, id, role.ID, roles.UnassignOpts{GroupID: group.ID, ProjectID: string(c.Admin.ProjectID)}).ExtractErr())
	done(t, users.RemoveFromGroup(ctx, id, group.ID, user.ID).ExtractErr())
	done(t, groups.Delete(ctx, id, group.ID).ExtractErr())
	done(t, users.Delete(ctx, id, user.ID).ExtractErr())
	done(t, projects.Delete(ctx, id, project.ID).ExtractErr())
	if err := projects.Get(ctx, id, project.ID).Err; !gophercloud.ResponseCodeIs(err, http.StatusNotFound) {
		t.Errorf("a deleted project: %v", err)
	}
	if ok, err := tokens.Validate(ctx, id, q.TokenID); ok || err != nil {
		t.Errorf("the token of a deleted user: %v, %v", ok, err)
	}
}
