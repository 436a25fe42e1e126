package sign

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
)

const (
	longDate = "20060102T150405Z"
	// Unsigned is the payload of a request whose body no signature covers.
	Unsigned = "UNSIGNED-PAYLOAD"
	// EmptySum is the SHA-256 of no bytes.
	EmptySum = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
)

func malformed(format string, args ...any) error {
	return Refuse("AuthorizationHeaderMalformed", fail.Invalid, "the Authorization header is malformed: "+format, args...)
}

func badQuery(format string, args ...any) error {
	return Refuse("AuthorizationQueryParametersError", fail.Invalid, format, args...)
}

func parseV4Header(r *http.Request, query url.Values, rest string) (*Claim, error) {
	c := &Claim{Scheme: V4, query: query}
	var credential, signed string
	for part := range strings.SplitSeq(rest, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		switch name {
		case "Credential":
			credential = value
		case "SignedHeaders":
			signed = value
		case "Signature":
			c.Signature = value
		}
	}
	if credential == "" || signed == "" || c.Signature == "" {
		return nil, malformed("it needs Credential, SignedHeaders and Signature")
	}
	if why := c.setCredential(credential); why != "" {
		return nil, malformed("%s", why)
	}
	c.headers = strings.Split(signed, ";")
	if c.Payload = r.Header.Get("X-Amz-Content-Sha256"); c.Payload == "" {
		return nil, Refuse("InvalidRequest", fail.Invalid, "the header x-amz-content-sha256 is missing")
	}
	c.Token = tokenOf(r.Header, query)
	var err error
	if c.date = r.Header.Get("X-Amz-Date"); c.date != "" {
		c.Date, err = time.Parse(longDate, c.date)
		if err != nil {
			c.Date, err = http.ParseTime(c.date)
			c.date = c.Date.UTC().Format(longDate)
		}
	} else { // OBS's client sends only this
		c.Date, err = http.ParseTime(r.Header.Get("Date"))
		c.date = c.Date.UTC().Format(longDate)
	}
	if err != nil {
		return nil, Refuse("AccessDenied", fail.Denied, "a signed request needs a valid x-amz-date or Date header")
	}
	if c.scope.day != c.date[:8] {
		return nil, malformed("the credential's date %q is not the request's %q", c.scope.day, c.date[:8])
	}
	return c, nil
}

// setCredential reads AK/day/region/s3/aws4_request and says what is wrong with it.
func (c *Claim) setCredential(s string) string {
	parts := strings.Split(s, "/")
	n := len(parts)
	if n < 5 {
		return "the credential must be KEY/YYYYMMDD/REGION/SERVICE/aws4_request"
	}
	c.Access = strings.Join(parts[:n-4], "/")
	c.scope = scope{parts[n-4], parts[n-3], parts[n-2]}
	switch {
	case parts[n-1] != "aws4_request":
		return "the credential must end in aws4_request"
	case c.scope.service != "s3":
		return "the credential is for the service " + strconv.Quote(c.scope.service) + ", not s3"
	case len(c.scope.day) != 8:
		return "the credential's date must be YYYYMMDD"
	case c.Access == "":
		return "the credential has no access key"
	}
	return ""
}

func parseV4Query(r *http.Request, query url.Values) (*Claim, error) {
	c := &Claim{Scheme: V4, Query: true, query: query, Signature: query.Get("X-Amz-Signature"), date: query.Get("X-Amz-Date")}
	for _, name := range []string{"X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Signature", "X-Amz-Date", "X-Amz-SignedHeaders", "X-Amz-Expires"} {
		if query.Get(name) == "" {
			return nil, badQuery("a presigned request needs the query parameters X-Amz-Algorithm, X-Amz-Credential, X-Amz-Signature, X-Amz-Date, X-Amz-SignedHeaders and X-Amz-Expires; %s is missing", name)
		}
	}
	if query.Get("X-Amz-Algorithm") != string(V4) {
		return nil, badQuery("X-Amz-Algorithm only supports AWS4-HMAC-SHA256")
	}
	if why := c.setCredential(query.Get("X-Amz-Credential")); why != "" {
		return nil, badQuery("X-Amz-Credential: %s", why)
	}
	var err error
	if c.Date, err = time.Parse(longDate, c.date); err != nil {
		return nil, badQuery("X-Amz-Date must be in the form YYYYMMDDThhmmssZ")
	}
	if c.scope.day != c.date[:8] {
		return nil, badQuery("X-Amz-Credential: its date is not that of X-Amz-Date")
	}
	n, err := strconv.ParseInt(query.Get("X-Amz-Expires"), 10, 64)
	if err != nil || n < 0 || time.Duration(n) > maxLife/time.Second {
		return nil, badQuery("X-Amz-Expires must be from 0 to 604800 seconds")
	}
	c.Expires = c.Date.Add(time.Duration(n) * time.Second)
	c.headers = strings.Split(query.Get("X-Amz-SignedHeaders"), ";")
	c.Token = tokenOf(r.Header, query)
	c.Payload = Unsigned
	if p := query.Get("X-Amz-Content-Sha256"); p != "" {
		c.Payload = p
	} else if p := r.Header.Get("X-Amz-Content-Sha256"); p != "" && slices.Contains(c.headers, "x-amz-content-sha256") {
		c.Payload = p
	}
	return c, nil
}

func tokenOf(h http.Header, query url.Values) string {
	for _, name := range []string{"X-Amz-Security-Token", "X-Obs-Security-Token"} {
		if t := h.Get(name); t != "" {
			return t
		}
	}
	for _, name := range []string{"X-Amz-Security-Token", "x-amz-security-token", "x-obs-security-token", "X-Obs-Security-Token"} {
		if t := query.Get(name); t != "" {
			return t
		}
	}
	return ""
}

func (v *Verifier) checkV4(r *http.Request, c *Claim, to Target, secret string) error {
	if err := c.covers(r); err != nil {
		return err
	}
	given, err := hex.DecodeString(c.Signature)
	if err != nil {
		return mismatch()
	}
	key := v.key(c.Access, secret, c.scope)
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	for form := range c.forms(r, to) {
		*buf = c.canonical((*buf)[:0], r, form)
		sum := sha256.Sum256(*buf)
		b := append((*buf)[:0], V4...)
		b = append(b, '\n')
		b = append(b, c.date...)
		b = append(b, '\n')
		b = append(b, c.scope.String()...)
		b = append(b, '\n')
		b = hex.AppendEncode(b, sum[:])
		*buf = b
		h := hmac.New(sha256.New, key)
		h.Write(b)
		if hmac.Equal(h.Sum(nil), given) {
			return nil
		}
	}
	return mismatch()
}

// covers tells whether every header that changes what is done is among the signed ones: without it, whoever gets hold
// of a presigned upload could make it public.
func (c *Claim) covers(r *http.Request) error {
	if !slices.Contains(c.headers, "host") {
		return Refuse("AccessDenied", fail.Denied, "the signature does not cover the header host")
	}
	for name := range r.Header {
		if !strings.HasPrefix(name, "X-Amz-") && (!c.Query || !strings.HasPrefix(name, "X-Obs-")) {
			continue
		}
		if lower := strings.ToLower(name); !slices.Contains(c.headers, lower) && !(c.Query && lower == "x-amz-content-sha256") {
			return Refuse("AccessDenied", fail.Denied, "the header %s is not covered by the signature", lower).Then("sign all x-amz- headers")
		}
	}
	return nil
}
