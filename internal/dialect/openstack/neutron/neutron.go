// Package neutron serves OpenStack's network API v2.0 (https://docs.openstack.org/api-ref/network/v2/) over service/network.
//
// A router is a VPC. A network is a subnet of ours: one broadcast domain, with at most one IPv4 and one IPv6 subnet; one that
// no router joins is a network of its own. The pools of public addresses are external networks, and a router has a gateway
// there when its VPC reaches the outside. It may import the kernel, service/network and
// dialect/{front,wire,openstack/{rest,token}}.
package neutron

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/awancloud/awan/internal/dialect/front"
	"github.com/awancloud/awan/internal/dialect/openstack/rest"
	"github.com/awancloud/awan/internal/dialect/openstack/token"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/service/network"
)

// Options are what the API stands on.
type Options struct {
	wire.Options
	Network *network.Service
}

// API serves the routes.
type API struct {
	*wire.API
	n *network.Service
}

// New makes the API.
func New(o Options) *API {
	o.Dialect, o.Options.Enter, o.Fail = rest.Dialect, enter, Fail
	a := &API{API: wire.New(o.Options), n: o.Network}
	for _, r := range append(a.discovery(), a.Native()...) {
		a.Add(r)
	}
	return a
}

// Native are the routes without version discovery: Huawei's VPC API has them too.
func (a *API) Native() []wire.Route {
	return slices.Concat(a.networkRoutes(), a.subnetRoutes(), a.portRoutes(), a.routerRoutes(), a.groupRoutes(), a.floatingRoutes(), a.addressGroupRoutes(), a.tagRoutes(), a.aboutRoutes())
}

// Service is the API behind the listener, as "network" and "neutron".
func (a *API) Service() front.Service {
	s := a.ServiceNamed("network")
	s.Aliases = []string{"neutron"}
	s.Routes = slices.DeleteFunc(s.Routes, func(r string) bool { return r == "GET /" }) // the cloud's own address has other versions there
	return s
}

// CatalogEntry is the service in the catalog.
func CatalogEntry() token.CatalogEntry {
	return rest.Service{Name: "neutron", Prefix: "network", Type: "network"}.Entry()
}

// codes: where Neutron differs.
var codes = rest.Codes{fail.Quota: http.StatusConflict}

// types are Neutron's names of some failures; for the others it is the kind.
var types = map[fail.Kind]string{fail.Quota: "OverQuota", fail.NoSpace: "IpAddressGenerationFailure", fail.Denied: "PolicyNotAuthorized"}

// Fail writes an error. A change that was to hold for one revision only, and met another, has a status of its own.
func Fail(w http.ResponseWriter, r *http.Request, err error) {
	codes.Writer(func(w http.ResponseWriter, status int, e *fail.Error) {
		typ := cmp.Or(types[e.Kind], string(e.Kind))
		if e.Kind == fail.Conflict && r.Header.Get("If-Match") != "" {
			status, typ = http.StatusPreconditionFailed, "RevisionNumberConstraintFailed"
		}
		wire.Write(w, status, map[string]any{"NeutronError": map[string]string{"type": typ, "message": e.Public(), "detail": ""}})
	})(w, r, err)
}

// enter takes the project from the token, or from a query that names another.
func enter(x *wire.Exchange) error {
	if d := x.R.Header.Get("X-Domain-Id"); d != "" && d != string(x.Who.Domain) {
		x.Call.Domain = d
	}
	if p := x.R.Header.Get("X-Project-Id"); p != "" && x.Who.Project == "" {
		x.Call.Project = p
	}
	if x.Call.Project == "" && x.Who.Project == "" {
		x.Call.Project = x.API.Region
	}
	if n, ok := strings.CutPrefix(x.R.Header.Get("If-Match"), "revision_number="); ok {
		rev, err := strconv.ParseInt(strings.TrimSpace(n), 10, 64)
		if err != nil {
			return fail.Field("If-Match", "%q is not a revision", n)
		}
		x.Call.IfRevision = rev
	}
	return nil
}

type (
	vpcRow       = kind.Row[network.VPCSpec, network.VPCStatus]
	netRow       = kind.Row[network.SubnetSpec, network.SubnetStatus]
	portRow      = kind.Row[network.PortSpec, network.PortStatus]
	groupRow     = kind.Row[network.GroupSpec, network.GroupStatus]
	ruleRow      = kind.Row[network.RuleSpec, network.RuleStatus]
	publicRow    = kind.Row[network.PublicIPSpec, network.PublicIPStatus]
	addressesRow = kind.Row[network.AddressGroupSpec, network.AddressGroupStatus]
)

// fixed is the id of something that is no row, always the same.
func fixed(parts ...string) string {
	h := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return rest.ID(hex.EncodeToString(h[:16]))
}

// stamped is what every resource has.
func stamped(m *kind.Meta, v map[string]any) map[string]any {
	v["id"], v["name"] = rest.ID(m.ID), rest.NameOf(m)
	v["tenant_id"], v["project_id"] = string(m.Project), string(m.Project)
	v["created_at"], v["updated_at"], v["revision_number"] = stamp(m.Created), stamp(m.Updated), m.Revision
	v["tags"] = rest.Tags(m)
	return v
}

// stamp prints a time: text, for lists are sorted by it.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }

// null is nil for an empty text.
func null(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// maybe is a value that may be given, given as null, or not given.
type maybe[T any] struct {
	Given bool
	Null  bool
	V     T
}

// UnmarshalJSON notes that something was given.
func (m *maybe[T]) UnmarshalJSON(b []byte) error {
	m.Given = true
	if string(b) == "null" {
		m.Null = true
		return nil
	}
	return json.Unmarshal(b, &m.V)
}

// set puts a value that was given; null is the zero value.
func set[T any](s wire.Spec, name string, m maybe[T]) {
	if m.Given {
		s[name] = m.V
	}
}

// unsupported refuses attributes that are given with a value and that nothing here would act on.
func unsupported(body map[string]any, names ...string) error {
	for _, n := range names {
		switch v := body[n].(type) {
		case nil, bool:
			if v == true {
				return refuse(n)
			}
		case string:
			if v != "" {
				return refuse(n)
			}
		case []any:
			if len(v) > 0 {
				return refuse(n)
			}
		default:
			return refuse(n)
		}
	}
	return nil
}

func refuse(name string) error {
	e := fail.New(fail.Unsupported, "this cloud has no %s", name).Then("leave it out")
	e.Field = name
	return e
}

// inProject lets who may name another project than the token's in a body.
func inProject(x *wire.Exchange, project, tenant string) {
	if project == "" {
		project = tenant
	}
	if project != "" {
		x.Call.Project = project
	}
}

// list answers with those of items that the query asks for, as it asks for them: any attribute filters, sort_key sorts, fields
// choose, limit and marker page.
func list(x *wire.Exchange, plural string, items []map[string]any) error {
	q := x.Queries()
	var out []map[string]any
	for _, v := range items {
		if wanted(q, v) {
			out = append(out, v)
		}
	}
	sortBy(q["sort_key"], q["sort_dir"], out)
	if m := q.Get("marker"); m != "" {
		i := slices.IndexFunc(out, func(v map[string]any) bool { return same(v["id"], m) })
		out = out[i+1:]
	}
	limit, err := x.Number("limit", 0, 0, math.MaxInt)
	if err != nil {
		return err
	}
	answer := map[string]any{}
	if limit > 0 && len(out) > limit {
		out = out[:limit]
		next := x.R.URL.Query()
		next.Set("marker", fmt.Sprint(out[limit-1]["id"]))
		answer[plural+"_links"] = []any{map[string]string{"rel": "next", "href": x.API.Base(x.R) + x.R.URL.Path + "?" + next.Encode()}}
	}
	shown := []any{}
	for _, v := range out {
		shown = append(shown, chosen(q["fields"], v))
	}
	answer[plural] = shown
	wire.Write(x.W, http.StatusOK, answer)
	return nil
}

// one answers with one thing.
func one(x *wire.Exchange, status int, singular string, v map[string]any) error {
	wire.Write(x.W, status, map[string]any{singular: chosen(x.Queries()["fields"], v)})
	return nil
}

func chosen(fields []string, v map[string]any) map[string]any {
	if len(fields) == 0 {
		return v
	}
	out := map[string]any{}
	for _, f := range fields {
		if val, ok := v[f]; ok {
			out[f] = val
		}
	}
	return out
}

// aside are query parameters that are no attributes.
var aside = []string{"limit", "marker", "page_reverse", "sort_key", "sort_dir", "fields", "tags", "tags-any", "not-tags", "not-tags-any", "tenant_id", "project_id"}

// wanted tells whether a view has what the query asks for.
func wanted(q map[string][]string, v map[string]any) bool {
	for name, values := range q {
		if slices.Contains(aside, name) {
			continue
		}
		if name == "fixed_ips" {
			if !fixedWanted(values, v) {
				return false
			}
			continue
		}
		is, there := v[name]
		if !there {
			continue
		}
		if !slices.ContainsFunc(values, func(w string) bool { return same(is, w) }) {
			return false
		}
	}
	return tagsWanted(q, v)
}

// same compares an attribute with what a query says: ids in either form, booleans in any case, lists by their members.
func same(is any, want string) bool {
	switch v := is.(type) {
	case nil:
		return want == ""
	case string:
		a, ok := id.Parse(v)
		b, ok2 := id.Parse(want)
		return v == want || ok && ok2 && a == b
	case bool:
		return strings.EqualFold(fmt.Sprint(v), want)
	case []string:
		return slices.ContainsFunc(v, func(s string) bool { return same(s, want) })
	case []any, map[string]any:
		return true // structured attributes are not filtered by
	}
	return fmt.Sprint(is) == want
}

// fixedWanted reads fixed_ips=ip_address=A and fixed_ips=subnet_id=S.
func fixedWanted(values []string, v map[string]any) bool {
	have, _ := v["fixed_ips"].([]fixedIP)
	for _, want := range values {
		key, val, _ := strings.Cut(want, "=")
		if !slices.ContainsFunc(have, func(f fixedIP) bool {
			switch key {
			case "ip_address":
				return f.Address == val
			case "ip_address_substr":
				return strings.Contains(f.Address, val)
			case "subnet_id":
				return same(f.Subnet, val)
			}
			return true
		}) {
			return false
		}
	}
	return true
}

func tagsWanted(q map[string][]string, v map[string]any) bool {
	have, _ := v["tags"].([]string)
	split := func(name string) []string {
		var out []string
		for _, s := range q[name] {
			out = append(out, strings.Split(s, ",")...)
		}
		return out
	}
	has := func(t string) bool { return slices.Contains(have, t) }
	all, some, notAll, notAny := split("tags"), split("tags-any"), split("not-tags"), split("not-tags-any")
	missing := func(t string) bool { return !has(t) }
	return !slices.ContainsFunc(all, missing) && (len(some) == 0 || slices.ContainsFunc(some, has)) &&
		(len(notAll) == 0 || slices.ContainsFunc(notAll, missing)) && !slices.ContainsFunc(notAny, has)
}

func sortBy(keys, dirs []string, items []map[string]any) {
	for i := len(keys) - 1; i >= 0; i-- {
		desc := i < len(dirs) && dirs[i] == "desc"
		slices.SortStableFunc(items, func(a, b map[string]any) int {
			c := strings.Compare(fmt.Sprint(a[keys[i]]), fmt.Sprint(b[keys[i]]))
			if desc {
				return -c
			}
			return c
		})
	}
}

// remove deletes a row and answers 204.
func remove(k *kind.Def, param string) func(*wire.Exchange) error {
	return func(x *wire.Exchange) error { return destroy(x, k, x.Param(param)) }
}

// all reads every row of a kind that an index holds, of the project where none is named.
func all[S, T any](x *wire.Exchange, t kind.Table[S, T], index, value string) ([]*kind.Row[S, T], error) {
	rows, _, err := wire.Rows(x, t, "", kind.Filter{Index: index, Value: value})
	return rows, err
}

// read reads {singular: {…}} into v, or the bare object where singular is "". What is missing the kinds find, and what is not known is left
// alone.
func read(x *wire.Exchange, singular string, v any) error {
	o, err := rest.Read(x)
	if err != nil || len(o) == 0 {
		return err
	}
	raw := o[singular]
	if singular == "" {
		if raw, err = json.Marshal(o); err != nil {
			return err
		}
	}
	if raw == nil {
		return fail.Field(singular, "it is missing").Then("send {%q: {…}}", singular)
	}
	if err := json.Unmarshal(raw, v); err != nil {
		var te *json.UnmarshalTypeError
		if errors.As(err, &te) {
			return fail.Field(te.Field, "a JSON %s is not what is wanted here", te.Value)
		}
		return fail.From(err)
	}
	return nil
}

// body reads {singular: {…}} into v, and gives it as it came too.
func body(x *wire.Exchange, singular string, v any) (map[string]any, error) {
	plain := map[string]any{}
	var raw json.RawMessage
	if err := read(x, singular, &raw); err != nil || len(raw) == 0 {
		return plain, err
	}
	for _, to := range []any{v, &plain} {
		if err := json.Unmarshal(raw, to); err != nil {
			var te *json.UnmarshalTypeError
			if errors.As(err, &te) {
				return nil, fail.Field(te.Field, "a JSON %s is not what is wanted here", te.Value)
			}
			return nil, fail.Field(singular, "is not the JSON that is wanted here: %v", err)
		}
	}
	return plain, nil
}

// create sends a create of a row.
func create(x *wire.Exchange, k *kind.Def, name string, s wire.Spec) (kind.AnyRow, error) {
	return x.Do(k, call.Create, "", func(c *call.Call) { c.Name, c.Spec = &name, s.JSON() })
}

// destroy deletes a row and answers 204.
func destroy(x *wire.Exchange, k *kind.Def, target string) error {
	if _, err := x.Do(k, call.Delete, target, nil); err != nil {
		return err
	}
	return x.NoContent()
}

// changed sends a change of a row with a name that may be given.
func (a *API) changed(x *wire.Exchange, k *kind.Def, target string, name maybe[string], s wire.Spec) (kind.AnyRow, error) {
	return x.Do(k, call.Update, target, func(c *call.Call) {
		c.Spec = s.JSON()
		if name.Given {
			n := name.V
			if n == "" {
				n = target
				if i, ok := id.Parse(target); ok {
					n = string(i) // rows without a name are called by their id
				}
			}
			c.Name = &n
		}
	})
}

// ids prints ids.
func ids(list []string) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = rest.ID(s)
	}
	return out
}
