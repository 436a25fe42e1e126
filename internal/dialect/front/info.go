package front

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
)

// Info is what the listener knows of a request and its handler cannot see in it.
type Info struct {
	RequestID string          // ours, also in the answer's X-Request-Id; never the client's
	Path      string          // the path as the client sent it, percent-encoded, prefix included: what signatures cover
	Service   string          // the service's name, "native", "console" or "app"
	Sub       string          // what stands before the service's name in the host: a bucket, a cluster
	Peer      netip.Addr      // the client
	Secure    bool            // by TLS; false only from this machine through the proxy way in
	Drain     <-chan struct{} // closed when the listener stops: long streams should end then
}

type infoKey struct{}
type connKey struct{}

// From gives the request's Info; it is empty for a request that did not come through a Front.
func From(ctx context.Context) Info {
	if i, ok := ctx.Value(infoKey{}).(*Info); ok {
		return *i
	}
	return Info{}
}

// With puts an Info into ctx, for handlers tested without a listener.
func With(ctx context.Context, i Info) context.Context { return context.WithValue(ctx, infoKey{}, &i) }

// OriginalPath is the escaped path as the client sent it, also where no Front was in the way.
func OriginalPath(r *http.Request) string {
	if p := From(r.Context()).Path; p != "" {
		return p
	}
	return r.URL.EscapedPath()
}

func withConn(ctx context.Context, c net.Conn) context.Context {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	return context.WithValue(ctx, connKey{}, c)
}

func connOf(ctx context.Context) *conn {
	c, _ := ctx.Value(connKey{}).(*conn)
	return c
}
