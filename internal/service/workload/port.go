// Package workload is the port to whatever runs containers: the embedded container engine on one machine, Kubernetes on
// many, sim in tests. It knows no app, no project's policy and no wire format. It may import kernel/fail and kernel/id.
package workload

import (
	"context"
	"io"
	"iter"
	"net/netip"
	"time"

	"github.com/awancloud/awan/internal/kernel/id"
)

// Engine runs instances: one container each, in a network of its tenant.
//
// Every method is safe for concurrent use and may be called again after a crash at any point with the same arguments:
// the second call converges to the same end. Errors are fail errors.
type Engine interface {
	// Ensure makes the instance exist and run as wanted: pulls the image when it is not here, makes the network
	// attachment, starts the process. An instance that exists with an equal Want.Hash() and runs is left alone. One that exited
	// is started again (Restarts counts up). A different Want replaces it. It returns once the process has started.
	Ensure(ctx context.Context, instance id.ID, want Want) (Seen, error)
	// Observe tells how the instance is; fail.Gone when it does not exist.
	Observe(ctx context.Context, instance id.ID) (Seen, error)
	// Stop ends the process: SIGTERM, then SIGKILL after grace. The instance, its logs and its layer stay. Stopping a
	// stopped or absent one is success.
	Stop(ctx context.Context, instance id.ID, grace time.Duration) error
	// Destroy stops and removes the instance, its layer, its address, its rules and its logs. Absent is success.
	Destroy(ctx context.Context, instance id.ID) error
	// List yields every instance the engine holds for this cloud, running or not: the way to find orphans.
	List(ctx context.Context) iter.Seq2[id.ID, error]

	// Events yields what happened to instances from now on (exits, OOM kills) until ctx ends. Slow readers lose
	// events, so a reader must also Observe.
	Events(ctx context.Context) iter.Seq2[Event, error]
	// Logs yields lines, oldest first, from the rotated files. With q.Follow it goes on until ctx ends.
	Logs(ctx context.Context, instance id.ID, q LogQuery) iter.Seq2[Line, error]
	// Exec runs a command inside a running instance and returns its exit code.
	Exec(ctx context.Context, instance id.ID, x Exec) (int, error)

	// Replace gives a running instance new content for its live files, all of them at one moment: a reader sees every old
	// file or every new one. files are the instance's whole set, as Ensure would be given it; those that are not live keep
	// the content they have. With a signal ("HUP") the first process is told afterwards. fail.Invalid for a path that the
	// instance does not have, fail.Precondition when it does not run.
	Replace(ctx context.Context, instance id.ID, files []File, signal string) error
	// CopyIn unpacks a tar into a folder of a running instance, which is made if it is not there; what it makes belongs to
	// the instance's user. CopyOut writes a file or a folder of it as tar. Nothing outside the instance is reached,
	// whatever links there are.
	CopyIn(ctx context.Context, instance id.ID, folder string, tar io.Reader) error
	CopyOut(ctx context.Context, instance id.ID, path string, tar io.Writer) error

	// Names says which names the instances of a tenant find in their network, those too that run already, beside the
	// HostAliases of each. What was said before is replaced. It is not kept over a restart of the engine; what instances
	// were told stays with them until it is said again.
	Names(ctx context.Context, tenant string, names map[string]netip.Addr) error
	// Whose tells which instance, of which tenant, has an address now. The network lets nobody send as somebody else, so
	// this is who a connection comes from. It must be quick.
	Whose(addr netip.Addr) (instance id.ID, tenant string, ok bool)

	// Prefetch pulls and unpacks an image so that a later Ensure starts at once.
	Prefetch(ctx context.Context, image string) error
	// Capabilities tells what this engine can and cannot do on this machine.
	Capabilities(ctx context.Context) Capabilities
	// Close lets go of the engine's own resources. Instances go on running.
	Close() error
}

// Want is the requested state of an instance.
type Want struct {
	Image   string            `json:"image"`             // reference by digest: "project/name@sha256:…" in the cloud's own registry
	Command []string          `json:"command,omitempty"` // replaces the image's entry point and arguments when set
	Env     map[string]string `json:"env,omitempty"`     // added to the image's
	Secrets map[string]string `json:"secrets,omitempty"` // as Env, but the engine never prints them nor puts them into labels
	Dir     string            `json:"dir,omitempty"`     // working directory; the image's when empty

	// Files are put into the instance before its process starts. Their content is kept in memory only, like secrets; whoever
	// calls Ensure brings it.
	Files []File `json:"files,omitempty"`

	// Trust holds certificates (PEM) that programs in the instance trust beside those that its image does. The engine puts
	// them where TrustFile says, together with the image's roots (the machine's, where the image has none) into RootsFile, and
	// names these in the variables that programs read, unless image, Env or Secrets set those.
	Trust []byte `json:"trust,omitempty"`

	MilliCPU   int64 `json:"milli_cpu"`   // thousandths of a core, a hard limit; 0 = no limit
	MemoryMiB  int64 `json:"memory_mib"`  // hard limit, swap included; reaching it kills
	Pids       int64 `json:"pids"`        // processes and threads
	StorageMiB int64 `json:"storage_mib"` // writable layer; writes beyond it get ENOSPC

	Network  Network `json:"network"`
	Hostname string  `json:"hostname,omitempty"`

	Labels map[string]string `json:"labels,omitempty"` // kept with the instance and given back by Observe
}

// File is a file of configuration, or a secret, in an instance. It belongs to the instance's user.
type File struct {
	Path    string `json:"path"` // absolute; a file of the image at that path is hidden
	Content []byte `json:"content,omitempty"`
	Mode    uint32 `json:"mode"`           // permission bits, 0400 say
	Live    bool   `json:"live,omitempty"` // Replace may change its content; Want.Hash does not count it
}

// Network says which tenant's network the instance joins. Instances of one Tenant reach each other; nobody else reaches
// them but the cloud's own ingress (from the host), and they reach nothing else unless Egress says so.
type Network struct {
	Tenant string `json:"tenant"` // the project's id
	Egress Egress `json:"egress"`
	// HostAliases are names that resolve inside the instance (written to /etc/hosts).
	HostAliases map[string]netip.Addr `json:"host_aliases,omitempty"`
}

// Egress is where an instance may open connections to beyond its own tenant.
type Egress string

const (
	EgressNone     Egress = ""         // nowhere (the default)
	EgressInternet Egress = "internet" // public addresses, never the host's, the cloud's or another tenant's
)

// Phase is an instance's state.
type Phase string

const (
	PhaseCreated Phase = "created" // made, not started yet
	PhaseRunning Phase = "running"
	PhaseExited  Phase = "exited" // see Exit
)

// Seen is the observed state of an instance.
type Seen struct {
	Phase    Phase
	Address  netip.Addr // inside the tenant's network; reachable from the host
	Pid      int        // of the first process, on the host; 0 when not running
	Started  time.Time
	Restarts int
	Exit     *Exit // the newest exit; nil when it never exited
	Usage    Usage
	Labels   map[string]string
	WantHash string
}

// Exit says how a process ended.
type Exit struct {
	Code      int
	At        time.Time
	OOMKilled bool   // the memory limit was reached
	Reason    string // for people: "killed: memory limit 256 MiB reached at 12:03:07"
}

// Usage is what an instance uses now; counters are since start.
type Usage struct {
	CPU          time.Duration // CPU time consumed
	MemoryBytes  int64         // working set
	Pids         int64
	StorageBytes int64 // in the writable layer; -1 when not known
	RxBytes      int64
	TxBytes      int64
}

// Event is something that happened to an instance.
type Event struct {
	Instance id.ID
	At       time.Time
	Type     EventType
	Exit     *Exit
}

type EventType string

const (
	EventStarted EventType = "started"
	EventExited  EventType = "exited"
	EventOOM     EventType = "oom"
)

// LogQuery selects lines.
type LogQuery struct {
	Since  time.Time // zero: from the start
	Tail   int       // only the newest N; 0: all
	Match  string    // only lines that contain it
	Follow bool
}

// Line is one line of a log, without its newline; longer than 16 KiB it is cut into several.
type Line struct {
	At     time.Time
	Stream string // "stdout" or "stderr"
	Text   string
}

// Exec is a command to run inside an instance.
type Exec struct {
	Command []string
	Env     map[string]string
	TTY     bool
	Rows    uint16 // of the terminal, with TTY
	Cols    uint16
	Resize  <-chan [2]uint16 // rows, columns; may be nil
	Stdin   io.Reader        // nil: empty
	Stdout  io.Writer        // nil: thrown away
	Stderr  io.Writer        // not used with TTY
}

// Capabilities tells what this engine can do here. A false one has its reason, which names what is missing.
type Capabilities struct {
	Name     string // "containerd", "sim"
	Version  string
	Features []Feature
}

// Feature is one ability: "memory limit", "pids limit", "user namespace", "layer quota", "seccomp", "network policy".
type Feature struct {
	Name   string
	OK     bool
	Reason string
}
