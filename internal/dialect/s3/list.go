package s3

import (
	"encoding/base64"
	"encoding/xml"
	"net/http"
	"net/url"
	"strings"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/service/bucket"
)

const maxPage = 1000

func encodingType(v string) error {
	if v != "" && v != "url" {
		return refuse("InvalidArgument", fail.Invalid, "the encoding type must be url")
	}
	return nil
}

// encoded is a name as a page has it: XML cannot hold every character of one.
func encoded(s, encoding string) string {
	if encoding != "url" {
		return s
	}
	return strings.ReplaceAll(strings.ReplaceAll(url.QueryEscape(s), "+", "%20"), "%2F", "/")
}

// pageInput reads what all lists have.
func (r *request) pageInput() (*bucket.ListInput, string, error) {
	encoding := r.q.Get("encoding-type")
	if err := encodingType(encoding); err != nil {
		return nil, "", err
	}
	most, err := r.number("max-keys", maxPage, maxPage)
	return &bucket.ListInput{Bucket: r.bucket, Prefix: r.q.Get("prefix"), Delimiter: r.q.Get("delimiter"), Max: most}, encoding, err
}

// page asks for a page; one of no length is empty and the last.
func (r *request) page(in *bucket.ListInput) (*bucket.Listing, error) {
	if in.Max == 0 {
		probe := *in
		probe.Max = 1 // whether the caller may, and whether the bucket is there
		if _, err := r.api.Buckets.List(r.Context(), r.caller, &probe); err != nil {
			return nil, err
		}
		return &bucket.Listing{}, nil
	}
	return r.api.Buckets.List(r.Context(), r.caller, in)
}

type prefixXML struct {
	Prefix string `xml:"Prefix"`
}

type entryXML struct {
	Key        string   `xml:"Key"`
	Modified   string   `xml:"LastModified"`
	ETag       string   `xml:"ETag"`
	Algorithms []string `xml:"ChecksumAlgorithm,omitempty"`
	Type       string   `xml:"ChecksumType,omitempty"`
	Size       int64    `xml:"Size"`
	Owner      *owner   `xml:"Owner"`
	Class      string   `xml:"StorageClass"`
}

type listXML struct {
	XMLName      xml.Name    `xml:"ListBucketResult"`
	Xmlns        string      `xml:"xmlns,attr"`
	Name         string      `xml:"Name"`
	Prefix       string      `xml:"Prefix"`
	Marker       *string     `xml:"Marker"`
	NextMarker   string      `xml:"NextMarker,omitempty"`
	StartAfter   string      `xml:"StartAfter,omitempty"`
	Token        *string     `xml:"ContinuationToken"`
	NextToken    string      `xml:"NextContinuationToken,omitempty"`
	Count        *int        `xml:"KeyCount"`
	Max          int         `xml:"MaxKeys"`
	Delimiter    string      `xml:"Delimiter,omitempty"`
	EncodingType string      `xml:"EncodingType,omitempty"`
	Truncated    bool        `xml:"IsTruncated"`
	Contents     []entryXML  `xml:"Contents"`
	Prefixes     []prefixXML `xml:"CommonPrefixes"`
}

// fill puts a page's rows into XML.
func (r *request) fill(out *listXML, in *bucket.ListInput, l *bucket.Listing, encoding string, owners bool) {
	out.Xmlns, out.Name, out.Max, out.EncodingType, out.Truncated = r.space(), r.bucket, in.Max, encoding, l.Truncated
	out.Prefix, out.Delimiter = encoded(in.Prefix, encoding), encoded(in.Delimiter, encoding)
	out.Contents = make([]entryXML, 0, len(l.Objects))
	for i := range l.Objects {
		o := &l.Objects[i]
		e := entryXML{Key: encoded(o.Key, encoding), Modified: stamp(o.Modified), ETag: quoted(o.ETag), Size: o.Size, Class: r.className(o.Class)}
		if !r.obs {
			for _, kind := range sumKinds {
				if o.Sums[kind] != "" {
					e.Algorithms, e.Type = append(e.Algorithms, strings.ToUpper(kind)), sumType(o.Composite)
				}
			}
		}
		if owners {
			e.Owner = &owner{o.Owner, o.OwnerName}
		}
		out.Contents = append(out.Contents, e)
	}
	out.Prefixes = prefixes(l.Prefixes, encoding)
}

func prefixes(list []string, encoding string) []prefixXML {
	out := make([]prefixXML, len(list))
	for i, p := range list {
		out[i].Prefix = encoded(p, encoding)
	}
	return out
}

func (r *request) listObjects() error {
	in, encoding, err := r.pageInput()
	if err != nil {
		return err
	}
	in.After, in.Owner = r.q.Get("marker"), true
	l, err := r.page(in)
	if err != nil {
		return err
	}
	marker := encoded(in.After, encoding)
	out := listXML{Marker: &marker}
	r.fill(&out, in, l, encoding, true)
	if l.Truncated {
		out.NextMarker = encoded(l.Next, encoding)
	}
	if r.obs {
		if err := r.locate(); err != nil {
			return err
		}
	}
	return r.answer(http.StatusOK, out)
}

// locate says where the bucket is, as OBS's lists do.
func (r *request) locate() error {
	r.set("Bucket-Location", r.api.Region)
	return nil
}

func (r *request) listObjectsV2() error {
	if r.q.Get("list-type") != "2" {
		return r.listObjects()
	}
	in, encoding, err := r.pageInput()
	if err != nil {
		return err
	}
	out := listXML{StartAfter: encoded(r.q.Get("start-after"), encoding)}
	in.After, in.Owner = r.q.Get("start-after"), r.q.Get("fetch-owner") == "true"
	if token, ok := r.q["continuation-token"]; ok {
		out.Token = &token[0]
		if token[0] != "" {
			if in.After, err = fromToken(token[0]); err != nil {
				return err
			}
		}
	}
	l, err := r.page(in)
	if err != nil {
		return err
	}
	r.fill(&out, in, l, encoding, in.Owner)
	count := len(l.Objects) + len(l.Prefixes)
	out.Count = &count
	if l.Truncated {
		out.NextToken = toToken(l.Next)
	}
	return r.answer(http.StatusOK, out)
}

// Tokens are names with a letter before them, so that an empty name is one too.
func toToken(after string) string { return base64.RawURLEncoding.EncodeToString([]byte("k" + after)) }

func fromToken(token string) (string, error) {
	b, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(b) == 0 || b[0] != 'k' {
		return "", refuse("InvalidArgument", fail.Invalid, "the continuation token is not one that was given out")
	}
	return string(b[1:]), nil
}

type versionXML struct {
	XMLName    xml.Name
	Key        string   `xml:"Key"`
	Version    string   `xml:"VersionId"`
	Latest     bool     `xml:"IsLatest"`
	Modified   string   `xml:"LastModified"`
	ETag       string   `xml:"ETag,omitempty"`
	Algorithms []string `xml:"ChecksumAlgorithm,omitempty"`
	Type       string   `xml:"ChecksumType,omitempty"`
	Size       *int64   `xml:"Size"`
	Owner      owner    `xml:"Owner"`
	Class      string   `xml:"StorageClass,omitempty"`
}

type versionsXML struct {
	XMLName      xml.Name     `xml:"ListVersionsResult"`
	Xmlns        string       `xml:"xmlns,attr"`
	Name         string       `xml:"Name"`
	Prefix       string       `xml:"Prefix"`
	KeyMarker    string       `xml:"KeyMarker"`
	IDMarker     string       `xml:"VersionIdMarker"`
	NextKey      string       `xml:"NextKeyMarker,omitempty"`
	NextID       string       `xml:"NextVersionIdMarker,omitempty"`
	Max          int          `xml:"MaxKeys"`
	Delimiter    string       `xml:"Delimiter,omitempty"`
	EncodingType string       `xml:"EncodingType,omitempty"`
	Truncated    bool         `xml:"IsTruncated"`
	Versions     []versionXML // Version and DeleteMarker, mixed in order
	Prefixes     []prefixXML  `xml:"CommonPrefixes"`
}

func (r *request) listVersions() error {
	in, encoding, err := r.pageInput()
	if err != nil {
		return err
	}
	in.Versions, in.Owner = true, true
	in.After, in.AfterVersion = r.q.Get("key-marker"), r.q.Get("version-id-marker")
	if in.AfterVersion != "" && in.After == "" {
		return refuse("InvalidArgument", fail.Invalid, "a version-id marker needs a key marker")
	}
	l, err := r.page(in)
	if err != nil {
		return err
	}
	out := versionsXML{Xmlns: r.space(), Name: r.bucket, Prefix: encoded(in.Prefix, encoding), KeyMarker: encoded(in.After, encoding), IDMarker: in.AfterVersion,
		Max: in.Max, Delimiter: encoded(in.Delimiter, encoding), EncodingType: encoding, Truncated: l.Truncated, Prefixes: prefixes(l.Prefixes, encoding)}
	if l.Truncated {
		out.NextKey, out.NextID = encoded(l.Next, encoding), l.NextVersion
	}
	for i := range l.Objects {
		o := &l.Objects[i]
		v := versionXML{XMLName: xml.Name{Local: "Version"}, Key: encoded(o.Key, encoding), Version: o.Version, Latest: o.Latest,
			Modified: stamp(o.Modified), Owner: owner{o.Owner, o.OwnerName}}
		if o.Marker {
			v.XMLName.Local = "DeleteMarker"
		} else {
			v.ETag, v.Size, v.Class = quoted(o.ETag), &o.Size, r.className(o.Class)
		}
		out.Versions = append(out.Versions, v)
	}
	return r.answer(http.StatusOK, out)
}
