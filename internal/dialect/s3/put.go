package s3

import (
	"encoding/xml"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/awancloud/awan/internal/dialect/s3/sign"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/service/bucket"
)

// maxSingle is the largest upload in one piece: 5 GiB.
const maxSingle = 5 << 30

// upload reads what the headers of an upload say; Body is not set.
func (r *request) upload() (*bucket.PutInput, error) {
	in := &bucket.PutInput{Bucket: r.bucket, Key: r.key, Size: -1, If: r.conditions()}
	var err error
	if in.Attributes, err = r.attributes(); err != nil {
		return nil, err
	}
	if in.Class, err = classOf(r.ext("Storage-Class")); err != nil {
		return nil, err
	}
	if in.Tags, err = r.tagsHeader(); err != nil {
		return nil, err
	}
	r.tagFacts(in.Tags)
	if in.ACL, in.Canned, err = r.aclHeaders(); err != nil {
		return nil, err
	}
	if in.Protect, err = r.protection(); err != nil {
		return nil, err
	}
	in.Lock, in.Hold, err = r.lock()
	return in, err
}

// body gives an upload its content, length and sums.
func (r *request) body(in *bucket.PutInput) error {
	c, err := r.content()
	if err != nil {
		return err
	}
	in.Body, in.Size = c, c.Size
	if in.Size > maxSingle {
		return refuse("EntityTooLarge", fail.TooLarge, "an upload in one piece has at most 5 GiB").Then("upload it in parts")
	}
	if in.Sums, err = r.sums(); err != nil {
		return err
	}
	if c.Trailing() {
		in.Trailer = func() []bucket.Sum { return trailing(c) }
	}
	in.MD5 = r.comparesMD5()
	in.Compute, err = r.compute(in.Sums, c)
	return err
}

// comparesMD5 tells whether the client takes the ETag for the content's MD5 and calls an upload failed when it is not.
// Clients that do sign the whole payload's SHA-256 (s3cmd), or are of version 2's time, or Amazon's SDK for Java.
func (r *request) comparesMD5() bool {
	if strings.Contains(r.UserAgent(), "aws-sdk-java") {
		return true
	}
	return r.claim != nil && !r.claim.Query && (r.claim.Scheme == sign.V4 && len(r.claim.Payload) == len(sign.EmptySum) || r.claim.Scheme == sign.V2 && !r.byHuawei())
}

// compute names the checksum to make when the client named one and sent none.
func (r *request) compute(sums []bucket.Sum, c *sign.Body) (string, error) {
	if c.Trailing() {
		return r.announced()
	}
	kind, err := r.wanted()
	if err != nil {
		return "", err
	}
	for _, s := range sums {
		if s.Kind == kind {
			return "", nil
		}
	}
	return kind, nil
}

func (r *request) putObject() error {
	if r.ext("Copy-Source") != "" {
		return r.copyObject()
	}
	in, err := r.upload()
	if err != nil {
		return err
	}
	cb, err := r.callback()
	if err != nil {
		return err
	}
	if err := r.body(in); err != nil {
		return err
	}
	o, err := r.api.Buckets.Put(r.Context(), r.caller, in)
	if err != nil {
		return err
	}
	r.told(o)
	if cb != nil {
		return r.called(cb, o)
	}
	return r.ok(http.StatusOK)
}

// stored answers an upload.
func (r *request) stored(o *bucket.Object) error {
	r.told(o)
	return r.ok(http.StatusOK)
}

// told writes the headers that say what was stored.
func (r *request) told(o *bucket.Object) {
	h := r.w.Header()
	h["Etag"] = []string{quoted(o.ETag)}
	if o.Versioned && (r.obs || o.Version != "null") {
		r.set("Version-Id", o.Version)
	}
	r.setSums(h, o.Sums, o.Composite)
	r.setProtect(o.Protect, o.CustomerMD5)
	r.setExpiry(o)
	if r.obs && o.Class != "" && o.Class != bucket.Standard {
		r.set("Storage-Class", r.className(o.Class))
	}
}

// source reads the header that names what is copied: /bucket/key?versionId=….
func (r *request) source() (in bucket.GetInput, err error) {
	v := r.ext("Copy-Source")
	path, query, _ := strings.Cut(v, "?")
	path = unescape(strings.ReplaceAll(strings.TrimPrefix(path, "/"), "+", "%20")) // OBS's client encodes it like a query
	path = strings.TrimPrefix(path, "/")
	name, key, ok := strings.Cut(path, "/")
	if !ok || name == "" || key == "" {
		return in, refuse("InvalidArgument", fail.Invalid, "the copy source must be /bucket/key, percent-encoded")
	}
	in = bucket.GetInput{Bucket: name, Key: key, If: r.copyConditions()}
	if query != "" {
		q, err := url.ParseQuery(query)
		if err != nil {
			return in, refuse("InvalidArgument", fail.Invalid, "the copy source's query is not correctly encoded")
		}
		in.Version = q.Get("versionId")
	}
	in.Customer, err = r.customerKey("Copy-Source-")
	return in, err
}

func directive(v string) (replace bool, err error) {
	switch v {
	case "", "COPY":
		return false, nil
	case "REPLACE", "REPLACE_NEW":
		return true, nil
	}
	return false, refuse("InvalidArgument", fail.Invalid, "the directive %q is not known here; use COPY or REPLACE", v)
}

type copyXML struct {
	XMLName  xml.Name
	Xmlns    string `xml:"xmlns,attr"`
	Modified string `xml:"LastModified"`
	ETag     string `xml:"ETag"`
	sumsXML
	Type string `xml:"ChecksumType,omitempty"`
}

func (r *request) copyObject() error {
	to, err := r.upload()
	if err != nil {
		return err
	}
	in := bucket.CopyInput{To: *to}
	if in.From, err = r.source(); err != nil {
		return err
	}
	if in.Attrs, err = directive(r.ext("Metadata-Directive")); err != nil {
		return err
	}
	if in.NoTags, err = directive(r.ext("Tagging-Directive")); err != nil {
		return err
	}
	if in.To.Compute, err = r.wanted(); err != nil {
		return err
	}
	if in.From.Bucket == r.bucket && in.From.Key == r.key && in.From.Version == "" && !in.Attrs && in.To.Class == "" && in.To.Protect.Algorithm == "" && in.To.Redirect == "" && in.To.Compute == "" {
		return refuse("InvalidRequest", fail.Invalid, "this copy request is illegal because it copies an object to itself without changing its metadata, storage class, website redirect location or encryption")
	}
	o, err := r.api.Buckets.Copy(r.Context(), r.caller, &in)
	if err != nil {
		return err
	}
	r.set("Copy-Source-Version-Id", in.From.Version)
	if o.Versioned {
		r.set("Version-Id", o.Version)
	}
	r.setProtect(o.Protect, o.CustomerMD5)
	out := copyXML{XMLName: xml.Name{Local: "CopyObjectResult"}, Xmlns: r.space(), Modified: stamp(o.Modified), ETag: quoted(o.ETag)}
	if len(o.Sums) > 0 && !r.obs {
		out.sumsXML, out.Type = sumsOf(o.Sums), sumType(o.Composite)
	}
	return r.answer(http.StatusOK, out)
}

func (r *request) position() (int64, error) {
	n, err := strconv.ParseInt(r.q.Get("position"), 10, 64)
	if err != nil || n < 0 {
		return 0, refuse("InvalidArgument", fail.Invalid, "position must be a number from 0 on")
	}
	return n, nil
}

// extend stores content at a position of an object; how says in what way.
func (r *request) extend(how func(*bucket.PutInput)) (*bucket.Object, error) {
	in, err := r.upload()
	if err != nil {
		return nil, err
	}
	if in.At, err = r.position(); err != nil {
		return nil, err
	}
	how(in)
	if err := r.body(in); err != nil {
		return nil, err
	}
	return r.api.Buckets.Put(r.Context(), r.caller, in)
}

// appendObject puts content behind what an object has (OBS).
func (r *request) appendObject() error {
	o, err := r.extend(func(in *bucket.PutInput) { in.Append = true })
	if err != nil {
		return err
	}
	r.set("Next-Append-Position", strconv.FormatInt(o.Next, 10))
	return r.stored(o)
}

// modifyObject overwrites a part of an object (OBS, buckets with a file interface).
func (r *request) modifyObject() error {
	o, err := r.extend(func(in *bucket.PutInput) { in.Modify = true })
	if err != nil {
		return err
	}
	return r.stored(o)
}

func (r *request) truncateObject() error {
	n, err := strconv.ParseInt(r.q.Get("length"), 10, 64)
	if err != nil || n < 0 {
		return refuse("InvalidArgument", fail.Invalid, "length must be a number from 0 on")
	}
	if err := r.api.Buckets.Truncate(r.Context(), r.caller, r.bucket, r.key, n); err != nil {
		return err
	}
	return r.ok(http.StatusNoContent)
}

func (r *request) renameObject() error {
	to := strings.TrimPrefix(r.q.Get("name"), "/")
	if to == "" {
		return refuse("InvalidArgument", fail.Invalid, "name must be the object's new name")
	}
	if err := r.api.Buckets.Rename(r.Context(), r.caller, r.bucket, r.key, to); err != nil {
		return err
	}
	return r.ok(http.StatusNoContent)
}

// setMetadata changes an object's attributes without its content (OBS).
func (r *request) setMetadata() error {
	mode := r.ext("Metadata-Directive")
	replace, err := directive(mode)
	if err != nil {
		return err
	}
	if !replace {
		return refuse("InvalidArgument", fail.Invalid, "the metadata directive is REPLACE or REPLACE_NEW")
	}
	a, err := r.attributes()
	if err != nil {
		return err
	}
	class, err := classOf(r.ext("Storage-Class"))
	if err != nil {
		return err
	}
	in, err := r.getInput("obs:object:GetObject")
	if err != nil {
		return err
	}
	in.Head = true
	if mode == "REPLACE_NEW" { // only what is sent changes
		c, err := r.api.Buckets.Get(r.Context(), r.caller, in)
		if err != nil {
			return err
		}
		a = merged(c.Attributes, a)
	}
	o, err := r.api.Buckets.Edit(r.Context(), r.caller, &bucket.EditInput{Bucket: r.bucket, Key: r.key, Version: r.version(), Attributes: &a, Class: class})
	if err != nil {
		return err
	}
	r.describe(o)
	r.set("Metadata-Directive", mode)
	return r.ok(http.StatusOK)
}

// merged is old with what next sets.
func merged(old, next bucket.Attributes) bucket.Attributes {
	pick := func(old *string, next string) {
		if next != "" {
			*old = next
		}
	}
	pick(&old.ContentType, next.ContentType)
	pick(&old.ContentEncoding, next.ContentEncoding)
	pick(&old.ContentDisposition, next.ContentDisposition)
	pick(&old.ContentLanguage, next.ContentLanguage)
	pick(&old.CacheControl, next.CacheControl)
	pick(&old.Expires, next.Expires)
	pick(&old.Redirect, next.Redirect)
	user := map[string]string{}
	for k, v := range old.User {
		user[k] = v
	}
	for k, v := range next.User {
		user[k] = v
	}
	old.User = user
	return old
}
