package balancer

import (
	"context"
	"net/netip"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/balancer/proxy"
)

// The kinds of the network service that a load balancer has rows of.
const (
	portKind   = "network/port"
	publicKind = "network/public-ip"
)

func (s *Service) balancerDefaults(_ context.Context, tx store.Tx, r *balancerRow) error {
	if r.Spec.Subnet == "" || s.Networks == nil {
		return nil
	}
	subnet, vpc, err := s.Networks.FindSubnet(tx, r.Project, r.Spec.Subnet)
	if err != nil {
		return err
	}
	if subnet == "" {
		return fail.Field("spec.subnet", "there is no subnet %q", r.Spec.Subnet).Then("see awan subnet list")
	}
	if vpc == "" {
		return fail.Field("spec.subnet", "no VPC routes the subnet %q", r.Spec.Subnet).Then("give the subnet a VPC first, or choose another")
	}
	r.Spec.Subnet, r.Status.Subnet, r.Status.VPC = string(subnet), string(subnet), string(vpc)
	if r.Spec.VPC == "" {
		return nil
	}
	want, err := s.Networks.FindVPC(tx, r.Project, r.Spec.VPC)
	if err == nil && want != vpc {
		err = fail.Field("spec.vpc", "the subnet is in another VPC, %s", vpc)
	}
	if err == nil {
		r.Spec.VPC = string(want)
	}
	return err
}

func (s *Service) checkBalancer(_ context.Context, _ store.Tx, _, r *balancerRow) error {
	if s.Networks == nil {
		return fail.New(fail.Unsupported, "this cloud has no VPCs, which load balancers are in")
	}
	if r.Spec.Address != "" {
		if _, err := netip.ParseAddr(r.Spec.Address); err != nil {
			return fail.Field("spec.address", "%q is no address", r.Spec.Address)
		}
	}
	if r.Spec.PublicIP != "" && r.Spec.PublicMbit > 0 {
		return fail.Field("spec.public_mbit", "a public address is given, and one is to be made").Then("give one or the other")
	}
	return nil
}

func (s *Service) balancerUnused(_ context.Context, tx store.Tx, r *balancerRow) error {
	if err := unused(tx, s.Listener, &r.Meta, "balancer"); err != nil {
		return err
	}
	return unused(tx, s.Pool, &r.Meta, "balancer")
}

// makePort takes the address.
func (s *Service) makePort(ctx context.Context, r *balancerRow) error {
	row, err := s.Host.Make(ctx, &r.Meta, portKind, "port", r.Name, s.Networks.PortSpec(&r.Meta, r.Spec.Subnet, r.Spec.Address))
	if err != nil {
		return err
	}
	r.Status.Port = string(row.M().ID)
	return s.Store.View(ctx, func(tx store.Tx) error {
		at, err := s.Networks.Seen(tx, row.M().ID)
		if err != nil {
			return err
		}
		r.Status.Subnet, r.Status.VPC, r.Status.IPv4Subnet = string(at.Subnet), string(at.VPC), at.IPv4Subnet
		for _, a := range at.Addresses {
			if ip, err := netip.ParseAddr(a); err == nil && ip.Is4() && r.Status.Address == "" {
				r.Status.Address = a
			} else if err == nil && ip.Is6() {
				r.Status.Address6 = a
			}
		}
		return nil
	})
}

// plugPort joins the load balancer to its VPC.
func (s *Service) plugPort(ctx context.Context, r *balancerRow) error {
	return s.Networks.Plug(ctx, id.ID(r.Status.Port))
}

func (s *Service) dropPort(ctx context.Context, r *balancerRow) error {
	port := id.ID(r.Status.Port)
	if port == "" {
		var err error
		if port, err = s.Host.Made(ctx, &r.Meta, portKind, "port"); err != nil || port == "" {
			return err
		}
	}
	if err := s.Networks.Unplug(ctx, port); err != nil {
		return err
	}
	return s.drop(ctx, r, portKind, "port", r.Status.Port)
}

// drop takes back what was made for the load balancer, also where a crash came before it was written down.
func (s *Service) drop(ctx context.Context, r *balancerRow, fullName, key, known string) error {
	row := id.ID(known)
	if row == "" {
		var err error
		if row, err = s.Host.Made(ctx, &r.Meta, fullName, key); err != nil || row == "" {
			return err
		}
	}
	return s.Host.Unmake(ctx, fullName, row)
}

func (s *Service) makePublic(ctx context.Context, r *balancerRow) error {
	if r.Spec.PublicMbit == 0 {
		return nil
	}
	row, err := s.Host.Make(ctx, &r.Meta, publicKind, "public", r.Name, s.Networks.PublicSpec(id.ID(r.Status.Port), r.Spec.PublicMbit))
	if err == nil {
		r.Status.OwnPublic = string(row.M().ID)
	}
	return err
}

func (s *Service) publish(ctx context.Context, tx store.Tx, r *balancerRow) error {
	if r.Spec.PublicIP == "" {
		return nil
	}
	return s.Networks.Publish(ctx, tx, r.Project, r.Spec.PublicIP, id.ID(r.Status.Port))
}

func (s *Service) dropPublic(ctx context.Context, r *balancerRow) error {
	if r.Spec.PublicMbit == 0 {
		return nil
	}
	return s.drop(ctx, r, publicKind, "public", r.Status.OwnPublic)
}

// balancerShown tells how it is now.
func (s *Service) balancerShown(tx store.Tx, r *balancerRow) (err error) {
	r.Status.Operating = "offline"
	if s.proxy == nil || r.Spec.Disabled || r.State == kind.Creating || r.State == kind.Deleting || r.Status.Port == "" {
		return nil
	}
	if r.Status.Public, err = s.Networks.PublicOf(tx, r.Project, id.ID(r.Status.Port)); err != nil {
		return err
	}
	listeners, err := users(tx, s.Listener, &r.Meta, "balancer")
	if err != nil {
		return err
	}
	r.Status.Operating = "online"
	var sum proxy.Count
	for _, l := range listeners {
		if !l.Spec.Disabled && !s.proxy.Listening(l.ID) {
			r.Status.Operating = "degraded"
		}
		sum.Add(s.proxy.Count(l.ID))
	}
	r.Status.Statistics = statistics(sum)
	return nil
}

func statistics(c proxy.Count) *Statistics {
	return &Statistics{Active: c.Active, Total: c.Total, Refused: c.Refused, Failed: c.Failed, Requests: c.Requests, In: c.In, Out: c.Out,
		Code2xx: c.Codes[2], Code3xx: c.Codes[3], Code4xx: c.Codes[4], Code5xx: c.Codes[5]}
}

// request is one line of what the action "requests" tells.
type request struct {
	At       string `json:"at"`
	Listener id.ID  `json:"listener"`
	Client   string `json:"client"`
	Method   string `json:"method"`
	Host     string `json:"host"`
	URI      string `json:"uri"`
	Protocol string `json:"protocol"`
	Status   int    `json:"status"`
	Bytes    int64  `json:"bytes"`
	Millis   int64  `json:"milliseconds"`
	Member   string `json:"member,omitempty"`
	Agent    string `json:"agent,omitempty"`
}

func (s *Service) requests(_ context.Context, r *balancerRow, _ any, st kind.Stream) error {
	s.logs.mu.Lock()
	all := append([]proxy.Entry(nil), s.logs.of[r.ID]...)
	s.logs.mu.Unlock()
	for _, e := range all[max(0, len(all)-kept):] {
		member := ""
		if e.Member.IsValid() {
			member = e.Member.String()
		}
		line := request{At: e.At.UTC().Format("2006-01-02T15:04:05.000Z"), Listener: e.Listener, Client: e.Client, Method: e.Method, Host: e.Host, URI: e.URI, Protocol: e.Protocol,
			Status: e.Status, Bytes: e.Bytes, Millis: e.Took.Milliseconds(), Member: member, Agent: e.Agent}
		if err := st.Emit(line); err != nil {
			return err
		}
	}
	return nil
}
