package picture

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/awancloud/awan/internal/engine/base/debian"
	"github.com/awancloud/awan/internal/kernel/fail"
)

// The disk is as BIOS machines boot it: GRUB's first sector, its core in the gap before the only partition, which holds
// the system. The core has all it needs to load the kernel that /vmlinuz and /initrd.img name, which Debian keeps right
// when a kernel is updated.
const (
	sector    = 512
	partition = 2048 // sectors before it: one MiB
	label     = "root"
)

// loader is GRUB in two parts.
type loader struct{ boot, core []byte }

// loader makes GRUB's core with the tools of its package, which is unpacked beside the image and not left in it.
func (m *Maker) loader(ctx context.Context, r recipe, work, root string, log func(string)) (l loader, versions []string, err error) {
	grub := filepath.Join(work, "grub")
	if versions, err = debian.Unpack(ctx, work, grub, []string{"grub-common", "grub-pc-bin", "libdevmapper1.02.1"}, log); err != nil {
		return l, nil, err
	}
	config := fmt.Sprintf("set root=(hd0,msdos1)\nlinux /vmlinuz root=LABEL=%s ro %s\ninitrd /initrd.img\nboot\n", label, r.Command)
	if err := os.WriteFile(filepath.Join(grub, "load.cfg"), []byte(config), 0o644); err != nil {
		return l, nil, fail.Wrap(err, fail.NoSpace, "making the image %s boot", r.Name)
	}
	with := `export LD_LIBRARY_PATH=$(echo /mnt/usr/lib/*-linux-gnu /mnt/lib/*-linux-gnu | tr ' ' ':'); exec "$@"`
	err = debian.Within(ctx, root, [][2]string{{grub, "/mnt"}}, log, "sh", "-c", with, "sh", "/mnt/usr/bin/grub-mkimage", "-d", "/mnt/usr/lib/grub/i386-pc", "-O", "i386-pc",
		"-p", "/boot/grub", "-c", "/mnt/load.cfg", "-o", "/mnt/core.img", "biosdisk", "part_msdos", "ext2", "linux", "boot", "serial", "minicmd")
	if err != nil {
		return l, nil, fail.Wrap(err, fail.Internal, "making the image %s boot", r.Name)
	}
	boot, err := os.ReadFile(filepath.Join(grub, "usr/lib/grub/i386-pc/boot.img"))
	core, cerr := os.ReadFile(filepath.Join(grub, "core.img"))
	if err = errors.Join(err, cerr); err != nil {
		return l, nil, fail.Wrap(err, fail.Internal, "making the image %s boot", r.Name)
	}
	if len(boot) != sector || len(core) <= sector || len(core) > (partition-1)*sector {
		return l, nil, fail.New(fail.Internal, "GRUB's parts have %d and %d bytes", len(boot), len(core))
	}
	return loader{boot, core}, versions, nil
}

// Where GRUB's first sector and the first one of its core say where the rest is (grub-core/boot/i386/pc/{boot,diskboot}.S,
// include/grub/i386/pc/boot.h).
const (
	bootSectorAt = 0x5c         // of the core's first sector, 8 bytes
	driveCheckAt = 0x66         // two bytes that skip a work-around, for old BIOSes
	listAt       = sector - 12  // start (8 bytes), length (2), segment (2)
	loadSegment  = 0x800 + 0x20 // where the core's second sector belongs
	signatureAt  = 510
)

// sectors gives what comes before the partition, with a table that names it.
func (l loader) sectors(size int64) []byte {
	le := binary.LittleEndian
	out := make([]byte, sector+len(l.core))
	copy(out, l.boot)
	copy(out[sector:], l.core)
	le.PutUint64(out[bootSectorAt:], 1)
	copy(out[driveCheckAt:], []byte{0x90, 0x90})
	first := out[sector : 2*sector]
	le.PutUint64(first[listAt:], 2)
	le.PutUint16(first[listAt+8:], uint16((len(l.core)+sector-1)/sector-1))
	le.PutUint16(first[listAt+10:], loadSegment)
	entry := out[446:462]
	clear(out[446:signatureAt])
	copy(entry, []byte{0x80, 0xfe, 0xff, 0xff, 0x83, 0xfe, 0xff, 0xff}) // active, Linux, beyond cylinders
	le.PutUint32(entry[8:], partition)
	le.PutUint32(entry[12:], uint32(min(size/sector-partition, 0xffffffff)))
	out[signatureAt], out[signatureAt+1] = 0x55, 0xaa
	return out
}

// writeDisk writes a disk with the system in its partition.
func writeDisk(ctx context.Context, path, root string, size int64, l loader) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err == nil {
		err = f.Truncate(size)
	}
	if err == nil {
		_, err = f.WriteAt(l.sectors(size), 0)
	}
	if err != nil {
		return fail.Wrap(err, fail.NoSpace, "writing an image's disk")
	}
	if err := f.Close(); err != nil {
		return fail.Wrap(err, fail.NoSpace, "writing an image's disk")
	}
	err = run(ctx, "mke2fs", "-q", "-t", "ext4", "-L", label, "-m", "1", "-E", fmt.Sprintf("offset=%d,discard", partition*sector), "-d", root, path, fmt.Sprintf("%dk", (size-partition*sector)/1024))
	if err != nil {
		return fail.Wrap(err, fail.NoSpace, "writing an image's disk")
	}
	return nil
}
