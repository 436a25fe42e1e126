package network

import (
	"context"
	"net"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/fabric"
	"github.com/awancloud/awan/internal/service/machine"
)

// Plug makes a port ready for a machine that runs as the user owner, with everything that it needs: its VPC, its groups. It
// may be called again, also after a crash. The port must be marked with its device first (DeviceSet).
func (s *Service) Plug(ctx context.Context, port id.ID, owner int) (machine.NIC, error) {
	r, seen, err := s.plug(ctx, port, func(st *PortStatus) { st.Plugged, st.Own, st.Owner = true, false, owner })
	if err != nil {
		return machine.NIC{}, err
	}
	mac, err := net.ParseMAC(r.Status.MAC)
	if err != nil {
		return machine.NIC{}, err
	}
	return machine.NIC{ID: port, MAC: mac, Device: seen.Device, Namespace: seen.Namespace, MTU: seen.MTU, Queues: max(r.Spec.Queues, 1)}, nil
}

// PlugOwn makes a port ready for the cloud itself, which listens at its addresses and dials from them: a load balancer's. It
// may be called again. Unplug is its end too.
func (s *Service) PlugOwn(ctx context.Context, port id.ID) error {
	_, _, err := s.plug(ctx, port, func(st *PortStatus) { st.Plugged, st.Own, st.Up, st.Owner = true, true, true, 0 })
	return err
}

// plug notes what the port is now, and tells the engine of it.
func (s *Service) plug(ctx context.Context, port id.ID, becomes func(*PortStatus)) (r *portRow, seen fabric.SeenPort, err error) {
	var domain id.ID
	_, err = s.Store.Update(ctx, func(tx store.Tx) (err error) {
		if r, err = s.Port.Get(tx, port); err != nil {
			return err
		}
		if r == nil {
			return fail.New(fail.NotFound, "there is no port %s", port)
		}
		sub, err := s.Subnet.Get(tx, id.ID(r.Spec.Subnet))
		if err != nil {
			return err
		}
		if sub == nil {
			return fail.New(fail.NotFound, "port %s has lost its subnet", port)
		}
		domain = domainOf(sub)
		was := r.Status
		if becomes(&r.Status); was.Plugged && was.Own == r.Status.Own && was.Owner == r.Status.Owner {
			return nil
		}
		return s.Port.Put(tx, r)
	})
	if err != nil {
		return nil, seen, err
	}
	if err := s.sync.applyVPC(ctx, domain, false); err != nil {
		return nil, seen, err
	}
	for _, g := range s.groupsOf(r) {
		if err := s.sync.applyGroup(ctx, g, false); err != nil {
			return nil, seen, err
		}
	}
	seen, err = s.sync.applyPort(ctx, port, true)
	return r, seen, err
}

// groupsOf are the groups that the engine must have for a port.
func (s *Service) groupsOf(r *portRow) []id.ID {
	if r.Spec.PortSecurity != nil && !*r.Spec.PortSecurity && !r.Status.Own {
		return []id.ID{openGroup}
	}
	var out []id.ID
	for _, g := range r.Spec.Groups {
		out = append(out, id.ID(g))
	}
	return out
}

// Unplug takes the port out of the engine. The row stays, with its addresses. An absent port is success.
func (s *Service) Unplug(ctx context.Context, port id.ID) error {
	_, err := s.Store.Update(ctx, func(tx store.Tx) error {
		r, err := s.Port.Get(tx, port)
		if err != nil || r == nil || !r.Status.Plugged {
			return err
		}
		r.Status.Plugged, r.Status.Up, r.Status.Own, r.Status.Owner = false, false, false, 0
		return s.Port.Put(tx, r)
	})
	if err != nil {
		return err
	}
	_, err = s.sync.applyPort(ctx, port, true)
	return err
}

// DeviceSet notes in the caller's transaction what a port is for: a server, and what that is to OpenStack clients ("compute:
// ZONE"). An empty server frees the port. A port that another device has is refused.
func (s *Service) DeviceSet(tx store.Tx, port, server id.ID, owner string) error {
	r, err := s.Port.Get(tx, port)
	if err != nil {
		return err
	}
	if r == nil {
		if server == "" {
			return nil
		}
		return fail.Field("port", "there is no port %s", port)
	}
	if server != "" && r.Spec.Device != "" && r.Spec.Device != string(server) && r.Spec.Device != server.Dashed() {
		return fail.New(fail.Conflict, "port %s belongs to %s", called(&r.Meta), r.Spec.Device).Then("choose another, or detach it there first")
	}
	r.Spec.Device, r.Spec.DeviceOwner = string(server), owner
	return s.Port.Put(tx, r)
}

// LimitSet notes in the caller's transaction how fast a port may be, and how many queues its card has.
func (s *Service) LimitSet(tx store.Tx, port id.ID, mbit, queues int) error {
	r, err := s.Port.Get(tx, port)
	if err != nil || r == nil {
		return err
	}
	r.Spec.Mbit, r.Spec.Queues = mbit, queues
	return s.Port.Put(tx, r)
}

// PortsOf lists a device's ports, the oldest first.
func (s *Service) PortsOf(tx store.Tx, project, device id.ID) ([]*kind.Row[PortSpec, PortStatus], error) {
	return s.Port.List(tx, string(project), kind.Filter{Index: "device", Value: string(device)})
}

// PublicOf lists the public addresses that lead to a port.
func (s *Service) PublicOf(tx store.Tx, project, port id.ID) ([]*kind.Row[PublicIPSpec, PublicIPStatus], error) {
	return s.PublicIP.List(tx, string(project), kind.Filter{Index: "port", Value: string(port)})
}

// hostOf is what DNS and DHCP call a port: what its user said, else its name where that can be one.
func hostOf(r *portRow) string {
	if r.Spec.Hostname != "" {
		return r.Spec.Hostname
	}
	if name := lower(r.Name); name != string(r.ID) && hostName.MatchString(name) && name != "localhost" {
		return name
	}
	return ""
}
