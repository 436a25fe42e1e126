package file

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/awancloud/awan/internal/service/object"
)

// A packed blob is called by its volume and its number there, a large one by its id and its size: so neither needs an index
// to be found by.
type packedRef struct {
	volume uint64
	seq    uint32
}

type largeRef struct {
	id   uint64
	size int64
}

const hexDigits = "0123456789abcdef"

func (p packedRef) ref() object.Ref {
	var b [25]byte
	b[0] = 's'
	putHex(b[1:17], p.volume)
	putHex(b[17:], uint64(p.seq))
	return object.Ref(b[:])
}

func putHex(b []byte, n uint64) {
	for i := len(b) - 1; i >= 0; i-- {
		b[i] = hexDigits[n&15]
		n >>= 4
	}
}

func parsePacked(ref object.Ref) (packedRef, bool) {
	s := string(ref)
	if len(s) != 25 || s[0] != 's' {
		return packedRef{}, false
	}
	v, err1 := strconv.ParseUint(s[1:17], 16, 64)
	seq, err2 := strconv.ParseUint(s[17:], 16, 32)
	p := packedRef{v, uint32(seq)}
	return p, err1 == nil && err2 == nil && p.ref() == ref
}

func (l largeRef) name() string { return fmt.Sprintf("%016x-%x", l.id, l.size) }

func (l largeRef) ref() object.Ref { return object.Ref("f" + l.name()) }

// tag goes into the sums of the blob's pieces.
func (l largeRef) tag() uint32 { return largeTag(l.id) }

func largeTag(id uint64) uint32 { return uint32(id * 0x9e3779b97f4a7c15 >> 32) }

// shelf is the folder among many that the file lies in.
func (l largeRef) shelf() int { return int(largeTag(l.id) % shelfCount) }

func parseLarge(ref object.Ref) (largeRef, bool) {
	name, ok := strings.CutPrefix(string(ref), "f")
	if !ok {
		return largeRef{}, false
	}
	return parseLargeName(name)
}

func parseLargeName(name string) (largeRef, bool) {
	id, size, ok := strings.Cut(name, "-")
	if !ok || len(id) != 16 || len(size) > 15 {
		return largeRef{}, false
	}
	i, err1 := strconv.ParseUint(id, 16, 64)
	n, err2 := strconv.ParseInt(size, 16, 64)
	l := largeRef{i, n}
	return l, err1 == nil && err2 == nil && l.name() == name
}
