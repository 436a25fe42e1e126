package front

import (
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/awancloud/awan/internal/kernel/fail"
)

// AddInside serves Options.Inside on a listener that only instances of tenants' programs reach, with the same limits as
// everything else. The Front closes it.
func (f *Front) AddInside(ln net.Listener) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		f.shut(ln)
		return fail.New(fail.Unavailable, "the cloud is stopping")
	}
	f.within = append(f.within, ln)
	f.serving.Go(func() { f.accept(ln, true) })
	return nil
}

// insideTLS makes certificates of the names that components have for who asks.
func (f *Front) insideTLS() *tls.Config {
	c := f.opts.CA.TLSConfig(func(name string, _ netip.Addr) bool { return name != "" })
	made := c.GetCertificate
	c.GetCertificate = func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		name := strings.TrimSuffix(strings.ToLower(hello.ServerName), ".")
		if from := addrPort(hello.Conn.RemoteAddr()).Addr(); !f.opts.InsideName(name, from) {
			return nil, fail.New(fail.NotFound, "no certificate for %q: it is no name of a component to %s", name, from)
		}
		return made(hello)
	}
	return c
}

// serveInside answers a request that came to a listener of AddInside.
func (f *Front) serveInside(x *exchange) {
	if !x.info.Secure {
		f.fail(x, http.StatusBadRequest, fail.New(fail.Unsupported, "components answer https, and the request came as plain http").
			Then("use https://%s", x.r.Host))
		return
	}
	x.info.Service = "app"
	x.r.Header.Set("X-Request-Id", x.info.RequestID)
	f.opts.Inside.ServeHTTP(x.w, x.r)
}
