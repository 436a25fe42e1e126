package s3

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/service/bucket"
)

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
