package cloud

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/awancloud/awan/internal/adminenv"
	"github.com/awancloud/awan/internal/engine/workload/sim"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/workload"
)

// insideWorld is a simulated cloud whose instances call each other: each answers with the tag of its image, the lane it was
// asked in, and the answer of the component in CALLS. One with FORGETS does not pass the lane on.
type insideWorld struct {
	engine *sim.Engine
	port   uint16
	door   net.Listener
}

func openInside(t *testing.T) (*client, *insideWorld) {
	t.Helper()
	t.Parallel()
	w := &insideWorld{port: simPort()}
	w.engine = sim.New(sim.Options{Port: w.port, Handler: func(i id.ID, want workload.Want) http.Handler {
		image, _, _ := strings.Cut(want.Image, "@")
		_, tag, _ := strings.Cut(image, ":")
		return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			lane := r.Header.Get("X-Awan-Lane")
			text := tag
			if lane != "" {
				text += " in " + lane
			}
			if want.Env["FORGETS"] != "" {
				lane = ""
			}
			if next := want.Env["CALLS"]; next != "" && r.URL.Path == "/" {
				code, answer := w.call(i, want, next, lane)
				if code != http.StatusOK {
					rw.WriteHeader(code)
				}
				text += " > " + answer
			}
			_, _ = io.WriteString(rw, text)
		})
	}})
	t.Cleanup(func() { _ = w.engine.Close() })
	return openOn(t, t.TempDir(), func(context.Context, *Cloud) (Engines, error) {
		var err error
		w.door, err = net.Listen("tcp4", "127.0.0.1:0")
		return Engines{Workload: keptEngine{w.engine}, Builder: anyImage{}, Gateway: netip.MustParseAddr("127.0.0.1"), Inside: w.door}, err
	}), w
}

// client is how a program in an instance calls: by name, from its own address, with the certificates it was given.
func (w *insideWorld) client(from id.ID, want workload.Want) *http.Client {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(want.Trust)
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true, ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{RootCAs: roots},
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			name, _, _ := net.SplitHostPort(addr)
			if _, known := w.engine.Lookup(want.Network.Tenant, name); !known {
				return nil, fmt.Errorf("no such host: %s", name)
			}
			seen, err := w.engine.Observe(ctx, from)
			if err != nil {
				return nil, err
			}
			d := net.Dialer{LocalAddr: &net.TCPAddr{IP: seen.Address.AsSlice()}}
			return d.DialContext(ctx, network, w.door.Addr().String())
		}}}
}

func (w *insideWorld) call(from id.ID, want workload.Want, url, lane string) (int, string) {
	req, err := http.NewRequest("GET", url, nil)
	if err != nil {
		return 599, err.Error()
	}
	if lane != "" {
		req.Header.Set("X-Awan-Lane", lane)
	}
	resp, err := w.client(from, want).Do(req)
	if err != nil {
		return 599, err.Error()
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b)
}

const (
	laneGroups = "/projects/-/app/lane-groups"
	laneRows   = "/projects/-/app/lanes"
)

// chain deploys web, which calls cart, which calls stock, a lane group with its baseline, and cart-next and stock-next beside.
func (c *client) chain(deploy func(name string, env m)) {
	c.t.Helper()
	for name, env := range map[string]m{"stock": {}, "stock-next": {}, "cart": {"CALLS": "https://stock.internal/"}, "cart-next": {"CALLS": "https://stock.internal/"},
		"web": {"CALLS": "https://cart.internal/"}} {
		deploy(name, env)
	}
	c.do("POST", laneGroups, m{"name": "shop", "spec": m{"entry": "web"}}, nil)
	c.do("POST", laneRows, m{"name": "base", "spec": m{"group": "shop", "type": "baseline"}}, nil)
}

func (c *client) beta(components m) {
	c.t.Helper()
	c.do("POST", laneRows, m{"name": "beta", "spec": m{"group": "shop", "components": components, "rules": []m{{"source": "header", "name": "X-Tester", "value": "yes"}}}}, nil)
}

func (c *client) travels(what, url, want string) {
	c.t.Helper()
	c.eventually(what, func() bool { return c.share(url, want, 5, "X-Tester", "yes") == 1 })
	if s := c.share(url, "web > cart > stock", 10); s != 1 {
		c.t.Errorf("%s: others travel with the testers: %.2f", what, 1-s)
	}
}

// TestARequestStaysInItsLane from component to component, whatever comes and goes meanwhile.
func TestARequestStaysInItsLane(t *testing.T) {
	c, w := openInside(t)
	c.chain(func(name string, env m) {
		c.succeeds(c.deploy(name, name, m{"port": w.port, "env": env, "replicas": 2}))
	})
	web := c.component("web").Status.URL
	c.eventually("components find each other", func() bool { return c.share(web, "web > cart > stock", 10) == 1 })
	load := c.load(web, 4)
	c.beta(m{"stock": "stock-next"})
	c.travels("the header leads through a component that has none of its own", web, "web in beta > cart in beta > stock-next in beta")
	c.do("PATCH", laneRows+"/beta", m{"spec": m{"components": m{"cart": "cart-next", "stock": "stock-next"}}}, nil)
	c.travels("two components of a lane", web, "web in beta > cart-next in beta > stock-next in beta")
	c.succeeds(c.act("stock-next", "stop", nil))
	c.travels("the baseline answers for what has no instance", web, "web in beta > cart-next in beta > stock in beta")
	c.succeeds(c.act("stock-next", "start", nil))
	c.succeeds(c.deploy("cart-next", "cart-next", m{"env": m{"CALLS": "https://stock.internal/", "FORGETS": "yes"}}))
	c.travels("who is there for one lane only calls in it", web, "web in beta > cart-next in beta > stock-next in beta")
	c.do("PATCH", laneRows+"/beta", m{"spec": m{"disabled": true}}, nil)
	c.travels("a disabled lane", web, "web > cart > stock")
	c.do("DELETE", laneRows+"/beta", nil, nil)
	c.finish("DELETE", components+"/cart-next?purge=true", nil)
	load.end(100)
}

// TestOnlyAProjectsOwnAreFoundInside, by those that the network vouches for, over TLS.
func TestOnlyAProjectsOwnAreFoundInside(t *testing.T) {
	c, w := openInside(t)
	c.succeeds(c.deploy("web", "web", m{"port": w.port}))
	c.do("POST", "/domains/-/identity/projects", m{"name": "other"}, nil)
	env, err := adminenv.Read(filepath.Join(c.c.Data, adminenv.File))
	if err != nil {
		t.Fatal(err)
	}
	var login struct{ Token string }
	c.do("POST", "/login", m{"domain": env[adminenv.Domain], "user": env[adminenv.User], "password": env[adminenv.Password], "project": "other"}, &login)
	other := *c
	other.token = login.Token
	other.succeeds(other.finish("POST", components, m{"name": "cart", "spec": m{"source": m{"image": "library/cart:cart"}, "port": w.port}}))
	from := id.ID(c.component("web").Status.Instances[0].ID)
	seen, err := w.engine.Observe(t.Context(), from)
	if err != nil {
		t.Fatal(err)
	}
	own := net.IP(seen.Address.AsSlice())
	_, tenant, _ := w.engine.Whose(seen.Address)
	want := workload.Want{Trust: c.c.CA.Certificate(), Network: workload.Network{Tenant: tenant}}
	if code, answer := w.call(from, want, "https://web.internal/", ""); code != http.StatusOK || answer != "web" {
		t.Errorf("its own: %d %q", code, answer)
	}
	if _, found := w.engine.Lookup(tenant, "cart.internal"); found {
		t.Error("another project's component has a name")
	}
	dial := func(name string, local net.IP) error {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: local}}
		conn, err := tls.DialWithDialer(&d, "tcp", w.door.Addr().String(), &tls.Config{ServerName: name, RootCAs: c.c.CA.Pool()})
		if err == nil {
			err = conn.Close()
		}
		return err
	}
	for _, x := range []struct {
		what, name string
		from       net.IP
		ok         bool
	}{
		{"its own", "web.internal", own, true},
		{"another project's", "cart.internal", own, false},
		{"the console", "awan.localhost", own, false},
		{"no name", "", own, false},
		{"from no instance", "web.internal", net.IPv4(127, 0, 0, 9), false},
	} {
		if err := dial(x.name, x.from); (err == nil) != x.ok {
			t.Errorf("%s: %v", x.what, err)
		}
	}
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: own}}
	conn, err := d.Dial("tcp", w.door.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "GET / HTTP/1.0\r\nHost: web.internal\r\n\r\n")
	if b, _ := io.ReadAll(conn); !bytes.Contains(b, []byte("400 Bad Request")) || !bytes.Contains(b, []byte("https")) {
		t.Errorf("clear text: %s", b)
	}
}

// TestComponentsCallEachOther in real containers: by name, with the certificates and the variables they are given.
func TestComponentsCallEachOther(t *testing.T) {
	if os.Getenv("AWAN_LONG") == "" {
		t.Skip("set AWAN_LONG=1 for lanes in real containers")
	}
	c := open(t)
	caller := filepath.Join(t.TempDir(), "caller")
	build := exec.Command("go", "build", "-o", caller, "./testdata/caller")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	program, err := os.ReadFile(caller)
	if err != nil {
		t.Fatal(err)
	}
	c.push("library/caller:1", map[string]string{"bin/caller": string(program)}, "/bin/caller")
	c.chain(func(name string, env m) {
		env["NAME"] = name
		c.succeeds(c.finish("POST", components, m{"name": name, "spec": m{"source": m{"image": "library/caller:1"}, "memory": 64, "env": env, "replicas": 2}}))
	})
	web := c.component("web").Status.URL
	c.eventually("components find each other", func() bool { return c.share(web, "web > cart > stock", 10) == 1 })
	load := c.load(web, 4)
	c.beta(m{"cart": "cart-next", "stock": "stock-next"})
	c.travels("a lane", web, "web in beta > cart-next in beta > stock-next in beta")
	c.succeeds(c.act("stock-next", "stop", nil))
	c.travels("the baseline answers for what has no instance", web, "web in beta > cart-next in beta > stock in beta")
	c.do("DELETE", laneRows+"/beta", nil, nil)
	c.travels("no lane", web, "web > cart > stock")
	load.end(100)
}
