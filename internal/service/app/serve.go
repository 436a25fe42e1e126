package app

import (
	"context"
	"encoding/json"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/awancloud/awan/internal/kernel/duplex"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/service/workload"
)

// LogsIn selects lines of a component's log.
type LogsIn struct {
	Follow   bool      `json:"follow" doc:"go on with new lines"`
	Tail     int       `json:"tail" doc:"only the newest lines of each instance; 0: all there are" min:"0" max:"100000"`
	Since    kind.Span `json:"since" doc:"only lines of this last time, 10m say"`
	Match    string    `json:"match" doc:"only lines that contain this"`
	Instance string    `json:"instance" doc:"only this instance: its id or the end of it"`
}

// LogLine is one line of a component's log.
type LogLine struct {
	At       time.Time `json:"at"`
	Instance id.ID     `json:"instance"`
	Stream   string    `json:"stream"`
	Text     string    `json:"text"`
}

func (s *Service) serveLogs(ctx context.Context, row *componentRow, in any, st kind.Stream) error {
	q := in.(*LogsIn)
	var of []id.ID
	for _, i := range row.Status.Instances {
		if strings.HasSuffix(string(i.ID), q.Instance) {
			of = append(of, i.ID)
		}
	}
	if len(of) == 0 && q.Instance != "" {
		return fail.Field("instance", "%s has no instance %q", row.Name, q.Instance).Then("see awan component instances %s", row.Name)
	}
	w := workload.LogQuery{Tail: q.Tail, Match: q.Match, Follow: q.Follow}
	if q.Since > 0 {
		w.Since = s.Now().Add(-time.Duration(q.Since))
	}
	if q.Follow {
		return s.followLogs(ctx, of, w, st)
	}
	var all []LogLine
	for _, i := range of {
		for l, err := range s.Engine.Logs(ctx, i, w) {
			if err != nil && !fail.Is(err, fail.Gone) {
				return err
			}
			if err == nil {
				all = append(all, LogLine{l.At, i, l.Stream, l.Text})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b LogLine) int { return a.At.Compare(b.At) })
	for _, l := range all {
		if err := st.Emit(l); err != nil {
			return err
		}
	}
	return nil
}

// followLogs merges the instances' logs as their lines come.
func (s *Service) followLogs(ctx context.Context, of []id.ID, w workload.LogQuery, st kind.Stream) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	lines := make(chan LogLine)
	var wg sync.WaitGroup
	for _, i := range of {
		wg.Go(func() {
			for l, err := range s.Engine.Logs(ctx, i, w) {
				if err != nil {
					return
				}
				select {
				case lines <- LogLine{l.At, i, l.Stream, l.Text}:
				case <-ctx.Done():
					return
				}
			}
		})
	}
	go func() {
		wg.Wait()
		close(lines)
	}()
	for l := range lines {
		if err := st.Emit(l); err != nil {
			cancel()
			for range lines { // let the readers go
			}
			return err
		}
	}
	return nil
}

// InstanceNow is an instance with what it uses now.
type InstanceNow struct {
	Instance
	CPU          float64 `json:"cpu_seconds" doc:"CPU time used since it started, in seconds"`
	MemoryBytes  int64   `json:"memory_bytes"`
	MemoryLimit  int64   `json:"memory_limit_bytes"`
	StorageBytes int64   `json:"storage_bytes" doc:"in the writable layer; -1: not known"`
	Pids         int64   `json:"pids"`
	RxBytes      int64   `json:"rx_bytes"`
	TxBytes      int64   `json:"tx_bytes"`
}

func (s *Service) serveInstances(ctx context.Context, row *componentRow, _ any, st kind.Stream) error {
	out := make([]InstanceNow, 0, len(row.Status.Instances))
	for _, in := range row.Status.Instances {
		now := InstanceNow{Instance: in, MemoryLimit: row.Spec.Memory << 20}
		if seen, err := s.Engine.Observe(ctx, in.ID); err == nil {
			u := seen.Usage
			now.CPU, now.MemoryBytes, now.StorageBytes, now.Pids, now.RxBytes, now.TxBytes = u.CPU.Seconds(), u.MemoryBytes, u.StorageBytes, u.Pids, u.RxBytes, u.TxBytes
		}
		out = append(out, now)
	}
	return st.Emit(map[string]any{"items": out})
}

// ExecIn is a command to run in an instance.
type ExecIn struct {
	Command  []string `json:"command" doc:"program and arguments" required:"true" min:"1" max:"256"`
	TTY      bool     `json:"tty" doc:"with a terminal"`
	Rows     int      `json:"rows" doc:"of the terminal" min:"0" max:"1000"`
	Cols     int      `json:"cols" doc:"of the terminal" min:"0" max:"1000"`
	Instance string   `json:"instance" doc:"which instance: its id or the end of it; empty: a ready one"`
}

func (s *Service) serveExec(ctx context.Context, row *componentRow, in any, st kind.Stream) error {
	x := in.(*ExecIn)
	instance, err := pickInstance(row, x.Instance)
	if err != nil {
		return err
	}
	if st.Duplex == nil {
		return fail.New(fail.Invalid, "exec needs a two-way connection").Then("send Connection: Upgrade and Upgrade: awan-duplex over HTTP/1.1; awan exec does")
	}
	pipe, err := st.Duplex()
	if err != nil {
		return err
	}
	conn := duplex.NewConn(pipe)
	defer func() { _ = conn.Close() }()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stdin, feed := io.Pipe()
	resize := make(chan [2]uint16, 1)
	go func() {
		defer cancel() // the client went away: the command goes, too
		receive(conn, feed, resize)
	}()
	code, err := s.Engine.Exec(ctx, instance, workload.Exec{Command: x.Command, TTY: x.TTY, Rows: uint16(x.Rows), Cols: uint16(x.Cols), Resize: resize,
		Stdin: stdin, Stdout: conn.Writer(duplex.Stdout), Stderr: conn.Writer(duplex.Stderr)})
	end := map[string]any{"code": code}
	if err != nil {
		end = map[string]any{"code": -1, "error": fail.From(err).Public()}
	}
	b, _ := json.Marshal(end)
	if werr := conn.WriteFrame(duplex.Exit, b); err == nil && ctx.Err() == nil {
		err = werr
	}
	return err
}

// receive feeds what the client sends to the command, until the client goes away.
func receive(conn *duplex.Conn, stdin *io.PipeWriter, resize chan<- [2]uint16) {
	defer func() { _ = stdin.Close() }()
	for {
		kind, p, err := conn.ReadFrame()
		if err != nil {
			return
		}
		switch kind {
		case duplex.Stdin:
			if _, err := stdin.Write(p); err != nil {
				continue // the command ended; its exit is on the way
			}
		case duplex.StdinEOF:
			_ = stdin.Close()
		case duplex.Resize:
			var size struct{ Rows, Cols uint16 }
			if json.Unmarshal(p, &size) == nil {
				select {
				case resize <- [2]uint16{size.Rows, size.Cols}:
				default:
				}
			}
		}
	}
}

func pickInstance(row *componentRow, want string) (id.ID, error) {
	var any id.ID
	for _, in := range row.Status.Instances {
		if want != "" && strings.HasSuffix(string(in.ID), want) {
			return in.ID, nil
		}
		if want == "" && (in.Phase == phaseReady || any == "" && in.Phase != phasePlanned && in.Phase != phaseExited) {
			any = in.ID
		}
	}
	if any == "" {
		return "", fail.New(fail.Precondition, "%s has no running instance to use", row.Name).Then("start it: awan start %s", row.Name)
	}
	return any, nil
}
