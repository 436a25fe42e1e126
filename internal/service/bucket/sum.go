package bucket

import (
	"bytes"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"hash"
	"hash/crc32"
	"strconv"

	"github.com/minio/crc64nvme"

	"github.com/awancloud/awan/internal/kernel/fail"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// NewHash makes the hash of a Sum's kind; nil for one that is unknown.
func NewHash(kind string) hash.Hash {
	switch kind {
	case "md5":
		return md5.New()
	case "crc32":
		return crc32.NewIEEE()
	case "crc32c":
		return crc32.New(castagnoli)
	case "crc64nvme":
		return crc64nvme.New()
	case "sha1":
		return sha1.New()
	case "sha256":
		return sha256.New()
	}
	return nil
}

// MD5 gives the base64 of a short text's MD5: what object stores name keys and documents by.
func MD5(b []byte) string {
	sum := md5.Sum(b)
	return base64.StdEncoding.EncodeToString(sum[:])
}

// sums computes several checksums of the same bytes.
type sums map[string]hash.Hash

// ofPart is a sum that nobody is told: what the ETag of a part is made of where it is not the MD5.
const ofPart = "part"

func (s sums) add(kind string) error {
	if kind == "" || s[kind] != nil {
		return nil
	}
	h := NewHash(kind)
	if h == nil {
		return fail.Field("checksum", "%q is not a checksum known here", kind).Then("use crc32, crc32c, crc64nvme, sha1 or sha256")
	}
	s[kind] = h
	return nil
}

func (s sums) write(b []byte) {
	for _, h := range s {
		h.Write(b)
	}
}

// check compares with what the client sent.
func (s sums) check(want []Sum) error {
	for _, w := range want {
		if h := s[w.Kind]; h != nil && !bytes.Equal(h.Sum(nil), w.Value) {
			return badDigest(w.Kind)
		}
	}
	return nil
}

// stored are those that are kept, in base64: all but MD5, which is the ETag.
func (s sums) stored() map[string]string {
	var out map[string]string
	for kind, h := range s {
		if kind == "md5" || kind == ofPart {
			continue
		}
		if out == nil {
			out = map[string]string{}
		}
		out[kind] = base64.StdEncoding.EncodeToString(h.Sum(nil))
	}
	return out
}

// compose makes the checksum over parts' checksums, as S3 writes it: base64, a hyphen, the number of parts.
func compose(kind string, parts []segment) (string, error) {
	h := NewHash(kind)
	for _, p := range parts {
		b, err := base64.StdEncoding.DecodeString(p.Sums[kind])
		if err != nil || len(b) == 0 {
			return "", failed("InvalidPart", fail.New(fail.Invalid, "a part has no %s checksum, which this upload was begun with", kind).Then("upload it again"))
		}
		h.Write(b)
	}
	return base64.StdEncoding.EncodeToString(h.Sum(nil)) + "-" + strconv.Itoa(len(parts)), nil
}
