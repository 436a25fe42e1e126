package app

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/job"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/build"
)

// maxBuildLog bounds one build's log.
const maxBuildLog = 8 << 20

// BuildLine is one line of a build's log.
type BuildLine struct {
	At   time.Time `json:"at"`
	Step string    `json:"step,omitempty"`
	Text string    `json:"text"`
}

// BuildLogIn selects a build's log.
type BuildLogIn struct {
	Job    string `json:"job" doc:"job that built; empty: the newest"`
	Follow bool   `json:"follow" doc:"go on until the build ends"`
}

// buildLog is a sealed file of lines in JSON.
type buildLog struct {
	mu   sync.Mutex
	f    *os.File
	seal func(line []byte) ([]byte, error)
	size int
}

const (
	buildLogSuffix  = ".sealed"
	olderBuildLog   = ".log" // of versions that did not encrypt
	buildLogTooLong = `{"text":"(the log is longer than 8 MiB; the rest is left out)"}` + "\n"
)

func (s *Service) buildLogFile(component, job id.ID) string {
	return filepath.Join(s.Dir, "buildlogs", string(component), string(job)+buildLogSuffix)
}

func aboutBuildLog(component id.ID) []byte { return []byte("build log " + string(component)) }

func (s *Service) openBuildLog(row *componentRow, job id.ID) (*buildLog, error) {
	file := s.buildLogFile(row.ID, job)
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return nil, diskError(err)
	}
	f, err := os.OpenFile(file, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, diskError(err)
	}
	return &buildLog{f: f, seal: func(line []byte) ([]byte, error) {
		return s.Sealer.Frame(nil, string(row.Project), line, aboutBuildLog(row.ID))
	}}, nil
}

func (l *buildLog) write(step, text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b, err := json.Marshal(BuildLine{At: time.Now().UTC(), Step: step, Text: strings.TrimRight(text, "\r\n")})
	if err != nil || l.size > maxBuildLog {
		return
	}
	b = append(b, '\n')
	if l.size += len(b); l.size > maxBuildLog {
		b = append(b, buildLogTooLong...)
	}
	if b, err = l.seal(b); err == nil {
		_, _ = l.f.Write(b) // a full disk must not fail the build for its log
	}
}

func (l *buildLog) close() { _ = l.f.Close() }

// progress writes a build's progress to its log and, in a few words, to the job.
type progress struct {
	ctx     context.Context
	log     *buildLog
	running map[string]bool // steps, by id
	noted   time.Time       // when a line was shown last
}

// noteEvery is how often a line of what goes before the steps (the first build makes base images) is shown as the job's.
const noteEvery = time.Second

// Step is called when a step starts and when it ends.
func (p *progress) Step(st build.Step) {
	if p.running == nil {
		p.running = map[string]bool{}
	}
	if delete(p.running, st.ID); st.Ended.IsZero() {
		p.running[st.ID] = true
	}
	switch {
	case st.Ended.IsZero():
		job.Note(p.ctx, st.Name)
		p.log.write("step", st.Name)
	case st.Err != "":
		p.log.write("step", st.Name+": "+st.Err)
	case st.Cached:
		p.log.write("step", st.Name+" (cached)")
	}
}

// Log is called for each line a step prints.
func (p *progress) Log(line string) {
	p.log.write("", line)
	if len(p.running) == 0 && time.Since(p.noted) >= noteEvery {
		p.noted = time.Now()
		job.Note(p.ctx, line)
	}
}

// serveBuildLog sends a build's log; with follow until its job ends.
func (s *Service) serveBuildLog(ctx context.Context, row *componentRow, in any, st kind.Stream) error {
	q := in.(*BuildLogIn)
	jobID, ok := id.Parse(q.Job)
	if q.Job != "" && !ok {
		return fail.Field("job", "%q is not a job's id", q.Job)
	}
	if jobID == "" {
		jobID = s.newestBuild(row.ID)
		if q.Follow && row.Job != "" {
			jobID = row.Job
		}
	}
	if jobID == "" {
		return fail.New(fail.NotFound, "%s was never built from source", row.Name)
	}
	var f *os.File
	defer func() {
		if f != nil {
			_ = f.Close()
		}
	}()
	read := int64(0)
	for {
		ended, err := s.jobEnded(ctx, jobID)
		if err != nil {
			return err
		}
		if f == nil {
			if f, err = os.Open(s.buildLogFile(row.ID, jobID)); err != nil {
				f = nil
			}
		}
		if f != nil {
			more, err := s.emitBuildLog(io.NewSectionReader(f, read, math.MaxInt64-read), row, st)
			if err != nil {
				return err
			}
			read += more
		}
		if !q.Follow || ended {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// emitBuildLog sends what whole lines there are, and tells how many bytes of the file they take: each line was written in a
// frame of its own.
func (s *Service) emitBuildLog(r io.Reader, row *componentRow, st kind.Stream) (int64, error) {
	in := s.Sealer.Frames(bufio.NewReader(r), string(row.Project), aboutBuildLog(row.ID))
	lines := bufio.NewReader(in)
	for {
		text, err := lines.ReadBytes('\n')
		if err != nil {
			return in.Whole(), nil
		}
		var line BuildLine
		if json.Unmarshal(text, &line) == nil {
			if err := st.Emit(line); err != nil {
				return 0, err
			}
		}
	}
}

// sealBuildLogs encrypts what earlier versions wrote in the clear. It may be cut short and begun again.
func (s *Service) sealBuildLogs(ctx context.Context) error {
	older, err := filepath.Glob(filepath.Join(s.Dir, "buildlogs", "*", "*"+olderBuildLog))
	if err != nil || len(older) == 0 {
		return err
	}
	for _, file := range older {
		component := id.ID(filepath.Base(filepath.Dir(file)))
		var row *componentRow
		err := s.Store.View(ctx, func(tx store.Tx) (err error) {
			row, err = s.Component.Get(tx, component)
			return err
		})
		if err == nil && row != nil {
			err = s.sealBuildLog(row, file)
		}
		if err == nil {
			err = os.Remove(file)
		}
		if err != nil {
			return fail.Wrap(err, fail.Unavailable, "build logs of an earlier version cannot be encrypted")
		}
	}
	return nil
}

func (s *Service) sealBuildLog(row *componentRow, file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var sealed []byte
	for line := range bytes.Lines(text) {
		if sealed, err = s.Sealer.Frame(sealed, string(row.Project), line, aboutBuildLog(row.ID)); err != nil {
			return err
		}
	}
	to := strings.TrimSuffix(file, olderBuildLog) + buildLogSuffix
	if err := os.WriteFile(to+".part", sealed, 0o600); err != nil {
		return err
	}
	return os.Rename(to+".part", to)
}

func (s *Service) jobEnded(ctx context.Context, jobID id.ID) (ended bool, err error) {
	err = s.Store.View(ctx, func(tx store.Tx) error {
		j, err := job.Get(tx, jobID)
		if fail.Is(err, fail.NotFound) {
			ended = true
			return nil
		}
		if err == nil {
			ended = j.Done() || j.State == job.Running && j.Step > 0
		}
		return err
	})
	return ended, err
}

func (s *Service) newestBuild(component id.ID) id.ID {
	names, err := filepath.Glob(s.buildLogFile(component, "*"))
	if err != nil || len(names) == 0 {
		return ""
	}
	return id.ID(strings.TrimSuffix(filepath.Base(slices.Max(names)), buildLogSuffix))
}
