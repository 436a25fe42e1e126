// Package sign makes and verifies Huawei Cloud's request signature, SDK-HMAC-SHA256 (the "AK/SK signing" of its API
// gateway: https://support.huaweicloud.com/intl/en-us/devg-apisign/api-sign-algorithm.html).
//
// It is pure: a request, a secret key and a time in, a verdict out. The order of use is Parse, then look the access
// key up, then Digest the body, then Verify. It may import the standard library and kernel/fail.
package sign

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net/http"
	"strings"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
)

const (
	// Algorithm names the scheme in the Authorization header.
	Algorithm = "SDK-HMAC-SHA256"
	// DateHeader holds the time of signing as 20060102T150405Z.
	DateHeader = "X-Sdk-Date"
	// PayloadHeader, when sent, stands in for the body's digest: the digest itself, or Unsigned.
	PayloadHeader = "X-Sdk-Content-Sha256"
	// Unsigned as PayloadHeader says that the signature does not cover the body (uploads of unknown length).
	Unsigned = "UNSIGNED-PAYLOAD"
	// Skew is how far the client's clock may be from ours.
	Skew = 15 * time.Minute

	dateLayout    = "20060102T150405Z"
	maxHeader     = 8 << 10 // bytes of the Authorization header
	maxSigned     = 64      // names in SignedHeaders
	authorization = "Authorization"
)

// Signature is what a request's Authorization header claims.
type Signature struct {
	Access  string    // the access key's public id
	Headers []string  // the headers it covers: lower case, in the order given
	Date    string    // X-Sdk-Date as sent: it is part of what was signed
	Time    time.Time // the same as a time
	Payload string    // X-Sdk-Content-Sha256 as sent: "", Unsigned, or a digest in hex

	mac [sha256.Size]byte
}

// Present tells whether a request claims to be signed this way, well or badly.
func Present(r *http.Request) bool {
	scheme, _, _ := strings.Cut(r.Header.Get(authorization), " ")
	return scheme == Algorithm
}

// Parse reads the signature of a request without verifying it. Its errors are fail.Unauthenticated and say what is wrong.
func Parse(r *http.Request) (*Signature, error) {
	lines := r.Header.Values(authorization)
	if len(lines) != 1 {
		return nil, refuse("the request has %d Authorization headers, not one", len(lines))
	}
	if len(lines[0]) > maxHeader {
		return nil, refuse("the Authorization header is over %d bytes", maxHeader)
	}
	scheme, rest, _ := strings.Cut(lines[0], " ")
	if scheme != Algorithm {
		return nil, refuse("the request is not signed with %s", Algorithm).
			Then("this cloud takes %s signatures and X-Auth-Token", Algorithm)
	}
	s := &Signature{}
	if err := s.parts(rest); err != nil {
		return nil, err
	}
	var err error
	s.Date = strings.TrimSpace(r.Header.Get(DateHeader))
	if len(r.Header.Values(DateHeader)) != 1 || len(s.Date) != len(dateLayout) {
		return nil, refuse("the %s header is missing or not of the form yyyymmddThhmmssZ", DateHeader)
	}
	if s.Time, err = time.Parse(dateLayout, s.Date); err != nil {
		return nil, refuse("the %s header is not of the form yyyymmddThhmmssZ", DateHeader)
	}
	payload := r.Header.Values(PayloadHeader)
	if len(payload) > 1 {
		return nil, refuse("the request has more than one %s header", PayloadHeader)
	}
	if len(payload) == 1 {
		s.Payload = payload[0]
		if s.Payload != Unsigned && !isDigest(s.Payload) {
			return nil, refuse("the %s header is neither %s nor a SHA-256 digest in lower-case hex", PayloadHeader, Unsigned)
		}
	}
	return s, nil
}

// parts reads "Access=…, SignedHeaders=…, Signature=…", each once, in any order.
func (s *Signature) parts(text string) error {
	seen := map[string]string{}
	for part := range strings.SplitSeq(text, ",") {
		name, value, ok := strings.Cut(strings.TrimSpace(part), "=")
		if _, twice := seen[name]; !ok || twice || len(seen) == 3 {
			return refuse("the Authorization header is not of the form %s Access=…, SignedHeaders=…, Signature=…", Algorithm)
		}
		seen[name] = value
	}
	s.Access = seen["Access"]
	if s.Access == "" || len(s.Access) > 128 || strings.ContainsFunc(s.Access, func(c rune) bool { return c <= ' ' || c > '~' }) {
		return refuse("the Authorization header names no access key")
	}
	mac := seen["Signature"]
	if len(mac) != 2*sha256.Size {
		return refuse("the signature is not 64 hex digits")
	}
	if _, err := hex.Decode(s.mac[:], []byte(mac)); err != nil {
		return refuse("the signature is not 64 hex digits")
	}
	s.Headers = strings.Split(seen["SignedHeaders"], ";")
	if len(s.Headers) > maxSigned {
		return refuse("the signature covers more than %d headers", maxSigned)
	}
	once := make(map[string]bool, len(s.Headers))
	for _, name := range s.Headers {
		if !isHeaderName(name) || once[name] {
			return refuse("SignedHeaders holds %q, which is not a header name in lower case, or holds it twice", name)
		}
		once[name] = true
	}
	return nil
}

// Verify checks the signature with the secret key of s.Access. escapedPath is the path as the client sent it, before
// any prefix was cut off ("" stands for the request's own); digest is that of the body, from Digest. Every error is
// fail.Unauthenticated; which part was wrong is said only where it does not depend on the secret.
func (s *Signature) Verify(r *http.Request, escapedPath, digest, secretKey string, now time.Time) error {
	if d := now.Sub(s.Time); d > Skew || d < -Skew {
		return refuse("the request was signed at %s, and it is %s here", s.Date, now.UTC().Format(dateLayout)).
			Then("set the client's clock: at most %d minutes apart are allowed", int(Skew.Minutes()))
	}
	payload := digest
	if s.Payload != "" {
		if payload = s.Payload; payload != Unsigned && subtle.ConstantTimeCompare([]byte(payload), []byte(digest)) != 1 {
			return refuse("the body is not the one that %s names", PayloadHeader)
		}
	}
	if secretKey == "" {
		return mismatch()
	}
	if escapedPath == "" {
		escapedPath = r.URL.EscapedPath()
	}
	headers, err := canonicalHeaders(r, s.Headers)
	if err != nil {
		return err
	}
	query, err := canonicalQuery(r.URL.RawQuery)
	if err != nil {
		return err
	}
	paths, err := canonicalPaths(escapedPath)
	if err != nil {
		return err
	}
	ok := 0
	for _, path := range paths {
		mac := compute(r.Method, path, query, headers, strings.Join(s.Headers, ";"), payload, s.Date, secretKey)
		ok |= subtle.ConstantTimeCompare(mac, s.mac[:])
	}
	if ok != 1 {
		return mismatch()
	}
	return nil
}

// compute gives the signature of the canonical request.
func compute(method, path, query, headers, names, payload, date, secretKey string) []byte {
	h := sha256.New()
	for _, line := range [...]string{method, "\n", path, "\n", query, "\n", headers, "\n", names, "\n", payload} {
		h.Write([]byte(line))
	}
	var sum [sha256.Size]byte
	text := make([]byte, 0, 128)
	text = append(text, Algorithm+"\n"+date+"\n"...)
	text = hex.AppendEncode(text, h.Sum(sum[:0]))
	mac := hmac.New(sha256.New, []byte(secretKey))
	mac.Write(text)
	return mac.Sum(nil)
}

func mismatch() error {
	return refuse("the signature does not match the request").
		Then("check the secret key, and that nothing between client and cloud changes the path, the query or a signed header")
}

func refuse(format string, args ...any) *fail.Error {
	return fail.New(fail.Unauthenticated, format, args...)
}

func isDigest(s string) bool {
	if len(s) != 2*sha256.Size {
		return false
	}
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// isHeaderName tells whether s is an HTTP field name (RFC 9110 §5.6.2) without upper-case letters.
func isHeaderName(s string) bool {
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && !strings.ContainsRune("-_!#$%&'*+.^`|~", rune(c)) {
			return false
		}
	}
	return s != "" && len(s) <= 128
}
