package disk

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"strings"

	"github.com/awancloud/awan/internal/kernel/fail"
)

// Formats that Detect knows, in the words of the port.
const (
	QCOW2 = "qcow2"
	Raw   = "raw"
	VMDK  = "vmdk"
	VHD   = "vhd"
	VHDX  = "vhdx"
	VDI   = "vdi"
	ISO   = "iso"
)

// File is what Detect learned of an image file.
type File struct {
	Format string
	Bytes  int64 // as a machine sees it; 0: only a full parser knows
}

// Detect tells the format of an image file by its content, and refuses what is not whole in itself: files that stand on
// other files (backing files, parents, external data, extents) and encrypted ones. want, when given, must be what it is.
// Sources: QEMU's docs/interop/qcow2.txt, VMware's Virtual Disk Format 5.0, Microsoft's VHD Image Format Specification.
func Detect(r io.ReaderAt, size int64, want string) (File, error) {
	f, err := detect(r, size, want)
	if err != nil {
		return f, err
	}
	if want != "" && want != f.Format && !(want == Raw && f.Format == ISO) && !(want == ISO && f.Format == Raw) {
		return f, fail.Field("format", "the file is %s, not %s", f.Format, want).Then("say %s, or leave the format out", f.Format)
	}
	if f.Format == Raw || f.Format == ISO {
		f.Bytes = size
	}
	return f, nil
}

const sector = 512

func detect(r io.ReaderAt, size int64, want string) (File, error) {
	if size == 0 {
		return File{}, fail.Field("content", "the file is empty").Then("send the image file as the body")
	}
	head := make([]byte, min(size, 64<<10))
	if _, err := r.ReadAt(head, 0); err != nil && !errors.Is(err, io.EOF) {
		return File{}, fail.Wrap(err, fail.Internal, "reading what was uploaded")
	}
	at := func(off int, magic string) bool {
		return len(head) >= off+len(magic) && string(head[off:off+len(magic)]) == magic
	}
	switch {
	case at(0, "QFI\xfb"):
		return qcow2File(head)
	case at(0, "KDMV"):
		return vmdkFile(r, head)
	case at(0, "COWD"), at(0, "# Disk DescriptorFile"):
		return File{}, notWhole("a VMDK file that describes others", "convert it to one file first: qemu-img convert -O qcow2 IN OUT")
	case at(0, "conectix"):
		return vhdFile(head)
	case at(0, "vhdxfile"):
		return File{Format: VHDX}, nil
	case at(64, "\x7f\x10\xda\xbe"):
		return File{Format: VDI}, nil
	case at(32769, "CD001"):
		return File{Format: ISO}, nil
	case at(0, "QED\x00"):
		return File{}, notWhole("a QED file", "convert it first: qemu-img convert -O qcow2 IN OUT")
	}
	for magic, what := range map[string]string{"\x1f\x8b": "gzip", "\xfd7zXZ\x00": "xz", "BZh": "bzip2", "PK\x03\x04": "zip", "\x28\xb5\x2f\xfd": "zstd", "7z\xbc\xaf": "7z"} {
		if at(0, magic) && want != Raw {
			return File{}, fail.Field("content", "the file is compressed with %s", what).Then("unpack it first; or say that its format is raw")
		}
	}
	if size >= sector {
		foot := make([]byte, sector)
		if _, err := r.ReadAt(foot, size-sector); err == nil && bytes.HasPrefix(foot, []byte("conectix")) && want != Raw {
			return vhdFile(foot)
		}
	}
	return File{Format: Raw}, nil
}

func notWhole(what, next string) error {
	return fail.Field("content", "is %s", what).Then("%s", next)
}

func qcow2File(head []byte) (File, error) {
	if len(head) < 72 {
		return File{}, notWhole("a qcow2 file that breaks off", "send all of it")
	}
	be := binary.BigEndian
	version := be.Uint32(head[4:])
	switch {
	case version != 2 && version != 3:
		return File{}, notWhole("a QCOW file of an old version", "convert it first: qemu-img convert -O qcow2 IN OUT")
	case be.Uint64(head[8:]) != 0:
		return File{}, notWhole("a qcow2 file with a backing file", "flatten it first: qemu-img convert -O qcow2 IN OUT")
	case be.Uint32(head[32:]) != 0:
		return File{}, notWhole("an encrypted qcow2 file", "decrypt it first; it is encrypted again here")
	case version == 3 && len(head) >= 80 && be.Uint64(head[72:])&4 != 0:
		return File{}, notWhole("a qcow2 file with an external data file", "convert it to one file first: qemu-img convert -O qcow2 IN OUT")
	}
	bytes := be.Uint64(head[24:])
	if bytes == 0 || bytes > 1<<50 {
		return File{}, notWhole("a qcow2 file of an absurd size", "make it anew")
	}
	return File{QCOW2, int64(bytes)}, nil
}

func vmdkFile(r io.ReaderAt, head []byte) (File, error) {
	if len(head) < sector {
		return File{}, notWhole("a VMDK file that breaks off", "send all of it")
	}
	le := binary.LittleEndian
	capacity, descriptor, length := le.Uint64(head[12:]), le.Uint64(head[28:]), le.Uint64(head[36:])
	if capacity == 0 { // the descriptor then names other files
		return File{}, notWhole("a VMDK file that describes others", "convert it to one file first: qemu-img convert -O qcow2 IN OUT")
	}
	if capacity > 1<<41 {
		return File{}, notWhole("a VMDK file of an absurd size", "make it anew")
	}
	if descriptor > 0 && descriptor < 1<<31 {
		text := make([]byte, min(max(length, 1), 2048)*sector)
		n, err := r.ReadAt(text, int64(descriptor)*sector)
		if err != nil && !errors.Is(err, io.EOF) {
			return File{}, fail.Wrap(err, fail.Internal, "reading what was uploaded")
		}
		if strings.Contains(string(text[:n]), "parentFileNameHint") {
			return File{}, notWhole("a VMDK file that stands on another", "convert it to one file first: qemu-img convert -O qcow2 IN OUT")
		}
	}
	return File{VMDK, int64(capacity) * sector}, nil
}

func vhdFile(foot []byte) (File, error) {
	if len(foot) < sector {
		return File{}, notWhole("a VHD file that breaks off", "send all of it")
	}
	be := binary.BigEndian
	if t := be.Uint32(foot[60:]); t != 2 && t != 3 {
		return File{}, notWhole("a VHD file that stands on another", "convert it to one file first: qemu-img convert -O qcow2 IN OUT")
	}
	bytes := be.Uint64(foot[48:])
	if bytes == 0 || bytes > 1<<50 {
		return File{}, notWhole("a VHD file of an absurd size", "make it anew")
	}
	return File{VHD, int64(bytes)}, nil
}
