package buildkit

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	buildkit "github.com/moby/buildkit/client"
	"github.com/moby/buildkit/exporter"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	"github.com/moby/buildkit/frontend"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/session/filesync"
	"github.com/moby/buildkit/solver/llbsolver"
	"github.com/tonistiigi/fsutil"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/build"
)

// run is one build while it runs.
type run struct {
	id       id.ID
	want     build.Want
	images   build.Images
	progress *reporter
	cgroup   *cgroup
	disk     *meter
	cancel   context.CancelCauseFunc
	starved  atomic.Bool // a step failed, and lost a process to the memory limit
}

// runs finds a running build by what BuildKit carries through to where steps are executed.
type runs struct {
	mu  sync.Mutex
	all map[string]*run
}

func newRuns() *runs { return &runs{all: map[string]*run{}} }

func (r *runs) get(id string) *run {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.all[id]
}

func (r *runs) put(x *run) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.all[string(x.id)] != nil {
		return false
	}
	r.all[string(x.id)] = x
	return true
}

func (r *runs) drop(x *run) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.all, string(x.id))
}

// run does one build; the daemon is held and ctx ends with the engine.
func (e *Engine) run(ctx context.Context, d *daemon, buildID id.ID, want build.Want, progress *reporter) (build.Result, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	limit := fail.New(fail.Invalid, "the build took longer than its limit of %s", want.Limits.Time).
		Then("make it shorter, or raise the build's time limit")
	ctx, stop := context.WithTimeoutCause(ctx, want.Limits.Time, limit)
	defer stop()
	group, err := newCgroup(e.o.Key, buildID, want.Limits)
	if err != nil {
		return build.Result{}, fail.Wrap(err, fail.Unsupported, "the build's limits cannot be set on this machine")
	}
	defer group.remove()
	r := &run{id: buildID, want: want, images: e.o.Images, progress: progress, cgroup: group, cancel: cancel,
		disk: newMeter(e.o.Dir, want.Limits.StorageMiB<<20)}
	if !e.runs.put(r) {
		return build.Result{}, fail.New(fail.Conflict, "build %s is running already", buildID)
	}
	defer e.runs.drop(r)
	digest, err := e.solve(ctx, d, r)
	if err != nil {
		return build.Result{}, r.explain(ctx, err)
	}
	result, err := inspect(ctx, e.o.Registry, want, digest)
	if err != nil {
		return build.Result{}, err
	}
	result.Steps, result.Cached = progress.counts()
	return result, nil
}

// solve gives BuildKit the source, the Dockerfile and where to push, and returns the image's digest.
func (e *Engine) solve(ctx context.Context, d *daemon, r *run) (string, error) {
	files := filepath.Join(e.o.Dir, "runs", string(r.id))
	if err := os.MkdirAll(files, 0o700); err != nil {
		return "", fail.Wrap(err, fail.NoSpace, "preparing the build")
	}
	defer os.RemoveAll(files)
	if err := os.WriteFile(filepath.Join(files, "Dockerfile"), []byte(r.want.Dockerfile), 0o600); err != nil {
		return "", fail.Wrap(err, fail.NoSpace, "preparing the build")
	}
	source, err := fsutil.NewFS(r.want.Context)
	if err != nil {
		return "", fail.Wrap(err, fail.Internal, "reading the build's source")
	}
	recipe, err := fsutil.NewFS(files)
	if err != nil {
		return "", fail.Wrap(err, fail.Internal, "reading the build's recipe")
	}
	// The image's name keys what is remembered of the source, so that the next build sends only what changed.
	s, err := session.NewSession(ctx, r.want.Image)
	if err != nil {
		return "", err
	}
	s.Allow(filesync.NewFSSyncProvider(filesync.StaticDirSource{"context": source, "dockerfile": recipe}))
	var both sync.WaitGroup
	defer both.Wait()
	defer s.Close()
	both.Go(func() {
		_ = s.Run(ctx, func(ctx context.Context, _ string, meta map[string][]string) (net.Conn, error) {
			ours, theirs := net.Pipe()
			both.Go(func() { _ = d.sessions.HandleConn(ctx, theirs, meta) })
			return ours, nil
		})
	})
	image, err := d.worker.Exporter(buildkit.ExporterImage, d.sessions)
	if err != nil {
		return "", err
	}
	push, err := image.Resolve(ctx, 0, map[string]string{
		string(exptypes.OptKeyName): e.o.Registry.Host() + "/" + r.want.Image, string(exptypes.OptKeyPush): "true",
		string(exptypes.OptKeyPushByDigest): "true", string(exptypes.OptKeyOCITypes): "true",
		string(exptypes.OptKeyLayerCompression): "zstd",
	})
	if err != nil {
		return "", err
	}
	job := string(r.id) + "-" + s.ID() // BuildKit remembers jobs for a while; a build may come again at once
	statuses := make(chan *buildkit.SolveStatus)
	seen, unsee := context.WithCancel(context.WithoutCancel(ctx))
	defer unsee()
	both.Go(func() { _ = d.solver.Status(seen, job, statuses) })
	told := make(chan struct{})
	both.Go(func() {
		defer close(told)
		r.progress.follow(statuses)
	})
	defer func() { // what was printed last is worth a moment
		select {
		case <-told:
		case <-time.After(3 * time.Second):
		}
	}()
	response, err := d.solver.Solve(ctx, job, s.ID(), frontend.SolveRequest{Frontend: frontendName, FrontendOpt: attributes(r)},
		llbsolver.ExporterRequest{Exporters: []exporter.ExporterInstance{push}}, nil, nil, true, nil)
	if err != nil {
		return "", err
	}
	digest := response.ExporterResponse[exptypes.ExporterImageDigestKey]
	if digest == "" {
		return "", errors.New("the build gave no digest")
	}
	return digest, nil
}

// attributes are the frontend's options.
func attributes(r *run) map[string]string {
	a := map[string]string{
		keyRun:     string(r.id),
		"filename": "Dockerfile",
		// A "# syntax=" line would fetch another frontend from a registry; with this set it is a comment.
		"cmdline": "",
		// The host name is part of a step's cache key: steps that reached the network are never shared between projects.
		"hostname": projectHost(r.want.Project),
		// Cache mounts are kept apart by project.
		"build-arg:BUILDKIT_CACHE_MOUNT_NS": r.want.Project,
		// Proxy arguments are no part of a step's cache key and reach the executor, which takes this one out again: so
		// it knows which build a step belongs to.
		"build-arg:FTP_PROXY": marker + string(r.id),
	}
	if r.want.Target != "" {
		a["target"] = r.want.Target
	}
	if !r.want.Network {
		a["force-network-mode"] = "none"
	}
	for k, v := range r.want.Args {
		if !reserved(k) {
			a["build-arg:"+k] = v
		}
	}
	return a
}

// marker begins the value that says which build a step belongs to.
const marker = "awan-build:"

// reserved names have a meaning to the frontend itself, and are not for tenants.
func reserved(argument string) bool {
	u := strings.ToUpper(argument)
	return strings.HasPrefix(u, "BUILDKIT_") || strings.HasSuffix(u, "_PROXY")
}

func projectHost(project string) string {
	sum := sha256.Sum256([]byte(project))
	return "build-" + hex.EncodeToString(sum[:6])
}
