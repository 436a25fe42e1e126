package security_test

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"
)

// inside says to a copy of this test binary that it runs in a network of its own.
const inside = "AWAN_TEST_ALONE"

// proveS15 runs a whole cloud in a network namespace whose only way out is a device that leads nowhere and counts.
func proveS15(t *testing.T) {
	if os.Getenv(inside) != "" {
		alone(t)
		return
	}
	if os.Geteuid() != 0 {
		t.Skip("a network namespace needs root")
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestProperties$/^S15$/^built$", "-test.v")
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "packets left: 0") {
		t.Errorf("%v\n%s", err, out)
	}
}

// alone makes the way out, starts the cloud, uses it, and counts what would have left the machine.
func alone(t *testing.T) {
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"all", "default"} { // else the devices themselves say hello
		if err := os.WriteFile("/proc/sys/net/ipv6/conf/"+name+"/disable_ipv6", []byte("1"), 0); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
	}
	must(netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "nowhere"}, PeerName: "void"}))
	link := map[string]netlink.Link{}
	for _, name := range []string{"lo", "nowhere", "void"} {
		l, err := netlink.LinkByName(name)
		must(err)
		must(netlink.LinkSetUp(l))
		link[name] = l
	}
	addr, err := netlink.ParseAddr("192.0.2.2/24")
	must(err)
	out, gateway := link["nowhere"], net.ParseIP("192.0.2.1")
	must(netlink.AddrAdd(out, addr))
	must(netlink.NeighAdd(&netlink.Neigh{LinkIndex: out.Attrs().Index, IP: gateway, HardwareAddr: link["void"].Attrs().HardwareAddr, State: netlink.NUD_PERMANENT}))
	_, all, err := net.ParseCIDR("0.0.0.0/0")
	must(err)
	must(netlink.RouteAdd(&netlink.Route{Dst: all, Gw: gateway, LinkIndex: out.Attrs().Index}))
	sent := func() uint64 {
		l, err := netlink.LinkByName("nowhere")
		if err != nil {
			t.Fatal(err)
		}
		return l.Attrs().Statistics.TxPackets
	}
	before := sent()
	c, err := net.Dial("udp", "203.0.113.7:53")
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(c, "is anybody there?")
	c.Close()
	if sent() != before+1 {
		t.Fatalf("the counter does not count: %d, then %d", before, sent())
	}
	before = sent()

	w := boot(t, t.TempDir())
	root := w.root()
	w.make(root, "/projects/awan-1/keypair/keypairs", "door", `{}`)
	w.make(root, "/projects/awan-1/app/components", "web", `{"source":{"image":"library/web:1"},"probe":{"type":"none"}}`)
	w.make(root, "/domains/-/identity/users", "alice", `{"password":"correct-horse"}`)
	for _, path := range []string{"/", "/awan/v1/version", "/awan/v1/openapi.json", "/awan/v1/domains/-/audit", "/awan/v1/projects/awan-1/usage", "/v3",
		"/v3/auth/catalog", "/v3/projects", "/v1.0/enterprise-projects", "/v2/"} {
		if got := w.ask("GET", path, "", "X-Auth-Token", root); got.status >= http.StatusInternalServerError {
			t.Errorf("GET %s: %d %s", path, got.status, got.body)
		}
	}
	if got := w.signed("GET", "/iam/v3/users", ""); got.status != http.StatusOK {
		t.Errorf("a signed call: %d %s", got.status, got.body)
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	t.Logf("packets left: %d", sent()-before)
	if n := sent() - before; n != 0 {
		t.Errorf("%d packets would have left the machine", n)
	}
}
