package app

import (
	"context"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/awancloud/awan/internal/kernel/id"
)

// Observation is one request as the ingress answered it.
type Observation struct {
	Component id.ID
	Instance  id.ID  // empty when none was ready
	Release   int    // number of the release that answered; 0 when none was ready
	Lane      string // the lane it was sent along; empty: none
	Method    string
	Status    int           // as sent to the client; 499 when the client went away first
	Start     time.Time     // when it came in
	Header    time.Duration // until the header of the answer
	Held      time.Duration // of that, until there was an instance to ask
	Duration  time.Duration // until the end of the answer; of an upgraded connection, of its life
	In, Out   int64         // bytes of the bodies; of an upgraded connection, none
}

// statusGone is what is observed of a request whose client did not wait for the answer.
const statusGone = 499

// exchange is a request on its way through the ingress: what becomes an Observation in the end.
type exchange struct {
	seen  Observation
	side  side
	group *laneGroup   // nil: the component is in none
	lane  *lane        // nil: the baseline
	base  *backend     // answers where the lane's own cannot; nil: there is no other
	in    atomic.Int64 // the transport may go on reading after the answer began
}

type exchangeKey struct{}

func exchangeOf(ctx context.Context) *exchange {
	x, _ := ctx.Value(exchangeKey{}).(*exchange)
	return x
}

// begin starts to observe a request; the request it gives is the one to pass on.
func (b *backend) begin(r *http.Request) (*exchange, *http.Request) {
	x := &exchange{seen: Observation{Component: b.component, Method: r.Method, Start: time.Now()}}
	r = r.WithContext(context.WithValue(r.Context(), exchangeKey{}, x))
	if r.Body != nil && r.Body != http.NoBody {
		r.Body = &countedBody{r.Body, &x.in}
	}
	return x, r
}

// answered notes the header of an answer.
func (x *exchange) answered(e *endpoint, status int) {
	x.seen.Component, x.seen.Instance, x.seen.Release = e.backend.component, e.instance, e.release
	x.seen.Status, x.seen.Header = status, time.Since(x.seen.Start)
}

// finish hands the observation on.
func (g *Ingress) finish(b *backend, x *exchange, l *lazy, gone bool) {
	o := &x.seen
	o.Duration, o.In, o.Out = time.Since(o.Start), x.in.Load(), l.sent
	switch {
	case o.Status == 0 && gone:
		o.Status = statusGone
	case l.status != 0:
		o.Status = l.status
	}
	if o.Header == 0 {
		o.Header = o.Duration
	}
	if x.base != nil && o.Component == x.base.component {
		b = x.base
	}
	b.tallies.count(o)
	if g.Observe != nil {
		g.Observe(*o)
	}
}

// countedBody counts what a client sends.
type countedBody struct {
	io.ReadCloser
	n *atomic.Int64
}

func (c *countedBody) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.n.Add(int64(n))
	return n, err
}
