package front

import (
	"net"
	"sync"
)

// A TLS record holds at most 16 KiB, and each would be a system call, a packet and a wake-up of the other side. So records
// of one write of a handler are sent together, and large bodies are read ahead of the records that TLS asks for.
const (
	sentTogether = 132 << 10 // 128 KiB in records, with what comes around them
	readAhead    = 64 << 10
	worthAVector = 32 << 10 // what is larger is not copied
)

var (
	outgoing = sync.Pool{New: func() any { b := make([]byte, 0, sentTogether); return &b }}
	incoming = sync.Pool{New: func() any { b := make([]byte, readAhead); return &b }}
)

// gathering is what a conn holds back while its handler writes.
type gathering struct {
	mu  sync.Mutex
	buf *[]byte // nil: nothing is held back
}

// gather holds back what is written until release.
func (c *conn) gather() {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	if c.out.buf == nil {
		c.out.buf = outgoing.Get().(*[]byte)
	}
}

// release sends what was held back.
func (c *conn) release() error {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	if c.out.buf == nil {
		return nil
	}
	err := c.send()
	outgoing.Put(c.out.buf)
	c.out.buf = nil
	return err
}

// send empties the buffer; out.mu is held.
func (c *conn) send() error {
	held := *c.out.buf
	*c.out.buf = held[:0]
	if len(held) == 0 {
		return nil
	}
	_, err := c.Conn.Write(held)
	return err
}

func (c *conn) Write(p []byte) (int, error) {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	if c.out.buf == nil {
		return c.Conn.Write(p)
	}
	held := *c.out.buf
	switch {
	case len(p) >= worthAVector:
		*c.out.buf = held[:0]
		both := net.Buffers{held, p}
		n, err := both.WriteTo(c.Conn)
		return max(0, int(n)-len(held)), err
	case len(held)+len(p) > cap(held):
		if err := c.send(); err != nil {
			return 0, err
		}
		held = *c.out.buf
	}
	*c.out.buf = append(held, p...)
	return len(p), nil
}

// Read gives what was read already, first.
func (c *conn) Read(p []byte) (int, error) {
	if len(c.front) == 0 {
		if !c.ahead.Load() || len(p) >= readAhead {
			return c.Conn.Read(p)
		}
		c.in = incoming.Get().(*[]byte)
		n, err := c.Conn.Read(*c.in)
		c.front = (*c.in)[:n]
		if n == 0 {
			c.forget()
			return 0, err
		}
		if err != nil {
			c.inErr = err
		}
	}
	n := copy(p, c.front)
	if c.front = c.front[n:]; len(c.front) > 0 {
		return n, nil
	}
	c.forget()
	err := c.inErr
	c.inErr = nil
	return n, err
}

// forget gives the buffer back that front lay in.
func (c *conn) forget() {
	if c.in != nil {
		incoming.Put(c.in)
		c.in = nil
	}
}
