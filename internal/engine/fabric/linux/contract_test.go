package linux

import (
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/fabric"
	"github.com/awancloud/awan/internal/service/fabric/fabrictest"
)

// contractLab sends the contract's questions as real packets.
type contractLab struct {
	*lab
	mu       sync.Mutex
	machines map[id.ID]*machine
}

func (l *contractLab) Engine() fabric.Engine { return l.lab.Engine }

func (l *contractLab) Reopen() {
	l.lab.Engine.Close()
	l.open()
}

func (l *contractLab) Plug(port id.ID, want fabric.Port, s fabric.Subnet, seen fabric.SeenPort) {
	m := boot(l.T, want, seen).configure(s)
	for _, a := range want.Allowed {
		if a.Prefix.IsSingleIP() {
			m.address(a.Prefix)
		}
	}
	for _, p := range fabrictest.Served {
		m.serve(string(port), p)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.machines[port] = m
}

func (l *contractLab) Asks(port id.ID, protocol string, to netip.AddrPort) (fabrictest.Answer, bool) {
	l.mu.Lock()
	m := l.machines[port]
	l.mu.Unlock()
	if strings.HasPrefix(protocol, "icmp") {
		return fabrictest.Answer{}, m.pings(to.Addr())
	}
	by, as := m.asks(protocol, to.String())
	a, _ := netip.ParseAddr(as)
	return fabrictest.Answer{By: id.ID(by), As: a}, by != ""
}

func TestContract(t *testing.T) {
	fabrictest.Run(t, func(t *testing.T) fabrictest.Lab {
		return &contractLab{lab: newLab(t), machines: map[id.ID]*machine{}}
	})
}
