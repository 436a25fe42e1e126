// Package servicestage serves Huawei Cloud's ServiceStage v3 API (https://support.huaweicloud.com/intl/en-us/api-servicestage/)
// over the app service: an environment, application or component is the row of that name, a version of a component a
// release. What this cloud has no use for (a CCE cluster's affinity rules, say) is kept with the row and given back, so
// that existing configurations fit. It may import the kernel, services app, config and access and
// dialect/{auth,front,wire}.
package servicestage

import (
	"encoding/json"
	"errors"
	"io"
	"math"
	"net/http"
	"time"

	"github.com/awancloud/awan/internal/dialect/auth"
	"github.com/awancloud/awan/internal/dialect/front"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/service/access"
	"github.com/awancloud/awan/internal/service/app"
	"github.com/awancloud/awan/internal/service/config"
)

// Options are what the API stands on.
type Options struct {
	Door   *call.Door
	Auth   *auth.Authenticator
	App    *app.Service
	Config *config.Service
	Access *access.Service
	Region string
}

// API is ServiceStage with the one CCE-shaped cluster that its configurations name.
type API struct {
	Options
	Stage, Clusters *wire.API
}

type (
	exchange       = wire.Exchange
	route          = wire.Route
	environmentRow = kind.Row[app.EnvironmentSpec, app.EnvironmentStatus]
	applicationRow = kind.Row[app.ApplicationSpec, app.ApplicationStatus]
	componentRow   = kind.Row[app.ComponentSpec, app.ComponentStatus]
	releaseRow     = kind.Row[app.ReleaseSpec, app.ReleaseStatus]
)

// base is where the API's paths begin.
const base = "/v3/{project_id}/cas"

// New makes the API.
func New(o Options) *API {
	a := &API{Options: o}
	k := wire.Options{Door: o.Door, Auth: o.Auth, Region: o.Region, Dialect: "huawei", Fail: Fail, Enter: enter}
	a.Stage, a.Clusters = wire.New(k), wire.New(k)
	for _, rs := range [][]route{a.environmentRoutes(), a.addonRoutes(), a.applicationRoutes(), a.componentRoutes(), a.actionRoutes(), a.recordRoutes(), a.stackRoutes(),
		a.configurationRoutes(), a.groupRoutes(), a.configRoutes(), a.laneGroupRoutes(), a.laneRoutes()} {
		for _, r := range rs {
			a.Stage.Add(named(r))
		}
	}
	for _, r := range a.clusterRoutes() {
		a.Clusters.Add(r)
	}
	return a
}

// Routes lists what both serve.
func (a *API) Routes() []route {
	return append(append([]route{}, a.Stage.Routes()...), a.Clusters.Routes()...)
}

// Services are the APIs behind the listener.
func (a *API) Services() []front.Service {
	return []front.Service{a.Stage.ServiceNamed("servicestage"), a.Clusters.ServiceNamed("cce")}
}

// enter puts the request into the project that its path names.
func enter(x *exchange) error {
	x.Call.Project = x.Param("project_id")
	return nil
}

// stamp prints a time as ServiceStage does: in milliseconds since 1970.
func stamp(t time.Time) int64 { return t.UnixMilli() }

// body reads a request's body into v. Fields that v does not know are left alone, as the API does.
func body(x *exchange, v any) error {
	b, err := io.ReadAll(http.MaxBytesReader(x.W, x.R.Body, wire.MaxBody))
	var big *http.MaxBytesError
	if errors.As(err, &big) {
		return fail.New(fail.TooLarge, "the body is larger than %d bytes", wire.MaxBody)
	}
	if err != nil {
		return fail.Wrap(err, fail.Invalid, "the body could not be read to its end")
	}
	if len(b) == 0 {
		return nil
	}
	return decode(b, v)
}

func decode(b []byte, v any) error {
	if err := json.Unmarshal(b, v); err != nil {
		var wrong *json.UnmarshalTypeError
		if errors.As(err, &wrong) && wrong.Field != "" {
			return fail.Field(wrong.Field, "is a %s, want a %s", wrong.Value, wrong.Type).Because(err)
		}
		return fail.New(fail.Invalid, "the body is no JSON object").Because(err)
	}
	return nil
}

// label is a tag on the wire.
type label struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

func labels(tags map[string]string) []label {
	out := []label{}
	for _, k := range sorted(tags) {
		out = append(out, label{k, tags[k]})
	}
	return out
}

// tagsOf puts the labels a client sent into a call; none sent leaves the tags as they are.
func tagsOf(c *call.Call, ls *[]label) {
	if ls == nil {
		return
	}
	tags := map[string]string{}
	for _, l := range *ls {
		tags[l.Key] = l.Value
	}
	c.Tags = &tags
}

// answer writes a list, as much of it as limit and offset ask for.
func answer[T any](x *exchange, name string, items []T) error {
	total := len(items)
	offset, err := x.Number("offset", 0, 0, math.MaxInt)
	if err != nil {
		return err
	}
	limit, err := x.Number("limit", total, 0, math.MaxInt)
	if err != nil {
		return err
	}
	items = items[min(offset, total):]
	items = items[:min(limit, len(items))]
	if items == nil {
		items = []T{}
	}
	wire.Write(x.W, http.StatusOK, map[string]any{name: items, "count": total})
	return nil
}
