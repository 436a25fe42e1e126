package file

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"sort"
	"syscall"

	"github.com/awancloud/awan/internal/kernel/fail"
)

// The index of a volume says where in the log each blob begins. While a volume grows it is in memory; a full volume's
// index is a file, read at the place that is asked for, so that blobs at rest cost no memory.
//
//	header (64 bytes) | entry (32 bytes) | entry | … , ordered by seq
const (
	entrySize  = 32
	indexMagic = 0x31497741 // "AwI1"
)

// state is what is known of a blob.
type state uint32

const (
	absent  state = iota // not in the index: never was, or deleted and compacted away
	live                 // there
	deleted              // its bytes are still in the log
	lost                 // its header is damaged beyond repair
)

// entry is a blob's line in the index.
type entry struct {
	off     int64
	size    uint32
	seq     uint32
	written uint32
	tag     uint32
	state   state
}

func (e entry) encode(b []byte, volume uint64) {
	le := binary.LittleEndian
	le.PutUint64(b[0:], uint64(e.off))
	le.PutUint32(b[8:], e.size)
	le.PutUint32(b[12:], e.seq)
	le.PutUint32(b[16:], e.written)
	le.PutUint32(b[20:], e.tag)
	le.PutUint32(b[24:], uint32(e.state))
	le.PutUint32(b[28:], entrySum(b, volume))
}

func entrySum(b []byte, volume uint64) uint32 {
	var v [8]byte
	binary.LittleEndian.PutUint64(v[:], volume)
	return crc32.Update(crc32.Checksum(v[:], castagnoli), castagnoli, b[:28])
}

func decodeEntry(b []byte, volume uint64) (entry, bool) {
	le := binary.LittleEndian
	if le.Uint32(b[28:]) != entrySum(b, volume) {
		return entry{}, false
	}
	return entry{off: int64(le.Uint64(b)), size: le.Uint32(b[8:]), seq: le.Uint32(b[12:]), written: le.Uint32(b[16:]),
		tag: le.Uint32(b[20:]), state: state(le.Uint32(b[24:]))}, true
}

// indexHeader says what an index covers.
type indexHeader struct {
	volume  uint64
	count   uint32 // entries
	next    uint32 // seq of the next blob
	end     int64  // of the log; what lies behind it is not in the index
	sealed  bool   // nothing was or will be written behind end
	dropped bool   // all blobs were deleted: the files are being removed
}

func (h indexHeader) encode(b []byte) {
	le := binary.LittleEndian
	clear(b[:headerSize])
	le.PutUint32(b[0:], indexMagic)
	if h.sealed {
		b[4] |= 1
	}
	if h.dropped {
		b[4] |= 2
	}
	le.PutUint64(b[8:], h.volume)
	le.PutUint32(b[16:], h.count)
	le.PutUint32(b[20:], h.next)
	le.PutUint64(b[24:], uint64(h.end))
	le.PutUint32(b[60:], crc32.Checksum(b[:60], castagnoli))
}

func decodeIndexHeader(b []byte) (indexHeader, bool) {
	le := binary.LittleEndian
	if len(b) < headerSize || le.Uint32(b) != indexMagic || le.Uint32(b[60:]) != crc32.Checksum(b[:60], castagnoli) {
		return indexHeader{}, false
	}
	return indexHeader{volume: le.Uint64(b[8:]), count: le.Uint32(b[16:]), next: le.Uint32(b[20:]),
		end: int64(le.Uint64(b[24:])), sealed: b[4]&1 != 0, dropped: b[4]&2 != 0}, true
}

// encodeIndex makes the whole file.
func encodeIndex(h indexHeader, entries []entry) []byte {
	b := make([]byte, headerSize+entrySize*len(entries))
	h.count = uint32(len(entries))
	h.encode(b)
	for i, e := range entries {
		e.encode(b[headerSize+i*entrySize:], h.volume)
	}
	return b
}

// readFull reads all of b.
func readFull(f File, b []byte, off int64) error {
	n, err := readAgain(f, b, off)
	if n == len(b) {
		return nil
	}
	return err
}

// readAgain reads what decides over a volume as a whole: a disk must say several times that it cannot read a place before
// that is taken for damage, for what is made anew then lacks what lay there.
func readAgain(f File, b []byte, off int64) (n int, err error) {
	for range 8 {
		if n, err = f.ReadAt(b, off); !errors.Is(err, syscall.EIO) {
			break
		}
	}
	return n, err
}

// errIndex is an index that does not say what it should; the log does.
var errIndex error = fail.New(fail.DataLoss, "an index of the object store is damaged")

// lookup finds seq's entry in an index file and its place there.
func lookup(f File, h indexHeader, seq uint32) (entry, int64, error) {
	var failed error
	var b [entrySize]byte
	read := func(i int) entry {
		if err := readFull(f, b[:], headerSize+int64(i)*entrySize); err != nil {
			failed = err
			return entry{}
		}
		e, ok := decodeEntry(b[:], h.volume)
		if !ok {
			failed = errIndex
		}
		return e
	}
	if seq >= h.next {
		return entry{}, 0, nil
	}
	i := int(seq)
	if h.count != h.next { // some were compacted away
		i = sort.Search(int(h.count), func(i int) bool { return failed != nil || read(i).seq >= seq })
		if i == int(h.count) {
			return entry{}, 0, failed
		}
	}
	e := read(i)
	if failed != nil || e.seq != seq {
		return entry{}, 0, failed
	}
	return e, headerSize + int64(i)*entrySize, nil
}
