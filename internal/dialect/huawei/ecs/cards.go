package ecs

import (
	"strings"

	"github.com/awancloud/awan/internal/dialect/huawei/rest"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/compute"
)

func (a *API) cardRoutes() []route {
	k := a.Compute.Server.D
	return []route{
		{Method: "GET", Path: one + "/os-interface", Kind: k, Verb: call.Get, Alias: "ecs:cloudServers:listServerInterfaces ecs:cloudServerNics:list", Do: a.listCards},
		{Method: "GET", Path: one + "/os-interface_extension", Kind: k, Verb: call.Get, Alias: "ecs:cloudServers:listServerInterfaces ecs:cloudServerNics:list", Do: a.listCards},
		{Method: "POST", Path: one + "/nics", Kind: k, Verb: "attach-interface", Alias: "ecs:cloudServers:addNics ecs:cloudServers:addServerNics", Do: a.addCards},
		{Method: "POST", Path: one + "/nics/delete", Kind: k, Verb: "detach-interface", Alias: "ecs:cloudServers:deleteNics ecs:cloudServers:deleteServerNics", Do: a.removeCards},
	}
}

func (a *API) cardView(x *exchange, n *compute.NIC) map[string]any {
	state := "DOWN"
	if n.Phase == compute.Attached {
		state = "ACTIVE"
	}
	ips, four, six := []any{}, n.Subnet, n.Subnet
	_ = a.Door.Store.View(x.R.Context(), func(tx store.Tx) error { // without it the subnet itself is named
		r, err := a.Network.Subnet.Get(tx, n.Subnet)
		if r != nil {
			four, six = id.ID(r.Status.IPv4), id.ID(r.Status.IPv6)
		}
		return err
	})
	for _, addr := range n.Addresses {
		subnet := four
		if strings.Contains(addr, ":") {
			subnet = six
		}
		ips = append(ips, map[string]any{"ip_address": addr, "subnet_id": dashed(subnet)})
	}
	return map[string]any{"port_id": rest.ID(n.Port), "net_id": dashed(n.Subnet), "mac_addr": n.MAC, "port_state": state, "fixed_ips": ips,
		"delete_on_termination": n.Own, "driver_mode": "virtio", "min_rate": 0, "multiqueue_num": 1, "pci_address": ""}
}

func (a *API) listCards(x *exchange) error {
	r, err := a.server(x)
	if err != nil {
		return err
	}
	out := []any{}
	for i := range r.Status.Cards {
		if n := &r.Status.Cards[i]; n.Port != "" && n.Phase != compute.Detaching {
			out = append(out, a.cardView(x, n))
		}
	}
	return rest.OK(x, map[string]any{"interfaceAttachments": out, "attachableQuantity": map[string]int{"free_nic": max(0, mostCards-len(r.Status.Cards))}})
}

// addCards gives the server cards, one after the other.
func (a *API) addCards(x *exchange) error {
	var b struct {
		Nics []nicBody `json:"nics"`
	}
	k, target := a.Compute.Server.D, x.Param("server_id")
	if err := rest.Body(x, &b); err != nil {
		return rest.Refuse(x, k, "attach-interface", target, err)
	}
	if len(b.Nics) == 0 || len(b.Nics) > mostCards {
		return rest.Refuse(x, k, "attach-interface", target, fail.Field("nics", "%d cards are asked for; want 1 to %d", len(b.Nics), mostCards))
	}
	var replies []call.Reply
	facts := map[string]string{}
	for i := range b.Nics {
		r, err := rest.Send(x, k, "attach-interface", target, func(c *call.Call) { c.In = b.Nics[i].card().JSON() })
		if err != nil {
			return err
		}
		if cards := r.Row.(*serverRow).Status.Cards; len(cards) > 0 && r.Job != nil {
			facts[cardKey+string(r.Job.ID)] = cards[len(cards)-1].Key
		}
		replies = append(replies, r)
	}
	return a.begun(x, "addNics", facts, replies...)
}

func (a *API) removeCards(x *exchange) error {
	var b struct {
		Nics []idBody `json:"nics"`
	}
	k, target := a.Compute.Server.D, x.Param("server_id")
	if err := rest.Body(x, &b); err != nil {
		return rest.Refuse(x, k, "detach-interface", target, err)
	}
	named := ids(b.Nics)
	if len(named) == 0 || len(named) > mostCards {
		return rest.Refuse(x, k, "detach-interface", target, fail.Field("nics", "%d cards are named; want 1 to %d", len(named), mostCards))
	}
	var replies []call.Reply
	for _, n := range named {
		r, err := rest.Send(x, k, "detach-interface", target, func(c *call.Call) { c.In = wire.Spec{"port": n}.JSON() })
		if err != nil {
			return err
		}
		replies = append(replies, r)
	}
	return a.begun(x, "delNics", map[string]string{"nic_id": named[0]}, replies...)
}
