package console

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/awancloud/awan/internal/kernel/duplex"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kind"
)

// The page runs one command and shows what it printed. A terminal would need inline styles, which the pages' policy
// forbids; awan exec is one.
const (
	execVerb  = "exec"
	execTime  = 30 * time.Second
	execBytes = 256 << 10
)

// execResult is what a command printed.
type execResult struct {
	Command  string
	Shell    bool
	Instance string
	Output   string
	Code     int
	Ended    bool
	Cut      bool // it printed more than is shown
	Late     bool // it was stopped because its time was over
	Err      *fail.Error
}

type execPage struct {
	*appPage
	Result execResult
	Limit  string
}

func (q *request) appExec() error {
	p, err := q.appPage(execVerb)
	if err != nil {
		return err
	}
	page := execPage{appPage: p, Result: execResult{Shell: true}, Limit: span(execTime)}
	p.Instances = q.instances(p)
	if q.Method == "POST" {
		page.Result = execResult{Command: q.PostForm.Get("command"), Shell: q.PostForm.Get("shell") != "", Instance: q.PostForm.Get("instance")}
		if err := q.exec(p, &page.Result); err != nil {
			if fail.Is(err, fail.Internal) {
				return err
			}
			page.Result.Err = fail.From(err)
		}
	}
	return q.render("app_exec", p.Name+" command", page)
}

// exec runs the command in an instance until it ends, its time is over or it printed too much.
func (q *request) exec(p *appPage, r *execResult) error {
	a := p.Kind.ActionOf(execVerb)
	if a == nil || !a.Stream {
		return fail.New(fail.Unsupported, "this cloud runs no commands in apps")
	}
	words := []string{"/bin/sh", "-c", r.Command}
	if !r.Shell {
		var err error
		if words, err = split(r.Command); err != nil {
			return err
		}
	}
	if strings.TrimSpace(r.Command) == "" {
		return fail.Field("command", "is required").Then("for example: ps, or env")
	}
	ctx, cancel := context.WithTimeout(q.Context(), execTime)
	defer cancel()
	ours, theirs := net.Pipe()
	done := make(chan error, 1)
	c := q.newCall(p.Kind, execVerb, p.ID)
	c.In = mustJSON(map[string]any{"command": words, "instance": r.Instance})
	c.Stream = kind.Stream{Body: strings.NewReader(""), Emit: func(any) error { return nil }, Duplex: func() (io.ReadWriteCloser, error) { return theirs, nil }}
	go func() {
		_, err := q.Door.Do(ctx, c)
		_ = theirs.Close()
		done <- err
	}()
	stop := context.AfterFunc(ctx, func() { _ = ours.Close() })
	defer stop()
	conn := duplex.NewConn(ours)
	var input sync.WaitGroup
	input.Go(func() { _ = conn.WriteFrame(duplex.StdinEOF, nil) }) // ends when it is read, or with the pipe
	r.read(conn)
	r.Late = !r.Ended && ctx.Err() != nil
	_ = ours.Close() // the command goes with its client
	input.Wait()
	cancel()
	err := <-done
	if r.Ended || r.Cut || r.Late {
		return nil
	}
	return err
}

// read takes in what the command prints and how it ended.
func (r *execResult) read(conn *duplex.Conn) {
	var out strings.Builder
	defer func() { r.Output = strings.ToValidUTF8(out.String(), "\uFFFD") }()
	for {
		typ, b, err := conn.ReadFrame()
		switch {
		case err != nil:
			return
		case typ == duplex.Exit:
			var end struct {
				Code  int    `json:"code"`
				Error string `json:"error"`
			}
			if json.Unmarshal(b, &end) == nil {
				r.Code, r.Ended = end.Code, true
				if end.Error != "" {
					r.Err = fail.New(fail.Invalid, "%s", end.Error)
				}
			}
			return
		case out.Len()+len(b) > execBytes:
			out.Write(b[:execBytes-out.Len()])
			r.Cut = true
			return
		default:
			out.Write(b)
		}
	}
}

// split cuts a command line into words; quotes keep words together.
func split(line string) ([]string, error) {
	var out []string
	var word strings.Builder
	var quote rune
	in := false
	for _, c := range line {
		switch {
		case quote != 0 && c == quote:
			quote = 0
		case quote == 0 && (c == '"' || c == '\''):
			quote, in = c, true
		case quote == 0 && slices.Contains([]rune{' ', '\t', '\n', '\r'}, c):
			if in {
				out = append(out, word.String())
				word.Reset()
				in = false
			}
		default:
			word.WriteRune(c)
			in = true
		}
	}
	if quote != 0 {
		return nil, fail.Field("command", "a quote is not closed")
	}
	if in {
		out = append(out, word.String())
	}
	return out, nil
}
