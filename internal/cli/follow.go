package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"

	"github.com/awancloud/awan/internal/cli/client"
	"github.com/awancloud/awan/internal/kernel/fail"
)

// jobView is what the API tells of an operation.
type jobView struct {
	ID        string    `json:"id"`
	Kind      string    `json:"kind"`
	Resource  string    `json:"resource"`
	Name      string    `json:"name"`
	Operation string    `json:"operation"`
	State     string    `json:"state"`
	Step      int       `json:"step"`
	Steps     []jobStep `json:"steps"`
	Try       int       `json:"try"`
	Note      string    `json:"note"`
	Error     *jobFail  `json:"error"`
	Created   time.Time `json:"created"`
	Ended     time.Time `json:"ended"`
	By        string    `json:"by"`
}

type jobStep struct {
	Name    string    `json:"name"`
	Started time.Time `json:"started"`
	Ended   time.Time `json:"ended"`
	Undone  bool      `json:"undone"`
}

type jobFail struct {
	Kind    fail.Kind `json:"kind"`
	Field   string    `json:"field"`
	Message string    `json:"message"`
	Next    string    `json:"next"`
	Step    string    `json:"step"`
}

func (j *jobView) done() bool { return j.State == "succeeded" || j.State == "failed" }

// jobError is an operation that ended badly.
type jobError struct{ job *jobView }

func (e *jobError) Error() string {
	j := e.job
	text := fmt.Sprintf("%s %s", j.Operation, j.Name)
	if j.Error == nil {
		return text + " failed"
	}
	if j.Error.Step != "" {
		text += fmt.Sprintf(" failed in step %q", j.Error.Step)
	} else {
		text += " failed"
	}
	if j.Error.Field != "" {
		text += ": " + j.Error.Field
	}
	return text + ": " + j.Error.Message
}

func (e *jobError) next() string {
	if e.job.Error == nil {
		return ""
	}
	return e.job.Error.Next
}

const (
	poll      = time.Second      // one question for a job's state waits this long for its end
	patience  = time.Minute      // a cloud that is being restarted may be away this long
	breath    = time.Second / 2  // between two tries while it is away
	spinEvery = time.Second / 10 // on a terminal
)

// getJob asks for a job; wait is how long the answer may wait for its end.
func getJob(ctx context.Context, c *client.Client, id string, wait time.Duration) (*jobView, json.RawMessage, error) {
	var raw json.RawMessage
	q := url.Values{}
	if wait > 0 {
		q.Set("wait", wait.String())
	}
	if err := c.Do(ctx, client.Request{Method: "GET", Path: "/jobs/" + url.PathEscape(id), Query: q}, &raw); err != nil {
		return nil, nil, err
	}
	j := new(jobView)
	if err := json.Unmarshal(raw, j); err != nil {
		return nil, nil, fail.Wrap(err, fail.Internal, "the job cannot be read")
	}
	return j, raw, nil
}

// snapshot is one state of a job, or why there will be no more.
type snapshot struct {
	job *jobView
	err error
}

// follow shows a job's steps on standard error until it ends. lines, which may be nil, are shown beside the running step
// on a terminal, or all of them when whole is set. A failed operation is a *jobError.
func (s *session) follow(ctx context.Context, c *client.Client, id string, lines <-chan string, whole bool) (*jobView, error) {
	states := make(chan snapshot)
	go watchJob(ctx, c, id, states) // it ends with the last state, and that ends the loop below
	p := newProgress(s.Stderr, s.Env("NO_COLOR") != "")
	defer p.close()
	var last *jobView
	for {
		select {
		case <-p.tick:
			p.draw()
		case l, ok := <-lines:
			if !ok {
				lines = nil
			}
			p.line = l
			if whole && ok {
				p.erase()
				fmt.Fprintf(s.Stderr, "  | %s\n", clean(l))
			}
		case st := <-states:
			if st.err != nil {
				if ctx.Err() != nil {
					st.err = notWaitedFor(ctx, id)
				}
				return last, st.err
			}
			last = st.job
			p.show(last)
			switch last.State {
			case "succeeded":
				return last, nil
			case "failed":
				return last, &jobError{last}
			}
		}
	}
}

// notWaitedFor says why following ended before the operation did.
func notWaitedFor(ctx context.Context, id string) error {
	e := fail.New(fail.Canceled, "interrupted")
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		e = fail.New(fail.Timeout, "the operation did not end in time")
	}
	return e.Then("it goes on in the cloud; follow it with: awan job wait %s", id)
}

// watchJob sends a job's states until it ends, riding over a restart of the cloud.
func watchJob(ctx context.Context, c *client.Client, id string, out chan<- snapshot) {
	var away time.Time
	for {
		j, _, err := getJob(ctx, c, id, poll)
		if err != nil && (fail.Is(err, fail.Unavailable) || fail.Is(err, fail.Timeout)) && ctx.Err() == nil {
			if away.IsZero() {
				away = time.Now()
			}
			if time.Since(away) < patience {
				select {
				case <-time.After(breath):
					continue
				case <-ctx.Done():
					err = ctx.Err()
				}
			}
		} else {
			away = time.Time{}
		}
		out <- snapshot{j, err} // the follower takes all up to the last
		if err != nil || j.done() {
			return
		}
	}
}

// progress prints one line for each step: as it ends, and on a terminal also as it runs.
type progress struct {
	out     io.Writer
	width   int
	ticker  *time.Ticker
	tick    <-chan time.Time
	job     *jobView
	printed int // steps whose line stands
	line    string
	frame   int
	drawn   bool
	undoing bool
	spoke   time.Time // when a line was last printed, where there is no terminal
}

// silence is how long nothing is printed where there is no terminal, before a line says what is going on.
const silence = 15 * time.Second

func newProgress(out io.Writer, plain bool) *progress {
	p := &progress{out: out, spoke: time.Now()}
	if p.width = terminalWidth(out); p.width > 0 && !plain {
		p.ticker = time.NewTicker(spinEvery)
		p.tick = p.ticker.C
	}
	return p
}

func (p *progress) close() {
	if p.ticker != nil {
		p.ticker.Stop()
		p.ticker, p.tick = nil, nil
		p.erase()
	}
}

func (p *progress) erase() {
	if p.drawn {
		fmt.Fprint(p.out, "\r\x1b[K")
		p.drawn = false
	}
}

// show takes a new state of the job and prints the steps that ended since the last.
func (p *progress) show(j *jobView) {
	p.job = j
	p.erase()
	for p.printed < len(j.Steps) {
		st := j.Steps[p.printed]
		if st.Ended.IsZero() || st.Undone {
			break
		}
		if j.Error != nil && j.Error.Step == st.Name {
			break
		}
		p.say("  %-16s %6s\n", clean(st.Name), span(st.Ended.Sub(st.Started)))
		p.printed++
	}
	if j.Error != nil && j.Error.Step != "" && p.printed < len(j.Steps) {
		st := j.Steps[p.printed]
		if st.Name == j.Error.Step && !p.undoing {
			end := st.Ended
			if end.IsZero() {
				end = j.Ended
			}
			if end.IsZero() {
				end = time.Now()
			}
			p.say("  %-16s %6s  failed\n", clean(st.Name), span(end.Sub(st.Started)))
			p.undoing = true
			p.printed = len(j.Steps)
		}
	}
	p.draw()
}

func (p *progress) say(format string, args ...any) {
	fmt.Fprintf(p.out, format, args...)
	p.spoke = time.Now()
}

// draw shows the running step on a terminal.
func (p *progress) draw() {
	if p.job == nil || p.job.done() || p.job.Step >= len(p.job.Steps) {
		return
	}
	st := p.job.Steps[p.job.Step]
	if p.ticker == nil {
		if time.Since(p.spoke) > silence && !st.Started.IsZero() {
			p.say("  %-16s %6s  %s\n", clean(st.Name), span(time.Since(st.Started)), clean(cmp.Or(p.job.Note, "goes on")))
		}
		return
	}
	frames := []rune("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏")
	name, since := st.Name, span(time.Since(st.Started))
	if st.Started.IsZero() { // it has not begun: the cloud is between two steps
		since = ""
	}
	if p.job.State == "undoing" {
		name = "taking back " + name
	}
	note := p.line
	if note == "" || st.Name != "build" {
		note = p.job.Note
	}
	text := fmt.Sprintf("%c %-16s %6s  %s", frames[p.frame%len(frames)], clean(name), since, strings.ReplaceAll(clean(note), "\n", " "))
	p.frame++
	fmt.Fprint(p.out, "\r\x1b[K"+cut(text, p.width-1))
	p.drawn = true
}

// span prints a duration for people.
func span(d time.Duration) string {
	switch {
	case d < 0:
		return ""
	case d < 100*time.Second:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	}
	return d.Round(time.Minute).String()
}
