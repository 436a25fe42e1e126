package s3

import (
	"encoding/xml"
	"net/http"
	"strings"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/service/bucket"
)

type bucketXML struct {
	Name     string `xml:"Name"`
	Created  string `xml:"CreationDate"`
	Location string `xml:"Location,omitempty"`     // OBS
	Region   string `xml:"BucketRegion,omitempty"` // S3
	Type     string `xml:"BucketType,omitempty"`
}

type bucketsXML struct {
	XMLName   xml.Name    `xml:"ListAllMyBucketsResult"`
	Xmlns     string      `xml:"xmlns,attr"`
	Owner     owner       `xml:"Owner"`
	Buckets   []bucketXML `xml:"Buckets>Bucket"`
	Prefix    string      `xml:"Prefix,omitempty"`
	Token     string      `xml:"ContinuationToken,omitempty"`
	Truncated *bool       `xml:"IsTruncated"`
	Marker    *string     `xml:"Marker"`
	Next      string      `xml:"NextMarker,omitempty"`
	Max       int         `xml:"MaxKeys,omitempty"`
}

// listBuckets lists those of the caller's project: S3 pages by token, OBS by marker.
func (r *request) listBuckets() error {
	if r.caller.Principal.Nobody() {
		return refuse("AccessDenied", fail.Denied, "buckets are listed for those who sign their requests")
	}
	limit := "max-buckets"
	after, err := r.q.Get("marker"), error(nil)
	if r.obs || r.q.Has("max-keys") {
		limit = "max-keys"
	} else if t := r.q.Get("continuation-token"); t != "" {
		if after, err = fromToken(t); err != nil {
			return err
		}
	}
	most, err := r.number(limit, 10000, 10000)
	if err != nil {
		return err
	}
	rows, err := r.api.Buckets.Buckets(r.Context(), r.caller)
	if err != nil {
		return err
	}
	p := r.caller.Principal
	out := bucketsXML{Xmlns: r.space(), Owner: owner{string(p.Domain), p.DomainName}, Prefix: r.q.Get("prefix")}
	more := false
	for _, row := range rows {
		if row.Name <= after || !strings.HasPrefix(row.Name, out.Prefix) || !r.wantsType(row) {
			continue
		}
		if more = len(out.Buckets) == most; more {
			break
		}
		b := bucketXML{Name: row.Name, Created: stamp(row.Created)}
		if r.obs || r.ext("Location") == "true" {
			b.Location = r.api.Region
		} else if r.q.Has("max-buckets") || r.q.Has("prefix") {
			b.Region = r.api.Region
		}
		if r.obs {
			b.Type = typeOf(row)
		}
		out.Buckets, out.Next = append(out.Buckets, b), row.Name
	}
	switch {
	case r.obs:
		out.Truncated, out.Marker, out.Max = &more, &after, most
	case more:
		out.Token = toToken(out.Next)
	}
	if !more || !r.obs {
		out.Next = ""
	}
	return r.answer(http.StatusOK, out)
}

func typeOf(row *bucket.Row) string {
	if row.Spec.FileSystem {
		return "POSIX"
	}
	return "OBJECT"
}

func (r *request) wantsType(row *bucket.Row) bool {
	t := r.Header.Get("X-Obs-Bucket-Type")
	return t == "" || t == typeOf(row)
}

type createXML struct {
	Constraint string   `xml:"LocationConstraint"`
	Location   string   `xml:"Location"`
	Tags       []tagXML `xml:"Tags>Tag"`
}

func (r *request) createBucket() error {
	b, err := r.document()
	if err != nil {
		return err
	}
	var doc createXML
	if len(b) > 0 {
		if err := decode(b, &doc); err != nil {
			return err
		}
	}
	var spec bucket.BucketSpec
	acl, canned, err := r.aclHeaders()
	if err != nil {
		return err
	}
	if acl != nil {
		spec.ACL = *acl
	}
	class := r.ext("Storage-Class")
	if class == "" {
		class = r.Header.Get("X-Default-Storage-Class")
	}
	if spec.Class, err = classOf(class); err != nil {
		return err
	}
	if strings.EqualFold(r.ext("Bucket-Object-Lock-Enabled"), "true") {
		spec.ObjectLock, spec.Versioning = true, "enabled"
	}
	if v := r.ext("Object-Ownership"); v != "" {
		if spec.Ownership, err = ownership(v); err != nil {
			return err
		}
	}
	spec.FileSystem = strings.EqualFold(r.ext("Fs-File-Interface"), "Enabled")
	if v := r.ext("Server-Side-Encryption"); v != "" {
		algorithm, err := encryption(v)
		if err != nil {
			return err
		}
		spec.Encryption = bucket.Encryption{Algorithm: algorithm, Key: r.ext("Server-Side-Encryption-Kms-Key-Id"), Said: true}
	}
	var enterprise *string
	if v := r.ext("Epid"); v != "" {
		enterprise = &v
	}
	row, err := r.api.Buckets.Create(r.Context(), r.caller, r.bucket, spec, canned, enterprise)
	if fail.Is(err, fail.Invalid) && !coded(err) && bucket.CodeOf(err) == "" && strings.Contains(fail.From(err).Field, "name") {
		err = &as{err, "InvalidBucketName"}
	}
	if bucket.CodeOf(err) == "BucketAlreadyOwnedByYou" && r.again(acl, canned, &spec, &doc) {
		r.w.Header().Set("Location", "/"+r.bucket)
		return r.ok(http.StatusOK)
	}
	if err != nil {
		return err
	}
	if len(doc.Tags) > 0 {
		t := taggingXML{Tags: doc.Tags}
		tags, err := t.parse(50)
		if err != nil {
			return err
		}
		if err := r.api.Buckets.Change(r.Context(), r.caller, row.Name, "obs:bucket:PutBucketTagging", func(row *bucket.Row) error {
			row.Tags = tags
			return nil
		}); err != nil {
			return err
		}
	}
	r.w.Header().Set("Location", "/"+r.bucket)
	return r.ok(http.StatusOK)
}

// again tells whether a bucket that its owner makes a second time is taken as made: so it is in Amazon's oldest region, whose
// clients rely on it. Nothing of the bucket changes, so a request that says more than its name is refused.
func (r *request) again(acl *bucket.ACL, canned string, spec *bucket.BucketSpec, doc *createXML) bool {
	return !r.obs && r.claim != nil && r.claim.Region() == "us-east-1" && acl == nil && canned == "" && len(doc.Tags) == 0 &&
		!spec.ObjectLock && spec.Class == "" && spec.Ownership == "" && !spec.FileSystem && spec.Encryption == (bucket.Encryption{})
}

func (r *request) deleteBucket() error {
	err := r.api.Buckets.DeleteBucket(r.Context(), r.caller, r.bucket)
	if bucket.CodeOf(err) == "BucketNotEmpty" {
		if aborted, aerr := r.abortAll(); aerr == nil && aborted {
			err = r.api.Buckets.DeleteBucket(r.Context(), r.caller, r.bucket)
		}
	}
	if err != nil {
		return err
	}
	return r.ok(http.StatusNoContent)
}

// abortAll aborts the uploads of a bucket that holds nothing else: to S3's clients such a bucket is empty.
func (r *request) abortAll() (aborted bool, err error) {
	l, err := r.api.Buckets.List(r.Context(), r.caller, &bucket.ListInput{Bucket: r.bucket, Versions: true, Max: 1})
	if err != nil || len(l.Objects) > 0 {
		return false, err
	}
	for {
		uploads, _, more, err := r.api.Buckets.Uploads(r.Context(), r.caller, &bucket.ListInput{Bucket: r.bucket, Max: maxPage})
		if err != nil {
			return aborted, err
		}
		for _, u := range uploads {
			if err := r.api.Buckets.Abort(r.Context(), r.caller, r.bucket, u.Key, u.ID); err != nil {
				return aborted, err
			}
			aborted = true
		}
		if !more {
			return aborted, nil
		}
	}
}

// headBucket tells whether the bucket is there, and what OBS's clients want to know of it.
func (r *request) headBucket() error {
	row, err := r.api.Buckets.Bucket(r.Context(), r.caller, r.bucket, "obs:bucket:HeadBucket")
	if err != nil {
		return err
	}
	r.set("Bucket-Region", r.api.Region)
	r.set("Version", "3.0")
	r.set("Bucket-Location", r.api.Region)
	epid := string(row.EnterpriseProject)
	if epid == "" {
		epid = "0"
	}
	r.set("Epid", epid)
	r.set("Bucket-Type", typeOf(row))
	if row.Spec.FileSystem {
		r.set("Fs-File-Interface", "Enabled")
	}
	r.w.Header().Set("X-Default-Storage-Class", r.className(row.Spec.Class))
	r.set("Storage-Class", r.className(row.Spec.Class))
	r.w.Header().Set("Content-Type", "application/xml")
	return r.ok(http.StatusOK)
}

type locationXML struct {
	XMLName xml.Name
	Xmlns   string `xml:"xmlns,attr"`
	Text    string `xml:",chardata"`
}

type createdInXML struct {
	XMLName    xml.Name `xml:"CreateBucketConfiguration"`
	Xmlns      string   `xml:"xmlns,attr"`
	Constraint string   `xml:"LocationConstraint"`
}

// bucketLocation has three forms: S3's, OBS's, and what OBS's clients expect when they sign in version 2.
func (r *request) bucketLocation() error {
	if _, err := r.api.Buckets.Bucket(r.Context(), r.caller, r.bucket, "obs:bucket:GetBucketLocation"); err != nil {
		return err
	}
	switch {
	case r.obs:
		return r.answer(http.StatusOK, locationXML{xml.Name{Local: "Location"}, obsSpace, r.api.Region})
	case r.byHuawei():
		return r.answer(http.StatusOK, createdInXML{Xmlns: namespace, Constraint: r.api.Region})
	}
	return r.answer(http.StatusOK, locationXML{xml.Name{Local: "LocationConstraint"}, namespace, r.api.Region})
}

// byHuawei tells whether OBS's own client asks in the words of S3.
func (r *request) byHuawei() bool {
	return strings.HasPrefix(r.UserAgent(), "obs-sdk-") || strings.Contains(r.UserAgent(), "terraform-provider-iac")
}

// location is the address of an object of this bucket.
func (r *request) location(key string) string {
	if r.virtual != "" {
		return "https://" + r.Host + "/" + strings.TrimPrefix(encoded(key, "url"), "/")
	}
	return "https://" + r.Host + "/" + r.bucket + "/" + encoded(key, "url")
}

type storageXML struct {
	XMLName  xml.Name `xml:"GetBucketStorageInfoResult"`
	Xmlns    string   `xml:"xmlns,attr"`
	Size     int64    `xml:"Size"`
	Number   int64    `xml:"ObjectNumber"`
	Standard int64    `xml:"StandardSize"`
	Warm     int64    `xml:"WarmSize"`
	Cold     int64    `xml:"ColdSize"`
}

// storageInfo tells what a bucket holds (OBS).
func (r *request) storageInfo() error {
	u, err := r.api.Buckets.Usage(r.Context(), r.caller, r.bucket)
	if err != nil {
		return err
	}
	return r.answer(http.StatusOK, storageXML{Xmlns: r.space(), Size: u.Bytes, Number: u.Objects, Standard: u.StandardBytes, Warm: u.WarmBytes, Cold: u.ColdByte})
}

type publicXML struct {
	XMLName xml.Name
	Xmlns   string `xml:"xmlns,attr"`
	Public  bool   `xml:"IsPublic"`
}

func (r *request) policyStatus() error { return r.public("PolicyStatus", true) }
func (r *request) bucketStatus() error { return r.public("BucketStatus", false) }

func (r *request) public(root string, needsPolicy bool) error {
	row, err := r.api.Buckets.Bucket(r.Context(), r.caller, r.bucket, "obs:bucket:GetBucketPolicyPublicStatus")
	if err != nil {
		return err
	}
	if needsPolicy && row.Spec.Policy == "" && r.obs {
		return noPolicy()
	}
	return r.answer(http.StatusOK, publicXML{xml.Name{Local: root}, r.space(), row.Status.Public})
}
