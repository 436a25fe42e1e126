package sim

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"

	"github.com/awancloud/awan/internal/kernel/id"
)

// A machine's screen is one colour, which is made of the last three keys that were pressed
// since it was joined: its red, green and blue.
const (
	screenWide, screenHigh = 64, 48
	blank                  = "\x20\x20\x20"
)

// VNC implements machine.Engine.
func (e *Engine) VNC(ctx context.Context, i id.ID) (net.Conn, error) {
	c := Call{Method: "VNC", Machine: i}
	here, there := net.Pipe()
	err := e.withRunning(ctx, c, func(g *guest) error {
		g.console.mu.Lock()
		defer g.console.mu.Unlock()
		g.console.screens = append(g.console.screens, there)
		return nil
	})
	if err = e.after(ctx, c, err); err != nil {
		return nil, err
	}
	go func() {
		_ = screen(there) // whoever watched has left
		_ = there.Close()
	}()
	return here, nil
}

// screen speaks RFB 3.8 (RFC 6143) without a password and with plain pixels.
func screen(c io.ReadWriter) error {
	if _, err := io.WriteString(c, "RFB 003.008\n"); err != nil {
		return err
	}
	ask := func(n int) ([]byte, error) {
		b := make([]byte, n)
		_, err := io.ReadFull(c, b)
		return b, err
	}
	if _, err := ask(12); err != nil {
		return err
	}
	if _, err := c.Write([]byte{1, 1}); err != nil { // one way to be let in: none is asked for
		return err
	}
	if _, err := ask(1); err != nil {
		return err
	}
	if _, err := c.Write([]byte{0, 0, 0, 0}); err != nil {
		return err
	}
	if _, err := ask(1); err != nil { // whether others may watch too
		return err
	}
	hello := []byte{0, screenWide, 0, screenHigh, 32, 24, 0, 1, 0, 255, 0, 255, 0, 255, 0, 8, 16, 0, 0, 0, 0, 0, 0, 3, 's', 'i', 'm'}
	if _, err := c.Write(hello); err != nil {
		return err
	}
	colour, changed, owed := []byte(blank), false, false // owed: the watcher waits for the next change
	paint := func() error {
		changed, owed = false, false
		head := []byte{0, 0, 0, 1, 0, 0, 0, 0, 0, screenWide, 0, screenHigh, 0, 0, 0, 0}
		_, err := c.Write(append(head, bytes.Repeat(append(bytes.Clone(colour), 0), screenWide*screenHigh)...))
		return err
	}
	for {
		kind, err := ask(1)
		if err != nil {
			return err
		}
		size := map[byte]int{0: 19, 2: 3, 3: 9, 4: 7, 5: 5, 6: 7}[kind[0]]
		b, err := ask(size)
		if err != nil {
			return err
		}
		switch kind[0] {
		case 2: // the encodings it knows
			_, err = ask(4 * int(binary.BigEndian.Uint16(b[1:])))
		case 3:
			if owed = true; changed || b[0] == 0 {
				err = paint()
			}
		case 4:
			if b[0] == 0 { // a key that is let go
				continue
			}
			colour, changed = append(colour, b[6])[1:], true
			if owed {
				err = paint()
			}
		case 6: // text that was cut
			_, err = ask(int(binary.BigEndian.Uint32(b[3:])))
		}
		if err != nil {
			return err
		}
	}
}
