package linux

import (
	"bufio"
	"context"
	"io"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

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
	if want.Own {
		l.listen(port, want)
		return
	}
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
	if m == nil {
		return l.dials(port, protocol, to)
	}
	if strings.HasPrefix(protocol, "icmp") {
		return fabrictest.Answer{}, m.pings(to.Addr())
	}
	by, as := m.asks(protocol, to.String())
	a, _ := netip.ParseAddr(as)
	return fabrictest.Answer{By: id.ID(by), As: a}, by != ""
}

// listen answers at a port of the cloud's own.
func (l *contractLab) listen(port id.ID, want fabric.Port) {
	for _, n := range fabrictest.Served {
		at := netip.AddrPortFrom(want.Addresses[0], n)
		ln, err := l.lab.Engine.Listen(l.Context(), want.VPC, at)
		if err != nil {
			l.Fatal(err)
		}
		u, err := l.lab.Engine.ListenPacket(l.Context(), want.VPC, at)
		if err != nil {
			l.Fatal(err)
		}
		l.Cleanup(func() { ln.Close(); u.Close() })
		go answerAll(string(port), ln)
		go echoAll(string(port), u)
	}
}

// dials asks from a port of the cloud's own.
func (l *contractLab) dials(port id.ID, protocol string, to netip.AddrPort) (fabrictest.Answer, bool) {
	ctx, cancel := context.WithTimeout(l.Context(), patience)
	defer cancel()
	conn, err := l.lab.Engine.DialFrom(ctx, port, protocol, to)
	if err != nil {
		return fabrictest.Answer{}, false
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	_, _ = io.WriteString(conn, "who am I?")
	line, _ := bufio.NewReader(conn).ReadString('\n')
	by, as, _ := strings.Cut(strings.TrimSpace(line), " ")
	a, _ := netip.ParseAddr(as)
	return fabrictest.Answer{By: id.ID(by), As: a}, by != ""
}

func TestContract(t *testing.T) {
	fabrictest.Run(t, func(t *testing.T) fabrictest.Lab {
		return &contractLab{lab: newLab(t), machines: map[id.ID]*machine{}}
	})
}
