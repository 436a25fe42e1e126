package vpc

import (
	"net/http"

	"github.com/awancloud/awan/internal/dialect/huawei/networks"
	"github.com/awancloud/awan/internal/dialect/huawei/rest"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/service/network"
)

type addressesRow = kind.Row[network.AddressGroupSpec, network.AddressGroupStatus]

func (a *API) addressGroupRoutes() []wire.Route {
	k, p := a.n.AddressGroup.D, "/v3/{project_id}/vpc/address-groups"
	one := p + "/{address_group_id}"
	remove := func(x *wire.Exchange) error { return networks.Delete(x, k, x.Param("address_group_id")) }
	return []wire.Route{
		{Method: "POST", Path: p, Kind: k, Verb: call.Create, Do: a.createAddresses},
		{Method: "GET", Path: p, Kind: k, Verb: call.List, Do: a.listAddresses},
		{Method: "GET", Path: one, Kind: k, Verb: call.Get, Do: a.showAddresses},
		{Method: "PUT", Path: one, Kind: k, Verb: call.Update, Do: a.updateAddresses},
		{Method: "DELETE", Path: one, Kind: k, Verb: call.Delete, Do: remove},
		{Method: "DELETE", Path: one + "/force", Kind: k, Verb: call.Delete, Do: a.forceAddresses},
	}
}

type extraAddress struct {
	IP      string  `json:"ip"`
	Remarks *string `json:"remarks"`
}

func (a *API) addressesView(r *addressesRow) any {
	version, extra := 4, []extraAddress{}
	if r.Spec.IPv6 {
		version = 6
	}
	for _, ip := range r.Spec.Addresses {
		e := extraAddress{IP: ip}
		if s, ok := r.Spec.Remarks[ip]; ok {
			e.Remarks = &s
		}
		extra = append(extra, e)
	}
	return map[string]any{"id": rest.ID(r.ID), "name": rest.NameOf(&r.Meta), "description": r.Spec.Description, "max_capacity": r.Spec.Max, "ip_set": list(r.Spec.Addresses), "ip_version": version,
		"ip_extra_set": extra, "tenant_id": r.Project, "enterprise_project_id": rest.Enterprise(&r.Meta), "tags": rest.Tags(r.Tags), "status": "NORMAL", "status_message": "",
		"created_at": networks.Stamp(r.Created), "updated_at": networks.Stamp(r.Updated)}
}

type addressesBody struct {
	Name        *string         `json:"name"`
	Description *string         `json:"description"`
	Version     any             `json:"ip_version"`
	Set         *[]string       `json:"ip_set"`
	Extra       *[]extraAddress `json:"ip_extra_set"`
	Max         *int            `json:"max_capacity"`
	Enterprise  string          `json:"enterprise_project_id"`
	Tags        *[]rest.Tag     `json:"tags"`
}

func (b *addressesBody) spec() wire.Spec {
	s := wire.Spec{}
	wire.Set(s, "description", b.Description)
	if b.Max != nil && *b.Max > 0 {
		s["max"] = *b.Max
	}
	switch {
	case b.Extra != nil && len(*b.Extra) > 0:
		all, remarks := []string{}, map[string]string{}
		for _, e := range *b.Extra {
			all = append(all, e.IP)
			if e.Remarks != nil {
				remarks[e.IP] = *e.Remarks
			}
		}
		s["addresses"], s["remarks"] = all, remarks
	case b.Set != nil:
		s["addresses"] = *b.Set
	}
	return s
}

func (a *API) createAddresses(x *wire.Exchange) error {
	var b addressesBody
	if err := networks.Body(x, "address_group", &b); err != nil {
		return err
	}
	s, name := b.spec(), ""
	if v := b.Version; v == float64(6) || v == "6" {
		s["ipv6"] = true
	}
	if b.Name != nil {
		name = *b.Name
	}
	r, err := x.Do(a.n.AddressGroup.D, call.Create, "", func(c *call.Call) {
		c.Name, c.Spec, c.Tags = &name, s.JSON(), tagMap(b.Tags)
		if b.Enterprise != "" {
			c.EnterpriseProject = &b.Enterprise
		}
	})
	if err != nil {
		return err
	}
	return networks.One(x, http.StatusCreated, "address_group", a.addressesView(r.(*addressesRow)))
}

func (a *API) listAddresses(x *wire.Exchange) error {
	return networks.List(x, a.n.AddressGroup, "address_groups", kind.Filter{}, func(r *addressesRow) bool {
		version := "4"
		if r.Spec.IPv6 {
			version = "6"
		}
		return networks.Same(x, "ip_version", version) && networks.Same(x, "description", r.Spec.Description)
	}, func(r *addressesRow) any { return a.addressesView(r) })
}

func (a *API) showAddresses(x *wire.Exchange) error {
	r, err := wire.Get(x, a.n.AddressGroup, x.Param("address_group_id"))
	if err != nil {
		return err
	}
	return networks.One(x, http.StatusOK, "address_group", a.addressesView(r))
}

func (a *API) updateAddresses(x *wire.Exchange) error {
	var b addressesBody
	if err := networks.Body(x, "address_group", &b); err != nil {
		return err
	}
	r, err := networks.Update(x, a.n.AddressGroup.D, x.Param("address_group_id"), b.Name, b.spec())
	if err != nil {
		return err
	}
	return networks.One(x, http.StatusOK, "address_group", a.addressesView(r.(*addressesRow)))
}

// forceAddresses deletes a group with the rules that name it.
func (a *API) forceAddresses(x *wire.Exchange) error {
	r, err := wire.Get(x, a.n.AddressGroup, x.Param("address_group_id"))
	if err != nil {
		return err
	}
	rules, _, err := wire.Rows(x, a.n.Rule, "", kind.Filter{Index: "address-group", Value: string(r.ID)})
	if err != nil {
		return err
	}
	for _, rule := range rules {
		if _, err := x.Do(a.n.Rule.D, call.Delete, string(rule.ID), nil); err != nil {
			return err
		}
	}
	return networks.Delete(x, a.n.AddressGroup.D, string(r.ID))
}
