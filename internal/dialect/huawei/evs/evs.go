// Package evs serves Huawei Cloud's Elastic Volume Service API v2, v2.1 and v5
// (https://support.huaweicloud.com/intl/en-us/api-evs/) over the volume service. It may import the kernel,
// service/volume and dialect/{auth,front,huawei/rest,wire}.
package evs

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/awancloud/awan/internal/dialect/auth"
	"github.com/awancloud/awan/internal/dialect/front"
	"github.com/awancloud/awan/internal/dialect/huawei/rest"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/service/volume"
)

// Options are what the API stands on.
type Options struct {
	Door    *call.Door
	Auth    *auth.Authenticator
	Region  string
	Zone    string
	Volumes *volume.Service
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
)

const (
	all = "/v2/{project_id}/cloudvolumes"
	one = all + "/{volume_id}"
)

// New makes the API.
func New(o Options) *API {
	a := &API{Options: o}
	words := strings.NewReplacer("spec.source.image", "volume.imageRef", "spec.source.snapshot", "volume.snapshot_id", "spec.type", "volume.volume_type", "spec.", "volume.")
	a.rest = rest.New(o.Door, o.Auth, o.Region, rest.Style{Code: Code, Words: words}, a.volumeRoutes(), a.snapshotRoutes(), a.transferRoutes(), a.placeRoutes(),
		a.absentRoutes(), []route{{Method: "GET", Path: rest.JobPath, Alias: "evs:volumes:get ecs:jobs:get", Do: rest.ShowJob(Code, o.Looks)}})
	return a
}

// Routes lists what it serves.
func (a *API) Routes() []wire.Route { return a.rest.Routes() }

// Service is the API behind the listener.
func (a *API) Service() front.Service {
	s := a.rest.ServiceNamed("evs")
	s.Prefer = rest.Ours
	return s
}

// Code gives the codes of failures: those of the gateway that Huawei's API is behind, 54 and the status, as its documents' own
// example has it (EVS.5400); of what fails beyond the request, EVS.2024.
func Code(e *fail.Error) (int, string) {
	status := rest.Status(e.Kind)
	switch {
	case e.Kind == fail.Quota:
		return http.StatusRequestEntityTooLarge, "EVS.5413"
	case status >= 500:
		return status, "EVS.2024"
	}
	return status, "EVS.5" + strconv.Itoa(status)
}
