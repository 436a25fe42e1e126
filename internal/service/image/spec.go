package image

import (
	"time"

	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
)

// Spec describes an image. Those of the cloud and those of projects share it.
type Spec struct {
	Description  string            `json:"description" doc:"what it is" max:"1024"`
	Source       Source            `json:"source" doc:"what it is made from; nothing: its content is uploaded (awan image upload)" immutable:"true"`
	Format       string            `json:"format" doc:"format of what is uploaded; empty: found out from the content" enum:",qcow2,raw,vmdk,vhd,vhdx,vdi,iso" immutable:"true"`
	MinDisk      int64             `json:"min_disk" doc:"smallest disk that it fits on" unit:"GiB" min:"0" max:"65536"`
	MinMemory    int64             `json:"min_memory" doc:"least memory of servers that are made from it" unit:"MiB" min:"0" max:"4194304"`
	OS           string            `json:"os" doc:"system inside: debian, ubuntu, windows and so on" max:"64"`
	OSVersion    string            `json:"os_version" doc:"the system and its version in words" max:"128" example:"Debian GNU/Linux 12 64bit"`
	OSType       string            `json:"os_type" doc:"family of the system" enum:"linux,windows,other" default:"linux"`
	Architecture string            `json:"architecture" doc:"processors that it runs on" enum:"x86_64,aarch64" default:"x86_64"`
	User         string            `json:"user" doc:"who logs in with a server's key pair" max:"64"`
	Firmware     string            `json:"firmware" doc:"how it boots" enum:"bios,uefi" default:"bios"`
	Protected    bool              `json:"protected" doc:"cannot be deleted"`
	Hidden       bool              `json:"hidden" doc:"left out of lists that do not ask for hidden ones"`
	Properties   map[string]string `json:"properties" doc:"what clients keep with it" max:"128"`
	Recipe       string            `json:"recipe" doc:"how the cloud makes it itself; for images of the catalogue" immutable:"true" max:"64"`
	Alias        string            `json:"alias" doc:"another image of the cloud that this name stands for: the operator's choice" ref:"image/public-image" max:"255"`
}

// Source is what an image is made from: one of these.
type Source struct {
	Volume   string `json:"volume,omitempty" doc:"a volume of the project; one in use is taken as at one moment" ref:"volume/volume"`
	Snapshot string `json:"snapshot,omitempty" doc:"a snapshot of the project" ref:"volume/snapshot"`
	Bucket   string `json:"bucket,omitempty" doc:"a bucket of the project that holds an image file" ref:"bucket/bucket"`
	Object   string `json:"object,omitempty" doc:"the file in the bucket" max:"1024"`
}

// Status is what came of it.
type Status struct {
	Phase      string    `json:"phase" doc:"queued: waits for its content; saving; active; deactivated: kept, but nothing is made from it; on-demand: made when it is first used"`
	Format     string    `json:"format,omitempty" doc:"format of what came"`
	Size       int64     `json:"size" doc:"length of what came" unit:"bytes"`
	Bytes      int64     `json:"virtual_size" doc:"size of the disk inside" unit:"bytes"`
	Allocated  int64     `json:"allocated" doc:"what it takes here" unit:"bytes"`
	MD5        string    `json:"md5,omitempty" doc:"MD5 of what came"`
	SHA256     string    `json:"sha256,omitempty" doc:"SHA-256 of what came"`
	SHA512     string    `json:"sha512,omitempty" doc:"SHA-512 of what came"`
	Consistent bool      `json:"consistent,omitempty" doc:"the file systems inside were frozen when it was taken"`
	Members    []Member  `json:"members,omitempty" doc:"projects that it is shared with"`
	Server     string    `json:"server,omitempty" doc:"server that the volume was in when it was taken"`
	Note       string    `json:"note,omitempty" doc:"why the last upload failed"`
	Ready      time.Time `json:"ready,omitzero" doc:"since when it can be used"`
}

// Phases of an image.
const (
	Queued      = "queued"
	Saving      = "saving"
	Usable      = "active"
	Deactivated = "deactivated"
	OnDemand    = "on-demand"
)

// Member is a project that an image is shared with.
type Member struct {
	Project id.ID     `json:"project" doc:"the project's id"`
	State   string    `json:"state" doc:"pending, accepted or rejected: what that project said"`
	Created time.Time `json:"created" doc:"since when"`
	Updated time.Time `json:"updated" doc:"when that was said"`
}

// Row is a stored image.
type Row = kind.Row[Spec, Status]

// OfferSpec is another project's image, offered to this one.
type OfferSpec struct {
	Image   id.ID  `json:"image" doc:"the image's id"`
	Title   string `json:"title" doc:"the image's name"`
	Owner   id.ID  `json:"owner" doc:"the project that it belongs to"`
	Comment string `json:"description,omitempty" doc:"what it is"`
}

// OfferStatus is what this project said.
type OfferStatus struct {
	State string `json:"state" doc:"pending, accepted or rejected"`
}

// What a project says to an image that is offered to it.
const (
	Pending  = "pending"
	Accepted = "accepted"
	Rejected = "rejected"
)

// Offer is a stored offer.
type Offer = kind.Row[OfferSpec, OfferStatus]
