package glance

import (
	"cmp"
	"strings"

	"github.com/awancloud/awan/internal/dialect/openstack/rest"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/service/image"
)

// What an image keeps of what clients said, among its properties; clients do not see these as such.
const (
	kept           = "glance:"
	keptVisibility = kept + "visibility"
	keptDisk       = kept + "disk_format"
	keptContainer  = kept + "container_format"
	keptWithout    = kept + "without:" // and a property that the client took away, whereas this cloud says something of it
)

// status is an image's state in Glance's words.
func status(r *image.Row) string {
	switch {
	case r.State == kind.Creating:
		return "saving"
	case r.State == kind.Failed && r.Status.Phase != image.Usable:
		return "killed"
	case r.State == kind.Deleting, r.State == kind.Trashed:
		return "pending_delete"
	case r.Status.Phase == image.OnDemand: // made when it is first used
		return "active"
	}
	return r.Status.Phase
}

func (f found) public() bool { return f.of.Scope == kind.InCloud }

func (f found) visibility() string {
	if f.public() {
		return "public"
	}
	return cmp.Or(f.Spec.Properties[keptVisibility], "shared")
}

func (f found) diskFormat() string {
	return cmp.Or(f.Spec.Format, f.Spec.Properties[keptDisk], f.Status.Format, map[bool]string{true: "qcow2"}[status(f.Row) == "active"])
}

func (f found) containerFormat() string {
	return cmp.Or(f.Spec.Properties[keptContainer], map[bool]string{true: "bare"}[status(f.Row) == "active" || f.diskFormat() != ""])
}

// identical tells whether what is downloaded is, byte for byte, what was uploaded; other formats are written anew.
func (f found) identical() bool { return f.Status.Format == "raw" }

// words are the properties that this cloud has fields for.
func words(s *image.Spec) map[string]*string {
	return map[string]*string{"os_distro": &s.OS, "os_version": &s.OSVersion, "os_type": &s.OSType, "architecture": &s.Architecture, "hw_firmware_type": &s.Firmware,
		"os_admin_user": &s.User, "description": &s.Description}
}

// fields are their names in our spec.
func fields() map[string]string {
	return map[string]string{"os_distro": "os", "os_version": "os_version", "os_type": "os_type", "architecture": "architecture", "hw_firmware_type": "firmware",
		"os_admin_user": "user", "description": "description"}
}

// view is an image as clients read it.
func (f found) view() map[string]any {
	r := f.Row
	v := map[string]any{}
	for k, p := range r.Spec.Properties {
		if !strings.HasPrefix(k, kept) {
			v[k] = p
		}
	}
	for k, p := range words(&r.Spec) {
		if *p != "" && r.Spec.Properties[keptWithout+k] == "" {
			v[k] = *p
		}
	}
	at := "/v2/images/" + r.ID.Dashed()
	more := map[string]any{"id": r.ID.Dashed(), "name": rest.Null(rest.NameOf(&r.Meta)), "status": status(r), "visibility": f.visibility(), "protected": r.Spec.Protected,
		"os_hidden": r.Spec.Hidden, "min_disk": r.Spec.MinDisk, "min_ram": r.Spec.MinMemory, "disk_format": rest.Null(f.diskFormat()), "container_format": rest.Null(f.containerFormat()),
		"created_at": rest.Time(r.Created), "updated_at": rest.Time(r.Updated), "tags": rest.Tags(&r.Meta), "owner": rest.Null(string(r.Project)),
		"size": nil, "virtual_size": nil, "checksum": nil, "os_hash_algo": nil, "os_hash_value": nil,
		"self": at, "file": at + "/file", "schema": "/v2/schemas/image"}
	if r.Status.Size > 0 {
		more["size"], more["virtual_size"] = r.Status.Size, r.Status.Bytes
	}
	if f.identical() && r.Status.MD5 != "" {
		more["checksum"] = r.Status.MD5
		if r.Status.SHA512 != "" {
			more["os_hash_algo"], more["os_hash_value"] = "sha512", r.Status.SHA512
		}
	}
	for k, p := range more {
		v[k] = p
	}
	return v
}
