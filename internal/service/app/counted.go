package app

import (
	"io"
	"sync"
)

// counted holds a request open on its endpoint until its body was read to the end. It passes writes through, for
// connections that were upgraded (WebSocket).
type counted struct {
	rc   io.ReadCloser
	e    *endpoint
	once sync.Once
}

func (c *counted) Read(p []byte) (int, error) { return c.rc.Read(p) }

func (c *counted) Write(p []byte) (int, error) {
	if w, ok := c.rc.(io.Writer); ok {
		return w.Write(p)
	}
	return 0, io.ErrClosedPipe
}

func (c *counted) Close() error {
	c.once.Do(func() { c.e.inflight.Add(-1) })
	return c.rc.Close()
}
