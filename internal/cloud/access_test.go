package cloud

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/awancloud/awan/test/cloudtest"
)

// TestAccess: two real components below one name, behind rules, and one of them by TCP too.
func TestAccess(t *testing.T) {
	c := open(t)
	for _, name := range []string{"web", "api"} {
		files, cmd := cloudtest.Web(name)
		c.push("library/"+name+":1", files, cmd...)
		if j := c.finish("POST", components, map[string]any{"name": name, "spec": map[string]any{"source": map[string]any{"image": "library/" + name + ":1"}, "memory": 32}}); j.State != "succeeded" {
			t.Fatalf("%+v %v", j, j.Error)
		}
	}
	const access = "/projects/-/access/"
	c.do("POST", access+"custom-domains", map[string]any{"name": "shop.example.org", "spec": map[string]any{"component": "web",
		"routes": []map[string]any{{"path": "/api", "component": "api", "strip": true}}}}, nil)
	// the name leads to the listener, as DNS would make it
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: c.c.CA.Pool()}, ForceAttemptHTTP2: true,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, c.c.Front.Addr().String())
		}}
	t.Cleanup(tr.CloseIdleConnections)
	shop := &http.Client{Transport: tr}
	get := func(path string) (int, string, string) {
		resp, err := shop.Get("https://shop.example.org" + path)
		if err != nil {
			return 0, err.Error(), ""
		}
		defer func() { _ = resp.Body.Close() }()
		b, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(b), resp.Proto
	}
	until := func(path string, status int, body string) {
		t.Helper()
		deadline := time.Now().Add(10 * time.Second)
		for {
			code, got, proto := get(path)
			if code == status && strings.Contains(got, body) && proto == "HTTP/2.0" {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("GET %s: %d %q %s, want %d %q", path, code, got, proto, status, body)
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
	until("/", 200, "web")
	until("/api", 200, "api")
	c.do("POST", access+"access-rules", map[string]any{"name": "web", "spec": map[string]any{"component": "web", "maintenance": true}}, nil)
	until("/", 503, "worked on")
	until("/api", 200, "api")
	if code, _ := c.get(c.component("web").Status.URL); code != 503 {
		t.Errorf("the component's own address is past its rule: %d", code)
	}
	c.do("PATCH", access+"access-rules/web", map[string]any{"spec": map[string]any{"maintenance": false}}, nil)
	until("/", 200, "web")

	var port struct {
		Resource struct{ Status struct{ Address string } }
	}
	c.do("POST", access+"tcp-ports", map[string]any{"name": "raw", "spec": map[string]any{"component": "web", "target": 8080}}, &port)
	deadline := time.Now().Add(10 * time.Second)
	for {
		if body := overTCP(port.Resource.Status.Address); strings.Contains(body, "web") {
			break
		} else if time.Now().After(deadline) {
			t.Fatalf("over TCP it answers %q", body)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func overTCP(address string) string {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = conn.Close() }()
	_, _ = io.WriteString(conn, "GET / HTTP/1.0\r\n\r\n")
	b, _ := io.ReadAll(bufio.NewReader(conn))
	return string(b)
}
