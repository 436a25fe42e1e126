package front_test

import (
	"bufio"
	"crypto/tls"
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
	"time"

	"github.com/awancloud/awan/internal/dialect/front"
)

// TestProxyWayIn: clients that only have the proxy variables set reach every name without DNS.
func TestProxyWayIn(t *testing.T) {
	c := start(t, nil)
	port := c.Addr().Port()
	for _, tc := range []struct {
		proxy, url, want string
		secure           bool
	}{
		{"http", "https://ecs.awan-1.awan.localhost/v1/p/jobs/j", "ecs", true},
		{"http", fmt.Sprintf("https://ecs.awan-1.awan.localhost:%d/v1/p/jobs/j", port), "ecs", true},
		{"http", "https://my-bucket.obs.awan-1.awan.test/k", "obs", true},
		{"http", "https://guestbook.awan.localhost/", "app guestbook.awan.localhost", true},
		{"http", "https://127.0.0.77/", "app 127.0.0.77", true}, // no SNI: the certificate is for the tunnel's target
		{"http", fmt.Sprintf("https://%s/v3", c.Addr()), "iam", true},
		{"http", "http://vpc.awan-1.awan.localhost/v1/p/vpcs", "vpc", false},
		{"http", "http://guestbook.awan.localhost/", "app guestbook.awan.localhost", false},
		{"https", "https://ecs.awan-1.awan.localhost/v1/p/jobs/j", "ecs", true}, // the proxy itself by TLS
		{"https", "http://vpc.awan-1.awan.localhost/v1/p/vpcs", "vpc", true},
	} {
		hc := c.through(t, fmt.Sprintf("%s://%s", tc.proxy, c.Addr()))
		res, body := do(t, hc, "GET", tc.url, nil)
		if res.StatusCode != 200 {
			t.Errorf("%s by %s: %s %s", tc.url, tc.proxy, res.Status, body)
			continue
		}
		if s := decode(t, body); s.Service != tc.want || s.Secure != tc.secure || s.Peer != "127.0.0.1" {
			t.Errorf("%s by %s: %+v", tc.url, tc.proxy, s)
		}
	}
}

// TestNoOpenProxy: the listener never leads anywhere else.
func TestNoOpenProxy(t *testing.T) {
	c := start(t, nil)
	other, err := net.Listen("tcp", "127.0.0.1:0") // a server that must not be reached through us
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	go func() {
		for {
			conn, err := other.Accept()
			if err != nil {
				return
			}
			t.Error("the listener relayed a connection")
			conn.Close()
		}
	}()
	for _, target := range []string{"example.com:443", "example.com", other.Addr().String(), "ecs.awan-1.awan.localhost:22", "169.254.169.254:80",
		"127.0.0.1:5432", "10.0.0.1:443", "awan.localhost:0", "awan.localhost:x", ":443", "localhost:6443", "[::1]:22"} {
		res := raw(t, c, "CONNECT "+target+" HTTP/1.1\r\nHost: "+target+"\r\n\r\n")
		if res.StatusCode != 403 && res.StatusCode != 400 {
			t.Errorf("CONNECT %s: %s", target, res.Status)
		}
	}
	for _, target := range []string{"http://example.com/", "http://" + other.Addr().String() + "/", "http://169.254.169.254/latest/meta-data", "ftp://awan.localhost:21/"} {
		if res := raw(t, c, "GET "+target+" HTTP/1.1\r\nHost: awan.localhost\r\n\r\n"); res.StatusCode != 403 {
			t.Errorf("GET %s: %s", target, res.Status)
		}
	}
	// a tunnel inside a tunnel
	conn := dial(t, c)
	br := bufio.NewReader(conn)
	for i, want := range []int{200, 403} {
		fmt.Fprintf(conn, "CONNECT awan.localhost:80 HTTP/1.1\r\nHost: awan.localhost:80\r\n\r\n")
		res, err := http.ReadResponse(br, &http.Request{Method: "CONNECT"})
		if err != nil || res.StatusCode != want {
			t.Fatalf("CONNECT %d: %v, %v", i, res, err)
		}
	}
}

func dial(t *testing.T, c *cloud) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", c.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return conn
}

// raw sends bytes without TLS and reads one answer.
func raw(t *testing.T, c *cloud, request string) *http.Response {
	t.Helper()
	conn := dial(t, c)
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: "GET"})
	if err != nil {
		t.Fatalf("%q: %v", request, err)
	}
	res.Body.Close()
	return res
}

func TestPipelinedTunnel(t *testing.T) {
	c := start(t, nil)
	conn := dial(t, c)
	// the client does not wait for "200 Connection established" before it speaks
	if _, err := io.WriteString(conn, "CONNECT vpc.awan.localhost:80 HTTP/1.1\r\nHost: vpc.awan.localhost:80\r\n\r\nGET /v1/p/vpcs HTTP/1.1\r\nHost: vpc.awan.localhost\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	br := bufio.NewReader(conn)
	if res, err := http.ReadResponse(br, &http.Request{Method: "CONNECT"}); err != nil || res.StatusCode != 200 {
		t.Fatal(res, err)
	}
	res, err := http.ReadResponse(br, nil)
	if err != nil || res.StatusCode != 200 {
		t.Fatal(res, err)
	}
	res.Body.Close()
}

// TestPlainHTTP: a request without TLS gets a redirect or a clear no, never service.
func TestPlainHTTP(t *testing.T) {
	c := start(t, nil)
	for _, tc := range []struct {
		request  string
		status   int
		location string
	}{
		{"GET /v3?x=1 HTTP/1.1\r\nHost: awan.localhost:8443\r\n\r\n", 308, "https://awan.localhost:8443/v3?x=1"},
		{"GET / HTTP/1.1\r\nHost: guestbook.awan.localhost\r\n\r\n", 308, "https://guestbook.awan.localhost/"},
		{"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", 400, ""},
		{"GET / HTTP/1.1\r\nHost: awan.localhost\r\nX-Auth-Token: t\r\n\r\n", 400, ""},
		{"POST /v3/auth/tokens HTTP/1.1\r\nHost: awan.localhost\r\nContent-Length: 0\r\n\r\n", 400, ""},
		{"nonsense\r\n\r\n", 400, ""},
	} {
		if res := raw(t, c, tc.request); res.StatusCode != tc.status || res.Header.Get("Location") != tc.location {
			t.Errorf("%q: %s to %q", tc.request, res.Status, res.Header.Get("Location"))
		}
	}
	// inside a tunnel to the TLS port too
	conn := dial(t, c)
	fmt.Fprintf(conn, "CONNECT vpc.awan.localhost:443 HTTP/1.1\r\nHost: vpc.awan.localhost:443\r\n\r\nPOST /v1/p/vpcs HTTP/1.1\r\nHost: vpc.awan.localhost\r\nContent-Length: 0\r\n\r\n")
	br := bufio.NewReader(conn)
	for _, want := range []int{200, 400} {
		if res, err := http.ReadResponse(br, &http.Request{Method: "CONNECT"}); err != nil || res.StatusCode != want {
			t.Fatal(res, err)
		}
	}
}

// TestFromAnotherMachine: clear text that crossed a network is refused in every form; TLS is served.
func TestFromAnotherMachine(t *testing.T) {
	addr := outward(t)
	c := start(t, func(o *front.Options) { o.Listen = "0.0.0.0:0" })
	at := netip.AddrPortFrom(addr, c.Addr().Port()).String()
	send := func(request string) (int, string) {
		conn, err := net.Dial("tcp", at)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
		fmt.Fprint(conn, request)
		br := bufio.NewReader(conn)
		if strings.HasPrefix(request, "CONNECT") {
			if res, err := http.ReadResponse(br, &http.Request{Method: "CONNECT"}); err != nil || res.StatusCode != 200 {
				t.Fatal(res, err)
			}
		}
		res, err := http.ReadResponse(br, &http.Request{Method: "GET"})
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(res.Body)
		return res.StatusCode, string(body)
	}
	status, body := send("GET http://vpc.awan-1.awan.localhost/v1/p/vpcs HTTP/1.1\r\nHost: x\r\nAuthorization: SDK-HMAC-SHA256 x\r\n\r\n")
	if status != 403 || !strings.Contains(body, "replace it") {
		t.Errorf("credential in clear text: %d %s", status, body)
	}
	if status, body = send("GET http://vpc.awan-1.awan.localhost/v1/p/vpcs HTTP/1.1\r\nHost: x\r\n\r\n"); status != 403 {
		t.Errorf("clear text: %d %s", status, body)
	}
	if status, body = send("CONNECT vpc.awan.localhost:80 HTTP/1.1\r\nHost: x\r\n\r\nPOST /v1/p/vpcs HTTP/1.1\r\nHost: vpc.awan.localhost\r\nContent-Length: 0\r\n\r\n"); status != 400 {
		t.Errorf("clear text in a tunnel: %d %s", status, body)
	}
	res, body := do(t, c.through(t, "http://"+at), "GET", "https://ecs.awan-1.awan.localhost/v1/p/jobs/j", nil)
	if res.StatusCode != 200 || decode(t, body).Peer != addr.String() {
		t.Errorf("TLS in a tunnel: %s %s", res.Status, body)
	}
	direct := c.with(t, &http.Transport{TLSClientConfig: &tls.Config{RootCAs: c.ca.Pool()}})
	if res, body := do(t, direct, "GET", "https://"+at+"/v3", nil); res.StatusCode != 200 {
		t.Errorf("TLS to the address: %s %s", res.Status, body)
	}
}

// outward gives an address of this machine that is not a loopback one: who connects to it comes from it.
func outward(t *testing.T) netip.Addr {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Skip("no list of interfaces: ", err)
	}
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() && !p.Addr().IsLoopback() {
			return p.Addr()
		}
	}
	t.Skip("this machine has no address but loopback")
	return netip.Addr{}
}

// TestCurl: a client that is not Go's.
func TestCurl(t *testing.T) {
	curl, err := exec.LookPath("curl")
	if err != nil {
		t.Skip("curl is not installed")
	}
	c := start(t, nil)
	root := filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(root, c.ca.Certificate(), 0o600); err != nil {
		t.Fatal(err)
	}
	at := c.Addr().String()
	for _, tc := range []struct {
		name, url string
		env       []string
		args      []string
		want      string
	}{
		{"HTTPS_PROXY", "https://my-bucket.obs.awan-1.awan.test/k", []string{"HTTPS_PROXY=http://" + at}, nil, `"Service":"obs"`},
		{"http_proxy", "http://my-bucket.obs.awan-1.awan.test/k", []string{"http_proxy=http://" + at}, nil, `"Secure":false`},
		{"tunnelled http", "http://ecs.awan-1.awan.test/k", []string{"http_proxy=http://" + at}, []string{"-p"}, `"Service":"ecs"`},
		{"proxy by TLS", "https://ecs.awan-1.awan.test/k", []string{"HTTPS_PROXY=https://" + at}, []string{"--proxy-cacert", root}, `"Service":"ecs"`},
		{"address without SNI", "https://" + at + "/v3", nil, nil, `"Service":"iam"`},
		{"TLS 1.2", "https://" + at + "/v3", nil, []string{"--tls-max", "1.2"}, `"Service":"iam"`},
		{"HTTP/2", "https://" + at + "/v3", nil, []string{"--http2", "-w", "version %{http_version}"}, `version 2`},
		{"upload", "https://b.obs.awan.test/k", []string{"HTTPS_PROXY=http://" + at}, []string{"-T", root}, `"Sub":"b"`},
	} {
		cmd := exec.Command(curl, append([]string{"-sS", "--cacert", root, "--max-time", "20", tc.url}, tc.args...)...)
		cmd.Env = append([]string{"HOME=" + t.TempDir()}, tc.env...)
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), tc.want) {
			t.Errorf("%s: %v: %s", tc.name, err, out)
		}
	}
	cmd := exec.Command(curl, "-sS", "--max-time", "20", "https://example.com/")
	cmd.Env = []string{"HTTPS_PROXY=http://" + at}
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "403") {
		t.Errorf("elsewhere: %v: %s", err, out)
	}
}

// TestPython: the language of OpenStack's clients, with nothing but the environment that "awan exec" sets.
func TestPython(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("python3 is not installed")
	}
	c := start(t, nil)
	root := filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(root, c.ca.Certificate(), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(python, "-c", "import urllib.request as u; print(u.urlopen(u.Request('https://iam.awan-1.awan.test/v3/auth/tokens', data=b'{}'), timeout=20).read())")
	cmd.Env = []string{"HTTPS_PROXY=http://" + c.Addr().String(), "SSL_CERT_FILE=" + root}
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), `"Service":"iam"`) {
		t.Errorf("%v: %s", err, out)
	}
}
