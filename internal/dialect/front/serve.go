package front

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"runtime/debug"
	"strings"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
)

// exchange is one request and its answer.
type exchange struct {
	w     *writer
	r     *http.Request
	body  *body // nil when the request has none
	info  *Info
	began time.Time
}

// serveSecure takes what came by TLS.
func (f *Front) serveSecure(w http.ResponseWriter, r *http.Request) {
	f.observe(w, r, true, func(x *exchange) {
		if connOf(x.r.Context()).inside {
			f.serveInside(x)
			return
		}
		if x.r.Method == http.MethodConnect {
			f.connect(x)
			return
		}
		f.route(x)
	})
}

// observe gives a request its id, its log line, and an answer when its handler panics.
func (f *Front) observe(rw http.ResponseWriter, r *http.Request, secure bool, serve func(*exchange)) {
	x := &exchange{began: time.Now()}
	x.info = &Info{RequestID: string(id.New()), Path: r.URL.EscapedPath(), Secure: secure, Drain: f.drain}
	c := connOf(r.Context())
	if c != nil {
		x.info.Peer = c.peer
	}
	x.w = &writer{ResponseWriter: rw, rc: http.NewResponseController(rw), id: x.info.RequestID}
	rw.Header()["X-Request-Id"] = []string{x.info.RequestID} // for upgrades, whose handlers write the header themselves
	if r.ProtoMajor == 1 {
		x.w.stall, x.w.conn = f.opts.StallTime, c
	}
	x.r = r.WithContext(context.WithValue(r.Context(), infoKey{}, x.info))
	if r.Body != nil && r.Body != http.NoBody {
		x.body = &body{ReadCloser: r.Body, http1: r.ProtoMajor == 1}
		x.r.Body = x.body
		if r.TLS != nil && x.w.conn != nil && (r.ContentLength < 0 || r.ContentLength > readAhead) {
			c.ahead.Store(true)
			defer c.ahead.Store(false)
		}
	}
	defer f.finish(x)
	serve(x)
}

// finish ends an exchange; it is deferred, so that it sees panics. net/http.ErrAbortHandler is the way in which a
// handler says that its answer must be cut off, and passes through.
func (f *Front) finish(x *exchange) {
	p := recover()
	if x.body != nil {
		if p == nil && x.r.ProtoMajor == 2 {
			x.body.drain(x.w.rc)
		}
		x.body.ended.Store(true)
	}
	if p != nil && p != any(http.ErrAbortHandler) {
		f.log.Error("a handler panicked", "request", x.info.RequestID, "service", x.info.Service,
			"panic", fmt.Sprint(p), "stack", string(debug.Stack()))
		cause := fmt.Errorf("panic: %v", p)
		if p = nil; x.w.status == 0 {
			f.fail(x, 0, fail.From(cause))
		} else {
			p = http.ErrAbortHandler // half an answer must not look like a whole one
		}
	}
	f.access(x)
	if p != nil {
		panic(p)
	}
}

// access writes one line a request; one that an app answered is detail, for apps have logs of their own and may be asked
// thousands of times a second. The query is left out: signatures and one-time credentials travel in it.
func (f *Front) access(x *exchange) {
	level, in := slog.LevelInfo, int64(0)
	switch {
	case x.info.Service == "app":
		level = slog.LevelDebug
	case x.w.status >= 500:
		level = slog.LevelWarn
	}
	if !f.log.Enabled(x.r.Context(), level) {
		return
	}
	if x.body != nil {
		in = x.body.bytes.Load()
	}
	status := x.w.status
	if status == 0 {
		status = http.StatusOK // what net/http sends for a handler that wrote nothing
	}
	f.log.LogAttrs(x.r.Context(), level, "request", slog.String("request", x.info.RequestID),
		slog.String("method", x.r.Method), slog.String("host", x.r.Host), slog.String("path", x.info.Path),
		slog.Int("status", status), slog.String("service", x.info.Service), slog.String("peer", x.info.Peer.String()),
		slog.Bool("tls", x.info.Secure), slog.String("protocol", x.r.Proto), slog.Int64("in", in),
		slog.Int64("out", x.w.bytes), slog.Duration("took", time.Since(x.began)))
}

func (f *Front) fail(x *exchange, status int, err *fail.Error) { Fail(x.w, x.r, status, err) }

// route finds the service and lets it answer.
func (f *Front) route(x *exchange) {
	r := x.r
	t, status, err := f.router.find(r)
	if err != nil {
		if status == http.StatusMethodNotAllowed {
			x.w.Header().Set("Allow", strings.Join(f.router.table.Methods(x.info.Path), ", "))
		}
		f.fail(x, status, err)
		return
	}
	if t.app != nil {
		x.info.Service = "app"
		r.Header.Set("X-Request-Id", x.info.RequestID) // ours in place of the client's, for the app's own log
		t.app.ServeHTTP(x.w, r)
		return
	}
	x.info.Service, x.info.Sub = t.service.Name, t.sub
	if t.service == f.router.console && x.info.Secure && named(r.Host) {
		x.w.Header().Set("Strict-Transport-Security", "max-age=31536000")
	}
	u := *r.URL // the server's own request keeps its URL
	u.Scheme, u.Host = "", ""
	if t.cut != "" {
		u.Path, u.RawPath = cutPrefix(u.Path, t.cut), cutPrefix(u.RawPath, t.cut)
	}
	r.URL = &u
	if t.hit != nil {
		t.hit.Set(r)
	}
	if f.bound(x, t.service) {
		t.service.Handler.ServeHTTP(x.w, r)
	}
}

// bound sets the limits of a request's body, or refuses it.
func (f *Front) bound(x *exchange, s *Service) bool {
	if x.body == nil {
		return true
	}
	limit := s.limit(x.r)
	if limit >= 0 && x.r.ContentLength > limit {
		write := s.Fail
		if write == nil {
			write = Fail
		}
		x.w.Header().Set("Connection", "close") // what the client is still sending is not read
		write(x.w, x.r, http.StatusRequestEntityTooLarge, fail.New(fail.TooLarge, "the body is over %d bytes", limit))
		return false
	}
	x.body.rc, x.body.stall = x.w.rc, f.opts.StallTime
	if limit >= 0 {
		x.r.Body = http.MaxBytesReader(x.w.ResponseWriter, x.body, limit)
	}
	return true
}

// named tells whether a host is a name of the cloud's own. For addresses HSTS means nothing, and for "localhost" it
// would lock the user out of whatever else runs there.
func named(authority string) bool {
	host := hostOf(authority)
	_, err := netip.ParseAddr(host)
	return err != nil && host != "localhost"
}

func cutPrefix(path, prefix string) string {
	if path == "" {
		return ""
	}
	if path = strings.TrimPrefix(path, prefix); path == "" {
		return "/"
	}
	return path
}
