// Package packets sends real packets through what services promise: load balancers reach their members, private names are
// answered in their VPCs. Clients and members are network namespaces at ports of the engine that carries packets on one machine.
package packets

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/awancloud/awan/internal/cloud/iaas"
	disks "github.com/awancloud/awan/internal/engine/disk/sim"
	"github.com/awancloud/awan/internal/engine/fabric/linux"
	makers "github.com/awancloud/awan/internal/engine/image/sim"
	machines "github.com/awancloud/awan/internal/engine/machine/sim"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/job"
	"github.com/awancloud/awan/internal/kernel/kerneltest"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/ledger"
	"github.com/awancloud/awan/internal/kernel/secret"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/kernel/store/mem"
	"github.com/awancloud/awan/internal/service/balancer"
	"github.com/awancloud/awan/internal/service/dns"
	"github.com/awancloud/awan/internal/service/network"
)

// cloud is networks that carry packets, and load balancers in them.
type cloud struct {
	*testing.T
	*kerneltest.Kernel
	*iaas.IaaS
	on       store.Store
	key      string
	public   netip.Prefix // no other cloud on this machine has it
	sealer   *secret.Sealer
	engine   *linux.Engine
	balancer *balancer.Service
	names    *dns.Service
}

func open(t *testing.T) *cloud {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	c := &cloud{T: t, on: mem.New(), key: strings.ToLower(rand.Text()[:6])}
	var some [2]byte
	_, _ = rand.Read(some[:])
	c.public = netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 19, some[0], some[1] &^ 15}), 28)
	var err error
	if c.sealer, err = secret.OpenSealer(t.TempDir()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := linux.Purge(context.Background(), c.key, ""); err != nil {
			t.Error(err)
		}
	})
	c.make()
	c.Kernel = kerneltest.StartNow(t, c.on, nil, slices.Concat(c.IaaS.Kinds(), c.balancer.Kinds(), c.names.Kinds())...)
	c.start()
	t.Cleanup(func() { c.stop() })
	return c
}

// make makes the services, as a process does that starts.
func (c *cloud) make() {
	c.Helper()
	log := slog.New(slog.NewTextHandler(c.Output(), nil))
	var err error
	if c.engine, err = linux.Open(c.Context(), linux.Options{Key: c.key, Log: log}); err != nil {
		c.Skip(err)
	}
	c.IaaS, err = iaas.New(iaas.Deps{Store: c.on, Fabric: c.engine, Machine: machines.New(machines.Options{}), Disk: disks.New(disks.Options{}), Maker: makers.Maker{Names: []string{"debian"}},
		Door: func() *call.Door { return c.Kernel.Door }, Sealer: c.sealer, Region: "awan-1", HostName: "here", Dir: c.TempDir(),
		PublicIPs: []network.Pool{{Name: "public", Prefix: c.public}}, Now: time.Now, Log: log})
	if err != nil {
		c.Fatal(err)
	}
	c.balancer = balancer.New(balancer.Deps{Store: c.on, Networks: iaas.Balancers(c.Networks), Fabric: c.engine, Now: time.Now, Log: log})
	c.names = dns.New(dns.Deps{Store: c.on, Networks: iaas.Zones(c.Networks), NameServers: []string{"ns1.awan.test"}, Now: time.Now, Log: log})
	c.Networks.Names = c.names.Answer
}

func (c *cloud) start() {
	c.Helper()
	c.IaaS.Ident, c.balancer.Host = c.Kernel.Ident, c.Kernel.Door
	if err := c.Networks.Start(c.Context()); err != nil {
		c.Fatal(err)
	}
	if err := c.balancer.Start(c.Context()); err != nil {
		c.Fatal(err)
	}
	if err := c.names.Start(c.Context()); err != nil {
		c.Fatal(err)
	}
}

func (c *cloud) stop() {
	c.names.Close()
	c.balancer.Close()
	c.Networks.Close()
	_ = c.engine.Close()
}

func (c *cloud) do(kindName, verb, name, body string) kind.AnyRow {
	c.Helper()
	x := &call.Call{Kind: c.Kernel.Door.KindOf(kindName), Verb: verb, Principal: c.Root, Target: name}
	if verb == call.Create {
		x.Name, x.Target = &name, ""
	}
	if body != "" {
		x.Spec = json.RawMessage(body)
	}
	r, err := c.Kernel.Door.Do(c.Context(), x)
	if err != nil {
		c.Fatalf("%s %s %s: %v", verb, kindName, name, err)
	}
	if r.Job != nil {
		if j, err := c.Kernel.Door.WaitJob(c.Context(), r.Job.ID); err != nil || j.State == job.Failed {
			c.Fatalf("%s %s %s: %v %v", verb, kindName, name, err, j.Error)
		}
	}
	return r.Row
}

// server is a port in a subnet with a box in it.
func (c *cloud) server(name, subnet, address, group string) *box {
	c.Helper()
	port := c.do("network/port", call.Create, name, fmt.Sprintf(`{"subnet":%q,"addresses":[%q],"groups":[%q]}`, subnet, address, group)).M()
	nic, err := c.Networks.Plug(c.Context(), port.ID, 0)
	if err != nil {
		c.Fatal(err)
	}
	return boot(c.T, "awb-"+c.key+"-"+name, nic, address, "10.7.0.1")
}

// says answers requests with a name and who sent them.
func (b *box) says(name string) {
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		from, _, _ := net.SplitHostPort(r.RemoteAddr)
		fmt.Fprint(w, name, " ", from, " ", r.Header.Get("X-Forwarded-For"))
	})}
	l := b.listen(":8080")
	go func() { _ = s.Serve(l) }()
}

// until waits for a condition.
func (c *cloud) until(what string, is func() bool) {
	c.Helper()
	for end := time.Now().Add(time.Minute); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			c.Fatalf("it did not come: %s", what)
		}
	}
}

// get asks with a connection of its own; "" when no answer comes.
func get(dial func(network, to string) (net.Conn, error), at string) (status int, body string) {
	h := http.Client{Timeout: 3 * time.Second, Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(_ context.Context, network, to string) (net.Conn, error) { return dial(network, to) }}}
	resp, err := h.Get("http://" + at + "/")
	if err != nil {
		return 0, ""
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b)
}

func world(network, to string) (net.Conn, error) { return net.DialTimeout(network, to, 2*time.Second) }

// TestPacketsReachMembers has two VPCs with the same addresses, in each a load balancer with a public address in front of two
// servers.
func TestPacketsReachMembers(t *testing.T) {
	c := open(t)
	publics, inside := map[string]string{}, map[string]*box{}
	for _, v := range []string{"a", "b"} {
		c.do("network/vpc", call.Create, v, `{"cidr":"10.7.0.0/16"}`)
		c.do("network/subnet", call.Create, "sub"+v, `{"vpc":"`+v+`","cidr":"10.7.0.0/24","gateway":"10.7.0.1"}`)
		c.do("network/security-group", call.Create, "group"+v, `{}`)
		c.do("network/security-rule", call.Create, "in"+v, `{"group":"group`+v+`","protocol":"tcp","ports":"8080","remote_prefix":"10.7.0.50/32"}`)
		for i, at := range []string{"10.7.0.10", "10.7.0.11"} {
			b := c.server(fmt.Sprint(v, i), "sub"+v, at, "group"+v)
			b.says(fmt.Sprint(v, i))
			inside[v] = b
		}
		c.do("network/public-ip", call.Create, "pub"+v, `{}`)
		c.do("balancer/load-balancer", call.Create, "lb"+v, `{"subnet":"sub`+v+`","address":"10.7.0.50","public_ip":"pub`+v+`"}`)
		c.do("balancer/pool", call.Create, "pool"+v, `{"balancer":"lb`+v+`","protocol":"http"}`)
		c.do("balancer/health-monitor", call.Create, "check"+v, `{"pool":"pool`+v+`","type":"http","delay":"1s","timeout":"1s","up":1,"down":1}`)
		for i, at := range []string{"10.7.0.10", "10.7.0.11"} {
			c.do("balancer/member", call.Create, fmt.Sprint("m", v, i), `{"pool":"pool`+v+`","address":"`+at+`","port":8080}`)
		}
		c.do("balancer/listener", call.Create, "plain"+v, `{"balancer":"lb`+v+`","protocol":"http","port":80,"pool":"pool`+v+`"}`)
		public := c.do("network/public-ip", call.Get, "pub"+v, "").(*kind.Row[network.PublicIPSpec, network.PublicIPStatus])
		publics[v] = public.Status.Address + ":80"
	}
	for v, at := range publics {
		for _, i := range []string{"0", "1"} {
			c.until("member "+i+" of "+v+" answers the outside", func() bool {
				status, body := get(world, at)
				if status != http.StatusOK {
					c.Logf("%s of %s: %d %s", at, v, status, body)
				}
				f := strings.Fields(body)
				return len(f) == 3 && f[0] == v+i && f[1] == "10.7.0.50" && f[2] != "10.7.0.50"
			})
		}
		status, body := get(inside[v].dial, "10.7.0.50:80")
		if !strings.HasPrefix(body, v) || !strings.HasSuffix(body, "10.7.0.50 10.7.0.11") {
			t.Errorf("inside %s: %d %q", v, status, body)
		}
		if status, _ := get(inside[v].dial, at); status != 200 {
			t.Errorf("inside %s by the public address: %d", v, status)
		}
	}
	c.do("network/security-rule", call.Delete, "ina", "")
	c.until("no member of a works without the rule", func() bool { status, _ := get(world, publics["a"]); return status == 503 })
	if status, _ := get(world, publics["b"]); status != 200 {
		t.Errorf("b: %d", status)
	}
	c.do("network/security-rule", call.Create, "ina", `{"group":"groupa","protocol":"tcp","ports":"8080,9000","remote_prefix":"10.7.0.0/24"}`)
	c.until("a works again", func() bool { status, _ := get(world, publics["a"]); return status == 200 })

	l := inside["a"].listen(":9000")
	told := make(chan string, 8)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			line, _ := bufio.NewReader(conn).ReadString('\n')
			told <- line
			_ = conn.Close()
		}
	}()
	c.do("balancer/pool", call.Create, "mail", `{"balancer":"lba","protocol":"tcp"}`)
	c.do("balancer/member", call.Create, "mail", `{"pool":"mail","address":"10.7.0.11","port":9000}`)
	c.do("balancer/listener", call.Create, "mail", `{"balancer":"lba","protocol":"tcp","port":25,"pool":"mail","proxy_protocol":true}`)
	mail := strings.TrimSuffix(publics["a"], "80") + "25"
	c.until("the PROXY line", func() bool {
		conn, err := world("tcp", mail)
		if err != nil {
			return false
		}
		defer conn.Close()
		select {
		case line := <-told:
			at, _ := conn.LocalAddr().(*net.TCPAddr)
			return strings.HasPrefix(line, fmt.Sprintf("PROXY TCP4 %s 10.7.0.50 %d 25", at.IP, at.Port))
		case <-time.After(2 * time.Second):
			return false
		}
	})

	if n, err := c.Networks.Drift(t.Context()); err != nil || n > 0 {
		t.Errorf("%d differences: %v", n, err)
	}
	c.Kernel.Door.Wake("network/port")
	c.until("what went over the public addresses is counted", func() bool { return c.passed(network.TrafficIn) > 1000 && c.passed(network.TrafficOut) > 1000 })

	c.stop()
	c.make()
	c.start()
	for v, at := range publics {
		c.until("after a restart "+v+" answers", func() bool { status, body := get(world, at); return status == 200 && strings.HasPrefix(body, v) })
	}
}

// passed is what was counted.
func (c *cloud) passed(dim ledger.Dim) (n int64) {
	c.Helper()
	err := c.on.View(c.Context(), func(tx store.Tx) error {
		all, err := ledger.UsageOf(tx, id.ID(c.Admin.ProjectID), time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
		for _, u := range all {
			if u.Dim == dim {
				n += u.Passed
			}
		}
		return err
	})
	if err != nil {
		c.Fatal(err)
	}
	return n
}
