package compute

import (
	"time"

	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
)

// ServerSpec describes a server: a virtual machine with its disks and network cards.
type ServerSpec struct {
	Flavor string `json:"flavor" doc:"how large it is" required:"true" ref:"compute/flavor" example:"s6.small.1" max:"255"`
	Image  string `json:"image" doc:"what it boots: name or id of an image; empty when it boots from a volume that is there" ref:"image/image" example:"Debian 12" max:"255"`
	Root   Root   `json:"root" doc:"the disk it boots from"`

	Volumes   []Volume `json:"volumes,omitempty" doc:"further disks, from the start" max:"23"`
	Networks  []Card   `json:"networks,omitempty" doc:"its network cards; none: one in the project's default subnet" max:"12"`
	Unplugged bool     `json:"unplugged" doc:"it begins without a network card" immutable:"true"`
	Groups    []string `json:"groups,omitempty" doc:"security groups of its cards, by name or id; none: the project's default group" max:"10"`
	PublicIP  *Public  `json:"public_ip,omitempty" doc:"a public address for its first card"`

	KeyPair  string            `json:"key_pair" doc:"key pair whose owner may log in by ssh" ref:"keypair/keypair" max:"255"`
	Password string            `json:"password,omitempty" doc:"password of the image's user; without one nobody logs in by password" secret:"true" max:"255"`
	UserData string            `json:"user_data,omitempty" doc:"what cloud-init runs at the first start: a script or #cloud-config" max:"65536" immutable:"true"`
	Files    []File            `json:"files,omitempty" doc:"what cloud-init writes into it at the first start" max:"20" immutable:"true"`
	Hostname string            `json:"hostname" doc:"what it calls itself; empty: made from its name. Another is told to programs inside by the metadata service, and taken over at a rebuild" max:"63" pattern:"^([A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)?$"`
	Metadata map[string]string `json:"metadata,omitempty" doc:"labels that programs inside read from the metadata service"`
	Agency   string            `json:"agency" doc:"agency whose temporary keys programs inside get from the metadata service" max:"64"`

	Zone        string `json:"zone" doc:"availability zone; empty: the cloud's choice" max:"64" immutable:"true"`
	Group       string `json:"group" doc:"server group: which servers stand together or apart" ref:"compute/server-group" max:"255" immutable:"true"`
	Description string `json:"description" doc:"what it is for" max:"255"`
	Stopped     bool   `json:"stopped" doc:"it is switched off, and neither processors nor memory are charged"`
	Locked      bool   `json:"locked" doc:"nobody stops, changes or deletes it before it is unlocked"`
	// ReleaseIP deletes its public addresses with it.
	ReleaseIP bool `json:"release_ip" doc:"its public addresses are deleted with it"`

	CPUs   int   `json:"cpus,omitempty" doc:"virtual processors; the flavour says how many" min:"0"`
	Memory int64 `json:"memory,omitempty" doc:"memory; the flavour says how much" unit:"MiB" min:"0"`

	Foreign map[string]string `json:"foreign,omitempty" form:"-" doc:"what another cloud's client said and this one does not use"`
}

// Root is the disk that a server boots from.
type Root struct {
	Volume     string `json:"volume" doc:"a bootable volume that is there; empty: one is made from the image" ref:"volume/volume" max:"255" immutable:"true"`
	Size       int    `json:"size" doc:"of the volume that is made; 0: what image and flavour ask for" unit:"GiB" min:"0" max:"32768" immutable:"true"`
	Type       string `json:"type" doc:"volume type of the volume that is made" ref:"volume/type" max:"64" immutable:"true"`
	IOPS       int    `json:"iops,omitempty" doc:"for types that let it be chosen" min:"0" immutable:"true"`
	Throughput int    `json:"throughput,omitempty" doc:"for types that let it be chosen" unit:"MiB/s" min:"0" immutable:"true"`
	Keep       bool   `json:"keep" doc:"the volume stays when the server is deleted"`
	Encryption string `json:"encryption,omitempty" doc:"a key of one's own: not offered, and refused; each volume has a key that the project's protects" max:"64" immutable:"true"`
}

// Volume is a further disk.
type Volume struct {
	Volume     string `json:"volume" doc:"a volume that is there; empty: one is made" ref:"volume/volume" max:"255"`
	Name       string `json:"name,omitempty" doc:"of the volume that is made" max:"255"`
	Size       int    `json:"size" doc:"of the volume that is made" unit:"GiB" min:"0" max:"32768"`
	Type       string `json:"type" doc:"volume type of the volume that is made" ref:"volume/type" max:"64"`
	Image      string `json:"image,omitempty" doc:"image that the volume is made from" ref:"image/image" max:"255"`
	Snapshot   string `json:"snapshot,omitempty" doc:"snapshot that the volume is made from" ref:"volume/snapshot" max:"255"`
	IOPS       int    `json:"iops,omitempty" doc:"for types that let it be chosen" min:"0"`
	Throughput int    `json:"throughput,omitempty" doc:"for types that let it be chosen" unit:"MiB/s" min:"0"`
	Device     string `json:"device,omitempty" doc:"vdb, vdc, …; empty: the next that is free" pattern:"^(/dev/)?([sv]d[b-z])?$"`
	Delete     bool   `json:"delete" doc:"it is deleted with the server"`
}

// Card is a network card.
type Card struct {
	Port    string   `json:"port" doc:"a port that is there; empty: one is made" ref:"network/port" max:"255"`
	Subnet  string   `json:"subnet" doc:"where the port is made; empty: the project's default subnet" ref:"network/subnet" max:"255"`
	Address string   `json:"address,omitempty" doc:"the address it has; empty: any that is free" max:"64"`
	IPv6    bool     `json:"ipv6,omitempty" doc:"it gets an IPv6 address too, where the subnet has them"`
	Groups  []string `json:"groups,omitempty" doc:"security groups of this card; none: the server's" max:"10"`
}

// File is a file that is there from the first start.
type File struct {
	Path    string `json:"path" doc:"where it is" required:"true" max:"255" pattern:"^/.*[^/]$" example:"/etc/motd"`
	Content string `json:"content" doc:"what is in it, in base64" max:"65536"`
}

// Public is a public address.
type Public struct {
	Address   string `json:"address" doc:"a public address that is there; empty: one is made" ref:"network/public-ip" max:"255"`
	Bandwidth int    `json:"bandwidth" doc:"of the address that is made; 0: the cloud's default" unit:"Mbit/s" min:"0" max:"10000"`
}

// Power is whether a server runs.
type Power string

// What power can be.
const (
	On      Power = "running"
	Off     Power = "stopped"
	Paused  Power = "paused"
	Crashed Power = "crashed" // it ended by itself and could not be started again
)

// ServerStatus is what came of it.
type ServerStatus struct {
	Power       Power     `json:"power" doc:"running, stopped, paused or crashed"`
	Addresses   []string  `json:"addresses,omitempty" doc:"of all its cards"`
	PublicIP    string    `json:"public_ip,omitempty" doc:"the public address of its first card"`
	Cards       []NIC     `json:"cards,omitempty" doc:"its network cards"`
	Disks       []Disk    `json:"disks,omitempty" doc:"its disks; the first boots"`
	Image       id.ID     `json:"image,omitempty" doc:"id of the image it was made from"`
	User        string    `json:"user,omitempty" doc:"whom to log in as"`
	Accelerator string    `json:"accelerator,omitempty" doc:"kvm: the machine's own processors; tcg: they are emulated, much slower"`
	Host        string    `json:"host,omitempty" doc:"the machine it runs on"`
	Launched    time.Time `json:"launched,omitzero" doc:"when it was first started"`
	PublicKey   string    `json:"public_key,omitempty" doc:"of its key pair, when it was made"`
	Hostname    string    `json:"hostname,omitempty" doc:"what it calls itself"`
	GroupID     id.ID     `json:"group,omitempty" doc:"id of its server group"`
	Ended       string    `json:"ended,omitempty" doc:"why it stopped last"`

	Resize  *Resize  `json:"resize,omitempty" doc:"a change of flavour that is under way or waits to be confirmed"`
	Rebuild *Rebuild `json:"rebuild,omitempty" doc:"a new disk that is being put in"`
	Reboot  string   `json:"reboot,omitempty" doc:"soft or hard, while it reboots"`
	Unplug  bool     `json:"unplug,omitempty" doc:"it is switched off at once, not shut down"`
}

// NIC is a network card that the server has.
type NIC struct {
	Port      id.ID    `json:"port,omitempty" doc:"its port"`
	Key       string   `json:"key" doc:"tells it from others before it has a port"`
	Want      Card     `json:"want" doc:"what was asked for"`
	Own       bool     `json:"own" doc:"the port was made for the server and goes with it"`
	Subnet    id.ID    `json:"subnet,omitempty" doc:"its subnet"`
	VPC       id.ID    `json:"vpc,omitempty" doc:"its VPC"`
	MAC       string   `json:"mac,omitempty" doc:"its hardware address"`
	Addresses []string `json:"addresses,omitempty" doc:"its addresses"`
	Phase     Phase    `json:"phase" doc:"attaching, attached, detaching or withdrawn"`
}

// Disk is a volume that the server has.
type Disk struct {
	Volume id.ID  `json:"volume,omitempty" doc:"the volume"`
	Key    string `json:"key" doc:"tells it from others before it has a volume"`
	Want   Volume `json:"want" doc:"what was asked for"`
	Device string `json:"device" doc:"what it is called inside: vda, vdb, …"`
	Boot   bool   `json:"boot" doc:"the server boots from it"`
	Own    bool   `json:"own" doc:"the volume was made for the server"`
	Delete bool   `json:"delete" doc:"it is deleted with the server"`
	Size   int    `json:"size,omitempty" doc:"its size when it was attached" unit:"GiB"`
	Phase  Phase  `json:"phase" doc:"attaching, attached, detaching or withdrawn"`
}

// Phase of a device.
type Phase string

// Phases of a device.
const (
	Attaching Phase = "attaching"
	Attached  Phase = "attached"
	Detaching Phase = "detaching"
	Withdrawn Phase = "withdrawn" // it could not be attached
)

func (p Phase) leaves() bool { return p == Detaching || p == Withdrawn }

// Resize is a change of flavour.
type Resize struct {
	From       string `json:"from" doc:"the flavour before"`
	FromCPUs   int    `json:"from_cpus" doc:"its processors"`
	FromMemory int64  `json:"from_memory" doc:"its memory" unit:"MiB"`
	Confirm    bool   `json:"confirm" doc:"it waits for confirm-resize or revert-resize"`
}

// Rebuild is a change of the disk it boots from.
type Rebuild struct {
	Image id.ID  `json:"image" doc:"the new image"`
	Key   string `json:"key" doc:"tells this rebuild from others"`
	Old   id.ID  `json:"old,omitempty" doc:"the volume before"`
	New   id.ID  `json:"new,omitempty" doc:"the volume that takes its place"`
}

type serverRow = kind.Row[ServerSpec, ServerStatus]
