// Package machine is the port to whatever runs virtual machines: QEMU on one machine, KubeVirt on many, sim in tests. It
// knows no server row, no policy and no wire format. It may import kernel/fail and kernel/id.
package machine

import (
	"context"
	"encoding/base64"
	"io"
	"iter"
	"net"
	"time"

	"github.com/awancloud/awan/internal/kernel/id"
)

// Engine runs machines.
//
// Every method is safe for concurrent use and may be called again after a crash at any point with the same arguments:
// the second call converges to the same end. Errors are fail errors. Machines outlive the process that made them; an
// engine that is opened again adopts them.
type Engine interface {
	// Ensure makes the machine exist as wanted. A running one takes new disks and NICs and loses those not named any more,
	// live, and gets new limits; what cannot change while it runs (processors, memory, firmware) is refused with
	// fail.Precondition. It returns once the machine runs (its processors turn, not its system), or stands, if
	// want.Running is false and it did not run. A machine that ended by itself is started again.
	Ensure(ctx context.Context, machine id.ID, want Want) (Seen, error)
	Observe(ctx context.Context, machine id.ID) (Seen, error) // fail.Gone when absent
	// Stop asks the system to shut down and pulls the plug after grace; grace 0 pulls it at once. Stopping a stopped or
	// absent one is success.
	Stop(ctx context.Context, machine id.ID, grace time.Duration) error
	// Reset is the button: the machine starts anew at once, keeping its devices.
	Reset(ctx context.Context, machine id.ID) error
	Pause(ctx context.Context, machine id.ID, paused bool) error
	Destroy(ctx context.Context, machine id.ID) error // not its disks
	List(ctx context.Context) iter.Seq2[id.ID, error]
	// Events yields what happened from now on (ended, crashed, rebooted, shut down from inside) until ctx ends. Slow readers
	// lose events, so a reader must also Observe.
	Events(ctx context.Context) iter.Seq2[Event, error]

	// Overlay makes the machine write a disk into layer from now on, which was made on top of what it writes now: the moment
	// of a snapshot. With quiesce the guest's file systems are frozen first if its agent answers; the answer tells.
	Overlay(ctx context.Context, machine, disk id.ID, layer Drive, quiesce bool) (consistent bool, err error)
	// Resized makes a disk of a running machine bytes large and tells the guest: the layer that is written grows with it, so
	// nothing else may write that layer's header meanwhile. It never shrinks; a size that it has already is success.
	Resized(ctx context.Context, machine, disk id.ID, bytes int64) error

	// Serial joins the serial console; several may watch at once, each from when it joins. VNC joins the screen (RFB
	// protocol), one at a time. fail.Precondition while the machine does not run.
	Serial(ctx context.Context, machine id.ID) (io.ReadWriteCloser, error)
	VNC(ctx context.Context, machine id.ID) (net.Conn, error)
	// Log gives what the serial console wrote, its last max bytes (0: all that is kept).
	Log(ctx context.Context, machine id.ID, max int64) ([]byte, error)
	// SetPassword speaks to the agent inside; fail.Unavailable when none answers.
	SetPassword(ctx context.Context, machine id.ID, user, password string) error

	Capacity(ctx context.Context) (Capacity, error)
	Capabilities(ctx context.Context) Capabilities
	Close() error // machines go on running
}

// Want is the requested state of a machine.
type Want struct {
	Name      string `json:"name"` // for people, in process lists
	CPUs      int    `json:"cpus"`
	MilliCPU  int    `json:"milli_cpu"` // hard limit in thousandths of a core; 0: CPUs × 1000
	MemoryMiB int64  `json:"memory_mib"`
	Running   bool   `json:"running"`

	Disks []Disk `json:"disks"` // the first boots
	NICs  []NIC  `json:"nics"`
	// Seed is the NoCloud seed: meta-data, user-data, network-config, vendor-data. It may hold secrets: the engine keeps it
	// readable for the machine only.
	Seed map[string][]byte `json:"seed,omitempty"`
	// Kernel boots without firmware, where the image says so (quicker without KVM). Paths on this machine.
	Kernel  *Kernel `json:"kernel,omitempty"`
	UUID    string  `json:"uuid"`    // what the guest sees as its system's UUID
	Serial  string  `json:"serial"`  // … and as its serial number
	Machine string  `json:"machine"` // "pc", "q35", "microvm"; "": the engine's choice
}

// Kernel is booted directly.
type Kernel struct {
	Image, Initrd, Command string
}

// Disk is a drive in a slot.
type Disk struct {
	ID     id.ID  `json:"id"`
	Device string `json:"device"` // "vda": the slot
	Serial string `json:"serial"` // what the guest sees, at most 20 characters
	Drive  Drive  `json:"drive"`
	// Limits, enforced outside the guest. 0: none.
	IOPS         int64 `json:"iops"`
	Bytes        int64 `json:"bytes"` // per second
	IOPSBurst    int64 `json:"iops_burst"`
	BytesBurst   int64 `json:"bytes_burst"`
	ReadOnly     bool  `json:"read_only"`
	SCSI         bool  `json:"scsi"` // virtio-scsi instead of virtio-blk
	CDROM        bool  `json:"cdrom"`
	WriteThrough bool  `json:"write_through"`
}

// Drive is where the bytes of a disk lie: what the disk engine's Attach gave. The machine engine opens the files and hands
// them over as descriptors, the top one for reading and writing, those below for reading: the process of a machine needs no
// right to a path. Every layer has the same format; what a layer's header says of others is not followed.
type Drive struct {
	Path   string `json:"path"`
	Format string `json:"format"` // "qcow2", "raw"
	// Keys open encrypted layers, by path: this one and those it stands on. Never logged, never on a command line.
	// LUKS gets Passphrase(key).
	Keys map[string][]byte `json:"-"`
	// Backing are the layers below, nearest first: every one of them, none is found by itself.
	Backing []string `json:"backing,omitempty"`
}

// NIC is a network card.
type NIC struct {
	ID        id.ID            `json:"id"` // of the port
	MAC       net.HardwareAddr `json:"mac"`
	Device    string           `json:"device"`    // the tap; it may belong to root
	Namespace string           `json:"namespace"` // where it is, a path or a name below /run/netns; "": the machine's own
	MTU       int              `json:"mtu"`
	Queues    int              `json:"queues"`
}

// Phase is a machine's state.
type Phase string

const (
	PhaseRunning Phase = "running"
	PhasePaused  Phase = "paused"
	PhaseStopped Phase = "stopped" // see Exit
)

// Seen is the observed state of a machine.
type Seen struct {
	Phase       Phase
	Accelerator string // "kvm", "tcg", "sim"
	Pid         int
	Started     time.Time
	Disks       map[id.ID]string // id → device
	NICs        []id.ID
	CPUs        int
	MemoryMiB   int64
	Agent       bool // the agent inside answers
	Usage       Usage
	Exit        *Exit
	Boots       int // times its system started, reboots from inside included
}

// Usage counts since the start.
type Usage struct {
	CPU                   time.Duration
	MemoryBytes           int64 // of the process on the host
	ReadBytes, WriteBytes int64
	ReadOps, WriteOps     int64
}

// Exit says how a machine ended.
type Exit struct {
	At     time.Time
	Clean  bool   // the system inside shut down
	Reason string // for people
}

// Event is something that happened to a machine.
type Event struct {
	Machine id.ID
	At      time.Time
	Kind    string // "started", "stopped" (by Stop or Destroy), "shutdown" (from inside), "crashed", "reset"
	Detail  string
}

// Capacity is what this machine has to give, and what machines have of it.
type Capacity struct {
	CPUs, UsedCPUs           int
	MemoryMiB, UsedMemoryMiB int64
	Machines                 int
}

// Capabilities say what the engine does here, and why not.
type Capabilities struct {
	Name        string            // "qemu", "sim"
	Version     string            // of what it runs
	Accelerator string            // "kvm", "tcg", "sim"
	Why         string            // how that was decided, for people
	Missing     map[string]string // feature → why
}

// Passphrase is what LUKS is given for a data key: text, as LUKS wants, whatever bytes the key has.
func Passphrase(key []byte) string { return base64.StdEncoding.EncodeToString(key) }
