package file

import (
	"encoding/binary"
	"hash/crc32"
)

// kind is what a header begins.
type kind byte

const (
	kindVolume kind = 1 + iota // the beginning of a log
	kindBlob                   // a blob's record, in a log or in a file of its own
	kindDelete                 // in a log: the blob seq of this volume is deleted
)

const headerMagic = 0x31427741 // "AwB1"

// header is the first 64 bytes of every record, on every shard.
type header struct {
	kind    kind
	shard   int
	shape   shape
	volume  uint64 // the volume's id; the blob's own, in a file of its own
	seq     uint32 // of the blob in its volume
	tag     uint32 // goes into the sums
	size    int64  // of the blob, in bytes
	written int64  // seconds since 1970
	off     int64  // where in the log this header lies
	durable int64  // where the log ended that was on stable storage when this was written
}

func (h header) encode(b []byte) {
	le := binary.LittleEndian
	clear(b[:headerSize])
	le.PutUint32(b[0:], headerMagic)
	b[4], b[5], b[6], b[7] = byte(h.kind), byte(h.shard), byte(h.shape.data), byte(h.shape.parity)
	le.PutUint64(b[8:], h.volume)
	le.PutUint32(b[16:], h.seq)
	le.PutUint32(b[20:], h.tag)
	le.PutUint64(b[24:], uint64(h.size))
	le.PutUint64(b[32:], uint64(h.written))
	le.PutUint64(b[40:], uint64(h.off))
	le.PutUint64(b[48:], uint64(h.durable))
	le.PutUint32(b[60:], crc32.Checksum(b[:60], castagnoli))
}

// decodeHeader reports whether b begins with an undamaged header.
func decodeHeader(b []byte) (header, bool) {
	le := binary.LittleEndian
	if len(b) < headerSize || le.Uint32(b) != headerMagic || le.Uint32(b[60:]) != crc32.Checksum(b[:60], castagnoli) {
		return header{}, false
	}
	return header{
		kind: kind(b[4]), shard: int(b[5]), shape: shape{int(b[6]), int(b[7])}, volume: le.Uint64(b[8:]),
		seq: le.Uint32(b[16:]), tag: le.Uint32(b[20:]), size: int64(le.Uint64(b[24:])), written: int64(le.Uint64(b[32:])),
		off: int64(le.Uint64(b[40:])), durable: int64(le.Uint64(b[48:])),
	}, true
}
