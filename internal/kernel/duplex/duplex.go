// Package duplex frames a two-way stream between a client and an action that talks back (exec): one byte of type, four
// bytes of length, big endian, then the payload. It imports the standard library only.
package duplex

import (
	"encoding/binary"
	"fmt"
	"io"
	"sync"
)

// MaxFrame bounds a payload.
const MaxFrame = 64 << 10

// Frame types.
const (
	Stdin    byte = 0 // client to server: bytes for the command's standard input
	StdinEOF byte = 1 // client to server: no more of them
	Resize   byte = 2 // client to server: {"rows":24,"cols":80}
	Stdout   byte = 1 // server to client
	Stderr   byte = 2 // server to client
	Exit     byte = 3 // server to client, last: {"code":0,"error":""}
)

// Conn sends and receives frames. Writing is safe for concurrent use, reading is for one goroutine.
type Conn struct {
	rw io.ReadWriteCloser
	mu sync.Mutex
}

// NewConn frames rw.
func NewConn(rw io.ReadWriteCloser) *Conn { return &Conn{rw: rw} }

// Close closes the stream beneath.
func (c *Conn) Close() error { return c.rw.Close() }

// WriteFrame sends one frame; a payload over MaxFrame goes as several.
func (c *Conn) WriteFrame(kind byte, p []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		part := p[:min(len(p), MaxFrame)]
		buf := make([]byte, 5+len(part))
		buf[0] = kind
		binary.BigEndian.PutUint32(buf[1:], uint32(len(part)))
		copy(buf[5:], part)
		if _, err := c.rw.Write(buf); err != nil {
			return err
		}
		if p = p[len(part):]; len(p) == 0 {
			return nil
		}
	}
}

// ReadFrame receives one frame.
func (c *Conn) ReadFrame() (kind byte, p []byte, err error) {
	var head [5]byte
	if _, err := io.ReadFull(c.rw, head[:]); err != nil {
		return 0, nil, err
	}
	n := binary.BigEndian.Uint32(head[1:])
	if n > MaxFrame {
		return 0, nil, fmt.Errorf("a frame of %d bytes is over the limit of %d", n, MaxFrame)
	}
	p = make([]byte, n)
	_, err = io.ReadFull(c.rw, p)
	return head[0], p, err
}

// Writer sends what is written to it as frames of one type.
func (c *Conn) Writer(kind byte) io.Writer { return frameWriter{c, kind} }

type frameWriter struct {
	c    *Conn
	kind byte
}

func (w frameWriter) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	return len(p), w.c.WriteFrame(w.kind, p)
}
