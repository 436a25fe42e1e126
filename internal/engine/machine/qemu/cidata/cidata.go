// Package cidata makes NoCloud seeds: a CD image labelled "cidata" with a few small files, from which cloud-init reads what
// a machine is to be (cloud-init's documentation, "NoCloud"). It imports the standard library only.
//
// The format is ISO 9660 (ECMA-119) with Joliet's second directory, which has the names as they are.
package cidata

import (
	"bytes"
	"encoding/binary"
	"errors"
	"maps"
	"slices"
	"strings"
	"unicode/utf16"
)

const (
	sector    = 2048
	label     = "cidata"
	maxFiles  = 16
	maxName   = 64
	primaryAt = 16 // sectors: 16 the primary descriptor, 17 Joliet's, 18 the end, 19 to 22 path tables, 23 and 24 directories
	tablesAt  = 19
	rootAt    = 23
	jolietAt  = 24
	filesAt   = 25
)

// Image makes the image of files by name.
func Image(files map[string][]byte) ([]byte, error) {
	if len(files) > maxFiles {
		return nil, errors.New("too many files for a seed")
	}
	names := slices.Sorted(maps.Keys(files))
	var plain, joliet []entry
	at := uint32(filesAt)
	for _, n := range names {
		if n == "" || len(n) > maxName || strings.ContainsAny(n, "/\\;:*?\x00") {
			return nil, errors.New("a seed's file has no usable name: " + n)
		}
		size := uint32(len(files[n]))
		plain = append(plain, entry{name: []byte(strings.ToUpper(n) + ";1"), at: at, size: size})
		joliet = append(joliet, entry{name: wide(n), at: at, size: size})
		at += (size + sector - 1) / sector
	}
	slices.SortFunc(plain, func(a, b entry) int { return bytes.Compare(a.name, b.name) })
	image := make([]byte, int(at)*sector)
	put := func(n int, b []byte) { copy(image[n*sector:], b) }
	put(primaryAt, descriptor(1, rootAt, at, []byte(pad(label, 32)), nil))
	put(primaryAt+1, descriptor(2, jolietAt, at, padWide(label, 32), []byte("%/E")))
	put(primaryAt+2, append([]byte{255}, "CD001\x01"...))
	for n, root := range []uint32{rootAt, jolietAt} {
		put(tablesAt+2*n, pathTable(binary.LittleEndian, root))
		put(tablesAt+2*n+1, pathTable(binary.BigEndian, root))
	}
	for root, list := range map[uint32][]entry{rootAt: plain, jolietAt: joliet} {
		d, err := directory(root, list)
		if err != nil {
			return nil, err
		}
		put(int(root), d)
	}
	for n, e := range joliet {
		put(int(e.at), files[names[n]])
	}
	return image, nil
}

// entry is a file in a directory.
type entry struct {
	name     []byte
	at, size uint32
	folder   bool
}

// record is an entry as directories have it (ECMA-119, 9.1).
func (e entry) record() []byte {
	length := 33 + len(e.name)
	length += length % 2
	b := make([]byte, length)
	b[0] = byte(length)
	both32(b[2:], e.at)
	both32(b[10:], e.size)
	copy(b[18:], []byte{100, 1, 1, 0, 0, 0, 0}) // 1 January 2000: the same files make the same image
	if e.folder {
		b[25] = 2
	}
	both16(b[28:], 1)
	b[32] = byte(len(e.name))
	copy(b[33:], e.name)
	return b
}

func directory(at uint32, list []entry) ([]byte, error) {
	all := append([]entry{{name: []byte{0}, at: at, size: sector, folder: true}, {name: []byte{1}, at: at, size: sector, folder: true}}, list...)
	var b []byte
	for _, e := range all {
		b = append(b, e.record()...)
	}
	if len(b) > sector {
		return nil, errors.New("a seed's names are too long")
	}
	return b, nil
}

// descriptor describes a volume (ECMA-119, 8.4 and 8.5).
func descriptor(kind byte, root, sectors uint32, name, escape []byte) []byte {
	b := make([]byte, sector)
	b[0] = kind
	copy(b[1:], "CD001\x01")
	blank := []byte{' '}
	if kind == 2 {
		blank = []byte{0, ' '}
	}
	for at, n := range map[int]int{8: 32, 190: 128, 318: 128, 446: 128, 574: 128, 702: 37, 739: 37, 776: 37} {
		copy(b[at:at+n], bytes.Repeat(blank, n))
	}
	copy(b[40:], name)
	both32(b[80:], sectors)
	copy(b[88:], escape)
	both16(b[120:], 1)
	both16(b[124:], 1)
	both16(b[128:], sector)
	both32(b[132:], 10)
	tables := uint32(tablesAt)
	if kind == 2 {
		tables += 2
	}
	binary.LittleEndian.PutUint32(b[140:], tables)
	binary.BigEndian.PutUint32(b[148:], tables+1)
	copy(b[156:], entry{name: []byte{0}, at: root, size: sector, folder: true}.record())
	for _, at := range []int{813, 830, 847, 864} {
		copy(b[at:], "2000010100000000\x00")
	}
	copy(b[847:], "0000000000000000\x00") // never expires
	b[881] = 1
	return b
}

func pathTable(order binary.ByteOrder, root uint32) []byte {
	b := make([]byte, 10)
	b[0] = 1
	order.PutUint32(b[2:], root)
	order.PutUint16(b[6:], 1)
	return b
}

func both16(b []byte, v uint16) {
	binary.LittleEndian.PutUint16(b, v)
	binary.BigEndian.PutUint16(b[2:], v)
}

func both32(b []byte, v uint32) {
	binary.LittleEndian.PutUint32(b, v)
	binary.BigEndian.PutUint32(b[4:], v)
}

func wide(s string) []byte {
	var b []byte
	for _, u := range utf16.Encode([]rune(s)) {
		b = binary.BigEndian.AppendUint16(b, u)
	}
	return b
}

func pad(s string, n int) string { return s + strings.Repeat(" ", n-len(s)) }

func padWide(s string, n int) []byte { return wide(pad(s, n/2)) }
