package linux

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/fabric"
)

// TestARestartIsNotFelt pings all the time while the engine is closed, opened, and told everything again.
func TestARestartIsNotFelt(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	s := subnet("10.0.0.0/24")
	v := fabric.VPC{Subnets: []fabric.Subnet{s}}
	vpc := l.vpc(v)
	g := l.group(everything...)
	var ports []id.ID
	var wants []fabric.Port
	var machines []*machine
	for i := range 4 {
		name, want, seen := l.port(vpc, s, fmt.Sprintf("10.0.0.%d", 10+i), g)
		ports, wants, machines = append(ports, name), append(wants, want), append(machines, boot(t, want, seen).configure(s))
	}
	until(t, "a ping", func() bool { return machines[0].pings(wants[1].Addresses[0]) })
	var sent, lost atomic.Int64
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- machines[0].in(func() error {
			for ctx.Err() == nil {
				sent.Add(1)
				if ping(wants[1].Addresses[0], 5*time.Second) != nil { // lost, not late
					lost.Add(1)
				}
			}
			return nil
		})
	}()
	for range 3 {
		l.Engine.Close()
		l.open()
		if err := l.EnsureVPC(t.Context(), vpc, v); err != nil {
			t.Fatal(err)
		}
		if err := l.EnsureGroup(t.Context(), g, fabric.Group{Rules: everything}); err != nil {
			t.Fatal(err)
		}
		for i := range ports {
			if _, err := l.EnsurePort(t.Context(), ports[i], wants[i]); err != nil {
				t.Fatal(err)
			}
		}
	}
	until(t, "some pings", func() bool { return sent.Load() > 100 })
	stop()
	<-done
	if lost.Load() > 0 {
		t.Errorf("%d of %d pings were lost", lost.Load(), sent.Load())
	}
	t.Logf("%d pings", sent.Load())
}

// TestTwoCloudsDoNotMeet runs two engines on this machine with the same addresses.
func TestTwoCloudsDoNotMeet(t *testing.T) {
	t.Parallel()
	one, two := newLab(t), newLab(t)
	s := subnet("10.0.0.0/24")
	for n, l := range []*lab{one, two} {
		vpc := l.vpc(fabric.VPC{Subnets: []fabric.Subnet{s}, NAT: []fabric.NAT{{From: []netip.Prefix{s.CIDR}}}})
		g := l.group(everything...)
		for i := range 2 {
			name, want, seen := l.port(vpc, s, fmt.Sprintf("10.0.0.%d", 10+i), g)
			want.Public = []fabric.Public{{Address: netip.AddrFrom4([4]byte{203, 0, 113, byte(100 + 10*n + i)})}}
			if _, err := l.EnsurePort(t.Context(), name, want); err != nil {
				t.Fatal(err)
			}
			m := boot(t, want, seen).configure(s)
			m.serve(fmt.Sprintf("%d-%d", n, i), 80)
			if i == 1 {
				until(t, "its neighbour", func() bool { by, _ := m.asks("tcp", "10.0.0.10:80"); return by == fmt.Sprintf("%d-0", n) })
				other := fmt.Sprintf("203.0.113.%d:80", 100+10*(1-n))
				if by, _ := m.asks("tcp", other); by != "" {
					t.Errorf("a machine of one cloud reaches %s of another", other)
				}
			}
		}
	}
	for _, l := range []*lab{one, two} {
		if list, err := l.Drift(t.Context(), false); err != nil || len(list) > 0 {
			t.Errorf("drift: %v, %v", list, err)
		}
	}
	if err := Purge(t.Context(), one.key, ""); err != nil {
		t.Fatal(err)
	}
	if list, err := two.Drift(t.Context(), false); err != nil || len(list) > 0 {
		t.Errorf("drift after the other cloud is gone: %v, %v", list, err)
	}
	if left := traces(one.key); left != "" {
		t.Errorf("left over: %s", left)
	}
}

func TestLimits(t *testing.T) {
	l := newLab(t)
	s := subnet("10.0.0.0/24")
	v, w := l.vpc(fabric.VPC{Subnets: []fabric.Subnet{s}}), l.vpc(fabric.VPC{Subnets: []fabric.Subnet{s}})
	g := l.group(everything...)
	slow, slowWant, slowSeen := l.port(v, s, "10.0.0.10", g)
	a := boot(t, slowWant, slowSeen).configure(s)
	b := l.machine(v, s, "10.0.0.11", g)
	far, farWant, farSeen := l.port(w, s, "10.0.0.12", g)
	c := boot(t, farWant, farSeen).configure(s)
	sink := func(m *machine) {
		var ln net.Listener
		if err := m.in(func() (err error) { ln, err = net.Listen("tcp", ":9"); return err }); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { ln.Close() })
		go func() {
			for {
				c, err := ln.Accept()
				if err != nil {
					return
				}
				go func() {
					n, _ := io.Copy(io.Discard, io.LimitReader(c, 1<<40))
					fmt.Fprintln(c, n)
					c.Close()
				}()
			}
		}()
	}
	sink(a)
	sink(b)
	sink(c)
	// rate sends for a while and tells how many Mbit/s arrived.
	rate := func(m *machine, to string) float64 {
		var mbit float64
		err := m.in(func() error {
			conn, err := net.DialTimeout("tcp", to, 3*time.Second)
			if err != nil {
				return err
			}
			defer conn.Close()
			begin := time.Now()
			buf := make([]byte, 64<<10)
			for time.Since(begin) < 700*time.Millisecond {
				_ = conn.SetWriteDeadline(time.Now().Add(5 * time.Second))
				if _, err := conn.Write(buf); err != nil {
					return err
				}
			}
			if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
				return err
			}
			_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
			line, err := bufio.NewReader(conn).ReadString('\n')
			var n float64
			_, _ = fmt.Sscan(line, &n)
			mbit = n * 8 / 1e6 / time.Since(begin).Seconds()
			return err
		})
		if err != nil {
			t.Error(err)
		}
		return mbit
	}
	free := rate(b, "10.0.0.10:9")
	t.Logf("without a limit: %.0f Mbit/s", free)
	const limit = 40
	slowWant.MaxMbit = limit
	if _, err := l.EnsurePort(t.Context(), slow, slowWant); err != nil {
		t.Fatal(err)
	}
	for name, got := range map[string]float64{"in": rate(b, "10.0.0.10:9"), "out": rate(a, "10.0.0.11:9")} {
		t.Logf("%s: %.1f Mbit/s", name, got)
		if got > limit*1.3 || got < limit*0.4 {
			t.Errorf("%s: %.1f Mbit/s under a limit of %d", name, got, limit)
		}
	}
	slowWant.MaxMbit = 0
	slowWant.Public = []fabric.Public{{Address: netip.MustParseAddr("203.0.113.50"), Mbit: limit}}
	farWant.Public = []fabric.Public{{Address: netip.MustParseAddr("203.0.113.51")}}
	for name, want := range map[id.ID]fabric.Port{slow: slowWant, far: farWant} {
		if _, err := l.EnsurePort(t.Context(), name, want); err != nil {
			t.Fatal(err)
		}
	}
	if got := rate(b, "10.0.0.10:9"); free > 4*limit && got < 2*limit {
		t.Errorf("inside, the limit of the public address is felt: %.1f Mbit/s", got)
	}
	for name, got := range map[string]float64{"in": rate(c, "203.0.113.50:9"), "out": rate(a, "203.0.113.51:9")} {
		t.Logf("public, %s: %.1f Mbit/s", name, got)
		if got > limit*1.3 || got < limit*0.3 {
			t.Errorf("public, %s: %.1f Mbit/s under a limit of %d", name, got, limit)
		}
	}
	if list, err := l.Drift(t.Context(), false); err != nil || len(list) > 0 {
		t.Errorf("drift: %v, %v", list, err)
	}
}

// story makes, changes and removes networks for ever; TestKilled kills it.
func story(key string) {
	ctx := context.Background()
	e, err := Open(ctx, Options{Key: key})
	if err != nil {
		panic(err)
	}
	s := fabric.Subnet{ID: "s", CIDR: netip.MustParsePrefix("10.0.0.0/24"), Gateway: netip.MustParseAddr("10.0.0.1"), DHCP: true}
	u := fabric.Subnet{ID: "u", CIDR: netip.MustParsePrefix("10.1.0.0/24"), Gateway: netip.MustParseAddr("10.1.0.1")}
	v, w := id.ID(strings.Repeat("1", 32)), id.ID(strings.Repeat("2", 32))
	fmt.Println("begun")
	for n := 0; ; n++ {
		one := fabric.VPC{Subnets: []fabric.Subnet{s}, Peers: []fabric.Peer{{VPC: w, Prefixes: []netip.Prefix{u.CIDR}}}}
		if n%2 == 0 {
			one.NAT = []fabric.NAT{{From: []netip.Prefix{s.CIDR}, Public: netip.MustParseAddr("203.0.113.19")}}
		}
		steps := []error{e.EnsureVPC(ctx, v, one), e.EnsureVPC(ctx, w, fabric.VPC{Subnets: []fabric.Subnet{u}, Peers: []fabric.Peer{{VPC: v, Prefixes: []netip.Prefix{s.CIDR}}}}),
			e.EnsureGroup(ctx, "g", fabric.Group{Rules: everything})}
		for i := range 3 {
			p := id.ID(fmt.Sprintf("%032d", i))
			_, err := e.EnsurePort(ctx, p, fabric.Port{VPC: v, Subnet: "s", MAC: net.HardwareAddr{2, 0, 0, 0, 3, byte(i)}, Groups: []id.ID{"g"}, Addresses: []netip.Addr{netip.AddrFrom4([4]byte{10, 0, 0, byte(10 + i)})}})
			steps = append(steps, err)
		}
		if n%3 == 2 {
			for i := range 3 {
				steps = append(steps, e.DestroyPort(ctx, id.ID(fmt.Sprintf("%032d", i))))
			}
			steps = append(steps, e.DestroyGroup(ctx, "g"), e.DestroyVPC(ctx, v), e.DestroyVPC(ctx, w))
		}
		for _, err := range steps {
			if err != nil {
				fmt.Println("failed:", err)
			}
		}
	}
}

func TestMain(m *testing.M) {
	if key := os.Getenv("AWAN_TEST_STORY"); key != "" {
		story(key)
	}
	os.Exit(m.Run())
}

// TestKilled kills a process in the middle of its work, again and again: the next one takes over what it left, and what is
// destroyed in the end is gone.
func TestKilled(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	rounds := 6
	if os.Getenv("AWAN_LONG") == "1" {
		rounds = 50
	}
	for n := range rounds {
		cmd := exec.CommandContext(t.Context(), must(os.Executable()))
		cmd.Env = append(os.Environ(), "AWAN_TEST_STORY="+l.key)
		out := must(cmd.StdoutPipe())
		cmd.Stderr = os.Stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		r := bufio.NewReader(out)
		if line, err := r.ReadString('\n'); err != nil || line != "begun\n" {
			t.Fatalf("%q, %v", line, err)
		}
		time.Sleep(time.Duration(20+n*37%200) * time.Millisecond) // the moment is the point
		_ = cmd.Process.Kill()
		rest, _ := io.ReadAll(r)
		_ = cmd.Wait()
		if len(rest) > 0 {
			t.Errorf("after kill %d: %s", n, rest)
		}
	}
	l.Engine.Close()
	l.open()
	if _, err := l.Drift(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	if list, err := l.Drift(t.Context(), false); err != nil || len(list) > 0 {
		t.Errorf("after repairing: %v, %v", list, err)
	}
	for _, kind := range []struct {
		list    func(context.Context) func(func(id.ID, error) bool)
		destroy func(context.Context, id.ID) error
	}{
		{func(c context.Context) func(func(id.ID, error) bool) { return l.Ports(c) }, l.DestroyPort},
		{func(c context.Context) func(func(id.ID, error) bool) { return l.Groups(c) }, l.DestroyGroup},
		{func(c context.Context) func(func(id.ID, error) bool) { return l.VPCs(c) }, l.DestroyVPC},
	} {
		for name, err := range kind.list(t.Context()) {
			if err == nil {
				err = kind.destroy(t.Context(), name)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	if left := traces(l.key); left != "" {
		t.Errorf("left over: %s", left)
	}
	if files, _ := filepath.Glob(filepath.Join("/run/awan-net", l.key, "*")); len(files) > 0 {
		t.Errorf("left over: %v", files)
	}
}
