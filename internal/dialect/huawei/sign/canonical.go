package sign

import (
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// canonicalPaths gives the forms in which clients sign a path: each segment percent-encoded, ending with a slash. The
// SDKs encode the decoded path, so that a %2F inside a segment becomes a plain slash; other signers keep it. Both are
// tried where they differ.
func canonicalPaths(escaped string) ([]string, error) {
	decoded, err := url.PathUnescape(escaped)
	if err != nil {
		return nil, refuse("the path is not correctly percent-encoded")
	}
	var b strings.Builder
	encodePath(&b, decoded)
	paths := []string{b.String()}
	if strings.Contains(escaped, "%2F") || strings.Contains(escaped, "%2f") {
		b.Reset()
		for i, segment := range strings.Split(escaped, "/") {
			if i > 0 {
				b.WriteByte('/')
			}
			plain, err := url.PathUnescape(segment)
			if err != nil {
				return nil, refuse("the path is not correctly percent-encoded")
			}
			encode(&b, plain)
		}
		paths = append(paths, closed(b.String()))
	}
	return paths, nil
}

func encodePath(b *strings.Builder, path string) {
	for i, segment := range strings.Split(path, "/") {
		if i > 0 {
			b.WriteByte('/')
		}
		encode(b, segment)
	}
	if !strings.HasSuffix(path, "/") {
		b.WriteByte('/')
	}
}

func closed(path string) string {
	if strings.HasSuffix(path, "/") {
		return path
	}
	return path + "/"
}

// canonicalQuery sorts keys, and the values of a key, and encodes both; a key without a value gets "k=".
func canonicalQuery(raw string) (string, error) {
	if raw == "" {
		return "", nil
	}
	query, err := url.ParseQuery(raw)
	if err != nil {
		return "", refuse("the query is not correctly percent-encoded")
	}
	keys := make([]string, 0, len(query))
	for key := range query {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	var b strings.Builder
	for _, key := range keys {
		values := query[key]
		slices.Sort(values)
		for _, value := range values {
			if b.Len() > 0 {
				b.WriteByte('&')
			}
			encode(&b, key)
			b.WriteByte('=')
			encode(&b, value)
		}
	}
	return b.String(), nil
}

// canonicalHeaders gives "name:value\n" for each signed header, in the order of names; several values of one name are
// sorted. Host and Content-Length are where net/http keeps them.
func canonicalHeaders(r *http.Request, names []string) (string, error) {
	var b strings.Builder
	for _, name := range names {
		values := r.Header[textproto.CanonicalMIMEHeaderKey(name)]
		switch {
		case name == "host":
			values = []string{r.Host}
		case name == "content-length" && len(values) == 0 && r.ContentLength >= 0:
			values = []string{strconv.FormatInt(r.ContentLength, 10)}
		}
		if len(values) == 0 {
			return "", refuse("the signature covers the header %q, which the request does not carry", name).
				Then("if a proxy stands before the cloud, let it pass that header on")
		}
		if len(values) > 1 {
			values = slices.Clone(values)
			slices.Sort(values)
		}
		for _, value := range values {
			b.WriteString(name)
			b.WriteByte(':')
			b.WriteString(strings.TrimSpace(value))
			b.WriteByte('\n')
		}
	}
	return b.String(), nil
}

// encode percent-encodes all but RFC 3986's unreserved characters.
func encode(b *strings.Builder, s string) {
	const digits = "0123456789ABCDEF"
	for i := range len(s) {
		c := s[i]
		if 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '_' || c == '.' || c == '~' {
			b.WriteByte(c)
			continue
		}
		b.WriteByte('%')
		b.WriteByte(digits[c>>4])
		b.WriteByte(digits[c&15])
	}
}
