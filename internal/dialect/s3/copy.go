package s3

import (
	"encoding/xml"
	"net/http"
	"net/url"
	"strings"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/service/bucket"
)

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
