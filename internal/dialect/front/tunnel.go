package front

import (
	"net/http"
	"net/netip"

	"github.com/awancloud/awan/internal/kernel/fail"
)

// connect answers CONNECT host:port for our own names by speaking to the client itself on the same connection, as the
// host it asked for. With HTTPS_PROXY set to this listener, a client reaches every service and app by name without DNS.
// Nothing is dialled, so it can lead nowhere else.
func (f *Front) connect(x *exchange) {
	c := connOf(x.r.Context())
	host, port, ok := splitAuthority(x.r.Host, 443)
	switch {
	case !ok || !f.reachable(x.r.Host, 443, c):
		f.foreign(x)
		return
	case c.tunnel:
		f.fail(x, http.StatusForbidden, fail.New(fail.Denied, "a tunnel inside a tunnel leads nowhere").Then("name the service in the first CONNECT"))
		return
	case x.r.ProtoMajor != 1:
		f.fail(x, http.StatusNotImplemented, fail.New(fail.Unsupported, "CONNECT needs HTTP/1.1").Then("let the client use HTTP/1.1 to its proxy"))
		return
	}
	raw, rw, err := x.w.Hijack()
	if err != nil {
		f.fail(x, 0, fail.From(err))
		return
	}
	x.w.status, x.info.Service = http.StatusOK, "tunnel"
	inner := &conn{Conn: raw, peer: c.peer, local: c.local, port: port, tunnel: true, outer: c, done: func() {}}
	if ip, err := netip.ParseAddr(host); err == nil {
		inner.local = ip.Unmap()
	}
	if n := rw.Reader.Buffered(); n > 0 { // the client did not wait for our answer
		inner.front, _ = rw.Reader.Peek(n) // cannot fail: they are there
	}
	if _, err := raw.Write([]byte("HTTP/1.1 200 Connection established\r\nX-Request-Id: " + x.info.RequestID + "\r\n\r\n")); err != nil {
		f.end(inner)
		return
	}
	f.dispatch(inner)
}
