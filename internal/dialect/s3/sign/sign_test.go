package sign

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
)

// The keys and requests of Amazon's own examples (S3 API reference, "Signature Calculations for the Authorization
// Header", "Authenticating Requests: Using Query Parameters", "Signature Calculations for … Chunked Upload", and
// "Signing and Authenticating REST Requests").
const (
	exampleKey    = "AKIAIOSFODNN7EXAMPLE"
	exampleSecret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
)

func request(t testing.TB, raw string) *http.Request {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(raw), "\n")
	method, target, _ := strings.Cut(lines[0], " ")
	r, err := http.NewRequest(method, "https://placeholder"+target, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range lines[1:] {
		name, value, _ := strings.Cut(line, ":")
		if value = strings.TrimSpace(value); name == "Host" {
			r.Host = value
		} else if name == "Content-Length" {
			r.ContentLength = int64(len(value)) // only that it is there
			r.Header.Set(name, value)
		} else {
			r.Header.Add(name, value)
		}
	}
	return r
}

// check verifies raw as of now.
func check(t testing.TB, raw, secret, bucket string, now time.Time) error {
	t.Helper()
	r := request(t, raw)
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		t.Fatal(err)
	}
	c, err := Parse(r, q)
	if err != nil {
		return err
	}
	if c == nil {
		return errors.New("no signature was found")
	}
	return (&Verifier{Now: func() time.Time { return now }}).Check(r, c, Target{Bucket: bucket, Paths: []string{r.URL.EscapedPath()}}, secret)
}

var may24 = time.Date(2013, 5, 24, 0, 5, 0, 0, time.UTC)

const v4get = `GET /test.txt
Host: examplebucket.s3.amazonaws.com
Range: bytes=0-9
x-amz-content-sha256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
x-amz-date: 20130524T000000Z
Authorization: AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,SignedHeaders=host;range;x-amz-content-sha256;x-amz-date,Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41`

const v4link = `GET /test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404
Host: examplebucket.s3.amazonaws.com`

func TestAmazonsExamples(t *testing.T) {
	march27 := time.Date(2007, 3, 27, 19, 40, 0, 0, time.UTC)
	for name, tc := range map[string]struct {
		raw, bucket string
		now         time.Time
	}{
		"v4 GET": {v4get, "examplebucket", may24},
		"v4 PUT": {`PUT /test%24file.text
Host: examplebucket.s3.amazonaws.com
Date: Fri, 24 May 2013 00:00:00 GMT
x-amz-date: 20130524T000000Z
x-amz-storage-class: REDUCED_REDUNDANCY
x-amz-content-sha256: 44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072
Authorization: AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,SignedHeaders=date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class,Signature=98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd`, "examplebucket", may24},
		"v4 sub-resource": {`GET /?lifecycle
Host: examplebucket.s3.amazonaws.com
x-amz-date: 20130524T000000Z
x-amz-content-sha256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
Authorization: AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,SignedHeaders=host;x-amz-content-sha256;x-amz-date,Signature=fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543`, "examplebucket", may24},
		"v4 list": {`GET /?max-keys=2&prefix=J
Host: examplebucket.s3.amazonaws.com
x-amz-date: 20130524T000000Z
x-amz-content-sha256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
Authorization: AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,SignedHeaders=host;x-amz-content-sha256;x-amz-date,Signature=34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7`, "examplebucket", may24},
		"v4 link": {v4link, "examplebucket", may24.Add(23 * time.Hour)},
		"v2 GET": {`GET /photos/puppy.jpg
Host: awsexamplebucket1.us-west-1.s3.amazonaws.com
Date: Tue, 27 Mar 2007 19:36:42 +0000
Authorization: AWS AKIAIOSFODNN7EXAMPLE:qgk2+6Sv9/oM7G3qLEjTH1a1l1g=`, "awsexamplebucket1", march27},
		"v2 list": {`GET /?prefix=photos&max-keys=50&marker=puppy
Host: awsexamplebucket1.us-west-1.s3.amazonaws.com
Date: Tue, 27 Mar 2007 19:42:41 +0000
Authorization: AWS AKIAIOSFODNN7EXAMPLE:m0WP8eCtspQl5Ahe6L1SozdX9YA=`, "awsexamplebucket1", march27},
		"v2 sub-resource": {`GET /?acl
Host: awsexamplebucket1.us-west-1.s3.amazonaws.com
Date: Tue, 27 Mar 2007 19:44:46 +0000
Authorization: AWS AKIAIOSFODNN7EXAMPLE:82ZHiFIjc+WbcwFKGUVEQspPn+0=`, "awsexamplebucket1", march27},
	} {
		if err := check(t, tc.raw, exampleSecret, tc.bucket, tc.now); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := check(t, tc.raw, "another secret", tc.bucket, tc.now); CodeOf(err) != "SignatureDoesNotMatch" {
			t.Errorf("%s with another secret: %v", name, err)
		}
	}
}

func CodeOf(err error) string {
	var e *Refusal
	if errors.As(err, &e) {
		return e.Code()
	}
	return ""
}

// TestRefusals: what is changed in a signed request is noticed, and each refusal has its word.
func TestRefusals(t *testing.T) {
	for name, tc := range map[string]struct {
		raw, from, to, want string
		now                 time.Time
	}{
		"another object":       {v4get, "GET /test.txt", "GET /test2.txt", "SignatureDoesNotMatch", may24},
		"another method":       {v4get, "GET /", "DELETE /", "SignatureDoesNotMatch", may24},
		"another range":        {v4get, "bytes=0-9", "bytes=0-99", "SignatureDoesNotMatch", may24},
		"another host":         {v4get, "examplebucket.", "other.", "SignatureDoesNotMatch", may24},
		"a header more":        {v4get, "Range:", "x-amz-acl: public-read\nRange:", "AccessDenied", may24},
		"a parameter more":     {v4get, "/test.txt", "/test.txt?acl", "SignatureDoesNotMatch", may24},
		"an old request":       {v4get, "", "", "RequestTimeTooSkewed", may24.Add(time.Hour)},
		"from the future":      {v4get, "", "", "RequestTimeTooSkewed", may24.Add(-time.Hour)},
		"another day's key":    {v4get, "/20130524/", "/20130525/", "AuthorizationHeaderMalformed", may24},
		"another service":      {v4get, "/s3/", "/ec2/", "AuthorizationHeaderMalformed", may24},
		"no signed headers":    {v4get, "SignedHeaders=", "Signed=", "AuthorizationHeaderMalformed", may24},
		"no payload's sum":     {v4get, "x-amz-content-sha256: e", "x-amz-other: e", "InvalidRequest", may24},
		"a link that ended":    {v4link, "", "", "AccessDenied", may24.Add(25 * time.Hour)},
		"a link made longer":   {v4link, "Expires=86400", "Expires=86401", "SignatureDoesNotMatch", may24},
		"a link for too long":  {v4link, "Expires=86400", "Expires=604801", "AuthorizationQueryParametersError", may24},
		"a link without date":  {v4link, "X-Amz-Date", "X-Amz-Datum", "AuthorizationQueryParametersError", may24},
		"a link made public":   {v4link, "Host:", "x-amz-acl: public-read\nHost:", "AccessDenied", may24},
		"a link, OBS's header": {v4link, "Host:", "x-obs-acl: public-read\nHost:", "AccessDenied", may24},
	} {
		raw := tc.raw
		if tc.from != "" {
			if raw = strings.Replace(raw, tc.from, tc.to, 1); raw == tc.raw {
				t.Fatalf("%s: nothing was changed", name)
			}
		}
		if err := check(t, raw, exampleSecret, "examplebucket", tc.now); CodeOf(err) != tc.want {
			t.Errorf("%s: %v, want %s", name, err, tc.want)
		}
	}
}

// chunkedPut is Amazon's example of a chunked upload: 65 KiB of 'a' in chunks of 64 KiB.
func chunkedPut(t *testing.T) (*http.Request, []byte) {
	r := request(t, `PUT /examplebucket/chunkObject.txt
Host: s3.amazonaws.com
x-amz-date: 20130524T000000Z
x-amz-storage-class: REDUCED_REDUNDANCY
Authorization: AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,SignedHeaders=content-encoding;content-length;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class,Signature=4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9
x-amz-content-sha256: STREAMING-AWS4-HMAC-SHA256-PAYLOAD
Content-Encoding: aws-chunked
x-amz-decoded-content-length: 66560
Content-Length: 66824`)
	var b bytes.Buffer
	b.WriteString("10000;chunk-signature=ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648\r\n")
	b.Write(bytes.Repeat([]byte("a"), 65536))
	b.WriteString("\r\n400;chunk-signature=0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497\r\n")
	b.Write(bytes.Repeat([]byte("a"), 1024))
	b.WriteString("\r\n0;chunk-signature=b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9\r\n\r\n")
	return r, b.Bytes()
}

func TestChunks(t *testing.T) {
	for name, tc := range map[string]struct {
		change func([]byte) []byte
		want   string
	}{
		"as it is":         {func(b []byte) []byte { return b }, ""},
		"a changed byte":   {func(b []byte) []byte { b[1000] = 'b'; return b }, "SignatureDoesNotMatch"},
		"a chunk left out": {func(b []byte) []byte { return append(b[:0:0], b[65536+90:]...) }, "SignatureDoesNotMatch"},
		"cut off":          {func(b []byte) []byte { return b[:60000] }, "IncompleteBody"},
		"no last chunk":    {func(b []byte) []byte { return b[:len(b)-90] }, "IncompleteBody"},
		"nonsense":         {func([]byte) []byte { return []byte("zz\r\n") }, "InvalidRequest"},
	} {
		r, body := chunkedPut(t)
		body = tc.change(body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		v := &Verifier{Now: func() time.Time { return may24 }}
		c, err := Parse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := v.Check(r, c, Target{Paths: []string{r.URL.EscapedPath()}}, exampleSecret); err != nil {
			t.Fatal(err)
		}
		content, err := v.Content(r, c, exampleSecret)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(content)
		if CodeOf(err) != tc.want || tc.want == "" && (len(got) != 66560 || err != nil) {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
}

// TestOBS: the same string as version 2, with OBS's prefix and its own sub-resources, signed here as its documents say.
func TestOBS(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	date := now.Format(http.TimeFormat)
	signature := func(s string) string {
		h := hmac.New(sha1.New, []byte("s"))
		h.Write([]byte(s))
		return base64.StdEncoding.EncodeToString(h.Sum(nil))
	}
	for _, tc := range []struct{ request, headers, signed string }{
		{"GET /?storageinfo", "Date: " + date, "GET\n\n\n" + date + "\n/b/?storageinfo"},
		{"POST /k?append&position=7", "x-obs-date: " + date + "\nx-obs-acl: private\nContent-Type: a/b", "POST\n\na/b\n\nx-obs-acl:private\nx-obs-date:" + date + "\n/b/k?append&position=7"},
		{"GET /k?versionId=1&prefix=x&response-content-type=a%2Fb", "Date: " + date, "GET\n\n\n" + date + "\n/b/k?response-content-type=a/b&versionId=1"},
		{"PUT /k%20%E6?mirrorBackToSource&other", "Date: " + date, "PUT\n\n\n" + date + "\n/b/k%20%E6?mirrorBackToSource"},
	} {
		raw := tc.request + "\nHost: b.obs.x.y\n" + tc.headers + "\nAuthorization: OBS k:" + signature(tc.signed)
		if err := check(t, raw, "s", "b", now); err != nil {
			t.Errorf("%s: %v", tc.request, err)
		}
		if err := check(t, strings.Replace(raw, "Host", "x-obs-meta-more: 1\nHost", 1), "s", "b", now); CodeOf(err) != "SignatureDoesNotMatch" {
			t.Errorf("%s with a header more: %v", tc.request, err)
		}
	}
	link := "GET /k?AccessKeyId=k&Expires=1767323045&Signature=" + url.QueryEscape(signature("GET\n\n\n1767323045\n/b/k")) + "\nHost: b.obs.x.y"
	if err := check(t, link, "s", "b", now); err != nil {
		t.Errorf("link: %v", err)
	}
	if err := check(t, link, "s", "b", now.AddDate(1, 0, 0)); CodeOf(err) != "AccessDenied" {
		t.Errorf("a link that ended: %v", err)
	}
	if n := len(obsSubresources); n != 59 {
		t.Errorf("%d sub-resources, the SDK has 59", n)
	}
}

func TestPolicies(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	fields := map[string]string{"bucket": "b", "key": "up/x.jpg", "content-type": "image/jpeg", "file": "", "x-ignore-a": "1"}
	for doc, want := range map[string]string{
		`{"expiration":"2026-01-02T00:00:00Z","conditions":[{"bucket":"b"},["starts-with","$key","up/"],["eq","$Content-Type","image/jpeg"],["content-length-range",1,9]]}`: "",
		`{"expiration":"2025-01-02T00:00:00Z","conditions":[{"bucket":"b"},["starts-with","$key","up/"],["starts-with","$Content-Type",""]]}`:                               "AccessDenied",
		`{"expiration":"2026-01-02T00:00:00Z","conditions":[{"bucket":"b"},["starts-with","$key","up/"]]}`:                                                                  "AccessDenied",
		`{"expiration":"2026-01-02T00:00:00Z","conditions":[{"bucket":"c"},["starts-with","$key",""],["starts-with","$content-type",""]]}`:                                  "AccessDenied",
		`{"expiration":"2026-01-02T00:00:00Z","conditions":[["starts-with","$key","up/"],["starts-with","$content-type",""],["starts-with", "$bucket", ""],]}`:              "",
		`{"expiration":"2026-01-02T00:00:00Z"}`:                                                "InvalidPolicyDocument",
		`{"expiration":"soon","conditions":[]}`:                                                "InvalidPolicyDocument",
		`{"expiration":"2026-01-02T00:00:00Z","conditions":[["content-length-range",-1,9]]}`:   "InvalidPolicyDocument",
		`{"expiration":"2026-01-02T00:00:00Z","conditions":[["matches","$key","x"]]}`:          "InvalidPolicyDocument",
		`{"expiration":"2026-01-02T00:00:00Z","conditions":[{"bucket":"b","key":"up/x.jpg"}]}`: "InvalidPolicyDocument",
	} {
		p, err := ParsePolicy(base64.StdEncoding.EncodeToString([]byte(doc)))
		if err == nil {
			err = p.Allows(fields, now, true)
		}
		if CodeOf(err) != want || (want == "") != (err == nil) {
			t.Errorf("%s: %v, want %q", doc, err, want)
		}
		if err != nil && fail.KindOf(err) == fail.Internal {
			t.Errorf("%s is told as our defect: %v", doc, err)
		}
	}
}

// BenchmarkV4 is what a small signed request costs to verify.
func BenchmarkV4(b *testing.B) {
	r := request(b, v4get)
	v := &Verifier{Now: func() time.Time { return may24 }}
	b.ReportAllocs()
	for b.Loop() {
		q, _ := url.ParseQuery(r.URL.RawQuery)
		c, err := Parse(r, q)
		if err != nil {
			b.Fatal(err)
		}
		if err := v.Check(r, c, Target{Paths: []string{"/test.txt"}}, exampleSecret); err != nil {
			b.Fatal(err)
		}
	}
}

// TestSilence: a client that falls silent or goes away is told so, whatever form its content has.
func TestSilence(t *testing.T) {
	for _, row := range []struct {
		why  error
		code string
	}{
		{os.ErrDeadlineExceeded, "RequestTimeout"},
		{syscall.ECONNRESET, "IncompleteBody"},
		{io.ErrUnexpectedEOF, ""},
	} {
		for _, payload := range []string{Unsigned, unsignedTrailer} {
			r := httptest.NewRequest(http.MethodPut, "/b/k", io.MultiReader(strings.NewReader("1000\r\nab"), iotest.ErrReader(row.why)))
			r.ContentLength = 4100
			r.Header.Set("X-Amz-Content-Sha256", payload)
			r.Header.Set("X-Amz-Decoded-Content-Length", "4096")
			b, err := new(Verifier).Content(r, nil, "")
			if err != nil {
				t.Fatal(err)
			}
			_, err = io.ReadAll(b)
			var said *Refusal
			switch {
			case row.code == "" && !errors.Is(err, row.why):
				t.Errorf("%v in %s: %v", row.why, payload, err)
			case row.code != "" && (!errors.As(err, &said) || said.Code() != row.code):
				t.Errorf("%v in %s: %v, want %s", row.why, payload, err, row.code)
			}
		}
	}
}
