package s3

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/awancloud/awan/internal/service/object"
)

// A reference is id-size-check in hexadecimal. The id is the end of the object's key; the size is told by the reference
// rather than by the object, so that one that lost its end is found out; the check keeps a mistyped reference from being
// taken for a damaged blob.
type name struct {
	id   string // 32 digits: milliseconds, and chance
	size int64
}

const idLen = 32

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func newID() string {
	return fmt.Sprintf("%012x%04x%016x", time.Now().UnixMilli(), rand.Uint32()&0xffff, rand.Uint64())
}

func (n name) ref() object.Ref {
	s := fmt.Sprintf("%s-%x", n.id, n.size)
	return object.Ref(fmt.Sprintf("%s-%08x", s, crc32.Checksum([]byte(s), castagnoli)))
}

func parse(ref object.Ref) (name, bool) {
	p := strings.Split(string(ref), "-")
	if len(ref) > 64 || len(p) != 3 || len(p[0]) != idLen {
		return name{}, false
	}
	size, err := strconv.ParseInt(p[1], 16, 64)
	n := name{p[0], size}
	return n, err == nil && size >= 0 && n.ref() == ref
}

// What an object holds: each block, and the CRC32C of it in four bytes. An empty blob is an empty block.
const (
	sumSize = 4
	cell    = object.Block + sumSize
)

// stored is how long the object of a blob is.
func stored(size int64) int64 { return size + blocksOf(size)*sumSize }

func blocksOf(size int64) int64 { return max(1, (size+object.Block-1)/object.Block) }

// sizeOf is the size of the blob that an object of this length holds.
func sizeOf(length int64) (int64, bool) {
	full, rest := length/cell, length%cell
	if rest == 0 {
		return full * object.Block, full > 0
	}
	return full*object.Block + rest - sumSize, rest > sumSize || rest == sumSize && full == 0
}

// sumOf is a block's sum. It takes in whose block it is, so that right bytes in a wrong place are found too.
func sumOf(id string, block int64, content []byte) uint32 {
	var b [idLen + 8]byte
	copy(b[:], id)
	binary.LittleEndian.PutUint64(b[idLen:], uint64(block))
	return crc32.Update(crc32.Checksum(b[:], castagnoli), castagnoli, content)
}
