package containerd

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/diff"
	"github.com/containerd/containerd/v2/core/diff/apply"
	cimages "github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/metadata"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/containerd/containerd/v2/plugins/diff/walking"
	"github.com/containerd/containerd/v2/plugins/snapshots/overlay"
	containerdversion "github.com/containerd/containerd/v2/version"
	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	"github.com/containerd/platforms"
	"github.com/opencontainers/image-spec/identity"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	bolt "go.etcd.io/bbolt"

	"github.com/awancloud/awan/internal/engine/workload/containerd/shim"
	"github.com/awancloud/awan/internal/kernel/fail"
)

const snapshotter = "overlayfs"

func version() string { return containerdversion.Version }

func inNamespace(ctx context.Context) context.Context {
	return namespaces.WithNamespace(ctx, shim.Namespace)
}

// images is containerd's image half: blobs, unpacked layers, and the pull from the cloud's registry.
type images struct {
	host  string
	http  *http.Client
	log   *slog.Logger
	bolt  *bolt.DB
	db    *metadata.DB
	snaps snapshots.Snapshotter
	cl    *client.Client

	gate  sync.RWMutex // read-held from looking an image up until an instance's record or mount holds it
	mu    sync.Mutex
	known map[string]*image
	busy  map[string]chan struct{} // pulls under way
}

// image is an unpacked image: its layers as directories, top first, and its configuration.
type image struct {
	lower  []string
	config ocispec.ImageConfig
}

func openImages(ctx context.Context, o Options, l *slog.Logger) (*images, error) {
	_ = log.SetLevel("warn")
	root := filepath.Join(o.Dir, "images")
	if err := os.MkdirAll(root, 0o711); err != nil {
		return nil, err
	}
	blobs, err := local.NewStore(filepath.Join(root, "content"))
	if err != nil {
		return nil, err
	}
	snaps, err := overlay.NewSnapshotter(filepath.Join(root, "snapshots"))
	if err != nil {
		return nil, err
	}
	opts := *bolt.DefaultOptions
	opts.Timeout, opts.NoFreelistSync = 5*time.Second, true
	b, err := bolt.Open(filepath.Join(root, "meta.db"), 0o600, &opts)
	if err != nil {
		return nil, err
	}
	db := metadata.NewDB(b, blobs, map[string]snapshots.Snapshotter{snapshotter: snaps})
	if err := db.Init(ctx); err != nil {
		return nil, err
	}
	im := &images{host: o.RegistryHost, http: &http.Client{Transport: o.Registry}, log: l, bolt: b, db: db,
		snaps: db.Snapshotter(snapshotter), known: map[string]*image{}, busy: map[string]chan struct{}{}}
	store := db.ContentStore()
	im.cl, err = client.New("", client.WithServices(
		client.WithContentStore(store),
		client.WithImageStore(metadata.NewImageStore(db)),
		client.WithSnapshotters(map[string]snapshots.Snapshotter{snapshotter: im.snaps}),
		client.WithLeasesService(metadata.NewLeaseManager(db)),
		client.WithDiffService(differ{apply.NewFileSystemApplier(store), walking.NewWalkingDiff(store)}),
	), client.WithDefaultNamespace(shim.Namespace))
	return im, err
}

type differ struct {
	diff.Applier
	diff.Comparer
}

func (im *images) close() error { return errors.Join(im.bolt.Close()) }

// get gives an unpacked image, pulling it when it is not here. Two callers for the same one share the pull.
func (im *images) get(ctx context.Context, ref string) (*image, error) {
	for {
		im.mu.Lock()
		if img := im.known[ref]; img != nil {
			im.mu.Unlock()
			return img, nil
		}
		other := im.busy[ref]
		if other == nil {
			mine := make(chan struct{})
			im.busy[ref] = mine
			im.mu.Unlock()
			img, err := im.fetch(ctx, ref)
			im.mu.Lock()
			if err == nil {
				im.known[ref] = img
			}
			delete(im.busy, ref)
			im.mu.Unlock()
			close(mine)
			return img, err
		}
		im.mu.Unlock()
		select {
		case <-other:
		case <-ctx.Done():
			return nil, fail.Wrap(ctx.Err(), fail.Timeout, "pulling image %s takes too long", ref)
		}
	}
}

func (im *images) fetch(ctx context.Context, ref string) (*image, error) {
	name := im.host + "/" + ref
	meta, err := im.cl.ImageService().Get(ctx, name)
	var img client.Image
	if err == nil {
		img = client.NewImage(im.cl, meta)
		unpacked, uerr := img.IsUnpacked(ctx, snapshotter)
		if uerr != nil || !unpacked {
			err = errdefs.ErrNotFound
		}
	}
	if err != nil {
		if img, err = im.pull(ctx, name); err != nil {
			return nil, pullError(ref, err)
		}
	}
	im.touch(ctx, img.Metadata())
	spec, err := img.Spec(ctx)
	if err != nil {
		return nil, fail.Wrap(err, fail.Invalid, "image %s has no readable configuration", ref)
	}
	lower, err := im.layers(ctx, identity.ChainID(spec.RootFS.DiffIDs).String())
	if err != nil {
		return nil, fail.Wrap(err, fail.Internal, "the layers of image %s are not there", ref)
	}
	return &image{lower: lower, config: spec.Config}, nil
}

func (im *images) pull(ctx context.Context, name string) (client.Image, error) {
	resolver := docker.NewResolver(docker.ResolverOptions{Hosts: func(string) ([]docker.RegistryHost, error) {
		return []docker.RegistryHost{{Client: im.http, Host: im.host, Scheme: "http", Path: "/v2",
			Capabilities: docker.HostCapabilityPull | docker.HostCapabilityResolve}}, nil
	}})
	img, err := im.cl.Pull(ctx, name,
		client.WithResolver(resolver),
		client.WithPullUnpack,
		client.WithPullSnapshotter(snapshotter),
		client.WithPlatformMatcher(platforms.Default()),
		// The compressed layers are in the registry; once unpacked they need not be here too.
		client.WithChildLabelMap(cimages.ChildGCLabelsFilterLayers))
	if err == nil {
		if _, gerr := im.db.GarbageCollect(ctx); gerr != nil {
			im.log.Warn("remove pulled layers", "err", gerr)
		}
	}
	return img, err
}

// layers gives the directories of a chain, top first. A view holds them against garbage collection.
func (im *images) layers(ctx context.Context, chain string) ([]string, error) {
	key := "view-" + chain
	ms, err := im.snaps.View(ctx, key, chain, snapshots.WithLabels(map[string]string{"containerd.io/gc.root": time.Now().UTC().Format(time.RFC3339)}))
	if errdefs.IsAlreadyExists(err) {
		ms, err = im.snaps.Mounts(ctx, key)
	}
	if err != nil {
		return nil, err
	}
	for _, m := range ms {
		if m.Type == "bind" {
			return []string{m.Source}, nil
		}
		for _, o := range m.Options {
			if dirs, ok := strings.CutPrefix(o, "lowerdir="); ok {
				return strings.Split(dirs, ":"), nil
			}
		}
	}
	return nil, errors.New("the snapshotter gave no layer")
}

// pullError says what a puller can act on.
func pullError(ref string, err error) error {
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return fail.Wrap(err, fail.Timeout, "pulling image %s was cut off", ref)
	case errdefs.IsNotFound(err):
		return fail.Wrap(err, fail.NotFound, "image %s is not in the registry", ref).Then("build or push it first")
	case strings.Contains(err.Error(), "no space left"):
		return fail.Wrap(err, fail.NoSpace, "no room on the disk for image %s", ref)
	case errors.Is(err, docker.ErrInvalidAuthorization), strings.Contains(err.Error(), "401"), strings.Contains(err.Error(), "403"):
		return fail.Wrap(err, fail.Denied, "the registry does not let the engine pull image %s", ref)
	}
	return fail.Wrap(err, fail.Unavailable, "image %s cannot be pulled", ref).Then("try again; if it stays, the registry's log tells why")
}
