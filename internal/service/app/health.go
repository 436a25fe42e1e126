package app

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/workload"
)

// health probes instances and tells the ingress which of them can serve.
type health struct {
	s  *Service
	mu sync.Mutex
	of map[id.ID]*target
	wg sync.WaitGroup
}

type target struct {
	cancel context.CancelFunc
	ready  bool
	ever   bool // it was ready once
	broken bool // it never gets ready
	why    string
}

// firstProbe is how often a new instance is asked until it answers.
const firstProbe = 100 * time.Millisecond

// firstPause is short at first: a quick program is ready within milliseconds, and requests may wait for it. Commands in the
// instance cost more than a connection.
func firstPause(asked int, p Probe) time.Duration {
	if p.Type == "command" {
		return firstProbe
	}
	return min(firstProbe, 5*time.Millisecond<<min(asked/4, 5))
}

func newHealth(s *Service) *health { return &health{s: s, of: map[id.ID]*target{}} }

// watch begins to probe an instance at an address, as the spec of its release says; one that is watched already is
// watched anew.
func (h *health) watch(component id.ID, spec *ComponentSpec, in *Instance, addr netip.Addr, ready bool) {
	instance := in.ID
	ctx, cancel := context.WithCancel(context.Background())
	t := &target{cancel: cancel, ready: ready, ever: ready, why: "no probe has succeeded yet"}
	h.mu.Lock()
	if was := h.of[instance]; was != nil {
		was.cancel()
	}
	h.of[instance] = t
	h.mu.Unlock()
	endpoint := netip.AddrPortFrom(addr, uint16(spec.Port))
	h.s.Ingress.Attach(component, instance, in.Release, endpoint, ready)
	probe, post := spec.Probe, spec.Hooks.PostStart
	if spec.Liveness.Type != "" {
		asked := *spec
		h.wg.Go(func() { h.keepAlive(ctx, t, component, instance, endpoint, &asked) })
	}
	h.wg.Go(func() {
		if !ready && len(post.Command) > 0 {
			if failure := h.s.execHook(ctx, instance, post); failure != "" {
				h.mu.Lock()
				t.why, t.broken = "its post-start command failed: "+failure, true
				h.mu.Unlock()
				return
			}
		}
		h.run(ctx, t, component, instance, endpoint, probe)
	})
}

func (h *health) run(ctx context.Context, t *target, component, instance id.ID, endpoint netip.AddrPort, p Probe) {
	failures, asked := 0, 0
	for {
		err := h.s.probe(ctx, instance, endpoint, p)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			failures = 0
		} else {
			failures++
		}
		h.mu.Lock()
		was := t.ready
		if err == nil {
			t.ready, t.ever = true, true
		} else {
			t.why = err.Error()
			if failures >= p.Failures {
				t.ready = false
			}
		}
		now, current := t.ready, h.of[instance] == t
		h.mu.Unlock()
		if !current {
			return
		}
		if now != was {
			h.s.Ingress.Mark(component, instance, now)
			h.s.Host.Wake(h.s.Component.D.FullName())
		}
		pause := time.Duration(p.Interval)
		if !now {
			pause = min(pause, firstPause(asked, p))
		}
		asked++
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}

// forget stops probing; the instance gets no more requests.
func (h *health) forget(instance id.ID) {
	h.mu.Lock()
	if t := h.of[instance]; t != nil {
		t.cancel()
		delete(h.of, instance)
	}
	h.mu.Unlock()
	h.s.Ingress.Mark("", instance, false)
}

func (h *health) close() {
	h.mu.Lock()
	for _, t := range h.of {
		t.cancel()
	}
	h.of = map[id.ID]*target{}
	h.mu.Unlock()
	h.wg.Wait()
}

func (h *health) known(instance id.ID) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.of[instance] != nil
}

func (h *health) ready(instance id.ID) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.of[instance] != nil && h.of[instance].ready
}

// broken tells that an instance will not get ready however long one waits.
func (h *health) broken(instance id.ID) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.of[instance] != nil && h.of[instance].broken
}

func (h *health) why(instance id.ID) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if t := h.of[instance]; t != nil {
		return t.why
	}
	return "it is not watched"
}

// probe asks an instance once.
func (s *Service) probe(ctx context.Context, instance id.ID, endpoint netip.AddrPort, p Probe) error {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(p.Timeout))
	defer cancel()
	switch p.Type {
	case "none":
		return nil
	case "command":
		code, err := s.Engine.Exec(ctx, instance, workload.Exec{Command: p.Command, Stdout: io.Discard, Stderr: io.Discard})
		if err != nil {
			return fmt.Errorf("the probe command could not run")
		}
		if code != 0 {
			return fmt.Errorf("the probe command ended with code %d", code)
		}
		return nil
	case "http":
		return probeHTTP(ctx, "http://"+endpoint.String()+p.Path)
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", endpoint.String())
	if err != nil {
		return fmt.Errorf("nothing answers on port %d", endpoint.Port())
	}
	return conn.Close()
}

var probeClient = &http.Client{Transport: &http.Transport{DisableKeepAlives: true, Proxy: nil},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

func probeHTTP(ctx context.Context, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	req.Header.Set("User-Agent", "awan-probe")
	resp, err := probeClient.Do(req)
	if err != nil {
		return fmt.Errorf("no answer to GET %s", req.URL.Path)
	}
	_ = resp.Body.Close()
	if resp.StatusCode >= 400 {
		return fmt.Errorf("GET %s answered %s", req.URL.Path, strconv.Itoa(resp.StatusCode))
	}
	return nil
}
