package front_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/awancloud/awan/internal/dialect/front"
)

// upgrading answers an Upgrade as websockets do: 101, then bytes both ways, each line sent back.
func upgrading(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Upgrade") != "echo" {
		http.Error(w, "want an upgrade", http.StatusUpgradeRequired)
		return
	}
	conn, rw, err := w.(http.Hijacker).Hijack()
	if err != nil {
		http.Error(w, err.Error(), 500)
		return
	}
	defer conn.Close()
	fmt.Fprint(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
	for {
		line, err := rw.ReadString('\n')
		if err != nil {
			return
		}
		fmt.Fprint(conn, "back: "+line)
	}
}

func TestUpgradePasses(t *testing.T) {
	app := httptest.NewServer(http.HandlerFunc(upgrading))
	defer app.Close()
	u, _ := url.Parse(app.URL)
	c := start(t, func(o *front.Options) {
		o.Services[1].Handler = http.HandlerFunc(upgrading)
		o.Apps = func(host string) http.Handler {
			if host == "guestbook.awan.localhost" {
				return &httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) { p.SetURL(u) }}
			}
			return nil
		}
	})
	for _, host := range []string{"ecs.awan.localhost", "guestbook.awan.localhost"} { // at a service, and through a reverse proxy
		conn, err := tls.Dial("tcp", c.Addr().String(), &tls.Config{ServerName: host, RootCAs: c.ca.Pool()})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
		fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n", host)
		br := bufio.NewReader(conn)
		res, err := http.ReadResponse(br, nil)
		if err != nil || res.StatusCode != 101 {
			t.Fatalf("%s: %v, %v", host, res, err)
		}
		if id := res.Header.Get("X-Request-Id"); host == "guestbook.awan.localhost" && len(id) != 32 {
			t.Errorf("an upgrade has the id %q", id)
		}
		for i := range 3 {
			fmt.Fprintf(conn, "line %d\n", i)
			if line, err := br.ReadString('\n'); err != nil || line != fmt.Sprintf("back: line %d\n", i) {
				t.Fatalf("%s: %q, %v", host, line, err)
			}
		}
	}
}

// TestStreamsPass: each event reaches the client while the handler still runs, and bytes of the request reach the
// handler while the client still sends.
func TestStreamsPass(t *testing.T) {
	next := make(chan string)
	c := start(t, func(o *front.Options) {
		o.Services[1].Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			for event := range next {
				fmt.Fprintln(w, event)
				w.(http.Flusher).Flush()
			}
		})
		o.Services[5].Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			lines := bufio.NewScanner(r.Body)
			for lines.Scan() {
				next <- lines.Text()
			}
			close(next)
		})
	})
	for _, h2 := range []bool{false, true} {
		next = make(chan string)
		hc := c.client(t)
		hc.Transport.(*http.Transport).ForceAttemptHTTP2 = h2
		out, in := io.Pipe()
		sent := make(chan error, 1)
		go func() {
			r, _ := http.NewRequest("PUT", "https://b.obs.awan.localhost/k", out)
			res, err := hc.Do(r)
			if err == nil {
				res.Body.Close()
			}
			sent <- err
		}()
		fmt.Fprintln(in, "first")
		res, err := hc.Get("https://ecs.awan.localhost/")
		if err != nil {
			t.Fatal(err)
		}
		if want := map[bool]int{false: 1, true: 2}[h2]; res.ProtoMajor != want {
			t.Errorf("HTTP/%d, want %d", res.ProtoMajor, want)
		}
		got := bufio.NewScanner(res.Body)
		for _, event := range []string{"first", "second", "third"} {
			if event != "first" {
				fmt.Fprintln(in, event)
			}
			if !got.Scan() || got.Text() != event {
				t.Fatalf("got %q, want %q while both still run", got.Text(), event)
			}
		}
		in.Close()
		if err := <-sent; err != nil {
			t.Error(err)
		}
		res.Body.Close()
	}
}

// TestShutdownDrains: requests under way end well, streams are told, idle connections and upgrades do not hold it up.
func TestShutdownDrains(t *testing.T) {
	began, release := make(chan struct{}), make(chan struct{})
	c := start(t, func(o *front.Options) {
		o.Services[0].Handler = http.HandlerFunc(upgrading)
		o.Services[1].Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			began <- struct{}{}
			<-release
			fmt.Fprint(w, "whole")
		})
		o.Services[2].Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			began <- struct{}{}
			<-front.From(r.Context()).Drain
			fmt.Fprint(w, "told")
		})
	})
	answers := make(chan string, 2)
	for _, host := range []string{"ecs", "vpc"} {
		go func() {
			res, err := c.client(t).Get("https://" + host + ".awan.localhost/")
			if err != nil {
				answers <- err.Error()
				return
			}
			defer res.Body.Close()
			body, _ := io.ReadAll(res.Body)
			answers <- string(body)
		}()
		<-began
	}
	silent := dial(t, c) // says nothing, as connections opened ahead of need do
	tunnel := dial(t, c)
	fmt.Fprintf(tunnel, "CONNECT awan.localhost:443 HTTP/1.1\r\nHost: awan.localhost\r\n\r\n")
	if res, err := http.ReadResponse(bufio.NewReader(tunnel), &http.Request{Method: "CONNECT"}); err != nil || res.StatusCode != 200 {
		t.Fatal(res, err)
	}
	shut := make(chan error, 1)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	go func() { shut <- c.Shutdown(ctx) }()
	if a := <-answers; a != "told" {
		t.Errorf("the stream got %q", a)
	}
	if _, err := net.Dial("tcp", c.Addr().String()); err == nil {
		t.Error("still accepting")
	}
	began2 := time.Now()
	close(release)
	if a := <-answers; a != "whole" {
		t.Errorf("the request under way got %q", a)
	}
	if err := <-shut; err != nil {
		t.Error(err)
	}
	if took := time.Since(began2); took > 3*time.Second {
		t.Errorf("stopping took %v more", took)
	}
	for _, conn := range []net.Conn{silent, tunnel} {
		if _, err := conn.Read(make([]byte, 1)); err == nil {
			t.Error("a connection is left open")
		}
	}
}

func TestShutdownHasADeadline(t *testing.T) {
	began := make(chan struct{})
	stop := make(chan struct{})
	c := start(t, func(o *front.Options) {
		o.Services[1].Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { close(began); <-r.Context().Done(); close(stop) })
	})
	go func() {
		if res, err := c.client(t).Get("https://ecs.awan.localhost/"); err == nil {
			res.Body.Close()
		}
	}()
	<-began
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := c.Shutdown(ctx); err == nil {
		t.Error("an endless request was waited for")
	}
	<-stop // its handler is told
}

func TestConnectionsPerSource(t *testing.T) {
	addr := outward(t)
	c := start(t, func(o *front.Options) { o.Listen, o.MaxPerSource, o.MaxConns = "0.0.0.0:0", 3, 8 })
	open := func(to netip.Addr) (net.Conn, bool) { // a refused connection is closed before its handshake
		conn, err := tls.DialWithDialer(&net.Dialer{Timeout: 20 * time.Second}, "tcp", netip.AddrPortFrom(to, c.Addr().Port()).String(),
			&tls.Config{ServerName: "awan.localhost", RootCAs: c.ca.Pool()})
		if err != nil {
			return nil, false
		}
		t.Cleanup(func() { conn.Close() })
		return conn, true
	}
	var first net.Conn
	for i := range 3 {
		conn, ok := open(addr)
		if !ok {
			t.Fatalf("connection %d was refused", i)
		}
		if first == nil {
			first = conn
		}
	}
	if _, ok := open(addr); ok {
		t.Error("a fourth from one source was taken")
	}
	if _, ok := open(netip.MustParseAddr("127.0.0.1")); !ok {
		t.Error("this machine itself was refused")
	}
	first.Close()
	deadline := time.Now().Add(10 * time.Second)
	for ok := false; !ok; _, ok = open(addr) {
		if time.Now().After(deadline) {
			t.Fatal("a closed connection still counts")
		}
	}
}

func TestHeaderIsBounded(t *testing.T) {
	c := start(t, nil)
	res, _ := do(t, c.client(t), "GET", "https://awan.localhost/v3", nil, "X-Big", strings.Repeat("x", 60<<10))
	if res.StatusCode != 200 {
		t.Errorf("60 KiB: %s", res.Status)
	}
	hc := c.client(t)
	hc.Transport.(*http.Transport).ForceAttemptHTTP2 = false
	r, _ := http.NewRequest("GET", "https://awan.localhost/v3", nil)
	r.Header.Set("X-Big", strings.Repeat("x", 100<<10))
	if res, err := hc.Do(r); err == nil {
		res.Body.Close()
		if res.StatusCode != 431 {
			t.Errorf("100 KiB: %s", res.Status)
		}
	}
}

// TestStalls: who sends a header byte by byte, stops in the middle of a body, or does not read the answer, is cut off.
func TestStalls(t *testing.T) {
	ended := make(chan error, 1)
	c := start(t, func(o *front.Options) {
		o.HeaderTime, o.StallTime = 300*time.Millisecond, 300*time.Millisecond
		o.Services[1].Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, err := io.ReadAll(r.Body)
			for chunk := make([]byte, 64<<10); err == nil && r.Method == "GET"; {
				_, err = w.Write(chunk)
			}
			ended <- err
		})
	})
	for name, request := range map[string]string{"header": "GET / HTTP/1.1\r\nHost:", "nothing": ""} {
		conn := dial(t, c)
		fmt.Fprint(conn, request)
		if _, err := io.ReadAll(conn); err != nil {
			t.Errorf("%s: the listener waits on: %v", name, err)
		}
	}
	for _, request := range []string{"POST / HTTP/1.1\r\nHost: ecs.awan.localhost\r\nContent-Length: 100\r\n\r\nonly this", "GET / HTTP/1.1\r\nHost: ecs.awan.localhost\r\n\r\n"} {
		conn, err := tls.Dial("tcp", c.Addr().String(), &tls.Config{ServerName: "ecs.awan.localhost", RootCAs: c.ca.Pool()})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprint(conn, request)
		select {
		case err := <-ended:
			if ne, ok := err.(net.Error); !ok || !ne.Timeout() {
				t.Errorf("%.4s ended with %v", request, err)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("%.4s: the handler still waits", request)
		}
	}
}
