package sign

import (
	"iter"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
)

var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 2048); return &b }}

// form is one way in which a client may have written what it signed.
type form struct{ path, query, host string }

// forms gives the ways to read the request, the standard one first: the path and query encoded anew as AWS describes,
// then as they were sent (OBS's client signs that), and the host without the port of https.
func (c *Claim) forms(r *http.Request, to Target) iter.Seq[form] {
	return func(yield func(form) bool) {
		query := canonicalQuery(c.query)
		hosts := []string{r.Host}
		if h, ok := strings.CutSuffix(r.Host, ":443"); ok {
			hosts = append(hosts, h)
		} else if h, ok := strings.CutSuffix(r.Host, ":80"); ok {
			hosts = append(hosts, h)
		}
		for _, host := range hosts {
			for _, path := range to.Paths {
				clean := recode(path)
				if !yield(form{clean, query, host}) {
					return
				}
				raw := withoutSignature(r.URL.RawQuery)
				if (clean != path || raw != query) && !yield(form{path, raw, host}) {
					return
				}
			}
		}
	}
}

// canonical writes the canonical request of version 4.
func (c *Claim) canonical(b []byte, r *http.Request, f form) []byte {
	b = append(b, r.Method...)
	b = append(b, '\n')
	b = append(b, f.path...)
	b = append(b, '\n')
	b = append(b, f.query...)
	b = append(b, '\n')
	for _, name := range c.headers {
		b = appendHeader(b, r, name, f.host)
	}
	b = append(b, '\n')
	for i, name := range c.headers {
		if i > 0 {
			b = append(b, ';')
		}
		b = append(b, name...)
	}
	b = append(b, '\n')
	return append(b, c.Payload...)
}

func appendHeader(b []byte, r *http.Request, name, host string) []byte {
	b = append(b, name...)
	b = append(b, ':')
	values := r.Header[http.CanonicalHeaderKey(name)]
	switch name {
	case "host":
		b = append(b, host...)
		return append(b, '\n')
	case "content-length":
		if len(values) == 0 {
			b = strconv.AppendInt(b, max(r.ContentLength, 0), 10)
			return append(b, '\n')
		}
	case "transfer-encoding":
		values = r.TransferEncoding
	}
	for i, value := range values {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendSpaced(b, value)
	}
	return append(b, '\n')
}

// appendSpaced writes a value without spaces around it and with single ones inside.
func appendSpaced(b []byte, value string) []byte {
	value = strings.TrimSpace(value)
	if !strings.Contains(value, "  ") {
		return append(b, value...)
	}
	space := false
	for i := range len(value) {
		if value[i] == ' ' {
			if space {
				continue
			}
			space = true
		} else {
			space = false
		}
		b = append(b, value[i])
	}
	return b
}

// recode percent-encodes a path as AWS describes: all but unreserved characters and slashes.
func recode(escaped string) string {
	if plainPath(escaped) {
		return escaped
	}
	decoded, err := url.PathUnescape(escaped)
	if err != nil {
		return escaped
	}
	var b strings.Builder
	encode(&b, decoded, true)
	return b.String()
}

func plainPath(s string) bool {
	for i := range len(s) {
		if !unreserved(s[i]) && s[i] != '/' {
			return false
		}
	}
	return s != ""
}

func unreserved(c byte) bool {
	return 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '_' || c == '.' || c == '~'
}

func encode(b *strings.Builder, s string, slash bool) {
	const digits = "0123456789ABCDEF"
	for i := range len(s) {
		c := s[i]
		if unreserved(c) || slash && c == '/' {
			b.WriteByte(c)
			continue
		}
		b.WriteByte('%')
		b.WriteByte(digits[c>>4])
		b.WriteByte(digits[c&15])
	}
}

func canonicalQuery(query url.Values) string {
	if len(query) == 0 {
		return ""
	}
	pairs := make([]string, 0, len(query))
	var b strings.Builder
	for key, values := range query {
		if key == "X-Amz-Signature" {
			continue
		}
		for _, value := range values {
			b.Reset()
			encode(&b, key, false)
			b.WriteByte('=')
			encode(&b, value, false)
			pairs = append(pairs, b.String())
		}
	}
	slices.SortFunc(pairs, func(a, b string) int { // by name first: '=' must not count
		an, av, _ := strings.Cut(a, "=")
		bn, bv, _ := strings.Cut(b, "=")
		if c := strings.Compare(an, bn); c != 0 {
			return c
		}
		return strings.Compare(av, bv)
	})
	return strings.Join(pairs, "&")
}

func withoutSignature(raw string) string {
	if !strings.Contains(raw, "X-Amz-Signature=") {
		return raw
	}
	parts := strings.Split(raw, "&")
	parts = slices.DeleteFunc(parts, func(s string) bool { return strings.HasPrefix(s, "X-Amz-Signature=") })
	return strings.Join(parts, "&")
}
