package file

import "sync"

// Buffers come from pools of a few sizes.
const (
	smallBuf = 16 << 10
	blockBuf = 72 << 10  // a block and more
	midBuf   = 288 << 10 // four
	largeBuf = 1<<20 + 72<<10
)

var bufSizes = [...]int{smallBuf, blockBuf, midBuf, largeBuf}

type buf struct {
	b     []byte
	class int
}

var pools [len(bufSizes)]sync.Pool

// getBuf gives a buffer of at least n bytes, whole length, of any content.
func getBuf(n int) *buf {
	for i, size := range bufSizes {
		if n <= size {
			if b, ok := pools[i].Get().(*buf); ok {
				return b
			}
			return &buf{make([]byte, size), i}
		}
	}
	return &buf{make([]byte, n), -1}
}

func putBuf(b *buf) {
	if b != nil && b.class >= 0 {
		pools[b.class].Put(b)
	}
}
