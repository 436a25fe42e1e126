package volume

import (
	"slices"
	"time"

	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
)

// TypeSpec says what volumes of a type are allowed.
type TypeSpec struct {
	Description      string  `json:"description" doc:"what it is for" max:"512"`
	Class            string  `json:"class" doc:"what it is billed as: one of the catalogue's types" required:"true" immutable:"true" max:"32"`
	IOPS             int64   `json:"iops" doc:"operations per second of the smallest volume" unit:"1/s" required:"true" min:"1" max:"10000000"`
	IOPSPerGiB       int64   `json:"iops_per_gib" doc:"more of them for each GiB" unit:"1/s" min:"0" max:"1000000"`
	MaxIOPS          int64   `json:"max_iops" doc:"the most; 0: as many as one gets by size" unit:"1/s" min:"0" max:"10000000"`
	Throughput       int64   `json:"throughput" doc:"throughput of the smallest volume" unit:"MiB/s" required:"true" min:"1" max:"100000"`
	ThroughputPerGiB float64 `json:"throughput_per_gib" doc:"more for each GiB" unit:"MiB/s"`
	MaxThroughput    int64   `json:"max_throughput" doc:"the most; 0: as much as one gets by size" unit:"MiB/s" min:"0" max:"100000"`
	ChooseIOPS       bool    `json:"choose_iops" doc:"whoever makes a volume says how many, up to the most"`
	ChooseThroughput bool    `json:"choose_throughput" doc:"whoever makes a volume says how much, up to the most"`
	MaxSize          int64   `json:"max_size" doc:"largest volume" unit:"GiB" default:"32768" min:"1" max:"65536"`
	Default          bool    `json:"default" doc:"taken when none is asked for"`
	Disabled         bool    `json:"disabled" doc:"no new volumes of it; those that there are go on"`
	// Extra are kept, and do nothing.
	Extra    map[string]string `json:"extra,omitempty" doc:"extra specs that clients look for"`
	Private  bool              `json:"private,omitempty" doc:"only volumes of the projects named may have it"`
	Projects []string          `json:"projects,omitempty" doc:"ids of the projects that a private one is for" max:"1000"`
}

// For tells whether new volumes of a project may have the type.
func (t *TypeSpec) For(project id.ID) bool {
	return !t.Disabled && (!t.Private || slices.Contains(t.Projects, string(project)))
}

// TypeStatus tells where it comes from.
type TypeStatus struct {
	Catalogue bool `json:"catalogue" doc:"comes with the cloud"`
}

// Spec describes a volume.
type Spec struct {
	Size        int64             `json:"size" doc:"how large; it can grow, also in use. 0: as large as what it is made from" unit:"GiB" min:"0" max:"65536" example:"10"`
	Type        string            `json:"type" doc:"what it may do per second; empty: the default type" ref:"volume/volume-type" max:"255"`
	Source      Source            `json:"source" doc:"what it is made from; nothing: it is empty" immutable:"true"`
	Bootable    bool              `json:"bootable" doc:"servers may boot from it; what is made from an image is"`
	Encrypted   bool              `json:"encrypted" doc:"with a key of its own, which the project's key protects" default:"true" immutable:"true"`
	Zone        string            `json:"availability_zone" doc:"where it is; empty: anywhere" immutable:"true" max:"64"`
	IOPS        int64             `json:"iops" doc:"operations per second, for types that let one choose; 0: the type's" unit:"1/s" min:"0"`
	Throughput  int64             `json:"throughput" doc:"throughput, for types that let one choose; 0: the type's" unit:"MiB/s" min:"0"`
	SCSI        bool              `json:"scsi" doc:"servers see a SCSI disk, not a virtio one" immutable:"true"`
	Description string            `json:"description" doc:"what it is for" max:"1024"`
	Metadata    map[string]string `json:"metadata" doc:"what clients keep with it" max:"128"`
}

// Source is what a volume is made from: one of these.
type Source struct {
	Image    string `json:"image,omitempty" doc:"an image that the project may use" ref:"image/image" max:"255"`
	Snapshot string `json:"snapshot,omitempty" doc:"a snapshot of the project" ref:"volume/snapshot" max:"255"`
	Volume   string `json:"volume,omitempty" doc:"a volume of the project, as it is at the moment" ref:"volume/volume" max:"255"`
}

// Status is what came of it.
type Status struct {
	Attachments []Attachment `json:"attachments,omitempty" doc:"the server that has it"`
	Class       string       `json:"class" doc:"what it is billed as"`
	IOPS        int64        `json:"iops" doc:"operations per second that it may do" unit:"1/s"`
	Throughput  int64        `json:"throughput" doc:"how much it may read and write" unit:"MiB/s"`
	Allocated   int64        `json:"allocated" doc:"what it takes on the cloud's disks" unit:"bytes"`
	Image       *ImageMeta   `json:"image,omitempty" doc:"the image that it was made from"`
	Transfer    id.ID        `json:"transfer,omitempty" doc:"the offer to give it to another project"`
	Reverted    id.ID        `json:"reverted,omitempty" doc:"the snapshot that it was brought back to last"`
	Note        string       `json:"note,omitempty" doc:"what is wrong with it"`
}

// Attachment is a server that has a volume.
type Attachment struct {
	Server id.ID     `json:"server" doc:"the server's id"`
	Device string    `json:"device" doc:"as what the server sees it: vdb"`
	At     time.Time `json:"at" doc:"since when"`
}

// ImageMeta is what is remembered of an image, which may be gone.
type ImageMeta struct {
	ID           id.ID             `json:"id" doc:"the image's id"`
	Name         string            `json:"name" doc:"its name"`
	OS           string            `json:"os,omitempty" doc:"system"`
	OSVersion    string            `json:"os_version,omitempty" doc:"system and version"`
	OSType       string            `json:"os_type,omitempty" doc:"family of the system"`
	Architecture string            `json:"architecture,omitempty" doc:"processors that it runs on"`
	Firmware     string            `json:"firmware,omitempty" doc:"how it boots"`
	User         string            `json:"user,omitempty" doc:"who logs in"`
	MinDisk      int64             `json:"min_disk,omitempty" doc:"smallest disk" unit:"GiB"`
	MinMemory    int64             `json:"min_memory,omitempty" doc:"least memory" unit:"MiB"`
	Format       string            `json:"format,omitempty" doc:"format of the image's file"`
	Bytes        int64             `json:"size,omitempty" doc:"length of the image's file" unit:"bytes"`
	SHA256       string            `json:"sha256,omitempty" doc:"its sum"`
	Properties   map[string]string `json:"properties,omitempty" doc:"what clients kept with the image"`
}

// SnapshotSpec describes a snapshot.
type SnapshotSpec struct {
	Volume      string            `json:"volume" doc:"the volume whose content it keeps" required:"true" immutable:"true" ref:"volume/volume" max:"255"`
	Description string            `json:"description" doc:"what it is for" max:"1024"`
	Metadata    map[string]string `json:"metadata" doc:"what clients keep with it" max:"128"`
}

// SnapshotStatus is what came of it.
type SnapshotStatus struct {
	Size       int64     `json:"size" doc:"how large the volume was" unit:"GiB"`
	VolumeName string    `json:"volume_name" doc:"what the volume was called"`
	Taken      time.Time `json:"taken,omitzero" doc:"the moment whose content it keeps"`
	Consistent bool      `json:"consistent" doc:"the server froze its file systems for that moment, or did not run; else it is as after a power cut"`
	Allocated  int64     `json:"allocated" doc:"what it takes on the cloud's disks" unit:"bytes"`
}

// TransferSpec offers a volume.
type TransferSpec struct {
	Volume string `json:"volume" doc:"the volume to give away" required:"true" immutable:"true" ref:"volume/volume" max:"255"`
}

// TransferStatus holds the key by which it is taken.
type TransferStatus struct {
	AuthKey string `json:"auth_key,omitempty" doc:"key that another project accepts the volume with; shown once" secret:"true"`
	Volume  string `json:"volume_name" doc:"what the volume is called"`
	Size    int64  `json:"size" doc:"how large it is" unit:"GiB"`
}

// Rows of this service.
type (
	Row      = kind.Row[Spec, Status]
	Type     = kind.Row[TypeSpec, TypeStatus]
	Snapshot = kind.Row[SnapshotSpec, SnapshotStatus]
	Transfer = kind.Row[TransferSpec, TransferStatus]
)

// GiB in bytes.
const GiB = 1 << 30

const mib = 1 << 20
