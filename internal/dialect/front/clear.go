package front

import (
	"net/http"
	"net/netip"
	"strconv"
	"strings"

	"github.com/awancloud/awan/internal/kernel/fail"
)

// serveClear takes what came without TLS. Three things are served; everything else is told to use https.
//
//   - CONNECT to a name of ours, from anywhere: what runs inside is TLS, or comes from this machine.
//   - GET http://name-of-ours/… (a client with HTTP_PROXY set), from this machine only.
//   - Plain HTTP inside a tunnel to port 80 (a client with HTTP_PROXY set that tunnels), from this machine only.
//
// From another machine clear text is refused, for it has crossed a network on which anyone may have read it.
func (f *Front) serveClear(w http.ResponseWriter, r *http.Request) {
	f.observe(w, r, false, func(x *exchange) {
		c := connOf(x.r.Context())
		switch {
		case c.inside:
			f.serveInside(x)
		case x.r.Method == http.MethodConnect:
			f.connect(x)
		case x.r.URL.Host != "":
			f.proxied(x, c)
		case c.tunnel && c.port == 80 && c.peer.IsLoopback():
			f.route(x)
		default:
			f.toHTTPS(x)
		}
	})
}

// proxied answers GET http://host/…: for our own names, as if the client had come to them.
func (f *Front) proxied(x *exchange, c *conn) {
	if !f.reachable(x.r.URL.Host, 80, c) {
		f.foreign(x)
		return
	}
	if !c.peer.IsLoopback() {
		f.refuseClear(x)
		return
	}
	f.route(x)
}

func (f *Front) foreign(x *exchange) {
	x.w.Header().Set("Connection", "close")
	f.fail(x, http.StatusForbidden, fail.New(fail.Denied, "this is no proxy to other places: %q is not a name of this cloud", x.r.URL.Host).
		Then("take %s out of HTTP_PROXY and HTTPS_PROXY, or add that name to NO_PROXY", f.main))
}

func (f *Front) refuseClear(x *exchange) {
	next := "use https://"
	if credentials(x.r) {
		next = "the credential was sent in clear text: replace it, then use https://"
	}
	x.w.Header().Set("Connection", "close")
	f.fail(x, http.StatusForbidden, fail.New(fail.Denied, "clear-text HTTP is not served to other machines").Then("%s", next))
}

// toHTTPS answers plain HTTP: a browser's visit is sent on, anything else is told what is wrong. A request that holds a
// credential is never sent on: the client must learn that it gave it away.
func (f *Front) toHTTPS(x *exchange) {
	x.w.Header().Set("Connection", "close")
	read := x.r.Method == http.MethodGet || x.r.Method == http.MethodHead
	if read && !credentials(x.r) && f.router.known(x.r.Host) {
		x.w.Header().Set("Location", "https://"+x.r.Host+x.r.URL.RequestURI())
		f.fail(x, http.StatusPermanentRedirect, fail.New(fail.Unsupported, "this port speaks https").Then("use https://%s", x.r.Host))
		return
	}
	f.fail(x, http.StatusBadRequest, fail.New(fail.Unsupported, "this port speaks https, and the request came as plain http").
		Then("use https:// and the certificate that \"awan ca\" prints"))
}

func credentials(r *http.Request) bool {
	for _, name := range []string{"Authorization", "X-Auth-Token", "X-Subject-Token", "X-Security-Token", "Cookie"} {
		if r.Header.Get(name) != "" {
			return true
		}
	}
	return strings.Contains(r.URL.RawQuery, "ignature=")
}

// reachable tells whether the proxy way in leads to host:port: to our names and addresses, on the ports by which
// clients name them. It never leads out: nothing is dialled.
func (f *Front) reachable(authority string, otherwise uint16, c *conn) bool {
	host, port, ok := splitAuthority(authority, otherwise)
	if !ok || port != 80 && port != 443 && port != f.main.Port() {
		return false
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return f.router.known(host)
	}
	return f.ourAddress(ip.Unmap(), c)
}

func (f *Front) ourAddress(ip netip.Addr, c *conn) bool {
	if ip == f.main.Addr() || f.router.app(ip.String()) != nil {
		return true
	}
	if f.main.Addr().IsUnspecified() && (ip.IsLoopback() && c.peer.IsLoopback() || !c.tunnel && ip == c.local) {
		return true
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.listeners[ip] != nil
}

func splitAuthority(authority string, otherwise uint16) (host string, port uint16, ok bool) {
	host = hostOf(authority)
	i := strings.LastIndexByte(authority, ':')
	if i < 0 || strings.HasSuffix(authority, "]") {
		return host, otherwise, host != ""
	}
	n, err := strconv.ParseUint(authority[i+1:], 10, 16)
	return host, uint16(n), err == nil && host != ""
}
