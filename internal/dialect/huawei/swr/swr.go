// Package swr serves the management API of Huawei Cloud's Software Repository for Container
// (https://support.huaweicloud.com/intl/en-us/api-swr/): organisations, repositories, their tags, who may use them,
// retentions, triggers, copies to other regions and log-ins to the registry. What clients push and pull goes to the registry itself, at the same host.
// It may import the kernel, service/{delivery,registry} and dialect/{front,huawei/rest,huawei/sign,wire}.
package swr

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"hash/fnv"
	"net/http"
	"strings"
	"time"

	"github.com/awancloud/awan/internal/dialect/front"
	"github.com/awancloud/awan/internal/dialect/huawei/rest"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/delivery"
	"github.com/awancloud/awan/internal/service/registry"
)

// Options are what the API stands on.
type Options struct {
	wire.Options
	Kinds    *registry.Kinds
	Delivery *delivery.Service
	// Host is the registry's host as the client that sent r reaches it.
	Host func(r *http.Request) string
}

// API serves the routes.
type API struct {
	*wire.API
	o Options
}

// New makes the API.
func New(o Options) *API {
	o.Dialect, o.Fail = "huawei", Fail
	a := &API{o: o}
	o.Options.Enter = enter
	a.API = wire.New(o.Options)
	for _, rs := range [][]wire.Route{a.namespaceRoutes(), a.repositoryRoutes(), a.tagRoutes(), a.shareRoutes(), a.retentionRoutes(), a.accountRoutes(), a.syncRoutes(), a.triggerRoutes(), a.attachedRoutes()} {
		for _, r := range rs {
			a.Add(r)
		}
	}
	return a
}

// Service is the API behind the listener with the registry at its side: clients use one host name for both.
func (a *API) Service(images http.Handler) front.Service {
	s := a.ServiceNamed("swr")
	s.MaxBody = -1 // of images; the API bounds its own
	s.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/v2/manage/") || strings.HasPrefix(r.URL.Path, "/v3/manage/") || images == nil {
			a.ServeHTTP(w, r)
			return
		}
		images.ServeHTTP(w, r)
	})
	return s
}

// enter reads the headers that Huawei's clients add. Where they name no project it is the one called like the region.
func enter(x *wire.Exchange) error {
	h := x.R.Header
	if d := h.Get("X-Domain-Id"); d != "" && d != string(x.Who.Domain) {
		x.Call.Domain = d
	}
	x.Call.Project = h.Get("X-Project-Id")
	if x.Call.Project == "" && x.Who.Project == "" {
		x.Call.Project = x.API.Region
	}
	return nil
}

// codes are the status and code of a kind of failure; the codes' form is SWR's.
var codes = rest.Codes{
	fail.Invalid:         {http.StatusBadRequest, "SVCSTG.SWR.4000001"},
	fail.Unauthenticated: {http.StatusUnauthorized, "SVCSTG.SWR.4010001"},
	fail.Denied:          {http.StatusForbidden, "SVCSTG.SWR.4030001"},
	fail.Quota:           {http.StatusForbidden, "SVCSTG.SWR.4030001"},
	fail.NotFound:        {http.StatusNotFound, "SVCSTG.SWR.4040001"},
	fail.Gone:            {http.StatusNotFound, "SVCSTG.SWR.4040001"},
	fail.Exists:          {http.StatusConflict, "SVCSTG.SWR.4090001"},
	fail.Conflict:        {http.StatusConflict, "SVCSTG.SWR.4090001"},
	fail.Precondition:    {http.StatusConflict, "SVCSTG.SWR.4090001"},
	fail.TooLarge:        {http.StatusRequestEntityTooLarge, "SVCSTG.SWR.4130001"},
	fail.RateLimited:     {http.StatusTooManyRequests, "SVCSTG.SWR.4290001"},
	fail.Unsupported:     {http.StatusNotImplemented, "SVCSTG.SWR.5010001"},
	fail.NoSpace:         {http.StatusServiceUnavailable, "SVCSTG.SWR.5030001"},
	fail.Unavailable:     {http.StatusServiceUnavailable, "SVCSTG.SWR.5030001"},
	fail.Timeout:         {http.StatusGatewayTimeout, "SVCSTG.SWR.5040001"},
	fail.Canceled:        {http.StatusGatewayTimeout, "SVCSTG.SWR.5040001"},
	fail.Internal:        {http.StatusInternalServerError, "SVCSTG.SWR.5000001"},
}

// Fail writes an error in SWR's form, and in the one that Huawei's SDKs read.
func Fail(w http.ResponseWriter, r *http.Request, err error) {
	e := fail.From(err)
	status, code := codes.Of(e.Kind)
	wire.Write(w, status, map[string]any{"errors": []map[string]any{{"errorCode": code, "errorMessage": e.Public()}},
		"error_code": code, "error_msg": e.Public(), "request_id": front.From(r.Context()).RequestID})
}

// body reads a bare JSON body into v. An empty one reads as nothing: what is then missing the kinds find.
func body(x *wire.Exchange, v any) error {
	b, err := x.Bytes()
	if err != nil || len(b) == 0 {
		return err
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fail.New(fail.Invalid, "the body is not the JSON that is wanted here: %v", err)
	}
	return nil
}

// do sends a call and waits for its job, for the API knows no jobs.
func do(x *wire.Exchange, c call.Call) (call.Reply, error) {
	r, err := x.API.Door.Do(x.R.Context(), &c)
	if err != nil || r.Job == nil {
		return r, err
	}
	j, err := x.API.Door.WaitJob(x.R.Context(), r.Job.ID)
	if err == nil && j.Error != nil {
		err = j.Error.Err()
	}
	return r, err
}

// Number is how an id is shown where the API wants a number: always the same, below 2^31.
func Number(row id.ID) int32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(row))
	return int32(h.Sum32() & 0x7fffffff)
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05Z")
}

// LongTermPassword is what SWR makes of an access key for a log-in that does not end:
// https://support.huaweicloud.com/intl/en-us/usermanual-swr/swr_01_1000.html.
func LongTermPassword(access, secret string) string {
	m := hmac.New(sha256.New, []byte(secret))
	m.Write([]byte(access))
	return hex.EncodeToString(m.Sum(nil))
}

// created answers 201 with an empty object: the provider wants JSON.
func created(x *wire.Exchange) error {
	wire.Write(x.W, http.StatusCreated, struct{}{})
	return nil
}
