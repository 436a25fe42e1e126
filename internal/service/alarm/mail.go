package alarm

import (
	"context"
	"crypto/tls"
	"fmt"
	"mime"
	"net"
	"net/smtp"
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
		return fail.New(fail.Unavailable, "the mail server refuses the sender").Because(err)
	}
	for _, a := range to {
		if err := c.Rcpt(a); err != nil {
			return fail.New(fail.Unavailable, "the mail server refuses the recipient %s", a).Because(err)
		}
	}
	w, err := c.Data()
	if err == nil {
		if _, err = w.Write([]byte(m.text(to, msg, now))); err == nil {
			err = w.Close()
		}
	}
	if err != nil {
		return fail.New(fail.Unavailable, "the mail server does not take the message").Because(err)
	}
	return c.Quit()
}

func (m Mail) text(to []string, msg message, now time.Time) string {
	body := msg.Text + "\r\n"
	if msg.Detail != "" {
		body += "\r\n" + strings.NewReplacer("\r\n", "\r\n", "\n", "\r\n").Replace(msg.Detail) + "\r\n"
	}
	return fmt.Sprintf("From: %s\r\nTo: %s\r\nSubject: %s\r\nDate: %s\r\nMessage-ID: <%s@awan>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\nAuto-Submitted: auto-generated\r\n\r\n%s\r\nseverity %s, project %s, at %s\r\n",
		m.From, strings.Join(to, ", "), mime.QEncoding.Encode("utf-8", msg.subject()), now.Format(time.RFC1123Z), msg.ID, body,
		msg.Severity, msg.Project, msg.At.Format(time.RFC3339))
}
