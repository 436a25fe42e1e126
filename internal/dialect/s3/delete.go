package s3

import (
	"encoding/xml"
	"net/http"
	"strconv"
	"strings"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/service/bucket"
)

// maxDeletes is how many objects one request deletes.
const maxDeletes = 1000

func (r *request) bypass() bool {
	return strings.EqualFold(r.ext("Bypass-Governance-Retention"), "true")
}

func (r *request) deleteObject() error {
	in := &bucket.DeleteInput{Bucket: r.bucket, Key: r.key, Version: r.version(), Bypass: r.bypass()}
	in.If.IfMatch = etags(r.Header.Get("If-Match"))
	if v := r.Header.Get("X-Amz-If-Match-Last-Modified-Time"); v != "" {
		t := httpTime(v)
		in.If.IfUnmodifiedSince = t
	}
	if v := r.Header.Get("X-Amz-If-Match-Size"); v != "" {
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil {
			return refuse("InvalidArgument", fail.Invalid, "x-amz-if-match-size must be a number")
		}
		in.If.IfSize = &n
	}
	d, err := r.api.Buckets.Delete(r.Context(), r.caller, in)
	if bucket.CodeOf(err) == "NoSuchVersion" { // it is gone, as was wanted
		d, err = bucket.Deleted{Version: in.Version}, nil
	}
	if err != nil {
		return err
	}
	if d.Marker || d.MarkerVersion != "" {
		r.set("Delete-Marker", "true")
	}
	if d.MarkerVersion != "" {
		r.set("Version-Id", d.MarkerVersion)
	} else {
		r.set("Version-Id", d.Version)
	}
	return r.ok(http.StatusNoContent)
}

type deleteXML struct {
	Quiet    bool   `xml:"Quiet"`
	Encoding string `xml:"EncodingType"`
	Objects  []struct {
		Key      string `xml:"Key"`
		Version  string `xml:"VersionId"`
		ETag     string `xml:"ETag"`
		Modified string `xml:"LastModifiedTime"`
		Size     *int64 `xml:"Size"`
	} `xml:"Object"`
}

type deletedXML struct {
	Key           string `xml:"Key"`
	Version       string `xml:"VersionId,omitempty"`
	Marker        bool   `xml:"DeleteMarker,omitempty"`
	MarkerVersion string `xml:"DeleteMarkerVersionId,omitempty"`
}

type notDeletedXML struct {
	Key     string `xml:"Key"`
	Version string `xml:"VersionId,omitempty"`
	Code    string `xml:"Code"`
	Message string `xml:"Message"`
}

type deleteResultXML struct {
	XMLName  xml.Name        `xml:"DeleteResult"`
	Xmlns    string          `xml:"xmlns,attr"`
	Encoding string          `xml:"EncodingType,omitempty"`
	Deleted  []deletedXML    `xml:"Deleted"`
	Errors   []notDeletedXML `xml:"Error"`
}

func (r *request) deleteObjects() error {
	var doc deleteXML
	if err := r.read(&doc); err != nil {
		return err
	}
	if len(doc.Objects) == 0 || len(doc.Objects) > maxDeletes {
		return refuse("MalformedXML", fail.Invalid, "a request deletes 1 to %d objects", maxDeletes)
	}
	if err := encodingType(doc.Encoding); err != nil {
		return err
	}
	in := make([]bucket.DeleteInput, len(doc.Objects))
	for i, o := range doc.Objects {
		if doc.Encoding == "url" {
			o.Key = unescape(strings.ReplaceAll(o.Key, "+", "%20"))
		}
		in[i] = bucket.DeleteInput{Bucket: r.bucket, Key: o.Key, Version: o.Version, Bypass: r.bypass()}
		in[i].If.IfMatch, in[i].If.IfSize = etags(o.ETag), o.Size
		if o.Modified != "" {
			in[i].If.IfUnmodifiedSince = httpTime(o.Modified)
		}
	}
	done, err := r.api.Buckets.DeleteMany(r.Context(), r.caller, r.bucket, in)
	if err != nil {
		return err
	}
	out := deleteResultXML{Xmlns: r.space(), Encoding: doc.Encoding}
	for i, d := range done {
		key := encoded(in[i].Key, doc.Encoding)
		if d.Err != nil && bucket.CodeOf(d.Err) != "NoSuchVersion" {
			_, code, f := r.wordOf(d.Err)
			out.Errors = append(out.Errors, notDeletedXML{key, in[i].Version, code, f.Public()})
		} else if !doc.Quiet {
			out.Deleted = append(out.Deleted, deletedXML{key, in[i].Version, d.Marker || d.MarkerVersion != "", markerOf(d)})
		}
	}
	return r.answer(http.StatusOK, out)
}

// markerOf is the version of the delete marker that was made, or that went.
func markerOf(d bucket.Deleted) string {
	if d.MarkerVersion != "" {
		return d.MarkerVersion
	}
	if d.Marker {
		return d.Version
	}
	return ""
}
