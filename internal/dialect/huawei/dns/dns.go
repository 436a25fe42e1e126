// Package dns serves Huawei Cloud's Domain Name Service, v2 and v2.1 (https://support.huaweicloud.com/intl/en-us/api-dns/),
// over the rows of service/dns: a zone is a zone, a record set a record set. Of its resolution lines there is the default
// one, and record sets have no health checks and no aliases of other resources. It may import the kernel, service/dns
// and dialect/{front,huawei/rest,wire}.
package dns

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/awancloud/awan/internal/dialect/front"
	"github.com/awancloud/awan/internal/dialect/huawei/rest"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/service/dns"
)

// Options are what the API stands on.
type Options struct {
	wire.Options
	DNS *dns.Service
}

// API serves the routes.
type API struct {
	*wire.API
	dns *dns.Service
}

type (
	exchange  = wire.Exchange
	route     = wire.Route
	zoneRow   = kind.Row[dns.ZoneSpec, dns.ZoneStatus]
	recordRow = kind.Row[dns.RecordSpec, dns.RecordStatus]
)

// New makes the API.
func New(o Options) *API {
	o.Dialect, o.Fail = "huawei", Fail
	o.Options.Enter = rest.Enter
	a := &API{API: wire.New(o.Options), dns: o.DNS}
	for _, rs := range [][]route{a.zoneRoutes(), a.recordRoutes(), a.batchRoutes(), a.tagRoutes(), a.generalRoutes()} {
		for _, r := range rs {
			a.Add(named(r))
		}
	}
	return a
}

// Service is the API behind the listener.
func (a *API) Service() front.Service { return a.ServiceNamed("dns") }

// named makes a route's calls bear the names that Huawei's documents give what is done with record sets, which policies may
// use; those of zones are the kernel's own.
func named(r route) route {
	if r.Kind == nil || r.Kind.Name != "record-set" {
		return r
	}
	do, name := r.Do, "dns:recordset:"+r.Verb
	r.Do = func(x *exchange) error {
		x.Call.Alias = name
		return do(x)
	}
	return r
}

// codes are the statuses and codes of the kinds of failure; the codes are DNS's where it has one for it.
var codes = rest.Codes{
	fail.Invalid:         {http.StatusBadRequest, "DNS.0004"},
	fail.Unsupported:     {http.StatusBadRequest, "DNS.0004"},
	fail.Unauthenticated: {http.StatusUnauthorized, "DNS.0013"},
	fail.Denied:          {http.StatusForbidden, "DNS.0030"},
	fail.NotFound:        {http.StatusNotFound, "DNS.0302"},
	fail.Gone:            {http.StatusNotFound, "DNS.0302"},
	fail.Quota:           {http.StatusForbidden, "DNS.0403"},
	fail.Exists:          {http.StatusConflict, "DNS.0304"},
	fail.Conflict:        {http.StatusConflict, "DNS.0305"},
	fail.Precondition:    {http.StatusConflict, "DNS.0305"},
	fail.TooLarge:        {http.StatusRequestEntityTooLarge, "DNS.0007"},
	fail.RateLimited:     {http.StatusTooManyRequests, "DNS.0008"},
	fail.NoSpace:         {http.StatusServiceUnavailable, "DNS.0101"},
	fail.Unavailable:     {http.StatusServiceUnavailable, "DNS.0101"},
	fail.Timeout:         {http.StatusGatewayTimeout, "DNS.0102"},
	fail.Canceled:        {http.StatusGatewayTimeout, "DNS.0102"},
	fail.Internal:        {http.StatusInternalServerError, "DNS.0005"},
}

// Fail writes an error in DNS's form, with our fields in its words.
func Fail(w http.ResponseWriter, r *http.Request, err error) {
	e := *fail.From(err)
	e.Field = strings.NewReplacer("spec.values", "records", "spec.vpcs", "router", "spec.", "").Replace(e.Field)
	status, code := codes.Of(e.Kind)
	wire.Write(w, status, map[string]any{"code": code, "message": e.Public(), "request_id": front.From(r.Context()).RequestID})
}

// body reads a bare JSON body into v, leaving alone what v does not know. No body reads as an empty one.
func body(x *exchange, v any) error {
	err := json.NewDecoder(http.MaxBytesReader(x.W, x.R.Body, wire.MaxBody)).Decode(v)
	if err != nil && err.Error() != "EOF" {
		return fail.New(fail.Invalid, "the body is not the JSON that is wanted here: %v", err)
	}
	return nil
}

// do sends a call and waits for its job, for the API knows no jobs.
func do(x *exchange, k *kind.Def, verb, target string, edit func(*call.Call)) (kind.AnyRow, error) {
	c := x.Call
	c.Kind, c.Verb, c.Target = k, verb, target
	if edit != nil {
		edit(&c)
	}
	r, err := x.API.Door.Do(x.R.Context(), &c)
	if err != nil || r.Job == nil {
		return r.Row, err
	}
	j, err := x.API.Door.WaitJob(x.R.Context(), r.Job.ID)
	if err == nil && j.Error != nil {
		err = j.Error.Err()
	}
	return r.Row, err
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000") }

// stateOf is a row's state in DNS's words.
func stateOf(m *kind.Meta, disabled bool) string {
	switch {
	case m.State == kind.Deleting:
		return "PENDING_DELETE"
	case m.State == kind.Failed:
		return "ERROR"
	case m.Job != "":
		return "PENDING_UPDATE"
	case disabled:
		return "DISABLE"
	}
	return "ACTIVE"
}

// status reads ENABLE or DISABLE.
func status(s *string) (disabled *bool, err error) {
	if s == nil || *s == "" {
		return nil, nil
	}
	off := strings.EqualFold(*s, "DISABLE")
	if !off && !strings.EqualFold(*s, "ENABLE") {
		return nil, fail.Field("status", "%q is neither ENABLE nor DISABLE", *s)
	}
	return &off, nil
}

// page answers with the part of a list that the query asks for, and where the next one is.
func page[R any](x *exchange, name string, rows []R, id func(R) string, view func(R) any) error {
	q := x.R.URL.Query()
	limit, err := x.Number("limit", 0, 0, wire.MaxRows)
	if err != nil {
		return err
	}
	if limit == 0 {
		limit = 500
	}
	offset, err := x.Number("offset", 0, 0, wire.MaxRows)
	if err != nil {
		return err
	}
	total, from := len(rows), min(offset, len(rows))
	if m := q.Get("marker"); m != "" {
		for from = 0; from < total && id(rows[from]) != m; from++ {
		}
		from = min(from+1, total)
	}
	to := min(from+limit, total)
	items := make([]any, 0, to-from)
	for _, r := range rows[from:to] {
		items = append(items, view(r))
	}
	links := map[string]string{"self": x.API.Base(x.R) + x.R.URL.RequestURI()}
	if to < total && to > from {
		q.Del("offset")
		q.Set("marker", id(rows[to-1]))
		links["next"] = x.API.Base(x.R) + x.R.URL.Path + "?" + q.Encode()
	}
	wire.Write(x.W, http.StatusOK, map[string]any{name: items, "links": links, "metadata": map[string]int{"total_count": total}})
	return nil
}
