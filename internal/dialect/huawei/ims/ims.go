// Package ims serves Huawei Cloud's Image Management Service API v1 and v2
// (https://support.huaweicloud.com/intl/en-us/api-ims/) over the image service, and those of Glance's paths that its clients use
// with it. It may import the kernel, services compute and image and dialect/{auth,front,huawei/rest,wire}.
package ims

import (
	"net/http"
	"strings"

	"github.com/awancloud/awan/internal/dialect/auth"
	"github.com/awancloud/awan/internal/dialect/front"
	"github.com/awancloud/awan/internal/dialect/huawei/rest"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/service/compute"
	"github.com/awancloud/awan/internal/service/image"
)

// Options are what the API stands on.
type Options struct {
	Door    *call.Door
	Auth    *auth.Authenticator
	Region  string
	Images  *image.Service
	Compute *compute.Service
	// Looks are what answers about jobs name of the rows.
	Looks map[string]rest.Look
}

// API is the API.
type API struct {
	Options
	rest *wire.API
}

type (
	exchange = rest.Exchange
	route    = rest.Route
	row      = image.Row
)

const all = "/v2/cloudimages"

// New makes the API.
func New(o Options) *API {
	a := &API{Options: o}
	words := strings.NewReplacer("spec.source.volume", "volume_id", "spec.source", "image_url", "spec.min_memory", "min_ram", "spec.", "")
	a.rest = rest.New(o.Door, o.Auth, o.Region, rest.Style{Code: Code, Words: words}, a.listRoutes(), a.createRoutes(), a.changeRoutes(), a.memberRoutes(), a.tagRoutes(),
		a.placeRoutes(), a.absentRoutes(), []route{
			{Method: "GET", Path: rest.JobPath, Alias: "ims:images:get ecs:jobs:get", Do: rest.ShowJob(Code, o.Looks)},
			{Method: "GET", Path: "/v1/cloudimages/job/{job_id}", Alias: "ims:images:get ecs:jobs:get", Do: rest.ShowJob(Code, o.Looks)}})
	return a
}

// Routes lists what it serves.
func (a *API) Routes() []wire.Route { return a.rest.Routes() }

// Service is the API behind the listener.
func (a *API) Service() front.Service {
	s := a.rest.ServiceNamed("ims")
	s.Prefer = rest.Ours
	return s
}

// Code gives the codes of failures, as far as Huawei's documents tell their causes apart.
func Code(e *fail.Error) (int, string) {
	status := rest.Status(e.Kind)
	switch e.Kind {
	case fail.NotFound, fail.Gone:
		return status, "IMG.0027"
	case fail.Quota:
		return http.StatusForbidden, "IMG.0008"
	}
	if status >= 500 {
		return status, "IMG.0007"
	}
	return status, "IMG.0001"
}
