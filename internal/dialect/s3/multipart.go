package s3

import (
	"encoding/xml"
	"net/http"
	"strconv"
	"strings"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/service/bucket"
)

// Limits of uploads in parts.
const (
	maxPart  = 5 << 30
	maxParts = 10000
)

type beginXML struct {
	XMLName      xml.Name `xml:"InitiateMultipartUploadResult"`
	Xmlns        string   `xml:"xmlns,attr"`
	Bucket       string   `xml:"Bucket"`
	Key          string   `xml:"Key"`
	UploadID     string   `xml:"UploadId"`
	EncodingType string   `xml:"EncodingType,omitempty"`
}

func (r *request) beginUpload() error {
	put, err := r.upload()
	if err != nil {
		return err
	}
	encoding := r.q.Get("encoding-type")
	if err := encodingType(encoding); err != nil {
		return err
	}
	in := &bucket.UploadInput{PutInput: *put}
	if in.Algorithm, err = algorithm(r.Header.Get("X-Amz-Checksum-Algorithm")); err != nil {
		return err
	}
	switch kind := strings.ToUpper(r.Header.Get("X-Amz-Checksum-Type")); {
	case kind != "" && in.Algorithm == "":
		return refuse("InvalidRequest", fail.Invalid, "x-amz-checksum-type needs x-amz-checksum-algorithm")
	case kind == "COMPOSITE" && in.Algorithm == "crc64nvme", kind == "FULL_OBJECT" && strings.HasPrefix(in.Algorithm, "sha"):
		return refuse("InvalidRequest", fail.Invalid, "the checksum algorithm %s cannot be %s", strings.ToUpper(in.Algorithm), kind)
	case kind == "COMPOSITE", kind == "" && in.Algorithm != "" && in.Algorithm != "crc64nvme":
		in.Composite = true
	case kind != "" && kind != "FULL_OBJECT":
		return refuse("InvalidRequest", fail.Invalid, "x-amz-checksum-type is COMPOSITE or FULL_OBJECT")
	}
	u, err := r.api.Buckets.Begin(r.Context(), r.caller, in)
	if err != nil {
		return err
	}
	r.setProtect(u.Protect, u.CustomerMD5)
	if u.Algorithm != "" {
		r.set("Checksum-Algorithm", strings.ToUpper(u.Algorithm))
		r.set("Checksum-Type", sumType(u.Composite))
	}
	return r.answer(http.StatusOK, beginXML{Xmlns: r.space(), Bucket: r.bucket, Key: encoded(r.key, encoding), UploadID: u.ID, EncodingType: encoding})
}

func (r *request) partNumber() (int, error) {
	n, err := strconv.Atoi(r.q.Get("partNumber"))
	if err != nil || n < 1 || n > maxParts {
		return 0, refuse("InvalidArgument", fail.Invalid, "part number must be an integer between 1 and %d, inclusive", maxParts)
	}
	return n, nil
}

func (r *request) putPart() error {
	n, err := r.partNumber()
	if err != nil {
		return err
	}
	in := &bucket.PartInput{Bucket: r.bucket, Key: r.key, Upload: r.q.Get("uploadId"), Number: n}
	if in.Customer, err = r.customerKey(""); err != nil {
		return err
	}
	if r.ext("Copy-Source") != "" {
		return r.copyPart(in)
	}
	c, err := r.content()
	if err != nil {
		return err
	}
	if c.Size > maxPart {
		return refuse("EntityTooLarge", fail.TooLarge, "a part has at most 5 GiB")
	}
	in.Body, in.Size, in.MD5 = c, c.Size, r.comparesMD5()
	if in.Sums, err = r.sums(); err != nil {
		return err
	}
	if c.Trailing() {
		kind, err := r.announced()
		if err != nil {
			return err
		}
		if kind != "" {
			in.Body = &trailed{c, kind, bucket.NewHash(kind)}
		}
	}
	p, err := r.api.Buckets.PutPart(r.Context(), r.caller, in)
	if err != nil {
		return err
	}
	h := r.w.Header()
	h["Etag"] = []string{quoted(p.ETag)}
	for kind, value := range p.Sums {
		if sumLength[kind] > 0 && !r.obs {
			h.Set("X-Amz-Checksum-"+kind, value)
		}
	}
	r.setProtect(p.Protect, p.CustomerMD5)
	return r.ok(http.StatusOK)
}

func (r *request) copyPart(in *bucket.PartInput) error {
	from, err := r.source()
	if err != nil {
		return err
	}
	if v := r.ext("Copy-Source-Range"); v != "" {
		from.Range = byteRange(v)
		if from.Range == nil || from.Range.From < 0 || from.Range.To < 0 {
			return refuse("InvalidArgument", fail.Invalid, "the x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the zero-based offsets of the first and last bytes to copy")
		}
	}
	if from.Range != nil { // a range that goes beyond the source is an error here, and none of a GET
		head := from
		head.Range, head.Head = nil, true
		c, err := r.api.Buckets.Get(r.Context(), r.caller, &head)
		if err != nil {
			return err
		}
		if from.Range.To >= c.Size {
			return refuse("InvalidRange", fail.Invalid, "the range of the copy source ends behind its %d bytes", c.Size)
		}
	}
	in.From = &from
	p, err := r.api.Buckets.PutPart(r.Context(), r.caller, in)
	if err != nil {
		return err
	}
	r.set("Copy-Source-Version-Id", from.Version)
	r.setProtect(p.Protect, p.CustomerMD5)
	out := copyXML{XMLName: xml.Name{Local: "CopyPartResult"}, Xmlns: r.space(), Modified: stamp(p.Modified), ETag: quoted(p.ETag)}
	if !r.obs {
		out.sumsXML = sumsOf(p.Sums)
	}
	return r.answer(http.StatusOK, out)
}

type completeXML struct {
	Parts []struct {
		Number int    `xml:"PartNumber"`
		ETag   string `xml:"ETag"`
		sumsXML
	} `xml:"Part"`
}

type completedXML struct {
	XMLName      xml.Name `xml:"CompleteMultipartUploadResult"`
	Xmlns        string   `xml:"xmlns,attr"`
	Location     string   `xml:"Location"`
	Bucket       string   `xml:"Bucket"`
	Key          string   `xml:"Key"`
	ETag         string   `xml:"ETag"`
	EncodingType string   `xml:"EncodingType,omitempty"`
	sumsXML
	Type string `xml:"ChecksumType,omitempty"`
}

func (r *request) completeUpload() error {
	b, err := r.documentUnsummed()
	if err != nil {
		return err
	}
	var doc completeXML
	if err := decode(b, &doc); err != nil {
		return err
	}
	if len(doc.Parts) == 0 || len(doc.Parts) > maxParts {
		return refuse("MalformedXML", fail.Invalid, "an upload has 1 to %d parts", maxParts)
	}
	in := &bucket.CompleteInput{Bucket: r.bucket, Key: r.key, Upload: r.q.Get("uploadId"), Size: -1, If: r.conditions()}
	for _, p := range doc.Parts {
		if p.Number < 1 || p.Number > maxParts {
			return refuse("InvalidArgument", fail.Invalid, "part number must be an integer between 1 and %d, inclusive", maxParts)
		}
		in.Parts = append(in.Parts, bucket.Part{Number: p.Number, ETag: strings.Trim(p.ETag, `"`), Sums: p.parse()})
	}
	if in.Sums, err = r.wholeSums(); err != nil {
		return err
	}
	if v := r.Header.Get("X-Amz-Mp-Object-Size"); v != "" {
		if in.Size, err = strconv.ParseInt(v, 10, 64); err != nil || in.Size < 0 {
			return refuse("InvalidRequest", fail.Invalid, "x-amz-mp-object-size must be a number")
		}
	}
	if in.Customer, err = r.customerKey(""); err != nil {
		return err
	}
	cb, err := r.callback()
	if err != nil {
		return err
	}
	o, err := r.api.Buckets.Complete(r.Context(), r.caller, in)
	if err != nil {
		return err
	}
	if o.Versioned && (r.obs || o.Version != "null") {
		r.set("Version-Id", o.Version)
	}
	r.setProtect(o.Protect, o.CustomerMD5)
	r.setExpiry(o)
	if cb != nil {
		return r.called(cb, o)
	}
	encoding := r.q.Get("encoding-type")
	out := completedXML{Xmlns: r.space(), Location: r.location(r.key), Bucket: r.bucket, Key: encoded(r.key, encoding), ETag: quoted(o.ETag), EncodingType: encoding}
	if len(o.Sums) > 0 && !r.obs {
		out.sumsXML, out.Type = sumsOf(o.Sums), sumType(o.Composite)
	}
	return r.answer(http.StatusOK, out)
}

// documentUnsummed reads a small body whose x-amz-checksum headers are of something else.
func (r *request) documentUnsummed() ([]byte, error) {
	kept := r.Header
	defer r.swap(kept)
	h := kept.Clone()
	for _, kind := range sumKinds {
		h.Del("X-Amz-Checksum-" + kind)
	}
	r.swap(h)
	return r.document()
}

// wholeSums reads the checksums of the whole object; a composite one may have its parts' number behind it.
func (r *request) wholeSums() ([]bucket.Sum, error) {
	var out []bucket.Sum
	for _, kind := range sumKinds {
		v := r.Header.Get("X-Amz-Checksum-" + kind)
		if v == "" {
			continue
		}
		v, _, _ = strings.Cut(v, "-")
		b, err := digest("x-amz-checksum-"+kind, v, sumLength[kind])
		if err != nil {
			return nil, err
		}
		out = append(out, bucket.Sum{Kind: kind, Value: b})
	}
	return out, nil
}

func (r *request) abortUpload() error {
	if err := r.api.Buckets.Abort(r.Context(), r.caller, r.bucket, r.key, r.q.Get("uploadId")); err != nil {
		return err
	}
	return r.ok(http.StatusNoContent)
}
