package sign

import (
	"crypto/hmac"
	"crypto/sha1" // what version 2 is made of
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
)

func parseV2Header(r *http.Request, query url.Values, scheme Scheme, rest string) (*Claim, error) {
	access, signature, ok := strings.Cut(strings.TrimSpace(rest), ":")
	if !ok || access == "" || signature == "" {
		return nil, Refuse("InvalidArgument", fail.Invalid, "the Authorization header must be %q", string(scheme)+" KEY:SIGNATURE")
	}
	c := &Claim{Scheme: scheme, Access: access, Signature: signature, Token: tokenOf(r.Header, query), query: query}
	date := r.Header.Get("Date")
	if own, ok := r.Header[http.CanonicalHeaderKey(scheme.prefix()+"date")]; ok {
		date = own[0]
	}
	var err error
	if c.Date, err = parseDate(date); err != nil || c.Date.Unix() < 0 {
		return nil, Refuse("AccessDenied", fail.Denied, "a signed request needs a valid Date or %sdate header", scheme.prefix())
	}
	return c, nil
}

func parseDate(s string) (time.Time, error) {
	for _, layout := range []string{http.TimeFormat, time.RFC1123Z, time.RFC1123, time.RFC850, time.ANSIC, longDate, "2006-01-02T15:04:05Z", "Mon, 2 Jan 2006 15:04:05 MST", "Mon, 2 Jan 2006 15:04:05 -0700"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	return time.Parse(http.TimeFormat, s)
}

func parseV2Query(query url.Values, scheme Scheme, name string) (*Claim, error) {
	c := &Claim{Scheme: scheme, Query: true, Access: query.Get(name), Signature: query.Get("Signature"), Policy: query.Get("Policy"),
		Token: tokenOf(nil, query), query: query}
	if c.Policy != "" {
		return c, nil
	}
	n, err := strconv.ParseInt(query.Get("Expires"), 10, 64)
	if err != nil {
		return nil, Refuse("AccessDenied", fail.Denied, "a presigned request needs Expires, in seconds since 1970")
	}
	c.Expires = time.Unix(n, 0)
	return c, nil
}

func (s Scheme) prefix() string {
	if s == OBS {
		return "x-obs-"
	}
	return "x-amz-"
}

func checkV2(r *http.Request, c *Claim, to Target, secret string) error {
	given, err := base64.StdEncoding.DecodeString(c.Signature)
	if err != nil {
		return mismatch()
	}
	if c.Query {
		if err := c.noOthers(r); err != nil {
			return err
		}
	}
	try := func(v variant) bool {
		return hmac.Equal(macV2(secret, c.stringV2(r, v)), given)
	}
	paths := to.Paths
	if to.Bucket != "" && slices.Contains(paths, "/") {
		paths = append(slices.Clone(paths), "") // botocore signs /bucket for the bucket itself
	}
	for _, path := range to.Paths {
		if strings.Count(path, "/") == 1 && path != "/" {
			paths = append(slices.Clone(paths), path+"/") // newer ones sign /bucket/, and send /bucket
		}
	}
	for _, path := range paths {
		for _, hoisted := range []bool{false, true} {
			if hoisted && !(c.Query && c.Scheme == V2) {
				continue
			}
			for _, short := range []bool{false, true} {
				if short && c.Scheme == OBS {
					continue
				}
				if try(variant{bucket: to.Bucket, path: path, hoisted: hoisted, short: short}) {
					return nil
				}
			}
		}
	}
	return mismatch()
}

// noOthers refuses headers of the other dialect, which this signature does not cover.
func (c *Claim) noOthers(r *http.Request) error {
	other := "X-Obs-"
	if c.Scheme == OBS {
		other = "X-Amz-"
	}
	for name := range r.Header {
		if strings.HasPrefix(name, other) {
			return Refuse("AccessDenied", fail.Denied, "the header %s is not covered by the signature", strings.ToLower(name))
		}
	}
	return nil
}

// variant is one way in which clients make version 2's string.
type variant struct {
	bucket, path string
	hoisted      bool // x-amz- parameters of the query count as headers (botocore)
	short        bool // only AWS's own sub-resources are covered
}

func (c *Claim) stringV2(r *http.Request, v variant) []byte {
	prefix := c.Scheme.prefix()
	get := func(name string) string {
		if h := r.Header.Get(name); h != "" || !v.hoisted {
			return h
		}
		return c.query.Get(strings.ToLower(name))
	}
	date := r.Header.Get("Date")
	switch {
	case c.Policy != "":
		date = c.Policy
	case c.Query:
		date = strconv.FormatInt(c.Expires.Unix(), 10)
	case r.Header.Get(prefix+"date") != "":
		date = ""
	}
	b := make([]byte, 0, 512)
	for _, s := range []string{r.Method, get("Content-Md5"), get("Content-Type"), date} {
		b = append(append(b, s...), '\n')
	}
	b = c.headersV2(b, r, prefix, v.hoisted)
	return c.resource(b, v)
}

func (c *Claim) headersV2(b []byte, r *http.Request, prefix string, hoisted bool) []byte {
	lines := map[string]string{}
	for name, values := range r.Header {
		if lower := strings.ToLower(name); strings.HasPrefix(lower, prefix) {
			trimmed := make([]string, len(values))
			for i, value := range values {
				trimmed[i] = strings.TrimSpace(value)
			}
			lines[lower] = strings.Join(trimmed, ",")
		}
	}
	if hoisted {
		for name, values := range c.query {
			if lower := strings.ToLower(name); strings.HasPrefix(lower, prefix) {
				lines[lower] = strings.Join(values, ",")
			}
		}
	}
	names := make([]string, 0, len(lines))
	for name := range lines {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		b = append(b, name...)
		b = append(b, ':')
		b = append(b, lines[name]...)
		b = append(b, '\n')
	}
	return b
}

func (c *Claim) resource(b []byte, v variant) []byte {
	if c.Policy == "" {
		if v.bucket != "" {
			b = append(append(b, '/'), v.bucket...)
		}
		b = append(b, v.path...)
	}
	var names []string
	for name := range c.query {
		if signed(name, v.short) || !v.hoisted && strings.HasPrefix(strings.ToLower(name), c.Scheme.prefix()) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	sep := byte('?')
	for _, name := range names {
		for _, value := range c.query[name] {
			b = append(append(b, sep), name...)
			if value != "" {
				b = append(append(b, '='), value...)
			}
			sep = '&'
		}
	}
	return b
}

// macV2 is what version 2 and OBS sign with.
func macV2(secret string, text []byte) []byte {
	h := hmac.New(sha1.New, []byte(secret))
	h.Write(text)
	return h.Sum(nil)
}
