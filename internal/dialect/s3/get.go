package s3

import (
	"encoding/xml"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/service/bucket"
)

// overrides are the parameters by which a request chooses headers of its answer.
var overrides = map[string]string{"response-content-type": "Content-Type", "response-content-language": "Content-Language",
	"response-expires": "Expires", "response-cache-control": "Cache-Control", "response-content-disposition": "Content-Disposition",
	"response-content-encoding": "Content-Encoding"}

func (r *request) getInput(as string) (*bucket.GetInput, error) {
	key, err := r.customerKey("")
	return &bucket.GetInput{Bucket: r.bucket, Key: r.key, Version: r.version(), Customer: key, As: as}, err
}

// getObject answers GET and HEAD.
func (r *request) getObject() error {
	in, err := r.getInput("")
	if err != nil {
		return err
	}
	if r.ext("Server-Side-Encryption") != "" {
		return refuse("InvalidArgument", fail.Invalid, "x-amz-server-side-encryption says how to store an object; a read does not take it")
	}
	in.Head, in.If, in.Range = r.Method == http.MethodHead, r.conditions(), byteRange(r.Header.Get("Range"))
	if v := r.q.Get("partNumber"); v != "" {
		if in.Part, err = strconv.Atoi(v); err != nil || in.Part < 1 || in.Part > 10000 {
			return refuse("InvalidArgument", fail.Invalid, "partNumber is a number from 1 to 10000")
		}
		if in.Range != nil {
			return refuse("InvalidRequest", fail.Invalid, "a request asks for a part or for a range, not for both")
		}
	}
	for name := range overrides {
		if r.q.Has(name) && r.claim == nil && r.caller.Principal.Nobody() {
			return refuse("InvalidRequest", fail.Invalid, "the parameter %s needs a signed request", name)
		}
	}
	c, err := r.api.Buckets.Get(r.Context(), r.caller, in)
	if err != nil {
		r.markerHeaders(c)
		return err
	}
	if c.Body != nil {
		defer c.Body.Close()
	}
	return r.give(in, c, http.StatusOK)
}

// give sends an object, or the part of it that was asked for; status is that of a whole one.
func (r *request) give(in *bucket.GetInput, c *bucket.Content, status int) error {
	r.describe(&c.Object)
	h := r.w.Header()
	if c.NotModified {
		h.Del("Content-Type")
		r.wrote = true
		r.w.WriteHeader(http.StatusNotModified)
		return nil
	}
	for name, header := range overrides {
		if v := r.q.Get(name); v != "" {
			h.Set(header, headerSafe(v))
		}
	}
	if in.Part > 0 && c.PartCount > 0 {
		r.set("Mp-Parts-Count", strconv.Itoa(c.PartCount))
	}
	if strings.EqualFold(r.ext("Checksum-Mode"), "ENABLED") && (!c.Partial || in.Part > 0) {
		r.setSums(h, sumsFor(c, in.Part), c.Composite)
	}
	h.Set("Accept-Ranges", "bytes")
	length := c.Size
	if c.Partial {
		status = http.StatusPartialContent
		h.Set("Content-Range", "bytes "+strconv.FormatInt(c.From, 10)+"-"+strconv.FormatInt(c.To, 10)+"/"+strconv.FormatInt(c.Size, 10))
		length = c.To - c.From + 1
	}
	h.Set("Content-Length", strconv.FormatInt(length, 10))
	r.confine()
	return r.stream(status, c.Body)
}

// markerHeaders says that what is not there was deleted.
func (r *request) markerHeaders(c *bucket.Content) {
	if c == nil || !c.Marker {
		return
	}
	r.set("Delete-Marker", "true")
	r.set("Version-Id", c.Version)
	r.w.Header().Set("Last-Modified", c.Modified.UTC().Format(http.TimeFormat))
}

// stream sends a content. The first of it was read before the status goes out (bucket.Content says so), so that damage at
// the start is an error that a client can read; later the answer can only be cut off.
func (r *request) stream(status int, body io.Reader) error {
	r.wrote = true
	r.w.WriteHeader(status)
	if body == nil || r.Method == http.MethodHead {
		return nil
	}
	to := &sink{w: r.w}
	if _, err := io.Copy(to, body); err != nil && !to.broken {
		return err
	} else if err != nil {
		panic(http.ErrAbortHandler) // the client is gone
	}
	return nil
}

// sink tells a client that went away from a content that cannot be read.
type sink struct {
	w      io.Writer
	broken bool
}

func (s *sink) Write(p []byte) (int, error) {
	n, err := s.w.Write(p)
	s.broken = s.broken || err != nil
	return n, err
}

// describe writes the headers that tell of an object.
func (r *request) describe(o *bucket.Object) {
	h := r.w.Header()
	for name, value := range map[string]string{"Content-Type": o.ContentType, "Content-Encoding": o.ContentEncoding, "Content-Disposition": o.ContentDisposition,
		"Content-Language": o.ContentLanguage, "Cache-Control": o.CacheControl, "Expires": o.Attributes.Expires} {
		if value != "" {
			h.Set(name, headerSafe(value))
		}
	}
	if o.ContentType == "" {
		h.Set("Content-Type", "binary/octet-stream")
	}
	h["Etag"] = []string{quoted(o.ETag)}
	h.Set("Last-Modified", o.Modified.UTC().Format(http.TimeFormat))
	prefix := "X-Amz-Meta-"
	if r.obs {
		prefix = "X-Obs-Meta-"
	}
	missing := 0
	for name, value := range o.User {
		if !printable(name) {
			missing++
			continue
		}
		if !printable(value) {
			value = mime.BEncoding.Encode("UTF-8", value)
		}
		h[prefix+name] = []string{value}
	}
	if missing > 0 {
		r.set("Missing-Meta", strconv.Itoa(missing))
	}
	r.set("Website-Redirect-Location", headerSafe(o.Redirect))
	if o.Versioned {
		r.set("Version-Id", o.Version)
	}
	if o.Class != "" && o.Class != bucket.Standard || r.obs && o.Class != "" && r.Method == http.MethodHead && o.Class != bucket.Standard {
		r.set("Storage-Class", r.className(o.Class))
	}
	if len(o.Tags) > 0 {
		r.set("Tagging-Count", strconv.Itoa(len(o.Tags)))
	}
	if o.Lock.Mode != "" {
		r.set("Object-Lock-Mode", strings.ToUpper(o.Lock.Mode))
		r.set("Object-Lock-Retain-Until-Date", stamp(o.Lock.Until))
	}
	if o.Hold {
		r.set("Object-Lock-Legal-Hold", "ON")
	}
	r.setProtect(o.Protect, o.CustomerMD5)
	r.set("Replication-Status", o.Replication)
	r.setExpiry(o)
	switch {
	case o.Restoring:
		r.set("Restore", `ongoing-request="true"`)
	case !o.Restored.IsZero():
		r.set("Restore", `ongoing-request="false", expiry-date="`+o.Restored.UTC().Format(http.TimeFormat)+`"`)
	}
	if o.Appendable {
		r.set("Object-Type", "Appendable")
		r.set("Next-Append-Position", strconv.FormatInt(o.Next, 10))
	}
}

func (r *request) setExpiry(o *bucket.Object) {
	if !o.Expires.IsZero() {
		r.set("Expiration", `expiry-date="`+o.Expires.UTC().Format(http.TimeFormat)+`", rule-id="`+url.PathEscape(o.ExpiresBy)+`"`)
	}
}

func quoted(etag string) string { return `"` + etag + `"` }

func printable(s string) bool {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] > 0x7e {
			return false
		}
	}
	return true
}

type attributesXML struct {
	XMLName  xml.Name  `xml:"GetObjectAttributesResponse"`
	Xmlns    string    `xml:"xmlns,attr"`
	ETag     string    `xml:"ETag,omitempty"`
	Checksum *sumXML   `xml:"Checksum"`
	Parts    *partsXML `xml:"ObjectParts"`
	Class    string    `xml:"StorageClass,omitempty"`
	Size     *int64    `xml:"ObjectSize"`
}

type sumXML struct {
	sumsXML
	Type string `xml:"ChecksumType"`
}

type partsXML struct {
	Total     int        `xml:"PartsCount"`
	Marker    int        `xml:"PartNumberMarker"`
	Next      int        `xml:"NextPartNumberMarker"`
	Max       int        `xml:"MaxParts"`
	Truncated bool       `xml:"IsTruncated"`
	Parts     []sizedXML `xml:"Part"`
}

type sizedXML struct {
	Number int   `xml:"PartNumber"`
	Size   int64 `xml:"Size"`
	sumsXML
}

// objectAttributes answers with those attributes that are asked for.
func (r *request) objectAttributes() error {
	want := map[string]bool{}
	for _, line := range r.Header["X-Amz-Object-Attributes"] {
		for name := range strings.SplitSeq(line, ",") {
			want[strings.TrimSpace(name)] = true
		}
	}
	all := []string{"ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"}
	for name := range want {
		if !slices.Contains(all, name) {
			return refuse("InvalidArgument", fail.Invalid, "the attribute %q is not known here", name)
		}
	}
	if len(want) == 0 {
		return refuse("InvalidArgument", fail.Invalid, "the header x-amz-object-attributes must name what is wanted")
	}
	in, err := r.getInput("obs:object:GetObject")
	if err != nil {
		return err
	}
	in.Head = true
	c, err := r.api.Buckets.Get(r.Context(), r.caller, in)
	if err != nil {
		r.markerHeaders(c)
		return err
	}
	out := attributesXML{Xmlns: namespace}
	if want["ETag"] {
		out.ETag = c.ETag
	}
	if want["Checksum"] && len(c.Sums) > 0 {
		out.Checksum = &sumXML{sumsOf(c.Sums), sumType(c.Composite)}
	}
	if want["StorageClass"] {
		out.Class = r.className(c.Class)
	}
	if want["ObjectSize"] {
		out.Size = &c.Size
	}
	if want["ObjectParts"] && len(c.Parts) > 0 {
		if out.Parts, err = r.partsOf(c.Parts); err != nil {
			return err
		}
	}
	r.w.Header().Set("Last-Modified", c.Modified.UTC().Format(http.TimeFormat))
	if c.Versioned {
		r.set("Version-Id", c.Version)
	}
	return r.answer(http.StatusOK, out)
}

func (r *request) partsOf(parts []bucket.PartSize) (*partsXML, error) {
	number := func(header string, otherwise int) (int, error) {
		v := r.Header.Get(header)
		if v == "" {
			return otherwise, nil
		}
		n, err := strconv.Atoi(v)
		if err != nil || n < 0 {
			return 0, refuse("InvalidArgument", fail.Invalid, "%s must be a number", header)
		}
		return n, nil
	}
	most, err := number("X-Amz-Max-Parts", 1000)
	if err != nil {
		return nil, err
	}
	after, err := number("X-Amz-Part-Number-Marker", 0)
	if err != nil {
		return nil, err
	}
	out := &partsXML{Total: len(parts), Marker: after, Max: min(most, 1000)}
	for i := after; i < len(parts) && len(out.Parts) < out.Max; i++ {
		out.Parts = append(out.Parts, sizedXML{i + 1, parts[i].Size, sumsOf(maps.Clone(parts[i].Sums))})
		out.Next = i + 1
	}
	out.Truncated = out.Next < len(parts) && len(out.Parts) > 0
	return out, nil
}

// sumsFor gives the checksums of a whole object or of one part.
func sumsFor(c *bucket.Content, part int) map[string]string {
	if part > 0 && part <= len(c.Parts) && len(c.Parts[part-1].Sums) > 0 {
		return c.Parts[part-1].Sums
	}
	return c.Sums
}
