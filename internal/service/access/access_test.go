package access

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/event"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kerneltest"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
)

// apps are components that say their name and the path they were asked for.
type apps map[string]id.ID

func (a apps) Find(_ store.Tx, _ id.ID, component string) (id.ID, string, error) {
	for name, i := range a {
		if component == name || component == string(i) {
			return i, name, nil
		}
	}
	return "", "", nil
}

func (a apps) ByHost(host string) (id.ID, http.Handler) {
	if i, ok := a[strings.TrimSuffix(host, ".apps.test")]; ok {
		return i, a.ByID(i)
	}
	return "", nil
}

func (a apps) ByID(component id.ID) http.Handler {
	for name, i := range a {
		if i == component {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, err := io.Copy(io.Discard, r.Body)
				if err != nil {
					http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
					return
				}
				_, _ = io.WriteString(w, name+" "+r.URL.Path+" "+r.Header.Get("X-Forwarded-Prefix"))
			})
		}
	}
	return nil
}

func (a apps) Take(component id.ID) (string, func()) {
	if component == a["db"] {
		return "127.0.0.1", func() {}
	}
	return "", nil
}

type world struct {
	*Service
	t *testing.T
	k *kerneltest.Kernel
}

func open(t *testing.T) *world {
	t.Helper()
	s := New(Deps{Apps: apps{"web": id.New(), "api": id.New(), "db": id.New()}, Address: "127.0.0.1", First: 21000, Last: 21001, Now: time.Now,
		Log: slog.New(slog.DiscardHandler), Reserved: func(h string) bool { return strings.HasSuffix(h, ".cloud.test") },
		URL: func(h string) string { return "https://" + h + "/" }})
	k := kerneltest.Start(t, nil, s.Kinds()...)
	s.Store, s.Unseal = k.Store, k.Door.Unseal
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return &world{s, t, k}
}

func (w *world) try(verb string, k *kind.Def, name string, spec any) error {
	b, _ := json.Marshal(spec)
	c := &call.Call{Kind: k, Verb: verb, Principal: w.k.Root, Spec: b}
	if verb == call.Create {
		c.Name = &name
	} else {
		c.Target = name
	}
	_, err := w.k.Door.Do(w.t.Context(), c)
	return err
}

func (w *world) must(verb string, k *kind.Def, name string, spec any) {
	w.t.Helper()
	if err := w.try(verb, k, name, spec); err != nil {
		w.t.Fatal(err)
	}
}

type m = map[string]any

// get asks until the answer is what is wanted: rows take effect at once, but not in the same instant.
func (w *world) get(url, from string, status int, body string, edit ...func(*http.Request)) *http.Response {
	w.t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		r := httptest.NewRequest("GET", url, nil)
		r.RemoteAddr = from + ":4711"
		for _, f := range edit {
			f(r)
		}
		rec := httptest.NewRecorder()
		if h := w.Handler(r.Host); h != nil {
			h.ServeHTTP(rec, r)
		} else {
			rec.WriteHeader(http.StatusTeapot)
		}
		if rec.Code == status && strings.Contains(rec.Body.String(), body) {
			return rec.Result()
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("GET %s from %s: %d %q, want %d %q", url, from, rec.Code, rec.Body, status, body)
		}
		time.Sleep(time.Millisecond)
	}
}

func TestPathsOfANameOfOnesOwn(t *testing.T) {
	w := open(t)
	w.must(call.Create, w.Domain.D, "shop.example.org", m{"component": "web", "routes": []m{{"path": "/api", "component": "api", "strip": true}, {"path": "/api/v1/raw/", "component": "db"}}})
	for path, want := range map[string]string{"/": "web / ", "/apis": "web /apis ", "/api": "api / /api", "/api/x": "api /x /api", "/api/v1/raw": "db /api/v1/raw ", "/api/v1/rawer": "api /v1/rawer /api"} {
		w.get("https://shop.example.org"+path, "192.0.2.1", 200, want)
	}
	w.get("https://web.apps.test/", "192.0.2.1", 200, "web /")
	w.must(call.Update, w.Domain.D, "shop.example.org", m{"component": "api", "routes": []m{}})
	w.get("https://SHOP.example.org/api", "192.0.2.1", 200, "api /api ")
	w.must(call.Delete, w.Domain.D, "shop.example.org", nil)
	w.get("https://shop.example.org/", "192.0.2.1", http.StatusTeapot, "")
}

func TestNamesThatCannotBeHad(t *testing.T) {
	w := open(t)
	w.must(call.Create, w.Domain.D, "shop.example.org", m{"component": "web"})
	for _, c := range []struct {
		name, field string
		kind        fail.Kind
		spec        m
	}{
		{"iam.cloud.test", "name", fail.Invalid, m{"component": "web"}},
		{"localhost", "name", fail.Invalid, m{"component": "web"}},
		{"shop.example.org", "", fail.Exists, m{"component": "web"}},
		{"a.example.org", "spec.component", fail.Invalid, m{"component": "nothing"}},
		{"a.example.org", "spec.component", fail.Invalid, m{}},
		{"a.example.org", "spec.routes[0].path", fail.Invalid, m{"routes": []m{{"path": "api", "component": "web"}}}},
		{"a.example.org", "spec.routes[1].path", fail.Invalid, m{"routes": []m{{"path": "/a", "component": "web"}, {"path": "/a/", "component": "api"}}}},
		{"a.example.org", "spec.certificate", fail.Invalid, m{"component": "web", "certificate": "acme"}},
		{"a.example.org", "spec.chain", fail.Invalid, m{"component": "web", "certificate": "own"}},
		{"a.example.org", "spec.chain", fail.Invalid, m{"component": "web", "certificate": "own", "chain": "x", "key": "y"}},
	} {
		err := w.try(call.Create, w.Domain.D, c.name, c.spec)
		if e := fail.From(err); err == nil || e.Kind != c.kind || c.field != "" && e.Field != c.field {
			t.Errorf("%s %v: %+v, want %s at %s", c.name, c.spec, e, c.kind, c.field)
		}
	}
}

func TestACertificateOfOnesOwn(t *testing.T) {
	w := open(t)
	chain, key := certificate(t, "shop.example.org", time.Now().Add(time.Hour))
	if err := w.try(call.Create, w.Domain.D, "other.example.org", m{"component": "web", "certificate": "own", "chain": chain, "key": key}); err == nil || !strings.Contains(err.Error(), "not for other.example.org") {
		t.Errorf("a certificate for another name: %v", err)
	}
	w.must(call.Create, w.Domain.D, "shop.example.org", m{"component": "web", "certificate": "own", "chain": chain, "key": key})
	w.get("https://shop.example.org/", "192.0.2.1", 200, "web")
	c, err := w.Certificate(&tls.ClientHelloInfo{ServerName: "Shop.example.org."})
	if err != nil || c == nil || c.Leaf.Subject.CommonName != "ours" {
		t.Fatalf("%v %v", c, err)
	}
	if c, _ := w.Certificate(&tls.ClientHelloInfo{ServerName: "web.apps.test"}); c != nil {
		t.Error("a name of the cloud's own gets a tenant's certificate")
	}
	w.must(call.Update, w.Domain.D, "shop.example.org", m{"component": "api"}) // the sealed key stays good
	w.get("https://shop.example.org/", "192.0.2.1", 200, "api")
	ended, key := certificate(t, "shop.example.org", time.Now().Add(-time.Hour))
	if err := w.try(call.Update, w.Domain.D, "shop.example.org", m{"chain": ended, "key": key}); err == nil || !strings.Contains(err.Error(), "ended on") {
		t.Errorf("a certificate that ended: %v", err)
	}
}

func certificate(t *testing.T, name string, until time.Time) (chain, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{name}, NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: until}
	c.Subject.CommonName = "ours"
	der, err := x509.CreateCertificate(rand.Reader, c, c, k.Public(), k)
	if err != nil {
		t.Fatal(err)
	}
	kder, _ := x509.MarshalECPrivateKey(k)
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: kder}))
}

func TestRules(t *testing.T) {
	w := open(t)
	w.must(call.Create, w.Domain.D, "shop.example.org", m{"component": "web"})
	w.must(call.Create, w.Rule.D, "web", m{"component": "web", "allow": []string{"192.0.2.0/24", "2001:db8::/32"}, "deny": []string{"192.0.2.66"}})
	for _, host := range []string{"web.apps.test", "shop.example.org"} { // the rule is the component's, by whatever name it is reached
		w.get("https://"+host+"/", "198.51.100.1", 403, "198.51.100.1")
		w.get("https://"+host+"/", "192.0.2.66", 403, "")
		w.get("https://"+host+"/", "192.0.2.1", 200, "web")
		w.get("https://"+host+"/", "[2001:db8::1]", 200, "web")
	}
	w.get("https://api.apps.test/", "198.51.100.1", 200, "api")

	w.must(call.Update, w.Rule.D, "web", m{"allow": []string{}, "maintenance": true, "message": "back at <ten>", "bypass": []string{"192.0.2.9"}})
	resp := w.get("https://web.apps.test/", "192.0.2.1", 503, "back at &lt;ten&gt;")
	if resp.Header.Get("Retry-After") == "" {
		t.Error("the maintenance page does not say when to come back")
	}
	w.get("https://web.apps.test/", "192.0.2.9", 200, "web")

	w.must(call.Update, w.Rule.D, "web", m{"maintenance": false, "max_body": 1})
	big := func(known bool) func(*http.Request) {
		return func(r *http.Request) {
			r.Body, r.ContentLength = io.NopCloser(io.LimitReader(zeros{}, 2<<20)), -1
			if known {
				r.ContentLength = 2 << 20
			}
		}
	}
	w.get("https://web.apps.test/", "192.0.2.1", 413, "at most 1 MiB", big(true))
	w.get("https://web.apps.test/", "192.0.2.1", 413, "", big(false))
	if err := w.try(call.Create, w.Rule.D, "web2", m{"component": "web"}); !fail.Is(err, fail.Exists) {
		t.Errorf("two rules of one component: %v", err)
	}
	if err := w.try(call.Update, w.Rule.D, "web", m{"deny": []string{"10.0.0.0/33"}}); fail.From(err).Field != "spec.deny[0]" {
		t.Errorf("a network that is none: %v", err)
	}
	w.must(call.Delete, w.Rule.D, "web", nil)
	w.get("https://web.apps.test/", "192.0.2.66", 200, "web")
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestRatesAreKeptPerClientAndOverAReload(t *testing.T) {
	w := open(t)
	clock := time.Unix(1000, 0)
	w.Now = func() time.Time { return clock }
	w.must(call.Create, w.Rule.D, "web", m{"component": "web", "rate": 2, "burst": 3})
	deadline := time.Now().Add(10 * time.Second)
	for w.table.Load().rules[w.Apps.(apps)["web"]] == nil {
		if time.Now().After(deadline) {
			t.Fatal("the rule does not hold")
		}
		time.Sleep(time.Millisecond)
	}
	ask := func(from string) int {
		r := httptest.NewRequest("GET", "https://web.apps.test/", nil)
		r.RemoteAddr = from + ":1"
		rec := httptest.NewRecorder()
		w.Handler(r.Host).ServeHTTP(rec, r)
		return rec.Code
	}
	for i, want := range []int{200, 200, 200, 429, 429} {
		if got := ask("192.0.2.1"); got != want {
			t.Errorf("request %d: %d, want %d", i, got, want)
		}
	}
	if got := ask("192.0.2.2"); got != 200 {
		t.Errorf("another client: %d", got)
	}
	if _, err := w.reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := ask("192.0.2.1"); got != 429 {
		t.Errorf("after a reload: %d", got)
	}
	clock = clock.Add(500 * time.Millisecond)
	if a, b := ask("192.0.2.1"), ask("192.0.2.1"); a != 200 || b != 429 {
		t.Errorf("half a second later: %d %d", a, b)
	}
	for range 3 {
		ask("[2001:db8::1]")
	}
	if got := ask("[2001:db8::2]"); got != 429 {
		t.Errorf("a neighbour in the same /64 is another client: %d", got)
	}
}

func TestTCPPorts(t *testing.T) {
	w := open(t)
	echo, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = echo.Close() }()
	go func() {
		for {
			c, err := echo.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.Copy(c, c)
				_ = c.Close()
			}()
		}
	}()
	target := echo.Addr().(*net.TCPAddr).Port
	w.must(call.Create, w.Port.D, "db", m{"component": "db", "target": target})
	w.must(call.Create, w.Port.D, "db2", m{"component": "db", "target": target, "allow": []string{"192.0.2.0/24"}})
	if err := w.try(call.Create, w.Port.D, "db3", m{"component": "db", "target": target}); !fail.Is(err, fail.NoSpace) {
		t.Errorf("a third of two ports: %v", err)
	}
	if err := w.try(call.Create, w.Port.D, "db3", m{"component": "db", "target": target, "port": 80}); fail.From(err).Field != "spec.port" {
		t.Errorf("a port that is not given out: %v", err)
	}
	talk := func(addr string) string {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			return ""
		}
		defer func() { _ = c.Close() }()
		_, _ = io.WriteString(c, "hello")
		_ = c.(*net.TCPConn).CloseWrite()
		b, _ := io.ReadAll(c)
		return string(b)
	}
	deadline := time.Now().Add(10 * time.Second)
	for talk("127.0.0.1:21000") != "hello" {
		if time.Now().After(deadline) {
			t.Fatal("the port does not answer")
		}
		time.Sleep(time.Millisecond)
	}
	if got := talk("127.0.0.1:21001"); got != "" {
		t.Errorf("who may not connect hears %q", got)
	}
	held, err := net.Dial("tcp", "127.0.0.1:21000")
	if err != nil {
		t.Fatal(err)
	}
	w.must(call.Delete, w.Port.D, "db", nil)
	_ = held.SetReadDeadline(time.Now().Add(10 * time.Second))
	if n, err := held.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("a connection outlives its port: %d %v", n, err)
	}
	w.must(call.Create, w.Port.D, "db4", m{"component": "db", "target": target, "port": 21000}) // free again
}

// TestAPortThatAnotherProgramHolds is not given out; one that a program took meanwhile says so, and opens when it is free.
func TestAPortThatAnotherProgramHolds(t *testing.T) {
	hold := func(port string) net.Listener {
		l, err := net.Listen("tcp", "127.0.0.1:"+port)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	first := hold("21000")
	w := open(t)
	if err := w.try(call.Create, w.Port.D, "own", m{"component": "db", "target": 1, "port": 21000}); err == nil || !strings.Contains(err.Error(), "held by another program") {
		t.Errorf("a port that is held: %v", err)
	}
	w.must(call.Create, w.Port.D, "db", m{"component": "db", "target": 1})
	row := func() (r *portRow) {
		err := w.Store.View(t.Context(), func(tx store.Tx) (err error) {
			r, err = w.Port.Find(tx, string(w.k.Admin.ProjectID), "db")
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	until := func(what string, holds func(r *portRow) bool) {
		t.Helper()
		for deadline := time.Now().Add(10 * time.Second); !holds(row()); time.Sleep(5 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("no %s: %+v", what, row())
			}
		}
	}
	if at := row().Status.Address; at != "127.0.0.1:21001" {
		t.Errorf("it got %s", at)
	}
	until("open port", func(r *portRow) bool {
		c, err := net.Dial("tcp", r.Status.Address)
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
	w.Close()
	second := hold("21001")
	if err := w.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	until("word of it", func(r *portRow) bool {
		return r.State == kind.Failed && strings.Contains(r.Reason, "held by another program")
	})
	_, _ = first.Close(), second.Close()
	until("open port", func(r *portRow) bool { return r.State == kind.Active && r.Reason == "" })
	events := map[string]bool{}
	err := w.Store.View(t.Context(), func(tx store.Tx) error {
		all, err := event.Of(tx, row().ID, 10)
		for _, e := range all {
			events[e.Type] = true
		}
		return err
	})
	if err != nil || !events["PortHeld"] || !events["PortOpened"] {
		t.Errorf("events: %v %v", events, err)
	}
}
