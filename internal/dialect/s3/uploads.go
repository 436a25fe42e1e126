package s3

import (
	"encoding/xml"
	"net/http"
	"strings"

	"github.com/awancloud/awan/internal/service/bucket"
)

type partXML struct {
	Number   int    `xml:"PartNumber"`
	Modified string `xml:"LastModified"`
	ETag     string `xml:"ETag"`
	Size     int64  `xml:"Size"`
	sumsXML
}

type listPartsXML struct {
	XMLName      xml.Name  `xml:"ListPartsResult"`
	Xmlns        string    `xml:"xmlns,attr"`
	Bucket       string    `xml:"Bucket"`
	Key          string    `xml:"Key"`
	UploadID     string    `xml:"UploadId"`
	Initiator    owner     `xml:"Initiator"`
	Owner        owner     `xml:"Owner"`
	Class        string    `xml:"StorageClass"`
	Marker       int       `xml:"PartNumberMarker"`
	Next         int       `xml:"NextPartNumberMarker"`
	Max          int       `xml:"MaxParts"`
	EncodingType string    `xml:"EncodingType,omitempty"`
	Truncated    bool      `xml:"IsTruncated"`
	Algorithm    string    `xml:"ChecksumAlgorithm,omitempty"`
	Type         string    `xml:"ChecksumType,omitempty"`
	Parts        []partXML `xml:"Part"`
}

func (r *request) listParts() error {
	encoding := r.q.Get("encoding-type")
	if err := encodingType(encoding); err != nil {
		return err
	}
	most, err := r.number("max-parts", maxPage, maxPage)
	if err != nil {
		return err
	}
	after, err := r.number("part-number-marker", 0, maxParts)
	if err != nil {
		return err
	}
	u, parts, truncated, err := r.api.Buckets.Parts(r.Context(), r.caller, r.bucket, r.key, r.q.Get("uploadId"), after, most)
	if err != nil {
		return err
	}
	who := owner{u.Owner, u.OwnerName}
	out := listPartsXML{Xmlns: r.space(), Bucket: r.bucket, Key: encoded(r.key, encoding), UploadID: u.ID, Initiator: who, Owner: who, Class: r.className(u.Class),
		Marker: after, Max: most, EncodingType: encoding, Truncated: truncated}
	if u.Algorithm != "" && !r.obs {
		out.Algorithm, out.Type = strings.ToUpper(u.Algorithm), sumType(u.Composite)
	}
	for _, p := range parts {
		x := partXML{Number: p.Number, Modified: stamp(p.Modified), ETag: quoted(p.ETag), Size: p.Size}
		if !r.obs {
			x.sumsXML = sumsOf(p.Sums)
		}
		out.Parts, out.Next = append(out.Parts, x), p.Number
	}
	return r.answer(http.StatusOK, out)
}

type uploadXML struct {
	Key       string `xml:"Key"`
	UploadID  string `xml:"UploadId"`
	Initiator owner  `xml:"Initiator"`
	Owner     owner  `xml:"Owner"`
	Class     string `xml:"StorageClass"`
	Begun     string `xml:"Initiated"`
	Algorithm string `xml:"ChecksumAlgorithm,omitempty"`
	Type      string `xml:"ChecksumType,omitempty"`
}

type listUploadsXML struct {
	XMLName      xml.Name    `xml:"ListMultipartUploadsResult"`
	Xmlns        string      `xml:"xmlns,attr"`
	Bucket       string      `xml:"Bucket"`
	KeyMarker    string      `xml:"KeyMarker"`
	IDMarker     string      `xml:"UploadIdMarker"`
	NextKey      string      `xml:"NextKeyMarker,omitempty"`
	NextID       string      `xml:"NextUploadIdMarker,omitempty"`
	Prefix       string      `xml:"Prefix"`
	Delimiter    string      `xml:"Delimiter,omitempty"`
	EncodingType string      `xml:"EncodingType,omitempty"`
	Max          int         `xml:"MaxUploads"`
	Truncated    bool        `xml:"IsTruncated"`
	Uploads      []uploadXML `xml:"Upload"`
	Prefixes     []prefixXML `xml:"CommonPrefixes"`
}

func (r *request) listUploads() error {
	in, encoding, err := r.pageInput()
	if err != nil {
		return err
	}
	if in.Max, err = r.number("max-uploads", maxPage, maxPage); err != nil {
		return err
	}
	in.After, in.AfterVersion = r.q.Get("key-marker"), r.q.Get("upload-id-marker")
	if in.After == "" {
		in.AfterVersion = ""
	}
	uploads, common, truncated, err := r.api.Buckets.Uploads(r.Context(), r.caller, in)
	if err != nil {
		return err
	}
	out := listUploadsXML{Xmlns: r.space(), Bucket: r.bucket, KeyMarker: encoded(in.After, encoding), IDMarker: in.AfterVersion, Prefix: encoded(in.Prefix, encoding),
		Delimiter: encoded(in.Delimiter, encoding), EncodingType: encoding, Max: in.Max, Truncated: truncated, Prefixes: prefixes(common, encoding)}
	last := ""
	for _, u := range uploads {
		out.Uploads = append(out.Uploads, r.uploadXML(&u, encoding))
		last, out.NextID = u.Key, u.ID
	}
	if len(common) > 0 && common[len(common)-1] > last {
		last, out.NextID = common[len(common)-1], ""
	}
	if out.NextKey = encoded(last, encoding); !truncated {
		out.NextKey, out.NextID = "", ""
	}
	return r.answer(http.StatusOK, out)
}

func (r *request) uploadXML(u *bucket.Upload, encoding string) uploadXML {
	who := owner{u.Owner, u.OwnerName}
	x := uploadXML{Key: encoded(u.Key, encoding), UploadID: u.ID, Initiator: who, Owner: who, Class: r.className(u.Class), Begun: stamp(u.Begun)}
	if u.Algorithm != "" && !r.obs {
		x.Algorithm, x.Type = strings.ToUpper(u.Algorithm), sumType(u.Composite)
	}
	return x
}
