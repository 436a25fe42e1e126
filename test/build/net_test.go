package build_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
)

// testNet is a network for build steps that reaches public addresses and the host's name servers alone, and those ports of this
// machine that a test opens, made with the ip and nft commands. The product's own is an engine of its own.
type testNet struct {
	key string
	mu  sync.Mutex
	n   int
}

func newTestNet(t *testing.T, ports ...string) *testNet {
	t.Helper()
	for _, program := range []string{"ip", "nft"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skip(program + " is not installed")
		}
	}
	n := &testNet{key: fmt.Sprintf("awant%d", os.Getpid()%10000)}
	servers := "192.0.2.255"
	text, _ := os.ReadFile("/etc/resolv.conf")
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) == 2 && f[0] == "nameserver" && !strings.Contains(f[1], ":") && !strings.HasPrefix(f[1], "127.") {
			servers += ", " + f[1]
		}
	}
	open := "" // of this machine, to steps
	for _, p := range ports {
		open += "ip saddr 10.213.0.0/16 tcp dport " + p + " accept; "
	}
	rules := fmt.Sprintf(`table ip %[1]s {
	chain nat { type nat hook postrouting priority srcnat; ip saddr 10.213.0.0/16 masquerade; }
	chain forward { type filter hook forward priority 0;
		ip saddr 10.213.0.0/16 ip daddr { %[2]s } accept
		ip saddr 10.213.0.0/16 ip daddr { 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, 169.254.0.0/16, 127.0.0.0/8 } drop
	}
	chain input { type filter hook input priority 0; %[3]sip saddr 10.213.0.0/16 drop; }
}`, n.key, servers, open)
	c := exec.Command("nft", "-f", "-")
	c.Stdin = strings.NewReader(rules)
	if out, err := c.CombinedOutput(); err != nil {
		t.Skipf("nft does not work here: %s", out)
	}
	before, _ := os.ReadFile("/proc/sys/net/ipv4/ip_forward")
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0); err != nil {
		t.Skip("forwarding cannot be switched on here")
	}
	t.Cleanup(func() {
		_ = os.WriteFile("/proc/sys/net/ipv4/ip_forward", before, 0)
		_ = exec.Command("nft", "delete", "table", "ip", n.key).Run()
	})
	return n
}

func (n *testNet) Attach(ctx context.Context, _ string) (string, func(), error) {
	n.mu.Lock()
	n.n++
	i := n.n
	n.mu.Unlock()
	ns, out, in := fmt.Sprintf("%s-%d", n.key, i), fmt.Sprintf("%sv%d", n.key, i), fmt.Sprintf("%se%d", n.key, i)
	script := fmt.Sprintf(`set -e
ip netns add %[1]s
ip link add %[2]s type veth peer name %[3]s
ip link set %[3]s netns %[1]s name eth0
ip addr add 10.213.%[4]d.1/24 dev %[2]s
ip link set %[2]s up
ip -n %[1]s addr add 10.213.%[4]d.2/24 dev eth0
ip -n %[1]s link set eth0 up
ip -n %[1]s link set lo up
ip -n %[1]s route add default via 10.213.%[4]d.1`, ns, out, in, i)
	release := func() {
		_ = exec.Command("ip", "link", "del", out).Run()
		_ = exec.Command("ip", "netns", "del", ns).Run()
	}
	if text, err := exec.CommandContext(ctx, "sh", "-c", script).CombinedOutput(); err != nil {
		release()
		return "", nil, fmt.Errorf("%w: %s", err, text)
	}
	return "/var/run/netns/" + ns, release, nil
}
