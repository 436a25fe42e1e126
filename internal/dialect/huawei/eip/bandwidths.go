package eip

import (
	"net/http"

	"github.com/awancloud/awan/internal/dialect/huawei/networks"
	"github.com/awancloud/awan/internal/dialect/huawei/rest"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
)

func (a api) bandwidthRoutes() []wire.Route {
	k, ip, v1, v2 := a.n.Bandwidth.D, a.n.PublicIP.D, "/v1/{project_id}/bandwidths", "/v2.0/{project_id}/bandwidths"
	return []wire.Route{
		{Method: "POST", Path: v2, Kind: k, Verb: call.Create, Do: a.createBandwidth},
		{Method: "GET", Path: v1, Kind: k, Verb: call.List, Do: a.listBandwidths},
		{Method: "GET", Path: "/v3/{project_id}/eip/bandwidths", Kind: k, Verb: call.List, Do: a.listBandwidths},
		{Method: "GET", Path: v1 + "/{bandwidth_id}", Kind: k, Verb: call.Get, Do: a.showBandwidth},
		{Method: "PUT", Path: v1 + "/{bandwidth_id}", Kind: k, Verb: call.Update, Do: a.updateBandwidth},
		{Method: "PUT", Path: v2 + "/{bandwidth_id}", Kind: k, Verb: call.Update, Do: a.updateBandwidth},
		{Method: "DELETE", Path: v2 + "/{bandwidth_id}", Kind: k, Verb: call.Delete, Do: func(x *wire.Exchange) error { return networks.Delete(x, k, x.Param("bandwidth_id")) }},
		{Method: "POST", Path: v2 + "/{bandwidth_id}/insert", Kind: ip, Verb: call.Update, Do: a.insert},
		{Method: "POST", Path: v2 + "/{bandwidth_id}/remove", Kind: ip, Verb: call.Update, Do: a.remove},
	}
}

func (a api) bandwidthView(r *bandwidthRow, ips []*publicRow) any {
	in := []any{}
	for _, p := range ips {
		if p.Spec.Bandwidth == string(r.ID) {
			in = append(in, a.member(p))
		}
	}
	return map[string]any{"id": rest.ID(r.ID), "name": rest.NameOf(&r.Meta), "size": r.Spec.Mbit, "share_type": "WHOLE", "charge_mode": r.Spec.ChargeMode, "bandwidth_type": "share", "tenant_id": r.Project,
		"publicip_info": in, "enterprise_project_id": rest.Enterprise(&r.Meta), "status": "NORMAL", "billing_info": "", "public_border_group": "center", "enable_bandwidth_rules": false, "rule_quota": 0,
		"bandwidth_rules": []any{}, "created_at": networks.Stamp(r.Created), "updated_at": networks.Stamp(r.Updated)}
}

func (a api) member(p *publicRow) any {
	return map[string]any{"publicip_id": rest.ID(p.ID), "publicip_address": p.Status.Address, "ip_version": 4, "publicip_type": a.typeOf(p)}
}

// ownView is the bandwidth that a public address has for itself.
func (a api) ownView(x *wire.Exchange, p *publicRow) any {
	b := a.bandwidthOf(x, p)
	return map[string]any{"id": rest.ID(p.Status.BandwidthID), "name": b.name, "size": p.Spec.Mbit, "share_type": "PER", "charge_mode": p.Spec.ChargeMode, "bandwidth_type": "bgp", "tenant_id": p.Project,
		"publicip_info": []any{a.member(p)}, "enterprise_project_id": rest.Enterprise(&p.Meta), "status": "NORMAL", "billing_info": "", "public_border_group": "center", "enable_bandwidth_rules": false, "rule_quota": 0,
		"bandwidth_rules": []any{}, "created_at": networks.Stamp(p.Created), "updated_at": networks.Stamp(p.Updated)}
}

// owner finds the public address that has a bandwidth for itself; nil when the id is that of a shared one.
func (a api) owner(x *wire.Exchange) (*publicRow, error) {
	b, ok := id.Parse(x.Param("bandwidth_id"))
	if !ok {
		return nil, nil
	}
	rows, _, err := wire.Rows(x, a.n.PublicIP, "", kind.Filter{Index: "own", Value: string(b), Limit: 1})
	if err != nil || len(rows) == 0 || rows[0].Spec.Bandwidth != "" {
		return nil, err
	}
	return rows[0], nil
}

func (a api) createBandwidth(x *wire.Exchange) error {
	var b struct {
		bandwidthBody
		Enterprise string `json:"enterprise_project_id"`
	}
	if err := networks.Body(x, "bandwidth", &b); err != nil {
		return err
	}
	s, name := wire.Spec{}, ""
	wire.Set(s, "mbit", b.Size)
	setCharge(s, b.Charge)
	if b.Name != nil {
		name = *b.Name
	}
	r, err := networks.Create(x, a.n.Bandwidth.D, name, b.Enterprise, s)
	if err != nil {
		return err
	}
	return networks.One(x, http.StatusOK, "bandwidth", a.bandwidthView(r.(*bandwidthRow), nil))
}

func (a api) listBandwidths(x *wire.Exchange) error {
	shared, _, err := networks.Rows(x, a.n.Bandwidth, kind.Filter{}, nil)
	if err != nil {
		return err
	}
	ips, _, err := wire.Rows(x, a.n.PublicIP, "", kind.Filter{})
	if err != nil {
		return err
	}
	items := []any{}
	for _, r := range shared {
		if networks.Same(x, "share_type", "WHOLE") {
			items = append(items, a.bandwidthView(r, ips))
		}
	}
	for _, p := range ips {
		if p.Spec.Bandwidth == "" && networks.Same(x, "share_type", "PER") && x.Query("marker") == "" {
			items = append(items, a.ownView(x, p))
		}
	}
	if isV3(x) {
		return networks.Many(x, "eip_bandwidths", items)
	}
	return networks.One(x, http.StatusOK, "bandwidths", items)
}

func (a api) showBandwidth(x *wire.Exchange) error {
	r, err := wire.Get(x, a.n.Bandwidth, x.Param("bandwidth_id"))
	if fail.Is(err, fail.NotFound) {
		p, oerr := a.owner(x)
		if oerr != nil {
			return oerr
		}
		if p != nil {
			return networks.One(x, http.StatusOK, "bandwidth", a.ownView(x, p))
		}
	}
	if err != nil {
		return err
	}
	return a.oneBandwidth(x, r)
}

func (a api) oneBandwidth(x *wire.Exchange, r *bandwidthRow) error {
	ips, _, err := wire.Rows(x, a.n.PublicIP, "", kind.Filter{Index: "bandwidth", Value: string(r.ID)})
	if err != nil {
		return err
	}
	return networks.One(x, http.StatusOK, "bandwidth", a.bandwidthView(r, ips))
}

func (a api) updateBandwidth(x *wire.Exchange) error {
	var b bandwidthBody
	if err := networks.Body(x, "bandwidth", &b); err != nil {
		return err
	}
	s := wire.Spec{}
	if b.Size != nil && *b.Size > 0 {
		s["mbit"] = *b.Size
	}
	setCharge(s, b.Charge)
	r, err := networks.Update(x, a.n.Bandwidth.D, x.Param("bandwidth_id"), b.Name, s)
	if fail.Is(err, fail.NotFound) {
		p, oerr := a.owner(x)
		if oerr != nil {
			return oerr
		}
		if p != nil {
			wire.Set(s, "bandwidth_name", b.Name)
			now, err := networks.Update(x, a.n.PublicIP.D, string(p.ID), nil, s)
			if err != nil {
				return err
			}
			return networks.One(x, http.StatusOK, "bandwidth", a.ownView(x, now.(*publicRow)))
		}
	}
	if err != nil {
		return err
	}
	return a.oneBandwidth(x, r.(*bandwidthRow))
}

type members struct {
	List []struct {
		ID string `json:"publicip_id"`
	} `json:"publicip_info"`
	Size   *int    `json:"size"`
	Charge *string `json:"charge_mode"`
}

// insert puts public addresses into a shared bandwidth.
func (a api) insert(x *wire.Exchange) error {
	var b members
	if err := networks.Body(x, "bandwidth", &b); err != nil {
		return err
	}
	r, err := wire.Get(x, a.n.Bandwidth, x.Param("bandwidth_id"))
	if err != nil {
		return err
	}
	if len(b.List) == 0 { // who may not is told so, and others what is missing
		_, err := networks.Update(x, a.n.PublicIP.D, "none", nil, wire.Spec{})
		if fail.Is(err, fail.NotFound) {
			err = fail.Field("publicip_info", "is required")
		}
		return err
	}
	for _, m := range b.List {
		if _, err := networks.Update(x, a.n.PublicIP.D, m.ID, nil, wire.Spec{"bandwidth": string(r.ID)}); err != nil {
			return err
		}
	}
	return a.oneBandwidth(x, r)
}

// remove gives public addresses a bandwidth of their own again.
func (a api) remove(x *wire.Exchange) error {
	var b members
	if err := networks.Body(x, "bandwidth", &b); err != nil {
		return err
	}
	s := wire.Spec{"bandwidth": ""}
	wire.Set(s, "mbit", b.Size)
	setCharge(s, b.Charge)
	if len(b.List) == 0 {
		_, err := networks.Update(x, a.n.PublicIP.D, "none", nil, wire.Spec{})
		if fail.Is(err, fail.NotFound) {
			err = fail.Field("publicip_info", "is required")
		}
		return err
	}
	for _, m := range b.List {
		if _, err := networks.Update(x, a.n.PublicIP.D, m.ID, nil, s); err != nil {
			return err
		}
	}
	return x.NoContent()
}
