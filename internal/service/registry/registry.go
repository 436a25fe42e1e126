// Package registry is the cloud's image registry: the OCI distribution protocol served by distribution/distribution as
// a library, behind the cloud's own identity, and the same registry in process for builds and workloads.
//
// It may import the kernel, the build port whose Registry it implements, and distribution; no dialect and no engine.
package registry

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/distribution/distribution/v3"
	"github.com/distribution/distribution/v3/configuration"
	"github.com/distribution/distribution/v3/registry/handlers"
	"github.com/distribution/distribution/v3/registry/storage"
	"github.com/distribution/distribution/v3/registry/storage/driver"
	"github.com/distribution/distribution/v3/registry/storage/driver/filesystem"

	"github.com/opencontainers/go-digest"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/ledger"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/build"
)

// Actions on a repository, as the distribution specification's token scopes name them.
const (
	Pull   = "pull"
	Push   = "push"
	Delete = "delete"
	List   = "catalog" // of the whole registry; the repository is ""
)

// Shared is the first part of the names of repositories that every project may read and none may write.
const Shared = build.Shared

// Options say where the registry keeps its data and who may use it.
type Options struct {
	Dir    string // blobs and manifests are kept here, where there is no Depot; else what lies here moves there
	Depot  Depot  // blobs and manifests are kept here
	Host   string // the name images are addressed by inside the cloud: "registry.awan.internal"
	Logger *slog.Logger
	// Authorize decides on a request from outside. repository is "" for the version check (actions empty: any known
	// caller) and for the catalog (List). A fail.Unauthenticated answer makes the client send credentials (Basic: user
	// name or access key, and password or secret); fail.Denied and fail.NotFound are passed on as OCI errors.
	Authorize func(r *http.Request, repository string, actions []string) (ident.Principal, error)
	// Token answers a request for a bearer token at TokenPath; nil: only Basic is offered.
	Token http.Handler

	// Store keeps the repositories' rows; nil: images are served, and nothing is counted.
	Store  store.Store
	Limits ledger.Limits
	// Project gives the domain of a project, "" when there is no such project.
	Project func(tx store.Tx, project id.ID) (domain id.ID, err error)
}

// TokenPath is where clients get a token for their credentials. No repository's name begins with an underscore.
const TokenPath = "/v2/_token"

// Registry serves images. Close it when done.
type Registry struct {
	host      string
	log       *slog.Logger
	authorize func(*http.Request, string, []string) (ident.Principal, error)
	token     http.Handler
	store     store.Store
	limits    ledger.Limits
	project   func(store.Tx, id.ID) (id.ID, error)
	kinds     *Kinds // set by NewKinds
	pushed    []func(repository, ref string, d digest.Digest)
	app       *handlers.App
	files     driver.StorageDriver
	names     distribution.Namespace
	now       func() time.Time

	parsed   sync.Map // digest.Digest to *manifest
	counting locks
	relied   leases
	started  time.Time

	ctx        context.Context // of what runs beside requests
	stop       context.CancelFunc
	running    sync.WaitGroup
	collecting sync.Mutex
}

// New opens the registry in o.Dir, making it when absent.
func New(o Options) (*Registry, error) {
	if o.Host == "" || o.Dir == "" || o.Authorize == nil {
		return nil, fail.New(fail.Internal, "the registry needs a folder, a host name and an authorizer")
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, fail.Wrap(err, fail.Internal, "cannot find the registry's folder")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fail.Wrap(err, fail.NoSpace, "cannot make the registry's folder")
	}
	logger := o.Logger
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	var files driver.StorageDriver = filesystem.New(filesystem.DriverParameters{RootDirectory: dir, MaxThreads: 100})
	if o.Depot != nil {
		if err := moveIn(context.Background(), dir, o.Depot); err != nil {
			return nil, err
		}
		files = newDriver(o.Depot)
	}
	names, err := storage.NewRegistry(context.Background(), files, storage.EnableDelete)
	if err != nil {
		return nil, fail.Wrap(err, fail.Internal, "cannot open the registry")
	}
	// The app signs the state of an upload with this. It lives as long as the process: an upload that a restart
	// interrupts is begun again by the client.
	secret := make([]byte, 32)
	if _, err := rand.Read(secret); err != nil {
		return nil, fail.Wrap(err, fail.Internal, "no randomness")
	}
	config := &configuration.Configuration{Storage: configuration.Storage{
		given():  {"driver": files},
		"delete": {"enabled": true},
		// Collect purges; the app's own purger has no owner that could stop it. There is no descriptor cache either:
		// it would go on telling of blobs that Collect removed.
		"maintenance": {"uploadpurging": map[any]any{"enabled": false}},
	}}
	config.HTTP.Secret = hex.EncodeToString(secret)
	config.HTTP.RelativeURLs = true // the outside and the inside know this registry by different names
	config.Log.AccessLog.Disabled = true
	config.Catalog.MaxEntries = 1000
	r := &Registry{host: o.Host, log: logger, authorize: o.Authorize, token: o.Token, store: o.Store, limits: o.Limits, project: o.Project, files: files,
		names: names, now: time.Now, started: time.Now()}
	r.ctx, r.stop = context.WithCancel(context.Background())
	r.app = handlers.NewApp(context.Background(), config)
	return r, nil
}

// OnPush adds what is told of every pushed image, after it is stored, and of every tagged one at
// the start. f must not wait.
func (r *Registry) OnPush(f func(repository, ref string, d digest.Digest)) {
	r.pushed = append(r.pushed, f)
}

// Host is the name images are addressed by inside the cloud.
func (r *Registry) Host() string { return r.host }

// Close ends the registry; requests must have ended before.
func (r *Registry) Close() error {
	r.stop()
	r.running.Wait()
	if err := r.app.Shutdown(); err != nil {
		return fail.Wrap(err, fail.Internal, "closing the registry")
	}
	return nil
}
