package neutron

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/awancloud/awan/internal/dialect/openstack/rest"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/ledger"
)

// discovery tells which versions there are.
func (a *API) discovery() []wire.Route {
	return []wire.Route{
		{Method: "GET", Path: "/", Open: true, Do: a.versions},
		{Method: "GET", Path: "/v2.0", Open: true, Do: a.version},
		{Method: "GET", Path: "/v2.0/", Open: true, Do: a.version},
	}
}

func (a *API) versions(x *wire.Exchange) error {
	wire.Write(x.W, http.StatusOK, map[string]any{"versions": []any{map[string]any{"id": "v2.0", "status": "CURRENT",
		"links": []any{map[string]string{"rel": "self", "href": a.Base(x.R) + "/v2.0/"}}}}})
	return nil
}

func (a *API) version(x *wire.Exchange) error {
	var out []any
	for _, r := range []string{"network", "subnet", "port", "router", "floatingip", "security-group", "security-group-rule", "address-group"} {
		out = append(out, map[string]any{"name": r, "collection": r + "s", "links": []any{map[string]string{"rel": "self", "href": a.Base(x.R) + "/v2.0/" + r + "s"}}})
	}
	wire.Write(x.W, http.StatusOK, map[string]any{"resources": out})
	return nil
}

// extensions are those of Neutron's that this API has.
var extensions = map[string]string{"router": "Neutron L3 Router", "extraroute": "Neutron Extra Route", "extraroute-atomic": "Atomically add/remove extra routes", "external-net": "Neutron external network",
	"security-group": "security-group", "security-groups-remote-address-group": "Remote address group of security group rules", "address-group": "Address group", "port-security": "Port Security",
	"allowed-address-pairs": "Allowed Address Pairs", "net-mtu": "Network MTU", "net-mtu-writable": "Network MTU (writable)", "project-id": "project_id field enabled", "quotas": "Quota management support",
	"quota_details": "Quota details management support", "standard-attr-description": "standard-attr-description", "standard-attr-timestamp": "Resource timestamps", "standard-attr-revisions": "Resource revision numbers",
	"standard-attr-tag": "Tag support for resources", "availability_zone": "Availability Zone", "network_availability_zone": "Network Availability Zone", "router_availability_zone": "Router Availability Zone",
	"dns-integration": "DNS Integration", "subnet_allocation": "Subnet Allocation", "binding": "Port Binding", "pagination": "Pagination support", "sorting": "Sorting support", "fip-port-details": "Floating IP Port Details Extension",
	"ip-substring-filtering": "IP address substring filtering", "agent": "agent", "ext-gw-mode": "Neutron L3 Configurable external gateway mode", "network-ip-availability": "Network IP Availability"}

func (a *API) aboutRoutes() []wire.Route {
	k, q := a.n.VPC.D, "/v2.0/quotas"
	return []wire.Route{
		{Method: "GET", Path: "/v2.0/extensions", Do: a.listExtensions},
		{Method: "GET", Path: "/v2.0/extensions/{alias}", Do: a.showExtension},
		{Method: "GET", Path: "/v2.0/availability_zones", Do: a.zones},
		{Method: "GET", Path: "/v2.0/agents", Do: empty("agents")},
		{Method: "GET", Path: "/v2.0/subnetpools", Do: empty("subnetpools")},
		{Method: "GET", Path: "/v2.0/rbac-policies", Do: empty("rbac_policies")},
		{Method: "GET", Path: "/v2.0/service-providers", Do: empty("service_providers")},
		{Method: "GET", Path: q, Kind: k, Verb: call.List, Do: a.listQuotas},
		{Method: "GET", Path: q + "/{project_id}", Kind: k, Verb: call.List, Do: a.showQuota},
		{Method: "GET", Path: q + "/{project_id}/default", Kind: k, Verb: call.List, Do: a.defaultQuota},
		{Method: "GET", Path: q + "/{project_id}/details.json", Kind: k, Verb: call.List, Do: a.detailQuota},
		{Method: "GET", Path: q + "/{project_id}/details", Kind: k, Verb: call.List, Do: a.detailQuota},
		{Method: "PUT", Path: q + "/{project_id}", Kind: k, Verb: call.Update, Do: a.setQuota},
		{Method: "DELETE", Path: q + "/{project_id}", Kind: k, Verb: call.Update, Do: a.resetQuota},
	}
}

func (a *API) extension(alias string) map[string]any {
	return map[string]any{"alias": alias, "name": extensions[alias], "description": extensions[alias], "links": []any{}, "updated": "2024-01-01T00:00:00-00:00"}
}

func (a *API) listExtensions(x *wire.Exchange) error {
	var items []map[string]any
	for _, alias := range slices.Sorted(maps.Keys(extensions)) {
		items = append(items, a.extension(alias))
	}
	return list(x, "extensions", items)
}

func (a *API) showExtension(x *wire.Exchange) error {
	if _, there := extensions[x.Param("alias")]; !there {
		return fail.New(fail.NotFound, "there is no extension %q", x.Param("alias"))
	}
	return one(x, http.StatusOK, "extension", a.extension(x.Param("alias")))
}

func (a *API) zones(x *wire.Exchange) error {
	return list(x, "availability_zones", []map[string]any{{"name": a.n.Zone, "state": "available", "resource": "network"}, {"name": a.n.Zone, "state": "available", "resource": "router"}})
}

// empty answers a list of what this cloud has none of.
func empty(plural string) func(*wire.Exchange) error {
	return func(x *wire.Exchange) error {
		wire.Write(x.W, http.StatusOK, map[string]any{plural: []any{}})
		return nil
	}
}

// quotas are Neutron's words. A network is one of our subnets, so both words have one number: the smaller, where a request says two.
var quotas = rest.Quotas{Dims: map[string]ledger.Dim{"network": "network.subnets", "subnet": "network.subnets", "port": "network.ports", "router": "network.vpcs", "floatingip": "network.public-ips",
	"security_group": "network.security-groups", "security_group_rule": "network.security-rules", "address_group": "network.address-groups"},
	Fixed: map[string]int64{"rbac_policy": -1, "subnetpool": -1, "trunk": -1}}

func (a *API) quota(x *wire.Exchange, limits map[string]any, err error) error {
	if err != nil {
		return err
	}
	wire.Write(x.W, http.StatusOK, map[string]any{"quota": limits})
	return nil
}

func (a *API) listQuotas(x *wire.Exchange) error {
	limits, err := quotas.Limits(x, "")
	if err != nil {
		return err
	}
	limits["tenant_id"], limits["project_id"] = x.Who.Project, x.Who.Project
	wire.Write(x.W, http.StatusOK, map[string]any{"quotas": []any{limits}})
	return nil
}

func (a *API) showQuota(x *wire.Exchange) error {
	limits, err := quotas.Limits(x, x.Param("project_id"))
	return a.quota(x, limits, err)
}

func (a *API) defaultQuota(x *wire.Exchange) error {
	_, err := quotas.Of(x, x.Param("project_id"))
	return a.quota(x, quotas.Defaults(x), err)
}

func (a *API) detailQuota(x *wire.Exchange) error {
	limits, err := quotas.Detail(x, x.Param("project_id"), "used")
	return a.quota(x, limits, err)
}

// setQuota is for operators. Limits below what is used are refused where check_limit asks for that.
func (a *API) setQuota(x *wire.Exchange) error {
	if err := quotas.May(x, x.Param("project_id")); err != nil {
		return err
	}
	var b map[string]json.RawMessage
	if err := read(x, "quota", &b); err != nil {
		return err
	}
	if err := quotas.Set(x, x.Param("project_id"), "quota", b, string(b["check_limit"]) != "true"); err != nil {
		return err
	}
	return a.showQuota(x)
}

func (a *API) resetQuota(x *wire.Exchange) error {
	if err := quotas.Drop(x, x.Param("project_id")); err != nil {
		return err
	}
	return x.NoContent()
}

// taggable are the collections whose members have tags.
func (a *API) taggable() map[string]*kind.Def {
	return map[string]*kind.Def{"networks": a.n.Subnet.D, "ports": a.n.Port.D, "routers": a.n.VPC.D, "floatingips": a.n.PublicIP.D, "security-groups": a.n.Group.D, "security_groups": a.n.Group.D}
}

func (a *API) tagRoutes() []wire.Route {
	var out []wire.Route
	for _, what := range slices.Sorted(maps.Keys(a.taggable())) {
		t := tags{a.taggable()[what]}
		p := "/v2.0/" + what + "/{resource_id}/tags"
		out = append(out, wire.Route{Method: "GET", Path: p, Kind: t.k, Verb: call.Get, Do: t.list},
			wire.Route{Method: "PUT", Path: p, Kind: t.k, Verb: call.Update, Do: t.replace},
			wire.Route{Method: "DELETE", Path: p, Kind: t.k, Verb: call.Update, Do: t.clear},
			wire.Route{Method: "GET", Path: p + "/{key}", Kind: t.k, Verb: call.Get, Do: t.show},
			wire.Route{Method: "PUT", Path: p + "/{key}", Kind: t.k, Verb: call.Update, Do: t.add},
			wire.Route{Method: "DELETE", Path: p + "/{key}", Kind: t.k, Verb: call.Update, Do: t.remove})
	}
	return out
}

type tags struct{ k *kind.Def }

func (t tags) row(x *wire.Exchange) (*kind.Meta, error) {
	r, err := x.Do(t.k, call.Get, x.Param("resource_id"), nil)
	if err != nil {
		return nil, err
	}
	return r.M(), nil
}

func (t tags) list(x *wire.Exchange) error {
	m, err := t.row(x)
	if err != nil {
		return err
	}
	wire.Write(x.W, http.StatusOK, map[string]any{"tags": rest.Tags(m)})
	return nil
}

func (t tags) show(x *wire.Exchange) error {
	m, err := t.row(x)
	if err != nil {
		return err
	}
	if !slices.Contains(rest.Tags(m), x.Param("key")) {
		return fail.New(fail.NotFound, "there is no tag %q", x.Param("key"))
	}
	return x.NoContent()
}

// change edits the tags of a row, as long as nobody else does at the same time.
func (t tags) change(x *wire.Exchange, status int, f func(map[string]string) error) error {
	for try := 0; ; try++ {
		m, err := t.row(x)
		if err != nil {
			return err
		}
		now := maps.Clone(m.Tags)
		if now == nil {
			now = map[string]string{}
		}
		ferr := f(now)
		r, err := x.Do(t.k, call.Update, string(m.ID), func(c *call.Call) { c.Tags, c.IfRevision, c.DryRun = &now, m.Revision, ferr != nil })
		if err == nil && ferr != nil {
			return ferr
		}
		if err == nil {
			if status == http.StatusOK {
				wire.Write(x.W, status, map[string]any{"tags": rest.Tags(r.M())})
				return nil
			}
			x.W.WriteHeader(status)
			return nil
		}
		if !fail.Is(err, fail.Conflict) || try == 9 {
			return err
		}
	}
}

// put reads "key" or "key=value", as rest.Tags prints them.
func put(now map[string]string, tag string) {
	k, v, _ := strings.Cut(tag, "=")
	now[k] = v
}

func (t tags) replace(x *wire.Exchange) error {
	var b struct {
		Tags []string `json:"tags"`
	}
	if err := read(x, "", &b); err != nil {
		return err
	}
	return t.change(x, http.StatusOK, func(now map[string]string) error {
		clear(now)
		for _, tag := range b.Tags {
			put(now, tag)
		}
		return nil
	})
}

func (t tags) clear(x *wire.Exchange) error {
	return t.change(x, http.StatusNoContent, func(now map[string]string) error { clear(now); return nil })
}

func (t tags) add(x *wire.Exchange) error {
	return t.change(x, http.StatusCreated, func(now map[string]string) error { put(now, x.Param("key")); return nil })
}

func (t tags) remove(x *wire.Exchange) error {
	return t.change(x, http.StatusNoContent, func(now map[string]string) error {
		k, _, _ := strings.Cut(x.Param("key"), "=")
		if _, there := now[k]; !there {
			return fail.New(fail.NotFound, "there is no tag %q", x.Param("key"))
		}
		delete(now, k)
		return nil
	})
}
