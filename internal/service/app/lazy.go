package app

import (
	"net/http"
	"sync"
	"time"
)

// flushAfter is how long a part of an answer may wait for the next.
const flushAfter = 2 * time.Millisecond

// lazy sends what an app streams soon, not at once: the proxy flushes after the header and after each part of a body
// whose length it does not know, and for the common answer, which is whole within the moment, each of these would be a
// TLS record and a system call of its own.
type lazy struct {
	http.ResponseWriter
	mu    sync.Mutex // guards the writer: the timer flushes from a goroutine of its own
	timer *time.Timer
	due   bool
	ended bool

	status int
	sent   int64
}

// WriteHeader sends the status.
func (l *lazy) WriteHeader(status int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if status >= 200 {
		l.status = status
	}
	l.ResponseWriter.WriteHeader(status)
}

// Write takes a part of the body.
func (l *lazy) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n, err := l.ResponseWriter.Write(p)
	l.sent += int64(n)
	return n, err
}

// FlushError flushes after a moment.
func (l *lazy) FlushError() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.due || l.ended {
		return nil
	}
	l.due = true
	if l.timer == nil {
		l.timer = time.AfterFunc(flushAfter, l.flush)
	} else {
		l.timer.Reset(flushAfter)
	}
	return nil
}

func (l *lazy) flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.due && !l.ended {
		l.due = false
		_ = http.NewResponseController(l.ResponseWriter).Flush() // a client that is gone fails the next write
	}
}

// end must be called before the handler returns: the writer is not ours afterwards.
func (l *lazy) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
	if l.timer != nil {
		l.timer.Stop()
	}
}

// Unwrap is for http.ResponseController: upgraded connections are taken over from the writer below.
func (l *lazy) Unwrap() http.ResponseWriter { return l.ResponseWriter }

// buffers are what bodies are copied with, one for each answer under way.
type buffers struct{ pool sync.Pool }

const bufferSize = 32 << 10

// Get takes a buffer.
func (b *buffers) Get() []byte {
	if p, ok := b.pool.Get().(*[bufferSize]byte); ok {
		return p[:]
	}
	return new([bufferSize]byte)[:]
}

// Put gives it back.
func (b *buffers) Put(p []byte) { b.pool.Put((*[bufferSize]byte)(p)) }
