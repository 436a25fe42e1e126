package security_test

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"testing"
	"time"

	wires "github.com/awancloud/awan/internal/engine/fabric/sim"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/fabric/reach"
)

// estate is a cloud with the servers of two tenants, as a fresh install lets people make them, nothing said about rules.
// That real packets meet what the engine without packets answers is the fabric's contract (service/fabric/fabrictest).
type estate struct {
	*whole
	fabric *wires.Engine
	token  string
	at     string           // the first tenant's collections
	ports  map[string]id.ID // by server
}

func openEstate(t *testing.T) *estate {
	w := boot(t, t.TempDir())
	d := w.admin["AWAN_DOMAIN"]
	e := &estate{whole: w, fabric: w.IaaS.Fabric.(*wires.Engine), ports: map[string]id.ID{}}
	e.token = w.logIn(d, w.admin["AWAN_USER"], w.admin["AWAN_PASSWORD"], w.admin["AWAN_PROJECT"])
	e.at = "/projects/" + w.admin["AWAN_PROJECT"] + "/"
	w.make(e.token, "/domains/"+d+"/identity/projects", "annex", `{}`)
	there := w.logIn(d, w.admin["AWAN_USER"], w.admin["AWAN_PASSWORD"], "annex")
	w.make(e.token, e.at+"network/security-groups", "apart", `{}`)
	for _, s := range []struct{ token, at, name, more string }{{e.token, e.at, "web", `,"public_ip":{}`}, {e.token, e.at, "db", ``}, {e.token, e.at, "vault", `,"groups":["apart"]`},
		{there, "/projects/annex/", "theirs", ``}} {
		w.make(s.token, s.at+"compute/servers", s.name, `{"flavor":"m1.tiny","image":"Debian 12"`+s.more+`}`)
		var row struct {
			Resource struct {
				Status struct {
					Cards []struct{ Port id.ID }
				}
			}
		}
		w.native(s.token, "GET", s.at+"compute/servers/"+s.name, nil, &row)
		e.ports[s.name] = row.Resource.Status.Cards[0].Port
	}
	w.IaaS.Networks.Settle()
	return e
}

// questions are what one server may ask of another.
var questions = []struct {
	protocol string
	port     uint16
}{{"tcp", 22}, {"tcp", 80}, {"tcp", 443}, {"tcp", 3389}, {"tcp", 8443}, {"udp", 53}, {"udp", 4789}, {"icmp", 0}}

// matrix asks everything of everybody, and gives what passes: "web→db tcp 22".
func (e *estate) matrix() map[string]reach.Verdict {
	out, world := map[string]reach.Verdict{}, e.fabric.Reach()
	for _, from := range slices.Sorted(maps.Keys(e.ports)) {
		for _, to := range slices.Sorted(maps.Keys(e.ports)) {
			for _, q := range questions {
				if v := world.Between(e.ports[from], e.ports[to], q.protocol, q.port); from != to && v.Passes {
					out[fmt.Sprintf("%s→%s %s %d", from, to, q.protocol, q.port)] = v
				}
			}
		}
	}
	return out
}

// proveS09: what nobody allowed does not pass. Documented is one thing: members of the default group reach each other.
func proveS09(t *testing.T) {
	e := openEstate(t)
	want := map[string]bool{}
	for _, q := range questions {
		want[fmt.Sprintf("web→db %s %d", q.protocol, q.port)], want[fmt.Sprintf("db→web %s %d", q.protocol, q.port)] = true, true
	}
	got := e.matrix()
	for q, v := range got {
		if !want[q] {
			t.Errorf("%s passes: %s", q, v.Why)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d connections pass, %d are documented", len(got), len(want))
	}
	world, outside := e.fabric.Reach(), netip.MustParseAddr("203.0.113.9")
	public := netip.Addr{}
	for _, p := range world.Ports {
		for _, a := range p.Public {
			public = a.Address
		}
	}
	if !public.IsValid() {
		t.Fatal("no server has a public address")
	}
	for _, q := range questions {
		if v := world.Enter(reach.Packet{Protocol: q.protocol, From: outside, To: public, Port: q.port, Type: 8}); v.Passes {
			t.Errorf("from the outside %s %d comes in: %s", q.protocol, q.port, v.Why)
		}
		if v := world.Send(e.ports["db"], reach.Packet{Protocol: q.protocol, From: world.Ports[e.ports["db"]].Addresses[0], To: outside, Port: q.port, Type: 8}); v.Passes {
			t.Errorf("without NAT and a public address %s %d goes out: %s", q.protocol, q.port, v.Why)
		}
	}
}

// proveS10: whatever passes between servers was checked where it left and where it came in.
func proveS10(t *testing.T) {
	got := openEstate(t).matrix()
	if len(got) == 0 {
		t.Fatal("nothing passes: there is nothing to check")
	}
	for q, v := range got {
		if len(v.Checked) < 2 {
			t.Errorf("%s passes unchecked: it was looked at in %q only", q, v.Checked)
		}
	}
}

// proveS20: one call cuts a server, or a whole tenant, off from everybody, and nobody else.
func proveS20(t *testing.T) {
	e := openEstate(t)
	cut := func(what string, gone func(q string) bool, call func()) {
		t.Helper()
		before := e.matrix()
		call()
		began, left := time.Now(), ""
		for time.Since(began) < 10*time.Second {
			e.IaaS.Networks.Settle()
			left = ""
			now := e.matrix()
			for q := range before {
				if _, passes := now[q]; passes == gone(q) {
					left = q
				}
			}
			if left == "" {
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
		t.Errorf("%s: ten seconds later %s is wrong", what, left)
	}
	all := func(string) bool { return true }
	cut("the port of web", all, func() {
		e.native(e.token, "POST", e.at+"network/ports/"+string(e.ports["web"])+"/actions/quarantine", map[string]string{"reason": "it scans"}, nil)
	})
	e.native(e.token, "POST", e.at+"network/ports/"+string(e.ports["web"])+"/actions/release", map[string]any{}, nil)
	e.IaaS.Networks.Settle()
	if len(e.matrix()) == 0 {
		t.Error("after the release nothing passes")
	}
	cut("the whole tenant", all, func() {
		e.native(e.token, "POST", e.at+"network/vpcs/actions/quarantine-project", map[string]string{"reason": "it scans"}, nil)
	})
}
