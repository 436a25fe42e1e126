package proxy

import (
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/awancloud/awan/internal/kernel/id"
)

// Count is what went through a listener since the cloud started.
type Count struct {
	Active, Total   int64 // connections
	Refused, Failed int64 // connections that the addresses refused, and that no member took
	Requests        int64
	Codes           [6]int64 // answers by the first digit of their status
	In, Out         int64    // bytes of clients and to clients
}

type count struct {
	active, total, refused, failed, requests, in, out atomic.Int64
	codes                                             [6]atomic.Int64
}

func (c *count) status(code int) {
	if d := code / 100; d > 0 && d < len(c.codes) {
		c.codes[d].Add(1)
	}
}

func (c *count) read() Count {
	out := Count{Active: c.active.Load(), Total: c.total.Load(), Refused: c.refused.Load(), Failed: c.failed.Load(), Requests: c.requests.Load(), In: c.in.Load(), Out: c.out.Load()}
	for i := range c.codes {
		out.Codes[i] = c.codes[i].Load()
	}
	return out
}

// Entry is one request in the access log.
type Entry struct {
	Balancer, Listener          id.ID
	At                          time.Time
	Client                      string
	Method, Host, URI, Protocol string
	Status                      int
	Bytes                       int64
	Took                        time.Duration
	Member                      netip.AddrPort
	Agent                       string
}

// Add adds what went through another listener.
func (c *Count) Add(o Count) {
	c.Active, c.Total, c.Refused, c.Failed, c.Requests = c.Active+o.Active, c.Total+o.Total, c.Refused+o.Refused, c.Failed+o.Failed, c.Requests+o.Requests
	c.In, c.Out = c.In+o.In, c.Out+o.Out
	for i := range c.Codes {
		c.Codes[i] += o.Codes[i]
	}
}
