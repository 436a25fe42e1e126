// Package sign verifies what requests to object stores are signed with: AWS signature version 4 (header, query, chunked
// bodies with and without trailers), version 2 (header, query), and OBS's, which is version 2 with other header names.
// One canonicaliser makes what was signed. It may import the standard library and kernel/fail.
//
// Sources: Amazon S3 API reference, "Authenticating Requests (AWS Signature Version 4)" and "Signing and Authenticating
// REST Requests"; Object Storage Service API reference, "Authentication".
package sign

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
)

// Scheme is the kind of a signature.
type Scheme string

// The schemes.
const (
	V4  Scheme = "AWS4-HMAC-SHA256"
	V2  Scheme = "AWS"
	OBS Scheme = "OBS"
)

// Skew is how far a client's clock may be off.
const Skew = 15 * time.Minute

// maxLife is how long a presigned version 4 request may live.
const maxLife = 7 * 24 * time.Hour

// Refusal is an error with the word that S3 has for it.
type Refusal struct {
	err  *fail.Error
	code string
}

// Refuse makes a refusal.
func Refuse(code string, kind fail.Kind, format string, args ...any) *Refusal {
	return &Refusal{fail.New(kind, format, args...), code}
}

// Error is for logs.
func (e *Refusal) Error() string { return e.err.Error() }

// Unwrap gives the failure.
func (e *Refusal) Unwrap() error { return e.err }

// Code is S3's word.
func (e *Refusal) Code() string { return e.code }

// Then adds what to do next.
func (e *Refusal) Then(format string, args ...any) *Refusal {
	e.err = e.err.Then(format, args...)
	return e
}

func mismatch() error {
	return Refuse("SignatureDoesNotMatch", fail.Denied, "the signature is not the one of this request under this key").
		Then("check the secret key and how the request is signed")
}

// Claim is a signature that a request carries, not verified yet.
type Claim struct {
	Scheme    Scheme
	Query     bool // presigned: the signature is in the query
	Access    string
	Token     string // the security token of a temporary key
	Signature string
	Policy    string // base64, OBS's signature of a policy in the query
	Date      time.Time
	Expires   time.Time // presigned only

	scope   scope    // version 4
	date    string   // version 4: as in the string to sign
	headers []string // version 4: the signed ones
	Payload string   // version 4: what x-amz-content-sha256 says
	query   url.Values
}

// Region is what a version 4 signature was made for; "" in others.
func (c *Claim) Region() string { return c.scope.region }

// Target is what a version 2 signature covers of a request's place, and where a path prefix was cut off.
type Target struct {
	Bucket string   // of a virtual host; "" in path style
	Paths  []string // escaped, as sent first, then without the listener's prefix
}

// Parse reads the signature of r; nil where it has none. query is r's.
func Parse(r *http.Request, query url.Values) (*Claim, error) {
	if h := r.Header.Get("Authorization"); h != "" {
		scheme, rest, _ := strings.Cut(h, " ")
		switch Scheme(scheme) {
		case V4:
			if query.Has("X-Amz-Signature") {
				return nil, Refuse("InvalidArgument", fail.Invalid, "only one way to authenticate is allowed: the header or the query, not both")
			}
			return parseV4Header(r, query, rest)
		case V2, OBS:
			return parseV2Header(r, query, Scheme(scheme), rest)
		}
		if strings.HasPrefix(scheme, "AWS4-") {
			return nil, Refuse("InvalidRequest", fail.Invalid, "the signature algorithm %q is not known here; sign with AWS4-HMAC-SHA256", scheme)
		}
		return nil, nil
	}
	switch {
	case query.Has("X-Amz-Algorithm") || query.Has("X-Amz-Signature") || query.Has("X-Amz-Credential"):
		return parseV4Query(r, query)
	case query.Has("Signature") && query.Has("AWSAccessKeyId"):
		return parseV2Query(query, V2, "AWSAccessKeyId")
	case query.Has("Signature") && query.Has("AccessKeyId"):
		return parseV2Query(query, OBS, "AccessKeyId")
	}
	return nil, nil
}

// Present tells from outside whether a request is signed for an object store: for a listener that has to choose.
func Present(r *http.Request) bool {
	if h := r.Header.Get("Authorization"); h != "" {
		scheme, _, _ := strings.Cut(h, " ")
		return Scheme(scheme) == V4 || Scheme(scheme) == V2 || Scheme(scheme) == OBS
	}
	q := r.URL.RawQuery
	if q == "" || !strings.Contains(q, "Signature=") {
		return false
	}
	return strings.Contains(q, "X-Amz-Credential=") || strings.Contains(q, "AccessKeyId=")
}

// Check verifies the claim with its key's secret.
func (v *Verifier) Check(r *http.Request, c *Claim, to Target, secret string) error {
	now := v.Now()
	if err := c.timely(now); err != nil {
		return err
	}
	if c.Scheme == V4 {
		return v.checkV4(r, c, to, secret)
	}
	return checkV2(r, c, to, secret)
}

func (c *Claim) timely(now time.Time) error {
	if c.Query {
		switch {
		case c.Policy != "":
		case now.After(c.Expires):
			return Refuse("AccessDenied", fail.Denied, "the request has expired").Then("have a new link made")
		case c.Scheme == V4 && c.Date.Sub(now) > Skew:
			return Refuse("AccessDenied", fail.Denied, "the request is not yet valid").Then("check the clock of who signed it")
		}
		return nil
	}
	if d := now.Sub(c.Date); d > Skew || d < -Skew {
		return Refuse("RequestTimeTooSkewed", fail.Denied, "the request's time and the cloud's differ by more than %d minutes", int(Skew.Minutes())).Then("set your clock right")
	}
	return nil
}
