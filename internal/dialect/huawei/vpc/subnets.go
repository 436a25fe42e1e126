package vpc

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/awancloud/awan/internal/dialect/huawei/networks"
	"github.com/awancloud/awan/internal/dialect/huawei/rest"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/service/network"
)

func (a *API) subnetRoutes() []wire.Route {
	k, all, within, v3 := a.n.Subnet.D, "/v1/{project_id}/subnets", "/v1/{project_id}/vpcs/{vpc_id}/subnets/{subnet_id}", "/v3/{project_id}/vpc/virsubnets"
	return []wire.Route{
		{Method: "POST", Path: all, Kind: k, Verb: call.Create, Do: a.createSubnet},
		{Method: "GET", Path: all, Kind: k, Verb: call.List, Do: a.listSubnets},
		{Method: "GET", Path: all + "/{subnet_id}", Kind: k, Verb: call.Get, Do: a.showSubnet},
		{Method: "PUT", Path: within, Kind: k, Verb: call.Update, Do: a.updateSubnet},
		{Method: "DELETE", Path: within, Kind: k, Verb: call.Delete, Do: func(x *wire.Exchange) error { return networks.Delete(x, k, x.Param("subnet_id")) }},
		{Method: "GET", Path: v3, Kind: k, Verb: call.List, Do: a.listSubnets},
		{Method: "GET", Path: v3 + "/{subnet_id}", Kind: k, Verb: call.Get, Do: a.showSubnet},
		{Method: "GET", Path: "/v1/{project_id}/subnets/{subnet_id}/privateips", Kind: a.n.Port.D, Verb: call.List, Do: a.privateIPs},
	}
}

func (a *API) subnetView(x *wire.Exchange, r *subnetRow) any {
	sp, st := &r.Spec, &r.Status
	dns := append(list(sp.DNS), "", "")
	out := map[string]any{"id": rest.ID(r.ID), "name": rest.NameOf(&r.Meta), "description": sp.Description, "cidr": sp.CIDR, "gateway_ip": plain(sp.Gateway), "vpc_id": rest.ID(sp.VPC),
		"ipv6_enable": sp.IPv6, "cidr_v6": nilled(sp.CIDR6), "gateway_ip_v6": nilled(plain(sp.Gateway6)), "dhcp_enable": sp.DHCP, "primary_dns": dns[0], "secondary_dns": dns[1], "dnsList": list(sp.DNS),
		"availability_zone": sp.Zone, "status": "ACTIVE", "neutron_network_id": rest.ID(r.ID), "neutron_subnet_id": rest.ID(st.IPv4), "neutron_subnet_id_v6": rest.ID(st.IPv6),
		"extra_dhcp_opts": dhcpOptions(sp), "scope": "center", "tenant_id": r.Project, "created_at": networks.PlainT(r.Created), "updated_at": networks.PlainT(r.Updated)}
	if isV3(x) {
		out["project_id"], out["tags"], out["created_at"], out["updated_at"], out["enterprise_project_id"] = r.Project, rest.Tags(r.Tags), networks.Stamp(r.Created), networks.Stamp(r.Updated), rest.Enterprise(&r.Meta)
	}
	return out
}

// plain prints a gateway; one that there is not is empty.
func plain(gateway string) string {
	if gateway == "none" {
		return ""
	}
	return gateway
}

func nilled(s string) any {
	if s == "" {
		return nil
	}
	return s
}

type dhcpOption struct {
	Name  string  `json:"opt_name"`
	Value *string `json:"opt_value"`
}

func dhcpOptions(sp *network.SubnetSpec) []dhcpOption {
	out := []dhcpOption{}
	add := func(name, v string) { out = append(out, dhcpOption{name, &v}) }
	if len(sp.NTP) > 0 {
		add("ntp", strings.Join(sp.NTP, ","))
	}
	if hours := time.Duration(sp.Lease).Hours(); hours == float64(int(hours)) {
		add("addresstime", fmt.Sprintf("%dh", int(hours)))
	} else {
		add("addresstime", fmt.Sprint(int(time.Duration(sp.Lease).Seconds())))
	}
	if sp.Domain != "" {
		add("domainname", sp.Domain)
	}
	return out
}

// setOptions reads DHCP options; one without a value goes.
func setOptions(s wire.Spec, opts []dhcpOption) error {
	for _, o := range opts {
		v := ""
		if o.Value != nil {
			v = *o.Value
		}
		switch o.Name {
		case "ntp":
			s["ntp"] = splitList(v)
		case "domainname":
			s["domain"] = v
		case "addresstime", "ipv6_addresstime":
			if v == "" || o.Name == "ipv6_addresstime" { // IPv6 addresses are not leased: guests make their own
				continue
			}
			d, err := leaseOf(v)
			if err != nil {
				return err
			}
			s["lease"] = d.String()
		default:
			return fail.Field("extra_dhcp_opts", "%q is not known", o.Name).Then("use ntp, addresstime and domainname")
		}
	}
	return nil
}

// forever is what -1 stands for.
const forever = 87600 * time.Hour

// leaseOf reads "24h", seconds, or -1.
func leaseOf(v string) (time.Duration, error) {
	if v == "-1" {
		return forever, nil
	}
	if n, err := strconv.Atoi(v); err == nil {
		return time.Duration(n) * time.Second, nil
	}
	d, err := time.ParseDuration(v)
	if err != nil {
		return 0, fail.Field("extra_dhcp_opts", "%q is not a time to lease an address for", v).Then("write 24h, or -1 for ever")
	}
	return d, nil
}

func splitList(v string) []string {
	out := []string{}
	for s := range strings.SplitSeq(v, ",") {
		if s = strings.TrimSpace(s); s != "" {
			out = append(out, s)
		}
	}
	return out
}

type subnetBody struct {
	Name        *string      `json:"name"`
	Description *string      `json:"description"`
	CIDR        string       `json:"cidr"`
	Gateway     string       `json:"gateway_ip"`
	VPC         string       `json:"vpc_id"`
	IPv6        *bool        `json:"ipv6_enable"`
	DHCP        *bool        `json:"dhcp_enable"`
	Primary     *string      `json:"primary_dns"`
	Secondary   *string      `json:"secondary_dns"`
	DNS         *[]string    `json:"dnsList"`
	Zone        string       `json:"availability_zone"`
	Options     []dhcpOption `json:"extra_dhcp_opts"`
	Tags        *[]rest.Tag  `json:"tags"`
}

func (b *subnetBody) spec() (wire.Spec, error) {
	s := wire.Spec{}
	wire.Set(s, "description", b.Description)
	wire.Set(s, "ipv6", b.IPv6)
	wire.Set(s, "dhcp", b.DHCP)
	switch {
	case b.DNS != nil:
		s["dns"] = *b.DNS
	case b.Primary != nil || b.Secondary != nil:
		var dns []string
		for _, d := range []*string{b.Primary, b.Secondary} {
			if d != nil && *d != "" {
				dns = append(dns, *d)
			}
		}
		s["dns"] = list(dns)
	}
	return s, setOptions(s, b.Options)
}

func (a *API) createSubnet(x *wire.Exchange) error {
	var b subnetBody
	if err := networks.Body(x, "subnet", &b); err != nil {
		return err
	}
	s, err := b.spec()
	if err != nil {
		return err
	}
	s["cidr"], s["gateway"], s["vpc"], s["zone"] = b.CIDR, b.Gateway, b.VPC, b.Zone
	name := ""
	if b.Name != nil {
		name = *b.Name
	}
	r, err := x.Do(a.n.Subnet.D, call.Create, "", func(c *call.Call) { c.Name, c.Spec, c.Tags = &name, s.JSON(), tagMap(b.Tags) })
	if err != nil {
		return err
	}
	return networks.One(x, http.StatusOK, "subnet", a.subnetView(x, r.(*subnetRow)))
}

func subnetWord(x *wire.Exchange) string {
	if isV3(x) {
		return "virsubnet"
	}
	return "subnet"
}

func (a *API) listSubnets(x *wire.Exchange) error {
	return networks.List(x, a.n.Subnet, subnetWord(x)+"s", kind.Filter{}, func(r *subnetRow) bool {
		return networks.Same(x, "vpc_id", r.Spec.VPC) && networks.Same(x, "cidr", r.Spec.CIDR)
	}, func(r *subnetRow) any { return a.subnetView(x, r) })
}

func (a *API) showSubnet(x *wire.Exchange) error {
	r, err := wire.Get(x, a.n.Subnet, x.Param("subnet_id"))
	if err != nil {
		return err
	}
	return networks.One(x, http.StatusOK, subnetWord(x), a.subnetView(x, r))
}

func (a *API) updateSubnet(x *wire.Exchange) error {
	var b subnetBody
	if err := networks.Body(x, "subnet", &b); err != nil {
		return err
	}
	s, err := b.spec()
	if err != nil {
		return err
	}
	if b.IPv6 != nil && !*b.IPv6 {
		s["cidr6"] = ""
	}
	r, err := networks.Update(x, a.n.Subnet.D, x.Param("subnet_id"), b.Name, s)
	if err != nil {
		return err
	}
	return networks.One(x, http.StatusOK, "subnet", map[string]any{"id": rest.ID(r.M().ID), "status": "ACTIVE"})
}

// privateIPs lists the addresses of a subnet that are taken.
func (a *API) privateIPs(x *wire.Exchange) error {
	sub, _ := id.Parse(x.Param("subnet_id"))
	ports, _, err := wire.Rows(x, a.n.Port, "", kind.Filter{Index: "subnet", Value: string(sub)})
	if err != nil {
		return err
	}
	items := []any{}
	for _, p := range ports {
		for _, at := range p.Status.Addresses {
			items = append(items, map[string]any{"id": rest.ID(p.ID), "status": portStatus(p), "subnet_id": rest.ID(p.Spec.Subnet), "tenant_id": p.Project, "device_owner": p.Spec.DeviceOwner, "ip_address": at})
		}
	}
	wire.Write(x.W, http.StatusOK, map[string]any{"privateips": items})
	return nil
}
