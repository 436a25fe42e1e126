package s3

import (
	"net/http"
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
