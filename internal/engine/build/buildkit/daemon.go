package buildkit

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/containerd/containerd/v2/core/diff/apply"
	ctdmetadata "github.com/containerd/containerd/v2/core/metadata"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	ctdsnapshot "github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/containerd/containerd/v2/plugins/diff/walking"
	"github.com/containerd/containerd/v2/plugins/snapshots/overlay"
	"github.com/containerd/platforms"
	"github.com/moby/buildkit/cache"
	"github.com/moby/buildkit/cache/contenthash"
	"github.com/moby/buildkit/cache/metadata"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/frontend"
	"github.com/moby/buildkit/session"
	containerdsnapshot "github.com/moby/buildkit/snapshot/containerd"
	"github.com/moby/buildkit/solver"
	"github.com/moby/buildkit/solver/bboltcachestorage"
	"github.com/moby/buildkit/solver/llbsolver"
	"github.com/moby/buildkit/solver/llbsolver/mounts"
	"github.com/moby/buildkit/util/db/boltutil"
	"github.com/moby/buildkit/util/leaseutil"
	"github.com/moby/buildkit/util/resolver"
	"github.com/moby/buildkit/worker"
	"github.com/moby/buildkit/worker/base"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	bolt "go.etcd.io/bbolt"

	"github.com/awancloud/awan/internal/kernel/fail"
)

// namespace is containerd's word for the part of a store that one user of it sees.
const namespace = "awan"

// daemon is BuildKit's parts, started.
type daemon struct {
	solver   *llbsolver.Solver
	worker   *base.Worker
	sessions *session.Manager
	closers  []func() error // run last to first
}

// start opens the stores under o.Dir and puts BuildKit together over them.
func start(ctx context.Context, o Options, runs *runs) (_ *daemon, err error) {
	d := &daemon{}
	defer func() {
		if err != nil {
			_ = d.close()
		}
	}()
	at := func(name string) string { return filepath.Join(o.Dir, name) }
	// The pool remembers how to reach a registry by its name alone; an earlier engine may have had another.
	resolver.DefaultPool.Clear()

	snapshots, err := overlay.NewSnapshotter(at("snapshots"))
	if err != nil {
		return nil, fmt.Errorf("snapshots: %w", err)
	}
	d.onClose(snapshots.Close)
	exe, err := newExecutor(ctx, o, at("snapshots"), runs)
	if err != nil {
		return nil, err
	}
	d.onClose(exe.close)
	blobs, err := local.NewStore(at("content"))
	if err != nil {
		return nil, fmt.Errorf("content: %w", err)
	}
	db, err := bolt.Open(at("containerd.db"), 0o600, nil)
	if err != nil {
		return nil, fmt.Errorf("metadata: %w", err)
	}
	d.onClose(db.Close)
	mdb := ctdmetadata.NewDB(db, blobs, map[string]ctdsnapshot.Snapshotter{"overlayfs": snapshots})
	if err := mdb.Init(ctx); err != nil {
		return nil, fmt.Errorf("metadata: %w", err)
	}
	content := containerdsnapshot.NewContentStore(mdb.ContentStore(), namespace)
	leases := leaseutil.WithNamespace(ctdmetadata.NewLeaseManager(mdb), namespace)
	md, err := metadata.NewStore(at("cache-metadata.db"))
	if err != nil {
		return nil, fmt.Errorf("cache metadata: %w", err)
	}
	id, err := base.ID(o.Dir)
	if err != nil {
		return nil, err
	}
	d.worker, err = base.NewWorker(ctx, base.WorkerOpt{
		ID: id, Root: o.Dir, MetadataStore: md, Executor: exe,
		Snapshotter:   containerdsnapshot.NewSnapshotter("overlayfs", mdb.Snapshotter("overlayfs"), namespace, nil),
		ContentStore:  content,
		Applier:       apply.NewFileSystemApplier(content),
		Differ:        walking.NewWalkingDiff(content),
		Platforms:     []ocispecs.Platform{platforms.Normalize(platforms.DefaultSpec())},
		RegistryHosts: hosts(o),
		LeaseManager:  leases, GarbageCollect: mdb.GarbageCollect,
		MountPoolRoot: at("cachemounts"),
	})
	if err != nil {
		return nil, fmt.Errorf("worker: %w", err)
	}
	d.onClose(d.worker.Close)
	workers := &worker.Controller{}
	if err := workers.Add(d.worker); err != nil {
		return nil, err
	}
	if d.sessions, err = session.NewManager(); err != nil {
		return nil, err
	}
	results, err := bboltcachestorage.NewStore(at("cache.db"))
	if err != nil {
		return nil, fmt.Errorf("results: %w", err)
	}
	d.onClose(results.Close)
	// BuildKit's own record of builds is not kept (builds are "internal" to it; the cloud has its own), but its solver
	// asks for one.
	historyDB, err := boltutil.Open(at("history.db"), 0o600, nil)
	if err != nil {
		return nil, fmt.Errorf("history: %w", err)
	}
	d.onClose(historyDB.Close)
	history, err := llbsolver.NewHistoryQueue(llbsolver.HistoryQueueOpt{DB: historyDB, LeaseManager: leases, ContentStore: content,
		GarbageCollect: d.worker.GarbageCollect})
	if err != nil {
		return nil, fmt.Errorf("history: %w", err)
	}
	d.solver, err = llbsolver.New(llbsolver.Opt{
		WorkerController: workers, SessionManager: d.sessions, HistoryQueue: history,
		Frontends:    map[string]frontend.Frontend{frontendName: &dockerfile{workers: workers.Infos(), runs: runs, host: o.Registry.Host()}},
		CacheManager: solver.NewCacheManager(ctx, "local", results, worker.NewCacheResultStorage(workers)),
	})
	if err != nil {
		return nil, fmt.Errorf("solver: %w", err)
	}
	d.onClose(d.solver.Close)
	return d, nil
}

func (d *daemon) onClose(f func() error) { d.closers = append(d.closers, f) }

func (d *daemon) close() error {
	var errs []error
	if d.worker != nil {
		d.forget()
	}
	for i := len(d.closers) - 1; i >= 0; i-- {
		errs = append(errs, d.closers[i]())
	}
	d.closers = nil
	return errors.Join(errs...)
}

// forget clears what BuildKit keeps in globals about this daemon's stores: it would go on using them, closed.
func (d *daemon) forget() {
	items, _ := d.worker.MetadataStore.All() // an error leaves at most a build that must be tried again
	for _, i := range items {
		contenthash.ClearCacheContext(&onlyID{id: i.ID()})
	}
	lock := mounts.CacheMountsLocker()
	lock.Lock()
	defer lock.Unlock()
	mounts.ClearActiveCacheMounts()
}

// onlyID is as much of a reference as clearing it needs.
type onlyID struct {
	cache.RefMetadata
	id string
}

func (o *onlyID) ID() string { return o.id }

// hosts knows one registry, the cloud's own, and reaches it in process. Which project may use which repository was
// decided when the Dockerfile was read (frontend.go).
func hosts(o Options) docker.RegistryHosts {
	return func(host string) ([]docker.RegistryHost, error) {
		if host != o.Registry.Host() {
			return nil, fail.New(fail.Denied, "builds use no registry but the cloud's own, not %s", host)
		}
		return []docker.RegistryHost{{
			Client: &http.Client{Transport: o.Registry.Transport("")}, Host: host, Scheme: "https", Path: "/v2",
			Capabilities: docker.HostCapabilityPull | docker.HostCapabilityResolve | docker.HostCapabilityPush,
		}}, nil
	}
}

// usage adds up the caches: all of them, or the cache mounts of a project (its layers are shared with others that have
// the same, and belong to nobody).
func (d *daemon) usage(ctx context.Context, project string) (int64, error) {
	infos, err := d.worker.DiskUsage(ctx, client.DiskUsageInfo{})
	if err != nil {
		return 0, fail.Wrap(err, fail.Internal, "measuring build caches")
	}
	total := int64(0)
	for _, i := range infos {
		if project == "" || strings.Contains(i.Description, `with id "`+project+`/`) {
			total += i.Size
		}
	}
	return total, nil
}

func (d *daemon) prune(ctx context.Context, keep int64) error {
	// BuildKit reads a limit of 0 as none.
	return d.free(ctx, client.PruneInfo{All: true, MaxUsedSpace: max(keep, 1)})
}

func (d *daemon) free(ctx context.Context, info client.PruneInfo) error {
	freed := make(chan client.UsageInfo)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range freed {
		}
	}()
	err := d.worker.Prune(ctx, freed, info)
	close(freed)
	<-done
	if err != nil {
		return fail.Wrap(err, fail.Internal, "pruning build caches")
	}
	return nil
}

// sweep removes what a killed process left: working files of builds; the executor clears containers and cgroups.
func (e *Engine) sweep() {
	if err := os.RemoveAll(filepath.Join(e.o.Dir, "runs")); err != nil {
		e.log.Warn("cannot remove unfinished builds' files", "error", err)
	}
	sweepContainers(e.o.Run)
	sweepCgroups(e.o.Key)
}
