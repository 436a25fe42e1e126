package vpc

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/awancloud/awan/internal/dialect/huawei/networks"
	"github.com/awancloud/awan/internal/dialect/huawei/rest"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kind"
)

// both are the paths of versions 1 and 3.
func both(what string) []string {
	return []string{"/v1/{project_id}/" + what, "/v3/{project_id}/vpc/" + what}
}

func created(x *wire.Exchange) int {
	if isV3(x) {
		return http.StatusCreated
	}
	return http.StatusOK
}

func (a *API) groupRoutes() []wire.Route {
	k := a.n.Group.D
	var out []wire.Route
	for _, p := range both("security-groups") {
		out = append(out, wire.Route{Method: "POST", Path: p, Kind: k, Verb: call.Create, Do: a.createGroup},
			wire.Route{Method: "GET", Path: p, Kind: k, Verb: call.List, Do: a.listGroups},
			wire.Route{Method: "GET", Path: p + "/{security_group_id}", Kind: k, Verb: call.Get, Do: a.showGroup},
			wire.Route{Method: "PUT", Path: p + "/{security_group_id}", Kind: k, Verb: call.Update, Do: a.updateGroup},
			wire.Route{Method: "DELETE", Path: p + "/{security_group_id}", Kind: k, Verb: call.Delete, Do: func(x *wire.Exchange) error { return networks.Delete(x, k, x.Param("security_group_id")) }})
	}
	return out
}

func (a *API) groupView(x *wire.Exchange, r *groupRow, rules []*ruleRow) any {
	out := map[string]any{"id": rest.ID(r.ID), "name": rest.NameOf(&r.Meta), "description": r.Spec.Description, "enterprise_project_id": rest.Enterprise(&r.Meta), "project_id": r.Project,
		"created_at": networks.Stamp(r.Created), "updated_at": networks.Stamp(r.Updated), "tags": rest.Tags(r.Tags)}
	if rules != nil {
		items := []any{}
		for _, rule := range rules {
			if rule.Spec.Group == string(r.ID) {
				items = append(items, ruleView(x, rule))
			}
		}
		out["security_group_rules"] = items
	}
	return out
}

// rulesOf reads the rules of a group, of all groups where none is named.
func (a *API) rulesOf(x *wire.Exchange, group string) ([]*ruleRow, error) {
	f := kind.Filter{}
	if group != "" {
		f.Index, f.Value = "group", group
	}
	rules, _, err := wire.Rows(x, a.n.Rule, "", f)
	if rules == nil {
		rules = []*ruleRow{}
	}
	return rules, err
}

func (a *API) oneGroup(x *wire.Exchange, status int, r *groupRow) error {
	rules, err := a.rulesOf(x, string(r.ID))
	if err != nil {
		return err
	}
	return networks.One(x, status, "security_group", a.groupView(x, r, rules))
}

type groupBody struct {
	Name        *string     `json:"name"`
	Description *string     `json:"description"`
	Enterprise  string      `json:"enterprise_project_id"`
	Tags        *[]rest.Tag `json:"tags"`
}

func (a *API) createGroup(x *wire.Exchange) error {
	var b groupBody
	if err := networks.Body(x, "security_group", &b); err != nil {
		return err
	}
	s, name := wire.Spec{}, ""
	wire.Set(s, "description", b.Description)
	if b.Name != nil {
		name = *b.Name
	}
	r, err := x.Do(a.n.Group.D, call.Create, "", func(c *call.Call) {
		c.Name, c.Spec, c.Tags = &name, s.JSON(), tagMap(b.Tags)
		if b.Enterprise != "" {
			c.EnterpriseProject = &b.Enterprise
		}
	})
	if err != nil {
		return err
	}
	return a.oneGroup(x, created(x), r.(*groupRow))
}

func (a *API) listGroups(x *wire.Exchange) error {
	var rules []*ruleRow
	if !isV3(x) { // version 3 shows rules with a single group only
		var err error
		if rules, err = a.rulesOf(x, ""); err != nil {
			return err
		}
	}
	return networks.List(x, a.n.Group, "security_groups", kind.Filter{}, func(r *groupRow) bool { return networks.Same(x, "description", r.Spec.Description) },
		func(r *groupRow) any { return a.groupView(x, r, rules) })
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
	if err := networks.Body(x, "security_group", &b); err != nil {
		return err
	}
	s := wire.Spec{}
	wire.Set(s, "description", b.Description)
	if b.Name != nil && *b.Name == "" {
		b.Name = nil
	}
	r, err := networks.Update(x, a.n.Group.D, x.Param("security_group_id"), b.Name, s)
	if err != nil {
		return err
	}
	return a.oneGroup(x, http.StatusOK, r.(*groupRow))
}

func (a *API) ruleRoutes() []wire.Route {
	k := a.n.Rule.D
	var out []wire.Route
	for _, p := range both("security-group-rules") {
		out = append(out, wire.Route{Method: "POST", Path: p, Kind: k, Verb: call.Create, Do: a.createRule},
			wire.Route{Method: "GET", Path: p, Kind: k, Verb: call.List, Do: a.listRules},
			wire.Route{Method: "GET", Path: p + "/{security_group_rule_id}", Kind: k, Verb: call.Get, Do: a.showRule},
			wire.Route{Method: "DELETE", Path: p + "/{security_group_rule_id}", Kind: k, Verb: call.Delete, Do: func(x *wire.Exchange) error { return networks.Delete(x, k, x.Param("security_group_rule_id")) }})
	}
	return append(out, wire.Route{Method: "POST", Path: "/v3/{project_id}/vpc/security-groups/{security_group_id}/security-group-rules/batch-create", Kind: k, Verb: call.Create, Do: a.createRules})
}

func ruleView(x *wire.Exchange, r *ruleRow) any {
	sp := &r.Spec
	ethertype := "IPv4"
	if sp.IPv6 {
		ethertype = "IPv6"
	}
	prefix := sp.RemotePrefix
	out := map[string]any{"id": rest.ID(r.ID), "description": sp.Description, "security_group_id": rest.ID(sp.Group), "direction": sp.Direction, "ethertype": ethertype,
		"protocol": nilled(sp.Protocol), "remote_ip_prefix": nilled(prefix), "remote_group_id": nilled(rest.ID(sp.RemoteGroup)),
		"remote_address_group_id": nilled(rest.ID(sp.RemoteAddressGroup)), "tenant_id": r.Project}
	if isV3(x) {
		out["multiport"], out["action"], out["priority"], out["project_id"], out["enabled"] = nilled(multiport(r)), sp.Action, sp.Priority, r.Project, !sp.Disabled
		out["created_at"], out["updated_at"] = networks.Stamp(r.Created), networks.Stamp(r.Updated)
		return out
	}
	low, high, single := portRange(r)
	out["port_range_min"], out["port_range_max"] = nil, nil
	if single {
		out["port_range_min"], out["port_range_max"] = low, high
	}
	return out
}

// multiport prints ports, or the type and code of ICMP.
func multiport(r *ruleRow) string {
	if r.Spec.ICMPType == nil {
		return r.Spec.Ports
	}
	if r.Spec.ICMPCode == nil {
		return strconv.Itoa(*r.Spec.ICMPType)
	}
	return fmt.Sprintf("%d-%d", *r.Spec.ICMPType, *r.Spec.ICMPCode)
}

// portRange is the one range of a rule; several cannot be shown in version 1.
func portRange(r *ruleRow) (low, high int, single bool) {
	p := multiport(r)
	if p == "" || strings.Contains(p, ",") {
		return 0, 0, false
	}
	a, b, two := strings.Cut(p, "-")
	if !two {
		b = a
	}
	low, err1 := strconv.Atoi(a)
	high, err2 := strconv.Atoi(b)
	return low, high, err1 == nil && err2 == nil
}

type ruleBody struct {
	Group        string `json:"security_group_id"`
	Description  string `json:"description"`
	Direction    string `json:"direction"`
	Ethertype    string `json:"ethertype"`
	Protocol     string `json:"protocol"`
	Ports        string `json:"multiport"`
	Min          *int   `json:"port_range_min"`
	Max          *int   `json:"port_range_max"`
	Action       string `json:"action"`
	Priority     any    `json:"priority"`
	Prefix       string `json:"remote_ip_prefix"`
	RemoteGroup  string `json:"remote_group_id"`
	AddressGroup string `json:"remote_address_group_id"`
	Enabled      *bool  `json:"enabled"`
}

func (b *ruleBody) spec() (wire.Spec, error) {
	s := wire.Spec{"group": b.Group, "description": b.Description, "direction": lowerOr(b.Direction, ""), "protocol": b.Protocol, "remote_prefix": b.Prefix,
		"remote_group": b.RemoteGroup, "remote_address_group": b.AddressGroup}
	wire.Not(s, "disabled", b.Enabled)
	switch strings.ToLower(b.Ethertype) {
	case "", "ipv4":
	case "ipv6":
		s["ipv6"] = true
	default:
		return nil, fail.Field("ethertype", "%q is neither IPv4 nor IPv6", b.Ethertype)
	}
	if b.Ethertype == "" && strings.Contains(b.Prefix, ":") {
		s["ipv6"] = true
	}
	if b.Action != "" {
		s["action"] = strings.ToLower(b.Action)
	}
	switch p := b.Priority.(type) { // numbers, and numbers as text
	case float64:
		if p != 0 {
			s["priority"] = int(p)
		}
	case string:
		n, err := strconv.Atoi(p)
		if err != nil {
			return nil, fail.Field("priority", "%q is not a number", p)
		}
		s["priority"] = n
	}
	if strings.HasPrefix(strings.ToLower(b.Protocol), "icmp") {
		return s, b.icmp(s)
	}
	switch {
	case b.Ports != "":
		s["ports"] = b.Ports
	case b.Min != nil && *b.Min > 0:
		s["ports"] = strconv.Itoa(*b.Min)
		if b.Max != nil && *b.Max != *b.Min {
			s["ports"] = fmt.Sprintf("%d-%d", *b.Min, *b.Max)
		}
	}
	return s, nil
}

// icmp reads the type and code that stand where other protocols have ports.
func (b *ruleBody) icmp(s wire.Spec) error {
	t, c := b.Min, b.Max
	if b.Ports != "" {
		x, y, two := strings.Cut(b.Ports, "-")
		n, err := strconv.Atoi(x)
		if err != nil {
			return fail.Field("multiport", "%q is not a type of ICMP", b.Ports).Then("write TYPE, or TYPE-CODE")
		}
		t = &n
		if two {
			m, err := strconv.Atoi(y)
			if err != nil {
				return fail.Field("multiport", "%q is not a type of ICMP", b.Ports).Then("write TYPE, or TYPE-CODE")
			}
			c = &m
		}
	}
	wire.Set(s, "icmp_type", t)
	if t != nil {
		wire.Set(s, "icmp_code", c)
	}
	return nil
}

func lowerOr(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return strings.ToLower(s)
}

func (a *API) makeRule(x *wire.Exchange, b *ruleBody) (*ruleRow, error) {
	s, err := b.spec()
	if err != nil {
		return nil, err
	}
	r, err := networks.Create(x, a.n.Rule.D, "", "", s)
	if err != nil {
		return nil, err
	}
	return r.(*ruleRow), nil
}

func (a *API) createRule(x *wire.Exchange) error {
	var b ruleBody
	if err := networks.Body(x, "security_group_rule", &b); err != nil {
		return err
	}
	r, err := a.makeRule(x, &b)
	if err != nil {
		return err
	}
	return networks.One(x, created(x), "security_group_rule", ruleView(x, r))
}

// createRules makes several rules, or none: what fails takes those before it back.
func (a *API) createRules(x *wire.Exchange) error {
	var b struct {
		Rules  []ruleBody `json:"security_group_rules"`
		Ignore bool       `json:"ignore_duplicate"`
	}
	if err := networks.Body(x, "", &b); err != nil {
		return err
	}
	if len(b.Rules) == 0 {
		b.Rules = []ruleBody{{}} // who may not make rules is told so, and others what is missing
	}
	items, made := []any{}, []*ruleRow{}
	for i := range b.Rules {
		b.Rules[i].Group = x.Param("security_group_id")
		r, err := a.makeRule(x, &b.Rules[i])
		if b.Ignore && fail.Is(err, fail.Exists) {
			continue
		}
		if err != nil {
			for _, m := range made {
				if _, derr := x.Do(a.n.Rule.D, call.Delete, string(m.ID), nil); derr != nil {
					return derr
				}
			}
			return err
		}
		made = append(made, r)
		items = append(items, ruleView(x, r))
	}
	return networks.One(x, http.StatusCreated, "security_group_rules", items)
}

func (a *API) listRules(x *wire.Exchange) error {
	return networks.List(x, a.n.Rule, "security_group_rules", kind.Filter{}, func(r *ruleRow) bool {
		sp := &r.Spec
		for _, q := range []struct{ name, is string }{{"security_group_id", sp.Group}, {"protocol", sp.Protocol}, {"direction", sp.Direction}, {"action", sp.Action},
			{"remote_group_id", sp.RemoteGroup}, {"remote_ip_prefix", sp.RemotePrefix}, {"remote_address_group_id", sp.RemoteAddressGroup}, {"description", sp.Description}} {
			if !networks.Same(x, q.name, q.is) {
				return false
			}
		}
		return true
	}, func(r *ruleRow) any { return ruleView(x, r) })
}

func (a *API) showRule(x *wire.Exchange) error {
	r, err := wire.Get(x, a.n.Rule, x.Param("security_group_rule_id"))
	if err != nil {
		return err
	}
	return networks.One(x, http.StatusOK, "security_group_rule", ruleView(x, r))
}
