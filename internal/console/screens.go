package console

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"strings"
	"time"

	"github.com/coder/websocket"

	"github.com/awancloud/awan/internal/kernel/duplex"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kind"
)

// recheck is how often an open console asks whether its user may still have it.
const recheck = 15 * time.Second

// serverSerial carries a server's serial console over a WebSocket: binary messages are its bytes, a text message says
// why it ended.
func (q *request) serverSerial() error { return q.join("console", q.sayEnd) }

// serverVNC carries a server's screen: binary messages are RFB, and the reason of the close says why it ended, for noVNC
// takes every message for RFB.
func (q *request) serverVNC() error { return q.join("vnc", q.closeFor) }

// join carries the stream of an action of a server over a WebSocket until one of its ends goes away.
func (q *request) join(verb string, end func(*websocket.Conn, *fail.Error) error) error {
	k, row, err := q.server()
	if err != nil {
		return err
	}
	q.began = true
	ws, err := websocket.Accept(q.w, q.Request, nil) // refuses other sites' pages
	if err != nil {
		return nil // it answered
	}
	defer func() { _ = ws.CloseNow() }()
	ctx, cancel := context.WithCancel(q.Context())
	defer cancel()
	ours, theirs := net.Pipe()
	defer context.AfterFunc(ctx, func() { _ = ours.Close() })()
	c := q.newCall(k, verb, string(row.ID))
	c.Stream = kind.Stream{Emit: func(any) error { return nil }, Duplex: func() (io.ReadWriteCloser, error) { return theirs, nil }}
	done := make(chan error, 1)
	go func() {
		_, err := q.Door.Do(ctx, c)
		_ = theirs.Close()
		done <- err
	}()
	go q.typed(ctx, cancel, ws, ours)
	go q.watch(ctx, cancel, ws, verb)
	q.printed(ctx, ws, ours)
	cancel()
	why := fail.New(fail.Unavailable, "the console ended")
	if err := <-done; err != nil {
		why = fail.From(err)
	}
	return end(ws, why)
}

func (q *request) sayEnd(ws *websocket.Conn, why *fail.Error) error {
	late, stop := context.WithTimeout(context.WithoutCancel(q.Context()), 5*time.Second)
	defer stop()
	b, _ := json.Marshal(map[string]string{"message": why.Public(), "next": why.Next})
	if ws.Write(late, websocket.MessageText, b) == nil {
		_ = ws.Close(websocket.StatusNormalClosure, "")
	}
	return nil
}

// closeFor says why in the close itself, which has room for 123 bytes.
func (q *request) closeFor(ws *websocket.Conn, why *fail.Error) error {
	text := why.Public()
	if len(text) > 123 {
		text = strings.ToValidUTF8(text[:120], "") + "…"
	}
	_ = ws.Close(websocket.StatusNormalClosure, text)
	return nil
}

// typed passes on what the page sends.
func (q *request) typed(ctx context.Context, cancel func(), ws *websocket.Conn, to io.ReadWriteCloser) {
	defer cancel()
	conn := duplex.NewConn(to)
	for {
		_, b, err := ws.Read(ctx)
		if err != nil || conn.WriteFrame(duplex.Stdin, b) != nil {
			return
		}
	}
}

// printed passes on what the server writes, until it ends.
func (q *request) printed(ctx context.Context, ws *websocket.Conn, from io.ReadWriteCloser) {
	conn := duplex.NewConn(from)
	for {
		typ, b, err := conn.ReadFrame()
		if err != nil || typ == duplex.Exit || ws.Write(ctx, websocket.MessageBinary, b) != nil {
			return
		}
	}
}

// watch ends the console of somebody who logged out or may not have it any more.
func (q *request) watch(ctx context.Context, cancel func(), ws *websocket.Conn, verb string) {
	t := time.NewTicker(recheck)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		who, _, err := q.Door.Ident.ByToken(ctx, q.token)
		now := &request{Console: q.Console, Request: q.Request, who: who, project: q.project}
		if err != nil || who.Nobody() || !now.mayAsk(serverKind, verb) || ws.Ping(ctx) != nil {
			cancel()
			return
		}
	}
}
