package neutron

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/awancloud/awan/internal/dialect/openstack/rest"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
)

func (a *API) groupRoutes() []wire.Route {
	g, r := a.n.Group.D, a.n.Rule.D
	return []wire.Route{
		{Method: "POST", Path: "/v2.0/security-groups", Kind: g, Verb: call.Create, Do: a.createGroup},
		{Method: "GET", Path: "/v2.0/security-groups", Kind: g, Verb: call.List, Do: a.listGroups},
		{Method: "GET", Path: "/v2.0/security-groups/{security_group_id}", Kind: g, Verb: call.Get, Do: a.showGroup},
		{Method: "PUT", Path: "/v2.0/security-groups/{security_group_id}", Kind: g, Verb: call.Update, Do: a.updateGroup},
		{Method: "DELETE", Path: "/v2.0/security-groups/{security_group_id}", Kind: g, Verb: call.Delete, Do: remove(g, "security_group_id")},
		{Method: "POST", Path: "/v2.0/security-group-rules", Kind: r, Verb: call.Create, Do: a.createRule},
		{Method: "GET", Path: "/v2.0/security-group-rules", Kind: r, Verb: call.List, Do: a.listRules},
		{Method: "GET", Path: "/v2.0/security-group-rules/{security_group_rule_id}", Kind: r, Verb: call.Get, Do: a.showRule},
		{Method: "DELETE", Path: "/v2.0/security-group-rules/{security_group_rule_id}", Kind: r, Verb: call.Delete, Do: remove(r, "security_group_rule_id")},
	}
}

func groupView(r *groupRow, rules []*ruleRow) map[string]any {
	items := []any{}
	for _, rule := range rules {
		if rule.Spec.Group == string(r.ID) {
			items = append(items, ruleView(rule))
		}
	}
	return stamped(&r.Meta, map[string]any{"description": r.Spec.Description, "security_group_rules": items, "stateful": true, "shared": false})
}

// ruleView is a rule in OpenStack's words. What those cannot say (deny, priorities, several ranges) stands beside.
func ruleView(r *ruleRow) map[string]any {
	sp := &r.Spec
	ethertype := "IPv4"
	if sp.IPv6 {
		ethertype = "IPv6"
	}
	v := stamped(&r.Meta, map[string]any{"description": sp.Description, "security_group_id": rest.ID(sp.Group), "direction": sp.Direction, "ethertype": ethertype, "protocol": null(sp.Protocol),
		"remote_ip_prefix": null(sp.RemotePrefix), "normalized_cidr": null(sp.RemotePrefix), "remote_group_id": null(rest.ID(sp.RemoteGroup)), "remote_address_group_id": null(rest.ID(sp.RemoteAddressGroup)),
		"port_range_min": nil, "port_range_max": nil, "belongs_to_default_sg": false})
	delete(v, "name")
	if sp.ICMPType != nil {
		v["port_range_min"] = *sp.ICMPType
	}
	if sp.ICMPCode != nil {
		v["port_range_max"] = *sp.ICMPCode
	}
	if lo, hi, ok := ends(sp.Ports); ok {
		v["port_range_min"], v["port_range_max"] = lo, hi
	} else if sp.Ports != "" {
		v["multiport"] = sp.Ports
	}
	if sp.Action == "deny" || sp.Disabled {
		v["action"], v["enabled"], v["priority"] = sp.Action, !sp.Disabled, sp.Priority
	}
	return v
}

// ends are those of a single range.
func ends(ports string) (lo, hi int, ok bool) {
	a, b, two := strings.Cut(ports, "-")
	if !two {
		b = a
	}
	lo, err1 := strconv.Atoi(a)
	hi, err2 := strconv.Atoi(b)
	return lo, hi, err1 == nil && err2 == nil
}

type groupBody struct {
	Name        maybe[string] `json:"name"`
	Description maybe[string] `json:"description"`
	Stateful    *bool         `json:"stateful"`
	Project     string        `json:"project_id"`
	Tenant      string        `json:"tenant_id"`
}

func (b *groupBody) spec() (wire.Spec, error) {
	if b.Stateful != nil && !*b.Stateful {
		return nil, fail.New(fail.Unsupported, "groups remember connections here").Then("leave stateful out")
	}
	s := wire.Spec{}
	set(s, "description", b.Description)
	return s, nil
}

func (a *API) createGroup(x *wire.Exchange) error {
	var b groupBody
	if _, err := body(x, "security_group", &b); err != nil {
		return err
	}
	inProject(x, b.Project, b.Tenant)
	s, err := b.spec()
	if err != nil {
		return err
	}
	r, err := create(x, a.n.Group.D, b.Name.V, s)
	if err != nil {
		return err
	}
	return a.oneGroup(x, http.StatusCreated, r.(*groupRow))
}

func (a *API) oneGroup(x *wire.Exchange, status int, r *groupRow) error {
	rules, err := all(x, a.n.Rule, "group", string(r.ID))
	if err != nil {
		return err
	}
	return one(x, status, "security_group", groupView(r, rules))
}

func (a *API) listGroups(x *wire.Exchange) error {
	rows, err := all(x, a.n.Group, "", "")
	if err != nil {
		return err
	}
	rules, err := all(x, a.n.Rule, "", "")
	if err != nil {
		return err
	}
	var items []map[string]any
	for _, r := range rows {
		items = append(items, groupView(r, rules))
	}
	return list(x, "security_groups", items)
}

func (a *API) showGroup(x *wire.Exchange) error {
	r, err := wire.Get(x, a.n.Group, x.Param("security_group_id"))
	if err != nil {
		return err
	}
	return a.oneGroup(x, http.StatusOK, r)
}

func (a *API) updateGroup(x *wire.Exchange) error {
	var b groupBody
	if _, err := body(x, "security_group", &b); err != nil {
		return err
	}
	s, err := b.spec()
	if err != nil {
		return err
	}
	r, err := a.changed(x, a.n.Group.D, x.Param("security_group_id"), b.Name, s)
	if err != nil {
		return err
	}
	return a.oneGroup(x, http.StatusOK, r.(*groupRow))
}

type ruleBody struct {
	Group        string    `json:"security_group_id"`
	Description  string    `json:"description"`
	Direction    string    `json:"direction"`
	Ethertype    string    `json:"ethertype"`
	Protocol     any       `json:"protocol"`
	Min          *rest.Int `json:"port_range_min"`
	Max          *rest.Int `json:"port_range_max"`
	Prefix       string    `json:"remote_ip_prefix"`
	RemoteGroup  string    `json:"remote_group_id"`
	AddressGroup string    `json:"remote_address_group_id"`
	Project      string    `json:"project_id"`
	Tenant       string    `json:"tenant_id"`
}

func (b *ruleBody) spec() (wire.Spec, error) {
	protocol := ""
	if b.Protocol != nil {
		protocol = strings.ToLower(fmt.Sprint(b.Protocol)) // a name, or a number as text or not
	}
	s := wire.Spec{"group": b.Group, "description": b.Description, "direction": strings.ToLower(b.Direction), "protocol": protocol, "remote_prefix": b.Prefix,
		"remote_group": b.RemoteGroup, "remote_address_group": b.AddressGroup}
	switch strings.ToLower(b.Ethertype) {
	case "":
		s["ipv6"] = strings.Contains(b.Prefix, ":")
	case "ipv4":
	case "ipv6":
		s["ipv6"] = true
	default:
		return nil, fail.Field("ethertype", "%q is neither IPv4 nor IPv6", b.Ethertype)
	}
	switch {
	case strings.Contains(protocol, "icmp") || protocol == "1" || protocol == "58":
		wire.Set(s, "icmp_type", b.Min)
		wire.Set(s, "icmp_code", b.Max)
	case b.Min != nil && b.Max != nil && *b.Min == 1 && *b.Max == 65535: // every port
	case b.Min != nil && b.Max != nil && *b.Min != *b.Max:
		s["ports"] = fmt.Sprintf("%d-%d", *b.Min, *b.Max)
	case b.Min != nil:
		s["ports"] = strconv.Itoa(int(*b.Min))
	case b.Max != nil:
		s["ports"] = strconv.Itoa(int(*b.Max))
	}
	return s, nil
}

// createRule makes a rule, or several at once; what fails takes those before it back.
func (a *API) createRule(x *wire.Exchange) error {
	var in struct {
		One  ruleBody   `json:"security_group_rule"`
		Many []ruleBody `json:"security_group_rules"`
	}
	if err := read(x, "", &in); err != nil {
		return err
	}
	if in.Many == nil {
		r, err := a.makeRule(x, &in.One)
		if err != nil {
			return err
		}
		return one(x, http.StatusCreated, "security_group_rule", ruleView(r))
	}
	made := []any{}
	var rows []*ruleRow
	for i := range in.Many {
		r, err := a.makeRule(x, &in.Many[i])
		if err != nil {
			for _, m := range rows {
				if _, derr := x.Do(a.n.Rule.D, call.Delete, string(m.ID), nil); derr != nil {
					return derr
				}
			}
			return err
		}
		rows, made = append(rows, r), append(made, ruleView(r))
	}
	wire.Write(x.W, http.StatusCreated, map[string]any{"security_group_rules": made})
	return nil
}

func (a *API) makeRule(x *wire.Exchange, b *ruleBody) (*ruleRow, error) {
	inProject(x, b.Project, b.Tenant)
	s, err := b.spec()
	if err != nil {
		return nil, err
	}
	r, err := create(x, a.n.Rule.D, "", s)
	if err != nil {
		return nil, err
	}
	return r.(*ruleRow), nil
}

func (a *API) listRules(x *wire.Exchange) error {
	rows, err := all(x, a.n.Rule, "", "")
	if err != nil {
		return err
	}
	var items []map[string]any
	for _, r := range rows {
		items = append(items, ruleView(r))
	}
	return list(x, "security_group_rules", items)
}

func (a *API) showRule(x *wire.Exchange) error {
	r, err := wire.Get(x, a.n.Rule, x.Param("security_group_rule_id"))
	if err != nil {
		return err
	}
	return one(x, http.StatusOK, "security_group_rule", ruleView(r))
}
