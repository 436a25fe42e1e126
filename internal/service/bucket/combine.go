package bucket

import (
	"encoding/base64"
	"encoding/binary"

	"github.com/awancloud/awan/internal/kernel/fail"
)

// A CRC of two runs of bytes follows from the CRC of each and the length of the second: appending a zero bit multiplies
// the first by a matrix over GF(2), and the matrix for n zero bits comes from squaring.

// polynomials of the CRCs, bits reversed, with their widths.
var polynomials = map[string]struct {
	poly  uint64
	width int
}{
	"crc32":     {0xedb88320, 32},
	"crc32c":    {0x82f63b78, 32},
	"crc64nvme": {0x9a6c9329ac4bc9b5, 64},
}

// combine works out the CRC of a whole from those of its parts, in base64.
func combine(kind string, parts []segment) (string, error) {
	p, ok := polynomials[kind]
	if !ok {
		return "", failed("InvalidRequest", fail.Field("x-amz-checksum-type", "a checksum of the whole object does not follow from its parts' %s", kind).Then("begin the upload with COMPOSITE"))
	}
	var whole uint64
	for i, part := range parts {
		b, err := base64.StdEncoding.DecodeString(part.Sums[kind])
		if err != nil || len(b) != p.width/8 {
			return "", failed("InvalidPart", fail.New(fail.Invalid, "a part has no %s checksum, which this upload was begun with", kind).Then("upload it again"))
		}
		var crc uint64
		if p.width == 32 {
			crc = uint64(binary.BigEndian.Uint32(b))
		} else {
			crc = binary.BigEndian.Uint64(b)
		}
		if i == 0 {
			whole = crc
			continue
		}
		whole = shift(whole, p.poly, p.width, part.Size) ^ crc
	}
	var out [8]byte
	binary.BigEndian.PutUint64(out[:], whole)
	return base64.StdEncoding.EncodeToString(out[8-p.width/8:]), nil
}

// shift gives the CRC behind size more zero bytes.
func shift(crc, poly uint64, width int, size int64) uint64 {
	m := make([]uint64, width) // one zero bit
	m[0] = poly
	for i := 1; i < width; i++ {
		m[i] = 1 << (i - 1)
	}
	for range 3 { // eight zero bits: one byte
		m = square(m)
	}
	for ; size > 0; size >>= 1 {
		if size&1 == 1 {
			crc = times(m, crc)
		}
		m = square(m)
	}
	return crc
}

func times(m []uint64, v uint64) (out uint64) {
	for i := 0; v != 0; i, v = i+1, v>>1 {
		if v&1 == 1 {
			out ^= m[i]
		}
	}
	return out
}

func square(m []uint64) []uint64 {
	out := make([]uint64, len(m))
	for i := range m {
		out[i] = times(m, m[i])
	}
	return out
}
