package app

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/awancloud/awan/internal/kernel/id"
)

// asleep is an app of which no instance runs, behind an ingress, and what starts it.
func asleep(t *testing.T, most time.Duration) (g *Ingress, component id.ID, url string, start func()) {
	t.Helper()
	inner := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		_, _ = w.Write(append([]byte("awake "), b...))
	}))
	t.Cleanup(inner.Close)
	g = newIngress(slog.New(slog.DiscardHandler))
	component = id.New()
	g.Expose(id.New(), component, "app", netip.MustParseAddr("127.1.2.3"), "app.test")
	g.Wake = func(c id.ID) (time.Duration, bool) { return most, c == component && most > 0 }
	outer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { g.Handler("app.test").ServeHTTP(w, r) }))
	t.Cleanup(outer.Close)
	return g, component, outer.URL, func() {
		in := id.New()
		g.Attach(component, in, 1, netip.MustParseAddrPort(inner.Listener.Addr().String()), false)
		g.Mark(component, in, true)
	}
}

func held(t *testing.T, g *Ingress, component id.ID, want int64) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); g.byID[component].activity.held.Load() != want; {
		if time.Now().After(end) {
			t.Fatalf("%d requests are held, want %d", g.byID[component].activity.held.Load(), want)
		}
		time.Sleep(time.Millisecond)
	}
}

func TestRequestsWaitUntilTheAppHasStarted(t *testing.T) {
	g, component, url, start := asleep(t, time.Minute)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			resp, err := http.Post(url, "text/plain", http.NoBody)
			if err != nil {
				t.Error(err)
				return
			}
			defer resp.Body.Close()
			if b, _ := io.ReadAll(resp.Body); resp.StatusCode != 200 || string(b) != "awake " {
				t.Errorf("%d %q", resp.StatusCode, b)
			}
		})
	}
	held(t, g, component, 20)
	if _, idle := g.Idle(component); idle {
		t.Error("it is idle while requests wait")
	}
	start()
	wg.Wait()
	if since, idle := g.Idle(component); !idle || time.Since(since) > time.Minute {
		t.Errorf("afterwards it is idle since %s: %v", since, idle)
	}
}

// TestRequestsWaitBetweenReleases: where nothing is to be woken, a release under way is waited for.
func TestRequestsWaitBetweenReleases(t *testing.T) {
	g, component, url, start := asleep(t, 0)
	g.coming = func(_ context.Context, c id.ID) (time.Duration, bool) { return time.Minute, c == component }
	got := make(chan int, 1)
	go func() {
		resp, err := http.Get(url)
		if err != nil {
			t.Error(err)
			got <- 0
			return
		}
		resp.Body.Close()
		got <- resp.StatusCode
	}()
	held(t, g, component, 1)
	start()
	if code := <-got; code != 200 {
		t.Errorf("%d", code)
	}
}

func TestWhoGivesUpWaitsNoMore(t *testing.T) {
	g, component, url, _ := asleep(t, time.Minute)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		req, _ := http.NewRequestWithContext(ctx, "GET", url, nil)
		if resp, err := http.DefaultClient.Do(req); err == nil {
			resp.Body.Close()
			t.Error("it was answered")
		}
	}()
	held(t, g, component, 1)
	cancel()
	<-done
	held(t, g, component, 0)
}

func TestWaitingIsBounded(t *testing.T) {
	for _, c := range []struct {
		name string
		most time.Duration
		held int64
	}{{"in time", 10 * time.Millisecond, 0}, {"in number", time.Minute, maxHeld}, {"nothing wakes it", 0, 0}} {
		g, component, url, _ := asleep(t, c.most)
		g.byID[component].activity.held.Store(c.held)
		resp, err := http.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != 503 || resp.Header.Get("Retry-After") == "" {
			t.Errorf("%s: %d", c.name, resp.StatusCode)
		}
		if n := g.byID[component].activity.held.Load(); n != c.held {
			t.Errorf("%s: %d are held", c.name, n)
		}
	}
}
