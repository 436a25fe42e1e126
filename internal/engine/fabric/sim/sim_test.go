package sim

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/fabric"
	"github.com/awancloud/awan/internal/service/fabric/fabrictest"
	"github.com/awancloud/awan/internal/service/fabric/reach"
)

type lab struct{ e *Engine }

func (l *lab) Engine() fabric.Engine                                   { return l.e }
func (l *lab) Reopen()                                                 { l.e = l.e.Reopen() }
func (l *lab) Plug(id.ID, fabric.Port, fabric.Subnet, fabric.SeenPort) {}

func (l *lab) Asks(port id.ID, protocol string, to netip.AddrPort) (fabrictest.Answer, bool) {
	p := reach.Packet{Protocol: protocol, To: to.Addr(), Port: to.Port()}
	if strings.HasPrefix(protocol, "icmp") {
		p = reach.Ping(to.Addr().Is6())
		p.To = to.Addr()
	}
	v := l.e.Sends(port, p)
	return fabrictest.Answer{By: v.To, As: v.Source}, v.Passes
}

func TestContract(t *testing.T) {
	fabrictest.Run(t, func(*testing.T) fabrictest.Lab { return &lab{New(Options{})} })
}
