package balancer

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kerneltest"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
)

// wires is a network on the loopback: what listens in a VPC has a port of its own there, and members are at the same port.
type wires struct {
	mu sync.Mutex
	at map[netip.AddrPort]string
}

func (w *wires) Listen(_ context.Context, _ id.ID, at netip.AddrPort) (net.Listener, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err == nil {
		w.mu.Lock()
		w.at[at] = ln.Addr().String()
		w.mu.Unlock()
	}
	return ln, err
}

func (w *wires) ListenPacket(context.Context, id.ID, netip.AddrPort) (net.PacketConn, error) {
	return net.ListenPacket("udp", "127.0.0.1:0")
}

func (w *wires) DialFrom(ctx context.Context, _ id.ID, network string, at netip.AddrPort) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, network, fmt.Sprintf("127.0.0.1:%d", at.Port()))
}

type portSpec struct {
	Device string `json:"device" doc:"what it is for"`
}

// nets is one subnet.
type nets struct{ subnet, vpc id.ID }

func (n nets) FindSubnet(_ store.Tx, _ id.ID, ref string) (id.ID, id.ID, error) {
	if ref == "front" || ref == string(n.subnet) {
		return n.subnet, n.vpc, nil
	}
	return "", "", nil
}

func (n nets) FindVPC(_ store.Tx, _ id.ID, ref string) (id.ID, error) {
	if ref == "main" || ref == string(n.vpc) {
		return n.vpc, nil
	}
	return "", nil
}
func (n nets) PortSpec(b *kind.Meta, _, _ string) any { return map[string]any{"device": b.ID} }
func (n nets) Seen(store.Tx, id.ID) (Place, error) {
	return Place{Subnet: n.subnet, VPC: n.vpc, Addresses: []string{"10.0.0.9"}}, nil
}
func (n nets) Plug(context.Context, id.ID) error   { return nil }
func (n nets) Unplug(context.Context, id.ID) error { return nil }
func (n nets) PublicSpec(port id.ID, _ int) any    { return map[string]any{"device": port} }
func (n nets) Publish(context.Context, store.Tx, id.ID, string, id.ID) error {
	return nil
}
func (n nets) PublicOf(store.Tx, id.ID, id.ID) ([]PublicAddress, error) { return nil, nil }

type world struct {
	*Service
	t     *testing.T
	k     *kerneltest.Kernel
	wires *wires
	ports *kind.Def
}

func open(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, wires: &wires{at: map[netip.AddrPort]string{}}}
	fake := func(name string) *kind.Def {
		return kind.Kind[portSpec, struct{}]{Service: "network", Name: name, Scope: kind.InProject, AnyName: true, Doc: "One for tests."}.Def()
	}
	w.ports = fake("port")
	w.Service = New(Deps{Networks: nets{id.New(), id.New()}, Fabric: w.wires, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	w.k = kerneltest.Start(t, nil, append(w.Kinds(), w.ports, fake("public-ip"))...)
	w.Store, w.Host = w.k.Store, w.k.Door
	if err := w.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	return w
}

type m = map[string]any

func (w *world) do(verb string, k *kind.Def, name string, spec any) (kind.AnyRow, error) {
	b, _ := json.Marshal(spec)
	c := &call.Call{Kind: k, Verb: verb, Principal: w.k.Root, Spec: b}
	if verb == call.Create {
		c.Name = &name
	} else {
		c.Target = name
	}
	r, err := w.k.Door.Do(w.t.Context(), c)
	if err != nil || r.Job == nil {
		return r.Row, err
	}
	done := make(chan struct{})
	defer close(done)
	go func() { // steps that nap do so by the clock
		for {
			select {
			case <-done:
				return
			case <-time.After(time.Millisecond):
				w.k.Clock.Add(time.Second)
			}
		}
	}()
	j, err := w.k.Door.WaitJob(w.t.Context(), r.Job.ID)
	if err == nil && j.Error != nil {
		err = j.Error.Err()
	}
	return r.Row, err
}

func (w *world) must(verb string, k *kind.Def, name string, spec any) id.ID {
	w.t.Helper()
	r, err := w.do(verb, k, name, spec)
	if err != nil {
		w.t.Fatal(err)
	}
	if r == nil {
		return ""
	}
	return r.M().ID
}

// show reads a row as its owner sees it.
func (w *world) show(k *kind.Def, name string) kind.AnyRow {
	w.t.Helper()
	r, err := w.k.Door.Do(w.t.Context(), &call.Call{Kind: k, Verb: call.Get, Principal: w.k.Root, Target: name})
	if err != nil {
		w.t.Fatal(err)
	}
	return r.Row
}

// member makes one that answers with its name.
func (w *world) member(pool, name string) {
	w.t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(rw, name) }))
	w.t.Cleanup(s.Close)
	w.must(call.Create, w.Member.D, name, m{"pool": pool, "address": "10.0.0.20", "port": s.Listener.Addr().(*net.TCPAddr).Port})
}

// get asks at a port of the load balancer until the answer is what is wanted.
func (w *world) get(scheme string, port uint16, path, host, want string) {
	w.t.Helper()
	got := "nothing"
	c := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true, ServerName: host}}}
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		w.wires.mu.Lock()
		at := w.wires.at[netip.AddrPortFrom(netip.MustParseAddr("10.0.0.9"), port)]
		w.wires.mu.Unlock()
		r, _ := http.NewRequest("GET", scheme+"://"+at+path, nil)
		r.Host = host
		resp, err := c.Do(r)
		if err != nil {
			got = err.Error()
			continue
		}
		b, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if got = fmt.Sprintf("%d %s%s", resp.StatusCode, strings.TrimSpace(string(b)), resp.Header.Get("Location")); strings.Contains(got, want) {
			return
		}
	}
	w.t.Fatalf("%s://%s%s: %s, want %s", scheme, host, path, got, want)
}

func certificate(t *testing.T, until time.Time, names ...string) (chain, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: names, Subject: pkix.Name{CommonName: names[0]}, NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: until, IsCA: true}
	der, err := x509.CreateCertificate(rand.Reader, c, c, k.Public(), k)
	if err != nil {
		t.Fatal(err)
	}
	kder, _ := x509.MarshalECPrivateKey(k)
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: kder}))
}

func TestALoadBalancerFromItsRows(t *testing.T) {
	w := open(t)
	w.must(call.Create, w.Balancer.D, "front", m{"subnet": "front"})
	b := w.show(w.Balancer.D, "front").(*balancerRow)
	if b.Status.Address != "10.0.0.9" || b.Status.Operating != "online" || b.Status.Port == "" {
		t.Fatalf("%+v", b.Status)
	}
	w.must(call.Create, w.Pool.D, "web", m{"balancer": "front", "protocol": "http"})
	w.must(call.Create, w.Pool.D, "api", m{"balancer": "front", "protocol": "http"})
	w.must(call.Create, w.Listener.D, "plain", m{"balancer": "front", "protocol": "http", "port": 80, "pool": "web"})
	w.get("http", 80, "/", "shop.test", "503")
	w.member("web", "page")
	w.member("api", "answer")
	w.get("http", 80, "/", "shop.test", "200 page")
	w.must(call.Create, w.Policy.D, "api", m{"listener": "plain", "action": "pool", "pool": "api"})
	w.must(call.Create, w.Rule.D, "api", m{"policy": "api", "of": "path", "compare": "prefix", "values": []string{"/api/"}})
	w.get("http", 80, "/api/x", "shop.test", "200 answer")
	w.get("http", 80, "/x", "shop.test", "200 page")

	chain, key := certificate(t, time.Now().Add(time.Hour), "shop.test")
	w.must(call.Create, w.Certificate.D, "shop", m{"certificate": chain, "key": key})
	if c := w.show(w.Certificate.D, "shop").(*certificateRow); c.Spec.Key != kind.Mask || c.Status.CommonName != "shop.test" {
		t.Errorf("the certificate is shown as %+v", c)
	}
	_ = w.Store.View(t.Context(), func(tx store.Tx) error {
		for k, v := range tx.Scan("", "") {
			if strings.Contains(string(v), strings.Split(key, "\n")[1]) {
				t.Errorf("the private key is readable in %s", k)
			}
		}
		return nil
	})
	w.must(call.Create, w.Listener.D, "secure", m{"balancer": "front", "protocol": "https", "port": 443, "pool": "web", "certificate": "shop"})
	w.get("https", 443, "/", "shop.test", "200 page")
	w.must(call.Update, w.Certificate.D, "shop", m{"description": "the sealed key stays good"})
	w.get("https", 443, "/", "shop.test", "200 page")
	w.must(call.Create, w.Policy.D, "up", m{"listener": "plain", "action": "listener", "to_listener": "secure", "priority": 1})
	w.get("http", 80, "/a?b=c", "shop.test", ".https://shop.test/a?b=c")
	w.must(call.Update, w.Policy.D, "up", m{"disabled": true})
	w.get("http", 80, "/a?b=c", "shop.test", "200 page")

	w.must(call.Create, w.Monitor.D, "web", m{"pool": "web", "type": "http", "delay": "1s"})
	member := w.show(w.Member.D, "page").(*memberRow)
	for end := time.Now().Add(10 * time.Second); member.Status.Operating != "online"; time.Sleep(2 * time.Millisecond) {
		if member = w.show(w.Member.D, "page").(*memberRow); time.Now().After(end) {
			t.Fatalf("the member is %s", member.Status.Operating)
		}
	}
	w.must(call.Update, w.Monitor.D, "web", m{"codes": "204"})
	w.get("http", 80, "/", "shop.test", "503")
	w.must(call.Delete, w.Monitor.D, "web", nil)
	w.get("http", 80, "/", "shop.test", "200 page")
	w.must(call.Update, w.Member.D, "page", m{"weight": 0})
	w.get("http", 80, "/", "shop.test", "503")
	if n := w.show(w.Balancer.D, "front").(*balancerRow).Status.Statistics; n.Requests < 8 || n.Code2xx < 4 || n.Code5xx < 2 {
		t.Errorf("counted %+v", n)
	}

	for _, x := range []struct {
		k    *kind.Def
		name string
	}{{w.Balancer.D, "front"}, {w.Listener.D, "plain"}, {w.Pool.D, "web"}, {w.Certificate.D, "shop"}, {w.Policy.D, "api"}} {
		if _, err := w.do(call.Delete, x.k, x.name, nil); !fail.Is(err, fail.Precondition) {
			t.Errorf("%s %s is needed, and deleting it gives %v", x.k.Name, x.name, err)
		}
	}
	for _, x := range []struct {
		k    *kind.Def
		name string
	}{{w.Rule.D, "api"}, {w.Policy.D, "api"}, {w.Policy.D, "up"}, {w.Listener.D, "plain"}, {w.Listener.D, "secure"}, {w.Member.D, "page"}, {w.Member.D, "answer"},
		{w.Pool.D, "web"}, {w.Pool.D, "api"}, {w.Certificate.D, "shop"}, {w.Balancer.D, "front"}} {
		w.must(call.Delete, x.k, x.name, nil)
	}
	_ = w.Store.View(t.Context(), func(tx store.Tx) error {
		if left, _, _ := w.ports.List(tx, "", kind.Filter{}); len(left) > 0 {
			t.Errorf("%d ports are left", len(left))
		}
		return nil
	})
}

func TestWhatIsRefused(t *testing.T) {
	w := open(t)
	w.must(call.Create, w.Balancer.D, "front", m{"subnet": "front"})
	w.must(call.Create, w.Balancer.D, "other", m{"subnet": "front"})
	w.must(call.Create, w.Pool.D, "web", m{"balancer": "front", "protocol": "http"})
	w.must(call.Create, w.Pool.D, "db", m{"balancer": "front", "protocol": "tcp"})
	w.must(call.Create, w.Pool.D, "theirs", m{"balancer": "other", "protocol": "http"})
	w.must(call.Create, w.Listener.D, "plain", m{"balancer": "front", "protocol": "http", "port": 80})
	w.must(call.Create, w.Listener.D, "raw", m{"balancer": "front", "protocol": "tcp", "port": 5432})
	w.must(call.Create, w.Policy.D, "p", m{"listener": "plain", "action": "pool", "pool": "web"})
	w.must(call.Create, w.Member.D, "one", m{"pool": "web", "address": "10.0.0.1", "port": 80})
	w.must(call.Create, w.Monitor.D, "web", m{"pool": "web", "type": "tcp"})
	chain, key := certificate(t, time.Now().Add(time.Hour), "a.test")
	ended, endedKey := certificate(t, time.Now().Add(-time.Hour), "a.test")
	w.must(call.Create, w.Certificate.D, "ca", m{"type": "client", "certificate": chain})
	for _, c := range []struct {
		k     *kind.Def
		field string
		kind  fail.Kind
		spec  m
	}{
		{w.Balancer.D, "spec.subnet", fail.Invalid, m{"subnet": "none"}},
		{w.Balancer.D, "spec.address", fail.Invalid, m{"address": "x"}},
		{w.Balancer.D, "spec.public_mbit", fail.Invalid, m{"public_ip": "a", "public_mbit": 5}},
		{w.Listener.D, "spec.balancer", fail.Invalid, m{"balancer": "none", "protocol": "http", "port": 81}},
		{w.Listener.D, "", fail.Exists, m{"balancer": "front", "protocol": "tcp", "port": 80}},
		{w.Listener.D, "spec.pool", fail.Invalid, m{"balancer": "front", "protocol": "http", "port": 81, "pool": "db"}},
		{w.Listener.D, "spec.pool", fail.Invalid, m{"balancer": "front", "protocol": "http", "port": 81, "pool": "theirs"}},
		{w.Listener.D, "spec.certificate", fail.Invalid, m{"balancer": "front", "protocol": "https", "port": 443}},
		{w.Listener.D, "spec.certificate", fail.Invalid, m{"balancer": "front", "protocol": "https", "port": 443, "certificate": "ca"}},
		{w.Listener.D, "spec.certificate", fail.Invalid, m{"balancer": "front", "protocol": "http", "port": 81, "certificate": "ca"}},
		{w.Listener.D, "spec.proxy_protocol", fail.Invalid, m{"balancer": "front", "protocol": "http", "port": 81, "proxy_protocol": true}},
		{w.Pool.D, "spec.balancer", fail.Invalid, m{"protocol": "http"}},
		{w.Pool.D, "spec.vpc", fail.Invalid, m{"vpc": "none", "protocol": "http"}},
		{w.Pool.D, "spec.sticky", fail.Invalid, m{"balancer": "front", "protocol": "tcp", "sticky": "cookie"}},
		{w.Pool.D, "spec.sticky_cookie", fail.Invalid, m{"balancer": "front", "protocol": "http", "sticky": "app_cookie"}},
		{w.Pool.D, "spec.slow_start", fail.Invalid, m{"balancer": "front", "protocol": "tcp", "slow_start": "30s"}},
		{w.Member.D, "", fail.Exists, m{"pool": "web", "address": "10.0.0.1", "port": 80}},
		{w.Member.D, "spec.address", fail.Invalid, m{"pool": "web", "address": "127.0.0.1", "port": 80}},
		{w.Member.D, "spec.address", fail.Invalid, m{"pool": "web", "address": "169.254.169.254", "port": 80}},
		{w.Monitor.D, "", fail.Exists, m{"pool": "web", "type": "http"}},
		{w.Monitor.D, "spec.type", fail.Invalid, m{"pool": "db", "type": "udp"}},
		{w.Monitor.D, "spec.codes", fail.Invalid, m{"pool": "db", "type": "http", "codes": "2xx"}},
		{w.Monitor.D, "spec.path", fail.Invalid, m{"pool": "db", "type": "http", "path": "health"}},
		{w.Certificate.D, "spec.key", fail.Invalid, m{"certificate": chain}},
		{w.Certificate.D, "spec.certificate", fail.Invalid, m{"certificate": chain, "key": endedKey}},
		{w.Certificate.D, "spec.certificate", fail.Invalid, m{"certificate": ended, "key": endedKey}},
		{w.Certificate.D, "spec.key", fail.Invalid, m{"type": "client", "certificate": chain, "key": key}},
		{w.Policy.D, "spec.listener", fail.Invalid, m{"listener": "raw", "action": "pool", "pool": "web"}},
		{w.Policy.D, "spec.pool", fail.Invalid, m{"listener": "plain", "action": "pool"}},
		{w.Policy.D, "spec.to_listener", fail.Invalid, m{"listener": "plain", "action": "listener", "to_listener": "plain"}},
		{w.Policy.D, "spec.host", fail.Invalid, m{"listener": "plain", "action": "url"}},
		{w.Policy.D, "spec.status", fail.Invalid, m{"listener": "plain", "action": "url", "host": "a.test", "status": 200}},
		{w.Rule.D, "spec.key", fail.Invalid, m{"policy": "p", "of": "header", "values": []string{"a"}}},
		{w.Rule.D, "spec.values[0]", fail.Invalid, m{"policy": "p", "of": "path", "values": []string{"a"}}},
		{w.Rule.D, "spec.values[0]", fail.Invalid, m{"policy": "p", "of": "path", "compare": "regex", "values": []string{"("}}},
		{w.Rule.D, "spec.values[0]", fail.Invalid, m{"policy": "p", "of": "source", "values": []string{"a"}}},
		{w.Group.D, "spec.addresses[1].address", fail.Invalid, m{"addresses": []m{{"address": "10.0.0.0/8"}, {"address": "10.1.2.3/8"}}}},
	} {
		_, err := w.do(call.Create, c.k, "x", c.spec)
		if e := fail.From(err); err == nil || e.Kind != c.kind || c.field != "" && e.Field != c.field {
			t.Errorf("%s %v: %v, want %s at %s", c.k.Name, c.spec, err, c.kind, c.field)
		}
	}
}
