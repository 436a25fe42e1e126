package disk

import (
	"crypto/md5"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"hash"
)

// Sums adds up what is written to it: length and sums of an image file. MD5 is Glance's "checksum", by which its clients
// see that nothing was cut off; nothing here trusts it.
type Sums struct {
	n       int64
	m, s, l hash.Hash
}

// NewSums begins.
func NewSums() *Sums { return &Sums{m: md5.New(), s: sha256.New(), l: sha512.New()} }

// Write never fails.
func (s *Sums) Write(b []byte) (int, error) {
	s.n += int64(len(b))
	for _, h := range []hash.Hash{s.m, s.s, s.l} {
		_, _ = h.Write(b) // a hash's Write does not fail
	}
	return len(b), nil
}

// Seen gives what was added up.
func (s *Sums) Seen() SeenImage {
	hexed := func(h hash.Hash) string { return hex.EncodeToString(h.Sum(nil)) }
	return SeenImage{Size: s.n, MD5: hexed(s.m), SHA256: hexed(s.s), SHA512: hexed(s.l)}
}
