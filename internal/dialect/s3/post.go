package s3

import (
	"encoding/xml"
	"io"
	"maps"
	"mime/multipart"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/awancloud/awan/internal/dialect/s3/sign"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/service/bucket"
)

// maxForm is how much an upload form's fields may have together, the file not counted.
const maxForm = 64 << 10

// postObject is an upload by a browser's form. Its fields come first and are held; the file is the last that counts and
// streams.
func (r *request) postObject() error {
	mr, err := r.MultipartReader()
	if err != nil {
		return refuse("PreconditionFailed", fail.Precondition, "a POST to a bucket is a form of the type multipart/form-data")
	}
	form, file, err := readForm(mr)
	if err != nil {
		return err
	}
	if form["key"] == "" {
		return refuse("InvalidArgument", fail.Invalid, "the form needs the field key")
	}
	form["key"] = strings.ReplaceAll(form["key"], "${filename}", file.FileName())
	policy, err := r.formAuth(form)
	if err != nil {
		return err
	}
	r.key = form["key"]
	r.formHeaders(form)
	in, err := r.upload()
	if err != nil {
		return err
	}
	in.If = bucket.Conditions{}
	if v := form["tagging"]; v != "" {
		var doc taggingXML
		if err := decode([]byte(v), &doc); err != nil {
			return err
		}
		if in.Tags, err = doc.parse(10); err != nil {
			return err
		}
	}
	if in.Sums, err = r.sums(); err != nil {
		return err
	}
	body := &limited{r: file, least: 0, most: maxSingle}
	if policy != nil {
		if body.least = policy.Min; policy.Max >= 0 {
			body.most = min(policy.Max, maxSingle)
		}
	}
	in.Body = body
	cb, err := formCallback(form, file.FileName())
	if err != nil {
		return err
	}
	o, err := r.api.Buckets.Put(r.Context(), r.caller, in)
	if err != nil {
		return err
	}
	if cb != nil {
		return r.called(cb, o)
	}
	return r.formAnswer(form, o)
}

func readForm(mr *multipart.Reader) (sign.Form, *multipart.Part, error) {
	form, left := sign.Form{}, int64(maxForm)
	for {
		part, err := mr.NextRawPart()
		if err == io.EOF {
			return nil, nil, refuse("InvalidArgument", fail.Invalid, "POST requires exactly one file upload per request")
		}
		if err != nil {
			return nil, nil, refuse("MalformedPOSTRequest", fail.Invalid, "the body is no well-formed multipart/form-data")
		}
		name := strings.ToLower(part.FormName())
		if name == "file" {
			return form, part, nil
		}
		b, err := io.ReadAll(io.LimitReader(part, left+1))
		if err != nil {
			return nil, nil, refuse("MalformedPOSTRequest", fail.Invalid, "the form ended in the middle")
		}
		if left -= int64(len(b)); left < 0 || len(form) > 200 {
			return nil, nil, refuse("MaxPostPreDataLengthExceeded", fail.Invalid, "the form's fields before the file are over %d bytes", maxForm)
		}
		form[name] = string(b)
	}
}

// formAuth finds who signed the form and checks its policy; a form without signature is nobody's.
func (r *request) formAuth(form sign.Form) (*sign.Policy, error) {
	c, err := form.Claim()
	if err != nil {
		return nil, err
	}
	if c == nil {
		if form["policy"] != "" || form["signature"] != "" {
			return nil, refuse("InvalidArgument", fail.Invalid, "a signed form needs its access key's field")
		}
		return nil, nil
	}
	r.obs = c.Scheme == sign.OBS
	p, secret, err := r.api.key(r, c)
	if err != nil {
		return nil, err
	}
	if err := r.api.verify.CheckForm(c, secret); err != nil {
		return nil, err
	}
	policy, err := sign.ParsePolicy(c.Policy)
	if err != nil {
		return nil, err
	}
	fields := maps.Clone(map[string]string(form))
	fields["bucket"] = r.bucket // where it goes, whatever the form says
	if err := policy.Allows(fields, r.api.Now(), true); err != nil {
		return nil, err
	}
	r.caller.Principal = p
	return policy, nil
}

// formHeaders puts what a form says of its object where an upload's headers are.
func (r *request) formHeaders(form sign.Form) {
	h := http.Header{}
	for name, value := range form {
		switch {
		case strings.HasPrefix(name, "x-amz-"), strings.HasPrefix(name, "x-obs-"):
			h.Set(name, value)
		case name == "acl":
			h.Set("X-Amz-Acl", value)
		case name == "content-type", name == "cache-control", name == "content-disposition", name == "content-encoding", name == "content-language", name == "expires":
			h.Set(name, value)
		}
	}
	h.Del("X-Amz-Tagging")
	r.swap(h)
}

// limited fails when a file is smaller or larger than its policy lets it be.
type limited struct {
	r                  io.Reader
	count, least, most int64
}

func (l *limited) Read(p []byte) (int, error) {
	n, err := l.r.Read(p)
	l.count += int64(n)
	switch {
	case l.count > l.most:
		return n, refuse("EntityTooLarge", fail.Invalid, "your proposed upload exceeds the maximum allowed size of %d bytes", l.most)
	case err == io.EOF && l.count < l.least:
		return n, refuse("EntityTooSmall", fail.Invalid, "your proposed upload is smaller than the minimum allowed size of %d bytes", l.least)
	}
	return n, err
}

type postXML struct {
	XMLName  xml.Name `xml:"PostResponse"`
	Location string   `xml:"Location"`
	Bucket   string   `xml:"Bucket"`
	Key      string   `xml:"Key"`
	ETag     string   `xml:"ETag"`
}

func (r *request) formAnswer(form sign.Form, o *bucket.Object) error {
	h := r.w.Header()
	h["Etag"] = []string{quoted(o.ETag)}
	h.Set("Location", r.location(o.Key))
	if o.Versioned {
		r.set("Version-Id", o.Version)
	}
	to := form["success_action_redirect"]
	if to == "" {
		to = form["redirect"]
	}
	if u, err := url.Parse(to); err == nil && to != "" && u.Host != "" {
		if u.RawQuery != "" {
			u.RawQuery += "&"
		}
		u.RawQuery += "bucket=" + url.QueryEscape(r.bucket) + "&key=" + url.QueryEscape(o.Key) + "&etag=" + url.QueryEscape(quoted(o.ETag))
		h.Set("Location", u.String())
		return r.ok(http.StatusSeeOther)
	}
	switch status, _ := strconv.Atoi(form["success_action_status"]); status {
	case http.StatusOK:
		return r.ok(http.StatusOK)
	case http.StatusCreated:
		return r.answer(http.StatusCreated, postXML{Location: r.location(o.Key), Bucket: r.bucket, Key: o.Key, ETag: quoted(o.ETag)})
	}
	return r.ok(http.StatusNoContent)
}
