// Package iam serves Huawei Cloud's identity API (https://support.huaweicloud.com/intl/en-us/api-iam/): Keystone v3,
// which it shares with dialect/openstack/keystone, and Huawei's own paths beside it, with version 5 in iamv5; and it
// binds together the services that belong to it: enterprise projects (eps), tags (tms) and temporary keys (sts).
// It may import the kernel, dialect/{front,login,wire}, dialect/huawei/{eps,iamv5,sign,tms} and
// dialect/openstack/{keystone,token}.
package iam

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/awancloud/awan/internal/dialect/front"
	"github.com/awancloud/awan/internal/dialect/huawei/eps"
	"github.com/awancloud/awan/internal/dialect/huawei/iamv5"
	"github.com/awancloud/awan/internal/dialect/huawei/sign"
	"github.com/awancloud/awan/internal/dialect/huawei/tms"
	"github.com/awancloud/awan/internal/dialect/openstack/keystone"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/store"
)

// Options are Keystone's; Dialect, Fail, Enter and Role are set here.
type Options = keystone.Options

// IAM is the API with its sisters: enterprise projects, tags, and the service that gives out temporary keys.
type IAM struct {
	Identity                 *keystone.API
	Enterprise, Tags, Tokens *wire.API
}

// New makes the APIs.
func New(o Options) *IAM {
	o.Dialect, o.Fail, o.Enter, o.Role = "huawei", Fail, enter, roleView
	i := &IAM{Identity: keystone.New(o), Enterprise: wire.New(o.Options), Tags: wire.New(o.Options), Tokens: wire.New(o.Options)}
	identity := i.Identity.API
	for to, tables := range map[*wire.API][][]wire.Route{
		identity: {userRoutes(identity), projectRoutes(identity), keyRoutes(identity), policyRoutes(identity), permissionRoutes(identity), agencyRoutes(identity),
			siteRoutes(identity), enterpriseRoutes(identity), securityRoutes(identity), mfaRoutes(identity), securityTokenRoutes(), quotaRoutes(identity), providerRoutes(i.Identity), providerRoutesV5(i.Identity), iamv5.Routes(identity)},
		i.Enterprise: {eps.Routes(i.Enterprise)}, i.Tags: {tms.Routes(i.Tags)}, i.Tokens: {iamv5.TokenRoutes()},
	} {
		for _, r := range slices.Concat(tables...) {
			to.Add(r)
		}
	}
	return i
}

// Routes lists what all of them serve.
func (i *IAM) Routes() []wire.Route {
	return slices.Concat(i.Identity.Routes(), i.Enterprise.Routes(), i.Tags.Routes(), i.Tokens.Routes())
}

// Services are the APIs behind the listener. Put them before Keystone's: by path alone, this dialect takes the requests
// that Huawei's clients sent.
func (i *IAM) Services() []front.Service {
	identity := i.Identity.ServiceNamed("iam")
	identity.Prefer = Ours
	return []front.Service{identity, i.Enterprise.ServiceNamed("eps"), i.Tags.ServiceNamed("tms"), i.Tokens.ServiceNamed("sts")}
}

// Ours recognises the requests of Huawei's clients: signed, or sent by one that says so.
func Ours(r *http.Request) bool {
	return sign.Present(r) || r.Header.Get("X-Domain-Id") != "" || strings.Contains(strings.ToLower(r.UserAgent()), "huaweicloud")
}

// enter reads the headers that Huawei's clients add. They need not be signed, so they are believed only where they name
// what is the caller's anyhow.
func enter(x *wire.Exchange) error {
	h := x.R.Header
	domain, project := h.Get("X-Domain-Id"), h.Get("X-Project-Id")
	if (domain == "" || domain == string(x.Who.Domain)) && project == "" {
		return nil
	}
	return x.API.Door.Store.View(x.R.Context(), func(tx store.Tx) error {
		if err := x.API.Door.Ident.MarkCloud(tx, &x.Who); err != nil {
			return err
		}
		if domain != "" && domain != string(x.Who.Domain) {
			if !x.Who.Cloud() {
				return fail.New(fail.NotFound, "there is no domain %q", domain).Then("X-Domain-Id must be your own, %s", x.Who.Domain)
			}
			x.Call.Domain = domain
		}
		if project == "" {
			return nil
		}
		pid, _ := id.Parse(project)
		row, err := x.API.Kinds.Project.Get(tx, pid)
		if err != nil {
			return err
		}
		if row == nil || row.Domain != x.Who.Domain && !x.Who.Cloud() {
			return fail.New(fail.NotFound, "there is no project %q", project).Then("X-Project-Id must be one of your domain's")
		}
		x.Call.Project = string(row.ID)
		return nil
	})
}

// stamp prints a time as IAM does.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000Z") }
