package ims

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/awancloud/awan/internal/dialect/huawei/rest"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/service/image"
)

// Words of this API that are kept with an image.
const (
	origin    = "__data_origin"
	maxRAM    = "max_ram"
	imageKind = "virtual_env_type" // FusionCompute: boots; DataImage: does not
)

const dataImage = "DataImage"

// status is an image's state in this API's words.
func status(r *row) string {
	switch {
	case r.State == kind.Creating || r.Status.Phase == image.Saving:
		return "saving"
	case !r.Made:
		return "killed"
	case r.State == kind.Deleting:
		return "deleted"
	case r.Status.Phase == image.OnDemand:
		return "active"
	}
	return r.Status.Phase
}

// typeOf tells the cloud's images (gold) from the project's (private) and those that it accepted (shared).
func (a *API) typeOf(r *row, project id.ID) string {
	switch {
	case r.Kind == a.Images.Public.D.FullName():
		return "gold"
	case r.Project != project:
		return "shared"
	}
	return "private"
}

// platforms are systems as this API writes them.
func platforms() map[string]string {
	return map[string]string{"debian": "Debian", "ubuntu": "Ubuntu", "centos": "CentOS", "fedora": "Fedora", "windows": "Windows", "euleros": "EulerOS",
		"redhat": "RedHat", "rhel": "RedHat", "suse": "SUSE", "opensuse": "OpenSUSE", "coreos": "CoreOS", "oracle": "Oracle Linux"}
}

func platform(r *row) string {
	if p, ok := platforms()[strings.ToLower(r.Spec.OS)]; ok {
		return p
	}
	return "Other"
}

// view is an image as this API shows it to a project.
func (a *API) view(r *row, project id.ID) map[string]any {
	typ := a.typeOf(r, project)
	visibility := map[string]string{"gold": "public", "private": "private", "shared": "shared"}[typ]
	owner := string(r.Project)
	if typ == "gold" {
		owner = "awan"
	}
	osType := map[string]string{"linux": "Linux", "windows": "Windows"}[r.Spec.OSType]
	if osType == "" {
		osType = "Other"
	}
	v := map[string]any{}
	for k, p := range r.Spec.Properties {
		v[k] = p
	}
	maps.Copy(v, map[string]any{"id": rest.ID(r.ID), "name": r.Name, "status": status(r), "visibility": visibility, "owner": owner, "protected": r.Spec.Protected || typ == "gold",
		"created_at": rest.Stamp(r.Created), "updated_at": rest.Stamp(r.Updated), "active_at": rest.Stamp(r.Status.Ready), "min_disk": r.Spec.MinDisk, "min_ram": r.Spec.MinMemory,
		"max_ram": r.Spec.Properties[maxRAM], "size": 0, "virtual_size": nil, "checksum": r.Status.MD5, "container_format": "bare", "disk_format": diskFormat(r),
		"file": "/v2/images/" + rest.ID(r.ID) + "/file", "self": "/v2/images/" + rest.ID(r.ID), "schema": "/v2/schemas/image", "tags": rest.Pairs(r.Tags), "deleted": false,
		"enterprise_project_id": rest.Enterprise(&r.Meta), "virtual_env_type": kindOf(r), "hw_firmware_type": r.Spec.Firmware,
		"__image_size": strconv.FormatInt(r.Status.Size, 10), "__image_source_type": "uds", "__imagetype": typ, "__isregistered": "true", "__description": r.Spec.Description,
		"__os_type": osType, "__os_version": r.Spec.OSVersion, "__os_bit": "64", "__platform": platform(r), "__support_kvm": "true", "__support_arm": strconv.FormatBool(r.Spec.Architecture == "aarch64"),
		"__originalimagename": r.Name, "__root_origin": "file", "__system_support_market": false})
	return v
}

func kindOf(r *row) string {
	if t := r.Spec.Properties[imageKind]; t != "" {
		return t
	}
	return "FusionCompute"
}

func diskFormat(r *row) string {
	if r.Status.Format != "" {
		return r.Status.Format
	}
	if r.Spec.Format != "" {
		return r.Spec.Format
	}
	return "qcow2"
}

// newestFirst is the order of lists.
func newestFirst(rows []*row) {
	slices.SortFunc(rows, func(l, r *row) int {
		if c := r.Created.Compare(l.Created); c != 0 {
			return c
		}
		return strings.Compare(string(r.ID), string(l.ID))
	})
}
