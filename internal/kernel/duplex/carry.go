package duplex

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"time"
)

// Carry joins a client's framed stream with a plain connection: standard input goes to the target, what the target sends
// comes back as standard output. Either side may end its half first, where the target can close one (CloseWrite). Both are
// closed at the end. An error is the target's.
func Carry(ctx context.Context, pipe, target io.ReadWriteCloser) error {
	conn := NewConn(pipe)
	defer func() { _ = conn.Close(); _ = target.Close() }()
	defer context.AfterFunc(ctx, func() { _ = target.Close(); _ = conn.Close() })()
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		feed(conn, target)
	}()
	_, err := io.Copy(conn.Writer(Stdout), target)
	end, _ := json.Marshal(map[string]any{"code": 0})
	if werr := conn.WriteFrame(Exit, end); werr == nil && err == nil {
		select { // the client may still send
		case <-gone:
		case <-time.After(time.Minute):
		}
	}
	_ = conn.Close()
	<-gone
	if errors.Is(err, net.ErrClosed) || ctx.Err() != nil {
		return nil
	}
	return err
}

// feed passes on what the client sends until the client goes away.
func feed(conn *Conn, target io.ReadWriteCloser) {
	for {
		kind, p, err := conn.ReadFrame()
		switch {
		case err != nil:
			_ = target.Close()
			return
		case kind == StdinEOF:
			if half, ok := target.(interface{ CloseWrite() error }); ok {
				_ = half.CloseWrite()
			}
		case kind == Stdin:
			if _, err := target.Write(p); err != nil {
				continue // its end is on the way
			}
		}
	}
}
