package alarm

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"mime"
	"net"
	"net/smtp"
	"net/textproto"
	"strings"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
)

// Mail says by which server e-mail is sent. An empty Server means not at all.
type Mail struct {
	Server   string // HOST:PORT; port 465 speaks TLS from the start, others change to it when the server offers that
	From     string
	User     string // empty: without a log-in
	Password string
	Roots    *tls.Config // nil: the machine's certificates
}

func (m Mail) send(ctx context.Context, to []string, msg message, now time.Time) error {
	host, port, err := net.SplitHostPort(m.Server)
	if err != nil {
		return fail.New(fail.Denied, "the operator's mail server has no valid address")
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", m.Server)
	if err != nil {
		return fail.New(fail.Unavailable, "the mail server does not answer").Because(err)
	}
	defer func() { _ = conn.Close() }()
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline)
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if m.Roots != nil {
		config = m.Roots.Clone()
	}
	config.ServerName = host
	if port == "465" {
		conn = tls.Client(conn, config)
	}
	c, err := smtp.NewClient(conn, host)
	if err != nil {
		return fail.New(fail.Unavailable, "the mail server does not speak SMTP").Because(err)
	}
	defer func() { _ = c.Close() }()
	if err := c.Hello(m.domain()); err != nil {
		return refused("does not greet back", err)
	}
	if ok, _ := c.Extension("STARTTLS"); ok {
		if err := c.StartTLS(config); err != nil {
			return fail.New(fail.Unavailable, "the mail server's TLS does not work").Because(err)
		}
	}
	if m.User != "" {
		if err := c.Auth(smtp.PlainAuth("", m.User, m.Password, host)); err != nil {
			return fail.New(fail.Unavailable, "the mail server refuses the operator's log-in").Because(err)
		}
	}
	if err := c.Mail(m.From); err != nil {
		return refused("refuses the sender", err)
	}
	var left []error // one address that nobody has must not keep the others from hearing of it
	for _, a := range to {
		if err := c.Rcpt(a); err != nil {
			left = append(left, refused("refuses the recipient "+a, err))
		}
	}
	if len(left) == len(to) {
		return left[0]
	}
	w, err := c.Data()
	if err == nil {
		if _, err = w.Write([]byte(m.text(to, msg, now))); err == nil {
			err = w.Close()
		}
	}
	if err != nil {
		return refused("does not take the message", err)
	}
	_ = c.Quit() // the message is taken, whatever becomes of the connection
	if len(left) > 0 {
		return partly{left[0]}
	}
	return nil
}

// partly is the error of a message that some got.
type partly struct{ error }

// Unwrap gives the reason why others did not.
func (p partly) Unwrap() error { return p.error }

// refused tells what the server said. What begins with 5 it will say again however often it is asked (RFC 5321, 4.2.1).
func refused(what string, err error) error {
	var said *textproto.Error
	if !errors.As(err, &said) {
		return fail.New(fail.Unavailable, "the mail server %s", what).Because(err)
	}
	kind := fail.Unavailable
	if said.Code >= 500 {
		kind = fail.Denied
	}
	return fail.New(kind, "the mail server %s: %d %s", what, said.Code, words(said.Msg))
}

// words makes one short line of a server's answer.
func words(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	return strings.ToValidUTF8(s[:min(len(s), 200)], "")
}

// domain is the sender's: what the server is greeted with, and what ids of messages end with.
func (m Mail) domain() string {
	if _, d, ok := strings.Cut(m.From, "@"); ok {
		return d
	}
	return "localhost"
}

func (m Mail) text(to []string, msg message, now time.Time) string {
	body := msg.Text + "\r\n"
	if msg.Detail != "" {
		body += "\r\n" + strings.NewReplacer("\r\n", "\r\n", "\n", "\r\n").Replace(msg.Detail) + "\r\n"
	}
	about := []string{"project " + cmp.Or(msg.ProjectName, msg.Project), "at " + msg.At.Format(time.RFC3339)}
	if msg.Severity != "" {
		about = append([]string{"severity " + msg.Severity}, about...)
	}
	return fmt.Sprintf("From: %s\r\nTo: %s\r\nSubject: %s\r\nDate: %s\r\nMessage-ID: <%s@%s>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\nAuto-Submitted: auto-generated\r\n\r\n%s\r\n%s\r\n",
		m.From, strings.Join(to, ", "), mime.QEncoding.Encode("utf-8", msg.subject()), now.Format(time.RFC1123Z), msg.ID, m.domain(), body, strings.Join(about, ", "))
}
