package app

import (
	"bufio"
	"context"
	"encoding/json"
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

type buildLog struct {
	mu   sync.Mutex
	f    *os.File
	size int
}

func (s *Service) openBuildLog(component, job id.ID) (*buildLog, error) {
	file := s.logFile(component, job)
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return nil, diskError(err)
	}
	f, err := os.OpenFile(file, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, diskError(err)
	}
	return &buildLog{f: f}, nil
}

func (l *buildLog) write(step, text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b, err := json.Marshal(BuildLine{At: time.Now().UTC(), Step: step, Text: strings.TrimRight(text, "\r\n")})
	if err != nil || l.size > maxBuildLog {
		return
	}
	n, _ := l.f.Write(append(b, '\n')) // a full disk must not fail the build for its log
	if l.size += n; l.size > maxBuildLog {
		_, _ = l.f.WriteString(`{"text":"(the log is longer than 8 MiB; the rest is left out)"}` + "\n")
	}
}

func (l *buildLog) close() { _ = l.f.Close() }

// progress writes a build's progress to its log and, in a few words, to the job.
type progress struct {
	ctx context.Context
	log *buildLog
}

// Step is called when a step starts and when it ends.
func (p *progress) Step(st build.Step) {
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
func (p *progress) Log(line string) { p.log.write("", line) }

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
	var r *bufio.Reader
	partial := ""
	for {
		ended, err := s.jobEnded(ctx, jobID)
		if err != nil {
			return err
		}
		if f == nil {
			if f, err = os.Open(s.logFile(row.ID, jobID)); err == nil {
				r = bufio.NewReader(f)
			} else {
				f = nil
			}
		}
		for f != nil {
			text, err := r.ReadString('\n')
			partial += text
			if err != nil {
				break
			}
			var line BuildLine
			if json.Unmarshal([]byte(partial), &line) == nil {
				if err := st.Emit(line); err != nil {
					return err
				}
			}
			partial = ""
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
	entries, err := os.ReadDir(filepath.Dir(s.logFile(component, "x")))
	if err != nil || len(entries) == 0 {
		return ""
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	slices.Sort(names)
	return id.ID(strings.TrimSuffix(names[len(names)-1], ".log"))
}
