package containerd

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"iter"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/awancloud/awan/internal/engine/workload/containerd/shim"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/workload"
)

// followEvery is how often a follower looks for more. The writer is another process, and a look is one read.
const followEvery = 100 * time.Millisecond

// Logs implements workload.Engine.
func (e *Engine) Logs(ctx context.Context, i id.ID, q workload.LogQuery) iter.Seq2[workload.Line, error] {
	return func(yield func(workload.Line, error) bool) {
		e.mu.Lock()
		in := e.instances[i]
		e.mu.Unlock()
		if in == nil {
			yield(workload.Line{}, fail.New(fail.Gone, "instance %s does not exist", i))
			return
		}
		r := &logReader{dir: e.paths.logs(i)}
		defer r.close()
		r.skip(q)
		wanted := func(l workload.Line) bool {
			return (q.Since.IsZero() || !l.At.Before(q.Since)) && (q.Match == "" || strings.Contains(l.Text, q.Match))
		}
		if !r.present(ctx, q.Tail, wanted, yield) {
			return
		}
		if q.Follow {
			r.follow(ctx, e.ctx.Done(), wanted, yield)
		}
	}
}

// logReader walks the numbered files of a log; it stands at one place and can go on from there.
type logReader struct {
	dir string
	seq int
	f   *os.File
	buf *bufio.Reader
	cut string // a line whose end is not written yet
}

func (r *logReader) close() {
	if r.f != nil {
		r.f.Close()
	}
}

// skip leaves out whole files that cannot hold anything asked for, so that the newest lines of a long log come at once.
func (r *logReader) skip(q workload.LogQuery) {
	seqs, err := shim.LogFiles(r.dir)
	if err != nil || len(seqs) < 2 {
		return
	}
	lines := 0
	for _, seq := range slices.Backward(seqs) {
		path := shim.LogFile(r.dir, seq)
		if st, err := os.Stat(path); err != nil || st.ModTime().Before(q.Since) {
			r.seq = seq
			return
		}
		if q.Tail <= 0 || q.Match != "" {
			continue
		}
		b, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		if lines += bytes.Count(b, []byte("\n")); lines >= q.Tail {
			r.seq = seq - 1
			return
		}
	}
}

// next gives the next whole line, or ok false when there is none now.
func (r *logReader) next() (workload.Line, bool, error) {
	for {
		if r.f == nil {
			if ok, err := r.open(); !ok || err != nil {
				return workload.Line{}, false, err
			}
		}
		s, err := r.buf.ReadString('\n')
		if err == nil {
			s, r.cut = r.cut+s, ""
			if l, ok := parseLine(s); ok {
				return l, true, nil
			}
			continue
		}
		if !errors.Is(err, io.EOF) {
			return workload.Line{}, false, err
		}
		r.cut += s
		later, err := r.later()
		if err != nil || !later {
			return workload.Line{}, false, err
		}
		// A newer file exists, so this one grows no more; but it may have grown since the end was seen.
		if s, err := r.buf.ReadString('\n'); s != "" || err == nil {
			r.cut += s
			if err == nil {
				l, ok := parseLine(r.cut)
				r.cut = ""
				if ok {
					return l, true, nil
				}
			}
			continue
		}
		r.f.Close()
		r.f, r.cut = nil, ""
	}
}

// open opens the oldest file after the last one read.
func (r *logReader) open() (bool, error) {
	seqs, err := shim.LogFiles(r.dir)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	for _, seq := range seqs {
		if seq <= r.seq {
			continue
		}
		f, err := os.Open(shim.LogFile(r.dir, seq))
		if errors.Is(err, os.ErrNotExist) {
			continue // rotated away under our eyes
		}
		if err != nil {
			return false, err
		}
		r.f, r.seq, r.buf = f, seq, bufio.NewReaderSize(f, 64<<10)
		return true, nil
	}
	return false, nil
}

func (r *logReader) later() (bool, error) {
	seqs, err := shim.LogFiles(r.dir)
	if err != nil {
		if errors.Is(err, os.ErrNotExist) {
			err = nil
		}
		return false, err
	}
	return len(seqs) > 0 && seqs[len(seqs)-1] > r.seq, nil
}

// present yields what is there now. It reports whether to go on.
func (r *logReader) present(ctx context.Context, tail int, wanted func(workload.Line) bool, yield func(workload.Line, error) bool) bool {
	var last []workload.Line // a ring of the newest tail lines
	n := 0
	for {
		if err := ctx.Err(); err != nil {
			return yield(workload.Line{}, fail.From(err))
		}
		l, ok, err := r.next()
		if err != nil {
			return yield(workload.Line{}, fail.Wrap(err, fail.Internal, "the log cannot be read")) && false
		}
		if !ok {
			break
		}
		if !wanted(l) {
			continue
		}
		switch {
		case tail <= 0:
			if !yield(l, nil) {
				return false
			}
		case len(last) < tail:
			last = append(last, l)
		default:
			last[n%tail] = l
		}
		n++
	}
	for k := range last {
		if !yield(last[(n+k)%len(last)], nil) {
			return false
		}
	}
	return true
}

func (r *logReader) follow(ctx context.Context, closing <-chan struct{}, wanted func(workload.Line) bool, yield func(workload.Line, error) bool) {
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-closing:
			return
		case <-tick.C:
		}
		for ctx.Err() == nil {
			l, ok, err := r.next()
			if err != nil {
				yield(workload.Line{}, fail.Wrap(err, fail.Internal, "the log cannot be read"))
				return
			}
			if !ok {
				break
			}
			if wanted(l) && !yield(l, nil) {
				return
			}
		}
	}
}

// parseLine reads "TIME STREAM TEXT\n".
func parseLine(s string) (workload.Line, bool) {
	s = strings.TrimSuffix(s, "\n")
	at, rest, ok := strings.Cut(s, " ")
	stream, text, ok2 := strings.Cut(rest, " ")
	t, err := time.Parse(time.RFC3339Nano, at)
	if !ok || !ok2 || err != nil {
		return workload.Line{}, false
	}
	return workload.Line{At: t, Stream: stream, Text: text}, true
}
