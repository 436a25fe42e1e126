package openstack_test

import (
	"testing"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/credentials"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/ec2credentials"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/ec2tokens"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/limits"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/osinherit"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/projects"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/registeredlimits"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/roles"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/services"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/tokens"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/users"

	"github.com/awancloud/awan/test/conformance/cloudtest"
)

// TestGophercloudMore: what fewer clients ask for: credentials, EC2 keys and their signatures, projects below others,
// roles that imply others, limits.
func TestGophercloudMore(t *testing.T) {
	c := cloudtest.Start(t)
	ctx := t.Context()
	_, id := logIn(t, c, gophercloud.AuthOptions{Username: c.Admin.User, Password: c.Admin.Password, DomainName: c.Admin.Domain, TenantName: c.Admin.Project})
	admin, own := string(c.Admin.UserID), string(c.Admin.ProjectID)
	alice := must[*users.User](t)(users.Create(ctx, id, users.CreateOpts{Name: "alice", Password: "correct-horse", DefaultProjectID: own}).Extract())
	top := must[*projects.Project](t)(projects.Create(ctx, id, projects.CreateOpts{Name: "top"}).Extract())
	low := must[*projects.Project](t)(projects.Create(ctx, id, projects.CreateOpts{Name: "low", ParentID: top.ID}).Extract())

	t.Run("ec2", func(t *testing.T) {
		pair := must[*ec2credentials.Credential](t)(ec2credentials.Create(ctx, id, admin, ec2credentials.CreateOpts{TenantID: own}).Extract())
		if got := must[*ec2credentials.Credential](t)(ec2credentials.Get(ctx, id, admin, pair.Access).Extract()); got.Secret != pair.Secret || pair.Secret == "" {
			t.Errorf("the pair is %+v, then %+v", pair, got)
		}
		validate := func(secret string) error {
			return ec2tokens.ValidateS3Token(ctx, id, &ec2tokens.AuthOptions{Access: pair.Access, Secret: secret, Service: "s3"}).Err
		}
		if err := validate(pair.Secret); err != nil {
			t.Error(err)
		}
		if err := validate("battery-staple"); !gophercloud.ResponseCodeIs(err, 401) {
			t.Errorf("a wrong signature: %v", err)
		}
		done(t, ec2credentials.Delete(ctx, id, admin, pair.Access).ExtractErr())
		if err := validate(pair.Secret); !gophercloud.ResponseCodeIs(err, 401) {
			t.Errorf("a key that is gone: %v", err)
		}
	})

	t.Run("credentials", func(t *testing.T) {
		kept := must[*credentials.Credential](t)(credentials.Create(ctx, id, credentials.CreateOpts{UserID: alice.ID, Type: "cert", Blob: "first"}).Extract())
		kept = must[*credentials.Credential](t)(credentials.Update(ctx, id, kept.ID, credentials.UpdateOpts{Blob: "second"}).Extract())
		_, hers := logIn(t, c, gophercloud.AuthOptions{Username: "alice", Password: "correct-horse", DomainName: c.Admin.Domain})
		if got := must[*credentials.Credential](t)(credentials.Get(ctx, hers, kept.ID).Extract()); got.Blob != "second" || got.Type != "cert" {
			t.Errorf("alice reads %+v", got)
		}
		mine := must[*credentials.Credential](t)(credentials.Create(ctx, id, credentials.CreateOpts{UserID: admin, Type: "cert", Blob: "mine"}).Extract())
		if err := credentials.Get(ctx, hers, mine.ID).Err; !gophercloud.ResponseCodeIs(err, 403) {
			t.Errorf("alice reads the administrator's: %v", err)
		}
		done(t, credentials.Delete(ctx, hers, kept.ID).ExtractErr())
	})

	t.Run("roles", func(t *testing.T) {
		role := must[*roles.Role](t)(roles.Create(ctx, id, roles.CreateOpts{Name: "crew"}).Extract())
		read := must[[]roles.Role](t)(roles.ExtractRoles(all(t, roles.List(id, roles.ListOpts{Name: "read-only"}))))[0]
		must[*roles.RoleInferenceRule](t)(roles.CreateRoleInferenceRule(ctx, id, role.ID, read.ID).Extract())
		done(t, osinherit.Assign(ctx, id, role.ID, osinherit.AssignOpts{UserID: alice.ID, ProjectID: top.ID}).ExtractErr())
		in := func(project string) int {
			p, _ := logIn(t, c, gophercloud.AuthOptions{Username: "alice", Password: "correct-horse", DomainName: c.Admin.Domain, TenantID: project})
			r, ok := p.GetAuthResult().(tokens.CreateResult)
			if !ok {
				t.Fatal("no result of the log-in")
			}
			return len(must[[]tokens.Role](t)(r.ExtractRoles()))
		}
		if above, below := in(top.ID), in(low.ID); above != 0 || below != 2 {
			t.Errorf("alice has %d roles in the project and %d below it", above, below)
		}
		done(t, osinherit.Unassign(ctx, id, role.ID, osinherit.UnassignOpts{UserID: alice.ID, ProjectID: top.ID}).ExtractErr())
	})

	t.Run("limits", func(t *testing.T) {
		service := must[[]services.Service](t)(services.ExtractServices(all(t, services.List(id, nil))))[0].ID
		registered := must[[]registeredlimits.RegisteredLimit](t)(registeredlimits.BatchCreate(ctx, id, registeredlimits.BatchCreateOpts{
			{ServiceID: service, ResourceName: "volumes", DefaultLimit: 5}}).Extract())[0]
		own := limits.CreateOpts{ServiceID: service, ProjectID: low.ID, ResourceName: "volumes", ResourceLimit: 7}
		limit := must[[]limits.Limit](t)(limits.BatchCreate(ctx, id, limits.BatchCreateOpts{own}).Extract())[0]
		none := own
		none.ResourceName, none.ProjectID = "none", top.ID
		if err := limits.BatchCreate(ctx, id, limits.BatchCreateOpts{{ServiceID: service, ProjectID: top.ID, ResourceName: "volumes", ResourceLimit: 9}, none}).Err; !gophercloud.ResponseCodeIs(err, 400) {
			t.Errorf("a limit of what is not registered: %v", err)
		}
		if got := must[[]limits.Limit](t)(limits.ExtractLimits(all(t, limits.List(id, limits.ListOpts{ResourceName: "volumes"})))); len(got) != 1 || got[0].ID != limit.ID {
			t.Errorf("after a batch that was refused: %+v", got)
		}
		if err := registeredlimits.Delete(ctx, id, registered.ID).ExtractErr(); !gophercloud.ResponseCodeIs(err, 409) {
			t.Errorf("deleting what a limit stands on: %v", err)
		}
	})

	if err := projects.Delete(ctx, id, top.ID).ExtractErr(); !gophercloud.ResponseCodeIs(err, 409) {
		t.Errorf("deleting a project with one below: %v", err)
	}
	done(t, projects.Delete(ctx, id, low.ID).ExtractErr())
	done(t, projects.Delete(ctx, id, top.ID).ExtractErr())
}
