package s3

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http/httptest"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/awancloud/awan/internal/dialect/s3/sign"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/service/bucket"
)

// asked makes a request as it is on its way to an operation; header is NAME: VALUE lines.
func asked(method, target string, header ...string) (*request, *httptest.ResponseRecorder) {
	hr := httptest.NewRequest(method, target, nil)
	for _, line := range header {
		name, value, _ := strings.Cut(line, ": ")
		hr.Header.Add(name, value)
	}
	w := httptest.NewRecorder()
	a := &API{Options: Options{Region: "awan-1", Now: time.Now, Logger: slog.New(slog.DiscardHandler)}, ops: table()}
	return &request{Request: hr, api: a, w: w, q: hr.URL.Query(), id: "ID", caller: &bucket.Caller{Facts: map[string][]string{}}}, w
}

func codeOf(err error) string {
	var own interface{ Code() string }
	if errors.As(err, &own) {
		return own.Code()
	}
	if err != nil {
		return bucket.CodeOf(err)
	}
	return ""
}

func TestRanges(t *testing.T) {
	for header, want := range map[string]*bucket.Range{
		"bytes=0-0": {From: 0, To: 0}, "bytes=5-": {From: 5, To: -1}, "bytes=-7": {From: -7}, " bytes= 1 - 2 ": {From: 1, To: 2},
		"bytes=-0": {From: 1<<62 - 1, To: -1}, "": nil, "bytes=": nil, "bytes=2-1": nil, "bytes=a-b": nil, "bytes=1-2,4-5": nil, "lines=1-2": nil, "bytes=--1": nil,
	} {
		if got := byteRange(header); !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %+v, want %+v", header, got, want)
		}
	}
}

func TestConditions(t *testing.T) {
	at := time.Date(2026, 11, 26, 1, 2, 3, 0, time.UTC)
	r, _ := asked("GET", "/b/k", `If-Match: "a", W/"b"`, "If-None-Match: *", "If-Modified-Since: Thu, 26 Nov 2026 01:02:03 GMT", "If-Unmodified-Since: 2026-11-26T01:02:03Z",
		`X-Amz-Copy-Source-If-Match: "c"`)
	got := r.conditions()
	if !slices.Equal(got.IfMatch, []string{"a", "b"}) || !slices.Equal(got.IfNoneMatch, []string{"*"}) || !got.IfModifiedSince.Equal(at) || !got.IfUnmodifiedSince.Equal(at) {
		t.Errorf("%+v", got)
	}
	if c := r.copyConditions(); !slices.Equal(c.IfMatch, []string{"c"}) || c.IfNoneMatch != nil || !c.IfModifiedSince.IsZero() {
		t.Errorf("of a copy's source: %+v", c)
	}
	if r, _ := asked("GET", "/b/k", "If-Modified-Since: yesterday"); !r.conditions().IfModifiedSince.IsZero() {
		t.Error("a time that is none is a condition")
	}
}

func TestAttributes(t *testing.T) {
	r, _ := asked("PUT", "/b/k", "Content-Type: text/x", "Content-Encoding: gzip, aws-chunked", "Cache-Control: no-store", "x-amz-meta-Who: tom", "x-obs-meta-word: =?UTF-8?b?w7w=?=",
		"x-amz-tagging: a=1&b=%20", "x-amz-object-lock-mode: GOVERNANCE", "x-amz-object-lock-retain-until-date: 2030-01-01T00:00:00Z", "x-amz-object-lock-legal-hold: ON")
	a, err := r.attributes()
	if err != nil || a.ContentEncoding != "gzip" || !maps.Equal(a.User, map[string]string{"who": "tom", "word": "ü"}) {
		t.Errorf("%+v, %v", a, err)
	}
	if tags, err := r.tagsHeader(); err != nil || !maps.Equal(tags, map[string]string{"a": "1", "b": " "}) {
		t.Errorf("tags %v, %v", tags, err)
	}
	if l, hold, err := r.lock(); err != nil || l.Mode != "governance" || l.Until.Year() != 2030 || !hold {
		t.Errorf("lock %+v %v %v", l, hold, err)
	}
	for line, want := range map[string]string{
		"x-amz-meta-a: " + strings.Repeat("x", maxMeta): "MetadataTooLarge", "x-amz-website-redirect-location: ftp://x": "InvalidRedirectLocation",
		"x-amz-tagging: a=1&a=2": "InvalidTag", "x-amz-tagging: %zz": "InvalidArgument", "x-amz-tagging: " + strings.Repeat("k", 129) + "=": "InvalidTag",
		"x-amz-object-lock-mode: GOVERNANCE": "InvalidArgument", "x-amz-object-lock-legal-hold: MAYBE": "InvalidArgument",
		"x-amz-server-side-encryption: DES": "InvalidArgument", "x-amz-server-side-encryption-aws-kms-key-id: k": "InvalidArgument",
		"x-amz-server-side-encryption-customer-algorithm: AES128": "InvalidEncryptionAlgorithmError", "x-amz-server-side-encryption-customer-algorithm: AES256": "InvalidArgument",
		"x-amz-acl: secret": "InvalidArgument", "x-amz-grant-read: emailAddress=a@b": "UnresolvableGrantByEmailAddress", "x-amz-storage-class: LUKEWARM": "InvalidStorageClass",
	} {
		r, _ := asked("PUT", "/b/k", line)
		if _, err := r.upload(); codeOf(err) != want {
			t.Errorf("%.60s: %v, want %s", line, err, want)
		}
	}
}

// TestWhichOperation: method, place and one parameter say it; a parameter that is known but not for this is nothing, never the
// operation without it.
func TestWhichOperation(t *testing.T) {
	for ask, want := range map[string]string{
		"GET /": "ListBuckets", "GET /b": "ListObjects", "GET /b?list-type=2": "ListObjectsV2", "GET /b?versions": "ListObjectVersions", "PUT /b?acl": "PutBucketAcl",
		"GET /b/k?acl": "GetObjectAcl", "POST /b/k?uploads": "CreateMultipartUpload", "PUT /b/k?uploadId=x&partNumber=1": "UploadPart", "DELETE /b/k?uploadId=x": "AbortMultipartUpload",
		"DELETE /b?lifecycle": "DeleteBucketLifecycleConfiguration", "DELETE /b/k?versionId=x": "DeleteObject", "POST /b/k?append&position=0": "AppendObject",
		"DELETE /b?analytics": "", "DELETE /b?versioning": "", "GET /b/k?torrent": "", "PUT /b/k?lifecycle": "", "PATCH /b": "",
	} {
		method, target, _ := strings.Cut(ask, " ")
		r, _ := asked(method, target)
		r.bucket, r.key, _ = strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
		got := ""
		if o := r.api.find(r); o != nil {
			got = o.name
		}
		if got != want {
			t.Errorf("%s is %q, want %q", ask, got, want)
		}
	}
}

func TestErrors(t *testing.T) {
	for _, tc := range []struct {
		err    error
		key    string
		status int
		code   string
	}{
		{fail.New(fail.NotFound, "x"), "k", 404, "NoSuchKey"}, {fail.New(fail.NotFound, "x"), "", 404, "NoSuchBucket"}, {fail.New(fail.Denied, "x"), "k", 403, "AccessDenied"},
		{fail.New(fail.NoSpace, "x"), "k", 507, "InsufficientStorage"}, {fail.New(fail.Quota, "x"), "k", 403, "QuotaExceeded"}, {errors.New("secret"), "k", 500, "InternalError"},
		{refuse("InvalidRange", fail.Invalid, "x"), "k", 416, "InvalidRange"}, {refuse("BucketNotEmpty", fail.Precondition, "x"), "", 409, "BucketNotEmpty"},
		{refuse("AccessDenied", fail.Invalid, "x"), "", 403, "AccessDenied"}, {&as{fail.New(fail.Invalid, "x"), "MalformedPolicy"}, "", 400, "MalformedPolicy"},
	} {
		r, w := asked("GET", "/b/"+tc.key)
		r.bucket, r.key = "b", tc.key
		r.fail(tc.err)
		var doc errorXML
		if err := xml.Unmarshal(w.Body.Bytes(), &doc); err != nil || w.Code != tc.status || doc.Code != tc.code || doc.RequestID != "ID" || strings.Contains(w.Body.String(), "secret") {
			t.Errorf("%v: %d %s, want %d %s (%v)", tc.err, w.Code, w.Body, tc.status, tc.code, err)
		}
	}
	r, w := asked("HEAD", "/b/k")
	r.bucket, r.key, r.obs = "b", "k", true
	r.fail(fail.New(fail.NotFound, "nothing\r\nhere"))
	if w.Body.Len() > 0 || w.Header().Get("X-Obs-Error-Code") != "NoSuchKey" || strings.ContainsAny(w.Header().Get("X-Obs-Error-Message"), "\r\n") {
		t.Errorf("HEAD: %v %s", w.Header(), w.Body)
	}
}

// TestDocuments: what settings read they write again, in the words of both protocols.
func TestDocuments(t *testing.T) {
	bySub := map[string]setting{}
	for _, s := range settings() {
		bySub[s.sub] = s
	}
	for _, tc := range []struct{ sub, query, doc string }{
		{"versioning", "", `<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>`},
		{"lifecycle", "", `<LifecycleConfiguration><Rule><ID>a</ID><Filter><And><Prefix>p</Prefix><Tag><Key>k</Key><Value>v</Value></Tag></And></Filter><Status>Enabled</Status><Transition><Days>3</Days><StorageClass>GLACIER</StorageClass></Transition><Expiration><Days>9</Days></Expiration></Rule></LifecycleConfiguration>`},
		{"cors", "", `<CORSConfiguration><CORSRule><AllowedMethod>GET</AllowedMethod><AllowedOrigin>*</AllowedOrigin><MaxAgeSeconds>5</MaxAgeSeconds></CORSRule></CORSConfiguration>`},
		{"notification", "", `<NotificationConfiguration><TopicConfiguration><Id>n</Id><Topic>https://h/</Topic><Event>s3:ObjectCreated:*</Event><Filter><S3Key><FilterRule><Name>prefix</Name><Value>p</Value></FilterRule></S3Key></Filter></TopicConfiguration></NotificationConfiguration>`},
		{"inventory", "id=i", `<InventoryConfiguration><Id>i</Id><IsEnabled>true</IsEnabled><Destination><S3BucketDestination><Format>CSV</Format><Bucket>arn:aws:s3:::there</Bucket></S3BucketDestination></Destination><Schedule><Frequency>Daily</Frequency></Schedule><IncludedObjectVersions>All</IncludedObjectVersions></InventoryConfiguration>`},
		{"requestPayment", "", `<RequestPaymentConfiguration><Payer>Requester</Payer></RequestPaymentConfiguration>`},
		{"publicAccessBlock", "", `<PublicAccessBlockConfiguration><BlockPublicAcls>true</BlockPublicAcls><IgnorePublicAcls>false</IgnorePublicAcls><BlockPublicPolicy>true</BlockPublicPolicy><RestrictPublicBuckets>false</RestrictPublicBuckets></PublicAccessBlockConfiguration>`},
	} {
		s := bySub[tc.sub]
		row := &bucket.Row{}
		put := func(doc string) {
			r, _ := asked("PUT", "/b?"+tc.sub+"&"+tc.query)
			r.Request.Body, r.ContentLength = readCloser(doc), int64(len(doc))
			edit, err := s.write(r)
			if err == nil {
				err = edit(row)
			}
			if err != nil {
				t.Fatalf("%s: %v", tc.sub, err)
			}
		}
		put(tc.doc)
		first := row.Spec
		r, _ := asked("GET", "/b?"+tc.sub+"&"+tc.query)
		v, err := s.read(r, row)
		if err != nil {
			t.Fatalf("%s: %v", tc.sub, err)
		}
		back, err := xml.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		put(string(back))
		if !reflect.DeepEqual(first, row.Spec) {
			t.Errorf("%s: wrote %s, read %s", tc.sub, tc.doc, back)
		}
	}
	for _, bad := range []string{"", "<", "<LifecycleConfiguration/>", "<Other/>", `<!DOCTYPE x [<!ENTITY e "e">]><LifecycleConfiguration><Rule>&e;</Rule></LifecycleConfiguration>`} {
		r, _ := asked("PUT", "/b?lifecycle")
		r.Request.Body, r.ContentLength = readCloser(bad), int64(len(bad))
		if _, err := bySub["lifecycle"].write(r); codeOf(err) != "MalformedXML" {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

type closer struct{ *bytes.Reader }

func (closer) Close() error { return nil }

func readCloser(s string) closer { return closer{bytes.NewReader([]byte(s))} }

// TestWhoseWords: the signature decides; without one, headers and the host.
func TestWhoseWords(t *testing.T) {
	for _, tc := range []struct {
		label  string
		header []string
		query  string
		scheme sign.Scheme
		obs    bool
	}{
		{"obs", nil, "", "", true}, {"s3", nil, "", "", false}, {"obs", []string{"x-amz-acl: private"}, "", "", false}, {"s3", []string{"x-obs-acl: private"}, "", "", true},
		{"s3", nil, "AccessKeyId=a&Signature=b", "", true}, {"obs", nil, "", sign.V4, false}, {"s3", nil, "", sign.OBS, true},
	} {
		r, _ := asked("GET", "/b?"+tc.query, tc.header...)
		r.label = tc.label
		if tc.scheme != "" {
			r.claim = &sign.Claim{Scheme: tc.scheme}
		}
		if got := r.inOBS(); got != tc.obs {
			t.Errorf("%+v: %v", tc, got)
		}
	}
}

func TestNames(t *testing.T) {
	for _, s := range []string{"a b/ü+&", "\x01", "日本"} {
		if back, err := url.QueryUnescape(encoded(s, "url")); err != nil || back != s {
			t.Errorf("%q as %q comes back as %q (%v)", s, encoded(s, "url"), back, err)
		}
		if back, err := fromToken(toToken(s)); err != nil || back != s {
			t.Errorf("token of %q: %q (%v)", s, back, err)
		}
	}
	if _, err := fromToken("%%%"); codeOf(err) != "InvalidArgument" {
		t.Errorf("a token that is none: %v", err)
	}
	for _, c := range []string{bucket.Standard, bucket.Warm, bucket.Cold, bucket.Deep, bucket.Intelligent} {
		for _, obs := range []bool{false, true} {
			r := &request{obs: obs}
			if back, err := classOf(r.className(c)); err != nil || back != c {
				t.Errorf("class %s is told as %s, which is %s", c, r.className(c), back)
			}
		}
	}
	if fmt.Sprint(slices.Compact(Operations())) != fmt.Sprint(Operations()) || len(Operations()) < 90 {
		t.Errorf("%d operations", len(Operations()))
	}
}
