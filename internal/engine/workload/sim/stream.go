package sim

import (
	"context"
	"iter"
	"strings"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/workload"
)

// keepLines is how many lines an instance's log holds.
const keepLines = 10_000

// Print adds a line to an instance's log, as if its program had written it.
func (e *Engine) Print(i id.ID, stream, text string) {
	e.mu.Lock()
	in := e.instances[i]
	e.mu.Unlock()
	if in != nil {
		e.print(in, stream, text)
	}
}

func (e *Engine) print(in *instance, stream, text string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if in.grown == nil {
		return // destroyed
	}
	in.log = append(in.log, workload.Line{At: time.Now(), Stream: stream, Text: text})
	if len(in.log) > 2*keepLines {
		in.log = append([]workload.Line(nil), in.log[len(in.log)-keepLines:]...)
	}
	close(in.grown)
	in.grown = make(chan struct{})
}

// Logs implements workload.Engine.
func (e *Engine) Logs(ctx context.Context, i id.ID, q workload.LogQuery) iter.Seq2[workload.Line, error] {
	return func(yield func(workload.Line, error) bool) {
		if err := e.before(ctx, Call{Method: "Logs", Instance: i}); err != nil {
			yield(workload.Line{}, err)
			return
		}
		e.mu.Lock()
		in := e.instances[i]
		var all []workload.Line
		var grown chan struct{}
		if in != nil {
			all, grown = in.log, in.grown
		}
		e.mu.Unlock()
		if in == nil {
			yield(workload.Line{}, fail.New(fail.Gone, "instance %s does not exist", i))
			return
		}
		wanted := func(l workload.Line) bool {
			return (q.Since.IsZero() || !l.At.Before(q.Since)) && strings.Contains(l.Text, q.Match)
		}
		var now []workload.Line
		for _, l := range all {
			if wanted(l) {
				now = append(now, l)
			}
		}
		if q.Tail > 0 && len(now) > q.Tail {
			now = now[len(now)-q.Tail:]
		}
		for _, l := range now {
			if !yield(l, nil) {
				return
			}
		}
		if q.Follow {
			e.follow(ctx, in, len(all), grown, wanted, yield)
		}
	}
}

func (e *Engine) follow(ctx context.Context, in *instance, at int, grown chan struct{}, wanted func(workload.Line) bool, yield func(workload.Line, error) bool) {
	for grown != nil {
		select {
		case <-ctx.Done():
			return
		case <-grown:
		}
		e.mu.Lock()
		at = min(at, len(in.log)) // the log was cut
		more := in.log[at:]
		at, grown = len(in.log), in.grown
		e.mu.Unlock()
		for _, l := range more {
			if wanted(l) && !yield(l, nil) {
				return
			}
		}
	}
	<-ctx.Done()
}

// Events implements workload.Engine.
func (e *Engine) Events(ctx context.Context) iter.Seq2[workload.Event, error] {
	return e.events.Listen(ctx)
}
