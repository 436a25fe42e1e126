package security_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/awancloud/awan/test/cloudtest"
)

// isolated starts the real program in a network without a way out, and runs an app in it.
func isolated(t *testing.T) (*cloudtest.Process, *cloudtest.Client) {
	t.Helper()
	p := cloudtest.New(t, cloudtest.Binary(t, t.TempDir()), t.TempDir(), "--log-level", "warn")
	p.Isolate()
	p.Start()
	c := p.Admin()
	c.PushWeb("web:1", "alone in the world")
	web := c.Deploy("web", "web:1", nil)
	cloudtest.Wait(t, 5*time.Second, func() string {
		if code, body := c.Get(web.Status.URL); body != "alone in the world" {
			return fmt.Sprintf("the app answers %d %q", code, body)
		}
		return ""
	})
	return p, c
}

// programAlone runs the program where there is no route: all that it does works, and it tried to reach nothing. The kernel
// counts every packet and every connection for which there was no route.
func programAlone(t *testing.T) {
	p, c := isolated(t)
	c.Must("POST", c.Components()+"/web/actions/scale", map[string]any{"replicas": 2})
	c.Must("DELETE", c.Components()+"/web?purge=true", nil)
	if n := noRoute(t, p.Pid()); n != 0 {
		t.Errorf("it tried %d times to reach an address beyond this machine", n)
	}
	for _, addr := range []string{"192.0.2.1:443", "[2001:db8::1]:443"} { // would it be seen if it did?
		before := noRoute(t, p.Pid())
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		if conn, err := p.Dial(ctx, "tcp", addr); err == nil {
			t.Errorf("there is a way to %s", addr)
			_ = conn.Close()
		}
		cancel()
		if after := noRoute(t, p.Pid()); after == before {
			t.Errorf("an attempt to reach %s was not counted: this proves nothing", addr)
		}
	}
}

// noRoute is how often something in the process's network wanted to send where no route leads.
func noRoute(t *testing.T, pid int) (n int) {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/snmp", pid))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	found := false
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if f[0] != "Ip:" {
			continue
		}
		if names == nil {
			names = f
			continue
		}
		v, err := strconv.Atoi(f[slices.Index(names, "OutNoRoutes")])
		if err != nil {
			t.Fatal(err)
		}
		n, found = n+v, true
	}
	b, err = os.ReadFile(fmt.Sprintf("/proc/%d/net/snmp6", pid))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) == 2 && f[0] == "Ip6OutNoRoutes" {
			v, err := strconv.Atoi(f[1])
			if err != nil {
				t.Fatal(err)
			}
			n += v
		}
	}
	if !found {
		t.Fatal("the kernel does not count OutNoRoutes")
	}
	return n
}

// socketsOfTheProcess looks at every socket of the real program's network that takes connections or packets: each must
// be the one listener, which speaks TLS and sends plain HTTP away, or the gateway of the instances, which speaks it with
// nobody else.
func socketsOfTheProcess(t *testing.T) {
	p, _ := isolated(t)
	main := netip.MustParseAddrPort(p.Addr())
	found := 0
	for _, table := range []string{"tcp", "tcp6", "udp", "udp6", "raw", "raw6"} {
		for _, at := range bound(t, p.Pid(), table) {
			if (table == "tcp" || table == "udp") && at.Addr().IsLoopback() && answersDNS(t, p, table, at) {
				continue // the name server: what it says is for everybody, and it says nothing of others' zones
			}
			gateway := table == "tcp" && at.Addr().IsPrivate() && at.Addr().As4()[2] == 0 && at.Addr().As4()[3] == 1
			if at.Port() != main.Port() && !gateway || !strings.HasPrefix(table, "tcp") {
				t.Errorf("there is a %s socket at %s", table, at)
				continue
			}
			if !gateway {
				found++
			}
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			conn, err := p.Dial(ctx, "tcp", at.String())
			if err != nil {
				t.Fatal(err)
			}
			speaks := tls.Client(conn, &tls.Config{InsecureSkipVerify: true}) // whose certificate it is, other rows ask
			if err := speaks.HandshakeContext(ctx); gateway && (err == nil || !strings.Contains(err.Error(), "remote error: tls")) {
				t.Errorf("%s lets in who is no instance: %v", at, err)
			} else if !gateway && err != nil {
				t.Errorf("%s does not speak TLS: %v", at, err)
			}
			_ = conn.Close()
			if conn, err = p.Dial(ctx, "tcp", at.String()); err != nil {
				t.Fatal(err)
			}
			inClear(t, conn, at)
		}
	}
	if found < 2 { // the main address and the app's
		t.Errorf("%d listening sockets were found", found)
	}
}

// answersDNS tells whether a socket is the name server: it refuses, in DNS, to speak of a name that is not its own.
func answersDNS(t *testing.T, p *cloudtest.Process, network string, at netip.AddrPort) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	conn, err := p.Dial(ctx, network, at.String())
	if err != nil {
		return false
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(2 * time.Second))
	c := &dns.Conn{Conn: conn}
	if c.WriteMsg(new(dns.Msg).SetQuestion("example.org.", dns.TypeA)) != nil {
		return false
	}
	r, err := c.ReadMsg()
	return err == nil && r.Rcode == dns.RcodeRefused && len(r.Answer) == 0
}

// inClear asks in clear text; anything but a refusal or the way to the encrypted address is a finding.
func inClear(t *testing.T, conn net.Conn, at netip.AddrPort) {
	t.Helper()
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	_, _ = fmt.Fprintf(conn, "GET /awan/v1/version HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", at)
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err == io.EOF {
		return
	}
	if !strings.Contains(line, " 30") && !strings.Contains(line, " 4") {
		t.Errorf("%s answers clear text with %q, %v", at, line, err)
	}
}

// bound lists the local addresses of a table of /proc/net that listen or have no peer.
func bound(t *testing.T, pid int, table string) (out []netip.AddrPort) {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/%s", pid, table))
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	const listening = "0A"
	for line := range bytes.Lines(b) {
		f := strings.Fields(string(line))
		if len(f) < 4 || !strings.HasSuffix(f[0], ":") || strings.HasPrefix(table, "tcp") && f[3] != listening {
			continue
		}
		host, port, _ := strings.Cut(f[1], ":")
		raw, err := hex.DecodeString(host)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(raw); i += 4 { // words in the machine's order
			slices.Reverse(raw[i : i+4])
		}
		addr, ok := netip.AddrFromSlice(raw)
		n, err := strconv.ParseUint(port, 16, 16)
		if !ok || err != nil {
			t.Fatalf("%q", line)
		}
		out = append(out, netip.AddrPortFrom(addr.Unmap(), uint16(n)))
	}
	return out
}
