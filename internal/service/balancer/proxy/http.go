package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/http/httputil"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/awancloud/awan/internal/kernel/id"
)

var errNoCertificate = errors.New("the listener has no certificate")

// transport goes to the members of one pool.
type transport struct {
	*http.Transport
	p *pool
}

// idleMember is how long an unused connection to a member is kept: less than servers do, so that no request meets one
// that is just being closed.
const idleMember = 4 * time.Second

// dialError says that nothing was sent.
type dialError struct{ error }

func (e dialError) Unwrap() error { return e.error }

func newTransport(p *pool) *transport {
	return &transport{p: p, Transport: &http.Transport{MaxIdleConnsPerHost: 128, IdleConnTimeout: idleMember, DisableCompression: true,
		TLSHandshakeTimeout: handshakeTime, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, // members' certificates are their own
		DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
			at, err := netip.ParseAddrPort(addr)
			if err != nil {
				return nil, err
			}
			ctx, cancel := context.WithTimeout(ctx, dialTime)
			defer cancel()
			c, err := p.dial(ctx, p.cfg.Load(), "tcp", at)
			if err != nil {
				return nil, dialError{err}
			}
			return c, nil
		}}}
}

// serveHTTP answers one request.
func (l *listener) serveHTTP(w http.ResponseWriter, r *http.Request) {
	cfg, began := l.cfg.Load(), time.Now()
	out := &recorder{ResponseWriter: w}
	l.count.requests.Add(1)
	var to netip.AddrPort
	defer func() {
		l.count.status(out.status)
		l.count.out.Add(out.bytes)
		if l.proxy.Logged != nil {
			l.proxy.Logged(Entry{Balancer: cfg.Balancer, Listener: cfg.ID, At: began, Client: r.RemoteAddr, Method: r.Method, Host: r.Host, URI: r.URL.RequestURI(),
				Protocol: r.Proto, Status: out.status, Bytes: out.bytes, Took: time.Since(began), Member: to, Agent: r.UserAgent()})
		}
	}()
	if !cfg.admits(source(r)) { // the addresses may have changed since the connection came
		http.Error(out, "403 Forbidden", http.StatusForbidden)
		return
	}
	pool := cfg.Pool
	if p := cfg.policy(r); p != nil {
		switch p.Action {
		case ToURL:
			http.Redirect(out, r, p.location(r, cfg), p.Status)
			return
		case Respond:
			out.Header().Set("Content-Type", p.ContentType)
			out.WriteHeader(p.Status)
			_, _ = io.WriteString(out, p.Body)
			return
		}
		pool = p.Pool
	}
	p := l.proxy.pool(pool)
	if p == nil {
		http.Error(out, "503 Service Unavailable", http.StatusServiceUnavailable)
		return
	}
	l.forward(out, r, cfg, p, &to)
}

// forward passes a request on to a member of the pool.
func (l *listener) forward(w http.ResponseWriter, r *http.Request, cfg *Listener, p *pool, to *netip.AddrPort) {
	scheme := p.cfg.Load().Protocol
	way := httputil.ReverseProxy{ErrorLog: quiet(l.proxy.log), FlushInterval: -1,
		Transport: &trip{p: p, c: p.cfg.Load().clientOf(r), wait: cfg.Response, to: to, asked: r},
		Rewrite: func(pr *httputil.ProxyRequest) {
			pr.Out.URL.Scheme, pr.Out.URL.Host, pr.Out.Host = scheme, "member", pr.In.Host
			h := pr.Out.Header
			h["X-Forwarded-For"] = pr.In.Header["X-Forwarded-For"]
			pr.SetXForwarded()
			if !cfg.ForwardedHost {
				h.Del("X-Forwarded-Host")
			}
			if !cfg.ForwardedProto {
				h.Del("X-Forwarded-Proto")
			}
			from := addrPort(named(r.RemoteAddr))
			if cfg.ForwardedPort {
				h.Set("X-Forwarded-Port", strconv.Itoa(int(cfg.At.Port())))
			}
			if cfg.ForwardedFor {
				h.Set("X-Forwarded-For-Port", strconv.Itoa(int(from.Port())))
			}
			if cfg.RealIP {
				h.Set("X-Real-IP", from.Addr().String())
			}
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			status := http.StatusBadGateway
			switch {
			case errors.Is(err, errNobody):
				status = http.StatusServiceUnavailable
			case errors.Is(err, errSlow):
				status = http.StatusGatewayTimeout
			case r.Context().Err() != nil:
				status = 499 // the client went away: nobody reads it but the log
			}
			http.Error(w, strconv.Itoa(status)+" "+http.StatusText(status), status)
		}}
	way.ServeHTTP(w, r)
}

type named string

func (named) Network() string  { return "tcp" }
func (n named) String() string { return string(n) }

var errSlow = errors.New("the member did not begin its answer in time")

// trip sends one request to a member, and to the next one where a member cannot be reached.
type trip struct {
	p     *pool
	c     client
	wait  time.Duration
	to    *netip.AddrPort
	asked *http.Request
}

// RoundTrip implements http.RoundTripper.
func (t *trip) RoundTrip(r *http.Request) (*http.Response, error) {
	tried := map[id.ID]bool{}
	var last error = errNobody
	for range attempts {
		m := t.p.pick(t.c, tried)
		if m == nil {
			break
		}
		tried[m.id] = true
		*t.to = m.at
		resp, err := t.send(r, m)
		if err == nil {
			t.p.stick(m, t.asked, resp)
			return resp, nil
		}
		last = err
		var unreached dialError
		if !errors.As(err, &unreached) || r.Context().Err() != nil {
			break
		}
	}
	return nil, last
}

// send sends the request to a member. The body stays open, for the next member if this one cannot be reached.
func (t *trip) send(r *http.Request, m *member) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(r.Context())
	slow := time.AfterFunc(time.Hour, func() { cancel(errSlow) })
	slow.Stop()
	traced := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteRequest: func(httptrace.WroteRequestInfo) { slow.Reset(t.wait) }})
	one := r.WithContext(traced)
	u := *r.URL
	u.Host, one.URL = m.at.String(), &u
	if r.Body != nil && r.Body != http.NoBody {
		one.Body = io.NopCloser(r.Body)
	}
	m.active.Add(1)
	end := sync.OnceFunc(func() { m.active.Add(-1); cancel(nil) })
	resp, err := t.p.http.Transport.RoundTrip(one)
	slow.Stop()
	if err != nil {
		if errors.Is(context.Cause(ctx), errSlow) {
			err = errSlow
		}
		end()
		return nil, err
	}
	if both, ok := resp.Body.(io.ReadWriteCloser); ok { // an upgraded connection
		resp.Body = upgraded{both, end}
	} else {
		resp.Body = body{resp.Body, end}
	}
	return resp, nil
}

type body struct {
	io.ReadCloser
	end func()
}

func (b body) Close() error { defer b.end(); return b.ReadCloser.Close() }

type upgraded struct {
	io.ReadWriteCloser
	end func()
}

func (b upgraded) Close() error { defer b.end(); return b.ReadWriteCloser.Close() }

// recorder notes the status and the length of an answer.
type recorder struct {
	http.ResponseWriter
	status int
	bytes  int64
}

func (w *recorder) WriteHeader(status int) {
	if status >= 200 || status == http.StatusSwitchingProtocols {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *recorder) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	n, err := w.ResponseWriter.Write(b)
	w.bytes += int64(n)
	return n, err
}

// Unwrap is for http.ResponseController.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }
