package file

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"

	"github.com/awancloud/awan/internal/service/machine"
)

// An empty qcow2 file as QEMU's docs/interop/qcow2.txt has it, version 3, made here because a snapshot is to take no
// longer than that.
const (
	cluster     = 64 << 10
	perL1       = cluster * (cluster / 8) // bytes that an entry of the first table stands for
	inHeader    = 104
	extFormat   = 0xe2792aca
	extCrypto   = 0x0537be77
	cryptLUKS   = 2
	refOrder    = 4 // counts of 16 bits
	refTableAt  = 1 // in clusters
	refBlockAt  = 2
	l1At        = 3
	clusterBits = 16
)

type qcow2Header struct {
	Magic             [4]byte
	Version           uint32
	BackingAt         uint64
	BackingLen        uint32
	ClusterBits       uint32
	Size              uint64
	Crypt             uint32
	L1Entries         uint32
	L1At              uint64
	RefTableAt        uint64
	RefTableClusters  uint32
	Snapshots         uint32
	SnapshotsAt       uint64
	Incompatible      uint64
	Compatible        uint64
	Autoclear         uint64
	RefOrder, HeadLen uint32
}

// createLayer writes an empty layer of a size, on another one (a name in the same folder; "": on nothing), which key
// encrypts (nil: not), and has it on stable storage.
func createLayer(path string, bytes int64, backing string, key []byte) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	err = fillLayer(f, bytes, backing, key)
	return errors.Join(err, f.Sync(), f.Close())
}

func fillLayer(f *os.File, size int64, backing string, key []byte) error {
	entries := (size + perL1 - 1) / perL1
	l1 := (entries*8 + cluster - 1) / cluster
	used := l1At + l1
	h := qcow2Header{Magic: [4]byte{'Q', 'F', 'I', 0xfb}, Version: 3, ClusterBits: clusterBits, Size: uint64(size), L1Entries: uint32(entries), L1At: l1At * cluster,
		RefTableAt: refTableAt * cluster, RefTableClusters: 1, RefOrder: refOrder, HeadLen: inHeader}
	var ext bytes.Buffer
	add := func(kind uint32, b []byte) {
		_ = binary.Write(&ext, binary.BigEndian, [2]uint32{kind, uint32(len(b))}) // a buffer's Write does not fail
		ext.Write(b)
		ext.Write(make([]byte, -len(b)&7))
	}
	if backing != "" {
		add(extFormat, []byte("qcow2"))
	}
	if key != nil {
		at := used * cluster
		used += (luksBytes + cluster - 1) / cluster
		h.Crypt = cryptLUKS
		add(extCrypto, binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, uint64(at)), luksBytes))
		header, material, in, err := luks(machine.Passphrase(key))
		if err != nil {
			return err
		}
		if _, err := f.WriteAt(header, at); err != nil {
			return err
		}
		if _, err := f.WriteAt(material, at+in); err != nil {
			return err
		}
	}
	add(0, nil)
	if backing != "" {
		h.BackingAt, h.BackingLen = uint64(inHeader+ext.Len()), uint32(len(backing))
		ext.WriteString(backing)
	}
	counts := make([]byte, 0, 2*used)
	for range used {
		counts = binary.BigEndian.AppendUint16(counts, 1)
	}
	if err := f.Truncate(used * cluster); err != nil {
		return err
	}
	if _, err := f.WriteAt(counts, refBlockAt*cluster); err != nil {
		return err
	}
	if _, err := f.WriteAt(binary.BigEndian.AppendUint64(nil, refBlockAt*cluster), refTableAt*cluster); err != nil {
		return err
	}
	var out bytes.Buffer
	if err := binary.Write(&out, binary.BigEndian, h); err != nil {
		return err
	}
	out.Write(ext.Bytes())
	_, err := f.WriteAt(out.Bytes(), 0)
	return err
}
