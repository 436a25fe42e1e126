package qmp

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net"
	"time"
)

// Agent asks the guest agent behind a socket one command (QEMU guest agent protocol reference). The agent may be absent or
// hung: ctx must have a deadline. With silent the agent is not expected to answer.
func Agent(ctx context.Context, path, command string, args, out any, silent bool) error {
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", path)
	if err != nil {
		return err
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })()
	r := bufio.NewReader(c)
	if err := synchronise(c, r); err != nil {
		return fmt.Errorf("the agent does not answer: %w", err)
	}
	line, err := json.Marshal(struct {
		Execute   string `json:"execute"`
		Arguments any    `json:"arguments,omitempty"`
	}{command, args})
	if err != nil {
		return err
	}
	if _, err := c.Write(append(line, '\n')); err != nil || silent {
		return err
	}
	m, err := answer(r)
	if err != nil {
		return fmt.Errorf("%s: %w", command, err)
	}
	if m.Error != nil {
		m.Error.Command = command
		return m.Error
	}
	if out != nil {
		return json.Unmarshal(m.Return, out)
	}
	return nil
}

// synchronise throws away what an earlier caller left: after a byte that is in no UTF-8 text comes our own number.
func synchronise(c net.Conn, r *bufio.Reader) error {
	var b [4]byte
	_, _ = rand.Read(b[:])
	n := int64(binary.LittleEndian.Uint32(b[:]) >> 2)
	if _, err := fmt.Fprintf(c, "\xff{\"execute\": \"guest-sync-delimited\", \"arguments\": {\"id\": %d}}\n", n); err != nil {
		return err
	}
	for {
		m, err := answer(r)
		if err != nil {
			return err
		}
		var got int64
		if m.Error == nil && json.Unmarshal(m.Return, &got) == nil && got == n {
			return nil
		}
	}
}

// answer reads lines until one is JSON.
func answer(r *bufio.Reader) (message, error) {
	for {
		line, err := r.ReadBytes('\n')
		if err != nil {
			return message{}, err
		}
		if i := bytes.LastIndexByte(line, 0xff); i >= 0 {
			line = line[i+1:]
		}
		var m message
		if json.Unmarshal(line, &m) == nil && (m.Return != nil || m.Error != nil) {
			return m, nil
		}
	}
}
