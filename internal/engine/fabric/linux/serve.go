package linux

import (
	"io"
	"slices"

	"github.com/awancloud/awan/internal/kernel/id"
)

// served is what this process answers and reads in a VPC, by what it is called in the log.
type served map[string]io.Closer

// serve begins to answer in a VPC what it needs, or goes on. What fails is tried again with the next change.
func (e *Engine) serve(vpc id.ID, s *space) {
	if e.served[vpc] == nil {
		e.served[vpc] = served{}
	}
	here, v := e.served[vpc], e.view(vpc)
	four, six, logged := false, false, false
	for _, s := range v.want.Subnets {
		four = four || s.DHCP && s.CIDR.IsValid()
		six = six || s.CIDR6.IsValid()
	}
	logged = slices.ContainsFunc(v.ports, func(p id.ID) bool { return e.w.Ports[p].FlowLog })
	for _, part := range []struct {
		name   string
		needed bool
		start  func(id.ID, *space) (io.Closer, error)
	}{
		{"DHCP", four, e.serveDHCP},
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
	_ = six
}

func (e *Engine) unserve(vpc id.ID) {
	for _, c := range e.served[vpc] {
		_ = c.Close()
	}
	delete(e.served, vpc)
}
