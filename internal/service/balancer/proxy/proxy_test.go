package proxy

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
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
	"sync/atomic"
	"testing"
	"time"

	"github.com/awancloud/awan/internal/kernel/id"
)

// loopback is a network whose VPCs are this machine.
type loopback struct{}

func (loopback) Listen(_ context.Context, _ id.ID, at netip.AddrPort) (net.Listener, error) {
	return net.Listen("tcp", at.String())
}

func (loopback) ListenPacket(_ context.Context, _ id.ID, at netip.AddrPort) (net.PacketConn, error) {
	return net.ListenPacket("udp", at.String())
}

func (loopback) DialFrom(ctx context.Context, _ id.ID, network string, at netip.AddrPort) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, network, at.String())
}

// free is a port of the loopback that nobody uses.
func free(t *testing.T) netip.AddrPort {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return netip.MustParseAddrPort(ln.Addr().String())
}

type world struct {
	*Proxy
	t  *testing.T
	at netip.AddrPort
	Config
	l *Listener
	p *Pool
}

// open makes a proxy with one listener and one pool.
func open(t *testing.T, protocol string) *world {
	t.Helper()
	w := &world{Proxy: New(loopback{}, slog.New(slog.DiscardHandler)), t: t, at: free(t)}
	pool := map[string]string{TLS: TCP, HTTPS: HTTP}[protocol]
	if pool == "" {
		pool = protocol
	}
	w.p = &Pool{ID: id.New(), From: "front", Protocol: pool, Algorithm: RoundRobin, StickFor: time.Minute, Drain: time.Minute}
	w.l = &Listener{ID: id.New(), At: w.at, Protocol: protocol, Pool: w.p.ID, Idle: 10 * time.Second, Request: 5 * time.Second, Response: 5 * time.Second, HTTP2: true}
	t.Cleanup(w.Close)
	return w
}

// apply applies copies, for what was given to the proxy must not change any more.
func (w *world) apply(more ...*Pool) {
	w.t.Helper()
	l, p := *w.l, *w.p
	p.Members = append([]Member(nil), w.p.Members...)
	w.Apply(&Config{Listeners: []*Listener{&l}, Pools: append([]*Pool{&p}, more...)})
	if !w.Listening(l.ID) {
		w.t.Fatal("it does not listen")
	}
}

// member starts one that says its name.
func (w *world) member(name string) Member {
	w.t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		if r.URL.Path == "/session" {
			http.SetCookie(rw, &http.Cookie{Name: "SID", Value: "of-" + name})
		}
		rw.Header().Set("Saw", r.Host+" "+r.Header.Get("X-Forwarded-For")+" "+r.Header.Get("X-Forwarded-Proto")+" "+r.Header.Get("X-Forwarded-Port")+" "+r.Header.Get("X-Real-IP"))
		fmt.Fprint(rw, name, len(b))
	}))
	w.t.Cleanup(s.Close)
	return Member{ID: id.New(), At: netip.MustParseAddrPort(s.Listener.Addr().String()), Weight: 1}
}

func (w *world) get(path string, edit ...func(*http.Request)) (int, string, http.Header) {
	w.t.Helper()
	r, _ := http.NewRequestWithContext(w.t.Context(), "GET", "http://"+w.at.String()+path, nil)
	for _, f := range edit {
		f(r)
	}
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), resp.Header
}

func (w *world) tally(n int, edit ...func(*http.Request)) map[string]int {
	w.t.Helper()
	out := map[string]int{}
	for range n {
		_, name, _ := w.get("/", edit...)
		out[strings.TrimSuffix(name, "0")]++
	}
	return out
}

// eventually waits for a condition.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

func TestSharesFollowWeights(t *testing.T) {
	w := open(t, HTTP)
	a, b, c := w.member("a"), w.member("b"), w.member("c")
	a.Weight, c.Weight = 3, 0
	w.p.Members = []Member{a, b, c}
	w.apply()
	if got := w.tally(40); got["a"] != 30 || got["b"] != 10 {
		t.Errorf("weights 3, 1 and 0: %v", got)
	}
	w.l.ForwardedPort, w.l.ForwardedProto, w.l.RealIP = true, true, true
	w.apply()
	_, _, h := w.get("/", func(r *http.Request) { r.Host = "shop.test"; r.Header.Set("X-Forwarded-For", "192.0.2.1") })
	if want := fmt.Sprintf("shop.test 192.0.2.1, 127.0.0.1 http %d 127.0.0.1", w.at.Port()); h.Get("Saw") != want {
		t.Errorf("the member saw %q, want %q", h.Get("Saw"), want)
	}
	w.p.Algorithm = SourceIP
	w.apply()
	if got := w.tally(20); len(got) != 1 {
		t.Errorf("by source: %v", got)
	}
	eventually(t, "61 requests are counted", func() bool { n := w.Count(w.l.ID); return n.Requests == 61 && n.Codes[2] == 61 })
}

func TestNoRequestIsLostWhileMembersChange(t *testing.T) {
	w := open(t, HTTP)
	all := []Member{w.member("a"), w.member("b"), w.member("c"), w.member("d")}
	dead := Member{ID: id.New(), At: free(t), Weight: 1}
	w.p.Members = all[:2]
	w.apply()
	var asked, lost atomic.Int64
	var clients sync.WaitGroup
	stop := make(chan struct{})
	for range 4 {
		clients.Go(func() {
			c := &http.Client{}
			for {
				select {
				case <-stop:
					return
				default:
				}
				asked.Add(1)
				resp, err := c.Post("http://"+w.at.String()+"/", "text/plain", strings.NewReader("hello"))
				if err != nil {
					lost.Add(1)
					continue
				}
				b, _ := io.ReadAll(resp.Body)
				_ = resp.Body.Close()
				if resp.StatusCode != 200 || !strings.HasSuffix(string(b), "5") {
					lost.Add(1)
				}
			}
		})
	}
	for i := range 60 {
		before := asked.Load()
		w.p.Members = []Member{all[i%4], all[(i+1)%4], dead}
		w.apply()
		eventually(t, "requests go on", func() bool { return asked.Load() > before+5 })
	}
	close(stop)
	clients.Wait()
	if lost.Load() > 0 {
		t.Errorf("%d of %d requests were lost", lost.Load(), asked.Load())
	}
}

func TestClientsStay(t *testing.T) {
	w := open(t, HTTP)
	w.p.Members = []Member{w.member("a"), w.member("b"), w.member("c")}
	w.p.Sticky = StickCookie
	w.apply()
	_, first, h := w.get("/")
	cookie := strings.Split(h.Get("Set-Cookie"), ";")[0]
	if got := w.tally(9, func(r *http.Request) { r.Header.Set("Cookie", cookie) }); got[strings.TrimSuffix(first, "0")] != 9 {
		t.Errorf("with the cookie of %s: %v", first, got)
	}
	w.p.Sticky, w.p.Cookie = StickAppCookie, "SID"
	w.apply()
	_, first, h = w.get("/session")
	cookie = h.Get("Set-Cookie")
	if got := w.tally(9, func(r *http.Request) { r.Header.Set("Cookie", cookie) }); got[strings.TrimSuffix(first, "0")] != 9 {
		t.Errorf("with the app's cookie of %s: %v", first, got)
	}
	if got := w.tally(9); len(got) != 3 {
		t.Errorf("without a cookie: %v", got)
	}
}

func TestPolicies(t *testing.T) {
	w := open(t, HTTP)
	api := &Pool{ID: id.New(), From: "front", Protocol: HTTP, Algorithm: RoundRobin, Members: []Member{w.member("api")}}
	w.p.Members = []Member{w.member("web")}
	w.l.Policies = []Policy{
		{Rules: []Rule{{Of: "path", Compare: "prefix", Values: []string{"/api/"}}, {Of: "method", Compare: "equal", Values: []string{"GET", "POST"}}}, Action: ToPool, Pool: api.ID},
		{Rules: []Rule{{Of: "host", Compare: "equal", Values: []string{"*.old.test"}}}, Action: ToURL, Scheme: "https", Host: "new.test", Status: 301},
		{Rules: []Rule{{Of: "header", Key: "X-Bot", Compare: "equal", Values: []string{"yes"}}}, Action: Respond, Status: 429, ContentType: "text/plain", Body: "slow down"},
		{Rules: []Rule{{Of: "query", Key: "v", Compare: "contains", Values: []string{"2"}}, {Of: "source", Nets: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}}, Action: ToURL, Path: "/v2", Status: 302},
	}
	w.apply(api)
	for _, c := range []struct {
		path, want, location string
		status               int
		edit                 func(*http.Request)
	}{
		{"/", "web0", "", 200, nil},
		{"/api/x", "api0", "", 200, nil},
		{"/api/x", "web0", "", 200, func(r *http.Request) { r.Method = "PUT" }},
		{"/a?b=c", "", "https://new.test/a?b=c", 301, func(r *http.Request) { r.Host = "shop.old.test:80" }},
		{"/", "slow down", "", 429, func(r *http.Request) { r.Header.Set("X-Bot", "yes") }},
		{"/?v=12", "", "http://" + w.at.String() + "/v2?v=12", 302, nil},
	} {
		edit := c.edit
		if edit == nil {
			edit = func(*http.Request) {}
		}
		status, body, h := w.get(c.path, edit)
		if status != c.status || !strings.Contains(body, c.want) || h.Get("Location") != c.location {
			t.Errorf("%s: %d %q %q, want %d %q %q", c.path, status, body, h.Get("Location"), c.status, c.want, c.location)
		}
	}
}

func TestWhoMayCome(t *testing.T) {
	w := open(t, HTTP)
	w.p.Members = []Member{w.member("a")}
	w.l.Addresses = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
	w.apply()
	if _, err := http.Get("http://" + w.at.String() + "/"); err == nil {
		t.Error("a denied client was answered")
	}
	w.l.Allow = true
	w.apply()
	if status, _, _ := w.get("/"); status != 200 {
		t.Errorf("an allowed client got %d", status)
	}
}

func TestWhenMembersFail(t *testing.T) {
	w := open(t, HTTP)
	w.apply()
	if status, _, _ := w.get("/"); status != 503 {
		t.Errorf("without members: %d", status)
	}
	slow := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-slow }))
	defer s.Close()
	defer close(slow)
	w.p.Members = []Member{{ID: id.New(), At: netip.MustParseAddrPort(s.Listener.Addr().String()), Weight: 1}}
	w.l.Response = 50 * time.Millisecond
	w.apply()
	if status, _, _ := w.get("/"); status != 504 {
		t.Errorf("a member that says nothing: %d", status)
	}
	w.l.Response = 5 * time.Second
	w.p.Members = []Member{{ID: id.New(), At: free(t), Weight: 1}, w.member("b")}
	w.apply()
	if got := w.tally(10); got["b"] != 10 {
		t.Errorf("beside a member that is not there: %v", got)
	}
}

func TestChecks(t *testing.T) {
	w := open(t, HTTP)
	var ill atomic.Bool
	s := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if ill.Load() {
			rw.WriteHeader(500)
			return
		}
		_, _ = io.WriteString(rw, "a0")
	}))
	defer s.Close()
	a, b := Member{ID: id.New(), At: netip.MustParseAddrPort(s.Listener.Addr().String()), Weight: 1}, w.member("b")
	w.p.Members = []Member{a, b}
	w.p.Monitor = &Monitor{Type: HTTP, Method: "GET", Path: "/health", Delay: 10 * time.Millisecond, Timeout: time.Second, Up: 2, Down: 2, Codes: []CodeRange{{200, 299}}}
	w.apply()
	is := func(m Member, h Health) func() bool { return func() bool { return w.Health(w.p.ID, m.ID) == h } }
	eventually(t, "both are online", func() bool { return is(a, Online)() && is(b, Online)() })
	ill.Store(true)
	eventually(t, "a is offline", is(a, Offline))
	if got := w.tally(6); got["b"] != 6 {
		t.Errorf("with a ill: %v", got)
	}
	ill.Store(false)
	eventually(t, "a is online again", is(a, Online))
	w.p.Monitor = nil
	w.apply()
	if !is(a, Unseen)() {
		t.Error("without a monitor a's state is known")
	}
}

func TestAMemberThatComesUpStartsSlowly(t *testing.T) {
	m := &member{weight: 10, since: time.Now()}
	if m.current(time.Hour) > 10 || m.current(0) != 1000 {
		t.Errorf("%d and %d", m.current(time.Hour), m.current(0))
	}
}

func certificate(t *testing.T, names ...string) *Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: names, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return &Certificate{tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, names}
}

func TestCertificatesByName(t *testing.T) {
	w := open(t, HTTPS)
	w.p.Members = []Member{w.member("a")}
	w.l.Certificates = []*Certificate{certificate(t, "first.test"), certificate(t, "*.shop.test"), certificate(t, "www.shop.test")}
	w.apply()
	ask := func(name string) string {
		t.Helper()
		tr := &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true, ServerName: name}}
		defer tr.CloseIdleConnections()
		resp, err := (&http.Client{Transport: tr}).Get("https://" + w.at.String() + "/")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		return fmt.Sprint(resp.Proto, " ", resp.TLS.PeerCertificates[0].DNSNames[0])
	}
	for name, want := range map[string]string{"www.shop.test": "HTTP/2.0 www.shop.test", "a.shop.test": "HTTP/2.0 *.shop.test", "other.test": "HTTP/2.0 first.test"} {
		if got := ask(name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	w.l.Certificates, w.l.HTTP2 = []*Certificate{certificate(t, "second.test")}, false
	w.apply()
	if got := ask("other.test"); got != "HTTP/1.1 second.test" {
		t.Errorf("after a change: %s", got)
	}
}

func TestUpgradedConnections(t *testing.T) {
	w := open(t, HTTP)
	s := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		c, b, err := http.NewResponseController(rw).Hijack()
		if err != nil {
			return
		}
		defer c.Close()
		_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		line, _ := b.ReadString('\n')
		_, _ = io.WriteString(c, "echo "+line)
	}))
	defer s.Close()
	w.p.Members = []Member{{ID: id.New(), At: netip.MustParseAddrPort(s.Listener.Addr().String()), Weight: 1}}
	w.apply()
	c := w.dial()
	_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	b := bufio.NewReader(c)
	if line, _ := b.ReadString('\n'); !strings.Contains(line, "101") {
		t.Fatal(line)
	}
	_, _ = io.WriteString(c, "hello\n")
	rest, _ := io.ReadAll(b)
	if !strings.HasSuffix(string(rest), "echo hello\n") {
		t.Errorf("got %q", rest)
	}
}

func (w *world) dial() net.Conn {
	w.t.Helper()
	c, err := net.Dial("tcp", w.at.String())
	if err != nil {
		w.t.Fatal(err)
	}
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	w.t.Cleanup(func() { c.Close() })
	return c
}

// echo is a member of TCP that says what it hears.
func (w *world) echo() Member {
	w.t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(c, c); _ = c.Close() }()
		}
	}()
	return Member{ID: id.New(), At: netip.MustParseAddrPort(ln.Addr().String()), Weight: 1}
}

func TestConnections(t *testing.T) {
	w := open(t, TCP)
	w.l.ProxyProtocol = true
	w.p.Members = []Member{w.echo()}
	w.apply()
	c := w.dial()
	b := bufio.NewReader(c)
	line, _ := b.ReadString('\n')
	from := addrPort(c.LocalAddr())
	if want := fmt.Sprintf("PROXY TCP4 127.0.0.1 127.0.0.1 %d %d\r\n", from.Port(), w.at.Port()); line != want {
		t.Fatalf("the member was told %q, want %q", line, want)
	}
	w.p.Members = []Member{w.echo()} // the connection goes on with the one that left
	w.apply()
	_, _ = io.WriteString(c, "still\n")
	if line, _ := b.ReadString('\n'); line != "still\n" {
		t.Errorf("after the member left: %q", line)
	}
	_ = c.(*net.TCPConn).CloseWrite()
	if rest, err := io.ReadAll(b); err != nil || len(rest) > 0 {
		t.Errorf("the end: %q %v", rest, err)
	}
	cut := w.dial()
	_, _ = bufio.NewReader(cut).ReadString('\n')
	w.p.Members, w.p.Drain = nil, 0
	w.apply()
	if _, err := cut.Read(make([]byte, 1)); err == nil {
		t.Error("a connection without drain time goes on")
	}
	eventually(t, "nothing is open", func() bool { return w.Count(w.l.ID).Active == 0 })
}

func TestPackets(t *testing.T) {
	w := open(t, UDP)
	s, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	go func() {
		buf := make([]byte, 1500)
		for {
			n, from, err := s.ReadFrom(buf)
			if err != nil {
				return
			}
			_, _ = s.WriteTo(buf[:n], from)
		}
	}()
	w.p.Members = []Member{{ID: id.New(), At: netip.MustParseAddrPort(s.LocalAddr().String()), Weight: 1}}
	w.apply()
	c, err := net.Dial("udp", w.at.String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	for _, word := range []string{"one", "two"} {
		_, _ = io.WriteString(c, word)
		buf := make([]byte, 10)
		n, err := c.Read(buf)
		if err != nil || string(buf[:n]) != word {
			t.Fatalf("%q %v", buf[:n], err)
		}
	}
	if n := w.Count(w.l.ID); n.Total != 1 || n.In != 6 || n.Out != 6 {
		t.Errorf("counted %+v", n)
	}
}
