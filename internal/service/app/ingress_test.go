package app

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/awancloud/awan/internal/kernel/id"
)

// through starts an app, an ingress before it, and gives the ingress's address.
func through(t *testing.T, app http.HandlerFunc) string {
	url, _ := observed(t, app)
	return url
}

// observed is through, with what is observed.
func observed(t *testing.T, app http.HandlerFunc) (string, <-chan Observation) {
	t.Helper()
	seen := make(chan Observation, 100)
	inner := httptest.NewServer(app)
	t.Cleanup(inner.Close)
	g := newIngress(slog.New(slog.DiscardHandler))
	g.Observe = func(o Observation) { seen <- o }
	component, addr := id.New(), netip.MustParseAddr("127.1.2.3")
	g.Expose(id.New(), component, "app", addr, "app.test")
	g.Attach(component, id.New(), 1, netip.MustParseAddrPort(inner.Listener.Addr().String()), true)
	outer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { g.Handler("app.test").ServeHTTP(w, r) }))
	t.Cleanup(outer.Close)
	return outer.URL, seen
}

// TestIngressObservesEveryAnswer once, with what was sent and how long it took.
func TestIngressObservesEveryAnswer(t *testing.T) {
	url, seen := observed(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/teapot":
			_, _ = io.Copy(io.Discard, r.Body)
			w.WriteHeader(http.StatusTeapot)
			_, _ = io.WriteString(w, "short and stout")
		case "/broken":
			panic(http.ErrAbortHandler)
		}
	})
	for _, c := range []struct {
		method, path, body string
		status             int
		in, out            int64
	}{{"POST", "/teapot", "water", 418, 5, 15}, {"GET", "/", "", 200, 0, 0}, {"GET", "/broken", "", 502, 0, -1}} {
		req, _ := http.NewRequest(c.method, url+c.path, strings.NewReader(c.body))
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		o := <-seen
		if o.Method != c.method || o.Status != c.status || o.In != c.in || c.out >= 0 && o.Out != c.out || o.Release != 1 || o.Instance == "" ||
			o.Header <= 0 || o.Duration < o.Header {
			t.Errorf("%s %s: %+v", c.method, c.path, o)
		}
	}
	if len(seen) > 0 {
		t.Errorf("observed twice: %+v", <-seen)
	}
}

// TestIngressStreams sees each part of a stream while the app has not ended it: of known length, of unknown length, and
// the header alone.
func TestIngressStreams(t *testing.T) {
	for _, length := range []string{"", "8"} {
		t.Run("length "+length, func(t *testing.T) {
			next := make(chan bool)
			url := through(t, func(w http.ResponseWriter, _ *http.Request) {
				if length != "" {
					w.Header().Set("Content-Length", length)
				}
				_ = http.NewResponseController(w).Flush()
				for range 2 {
					<-next
					_, _ = io.WriteString(w, "part")
					_ = http.NewResponseController(w).Flush()
				}
				<-next
			})
			if length != "" {
				close(next) // with a length the whole is what counts: parts may wait for one another
			}
			resp, err := http.Get(url)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			for range 2 {
				if length == "" {
					next <- true
				}
				var part [4]byte
				if _, err := io.ReadFull(resp.Body, part[:]); err != nil || string(part[:]) != "part" {
					t.Fatalf("%q %v", part, err)
				}
			}
			if length == "" {
				close(next)
			}
			if rest, err := io.ReadAll(resp.Body); len(rest) > 0 || err != nil {
				t.Errorf("%q %v", rest, err)
			}
		})
	}
}

// TestIngressUpgrades takes a connection over, as WebSocket does.
func TestIngressUpgrades(t *testing.T) {
	url := through(t, func(w http.ResponseWriter, _ *http.Request) {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		_, _ = rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		_ = rw.Flush()
		line, _ := rw.ReadString('\n')
		_, _ = rw.WriteString("you said " + line)
		_ = rw.Flush()
	})
	req, _ := http.NewRequest(http.MethodGet, url, nil)
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", "echo")
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	conn, ok := resp.Body.(io.ReadWriteCloser)
	if resp.StatusCode != http.StatusSwitchingProtocols || !ok {
		t.Fatalf("%s %T", resp.Status, resp.Body)
	}
	defer conn.Close()
	fmt.Fprintln(conn, "hello")
	if line, err := bufio.NewReader(conn).ReadString('\n'); line != "you said hello\n" {
		t.Errorf("%q %v", line, err)
	}
}

// TestIngressServesManyAtOnce mixes answers that stream with answers that do not.
func TestIngressServesManyAtOnce(t *testing.T) {
	big := strings.Repeat("x", 100_000)
	url := through(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, big)
		if r.URL.Path == "/stream" {
			_ = http.NewResponseController(w).Flush()
			time.Sleep(3 * time.Millisecond) // longer than a flush waits: the timer's goroutine meets the handler's
			_, _ = io.WriteString(w, big)
		}
	})
	for i := range 40 {
		path, want := "/", len(big)
		if i%2 == 0 {
			path, want = "/stream", 2*len(big)
		}
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			resp, err := http.Get(url + path)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if b, err := io.ReadAll(resp.Body); len(b) != want || err != nil {
				t.Errorf("%d bytes, want %d: %v", len(b), want, err)
			}
		})
	}
}
