package network

import (
	"context"
	"net/netip"
	"strconv"

	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/store"
)

// NetworkData is OpenStack's network_data.json for a server's ports: what cloud-init sets a guest's network up from. compute
// puts the same into the seed.
func (s *Service) NetworkData(ctx context.Context, ports []id.ID) (map[string]any, error) {
	var rows []*portRow
	err := s.Store.View(ctx, func(tx store.Tx) error {
		for _, p := range ports {
			r, err := s.Port.Get(tx, p)
			if err != nil {
				return err
			}
			if r != nil {
				rows = append(rows, r)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return s.networksOf(ctx, rows)
}

func (s *Service) networkData(ctx context.Context, v view) map[string]any {
	d, err := s.networksOf(ctx, v.ports)
	if err != nil {
		s.Log.Warn("the networks of a server cannot be read", "server", v.ID, "err", err)
		return map[string]any{"links": []any{}, "networks": []any{}, "services": []any{}}
	}
	return d
}

func (s *Service) networksOf(ctx context.Context, ports []*portRow) (map[string]any, error) {
	links, networks, services := []any{}, []any{}, []any{}
	err := s.Store.View(ctx, func(tx store.Tx) error {
		seen := map[string]bool{}
		for _, p := range ports {
			sub, err := s.Subnet.Get(tx, id.ID(p.Spec.Subnet))
			if err != nil || sub == nil {
				return err
			}
			link := "tap" + string(p.ID[:11])
			entry := map[string]any{"id": link, "vif_id": p.ID.Dashed(), "type": "phy", "ethernet_mac_address": p.Status.MAC, "mtu": nil}
			if sub.Spec.MTU != 0 {
				entry["mtu"] = sub.Spec.MTU
			}
			links = append(links, entry)
			for _, a := range p.Status.Addresses {
				networks = append(networks, networkEntry(sub, link, a, len(networks)))
			}
			resolvers := sub.Spec.DNS
			if len(resolvers) == 0 {
				resolvers = []string{OwnAddress.String()}
			}
			for _, d := range resolvers {
				if !seen[d] {
					services = append(services, map[string]any{"type": "dns", "address": d})
				}
				seen[d] = true
			}
		}
		return nil
	})
	return map[string]any{"links": links, "networks": networks, "services": services}, err
}

// networkEntry is one address of a port.
func networkEntry(sub *subnetRow, link, at string, n int) map[string]any {
	six := addr(at).Is6()
	cidr, gateway, typ, none, subnet := sub.Spec.CIDR, sub.Spec.Gateway, "ipv4", "0.0.0.0", sub.Status.IPv4
	if six {
		cidr, gateway, typ, none, subnet = sub.Spec.CIDR6, sub.Spec.Gateway6, "ipv6", "::", sub.Status.IPv6
	}
	p, _ := netip.ParsePrefix(cidr)
	out := map[string]any{"id": "network" + strconv.Itoa(n), "link": link, "network_id": sub.ID.Dashed(), "subnet_id": id.ID(subnet).Dashed(), "routes": []any{}}
	if sub.Spec.DHCP && !six {
		out["type"] = typ + "_dhcp"
		return out
	}
	out["type"], out["ip_address"], out["netmask"] = typ, at, maskOf(p)
	if addr(gateway).IsValid() {
		out["routes"] = []any{map[string]any{"network": none, "netmask": none, "gateway": gateway}}
	}
	return out
}

// maskOf prints a range's length as a mask.
func maskOf(p netip.Prefix) string {
	if !p.IsValid() {
		return ""
	}
	b := make([]byte, p.Addr().BitLen()/8)
	for i := range p.Bits() {
		b[i/8] |= 1 << (7 - i%8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a.String()
}
