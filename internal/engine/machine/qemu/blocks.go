package qemu

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/machine"
)

// object is something that QEMU is told as JSON.
type object = map[string]any

// Names of QEMU's block nodes are at most 31 characters long.
func short(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		h.Write([]byte(p + "\x00"))
	}
	return hex.EncodeToString(h.Sum(nil))[:20]
}

func layerNode(disk id.ID, path string) string { return "f-" + short(string(disk), path) }
func fileNode(disk id.ID, path string) string  { return "p-" + short(string(disk), path) }
func keyName(disk id.ID, path string) string   { return "k-" + short(string(disk), path) }
func topNode(disk id.ID) string                { return "t-" + short(string(disk)) }
func throttle(disk id.ID) string               { return "g-" + short(string(disk)) }
func diskDevice(disk id.ID) string             { return "disk-" + string(disk) }

// chain lists a drive's layers, the top one first.
func chain(d machine.Drive) []string { return append([]string{d.Path}, d.Backing...) }

// fileSet is a layer's file, open in the ways that QEMU will ask for: it never opens a path by itself.
type fileSet []*os.File

// openLayer opens a layer. One that is written is opened for reading too, for when it becomes the lower half of a snapshot.
func openLayer(path string, write bool) (fileSet, error) {
	var set fileSet
	modes := []int{os.O_RDONLY}
	if write {
		modes = append(modes, os.O_RDWR)
	}
	for _, m := range modes {
		f, err := os.OpenFile(path, m|unix.O_NOFOLLOW, 0)
		if err != nil {
			set.close()
			if errors.Is(err, os.ErrNotExist) {
				return nil, fail.New(fail.NotFound, "a file of the disk is not there").Because(err)
			}
			return nil, fail.New(fail.Unavailable, "a file of the disk cannot be opened").Because(err)
		}
		set = append(set, f)
	}
	return set, nil
}

func (s fileSet) close() {
	for _, f := range s {
		_ = f.Close()
	}
}

// fdset is the name by which QEMU opens the files of a set.
func fdset(n int) string { return fmt.Sprintf("/dev/fdset/%d", n) }

// layer describes one layer, whose file is the set n; backing is the node below, "" is none.
func layer(d machine.Disk, path string, n int, readOnly bool, backing string) object {
	file := object{"driver": "file", "node-name": fileNode(d.ID, path), "filename": fdset(n), "read-only": readOnly, "discard": "unmap"}
	o := object{"driver": d.Drive.Format, "node-name": layerNode(d.ID, path), "file": file, "read-only": readOnly, "discard": "unmap"}
	_, secret := d.Drive.Keys[path]
	switch {
	case d.Drive.Format == "qcow2":
		o["backing"] = nil // what the header names is not followed
		if backing != "" {
			o["backing"] = backing
		}
		if secret {
			o["encrypt"] = object{"format": "luks", "key-secret": keyName(d.ID, path)}
		}
	case secret:
		o["driver"], o["key-secret"] = "luks", keyName(d.ID, path)
	}
	return o
}

// top describes the node that the device sees: the disk's limits.
func top(d machine.Disk) object {
	return object{"driver": "throttle", "node-name": topNode(d.ID), "throttle-group": throttle(d.ID), "file": layerNode(d.ID, d.Drive.Path),
		"read-only": d.ReadOnly || d.CDROM}
}

// limits are a disk's, in QEMU's words. All are named, so that those which were and are not any more are taken away.
func limits(d machine.Disk) object {
	burst := func(base, most int64) int64 { // a burst is above its base, which it needs
		if base == 0 || most <= base {
			return 0
		}
		return most
	}
	return object{"iops-total": d.IOPS, "iops-total-max": burst(d.IOPS, d.IOPSBurst), "bps-total": d.Bytes, "bps-total-max": burst(d.Bytes, d.BytesBurst)}
}

func throttleGroup(d machine.Disk) object {
	return object{"qom-type": "throttle-group", "id": throttle(d.ID), "limits": limits(d)}
}

// device is the disk as the guest sees it, in a slot of its bus.
func device(d machine.Disk, slot int) object {
	o := object{"id": diskDevice(d.ID), "drive": topNode(d.ID)}
	if d.Serial != "" {
		o["serial"] = d.Serial
	}
	if d.SCSI || d.CDROM {
		o["driver"], o["bus"], o["scsi-id"], o["lun"] = "scsi-hd", scsiBus, slot, 0
		if d.CDROM {
			o["driver"] = "scsi-cd"
			return o
		}
	} else {
		o["driver"], o["bus"], o["addr"] = "virtio-blk-pci", diskBus, fmt.Sprintf("%#x", slot)
	}
	o["write-cache"] = "on"
	if d.WriteThrough {
		o["write-cache"] = "off"
	}
	return o
}
