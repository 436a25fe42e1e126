// Package qmp speaks the QEMU Machine Protocol (QEMU, docs/interop/qmp-spec): one JSON object a line over a unix socket. It
// imports the standard library only.
package qmp

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"sync"
	"syscall"
	"time"
)

// Error is QEMU's answer to a command that failed.
type Error struct {
	Command string `json:"-"`
	Class   string `json:"class"`
	Desc    string `json:"desc"`
}

func (e *Error) Error() string { return e.Command + ": " + e.Desc }

// Event is something that QEMU tells of itself.
type Event struct {
	Name string
	Data json.RawMessage
	At   time.Time
}

// ErrClosed is the error of commands whose connection has ended.
var ErrClosed = errors.New("the connection to QEMU has ended")

// Client is one connection.
type Client struct {
	conn    *net.UnixConn
	events  func(Event)
	version string

	write sync.Mutex // one command is written at a time
	mu    sync.Mutex
	next  int
	wait  map[int]chan message
	err   error
	done  chan struct{}
}

type message struct {
	ID     *int            `json:"id"`
	Return json.RawMessage `json:"return"`
	Error  *Error          `json:"error"`
	Event  string          `json:"event"`
	Data   json.RawMessage `json:"data"`
	Stamp  *struct {
		Seconds      int64 `json:"seconds"`
		Microseconds int64 `json:"microseconds"`
	} `json:"timestamp"`
	Greeting *struct {
		Version struct {
			Package string `json:"package"`
			QEMU    struct {
				Major, Minor, Micro int
			} `json:"qemu"`
		} `json:"version"`
	} `json:"QMP"`
}

// Dial connects, waits for the greeting and negotiates. events is called for each event, one after the other, and must not
// wait for a command of this client.
func Dial(ctx context.Context, path string, events func(Event)) (*Client, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	return New(ctx, c.(*net.UnixConn), events)
}

// New is Dial over a connection that is there. It owns the connection.
func New(ctx context.Context, conn *net.UnixConn, events func(Event)) (*Client, error) {
	q := &Client{conn: conn, events: events, wait: map[int]chan message{}, done: make(chan struct{})}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	r := bufio.NewReaderSize(conn, 64<<10)
	line, err := r.ReadBytes('\n')
	var m message
	if err == nil {
		err = json.Unmarshal(line, &m)
	}
	if err == nil && m.Greeting == nil {
		err = errors.New("no greeting came")
	}
	if err == nil {
		v := m.Greeting.Version.QEMU
		q.version = fmt.Sprintf("%d.%d.%d", v.Major, v.Minor, v.Micro)
	}
	if !stop() || err != nil {
		_ = conn.Close()
		return nil, errors.Join(ctx.Err(), err)
	}
	go q.read(r)
	if err := q.Do(ctx, "qmp_capabilities", nil, nil); err != nil {
		_ = q.Close()
		return nil, err
	}
	return q, nil
}

// Version of QEMU.
func (q *Client) Version() string { return q.version }

// Done is closed when the connection has ended and every event was given.
func (q *Client) Done() <-chan struct{} { return q.done }

// Close hangs up; QEMU goes on.
func (q *Client) Close() error {
	err := q.conn.Close()
	<-q.done
	return err
}

func (q *Client) read(r *bufio.Reader) {
	var err error
	for {
		var line []byte
		if line, err = r.ReadBytes('\n'); err != nil {
			break
		}
		var m message
		if err = json.Unmarshal(line, &m); err != nil {
			break
		}
		if m.Event != "" {
			at := time.Now()
			if m.Stamp != nil && m.Stamp.Seconds > 0 {
				at = time.Unix(m.Stamp.Seconds, m.Stamp.Microseconds*1000)
			}
			if q.events != nil {
				q.events(Event{Name: m.Event, Data: m.Data, At: at})
			}
			continue
		}
		if m.ID == nil {
			continue
		}
		q.mu.Lock()
		w := q.wait[*m.ID]
		delete(q.wait, *m.ID)
		q.mu.Unlock()
		if w != nil {
			w <- m
		}
	}
	q.mu.Lock()
	q.err = errors.Join(ErrClosed, err)
	for n, w := range q.wait {
		delete(q.wait, n)
		close(w)
	}
	q.mu.Unlock()
	_ = q.conn.Close()
	close(q.done)
}

// Do runs a command and reads its answer into out, if that is not nil.
func (q *Client) Do(ctx context.Context, command string, args, out any) error {
	return q.do(ctx, command, args, out, nil)
}

// DoFile is Do with an open file that goes along: for add-fd and getfd.
func (q *Client) DoFile(ctx context.Context, fd int, command string, args, out any) error {
	return q.do(ctx, command, args, out, syscall.UnixRights(fd))
}

func (q *Client) do(ctx context.Context, command string, args, out any, rights []byte) error {
	w := make(chan message, 1)
	q.mu.Lock()
	if q.err != nil {
		q.mu.Unlock()
		return q.err
	}
	q.next++
	n := q.next
	q.wait[n] = w
	q.mu.Unlock()
	forget := func() {
		q.mu.Lock()
		delete(q.wait, n)
		q.mu.Unlock()
	}
	line, err := json.Marshal(struct {
		Execute   string `json:"execute"`
		Arguments any    `json:"arguments,omitempty"`
		ID        int    `json:"id"`
	}{command, args, n})
	if err != nil {
		forget()
		return err
	}
	q.write.Lock()
	_, _, err = q.conn.WriteMsgUnix(append(line, '\n'), rights, nil)
	q.write.Unlock()
	if err != nil {
		forget()
		return errors.Join(ErrClosed, err)
	}
	select {
	case m, ok := <-w:
		switch {
		case !ok:
			return q.err
		case m.Error != nil:
			m.Error.Command = command
			return m.Error
		case out != nil:
			return json.Unmarshal(m.Return, out)
		}
		return nil
	case <-ctx.Done():
		forget()
		return fmt.Errorf("%s: %w", command, ctx.Err())
	}
}
