package sign

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
)

// Sign signs a client's request: it sets X-Sdk-Date and Authorization. All headers set by then are covered, and the
// host; those a proxy may change or net/http adds later are not. A body that cannot be read twice is left unsigned.
func Sign(r *http.Request, access, secretKey string, now time.Time) error {
	r.Header.Del(authorization)
	date := now.UTC().Format(dateLayout)
	r.Header.Set(DateHeader, date)
	payload, err := clientDigest(r)
	if err != nil {
		return err
	}
	names := []string{"host"}
	for name := range r.Header {
		switch lower := strings.ToLower(name); lower {
		case "host", "content-length", "connection", "transfer-encoding", "accept-encoding", "te", "trailer", "upgrade",
			"expect", "keep-alive", "proxy-authorization", "proxy-connection":
		default:
			names = append(names, lower)
		}
	}
	slices.Sort(names)
	signed := r
	if r.Host == "" {
		signed = r.Clone(r.Context())
		signed.Host = r.URL.Host
	}
	headers, err := canonicalHeaders(signed, names)
	if err != nil {
		return err
	}
	query, err := canonicalQuery(r.URL.RawQuery)
	if err != nil {
		return err
	}
	var path strings.Builder
	encodePath(&path, r.URL.Path)
	list := strings.Join(names, ";")
	mac := compute(r.Method, path.String(), query, headers, list, payload, date, secretKey)
	r.Header.Set(authorization, Algorithm+" Access="+access+", SignedHeaders="+list+", Signature="+hex.EncodeToString(mac))
	return nil
}

func clientDigest(r *http.Request) (string, error) {
	if payload := r.Header.Get(PayloadHeader); payload != "" {
		return payload, nil
	}
	if r.Body == nil || r.Body == http.NoBody {
		return empty, nil
	}
	if r.GetBody == nil {
		r.Header.Set(PayloadHeader, Unsigned)
		return Unsigned, nil
	}
	body, err := r.GetBody()
	if err != nil {
		return "", fail.Wrap(err, fail.Invalid, "the body cannot be read for signing")
	}
	defer body.Close()
	var buf bytes.Buffer
	if _, err := io.Copy(&buf, body); err != nil {
		return "", fail.Wrap(err, fail.Invalid, "the body cannot be read for signing")
	}
	sum := sha256.Sum256(buf.Bytes())
	return hex.EncodeToString(sum[:]), nil
}
