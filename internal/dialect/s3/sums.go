package s3

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"hash"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/awancloud/awan/internal/dialect/s3/sign"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/service/bucket"
)

// sumLength are the checksums that S3 has, with their lengths in bytes.
var sumLength = map[string]int{"crc32": 4, "crc32c": 4, "crc64nvme": 8, "sha1": 20, "sha256": 32}

var sumKinds = []string{"crc32", "crc32c", "crc64nvme", "sha1", "sha256"}

func digest(name, value string, length int) ([]byte, error) {
	b, err := base64.StdEncoding.DecodeString(value)
	if err != nil || len(b) != length {
		code := "InvalidRequest"
		if name == "Content-MD5" {
			code = "InvalidDigest"
		}
		return nil, refuse(code, fail.Invalid, "%s must be the base64 of %d bytes", name, length)
	}
	return b, nil
}

// sums reads the checksums that came in headers.
func (r *request) sums() ([]bucket.Sum, error) {
	var out []bucket.Sum
	if v, ok := r.Header["Content-Md5"]; ok {
		b, err := digest("Content-MD5", v[0], 16)
		if err != nil {
			return nil, err
		}
		out = append(out, bucket.Sum{Kind: "md5", Value: b})
	}
	if v := r.Header.Get("Content-Sha256"); v != "" { // OBS's
		b, err := digest("Content-SHA256", v, sha256.Size)
		if err != nil {
			return nil, err
		}
		out = append(out, bucket.Sum{Kind: "sha256", Value: b})
	}
	given := 0
	for _, kind := range sumKinds {
		v := r.Header.Get("X-Amz-Checksum-" + kind)
		if v == "" {
			continue
		}
		b, err := digest("x-amz-checksum-"+kind, v, sumLength[kind])
		if err != nil {
			return nil, err
		}
		out = append(out, bucket.Sum{Kind: kind, Value: b})
		given++
	}
	if given > 1 {
		return nil, refuse("InvalidRequest", fail.Invalid, "expecting a single x-amz-checksum- header: multiple checksum types are not allowed")
	}
	return out, nil
}

// trailing reads the checksums that came behind the content; only after its end.
func trailing(c *sign.Body) []bucket.Sum {
	var out []bucket.Sum
	for name, value := range c.Trailer() {
		kind, ok := strings.CutPrefix(name, "x-amz-checksum-")
		if !ok || sumLength[kind] == 0 {
			continue
		}
		b, err := digest(name, value, sumLength[kind])
		if err != nil {
			b = []byte{} // no content has it
		}
		out = append(out, bucket.Sum{Kind: kind, Value: b})
	}
	return out
}

// wanted gives the checksum that the client wants kept and did not send.
func (r *request) wanted() (string, error) {
	kind := r.Header.Get("X-Amz-Sdk-Checksum-Algorithm")
	if kind == "" {
		kind = r.Header.Get("X-Amz-Checksum-Algorithm")
	}
	return algorithm(kind)
}

func algorithm(kind string) (string, error) {
	kind = strings.ToLower(kind)
	if kind != "" && !slices.Contains(sumKinds, kind) {
		return "", refuse("InvalidRequest", fail.Invalid, "the checksum algorithm %q is not known here; use CRC32, CRC32C, CRC64NVME, SHA1 or SHA256", kind)
	}
	return kind, nil
}

// holds checks a small document against a sum.
func holds(s bucket.Sum, b []byte) bool {
	h := bucket.NewHash(s.Kind)
	h.Write(b)
	return bytes.Equal(h.Sum(nil), s.Value)
}

// announced gives the checksum that the client says will come behind the content.
func (r *request) announced() (string, error) {
	for name := range strings.SplitSeq(r.Header.Get("X-Amz-Trailer"), ",") {
		kind, ok := strings.CutPrefix(strings.ToLower(strings.TrimSpace(name)), "x-amz-checksum-")
		if !ok {
			continue
		}
		if sumLength[kind] == 0 {
			return "", refuse("InvalidRequest", fail.Invalid, "the checksum %q in x-amz-trailer is not known here", name)
		}
		return kind, nil
	}
	return "", nil
}

// trailed fails at the end of a content whose trailer has another checksum.
type trailed struct {
	*sign.Body
	kind string
	hash hash.Hash
}

func (t *trailed) Read(p []byte) (int, error) {
	n, err := t.Body.Read(p)
	t.hash.Write(p[:n])
	if err == io.EOF {
		for _, s := range trailing(t.Body) {
			if s.Kind == t.kind && !bytes.Equal(t.hash.Sum(nil), s.Value) {
				return n, refuse("BadDigest", fail.Invalid, "the content has another %s than the one sent behind it", s.Kind).Then("send it again")
			}
		}
	}
	return n, err
}

// setSums tells an object's checksums.
func (r *request) setSums(h http.Header, sums map[string]string, composite bool) {
	if len(sums) == 0 || r.obs {
		return
	}
	for kind, value := range sums {
		if sumLength[kind] > 0 {
			h.Set("X-Amz-Checksum-"+kind, value)
		}
	}
	h.Set("X-Amz-Checksum-Type", sumType(composite))
}

func sumType(composite bool) string {
	if composite {
		return "COMPOSITE"
	}
	return "FULL_OBJECT"
}

// sumsXML are checksums inside XML.
type sumsXML struct {
	CRC32     string `xml:"ChecksumCRC32,omitempty"`
	CRC32C    string `xml:"ChecksumCRC32C,omitempty"`
	CRC64NVME string `xml:"ChecksumCRC64NVME,omitempty"`
	SHA1      string `xml:"ChecksumSHA1,omitempty"`
	SHA256    string `xml:"ChecksumSHA256,omitempty"`
}

func sumsOf(m map[string]string) sumsXML {
	return sumsXML{m["crc32"], m["crc32c"], m["crc64nvme"], m["sha1"], m["sha256"]}
}

func (s sumsXML) parse() map[string]string {
	m := map[string]string{}
	for i, v := range []string{s.CRC32, s.CRC32C, s.CRC64NVME, s.SHA1, s.SHA256} {
		if v != "" {
			m[sumKinds[i]] = v
		}
	}
	return m
}
