package nat

import (
	"net/http"
	"net/netip"
	"strings"

	"github.com/awancloud/awan/internal/dialect/huawei/networks"
	"github.com/awancloud/awan/internal/dialect/huawei/rest"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kind"
)

func (a api) snatRoutes() []wire.Route {
	k, p := a.n.SNAT.D, "/v2/{project_id}/snat_rules"
	one := p + "/{snat_rule_id}"
	return []wire.Route{
		{Method: "POST", Path: p, Kind: k, Verb: call.Create, Do: a.createSNAT},
		{Method: "GET", Path: p, Kind: k, Verb: call.List, Do: a.listSNAT},
		{Method: "GET", Path: one, Kind: k, Verb: call.Get, Do: a.showSNAT},
		{Method: "PUT", Path: one, Kind: k, Verb: call.Update, Do: a.updateSNAT},
		{Method: "DELETE", Path: "/v2/{project_id}/nat_gateways/{nat_gateway_id}/snat_rules/{snat_rule_id}", Kind: k, Verb: call.Delete, Do: a.deleteSNAT},
	}
}

// A rule's source is a subnet or range of the VPC, or a range of what is connected to it.
const (
	inVPC = iota
	beyond
)

// sourceOf tells which of them a range is: it follows from the VPC's own ranges.
func (a api) sourceOf(x *wire.Exchange, gateway, cidr string) (int, error) {
	p, err := netip.ParsePrefix(cidr)
	if err != nil {
		return inVPC, nil // a subnet, or what is refused later
	}
	g, err := wire.Get(x, a.n.Gateway, gateway)
	if err != nil {
		return 0, err
	}
	vpc, err := wire.Get(x, a.n.VPC, g.Spec.VPC)
	if err != nil {
		return 0, err
	}
	if vpc.Spec.CIDR == "" {
		return inVPC, nil
	}
	for _, c := range append([]string{vpc.Spec.CIDR}, vpc.Spec.ExtendCIDRs...) {
		if own, err := netip.ParsePrefix(c); err == nil && own.Overlaps(p) {
			return inVPC, nil
		}
	}
	return beyond, nil
}

// addresses are the ids and addresses of public addresses, as text.
func (a api) addresses(x *wire.Exchange, ips []string) (ids, at string) {
	var as []string
	for _, i := range ips {
		if p, err := wire.Get(x, a.n.PublicIP, i); err == nil { // who may not see it learns no more of it
			as = append(as, p.Status.Address)
		}
	}
	return strings.Join(rest.IDs(ips), ","), strings.Join(as, ",")
}

func (a api) snatView(x *wire.Exchange, r *snatRow) any {
	ids, at := a.addresses(x, r.Spec.PublicIPs)
	source, err := a.sourceOf(x, r.Spec.Gateway, r.Spec.CIDR)
	if err != nil {
		source = inVPC
	}
	return map[string]any{"id": rest.ID(r.ID), "tenant_id": r.Project, "nat_gateway_id": rest.ID(r.Spec.Gateway), "network_id": rest.ID(r.Spec.Subnet), "cidr": r.Spec.CIDR, "source_type": source,
		"floating_ip_id": ids, "floating_ip_address": at, "global_eip_id": "", "global_eip_address": "", "freezed_ip_address": "", "description": r.Spec.Description,
		"status": status(&r.Meta), "admin_state_up": true, "created_at": stamp(r.Created)}
}

type snatBody struct {
	Gateway     string  `json:"nat_gateway_id"`
	Network     string  `json:"network_id"`
	CIDR        string  `json:"cidr"`
	Source      *int    `json:"source_type"`
	IDs         string  `json:"floating_ip_id"`
	Addresses   string  `json:"public_ip_address"`
	Global      string  `json:"global_eip_id"`
	Description *string `json:"description"`
}

// readSNAT reads a rule and the public addresses that it names.
func (a api) readSNAT(x *wire.Exchange) (b snatBody, s wire.Spec, err error) {
	if err := networks.Body(x, "snat_rule", &b); err != nil {
		return b, nil, err
	}
	if b.Global != "" {
		return b, nil, fail.Field("global_eip_id", "there are no global public addresses").Then("give floating_ip_id")
	}
	s = wire.Spec{}
	wire.Set(s, "description", b.Description)
	var ips []string
	if b.IDs != "" {
		ips = strings.Split(b.IDs, ",")
	}
	if b.Addresses != "" {
		for at := range strings.SplitSeq(b.Addresses, ",") {
			rows, _, err := wire.Rows(x, a.n.PublicIP, "", kind.Filter{Index: "address", Value: at, Limit: 1})
			if err != nil {
				return b, nil, err
			}
			if len(rows) == 0 {
				return b, nil, fail.Field("public_ip_address", "there is no public address %s", at)
			}
			ips = append(ips, string(rows[0].ID))
		}
	}
	if ips != nil {
		s["public_ips"] = ips
	}
	return b, s, nil
}

func (a api) createSNAT(x *wire.Exchange) error {
	b, s, err := a.readSNAT(x)
	if err != nil {
		return rest.Refuse(x, a.n.SNAT.D, call.Create, "*", err)
	}
	if b.Source != nil && b.CIDR != "" {
		is, err := a.sourceOf(x, b.Gateway, b.CIDR)
		if err == nil && is != *b.Source {
			err = fail.Field("source_type", "0 is for ranges of the VPC, 1 for ranges beyond it, and %s is not that", b.CIDR)
		}
		if err != nil {
			return rest.Refuse(x, a.n.SNAT.D, call.Create, "*", err)
		}
	}
	s["gateway"], s["subnet"], s["cidr"] = b.Gateway, b.Network, b.CIDR
	r, err := networks.Create(x, a.n.SNAT.D, "", "", s)
	if err != nil {
		return err
	}
	return networks.One(x, http.StatusCreated, "snat_rule", a.snatView(x, r.(*snatRow)))
}

func (a api) listSNAT(x *wire.Exchange) error {
	return networks.List(x, a.n.SNAT, "snat_rules", kind.Filter{}, func(r *snatRow) bool {
		return asked(x, &r.Meta, map[string]string{"nat_gateway_id": r.Spec.Gateway, "network_id": r.Spec.Subnet, "cidr": r.Spec.CIDR, "description": r.Spec.Description}) && a.has(x, r)
	}, func(r *snatRow) any { return a.snatView(x, r) })
}

// has tells whether a rule has what a list asks of its source and its public addresses.
func (a api) has(x *wire.Exchange, r *snatRow) bool {
	if x.Query("source_type") == "" && x.Query("floating_ip_id") == "" && x.Query("floating_ip_address") == "" {
		return true
	}
	ids, at := a.addresses(x, r.Spec.PublicIPs)
	source, err := a.sourceOf(x, r.Spec.Gateway, r.Spec.CIDR)
	return err == nil && networks.Same(x, "source_type", []string{"0", "1"}[source]) && anySame(x, "floating_ip_id", ids) && anySame(x, "floating_ip_address", at)
}

func anySame(x *wire.Exchange, name, list string) bool {
	for v := range strings.SplitSeq(list, ",") {
		if networks.Same(x, name, v) {
			return true
		}
	}
	return false
}

func (a api) showSNAT(x *wire.Exchange) error {
	r, err := wire.Get(x, a.n.SNAT, x.Param("snat_rule_id"))
	if err != nil {
		return err
	}
	return networks.One(x, http.StatusOK, "snat_rule", a.snatView(x, r))
}

func (a api) updateSNAT(x *wire.Exchange) error {
	_, s, err := a.readSNAT(x)
	if err != nil {
		return rest.Refuse(x, a.n.SNAT.D, call.Update, x.Param("snat_rule_id"), err)
	}
	r, err := networks.Update(x, a.n.SNAT.D, x.Param("snat_rule_id"), nil, s)
	if err != nil {
		return err
	}
	return networks.One(x, http.StatusOK, "snat_rule", a.snatView(x, r.(*snatRow)))
}

func (a api) deleteSNAT(x *wire.Exchange) error {
	r, err := wire.Get(x, a.n.SNAT, x.Param("snat_rule_id"))
	if err == nil {
		err = of(x, r.Spec.Gateway, "SNAT rule")
	}
	if err != nil {
		return rest.Refuse(x, a.n.SNAT.D, call.Delete, x.Param("snat_rule_id"), err)
	}
	return networks.Delete(x, a.n.SNAT.D, string(r.ID))
}
