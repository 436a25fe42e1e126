package dns

import (
	"cmp"
	"net/http"
	"slices"
	"strings"

	"github.com/awancloud/awan/internal/dialect/huawei/rest"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/service/dns"
)

func (a *API) zoneRoutes() []route {
	k, all := a.dns.Zone.D, "/v2/zones"
	one := all + "/{zone_id}"
	return []route{
		{Method: "POST", Path: all, Kind: k, Verb: call.Create, Do: a.createZone},
		{Method: "GET", Path: all, Kind: k, Verb: call.List, Do: a.listZones},
		{Method: "GET", Path: one, Kind: k, Verb: call.Get, Do: a.showZone},
		{Method: "PATCH", Path: one, Kind: k, Verb: call.Update, Do: a.updateZone},
		{Method: "DELETE", Path: one, Kind: k, Verb: call.Delete, Do: a.deleteZone},
		{Method: "GET", Path: one + "/nameservers", Kind: k, Verb: call.Get, Do: a.zoneServers},
		{Method: "PUT", Path: one + "/statuses", Kind: k, Verb: call.Update, Do: a.setZoneStatus},
		{Method: "POST", Path: one + "/associaterouter", Kind: k, Verb: call.Update, Do: a.associate},
		{Method: "POST", Path: one + "/disassociaterouter", Kind: k, Verb: call.Update, Do: a.disassociate},
		{Method: "POST", Path: one + "/actions/set-proxy-pattern", Kind: k, Verb: call.Update, Do: a.setProxy},
	}
}

// router is a VPC on the wire.
type router struct {
	ID     string `json:"router_id"`
	Region string `json:"router_region,omitempty"`
	Status string `json:"status,omitempty"`
}

type zoneBody struct {
	Name        *string                        `json:"name"`
	Description *string                        `json:"description"`
	Type        *string                        `json:"zone_type"`
	Email       *string                        `json:"email"`
	TTL         *int                           `json:"ttl"`
	Router      *router                        `json:"router"`
	Proxy       *string                        `json:"proxy_pattern"`
	Status      *string                        `json:"status"`
	Tags        *[]struct{ Key, Value string } `json:"tags"`
	Enterprise  *string                        `json:"enterprise_project_id"`
}

// The two ways in which a private zone treats names that it lacks.
const (
	authority = "AUTHORITY"
	recursive = "RECURSIVE"
)

func proxy(p *string) (*bool, error) {
	if p == nil || *p == "" {
		return nil, nil
	}
	on := *p == recursive
	if !on && *p != authority {
		return nil, fail.Field("proxy_pattern", "%q is neither AUTHORITY nor RECURSIVE", *p)
	}
	return &on, nil
}

func (a *API) zoneView(r *zoneRow) map[string]any {
	v := map[string]any{"id": r.ID, "name": r.Name + ".", "description": r.Spec.Description, "email": r.Spec.Email, "zone_type": r.Spec.Type,
		"ttl": r.Spec.TTL, "serial": r.Status.Serial, "status": stateOf(&r.Meta, r.Spec.Disabled), "record_num": r.Status.Records, "pool_id": "",
		"project_id": r.Project, "created_at": stamp(r.Created), "updated_at": stamp(r.Updated), "masters": []string{}, "tags": rest.Tags(r.Tags),
		"enterprise_project_id": cmp.Or(string(r.EnterpriseProject), ident.DefaultEnterprise), "links": map[string]string{}}
	if r.Spec.Type == dns.Private {
		routers := []router{}
		for _, vpc := range r.Spec.VPCs {
			routers = append(routers, router{rest.ID(vpc), a.Region, "ACTIVE"})
		}
		v["routers"], v["proxy_pattern"] = routers, authority
		if len(routers) > 0 {
			v["router"] = routers[0]
		}
		if r.Spec.Recursive {
			v["proxy_pattern"] = recursive
		}
	}
	return v
}

// apply puts what the client sent into a call.
func (a *API) apply(b *zoneBody, c *call.Call) error {
	s := wire.Spec{}
	wire.Set(s, "type", b.Type)
	wire.Set(s, "description", b.Description)
	wire.Set(s, "email", b.Email)
	wire.Set(s, "ttl", b.TTL)
	on, err := proxy(b.Proxy)
	if err != nil {
		return err
	}
	wire.Set(s, "recursive", on)
	off, err := status(b.Status)
	if err != nil {
		return err
	}
	wire.Set(s, "disabled", off)
	if b.Router != nil && b.Router.ID != "" {
		if err := a.here(b.Router.Region); err != nil {
			return err
		}
		s["vpcs"] = []string{b.Router.ID}
	}
	if b.Tags != nil {
		tags := map[string]string{}
		for _, t := range *b.Tags {
			tags[t.Key] = t.Value
		}
		c.Tags = &tags
	}
	if b.Enterprise != nil && *b.Enterprise != "" {
		c.EnterpriseProject = b.Enterprise
	}
	c.Name, c.Spec = b.Name, s.JSON()
	return nil
}

// here refuses VPCs of other regions.
func (a *API) here(region string) error {
	if region != "" && region != a.Region {
		return fail.Field("router_region", "there is no region %q", region).Then("this cloud has one, %s", a.Region)
	}
	return nil
}

// writeZone creates or, with a target, changes a zone. What is wrong with the body is said after the question whether the
// caller may.
func (a *API) writeZone(x *exchange, verb, target string) error {
	var b zoneBody
	if err := body(x, &b); err != nil {
		return err
	}
	var wrong error
	r, err := do(x, a.dns.Zone.D, verb, target, func(c *call.Call) {
		if wrong = a.apply(&b, c); wrong != nil {
			c.DryRun = true
		}
	})
	if wrong != nil && !fail.Is(err, fail.Denied) && !fail.Is(err, fail.NotFound) {
		return wrong
	}
	if err != nil {
		return err
	}
	wire.Write(x.W, http.StatusAccepted, a.zoneView(r.(*zoneRow)))
	return nil
}

func (a *API) createZone(x *exchange) error { return a.writeZone(x, call.Create, "") }
func (a *API) updateZone(x *exchange) error { return a.writeZone(x, call.Update, x.Param("zone_id")) }

func (a *API) zone(x *exchange) (*zoneRow, error) {
	return wire.Get(x, a.dns.Zone, x.Param("zone_id"))
}

func (a *API) showZone(x *exchange) error {
	r, err := a.zone(x)
	if err != nil {
		return err
	}
	wire.Write(x.W, http.StatusOK, a.zoneView(r))
	return nil
}

func (a *API) deleteZone(x *exchange) error {
	r, err := do(x, a.dns.Zone.D, call.Delete, x.Param("zone_id"), nil)
	if err != nil {
		return err
	}
	v := map[string]any{}
	if r != nil {
		v = a.zoneView(r.(*zoneRow))
	}
	wire.Write(x.W, http.StatusAccepted, v)
	return nil
}

// listZones lists the public ones unless private ones are asked for, as DNS does.
func (a *API) listZones(x *exchange) error {
	f := kind.Filter{Index: "type", Value: cmp.Or(x.Query("type"), dns.Public), Enterprise: x.Query("enterprise_project_id"), Tags: tagsAsked(x)}
	if f.Value != dns.Public && f.Value != dns.Private {
		return fail.Field("type", "%q is neither public nor private", f.Value)
	}
	name := strings.TrimSuffix(x.Query("name"), ".")
	f.Where = func(r kind.AnyRow) bool {
		z := r.(*zoneRow)
		return matches(x, &z.Meta, name, stateOf(&z.Meta, z.Spec.Disabled)) && (x.Query("router_id") == "" || slices.Contains(rest.IDs(z.Spec.VPCs), rest.ID(x.Query("router_id"))))
	}
	rows, _, err := wire.Rows(x, a.dns.Zone, "", f)
	if err != nil {
		return err
	}
	order(x, rows, func(r *zoneRow) *kind.Meta { return &r.Meta })
	return page(x, "zones", rows, func(r *zoneRow) string { return string(r.ID) }, func(r *zoneRow) any { return a.zoneView(r) })
}

// matches tells whether a row fits the query: names as a part unless search_mode says equal.
func matches(x *exchange, m *kind.Meta, name, state string) bool {
	if x.Query("search_mode") == "equal" && name != "" && m.Name != name || !strings.Contains(m.Name, name) {
		return false
	}
	return (x.Query("id") == "" || x.Query("id") == string(m.ID)) && (x.Query("status") == "" || x.Query("status") == state)
}

// order sorts a list as sort_key and sort_dir say.
func order[R any](x *exchange, rows []R, m func(R) *kind.Meta) {
	switch x.Query("sort_key") {
	case "name":
		slices.SortStableFunc(rows, func(a, b R) int { return cmp.Compare(m(a).Name, m(b).Name) })
	case "updated_at":
		slices.SortStableFunc(rows, func(a, b R) int { return m(a).Updated.Compare(m(b).Updated) })
	}
	if x.Query("sort_key") != "" && strings.EqualFold(x.Query("sort_dir"), "desc") {
		slices.Reverse(rows)
	}
}

func (a *API) zoneServers(x *exchange) error {
	r, err := a.zone(x)
	if err != nil {
		return err
	}
	wire.Write(x.W, http.StatusOK, map[string]any{"nameservers": servers(r.Status.NameServers)})
	return nil
}

func servers(names []string) []any {
	out := []any{}
	for i, n := range names {
		out = append(out, map[string]any{"hostname": n, "priority": i + 1})
	}
	return out
}

func (a *API) setZoneStatus(x *exchange) error {
	var b zoneBody
	if err := body(x, &b); err != nil {
		return err
	}
	return a.change(x, func(r *zoneRow, s wire.Spec) error {
		off, err := status(b.Status)
		if off == nil && err == nil {
			err = fail.Field("status", "is required").Then("write ENABLE or DISABLE")
		}
		wire.Set(s, "disabled", off)
		return err
	}, a.zoneView)
}

func (a *API) setProxy(x *exchange) error {
	var b zoneBody
	if err := body(x, &b); err != nil {
		return err
	}
	return a.change(x, func(r *zoneRow, s wire.Spec) error {
		on, err := proxy(b.Proxy)
		if on == nil && err == nil {
			err = fail.Field("proxy_pattern", "is required").Then("write AUTHORITY or RECURSIVE")
		}
		wire.Set(s, "recursive", on)
		return err
	}, a.zoneView)
}

func (a *API) associate(x *exchange) error {
	return a.changeVPC(x, "PENDING_CREATE", func(vpcs []string, vpc string) ([]string, error) {
		if slices.Contains(vpcs, vpc) {
			return nil, fail.New(fail.Exists, "the zone is answered in VPC %s already", vpc)
		}
		return append(slices.Clone(vpcs), vpc), nil
	})
}

func (a *API) disassociate(x *exchange) error {
	return a.changeVPC(x, "PENDING_DELETE", func(vpcs []string, vpc string) ([]string, error) {
		if !slices.Contains(vpcs, vpc) {
			return nil, fail.New(fail.NotFound, "the zone is not answered in VPC %s", vpc)
		}
		return slices.DeleteFunc(slices.Clone(vpcs), func(v string) bool { return v == vpc }), nil
	})
}

func (a *API) changeVPC(x *exchange, word string, edit func(vpcs []string, vpc string) ([]string, error)) error {
	var b zoneBody
	if err := body(x, &b); err != nil {
		return err
	}
	return a.change(x, func(r *zoneRow, s wire.Spec) error {
		if b.Router == nil || b.Router.ID == "" {
			return fail.Field("router.router_id", "is required")
		}
		if err := a.here(b.Router.Region); err != nil {
			return err
		}
		vpcs, err := edit(rest.IDs(r.Spec.VPCs), rest.ID(b.Router.ID))
		s["vpcs"] = vpcs
		return err
	}, func(*zoneRow) map[string]any {
		return map[string]any{"router_id": rest.ID(b.Router.ID), "router_region": a.Region, "status": word}
	})
}

// change updates a zone from what it is now. Whoever may not change it learns nothing of what is wrong with the request.
func (a *API) change(x *exchange, edit func(*zoneRow, wire.Spec) error, view func(*zoneRow) map[string]any) error {
	r, err := a.zone(x)
	if err != nil {
		return err
	}
	c := x.Call
	if _, _, err := a.Door.Permit(x.R.Context(), &c, a.dns.Zone.D, call.Update, r.Name); err != nil {
		return err
	}
	s := wire.Spec{}
	if err := edit(r, s); err != nil {
		return err
	}
	row, err := do(x, a.dns.Zone.D, call.Update, string(r.ID), func(c *call.Call) { c.Spec, c.IfRevision = s.JSON(), r.Revision })
	if err != nil {
		return err
	}
	wire.Write(x.W, http.StatusAccepted, view(row.(*zoneRow)))
	return nil
}
