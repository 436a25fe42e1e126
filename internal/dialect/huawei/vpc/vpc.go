// Package vpc serves Huawei Cloud's VPC API (https://support.huaweicloud.com/intl/en-us/api-vpc/): versions 1, 2.0 and 3, over
// service/network: a VPC is one, a subnet is one and its id is that of the network, route tables are the one that a VPC has.
// Public addresses and bandwidths, which clients reach at the same address, are in dialect/huawei/eip, NAT gateways in
// dialect/huawei/nat.
// It may import the kernel, service/network and dialect/{front,huawei/{eip,nat,networks},wire}.
package vpc

import (
	"maps"
	"net/http"
	"slices"

	"github.com/awancloud/awan/internal/dialect/front"
	"github.com/awancloud/awan/internal/dialect/huawei/eip"
	"github.com/awancloud/awan/internal/dialect/huawei/nat"
	"github.com/awancloud/awan/internal/dialect/huawei/networks"
	"github.com/awancloud/awan/internal/dialect/huawei/rest"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/service/network"
)

// Options are what the API stands on.
type Options struct {
	wire.Options
	Network *network.Service
	// More are routes of other APIs that clients reach at the same address.
	More []wire.Route
}

// API serves the routes.
type API struct {
	*wire.API
	n *network.Service
}

// New makes the API.
func New(o Options) *API {
	o.Dialect, o.Fail, o.Options.Enter = "huawei", networks.Fail, rest.Enter
	a := &API{API: wire.New(o.Options), n: o.Network}
	for _, rs := range [][]wire.Route{a.vpcRoutes(), a.subnetRoutes(), a.portRoutes(), a.groupRoutes(), a.ruleRoutes(), a.addressGroupRoutes(), a.peeringRoutes(),
		a.tableRoutes(), a.quotaRoutes(), a.flowLogRoutes(), networks.TagRoutes(a.n.VPC, "vpcs"), networks.TagRoutes(a.n.Subnet, "subnets"),
		networks.TagRoutes(a.n.Group, "security-groups"), eip.Routes(a.n), nat.Routes(a.n), o.More} {
		for _, r := range rs {
			a.Add(r)
		}
	}
	return a
}

// Service is the API behind the listener.
func (a *API) Service() front.Service {
	s := a.ServiceNamed("vpc")
	s.Aliases = []string{"eip", "nat"}
	return s
}

type (
	vpcRow    = kind.Row[network.VPCSpec, network.VPCStatus]
	subnetRow = kind.Row[network.SubnetSpec, network.SubnetStatus]
	portRow   = kind.Row[network.PortSpec, network.PortStatus]
	groupRow  = kind.Row[network.GroupSpec, network.GroupStatus]
	ruleRow   = kind.Row[network.RuleSpec, network.RuleStatus]
)

func (a *API) vpcRoutes() []wire.Route {
	k, v1, v3 := a.n.VPC.D, "/v1/{project_id}/vpcs", "/v3/{project_id}/vpc/vpcs"
	out := []wire.Route{
		{Method: "PUT", Path: v3 + "/{vpc_id}/add-extend-cidr", Kind: k, Verb: call.Update, Do: a.addRanges},
		{Method: "PUT", Path: v3 + "/{vpc_id}/remove-extend-cidr", Kind: k, Verb: call.Update, Do: a.removeRanges},
	}
	for _, p := range []string{v1, v3} {
		create := a.createVPC(http.StatusOK)
		if p == v3 {
			create = a.createVPC(http.StatusCreated)
		}
		out = append(out, wire.Route{Method: "POST", Path: p, Kind: k, Verb: call.Create, Do: create},
			wire.Route{Method: "GET", Path: p, Kind: k, Verb: call.List, Do: a.listVPCs},
			wire.Route{Method: "GET", Path: p + "/{vpc_id}", Kind: k, Verb: call.Get, Do: a.showVPC},
			wire.Route{Method: "PUT", Path: p + "/{vpc_id}", Kind: k, Verb: call.Update, Do: a.updateVPC},
			wire.Route{Method: "DELETE", Path: p + "/{vpc_id}", Kind: k, Verb: call.Delete, Do: func(x *wire.Exchange) error { return networks.Delete(x, k, x.Param("vpc_id")) }})
	}
	return out
}

func (a *API) vpcView(x *wire.Exchange, r *vpcRow) any {
	out := map[string]any{"id": rest.ID(r.ID), "name": rest.NameOf(&r.Meta), "description": r.Spec.Description, "cidr": r.Spec.CIDR, "enterprise_project_id": rest.Enterprise(&r.Meta)}
	if isV3(x) {
		out["status"], out["extend_cidrs"], out["project_id"], out["tags"] = "ACTIVE", list(r.Spec.ExtendCIDRs), r.Project, rest.Tags(r.Tags)
		out["created_at"], out["updated_at"], out["cloud_resources"] = networks.Stamp(r.Created), networks.Stamp(r.Updated), []any{}
		return out
	}
	routes := []map[string]string{}
	for _, rt := range r.Spec.Routes {
		routes = append(routes, map[string]string{"destination": rt.Destination, "nexthop": a.hopOf(x, rt)})
	}
	out["status"], out["routes"], out["tenant_id"], out["enable_shared_snat"], out["enhanced_local_route"] = "OK", routes, r.Project, r.Spec.Internet, true
	out["created_at"], out["updated_at"] = networks.PlainT(r.Created), networks.PlainT(r.Updated)
	return out
}

func isV3(x *wire.Exchange) bool { return len(x.R.URL.Path) > 3 && x.R.URL.Path[:4] == "/v3/" }

func list(l []string) []string {
	if l == nil {
		return []string{}
	}
	return l
}

type vpcBody struct {
	Name        *string       `json:"name"`
	Description *string       `json:"description"`
	CIDR        *string       `json:"cidr"`
	Enterprise  string        `json:"enterprise_project_id"`
	Shared      *bool         `json:"enable_shared_snat"`
	Routes      *[]plainRoute `json:"routes"`
	Tags        *[]rest.Tag   `json:"tags"`
}

type plainRoute struct {
	Destination string `json:"destination"`
	NextHop     string `json:"nexthop"`
}

func (b *vpcBody) spec() wire.Spec {
	s := wire.Spec{}
	wire.Set(s, "description", b.Description)
	wire.Set(s, "cidr", b.CIDR)
	wire.Set(s, "internet", b.Shared)
	if b.Routes != nil {
		routes := []network.Route{}
		for _, r := range *b.Routes {
			routes = append(routes, network.Route{Destination: r.Destination, Address: r.NextHop})
		}
		s["routes"] = routes
	}
	return s
}

func (a *API) createVPC(status int) func(*wire.Exchange) error {
	return func(x *wire.Exchange) error {
		var b vpcBody
		if err := networks.Body(x, "vpc", &b); err != nil {
			return err
		}
		name := ""
		if b.Name != nil {
			name = *b.Name
		}
		r, err := x.Do(a.n.VPC.D, call.Create, "", func(c *call.Call) {
			c.Name, c.Spec = &name, b.spec().JSON()
			if b.Enterprise != "" {
				c.EnterpriseProject = &b.Enterprise
			}
			c.Tags = tagMap(b.Tags)
		})
		if err != nil {
			return err
		}
		return networks.One(x, status, "vpc", a.vpcView(x, r.(*vpcRow)))
	}
}

func tagMap(tags *[]rest.Tag) *map[string]string {
	if tags == nil {
		return nil
	}
	out := rest.TagMap(*tags)
	return &out
}

func (a *API) listVPCs(x *wire.Exchange) error {
	return networks.List(x, a.n.VPC, "vpcs", kind.Filter{}, func(r *vpcRow) bool {
		return networks.Same(x, "cidr", r.Spec.CIDR) && networks.Same(x, "description", r.Spec.Description)
	}, func(r *vpcRow) any { return a.vpcView(x, r) })
}

func (a *API) showVPC(x *wire.Exchange) error {
	r, err := wire.Get(x, a.n.VPC, x.Param("vpc_id"))
	if err != nil {
		return err
	}
	return networks.One(x, http.StatusOK, "vpc", a.vpcView(x, r))
}

func (a *API) updateVPC(x *wire.Exchange) error {
	var b vpcBody
	if err := networks.Body(x, "vpc", &b); err != nil {
		return err
	}
	if b.CIDR != nil && *b.CIDR == "" {
		b.CIDR = nil
	}
	r, err := networks.Update(x, a.n.VPC.D, x.Param("vpc_id"), b.Name, b.spec())
	if err != nil {
		return err
	}
	return networks.One(x, http.StatusOK, "vpc", a.vpcView(x, r.(*vpcRow)))
}

func (a *API) addRanges(x *wire.Exchange) error {
	return a.changeRanges(x, func(now, named []string) []string { return append(now, named...) })
}

func (a *API) removeRanges(x *wire.Exchange) error {
	return a.changeRanges(x, func(now, named []string) []string {
		var left []string
		for _, c := range now {
			if !slices.Contains(named, c) {
				left = append(left, c)
			}
		}
		return left
	})
}

func (a *API) changeRanges(x *wire.Exchange, f func(now, named []string) []string) error {
	var b struct {
		Ranges []string `json:"extend_cidrs"`
	}
	if err := networks.Body(x, "vpc", &b); err != nil {
		return err
	}
	r, err := a.changeVPC(x, x.Param("vpc_id"), func(sp *network.VPCSpec) (wire.Spec, error) {
		return wire.Spec{"extend_cidrs": list(f(sp.ExtendCIDRs, b.Ranges))}, nil
	})
	if err != nil {
		return err
	}
	return networks.One(x, http.StatusOK, "vpc", a.vpcView(x, r))
}

// changeVPC changes a VPC by what it is now, as long as nobody else does at the same time.
func (a *API) changeVPC(x *wire.Exchange, target string, f func(*network.VPCSpec) (wire.Spec, error)) (*vpcRow, error) {
	for try := 0; ; try++ {
		r, err := wire.Get(x, a.n.VPC, target)
		if err != nil {
			return nil, err
		}
		spec, err := f(&r.Spec)
		if err != nil {
			return nil, err
		}
		now, err := x.Do(a.n.VPC.D, call.Update, target, func(c *call.Call) { c.Spec, c.IfRevision = spec.JSON(), r.Revision })
		if err == nil {
			return now.(*vpcRow), nil
		}
		if !fail.Is(err, fail.Conflict) || try == 20 {
			return nil, err
		}
	}
}

func (a *API) quotaRoutes() []wire.Route {
	return []wire.Route{{Method: "GET", Path: "/v1/{project_id}/quotas", Kind: a.n.VPC.D, Verb: call.List, Do: a.quotas},
		{Method: "GET", Path: "/v3/{project_id}/vpc/quotas", Kind: a.n.VPC.D, Verb: call.List, Do: a.quotas}}
}

// quotaNames are the API's names for what is counted.
var quotaNames = map[string]string{"vpc": "network.vpcs", "subnet": "network.subnets", "securityGroup": "network.security-groups", "securityGroupRule": "network.security-rules",
	"publicIp": "network.public-ips", "vpcPeer": "network.peerings", "address_group": "network.address-groups", "shareBandwidth": "network.bandwidths", "flow_log": "network.flow-logs"}

func (a *API) quotas(x *wire.Exchange) error {
	c := x.Call
	all, err := a.Door.Quotas(x.R.Context(), &c)
	if err != nil {
		return err
	}
	items := []any{}
	for _, typ := range slices.Sorted(maps.Keys(quotaNames)) {
		for _, q := range all {
			if string(q.Dim) == quotaNames[typ] && networks.Same(x, "type", typ) {
				items = append(items, map[string]any{"type": typ, "used": q.Used, "quota": q.Limit, "min": 0})
			}
		}
	}
	return networks.One(x, http.StatusOK, "quotas", map[string]any{"resources": items})
}
