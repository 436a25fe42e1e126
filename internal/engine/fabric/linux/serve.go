package linux

import (
	"io"
	"slices"

	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/fabric"
)

// served is what this process answers and reads in a VPC, by what it is called in the log.
type served map[string]io.Closer

// serve begins to answer in a VPC what it needs, or goes on. What fails is tried again with the next change.
func (e *Engine) serve(vpc id.ID, s *space) {
	if e.served[vpc] == nil {
		e.served[vpc] = served{}
	}
	here, v := e.served[vpc], e.view(vpc)
	four, six := false, false
	for _, s := range v.want.Subnets {
		four = four || s.DHCP && s.CIDR.IsValid()
		six = six || s.DHCP && s.CIDR6.IsValid()
	}
	shared := slices.ContainsFunc(v.ports, func(p id.ID) bool {
		return slices.ContainsFunc(e.w.Ports[p].Allowed, func(a fabric.AddressPair) bool { return a.Prefix.IsSingleIP() })
	})
	logged := slices.ContainsFunc(v.ports, func(p id.ID) bool { return e.w.Ports[p].FlowLog })
	for _, part := range []struct {
		name   string
		needed bool
		start  func(id.ID, *space) (io.Closer, error)
	}{
		{"DHCP", four, e.serveDHCP},
		{"DHCPv6", six, e.serveDHCP6},
		{"router advertisements", six || shared, e.advertise},
		{"address announcements", shared, e.overhear},
		{"flow log", logged, e.watch},
	} {
		switch have := here[part.name]; {
		case part.needed && have == nil:
			c, err := part.start(vpc, s)
			if err != nil {
				e.log.Error("a part of the network does not answer", "part", part.name, "vpc", vpc, "error", err)
				continue
			}
			here[part.name] = c
		case !part.needed && have != nil:
			_ = have.Close()
			delete(here, part.name)
		}
	}
	if c, ok := here["DHCPv6"].(*socket6); ok {
		if err := c.join(dhcpServers, e.indexes(vpc, s)); err != nil {
			e.log.Error("DHCPv6 does not hear all machines", "vpc", vpc, "error", err)
		}
	}
}

func (e *Engine) unserve(vpc id.ID) {
	for _, c := range e.served[vpc] {
		_ = c.Close()
	}
	delete(e.served, vpc)
}
