// Package sim is a build engine in memory: an "image" is the hash of its source and its Dockerfile. It understands just
// enough of a Dockerfile (echo, sleep, false; USER, EXPOSE, CMD) to be tested by the contract of the real one, and can
// be made to wait or fail. It may import the kernel and the build port.
package sim

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/build"
)

// Engine implements build.Engine.
type Engine struct {
	// Before is called at the start of each build; an error fails it. It may block to delay the build. nil does nothing.
	Before func(ctx context.Context, build id.ID, want build.Want) error

	mu     sync.Mutex
	seen   map[string]int64 // sizes of what was built, by digest
	ctx    context.Context
	cancel context.CancelFunc
	active sync.WaitGroup
	closed bool
}

// New makes an engine.
func New() *Engine {
	ctx, cancel := context.WithCancel(context.Background())
	return &Engine{seen: map[string]int64{}, ctx: ctx, cancel: cancel}
}

var imageName = regexp.MustCompile(`^[a-z0-9]+(?:[._-]+[a-z0-9]+)*(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)+$`)

// Build implements build.Engine.
func (e *Engine) Build(ctx context.Context, buildID id.ID, want build.Want, p build.Progress) (build.Result, error) {
	if !strings.HasPrefix(want.Image, want.Project+"/") || !imageName.MatchString(want.Image) || want.Project == "" {
		return build.Result{}, fail.Field("image", "%q is not a repository of the project", want.Image)
	}
	e.mu.Lock()
	if e.closed {
		e.mu.Unlock()
		return build.Result{}, fail.New(fail.Unavailable, "the build engine is closed")
	}
	e.active.Add(1)
	e.mu.Unlock()
	defer e.active.Done()
	limit := want.Limits.Time
	if limit == 0 {
		limit = 20 * time.Minute
	}
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fail.New(fail.Invalid, "the build took longer than its limit of %s", limit))
	defer cancel()
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	defer context.AfterFunc(e.ctx, func() { stop(fail.New(fail.Canceled, "the cloud is stopping")) })()
	if e.Before != nil {
		if err := e.Before(ctx, buildID, want); err != nil {
			return build.Result{}, err
		}
	}
	digest, size, err := hash(want)
	if err != nil {
		return build.Result{}, fail.New(fail.NotFound, "the build's source is not there").Then("upload it again").Because(err)
	}
	e.mu.Lock()
	_, cached := e.seen[digest]
	e.mu.Unlock()
	if p == nil {
		p = nobody{}
	}
	result := build.Result{Image: want.Image + "@sha256:" + digest, Size: size}
	lines := bufio.NewScanner(strings.NewReader(want.Dockerfile))
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		result.Steps++
		if cached {
			result.Cached++
		}
		if err := step(ctx, line, cached, &result.Config, p); err != nil {
			return build.Result{}, err
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.seen[digest] = size
	return result, nil
}

func step(ctx context.Context, line string, cached bool, c *build.ImageConfig, p build.Progress) error {
	s := build.Step{ID: line, Name: line, Started: time.Now().UTC(), Cached: cached}
	p.Step(s)
	var err error
	word, rest, _ := strings.Cut(line, " ")
	switch word {
	case "RUN":
		if !cached {
			err = command(ctx, line, rest, p)
		}
	case "USER":
		c.User = rest
	case "EXPOSE":
		if n, e := strconv.Atoi(rest); e == nil {
			c.Ports = append(c.Ports, n)
		}
	case "CMD":
		_ = json.Unmarshal([]byte(rest), &c.Command)
	}
	s.Ended = time.Now().UTC()
	if err != nil {
		s.Err = fail.From(err).Public()
	}
	p.Step(s)
	return err
}

// command runs what it knows of a shell.
func command(ctx context.Context, line, text string, p build.Progress) error {
	for _, c := range strings.Split(text, ";") {
		switch f := strings.Fields(c); {
		case len(f) == 0:
		case f[0] == "echo":
			p.Log(strings.Join(f[1:], " "))
		case f[0] == "false":
			return fail.New(fail.Invalid, "step %s failed with exit code 1", line).Then("see the last lines of the build's log")
		case f[0] == "sleep" && len(f) == 2:
			n, _ := strconv.Atoi(f[1])
			t := time.NewTimer(time.Duration(n) * time.Second)
			defer t.Stop()
			select {
			case <-t.C:
			case <-ctx.Done():
				return fail.From(context.Cause(ctx))
			}
		}
	}
	if ctx.Err() != nil {
		return fail.From(context.Cause(ctx))
	}
	return nil
}

// hash is the digest and size of a source with its recipe.
func hash(want build.Want) (string, int64, error) {
	h := sha256.New()
	fmt.Fprintf(h, "%q %q %q %v\n", want.Project, want.Target, want.Dockerfile, want.Args)
	size := int64(len(want.Dockerfile))
	source := os.DirFS(want.Context)
	err := fs.WalkDir(source, ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		text, err := fs.ReadFile(source, p)
		fmt.Fprintf(h, "%q %x\n", p, sha256.Sum256(text))
		size += int64(len(text))
		return err
	})
	return hex.EncodeToString(h.Sum(nil)), size, err
}

// Usage implements build.Engine: everything is of no project in particular.
func (e *Engine) Usage(_ context.Context, project string) (int64, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	total := int64(0)
	if project == "" {
		for _, n := range e.seen {
			total += n
		}
	}
	return total, nil
}

// Prune implements build.Engine.
func (e *Engine) Prune(_ context.Context, keep int64) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if keep == 0 {
		clear(e.seen)
	}
	return nil
}

// Close implements build.Engine.
func (e *Engine) Close() error {
	e.mu.Lock()
	e.closed = true
	e.mu.Unlock()
	e.cancel()
	e.active.Wait()
	return nil
}

type nobody struct{}

func (nobody) Step(build.Step) {}
func (nobody) Log(string)      {}
