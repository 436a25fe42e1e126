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
	s, err := OpenSession(ctx, path)
	if err != nil {
		return err
	}
	defer s.Close()
	if silent {
		return s.send(command, args)
	}
	return s.Do(ctx, command, args, out)
}

// Session is a conversation with the guest agent that was found to listen. Each answer is a round through the system
// inside, so that several commands are better asked in one.
type Session struct {
	c net.Conn
	r *bufio.Reader
}

// OpenSession reaches the agent behind a socket, and waits until it answers.
func OpenSession(ctx context.Context, path string) (*Session, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	s := &Session{c, bufio.NewReader(c)}
	defer s.until(ctx)()
	if err := synchronise(c, s.r); err != nil {
		_ = c.Close()
		return nil, fmt.Errorf("the agent does not answer: %w", err)
	}
	return s, nil
}

// until breaks what is being read or written when ctx ends.
func (s *Session) until(ctx context.Context) (stop func() bool) {
	return context.AfterFunc(ctx, func() { _ = s.c.SetDeadline(time.Unix(1, 0)) })
}

// Close ends the conversation.
func (s *Session) Close() { _ = s.c.Close() }

func (s *Session) send(command string, args any) error {
	line, err := json.Marshal(struct {
		Execute   string `json:"execute"`
		Arguments any    `json:"arguments,omitempty"`
	}{command, args})
	if err != nil {
		return err
	}
	_, err = s.c.Write(append(line, '\n'))
	return err
}

// Do asks one command. After an error of the line itself the conversation is of no more use.
func (s *Session) Do(ctx context.Context, command string, args, out any) error {
	defer s.until(ctx)()
	if err := s.send(command, args); err != nil {
		return err
	}
	m, err := answer(s.r)
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
