package front

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"
)

// writer counts what is answered, keeps X-Request-Id ours, and cuts off a client that stops reading. It passes
// flushing and hijacking on, so that streams and websockets work through it.
type writer struct {
	http.ResponseWriter
	rc     *http.ResponseController
	id     string
	status int
	bytes  int64
	stall  time.Duration // longest time a write may wait; 0: HTTP/2, which has its own for the connection
	until  time.Time     // the deadline set last
	conn   *conn         // HTTP/1 only
	length int64         // of the body, as the header says; -1: it does not
}

// WriteHeader sends the header. What a handler or an app put as request id is replaced.
func (w *writer) WriteHeader(status int) {
	if w.status == 0 && (status >= 200 || status == http.StatusSwitchingProtocols) {
		w.status = status
		w.Header()["X-Request-Id"] = []string{w.id}
		w.length = -1
		if v := w.Header()["Content-Length"]; len(v) == 1 {
			if n, err := strconv.ParseInt(v[0], 10, 64); err == nil {
				w.length = n
			}
		}
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write sends a part of the body.
func (w *writer) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if w.stall > 0 {
		w.extend()
	}
	if w.conn == nil {
		n, err := w.ResponseWriter.Write(p)
		w.bytes += int64(n)
		return n, err
	}
	w.conn.gather()
	n, err := w.ResponseWriter.Write(p)
	if w.bytes += int64(n); w.bytes == w.length && err == nil {
		err = w.rc.Flush() // the end: what net/http still holds goes along
	}
	if e := w.conn.release(); err == nil {
		err = e
	}
	return n, err
}

// extend moves the write deadline; not at each write, for that would cost more than the write.
func (w *writer) extend() {
	now := time.Now()
	if w.until.Sub(now) > w.stall {
		return
	}
	w.until = now.Add(w.stall + w.stall/2)
	if err := w.rc.SetWriteDeadline(w.until); err != nil {
		w.stall = 0 // hijacked: whoever has the connection now keeps its time
	}
}

// Flush sends what is buffered.
func (w *writer) Flush() { _ = w.FlushError() }

// FlushError is what http.ResponseController asks for.
func (w *writer) FlushError() error {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if w.stall > 0 {
		w.extend()
	}
	return w.rc.Flush()
}

// Hijack gives the connection to the handler (HTTP/1 only).
func (w *writer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c, rw, err := w.rc.Hijack()
	if err == nil && w.status == 0 {
		w.status = http.StatusSwitchingProtocols
	}
	return c, rw, err
}

// Unwrap is for http.ResponseController.
func (w *writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// body counts what is read of a request, and ends it when the client falls silent in the middle.
type body struct {
	io.ReadCloser
	rc    *http.ResponseController // nil: silence is allowed
	stall time.Duration
	http1 bool      // a deadline that passes while nobody reads does no harm
	until time.Time // HTTP/1: the deadline set last
	bytes atomic.Int64
	ended atomic.Bool // the handler has returned: the connection's deadlines are no longer ours to set
}

func (b *body) Read(p []byte) (int, error) {
	if b.rc == nil || b.ended.Load() {
		n, err := b.ReadCloser.Read(p)
		b.bytes.Add(int64(n))
		return n, err
	}
	now := time.Now()
	if !b.http1 || b.until.Sub(now) < b.stall { // for HTTP/1 not at each read, for that would cost more than the read
		b.until = now.Add(b.stall)
		if b.http1 {
			b.until = b.until.Add(b.stall / 2)
		}
		if err := deadline(b.rc, b.until); err != nil {
			return 0, err
		}
	}
	n, err := b.ReadCloser.Read(p)
	b.bytes.Add(int64(n))
	if b.http1 && err == nil {
		return n, nil
	}
	b.until = time.Time{}
	if e := deadline(b.rc, time.Time{}); e != nil && err == nil {
		err = e
	}
	return n, err
}

// drain reads a little of what a handler left unread. HTTP/2 resets a stream whose body nobody read to its end, and
// clients then report that instead of the answer; net/http does the same for HTTP/1 by itself.
func (b *body) drain(rc *http.ResponseController) {
	const most, wait = 256 << 10, 2 * time.Second
	if deadline(rc, time.Now().Add(wait)) == nil {
		_, _ = io.CopyN(io.Discard, b.ReadCloser, most) // its end, or too much: either way the answer stands
	}
}

func deadline(rc *http.ResponseController, t time.Time) error {
	if err := rc.SetReadDeadline(t); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	return nil
}
