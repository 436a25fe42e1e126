// Package build turns source into images. It holds the port to what runs builds and what makes base images, the
// detection of stacks and the recipes (data, in catalog/). It knows no wire format.
package build

import (
	"context"
	"iter"
	"net/http"
	"time"

	"github.com/awancloud/awan/internal/kernel/id"
)

// Engine runs builds. Methods are safe for concurrent use. Errors are fail errors whose public half a developer can
// act on (the failing step and the last lines it printed), never a Go error chain.
type Engine interface {
	// Build runs one build to its end and pushes the image. Progress goes to p as it happens. Calling it again with
	// the same id and inputs is allowed at any time (after a crash, say); caches make it cheap.
	Build(ctx context.Context, build id.ID, want Want, p Progress) (Result, error)
	// Usage tells how many bytes the caches take, for a project or "" for all.
	Usage(ctx context.Context, project string) (int64, error)
	// Prune frees caches down to keep bytes, least recently used first.
	Prune(ctx context.Context, keep int64) error
	// Close stops running builds and the engine.
	Close() error
}

// Want describes a build.
type Want struct {
	Project    string            // caches and images are kept apart by it
	Context    string            // folder on the host with the unpacked source; only read
	Dockerfile string            // the Dockerfile's text: the source's own, or made from a recipe
	Target     string            // the stage to build; the last when empty
	Args       map[string]string // build arguments
	Image      string            // repository to push to in the cloud's registry: "project/name"
	Limits     Limits
	Network    bool // whether RUN steps may reach the internet (package registries); never the cloud or its host
}

// Limits bound a build. Zero means the engine's default, never "none".
type Limits struct {
	MilliCPU   int64
	MemoryMiB  int64
	StorageMiB int64
	Pids       int64
	Time       time.Duration
}

// Result is a finished build.
type Result struct {
	Image  string // "project/name@sha256:…"
	Size   int64  // compressed bytes of all layers
	Cached int    // steps that came from the cache
	Steps  int
	Config ImageConfig
}

// ImageConfig is what the platform needs to know of an image.
type ImageConfig struct {
	Ports   []int // EXPOSEd TCP ports
	User    string
	Command []string
	Env     []string
}

// Progress receives what happens during a build. Calls come one at a time, in order.
type Progress interface {
	Step(Step)
	Log(line string)
}

// Step is one vertex of a build: reported when it starts and again when it ends.
type Step struct {
	ID      string
	Name    string // "[2/4] RUN npm ci"
	Started time.Time
	Ended   time.Time // zero while it runs
	Cached  bool
	Err     string
}

// Bases makes base images and tells which there are.
type Bases interface {
	// Ensure makes the base image of this name (catalog/bases) exist in the registry and returns its reference by digest.
	// It is made from the machine's own packages, or pulled when the operator configured an upstream registry. It
	// reports progress in lines ("installing 42 of 96 packages"). A cached one returns at once.
	Ensure(ctx context.Context, name string, log func(line string)) (ref string, err error)
	// List yields the bases the catalog knows.
	List(ctx context.Context) iter.Seq2[Base, error]
}

// Base is a base image.
type Base struct {
	Name    string // "debian", "go", "node", "python", "static"
	Ref     string // by digest, when made
	Made    time.Time
	Size    int64
	Digest  string
	Sources []string // package versions or the upstream reference: the bill of materials
}

// Images says which image of the cloud's registry stands for a name in a Dockerfile.
type Images interface {
	// Resolve turns what a Dockerfile names ("golang:1.26", "registry.awan.internal/PROJECT/app:v1") into a reference in
	// the cloud's registry, making or pulling the image first when it must, with progress in lines. A fail.NotFound
	// error says what the developer and the operator can do.
	Resolve(ctx context.Context, project, image string, log func(line string)) (ref string, err error)
}

// Shared is the first part of the names of repositories that every project may read and only the cloud writes: the base
// images are kept there.
const Shared = "library"

// Registry is what builds and workloads need of the image registry: to move images as the cloud itself, in process.
type Registry interface {
	// Host is the name under which images are addressed inside the cloud: "registry.awan.internal".
	Host() string
	// Transport answers requests for https://Host()/v2/… in process, acting for project: its own repositories
	// ("project/…") for reading and writing, the shared "library/…" for reading. Project "" is the cloud itself:
	// everything.
	Transport(project string) http.RoundTripper
}

// Request is what a service asks of the builder: an uploaded source to be made into an image.
type Request struct {
	ID         id.ID     // of the build; the same one again is allowed
	Project    string    // the project's id
	Name       string    // the component's name: the image becomes project/name
	Archive    string    // file on the host: the source as an archive, or a package
	Dockerfile string    // path in the source; empty: Dockerfile if there is one, else a recipe
	Stack      string    // recipe or runtime; empty: detected
	Runtimes   []Runtime // versions of stacks that may be used; nil: those of the catalogue
}

// Output is what came of a Request.
type Output struct {
	Result
	Stack string // "go", "dockerfile", …
	Why   string // what was detected and why, for people
}
