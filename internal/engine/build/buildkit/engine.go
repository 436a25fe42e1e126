// Package buildkit runs builds with BuildKit as a library, inside this process: its solver, its Dockerfile frontend and
// its runc worker, wired so that builds reach nothing but what we hand them. It is started by the first build and
// stopped when idle, so that a cloud that builds nothing pays nothing.
//
// It may import the kernel, the build port it implements, BuildKit, containerd and the registry client library; no
// service's logic and no other engine. It runs Debian's runc.
package buildkit

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/build"
)

// Net gives a build step a network namespace of its own, from which public addresses and the host's name servers can be
// reached, and neither the host, nor tenants, nor private ranges.
type Net interface {
	// Attach makes the namespace and returns its path; release takes it away.
	Attach(ctx context.Context, id string) (nsPath string, release func(), err error)
}

// Options wire the engine. Dir, Key, Registry and Images are needed.
type Options struct {
	Dir      string // caches and working files
	Run      string // sockets and mount points: "" is /run/awan-KEY/build. Every part of the path must be passable for all
	Key      string // the cloud's instance key: cgroups are below /awan-KEY
	Registry build.Registry
	Images   build.Images // what FROM means
	Net      Net          // nil: build steps have no network, whatever is wanted
	// Env gives what is set in every RUN step that does not set it itself, and in no image: this machine's package
	// mirrors. It is asked when the engine starts, which is at the first build.
	Env      func(context.Context) []string
	Limits   build.Limits // for what a build's own limits leave at zero
	Builds   int          // how many run at a time; 0 is 2
	Idle     time.Duration
	CacheMiB int64  // caches are pruned to this when the engine goes idle; 0 is 20 GiB
	UserBase uint32 // the host's user id that is root inside build steps; 65536 ids from there. 0 is 1,879,048,192
	Logger   *slog.Logger
}

// Engine implements build.Engine.
type Engine struct {
	o    Options
	log  *slog.Logger
	runs *runs
	gate chan struct{} // one token per build that may run

	mu     sync.Mutex // guards what follows
	daemon *daemon    // nil while stopped
	users  int        // builds and calls that need the daemon now
	timer  *time.Timer
	closed bool
	cancel context.CancelFunc
	ctx    context.Context // ends with Close
}

// New checks what can be checked without starting anything.
func New(o Options) (*Engine, error) {
	if o.Dir == "" || o.Key == "" || o.Registry == nil || o.Images == nil {
		return nil, fail.New(fail.Internal, "the build engine needs a folder, a key, a registry and images")
	}
	// Both end up in the options of overlay mounts, where these separate.
	if strings.ContainsAny(o.Dir+o.Run, ",:\\") {
		return nil, fail.New(fail.Invalid, "the build engine cannot work in %s: commas, colons and backslashes have a meaning to overlay mounts", o.Dir).
			Then("keep the cloud's data in a folder without them")
	}
	if o.Run == "" {
		o.Run = filepath.Join("/run", "awan-"+o.Key, "build")
	}
	if o.Builds == 0 {
		o.Builds = 2
	}
	if o.Idle == 0 {
		o.Idle = 5 * time.Minute
	}
	if o.CacheMiB == 0 {
		o.CacheMiB = 20 << 10
	}
	if o.UserBase == 0 {
		o.UserBase = 0x70000000
	}
	o.Limits = within(o.Limits, build.Limits{MilliCPU: int64(runtime.NumCPU()) * 1000, MemoryMiB: 2048, StorageMiB: 10 << 10,
		Pids: 2048, Time: 20 * time.Minute})
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fail.Wrap(err, fail.NoSpace, "cannot make the builds' folder")
	}
	if err := check(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	e := &Engine{o: o, log: o.Logger, runs: newRuns(), gate: make(chan struct{}, o.Builds), ctx: ctx, cancel: cancel}
	e.sweep()
	return e, nil
}

// within gives l with its zeros filled from other.
func within(l, other build.Limits) build.Limits {
	fill := func(a *int64, b int64) {
		if *a == 0 {
			*a = b
		}
	}
	fill(&l.MilliCPU, other.MilliCPU)
	fill(&l.MemoryMiB, other.MemoryMiB)
	fill(&l.StorageMiB, other.StorageMiB)
	fill(&l.Pids, other.Pids)
	fill((*int64)(&l.Time), int64(other.Time))
	return l
}

var imageName = regexp.MustCompile(`^[a-z0-9]+(?:[._-]+[a-z0-9]+)*(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)+$`)

// Build implements build.Engine.
func (e *Engine) Build(ctx context.Context, buildID id.ID, want build.Want, p build.Progress) (build.Result, error) {
	if want.Project == "" || len(want.Image) <= len(want.Project) || want.Image[:len(want.Project)+1] != want.Project+"/" ||
		!imageName.MatchString(want.Image) {
		return build.Result{}, fail.Field("image", "%q is not a repository of the project", want.Image)
	}
	if info, err := os.Stat(want.Context); err != nil || !info.IsDir() {
		return build.Result{}, fail.New(fail.NotFound, "the build's source is not there").Then("upload it again").Because(err)
	}
	progress := newReporter(p)
	if e.ctx.Err() != nil {
		return build.Result{}, fail.New(fail.Unavailable, "the build engine is closed")
	}
	select {
	case e.gate <- struct{}{}:
	default:
		progress.log("waiting for other builds to finish")
		select {
		case e.gate <- struct{}{}:
		case <-ctx.Done():
			return build.Result{}, fail.From(ctx.Err())
		case <-e.ctx.Done():
			return build.Result{}, fail.New(fail.Unavailable, "the cloud is stopping")
		}
	}
	defer func() { <-e.gate }()
	d, err := e.acquire(ctx)
	if err != nil {
		return build.Result{}, err
	}
	defer e.release()
	want.Limits = within(want.Limits, e.o.Limits)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := context.AfterFunc(e.ctx, func() { cancel(fail.New(fail.Canceled, "the cloud is stopping")) })
	defer stop()
	return e.run(ctx, d, buildID, want, progress)
}

// Usage implements build.Engine.
func (e *Engine) Usage(ctx context.Context, project string) (int64, error) {
	d, err := e.acquire(ctx)
	if err != nil {
		return 0, err
	}
	defer e.release()
	return d.usage(ctx, project)
}

// Prune implements build.Engine.
func (e *Engine) Prune(ctx context.Context, keep int64) error {
	d, err := e.acquire(ctx)
	if err != nil {
		return err
	}
	defer e.release()
	return d.prune(ctx, keep)
}

// Close implements build.Engine: running builds are cancelled and waited for.
func (e *Engine) Close() error {
	e.cancel()
	e.mu.Lock()
	if e.closed {
		e.mu.Unlock()
		return nil
	}
	e.closed = true
	e.mu.Unlock()
	for range cap(e.gate) { // every token in hand: no build is left
		e.gate <- struct{}{}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.timer != nil {
		e.timer.Stop()
	}
	err := e.stop()
	// What is left of us on the machine is what others of this cloud use too.
	removeEmpty(e.o.Key)
	_ = os.RemoveAll(filepath.Join(e.o.Run, "steps"))
	_ = os.Remove(e.o.Run)
	_ = os.Remove(filepath.Dir(e.o.Run))
	return err
}

// acquire starts the daemon if it is not there and keeps it until release.
func (e *Engine) acquire(ctx context.Context) (*daemon, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil, fail.New(fail.Unavailable, "the build engine is closed")
	}
	if e.daemon == nil {
		began := time.Now()
		d, err := start(ctx, e.o, e.runs)
		if err != nil {
			return nil, fail.Wrap(err, fail.Unavailable, "the build engine did not start")
		}
		e.daemon = d
		e.log.Info("build engine started", "ms", time.Since(began).Milliseconds())
	}
	if e.timer != nil {
		e.timer.Stop()
	}
	e.users++
	return e.daemon, nil
}

func (e *Engine) release() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.users--; e.users == 0 && !e.closed {
		e.timer = time.AfterFunc(e.o.Idle, e.idle)
	}
}

// idle stops the daemon when nobody came meanwhile.
func (e *Engine) idle() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.users > 0 || e.closed || e.daemon == nil {
		return
	}
	ctx, cancel := context.WithTimeout(e.ctx, time.Minute)
	defer cancel()
	if err := e.daemon.prune(ctx, e.o.CacheMiB<<20); err != nil {
		e.log.Warn("pruning build caches", "error", err)
	}
	if err := e.stop(); err != nil {
		e.log.Warn("stopping the build engine", "error", err)
	}
	e.log.Info("build engine stopped: idle")
}

// stop closes the daemon; e.mu is held.
func (e *Engine) stop() error {
	if e.daemon == nil {
		return nil
	}
	err := e.daemon.close()
	e.daemon = nil
	debug.FreeOSMemory()
	if err != nil {
		return fail.Wrap(err, fail.Internal, "stopping the build engine")
	}
	return nil
}
