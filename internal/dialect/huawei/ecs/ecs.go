// Package ecs serves Huawei Cloud's Elastic Cloud Server API v1, v1.1 and v2
// (https://support.huaweicloud.com/intl/en-us/api-ecs/) over the compute service: a cloud server is a server's row, a job
// what runs on it. It may import the kernel, services compute and network, and dialect/{auth,front,huawei/rest,huawei/kps}.
package ecs

import (
	"net/http"

	"github.com/awancloud/awan/internal/dialect/auth"
	"github.com/awancloud/awan/internal/dialect/front"
	"github.com/awancloud/awan/internal/dialect/huawei/kps"
	"github.com/awancloud/awan/internal/dialect/huawei/rest"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/service/compute"
	"github.com/awancloud/awan/internal/service/network"
)

// Options are what the API stands on.
type Options struct {
	Door    *call.Door
	Auth    *auth.Authenticator
	Region  string
	Compute *compute.Service
	Network *network.Service
	// KeyPair is the kind of key pairs.
	KeyPair *kind.Def
	// Console is the address of the page that shows a server's screen; it gets the server's id.
	Console func(r *http.Request, project, server string) string
}

// API is the API.
type API struct {
	Options
	rest *wire.API
}

type (
	exchange  = rest.Exchange
	route     = rest.Route
	serverRow = kind.Row[compute.ServerSpec, compute.ServerStatus]
	flavorRow = kind.Row[compute.FlavorSpec, compute.FlavorStatus]
	groupRow  = kind.Row[compute.GroupSpec, compute.GroupStatus]
)

const (
	all = "/v1/{project_id}/cloudservers"
	one = all + "/{server_id}"
)

// New makes the API.
func New(o Options) *API {
	a := &API{Options: o}
	a.rest = rest.New(o.Door, o.Auth, o.Region, rest.Style{Code: Code, Words: words()},
		a.createRoutes(), a.listRoutes(), a.changeRoutes(), a.powerRoutes(), a.diskRoutes(), a.cardRoutes(), a.metadataRoutes(), a.groupRoutes(),
		a.flavorRoutes(), a.consoleRoutes(), a.quotaRoutes(), a.absentRoutes(), kps.NovaRoutes(o.KeyPair),
		[]route{{Method: "GET", Path: rest.JobPath, Alias: "ecs:jobs:get", Do: rest.ShowJob(Code, Looks())}})
	return a
}

// Routes lists what it serves.
func (a *API) Routes() []wire.Route { return a.rest.Routes() }

// Service is the API behind the listener.
func (a *API) Service() front.Service {
	s := a.rest.ServiceNamed("ecs")
	s.Prefer = rest.Ours
	return s
}
