package front_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/awancloud/awan/internal/dialect/front"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/secret"
)

// seen is what a test service answers: how the listener handed the request to it.
type seen struct {
	Service, Sub, Path, Original, ID string
	Secure                           bool
	Host, Peer                       string
}

func echo(name string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		i := front.From(r.Context())
		if name == "app" {
			i.Service = "app " + r.Host
		}
		w.Header().Set("X-Request-Id", "the handler's")
		_ = json.NewEncoder(w).Encode(seen{i.Service, i.Sub, r.URL.EscapedPath(), i.Path, i.RequestID, i.Secure, r.Host, i.Peer.String()})
	})
}

// cloud is a listener with a few services, and its log.
type cloud struct {
	*front.Front
	ca *secret.CA

	mu  sync.Mutex
	log bytes.Buffer
}

func (c *cloud) Write(p []byte) (int, error) { c.mu.Lock(); defer c.mu.Unlock(); return c.log.Write(p) }

func (c *cloud) logged() string { c.mu.Lock(); defer c.mu.Unlock(); return c.log.String() }

func start(t testing.TB, change func(*front.Options)) *cloud {
	t.Helper()
	c := &cloud{}
	var err error
	if c.ca, err = secret.OpenCA(t.TempDir(), time.Now); err != nil {
		t.Fatal(err)
	}
	o := front.Options{
		Listen: "127.0.0.1:0", CA: c.ca, Names: front.Names{Domain: "awan.localhost", Region: "awan-1", More: []string{"awan.test"}},
		Logger: slog.New(slog.NewJSONHandler(c, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Services: []front.Service{
			{Name: "iam", Handler: echo("iam"), Routes: []string{"GET /", "GET /v3", "POST /v3/auth/tokens", "GET /v3/{p}/quotas"}},
			{Name: "ecs", Handler: echo("ecs"), Routes: []string{"GET /v1/{p}/cloudservers/{id}", "GET /v1/{p}/jobs/{id}"}},
			{Name: "vpc", Handler: echo("vpc"), Routes: []string{"GET /v1/{p}/vpcs", "POST /v1/{p}/vpcs"}, MaxBody: 10},
			{Name: "cbr", Handler: echo("cbr"), Routes: []string{"GET /v3/{p}/backups"}},
			{Name: "rds", Handler: echo("rds"), Routes: []string{"GET /v3/{p}/backups"}, Prefer: func(r *http.Request) bool { return r.URL.Query().Has("instance_id") }},
			{Name: "obs", Handler: echo("obs"), HostOnly: true, Sub: true, MaxBody: -1},
			{Name: "swr-api", Prefixes: []string{"swr"}, Handler: echo("swr-api"), Routes: []string{"GET /v2/manage/namespaces"}},
			{Name: "registry", Hosts: []string{"swr"}, HostOnly: true, Handler: echo("registry"), Match: front.OCI},
		},
		Native:  &front.Service{Name: "native", Handler: echo("native")},
		Console: &front.Service{Name: "console", Handler: echo("console")},
		Apps: func(host string) http.Handler {
			if host == "guestbook.awan.localhost" || host == "127.0.0.77" {
				return echo("app")
			}
			return nil
		},
	}
	if change != nil {
		change(&o)
	}
	if c.Front, err = front.New(o); err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := c.Shutdown(ctx); err != nil {
			t.Error(err)
		}
	})
	return c
}

// client dials the listener whatever the URL says, as if DNS led there.
func (c *cloud) client(t testing.TB) *http.Client {
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: c.ca.Pool()}, ForceAttemptHTTP2: true,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, c.Addr().String())
		}}
	return c.with(t, tr)
}

// through makes a client that knows the listener as its proxy only, and has no DNS.
func (c *cloud) through(t testing.TB, proxy string) *http.Client {
	u, err := url.Parse(proxy)
	if err != nil {
		t.Fatal(err)
	}
	return c.with(t, &http.Transport{TLSClientConfig: &tls.Config{RootCAs: c.ca.Pool()}, Proxy: http.ProxyURL(u)})
}

func (c *cloud) with(t testing.TB, tr *http.Transport) *http.Client {
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 10 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// do sends a request and gives the answer with its body read.
func do(t testing.TB, hc *http.Client, method, target string, body io.Reader, header ...string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequest(method, target, body)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	res, err := hc.Do(r)
	if err != nil {
		t.Fatalf("%s %s: %v", method, target, err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, target, err)
	}
	return res, string(data)
}

func decode(t testing.TB, data string) (s seen) {
	t.Helper()
	if err := json.Unmarshal([]byte(data), &s); err != nil {
		t.Fatalf("%q: %v", data, err)
	}
	return s
}

func TestRouting(t *testing.T) {
	c := start(t, nil)
	hc := c.client(t)
	for _, tc := range []struct{ method, url, accept, want string }{
		// by host name
		{"GET", "https://ecs.awan-1.awan.localhost/v1/p/cloudservers/s", "", "ecs /v1/p/cloudservers/s"},
		{"GET", "https://ECS.awan-1.awan.localhost./v1/p/anything", "", "ecs /v1/p/anything"},
		{"GET", "https://iam.awan.localhost/v3", "", "iam /v3"},
		{"GET", "https://iam.awan-1.awan.test/v3", "", "iam /v3"},
		{"PUT", "https://my.bucket.obs.awan-1.awan.localhost/k//e%2Fy", "", "obs /k//e%2Fy sub=my.bucket"},
		{"PUT", "https://b.obs.awan.localhost/k", "", "obs /k sub=b"},
		{"GET", "https://obs.awan-1.awan.localhost/", "", "obs /"},
		{"GET", "https://swr-api.awan-1.awan.localhost/v2/manage/namespaces", "", "swr-api /v2/manage/namespaces"},
		{"GET", "https://swr.awan-1.awan.localhost/v2/", "", "registry /v2/"},
		{"GET", "https://registry.awan.localhost/v2/p/app/manifests/1", "", "registry /v2/p/app/manifests/1"},
		{"GET", "https://guestbook.awan.localhost/v3", "", "app guestbook.awan.localhost /v3"},
		// by prefix: cut off for the handler, kept for the signature
		{"GET", "https://awan.localhost/vpc/v1/p%2Fq/vpcs", "", "vpc /v1/p%2Fq/vpcs original=/vpc/v1/p%2Fq/vpcs"},
		{"GET", "https://localhost/iam", "", "iam / original=/iam"},
		{"GET", "https://127.0.0.1/swr/v2/manage/namespaces", "", "swr-api /v2/manage/namespaces original=/swr/v2/manage/namespaces"},
		// by method and path
		{"GET", "https://127.0.0.1/v1/p/vpcs", "", "vpc /v1/p/vpcs"},
		{"GET", "https://127.0.0.1/v1/p/jobs/j", "", "ecs /v1/p/jobs/j"},
		{"GET", "https://127.0.0.1/v3/p/backups", "", "cbr /v3/p/backups"},
		{"GET", "https://127.0.0.1/v3/p/backups?instance_id=i", "", "rds /v3/p/backups"},
		{"POST", "https://127.0.0.1/v3/auth/tokens", "", "iam /v3/auth/tokens"},
		{"GET", "https://127.0.0.1/v2/", "", "registry /v2/"},
		{"PUT", "https://127.0.0.1/v2/p/app/manifests/1.0", "", "registry /v2/p/app/manifests/1.0"},
		{"GET", "https://127.0.0.1/v2/manage/namespaces", "", "swr-api /v2/manage/namespaces"},
		{"PUT", "https://127.0.0.1/v1/p/vpcs", "", "405"},
		{"GET", "https://127.0.0.1/v9/p/things", "", "404"},
		// the cloud's own
		{"GET", "https://awan.localhost/awan/v1/apps", "", "native /awan/v1/apps"},
		{"GET", "https://awan.localhost/", "", "iam /"},
		{"GET", "https://awan.localhost/", "text/html,application/xhtml+xml", "console /"},
		{"GET", "https://awan.localhost/apps/1", "text/html", "console /apps/1"},
		{"POST", "https://awan.localhost/login", "", "console /login"},
	} {
		header := []string{}
		if tc.accept != "" {
			header = append(header, "Accept", tc.accept)
		}
		res, body := do(t, hc, tc.method, tc.url, nil, header...)
		got := fmt.Sprint(res.StatusCode)
		if res.StatusCode == 200 {
			s := decode(t, body)
			got = s.Service + " " + s.Path
			if s.Sub != "" {
				got += " sub=" + s.Sub
			}
			if s.Original != s.Path {
				got += " original=" + s.Original
			}
		}
		if got != tc.want {
			t.Errorf("%s %s: %s, want %s", tc.method, tc.url, got, tc.want)
		}
	}
}

func TestNamesOfOthersAreRefused(t *testing.T) {
	c := start(t, nil)
	for _, name := range []string{"evil.example", "ecs.eu-west-1.awan.localhost", "nothing.awan.localhost", "x.ecs.awan.localhost", "awan.localhost.evil.example"} {
		if _, err := c.client(t).Get("https://" + name + "/"); err == nil || !strings.Contains(err.Error(), "tls:") {
			t.Errorf("a certificate for %s: %v", name, err)
		}
		// the right name at TLS, another in the Host header: what DNS rebinding and confused proxies send
		r, _ := http.NewRequest("GET", "https://awan.localhost/v3", nil)
		r.Host = name
		res, err := c.client(t).Do(r)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != http.StatusMisdirectedRequest {
			t.Errorf("Host %s: %s", name, res.Status)
		}
	}
}

func TestRequestIDs(t *testing.T) {
	c := start(t, nil)
	ids := map[string]bool{}
	for _, target := range []string{"https://awan.localhost/v3", "https://awan.localhost/v9/x", "https://guestbook.awan.localhost/"} {
		res, body := do(t, c.client(t), "GET", target, nil, "X-Request-Id", "the client's")
		values := res.Header.Values("X-Request-Id")
		if len(values) != 1 || len(values[0]) != 32 || ids[values[0]] || !strings.Contains(body, values[0]) {
			t.Errorf("%s: ids %q, body %s", target, values, body)
		}
		ids[values[0]] = true
		if !strings.Contains(c.logged(), values[0]) {
			t.Errorf("%s: id not in the log", target)
		}
	}
}

func TestErrorsFitEveryClient(t *testing.T) {
	c := start(t, nil)
	_, body := do(t, c.client(t), "GET", "https://awan.localhost/v9/x", nil)
	var e struct {
		Error struct {
			Code                 int
			Title, Message, Kind string
		}
		ErrorCode string `json:"error_code"`
		ErrorMsg  string `json:"error_msg"`
	}
	if err := json.Unmarshal([]byte(body), &e); err != nil || e.Error.Code != 404 || e.Error.Title != "Not Found" ||
		e.ErrorCode != "Awan.not_found" || e.ErrorMsg == "" || e.ErrorMsg != e.Error.Message {
		t.Errorf("%s: %+v, %v", body, e, err)
	}
	for _, k := range fail.Kinds() {
		if s := front.Status(k); s < 400 || s == 500 && k != fail.Internal && k != fail.DataLoss {
			t.Errorf("%s is answered with %d", k, s)
		}
	}
}

func TestPanicIsOurDefect(t *testing.T) {
	c := start(t, func(o *front.Options) {
		o.Services[1].Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/half" {
				_, _ = w.Write([]byte("half"))
				w.(http.Flusher).Flush()
			}
			panic("secret detail")
		})
	})
	res, body := do(t, c.client(t), "GET", "https://ecs.awan.localhost/", nil)
	if res.StatusCode != 500 || strings.Contains(body, "secret") || !strings.Contains(body, `"internal"`) {
		t.Errorf("%s %s", res.Status, body)
	}
	if log := c.logged(); !strings.Contains(log, "secret detail") || !strings.Contains(log, "front_test.go") {
		t.Errorf("the log does not say where: %s", log)
	}
	half, err := c.client(t).Get("https://ecs.awan.localhost/half")
	if err == nil {
		_, err = io.ReadAll(half.Body)
		half.Body.Close()
	}
	if err == nil {
		t.Error("half an answer looks whole")
	}
}

func TestBodyLimits(t *testing.T) {
	c := start(t, func(o *front.Options) {
		o.Services[2].Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if _, err := io.ReadAll(r.Body); err != nil {
				front.Fail(w, r, 413, fail.New(fail.TooLarge, "found while reading"))
			}
		})
	})
	for _, tc := range []struct {
		body   io.Reader
		status int
		says   string
	}{
		{strings.NewReader("ten bytes!"), 200, ""},
		{strings.NewReader("eleven byte"), 413, "over 10 bytes"},
		{io.MultiReader(strings.NewReader("length not "), strings.NewReader("said")), 413, "found while reading"},
	} {
		res, body := do(t, c.client(t), "POST", "https://vpc.awan.localhost/v1/p/vpcs", tc.body)
		if res.StatusCode != tc.status || !strings.Contains(body, tc.says) {
			t.Errorf("%s %s, want %d %s", res.Status, body, tc.status, tc.says)
		}
	}
	if res, _ := do(t, c.client(t), "PUT", "https://b.obs.awan.localhost/k", bytes.NewReader(make([]byte, 16<<20))); res.StatusCode != 200 {
		t.Errorf("a service without bound: %s", res.Status)
	}
}

func TestHSTSOnConsoleOnly(t *testing.T) {
	c := start(t, nil)
	for target, want := range map[string]bool{
		"https://awan.localhost/apps": true, "https://127.0.0.1/apps": false, "https://localhost/apps": false,
		"https://awan.localhost/v3": false, "https://guestbook.awan.localhost/": false,
	} {
		res, _ := do(t, c.client(t), "GET", target, nil)
		if got := res.Header.Get("Strict-Transport-Security") != ""; got != want {
			t.Errorf("%s: HSTS %v", target, got)
		}
	}
}

func TestAddAddress(t *testing.T) {
	c := start(t, nil)
	addr := netip.MustParseAddr("127.0.0.77")
	for range 2 { // the second time says nothing new
		if err := c.AddAddress(addr); err != nil {
			t.Fatal(err)
		}
	}
	hc := c.with(t, &http.Transport{TLSClientConfig: &tls.Config{RootCAs: c.ca.Pool()}})
	target := fmt.Sprintf("https://%s/", netip.AddrPortFrom(addr, c.Addr().Port()))
	if _, body := do(t, hc, "GET", target, nil); !strings.HasPrefix(decode(t, body).Service, "app") {
		t.Errorf("the app's address answers %s", body)
	}
	c.RemoveAddress(addr)
	hc.CloseIdleConnections()
	if _, err := hc.Get(target); err == nil {
		t.Error("a removed address still answers")
	}
	every := start(t, func(o *front.Options) { o.Listen = "0.0.0.0:0" })
	if err := every.AddAddress(addr); err != nil {
		t.Fatal(err)
	}
	target = fmt.Sprintf("https://%s/", netip.AddrPortFrom(addr, every.Addr().Port()))
	if _, body := do(t, every.with(t, &http.Transport{TLSClientConfig: &tls.Config{RootCAs: every.ca.Pool()}}), "GET", target, nil); !strings.HasPrefix(decode(t, body).Service, "app") {
		t.Errorf("listening everywhere, the app's address answers %s", body)
	}
}

func TestWiringErrors(t *testing.T) {
	ca, err := secret.OpenCA(t.TempDir(), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	for name, services := range map[string][]front.Service{
		"one name twice":   {{Name: "a", Handler: echo("")}, {Name: "b", Aliases: []string{"a"}, Handler: echo("")}},
		"a version's name": {{Name: "v3", Handler: echo("")}},
		"native's name":    {{Name: "awan", Handler: echo("")}},
		"no handler":       {{Name: "a"}},
		"bad pattern":      {{Name: "a", Handler: echo(""), Routes: []string{"GET x"}}},
	} {
		_, err := front.New(front.Options{Listen: "127.0.0.1:0", CA: ca, Names: front.Names{Domain: "d"}, Logger: slog.Default(), Services: services})
		if !fail.Is(err, fail.Internal) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestOCIPaths(t *testing.T) {
	for request, want := range map[string]bool{
		"GET /v2/": true, "GET /v2/_catalog": true, "GET /v2/a/tags/list": true, "GET /v2/a/b/c/manifests/latest": true,
		"HEAD /v2/a/blobs/sha256:0": true, "POST /v2/a/b/blobs/uploads/": true, "PATCH /v2/a/blobs/uploads/u": true,
		"GET /v2/a/referrers/sha256:0": true,
		"GET /v2":                      false, "GET /v2/zones/z": false, "PUT /v2/images/i/tags/list": false, "GET /v2/p/instances/i": false,
		"GET /v2/images/i/tags/t": false, "GET /v2/p/blobs/b": false, "GET /v2.0/networks": false, "GET /v2/p/a/b/c": false,
	} {
		method, path, _ := strings.Cut(request, " ")
		if got := front.OCI(&http.Request{Method: method, URL: &url.URL{Path: path}}); got != want {
			t.Errorf("%s: %v", request, got)
		}
	}
}
