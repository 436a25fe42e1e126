package workloadtest

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/workload"
)

// serve is an instance that answers on port 8080.
func (k *kit) serve(tenant string) (id.ID, netip.AddrPort) {
	k.Helper()
	w := k.shell("mkdir -p /www; echo hello > /www/index.html; echo ready; exec httpd -f -p 8080 -h /www")
	w.Network.Tenant = tenant
	i, s := k.start(w)
	addr := netip.AddrPortFrom(s.Address, 8080)
	k.untilLine(i, "ready")
	for range 200 {
		if k.connects(addr.String()) {
			return i, addr
		}
		if k.ctx.Err() != nil {
			break
		}
	}
	k.Fatalf("%s cannot be reached from the host", addr)
	return i, addr
}

func (k *kit) client(tenant string, egress workload.Egress) id.ID {
	k.Helper()
	w := k.shell("sleep 600")
	w.Network = workload.Network{Tenant: tenant, Egress: egress}
	i, _ := k.start(w)
	return i
}

// reaches tells whether an instance gets an HTTP answer.
func (k *kit) reaches(i id.ID, addr netip.AddrPort) bool {
	k.Helper()
	// Not wget: a static busybox has no name service and crashes looking for one.
	_, out := k.exec(i, "sh", "-c", fmt.Sprintf("printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 2 %s %d", addr.Addr(), addr.Port()))
	return strings.Contains(out, "hello")
}

func isolation(t *testing.T, k *kit) {
	k.needs("network policy")
	a, b := k.tenant+"a", k.tenant+"b"
	_, serverA := k.serve(a)
	_, serverB := k.serve(b)
	clientA, open := k.client(a, workload.EgressNone), k.client(a, workload.EgressInternet)
	if !k.reaches(clientA, serverA) {
		t.Error("an instance does not reach another of its tenant")
	}
	if k.reaches(clientA, serverB) {
		t.Error("an instance reaches another tenant's")
	}
	if k.reaches(open, serverB) {
		t.Error("an instance with egress reaches another tenant's")
	}
	if !k.reaches(open, serverA) {
		t.Error("an instance with egress does not reach its own tenant's")
	}
	code, _ := k.exec(clientA, "ping", "-c", "1", "-W", "1", serverB.Addr().String())
	if code == 0 {
		t.Error("ping reaches another tenant's")
	}
}

func hostOutOfReach(t *testing.T, k *kit) {
	k.needs("network policy")
	l, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Write([]byte("HTTP/1.0 200 OK\r\nContent-Length: 6\r\n\r\nhello\n"))
			c.Close()
		}
	}()
	port := uint16(l.Addr().(*net.TCPAddr).Port)
	closed, open := k.client(k.tenant, workload.EgressNone), k.client(k.tenant, workload.EgressInternet)
	for _, i := range []id.ID{closed, open} {
		s := k.observe(i)
		prefix, _ := s.Address.Prefix(16)
		targets := []netip.Addr{prefix.Addr().Next()}
		if k.HostIP != "" {
			targets = append(targets, netip.MustParseAddr(k.HostIP))
		}
		targets = append(targets, netip.MustParseAddr("169.254.1.1"), netip.MustParseAddr("169.254.169.254"))
		for _, a := range targets {
			if k.reaches(i, netip.AddrPortFrom(a, port)) {
				t.Errorf("an instance reaches the host at %s", a)
			}
		}
	}
	// The host may open connections to it: that is how probes and the ingress come in.
	k.serve(k.tenant)
}

func spoofing(t *testing.T, k *kit) {
	k.needs("network policy")
	i := k.client(k.tenant, workload.EgressNone)
	for _, try := range []string{"ip addr add 10.0.0.1/8 dev eth0", "ip link set eth0 address 02:00:00:00:00:01", "ip route add default dev eth0 metric 1", "arping -c 1 -I eth0 169.254.1.1"} {
		if code, out := k.exec(i, "sh", "-c", try); code == 0 {
			t.Errorf("%q is allowed: %s", try, out)
		}
	}
}

func hostAliases(t *testing.T, k *kit) {
	w := k.shell("cat /etc/hosts; hostname; sleep 60")
	w.Hostname = "web-1"
	w.Network.HostAliases = map[string]netip.Addr{"db.internal": netip.MustParseAddr("10.1.2.3")}
	i, s := k.start(w)
	k.until(i, "its own name comes after the file", func(workload.Seen) bool {
		return strings.HasSuffix(texts(k.lines(i, workload.LogQuery{})), "stdout:web-1")
	})
	got := texts(k.lines(i, workload.LogQuery{}))
	for _, want := range []string{"10.1.2.3\tdb.internal", s.Address.String() + "\tweb-1", "stdout:web-1"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in %q", want, got)
		}
	}
}

// namesChange: a tenant's names reach instances that run already, and nobody else's.
func namesChange(t *testing.T, k *kit) {
	i := k.client(k.tenant, workload.EgressNone)
	other := k.client("other-"+k.tenant, workload.EgressNone)
	hosts := func(of id.ID) string { _, out := k.exec(of, "cat", "/etc/hosts"); return out }
	say := func(names map[string]netip.Addr) {
		if err := k.Engine.Names(k.ctx, k.tenant, names); err != nil {
			t.Fatal(err)
		}
	}
	say(map[string]netip.Addr{"cart.internal": netip.MustParseAddr("10.1.2.3"), "a-long-name-of-a-component.internal": netip.MustParseAddr("10.1.2.3")})
	if got := hosts(i); !strings.Contains(got, "10.1.2.3\tcart.internal\n") || !strings.Contains(got, "localhost") {
		t.Errorf("%q", got)
	}
	say(map[string]netip.Addr{"web.internal": netip.MustParseAddr("10.1.2.3")})
	if got := hosts(i); strings.Contains(got, "a-long-name") || !strings.HasSuffix(got, "10.1.2.3\tweb.internal\n") {
		t.Errorf("%q", got)
	}
	if got := hosts(k.client(k.tenant, workload.EgressNone)); !strings.HasSuffix(got, "web.internal\n") {
		t.Errorf("a later instance sees %q", got)
	}
	if got := hosts(other); strings.Contains(got, "internal") {
		t.Errorf("another tenant sees %q", got)
	}
}

// trusts: an instance trusts what it is given beside what its image does, and what it says itself wins.
func trusts(t *testing.T, k *kit) {
	const pem = "-----BEGIN CERTIFICATE-----\nb3Vycw==\n-----END CERTIFICATE-----\n"
	w := k.shell("cat $NODE_EXTRA_CA_CERTS; grep -c BEGIN $SSL_CERT_FILE; tail -n 2 $SSL_CERT_FILE; echo requests=$REQUESTS_CA_BUNDLE; echo end; sleep 60")
	w.Trust, w.Env = []byte(pem), map[string]string{"REQUESTS_CA_BUNDLE": "/mine"}
	i, _ := k.start(w)
	k.untilLine(i, "end")
	got := texts(k.lines(i, workload.LogQuery{}))
	for _, want := range []string{"b3Vycw==", "requests=/mine"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in %q", want, got)
		}
	}
	if strings.Count(got, "END CERTIFICATE") != 2 {
		t.Errorf("ours is not the last of the roots: %q", got)
	}
}
