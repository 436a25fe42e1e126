package s3

import (
	"encoding/base64"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/service/bucket"
)

// maxMeta is how much user metadata an object may have, names and values together; OBS lets more be sent.
const (
	maxMeta    = 2 << 10
	maxMetaOBS = 8 << 10
)

// attributes reads what the client says of an object.
func (r *request) attributes() (bucket.Attributes, error) {
	h := r.Header
	a := bucket.Attributes{ContentType: h.Get("Content-Type"), ContentDisposition: h.Get("Content-Disposition"), ContentLanguage: h.Get("Content-Language"),
		CacheControl: h.Get("Cache-Control"), Expires: h.Get("Expires"), Redirect: r.ext("Website-Redirect-Location")}
	a.ContentEncoding = withoutChunked(strings.Join(h.Values("Content-Encoding"), ","))
	if a.Redirect != "" && !strings.HasPrefix(a.Redirect, "/") && !strings.HasPrefix(a.Redirect, "http://") && !strings.HasPrefix(a.Redirect, "https://") {
		return a, refuse("InvalidRedirectLocation", fail.Invalid, "the redirect location must begin with /, http:// or https://")
	}
	var err error
	a.User, err = r.meta()
	return a, err
}

func (r *request) meta() (map[string]string, error) {
	var meta map[string]string
	size := 0
	for name, values := range r.Header {
		rest, ok := strings.CutPrefix(name, "X-Amz-Meta-")
		if !ok {
			if rest, ok = strings.CutPrefix(name, "X-Obs-Meta-"); !ok {
				continue
			}
		}
		if meta == nil {
			meta = map[string]string{}
		}
		v := decodeWords(strings.Join(values, ","))
		rest = strings.ToLower(rest)
		size += len(rest) + len(v)
		meta[rest] = v
	}
	most := maxMeta
	if r.obs {
		most = maxMetaOBS
	}
	if size > most {
		return nil, refuse("MetadataTooLarge", fail.Invalid, "the user metadata is over %d bytes", most)
	}
	return meta, nil
}

// decodeWords reads values that are written as RFC 2047 describes; others stay.
func decodeWords(v string) string {
	if !strings.HasPrefix(v, "=?") {
		return v
	}
	d := mime.WordDecoder{}
	if plain, err := d.DecodeHeader(v); err == nil {
		return plain
	}
	return v
}

// withoutChunked takes aws-chunked out of a content encoding: it is how the body travels, not what it is.
func withoutChunked(v string) string {
	if !strings.Contains(v, "aws-chunked") {
		return v
	}
	var keep []string
	for part := range strings.SplitSeq(v, ",") {
		if part = strings.TrimSpace(part); part != "" && part != "aws-chunked" {
			keep = append(keep, part)
		}
	}
	return strings.Join(keep, ", ")
}

// tagsHeader reads the tags of an upload: name=value&name=value.
func (r *request) tagsHeader() (map[string]string, error) {
	v := r.ext("Tagging")
	if v == "" {
		return nil, nil
	}
	q, err := url.ParseQuery(v)
	if err != nil {
		return nil, refuse("InvalidArgument", fail.Invalid, "the header tagging must be encoded like a query: name=value&name=value")
	}
	tags := map[string]string{}
	for name, values := range q {
		if len(values) > 1 {
			return nil, refuse("InvalidTag", fail.Invalid, "the tag %q is there twice", name)
		}
		tags[name] = values[0]
	}
	return tags, checkTags(tags, 10)
}

func checkTags(tags map[string]string, most int) error {
	if len(tags) > most {
		return refuse("InvalidTag", fail.Invalid, "there can be at most %d tags", most)
	}
	for name, value := range tags {
		if n := len([]rune(name)); n == 0 || n > 128 {
			return refuse("InvalidTag", fail.Invalid, "a tag's name has 1 to 128 characters")
		}
		if len([]rune(value)) > 256 {
			return refuse("InvalidTag", fail.Invalid, "a tag's value has at most 256 characters")
		}
	}
	return nil
}

// lock reads retention and legal hold of an upload.
func (r *request) lock() (l bucket.Lock, hold bool, err error) {
	mode, until := r.ext("Object-Lock-Mode"), r.ext("Object-Lock-Retain-Until-Date")
	if (mode == "") != (until == "") {
		return l, false, refuse("InvalidArgument", fail.Invalid, "x-amz-object-lock-mode and x-amz-object-lock-retain-until-date come together")
	}
	if mode != "" {
		if l.Mode, err = lockMode(mode); err != nil {
			return l, false, err
		}
		if l.Until, err = parseStamp(until); err != nil {
			return l, false, refuse("InvalidArgument", fail.Invalid, "x-amz-object-lock-retain-until-date is no time like 2030-01-31T00:00:00Z")
		}
	}
	switch v := r.ext("Object-Lock-Legal-Hold"); v {
	case "ON":
		hold = true
	case "", "OFF":
	default:
		return l, false, refuse("InvalidArgument", fail.Invalid, "x-amz-object-lock-legal-hold is ON or OFF")
	}
	return l, hold, nil
}

func lockMode(mode string) (string, error) {
	switch mode {
	case "GOVERNANCE":
		return "governance", nil
	case "COMPLIANCE":
		return "compliance", nil
	}
	return "", refuse("MalformedXML", fail.Invalid, "a lock's mode is GOVERNANCE or COMPLIANCE")
}

// conditions reads If-… headers; prefix is "X-Amz-Copy-Source-" for those of a copy's source.
func (r *request) conditions() bucket.Conditions {
	get := r.Header.Get
	return bucket.Conditions{IfMatch: etags(get("If-Match")), IfNoneMatch: etags(get("If-None-Match")),
		IfModifiedSince: httpTime(get("If-Modified-Since")), IfUnmodifiedSince: httpTime(get("If-Unmodified-Since"))}
}

func (r *request) copyConditions() bucket.Conditions {
	get := func(name string) string { return r.ext("Copy-Source-" + name) }
	return bucket.Conditions{IfMatch: etags(get("If-Match")), IfNoneMatch: etags(get("If-None-Match")),
		IfModifiedSince: httpTime(get("If-Modified-Since")), IfUnmodifiedSince: httpTime(get("If-Unmodified-Since"))}
}

func etags(v string) []string {
	if v == "" {
		return nil
	}
	var out []string
	for part := range strings.SplitSeq(v, ",") {
		out = append(out, strings.Trim(strings.TrimPrefix(strings.TrimSpace(part), "W/"), `"`))
	}
	return out
}

func httpTime(v string) time.Time {
	if v == "" {
		return time.Time{}
	}
	t, err := http.ParseTime(v)
	if err != nil {
		t, _ = parseStamp(v) // neither form: no condition
	}
	return t
}

// byteRange reads a Range header; nil where it has none that is understood, and then the whole is meant.
func byteRange(v string) *bucket.Range {
	spec, ok := strings.CutPrefix(strings.TrimSpace(v), "bytes=")
	if !ok || strings.Contains(spec, ",") {
		return nil
	}
	from, to, ok := strings.Cut(spec, "-")
	if !ok {
		return nil
	}
	from, to = strings.TrimSpace(from), strings.TrimSpace(to)
	if from == "" {
		n, err := strconv.ParseInt(to, 10, 64)
		if err != nil || n < 0 {
			return nil
		}
		if n == 0 {
			return &bucket.Range{From: 1<<62 - 1, To: -1} // of no bytes: beyond every object
		}
		return &bucket.Range{From: -n}
	}
	a, err := strconv.ParseInt(from, 10, 64)
	if err != nil || a < 0 {
		return nil
	}
	if to == "" {
		return &bucket.Range{From: a, To: -1}
	}
	b, err := strconv.ParseInt(to, 10, 64)
	if err != nil || b < a {
		return nil
	}
	return &bucket.Range{From: a, To: b}
}

// customerKey reads a key of the customer's own; prefix is "Copy-Source-" for a copy's source.
func (r *request) customerKey(prefix string) ([]byte, error) {
	at := prefix + "Server-Side-Encryption-Customer-"
	algorithm, key, sum := r.ext(at+"Algorithm"), r.ext(at+"Key"), r.ext(at+"Key-Md5")
	if algorithm == "" && key == "" && sum == "" {
		return nil, nil
	}
	if algorithm != "AES256" {
		return nil, refuse("InvalidEncryptionAlgorithmError", fail.Invalid, "the customer's encryption algorithm must be AES256")
	}
	b, err := base64.StdEncoding.DecodeString(key)
	if err != nil || len(b) != 32 {
		return nil, refuse("InvalidArgument", fail.Invalid, "the customer's key must be the base64 of 32 bytes")
	}
	if sum != bucket.MD5(b) {
		return nil, refuse("InvalidArgument", fail.Invalid, "the customer key's MD5 is missing, or another key's")
	}
	return b, nil
}

// protection reads how to encrypt.
func (r *request) protection() (bucket.Protect, error) {
	key, err := r.customerKey("")
	if err != nil {
		return bucket.Protect{}, err
	}
	algorithm := r.ext("Server-Side-Encryption")
	id := r.ext("Server-Side-Encryption-Aws-Kms-Key-Id")
	if id == "" {
		id = r.ext("Server-Side-Encryption-Kms-Key-Id")
	}
	switch {
	case key != nil && algorithm != "":
		return bucket.Protect{}, refuse("InvalidArgument", fail.Invalid, "server-side encryption is either with the customer's key or with the cloud's, not both")
	case key != nil:
		return bucket.Protect{Algorithm: "customer", Customer: key}, nil
	case algorithm == "" && id != "":
		return bucket.Protect{}, refuse("InvalidArgument", fail.Invalid, "a key id needs the encryption aws:kms")
	case algorithm == "":
		return bucket.Protect{}, nil
	}
	if algorithm, err = encryption(algorithm); err != nil {
		return bucket.Protect{}, err
	}
	if algorithm != "kms" && id != "" {
		return bucket.Protect{}, refuse("InvalidArgument", fail.Invalid, "a key id needs the encryption aws:kms")
	}
	return bucket.Protect{Algorithm: algorithm, Key: id, Context: r.ext("Server-Side-Encryption-Context")}, nil
}

func encryption(name string) (string, error) {
	switch name {
	case "AES256", "obs": // as OBS calls it at a bucket's creation
		return "AES256", nil
	case "aws:kms", "kms", "aws:kms:dsse":
		return "kms", nil
	}
	return "", refuse("InvalidArgument", fail.Invalid, "the encryption %q is not known here; use AES256 or aws:kms", name)
}

// setProtect tells how an object is encrypted.
func (r *request) setProtect(p bucket.Protect, customerMD5 string) {
	switch p.Algorithm {
	case "customer":
		r.set("Server-Side-Encryption-Customer-Algorithm", "AES256")
		r.set("Server-Side-Encryption-Customer-Key-Md5", customerMD5)
	case "kms":
		if r.obs {
			r.set("Server-Side-Encryption", "kms")
			r.set("Server-Side-Encryption-Kms-Key-Id", p.Key)
			return
		}
		r.set("Server-Side-Encryption", "aws:kms")
		r.set("Server-Side-Encryption-Aws-Kms-Key-Id", p.Key)
	case "AES256":
		if !r.obs { // OBS says nothing of what always is
			r.set("Server-Side-Encryption", "AES256")
		}
	}
}
