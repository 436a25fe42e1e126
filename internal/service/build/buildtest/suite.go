// Package buildtest is the contract of build engines as a test suite: each engine's test hands its factory to Run. It
// imports the port and the standard library only.
package buildtest

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/build"
)

// Factory opens a fresh engine that knows an image "busybox". The suite closes it.
type Factory func(t *testing.T) build.Engine

// Progress records what an engine reports.
type Progress struct {
	mu    sync.Mutex
	busy  bool
	clash bool
	Steps []build.Step
	Lines []string
	On    func(line string) // called for each line, if set
}

func (p *Progress) enter() func() {
	p.mu.Lock()
	if p.busy {
		p.clash = true
	}
	p.busy = true
	p.mu.Unlock()
	return func() { p.mu.Lock(); p.busy = false; p.mu.Unlock() }
}

// Step implements build.Progress.
func (p *Progress) Step(s build.Step) {
	defer p.enter()()
	p.Steps = append(p.Steps, s)
}

// Log implements build.Progress.
func (p *Progress) Log(line string) {
	defer p.enter()()
	p.Lines = append(p.Lines, line)
	if p.On != nil {
		p.On(line)
	}
}

// Text is everything printed.
func (p *Progress) Text() string { return strings.Join(p.Lines, "\n") }

// Source writes files into a fresh folder.
func Source(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		full := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// Recipe is a Dockerfile that every engine under test can build: sim engines read its lines, real ones run them.
const Recipe = "FROM busybox\nCOPY . /src\nRUN echo built\nUSER 10001\nEXPOSE 8080\nCMD [\"/bin/true\"]\n"

// Run runs the suite.
func Run(t *testing.T, open Factory) {
	start := func(t *testing.T) build.Engine {
		e := open(t)
		t.Cleanup(func() { _ = e.Close() })
		return e
	}
	ctx := func(t *testing.T) context.Context {
		c, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		t.Cleanup(cancel)
		return c
	}

	t.Run("an image comes out, and its description", func(t *testing.T) {
		e, p := start(t), &Progress{}
		got, err := e.Build(ctx(t), id.New(), build.Want{Project: "p1", Image: "p1/app", Dockerfile: Recipe,
			Context: Source(t, map[string]string{"a.txt": "1"})}, p)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(got.Image, "p1/app@sha256:") || got.Size <= 0 || got.Steps == 0 {
			t.Errorf("%+v", got)
		}
		c := got.Config
		if len(c.Ports) != 1 || c.Ports[0] != 8080 || c.User != "10001" || len(c.Command) != 1 || c.Command[0] != "/bin/true" {
			t.Errorf("%+v", c)
		}
		if !strings.Contains(p.Text(), "built") {
			t.Errorf("what a step prints is not in the log: %q", p.Lines)
		}
		begun, ended := map[string]bool{}, map[string]bool{}
		for _, s := range p.Steps {
			if s.Ended.IsZero() {
				begun[s.ID] = true
			} else {
				ended[s.ID] = true
			}
		}
		for s := range begun {
			if !ended[s] {
				t.Errorf("step %s never ended", s)
			}
		}
		if len(ended) == 0 || p.clash {
			t.Errorf("%d steps; two reports at a time: %v", len(ended), p.clash)
		}
	})

	t.Run("the same source is cached, a changed one is not", func(t *testing.T) {
		e := start(t)
		files := map[string]string{"a.txt": "1"}
		want := build.Want{Project: "p1", Image: "p1/app", Dockerfile: Recipe, Context: Source(t, files)}
		first, err := e.Build(ctx(t), id.New(), want, nil)
		if err != nil {
			t.Fatal(err)
		}
		again := id.New()
		for range 2 { // the same id may come again after a crash
			second, err := e.Build(ctx(t), again, want, nil)
			if err != nil {
				t.Fatal(err)
			}
			if second.Image != first.Image || second.Cached == 0 {
				t.Errorf("%+v, then %+v", first, second)
			}
		}
		files["a.txt"] = "2"
		want.Context = Source(t, files)
		if third, err := e.Build(ctx(t), id.New(), want, nil); err != nil || third.Image == first.Image {
			t.Errorf("%+v %v", third, err)
		}
		if n, err := e.Usage(ctx(t), ""); err != nil || n <= 0 {
			t.Errorf("usage %d %v", n, err)
		}
		if err := e.Prune(ctx(t), 0); err != nil {
			t.Error(err)
		}
		if _, err := e.Build(ctx(t), id.New(), want, nil); err != nil {
			t.Errorf("after pruning: %v", err)
		}
	})

	t.Run("a failing step is named", func(t *testing.T) {
		_, err := start(t).Build(ctx(t), id.New(), build.Want{Project: "p1", Image: "p1/app",
			Dockerfile: "FROM busybox\nRUN echo before\nRUN false\n", Context: Source(t, nil)}, nil)
		if !fail.Is(err, fail.Invalid) || !strings.Contains(fail.From(err).Public(), "RUN false") {
			t.Errorf("%v", err)
		}
	})

	t.Run("wrong requests", func(t *testing.T) {
		e := start(t)
		for _, image := range []string{"", "p1", "p2/app", "p1/../p2/app", "p1/App", "p1x/app", "p1/app:tag", "p1/app@sha256:0"} {
			_, err := e.Build(ctx(t), id.New(), build.Want{Project: "p1", Image: image, Dockerfile: Recipe, Context: Source(t, nil)}, nil)
			if !fail.Is(err, fail.Invalid) {
				t.Errorf("image %q: %v", image, err)
			}
		}
		_, err := e.Build(ctx(t), id.New(), build.Want{Project: "p1", Image: "p1/app", Dockerfile: Recipe, Context: t.TempDir() + "/absent"}, nil)
		if !fail.Is(err, fail.NotFound) {
			t.Errorf("no source: %v", err)
		}
	})

	t.Run("a build ends with its context, its time limit, and the engine", func(t *testing.T) {
		e := start(t)
		slow := build.Want{Project: "p1", Image: "p1/app", Dockerfile: "FROM busybox\nRUN echo begun; sleep 300\n", Context: Source(t, nil)}
		begun := func() (*Progress, chan struct{}) {
			c := make(chan struct{})
			var once sync.Once
			return &Progress{On: func(line string) {
				if strings.Contains(line, "begun") {
					once.Do(func() { close(c) })
				}
			}}, c
		}
		c, cancel := context.WithCancel(ctx(t))
		p, running := begun()
		go func() { <-running; cancel() }()
		if _, err := e.Build(c, id.New(), slow, p); !fail.Is(err, fail.Canceled) {
			t.Errorf("cancelled: %v", err)
		}
		slow.Limits.Time = time.Second
		if _, err := e.Build(ctx(t), id.New(), slow, nil); !fail.Is(err, fail.Invalid) || !strings.Contains(fail.From(err).Public(), "limit of 1s") {
			t.Errorf("out of time: %v", err)
		}
		slow.Limits.Time = 0
		p, running = begun()
		over := make(chan error, 1)
		go func() { <-running; over <- e.Close() }()
		if _, err := e.Build(ctx(t), id.New(), slow, p); !fail.Is(err, fail.Canceled) && !fail.Is(err, fail.Unavailable) {
			t.Errorf("closed: %v", err)
		}
		if err := <-over; err != nil {
			t.Error(err)
		}
		if _, err := e.Build(ctx(t), id.New(), slow, nil); !fail.Is(err, fail.Unavailable) {
			t.Errorf("after closing: %v", err)
		}
	})
}
