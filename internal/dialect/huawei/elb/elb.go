// Package elb serves Huawei Cloud's Elastic Load Balance v3 (https://support.huaweicloud.com/intl/en-us/api-elb/) over the rows
// of service/balancer. There is one availability zone, and flavours say nothing about how fast it is. It may import the
// kernel, service/balancer and dialect/{front,huawei/rest,wire}.
package elb

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/awancloud/awan/internal/dialect/front"
	"github.com/awancloud/awan/internal/dialect/huawei/rest"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/service/balancer"
)

// Options are what the API stands on.
type Options struct {
	wire.Options
	Balancer *balancer.Service
}

// API serves the routes.
type API struct {
	*wire.API
	b *balancer.Service
}

type (
	exchange       = wire.Exchange
	route          = wire.Route
	balancerRow    = kind.Row[balancer.BalancerSpec, balancer.BalancerStatus]
	listenerRow    = kind.Row[balancer.ListenerSpec, balancer.ListenerStatus]
	certificateRow = kind.Row[balancer.CertificateSpec, balancer.CertificateStatus]
	poolRow        = kind.Row[balancer.PoolSpec, balancer.PoolStatus]
	memberRow      = kind.Row[balancer.MemberSpec, balancer.MemberStatus]
	monitorRow     = kind.Row[balancer.MonitorSpec, balancer.MonitorStatus]
	policyRow      = kind.Row[balancer.PolicySpec, balancer.PolicyStatus]
	ruleRow        = kind.Row[balancer.RuleSpec, balancer.RuleStatus]
	groupRow       = kind.Row[balancer.GroupSpec, balancer.GroupStatus]
)

// base is where the API's paths begin.
const base = "/v3/{project_id}/elb"

// New makes the API.
func New(o Options) *API {
	o.Dialect, o.Fail = "huawei", Fail
	o.Options.Enter = func(x *exchange) error { x.Call.Project = x.Param("project_id"); return nil }
	a := &API{API: wire.New(o.Options), b: o.Balancer}
	for _, r := range []*resource{a.balancers(), a.listeners(), a.pools(), a.members(), a.monitors(), a.certificates(), a.policies(), a.rules(), a.groups()} {
		for _, rt := range r.routes() {
			a.Add(rt)
		}
	}
	for _, rs := range [][]route{a.moreRoutes(), a.flavorRoutes(), a.tagRoutes()} {
		for _, rt := range rs {
			a.Add(rt)
		}
	}
	return a
}

// Service is the API behind the listener.
func (a *API) Service() front.Service { return a.ServiceNamed("elb") }

// codes are the statuses and codes of the kinds of failure; the codes' form is ELB's.
var codes = rest.Codes{
	fail.Invalid:         {http.StatusBadRequest, "ELB.8902"},
	fail.Unsupported:     {http.StatusBadRequest, "ELB.8902"},
	fail.Unauthenticated: {http.StatusUnauthorized, "ELB.1101"},
	fail.Denied:          {http.StatusForbidden, "ELB.1091"},
	fail.NotFound:        {http.StatusNotFound, "ELB.8904"},
	fail.Gone:            {http.StatusNotFound, "ELB.8904"},
	fail.Quota:           {http.StatusConflict, "ELB.8905"},
	fail.Exists:          {http.StatusConflict, "ELB.8907"},
	fail.Conflict:        {http.StatusConflict, "ELB.8907"},
	fail.Precondition:    {http.StatusConflict, "ELB.8907"},
	fail.TooLarge:        {http.StatusRequestEntityTooLarge, "ELB.8902"},
	fail.RateLimited:     {http.StatusTooManyRequests, "ELB.1081"},
	fail.NoSpace:         {http.StatusServiceUnavailable, "ELB.1002"},
	fail.Unavailable:     {http.StatusServiceUnavailable, "ELB.1002"},
	fail.Timeout:         {http.StatusGatewayTimeout, "ELB.1003"},
	fail.Canceled:        {http.StatusGatewayTimeout, "ELB.1003"},
	fail.Internal:        {http.StatusInternalServerError, "ELB.9801"},
}

// Fail writes an error in ELB's form.
func Fail(w http.ResponseWriter, r *http.Request, err error) {
	e := *fail.From(err)
	e.Field = strings.TrimPrefix(e.Field, "spec.")
	status, code := codes.Of(e.Kind)
	wire.Write(w, status, map[string]any{"error_code": code, "error_msg": e.Public(), "request_id": front.From(r.Context()).RequestID})
}

// resource is what is alike in all of the API's resources.
type resource struct {
	d                *kind.Def
	path, param      string // of the collection, and the placeholder of one
	singular, plural string
	// write puts a body into a call: at creation and, with row, at a change of that row.
	write func(x *exchange, b json.RawMessage, row kind.AnyRow, c *call.Call) error
	// made does what is to be done after a creation; may be nil.
	made func(x *exchange, b json.RawMessage, row kind.AnyRow) error
	// leave frees a row, before its deletion, of what need not stand against it; may be nil.
	leave func(x *exchange, row kind.AnyRow) error
	// in is the resource in the path that it must belong to, and within selects those that do; both may be nil.
	in     func(x *exchange, row kind.AnyRow) bool
	within func(x *exchange) (kind.Filter, error)
	view   func(x *exchange, row kind.AnyRow) (map[string]any, error)
}

func (r *resource) routes() []route {
	all, one := base+r.path, base+r.path+"/{"+r.param+"}"
	return []route{
		{Method: "POST", Path: all, Kind: r.d, Verb: call.Create, Do: r.create},
		{Method: "GET", Path: all, Kind: r.d, Verb: call.List, Do: r.list},
		{Method: "GET", Path: one, Kind: r.d, Verb: call.Get, Do: r.show},
		{Method: "PUT", Path: one, Kind: r.d, Verb: call.Update, Do: r.update},
		{Method: "DELETE", Path: one, Kind: r.d, Verb: call.Delete, Do: r.remove},
	}
}

// body reads {singular: …}; nothing reads as an empty object.
func body(x *exchange, singular string) (json.RawMessage, error) {
	b, err := io.ReadAll(http.MaxBytesReader(x.W, x.R.Body, wire.MaxBody))
	if err != nil {
		return nil, fail.New(fail.TooLarge, "the body is larger than %d bytes", wire.MaxBody)
	}
	outer := map[string]json.RawMessage{}
	if len(b) > 0 {
		if err := json.Unmarshal(b, &outer); err != nil {
			return nil, fail.New(fail.Invalid, "the body is not a JSON object").Then(`send {%q: {…}}`, singular)
		}
	}
	if inner, ok := outer[singular]; ok {
		return inner, nil
	}
	return json.RawMessage("{}"), nil
}

// decode reads a body into v, leaving alone what v does not know.
func decode(b json.RawMessage, v any) error {
	if err := json.Unmarshal(b, v); err != nil {
		return fail.New(fail.Invalid, "the body is not what is wanted here: %v", err)
	}
	return nil
}

// do sends a call, and waits for its job where it has one.
func do(x *exchange, k *kind.Def, verb, target string, edit func(*call.Call) error) (kind.AnyRow, error) {
	c := x.Call
	c.Kind, c.Verb, c.Target = k, verb, target
	var wrong error
	if edit != nil {
		if wrong = edit(&c); wrong != nil { // said after the question whether the caller may
			c.DryRun, c.Spec, c.Name = true, nil, nil
		}
	}
	r, err := x.API.Door.Do(x.R.Context(), &c)
	if wrong != nil && !fail.Is(err, fail.Denied) && !fail.Is(err, fail.NotFound) {
		return nil, wrong
	}
	if err != nil || r.Job == nil {
		return r.Row, err
	}
	j, err := x.API.Door.WaitJob(x.R.Context(), r.Job.ID)
	if err == nil && j.Error != nil {
		err = j.Error.Err()
	}
	return r.Row, err
}

func get(x *exchange, k *kind.Def, target string) (kind.AnyRow, error) {
	return x.Do(k, call.Get, target, nil)
}

func (r *resource) create(x *exchange) error {
	b, err := body(x, r.singular)
	if err != nil {
		return err
	}
	row, err := do(x, r.d, call.Create, "", func(c *call.Call) error { return r.write(x, b, nil, c) })
	if err != nil {
		return err
	}
	if r.made != nil {
		if err := r.made(x, b, row); err != nil {
			return err
		}
	}
	return r.answer(x, http.StatusCreated, string(row.M().ID))
}

// answer shows a row as it is now.
func (r *resource) answer(x *exchange, status int, target string) error {
	row, err := get(x, r.d, target)
	if err != nil {
		return err
	}
	v, err := r.view(x, row)
	if err != nil {
		return err
	}
	wire.Write(x.W, status, map[string]any{r.singular: v, "request_id": front.From(x.R.Context()).RequestID})
	return nil
}

// find reads the row that the path names.
func (r *resource) find(x *exchange) (kind.AnyRow, error) {
	row, err := get(x, r.d, x.Param(r.param))
	if err == nil && r.in != nil && !r.in(x, row) {
		err = fail.New(fail.NotFound, "there is no %s %s here", r.d.Name, x.Param(r.param))
	}
	return row, err
}

func (r *resource) show(x *exchange) error {
	row, err := r.find(x)
	if err != nil {
		return err
	}
	return r.answer(x, http.StatusOK, string(row.M().ID))
}

func (r *resource) update(x *exchange) error {
	b, err := body(x, r.singular)
	if err != nil {
		return err
	}
	row, err := r.find(x)
	if err != nil {
		return err
	}
	if _, err := do(x, r.d, call.Update, string(row.M().ID), func(c *call.Call) error { return r.write(x, b, row, c) }); err != nil {
		return err
	}
	return r.answer(x, http.StatusOK, string(row.M().ID))
}

func (r *resource) remove(x *exchange) error {
	row, err := r.find(x)
	if err != nil {
		return err
	}
	if r.leave != nil {
		c := x.Call
		if _, _, err := x.API.Door.Permit(x.R.Context(), &c, r.d, call.Delete, row.M().Name); err != nil {
			return err
		}
		if err := r.leave(x, row); err != nil {
			return err
		}
	}
	if _, err := do(x, r.d, call.Delete, string(row.M().ID), nil); err != nil {
		return err
	}
	return x.NoContent()
}

// rows lists what fits.
func rows(x *exchange, k *kind.Def, f kind.Filter) (out []kind.AnyRow, err error) {
	f.Limit = call.MaxPage
	for {
		c := x.Call
		c.Kind, c.Verb, c.Filter = k, call.List, f
		r, err := x.API.Door.Do(x.R.Context(), &c)
		if err != nil {
			return nil, err
		}
		if out = append(out, r.Rows...); r.Next == "" {
			return out, nil
		}
		f.After = r.Next
	}
}

// under gives the ids of rows that an index holds under an id, as ELB shows them.
func under(x *exchange, k *kind.Def, index, value string) ([]any, error) {
	found, err := rows(x, k, kind.Filter{Index: index, Value: value})
	out := []any{}
	for _, r := range found {
		out = append(out, map[string]any{"id": r.M().ID})
	}
	return out, err
}

// list answers with those whose fields have the values that the query asks for, as far as limit and marker go.
func (r *resource) list(x *exchange) error {
	f := kind.Filter{}
	if r.within != nil {
		var err error
		if f, err = r.within(x); err != nil {
			return err
		}
	}
	found, err := rows(x, r.d, f)
	if err != nil {
		return err
	}
	q := x.R.URL.Query()
	limit, err := x.Number("limit", 0, 0, 2000)
	if err != nil {
		return err
	}
	if limit == 0 {
		limit = 2000
	}
	items, marker, next := []any{}, q.Get("marker"), ""
	for _, row := range found {
		if marker != "" && string(row.M().ID) <= marker {
			continue
		}
		v, err := r.view(x, row)
		if err != nil {
			return err
		}
		if !matches(v, q) {
			continue
		}
		if len(items) == limit {
			next = fmt.Sprint(items[limit-1].(map[string]any)["id"])
			break
		}
		items = append(items, v)
	}
	info := map[string]any{"current_count": len(items)}
	if next != "" {
		info["next_marker"] = next
	}
	if marker != "" && len(items) > 0 {
		info["previous_marker"] = items[0].(map[string]any)["id"]
	}
	wire.Write(x.W, http.StatusOK, map[string]any{r.plural: items, "page_info": info, "request_id": front.From(x.R.Context()).RequestID})
	return nil
}

// matches compares a view's plain fields with the query's parameters of the same names: one of the values must fit.
func matches(v map[string]any, q map[string][]string) bool {
	for name, want := range q {
		have, ok := v[name]
		if _, list := have.([]any); !ok || list || have == nil {
			continue
		}
		if !slices.Contains(want, fmt.Sprint(have)) {
			return false
		}
	}
	return true
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }

// common is what every resource shows.
func common(r kind.AnyRow) map[string]any {
	m := r.M()
	status := "ACTIVE"
	switch {
	case m.State == kind.Deleting:
		status = "PENDING_DELETE"
	case m.State == kind.Failed:
		status = "ERROR"
	case m.State == kind.Creating:
		status = "PENDING_CREATE"
	case m.Job != "":
		status = "PENDING_UPDATE"
	}
	ep := string(m.EnterpriseProject)
	if ep == "" {
		ep = ident.DefaultEnterprise
	}
	name := m.Name
	if name == string(m.ID) { // none was given
		name = ""
	}
	return map[string]any{"id": m.ID, "name": name, "project_id": m.Project, "enterprise_project_id": ep, "provisioning_status": status,
		"created_at": stamp(m.Created), "updated_at": stamp(m.Updated), "admin_state_up": true}
}

// words is what bodies have in common.
type words struct {
	Name        *string     `json:"name"`
	Description *string     `json:"description"`
	Up          *bool       `json:"admin_state_up"`
	Enterprise  *string     `json:"enterprise_project_id"`
	Tags        *[]rest.Tag `json:"tags"`
}

// apply puts them into a call and its spec.
func (w *words) apply(c *call.Call, s wire.Spec) {
	wire.Set(s, "description", w.Description)
	wire.Not(s, "disabled", w.Up)
	switch {
	case w.Name != nil && *w.Name != "":
		c.Name = w.Name
	case w.Name != nil && c.Verb == call.Update: // taken away
		c.Name = &c.Target
	}
	if w.Enterprise != nil && *w.Enterprise != "" && c.Verb == call.Create {
		c.EnterpriseProject = w.Enterprise
	}
	if w.Tags != nil {
		tags := rest.TagMap(*w.Tags)
		c.Tags = &tags
	}
}

// seconds puts a number of seconds as a span.
func seconds(s wire.Spec, name string, n *int) {
	if n != nil {
		s[name] = (time.Duration(*n) * time.Second).String()
	}
}

// refuse names what this cloud does not do, where it is asked for.
func refuse(field string, asked bool) error {
	if !asked {
		return nil
	}
	return &fail.Error{Kind: fail.Unsupported, Field: field, Message: "this cloud's load balancers do not do this", Next: "leave it out"}
}

func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func on(b *bool) bool { return b != nil && *b }
