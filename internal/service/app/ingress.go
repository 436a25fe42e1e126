package app

import (
	"context"
	"errors"
	"html"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/awancloud/awan/internal/kernel/id"
)

// Ingress sends requests for an app's addresses to its ready instances.
type Ingress struct {
	// Observe, when set before the first request, is called once for each answered request. It must be quick and safe
	// for concurrent use.
	Observe func(Observation)
	// Wake, when set before the first request, is asked when no instance is ready: it starts the component and tells how
	// long requests may be held for it, or says that nothing will start it.
	Wake func(component id.ID) (most time.Duration, ok bool)
	// coming, when set, is asked where nothing is to be woken.
	coming func(ctx context.Context, component id.ID) (most time.Duration, ok bool)

	log       *slog.Logger
	transport http.RoundTripper
	mu        sync.RWMutex
	byHost    map[string]*backend // host name or address literal
	byID      map[id.ID]*backend
	byName    map[string]*backend // project/name
	instances map[id.ID]*endpoint
	lanes     atomic.Pointer[laneTable]
	buffers   buffers
}

type backend struct {
	g         *Ingress
	component id.ID
	project   id.ID
	name      string
	hosts     []string
	addr      netip.Addr
	mu        sync.RWMutex
	all       []*endpoint
	next      atomic.Uint32
	activity  activity
	split     atomic.Pointer[split]
	tallies   tallies
	proxy     *httputil.ReverseProxy
}

// ServeHTTP passes a request on to a ready instance.
func (b *backend) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	l := &lazy{ResponseWriter: w}
	base := b
	b, group, lane := b.g.along(w, r, b)
	b.activity.begin()
	defer b.activity.end()
	x, out := b.begin(r)
	if x.group = group; lane != nil {
		x.lane, x.seen.Lane = lane, lane.name
	}
	if b != base {
		x.base = base
	}
	x.side = b.choose(w, r)
	defer func() { b.g.finish(b, x, l, r.Context().Err() != nil) }() // also when the proxy aborts a broken answer by a panic
	defer l.end()
	b.proxy.ServeHTTP(l, out)
}

type endpoint struct {
	instance id.ID
	release  int
	backend  *backend
	addr     string
	ready    atomic.Bool
	inflight atomic.Int64
}

func newIngress(log *slog.Logger) *Ingress {
	dialer := &net.Dialer{Timeout: 2 * time.Second}
	return &Ingress{log: log, byHost: map[string]*backend{}, byID: map[id.ID]*backend{}, byName: map[string]*backend{}, instances: map[id.ID]*endpoint{},
		transport: &http.Transport{Proxy: nil, DialContext: dialer.DialContext, MaxIdleConnsPerHost: 256, IdleConnTimeout: 30 * time.Second,
			DisableCompression: true, ForceAttemptHTTP2: false}}
}

// Expose makes a component of a project answer at an address and a host name; fresh tells that it did not before.
func (g *Ingress) Expose(project, component id.ID, name string, addr netip.Addr, host string) (fresh bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	b := g.byID[component]
	if b == nil {
		b, fresh = &backend{g: g, component: component, project: project, name: name}, true
		b.activity.last.Store(time.Now().UnixNano())
		b.proxy = &httputil.ReverseProxy{Transport: &balancer{g, b}, Rewrite: rewrite, ErrorHandler: g.failed, BufferPool: &g.buffers,
			ErrorLog: slog.NewLogLogger(g.log.Handler(), slog.LevelDebug)}
		g.byID[component] = b
		g.byName[string(project)+"/"+name] = b
	}
	for _, h := range b.hosts {
		delete(g.byHost, h)
	}
	b.addr, b.hosts = addr, []string{addr.String(), strings.ToLower(host)}
	for _, h := range b.hosts {
		g.byHost[h] = b
	}
	return fresh
}

// Forget makes a component answer nowhere.
func (g *Ingress) Forget(component id.ID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if b := g.byID[component]; b != nil {
		for _, h := range b.hosts {
			delete(g.byHost, h)
		}
		delete(g.byID, component)
		if name := string(b.project) + "/" + b.name; g.byName[name] == b {
			delete(g.byName, name)
		}
	}
}

// Attach adds an instance, which runs a release, to its component.
func (g *Ingress) Attach(component, instance id.ID, release int, at netip.AddrPort, ready bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	b := g.byID[component]
	if b == nil {
		return
	}
	if old := g.instances[instance]; old != nil {
		old.backend.remove(old)
	}
	e := &endpoint{instance: instance, release: release, backend: b, addr: at.String()}
	e.ready.Store(ready)
	g.instances[instance] = e
	b.mu.Lock()
	b.all = append(b.all, e)
	b.mu.Unlock()
	if ready {
		b.activity.announce()
	}
}

// Mark says whether an instance takes requests.
func (g *Ingress) Mark(_, instance id.ID, ready bool) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	if e := g.instances[instance]; e != nil {
		e.ready.Store(ready)
		if ready {
			e.backend.activity.announce()
		}
	}
}

// Drain takes an instance out and waits until its last request is answered, at most as long as given.
func (g *Ingress) Drain(ctx context.Context, instance id.ID, most time.Duration) {
	g.mu.Lock()
	e := g.instances[instance]
	delete(g.instances, instance)
	g.mu.Unlock()
	if e == nil {
		return
	}
	e.backend.remove(e)
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for e.inflight.Load() > 0 {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (b *backend) remove(e *endpoint) {
	b.mu.Lock()
	defer b.mu.Unlock()
	kept := make([]*endpoint, 0, len(b.all))
	for _, x := range b.all {
		if x != e {
			kept = append(kept, x)
		}
	}
	b.all = kept
}

// pick chooses a ready endpoint, in turn, and counts the request against it before anybody can drain it. Where the
// request's side has none, the other side answers: a share never costs an answer.
func (b *backend) pick(want side, not map[*endpoint]bool) *endpoint {
	b.mu.RLock()
	defer b.mu.RUnlock()
	s, turn := b.split.Load(), b.next.Add(1)
	for _, strict := range []bool{true, false} {
		if strict && (s == nil || want == either) {
			continue
		}
		fits := func(e *endpoint) bool { return e.ready.Load() && !not[e] && (!strict || s.on(e) == want) }
		n := uint32(0)
		for _, e := range b.all {
			if fits(e) {
				n++
			}
		}
		if n == 0 {
			continue
		}
		k := turn % n
		var last *endpoint
		for _, e := range b.all {
			if !fits(e) {
				continue
			}
			last = e
			if k == 0 {
				break
			}
			k--
		}
		if last != nil {
			last.inflight.Add(1)
			return last
		}
	}
	return nil
}

// Handler gives what answers for a host (name or address literal); nil when no app has it.
func (g *Ingress) Handler(host string) http.Handler {
	g.mu.RLock()
	defer g.mu.RUnlock()
	if b := g.byHost[strings.ToLower(host)]; b != nil {
		return b
	}
	return nil
}

func rewrite(r *httputil.ProxyRequest) {
	r.Out.URL.Scheme = "http"
	r.Out.URL.Host = "app" // the balancer sets the real one
	r.Out.Host = r.In.Host
	r.SetXForwarded()
	r.Out.Header.Set("X-Forwarded-Proto", "https")
	if x := exchangeOf(r.In.Context()); x != nil && x.group != nil {
		x.group.mark(r.Out.Header, x.lane)
	}
}

// balancer sends a request to a ready endpoint. One that does not accept the connection has not seen the request, so
// the next is tried.
type balancer struct {
	g *Ingress
	b *backend
}

var errNoInstance = errors.New("no instance is ready")

func (t *balancer) RoundTrip(r *http.Request) (*http.Response, error) {
	var tried map[*endpoint]bool
	x, want := exchangeOf(r.Context()), either
	if x != nil {
		want = x.side
	}
	for {
		e := t.b.pick(want, tried)
		if e == nil && x != nil && x.base != nil { // the lane's instances left since the lane was chosen
			e = x.base.pick(x.base.blind(), tried)
		}
		if e == nil {
			var err error
			begun := time.Now()
			if e, err = t.g.hold(r.Context(), t.b, want); err != nil {
				return nil, err
			}
			if x != nil {
				x.seen.Held += time.Since(begun)
			}
			tried = nil
		}
		r.URL.Host = e.addr
		resp, err := t.g.transport.RoundTrip(r)
		if err != nil {
			e.inflight.Add(-1)
			if x != nil {
				x.answered(e, 0)
			}
			var op *net.OpError
			if errors.As(err, &op) && op.Op == "dial" && r.Context().Err() == nil {
				if tried == nil {
					tried = map[*endpoint]bool{}
				}
				tried[e] = true
				continue
			}
			return nil, err
		}
		if x != nil {
			x.answered(e, resp.StatusCode)
		}
		resp.Body = &counted{rc: resp.Body, e: e}
		return resp, nil
	}
}

// failed answers for an app that cannot.
func (g *Ingress) failed(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() != nil {
		return
	}
	status, text := http.StatusBadGateway, "The app broke off the connection before it answered."
	if errors.Is(err, errNoInstance) {
		status, text = http.StatusServiceUnavailable, "No instance of the app is ready. It may be starting, stopped or failing."
		w.Header().Set("Retry-After", "2")
	}
	if errors.Is(err, errTooMany) {
		status, text = http.StatusServiceUnavailable, "The app is starting, and too many requests wait for it already."
		w.Header().Set("Retry-After", "5")
	}
	g.log.Debug("app did not answer", "host", r.Host, "err", err)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write([]byte("<!doctype html><meta charset=utf-8><title>" + http.StatusText(status) + "</title><h1>" + http.StatusText(status) +
		"</h1><p>" + text + "<p><small>" + html.EscapeString(r.Host) + "</small>\n"))
}
