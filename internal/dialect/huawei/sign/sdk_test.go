package sign_test

import (
	"bufio"
	"bytes"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/auth/signer"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/request"
	"pgregory.net/rapid"

	"github.com/awancloud/awan/internal/dialect/huawei/sign"
	"github.com/awancloud/awan/internal/kernel/fail"
)

const (
	ak = "AWANTESTACCESSKEY001"
	sk = "abcdefghijABCDEFGHIJabcdefghijABCDEFGHIJ"
)

// received is a request as a server reads it from the wire.
func received(t interface{ Fatal(...any) }, r *http.Request) *http.Request {
	var wire bytes.Buffer
	if err := r.Write(&wire); err != nil {
		t.Fatal(err)
	}
	got, err := http.ReadRequest(bufio.NewReader(&wire))
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// verify does what a server does with a received request.
func verify(r *http.Request, path, secretKey string, now time.Time) error {
	s, err := sign.Parse(r)
	if err != nil {
		return err
	}
	digest, err := sign.Digest(r, 1<<20)
	if err != nil {
		return err
	}
	return s.Verify(r, path, digest, secretKey, now)
}

// TestSDKRequestsVerify draws requests of every shape the Go SDK v3 can build, lets it sign and encode them, and
// verifies what arrives.
func TestSDKRequestsVerify(t *testing.T) {
	text := rapid.StringOfN(rapid.RuneFrom([]rune("abcZ09-_.~ %+&=;:@!$'()*,/?#[]{}<>|\"\\^`éü中😀")), 1, 12, -1)
	plain := rapid.StringMatching(`[A-Za-z][A-Za-z0-9-]{0,10}`)
	rapid.Check(t, func(t *rapid.T) {
		method := rapid.SampledFrom([]string{"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"}).Draw(t, "method")
		b := request.NewHttpRequestBuilder().WithEndpoint("https://vpc.awan-1.awan.localhost:8443").WithMethod(method).
			WithPath("/v1/{project_id}/things/{name}"+rapid.SampledFrom([]string{"", "/", "/tags"}).Draw(t, "tail")).
			AddAutoFilledPathParam("project_id", "0123456789abcdef0123456789abcdef").
			AddPathParam("name", text.Draw(t, "name"))
		for _, key := range rapid.SliceOfN(text, 0, 4).Draw(t, "keys") {
			switch rapid.IntRange(0, 2).Draw(t, "kind") {
			case 0:
				b.AddQueryParam(key, reflect.ValueOf(text.Draw(t, "value")))
			case 1:
				b.AddQueryParam(key, reflect.ValueOf(rapid.SliceOfN(text, 1, 3).Draw(t, "values")))
			case 2:
				b.AddQueryParam(key, reflect.ValueOf(rapid.MapOfN(plain, text, 1, 2).Draw(t, "map")))
			}
		}
		b.AddHeaderParam("User-Agent", "huaweicloud-usdk-go/3.0").AddHeaderParam("X-Project-Id", "0123456789abcdef0123456789abcdef")
		for _, name := range rapid.SliceOfNDistinct(plain, 0, 3, strings.ToLower).Draw(t, "headers") {
			b.AddHeaderParam("X-Test-"+name, rapid.StringMatching(`[ -~]{0,20}`).Draw(t, "header"))
		}
		if rapid.Bool().Draw(t, "sign host") {
			b.AddHeaderParam("host", "vpc.awan-1.awan.localhost:8443") // as the JS SDK does
		}
		if method == "POST" || method == "PUT" || method == "PATCH" {
			b.AddHeaderParam("Content-Type", rapid.SampledFrom([]string{"application/json;charset=utf-8", "application/json", "application/octet-stream"}).Draw(t, "type"))
			b.WithBody("", map[string]string{"name": text.Draw(t, "body")})
		}
		req := b.Build()
		added, err := signer.Sign(req, ak, sk)
		if err != nil {
			t.Fatal(err)
		}
		for name, value := range added {
			req.AddHeaderParam(name, value)
		}
		httpReq, err := req.ConvertRequest()
		if err != nil {
			t.Fatal(err)
		}
		httpReq.Header.Del("host") // net/http sends r.Host
		r := received(t, httpReq)
		if err := verify(r, "", sk, time.Now()); err != nil {
			t.Fatalf("%s %s %v: %v", r.Method, r.RequestURI, r.Header, err)
		}
	})
}

// TestOwnSignVerifies signs with Sign what the SDK never sends, and checks that each change afterwards is noticed.
func TestOwnSignVerifies(t *testing.T) {
	now := time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)
	build := func() *http.Request {
		r, err := http.NewRequest("POST", "https://vpc.awan-1.awan.localhost/vpc/v1/p/vpcs%20x?b=2&a=1&a=0&empty", strings.NewReader(`{"vpc":{}}`))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("X-Project-Id", "p")
		if err := sign.Sign(r, ak, sk, now); err != nil {
			t.Fatal(err)
		}
		return r
	}
	ok := func(r *http.Request) error { return verify(received(t, r), "", sk, now) }
	if err := ok(build()); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*http.Request){
		"method":  func(r *http.Request) { r.Method = "PUT" },
		"path":    func(r *http.Request) { r.URL.Path = "/vpc/v1/p/vpcs"; r.URL.RawPath = "" },
		"query":   func(r *http.Request) { r.URL.RawQuery = "b=2&a=1" },
		"host":    func(r *http.Request) { r.Host = "iam.awan-1.awan.localhost" },
		"header":  func(r *http.Request) { r.Header.Set("X-Project-Id", "q") },
		"no more": func(r *http.Request) { r.Header.Del("X-Project-Id") },
		"date":    func(r *http.Request) { r.Header.Set(sign.DateHeader, "20261122T080001Z") },
		"body": func(r *http.Request) {
			changed, _ := http.NewRequest("POST", "https://x/", strings.NewReader(`{"vpc":{"a":1}}`))
			r.Body, r.ContentLength = changed.Body, changed.ContentLength
		},
	} {
		r := build()
		change(r)
		if err := ok(r); !fail.Is(err, fail.Unauthenticated) {
			t.Errorf("a changed %s: %v", name, err)
		}
	}
	if err := verify(received(t, build()), "", "another", now); !fail.Is(err, fail.Unauthenticated) {
		t.Errorf("another secret: %v", err)
	}
	if err := verify(received(t, build()), "", "", now); !fail.Is(err, fail.Unauthenticated) {
		t.Errorf("no secret: %v", err)
	}
	for _, d := range []time.Duration{-16 * time.Minute, 16 * time.Minute} {
		if err := verify(received(t, build()), "", sk, now.Add(d)); !fail.Is(err, fail.Unauthenticated) || !strings.Contains(err.Error(), "clock") {
			t.Errorf("a clock %v off: %v", d, err)
		}
	}
	for _, d := range []time.Duration{-14 * time.Minute, 14 * time.Minute} {
		if err := verify(received(t, build()), "", sk, now.Add(d)); err != nil {
			t.Errorf("a clock %v off: %v", d, err)
		}
	}
}

// TestOriginalPath: the prefix by which a request was routed is part of what was signed.
func TestOriginalPath(t *testing.T) {
	now := time.Now()
	r, _ := http.NewRequest("GET", "https://127.0.0.1:8443/vpc/v1/p/vpcs", nil)
	if err := sign.Sign(r, ak, sk, now); err != nil {
		t.Fatal(err)
	}
	r = received(t, r)
	r.URL.Path = "/v1/p/vpcs" // as the listener hands it on
	if err := verify(r, "/vpc/v1/p/vpcs", sk, now); err != nil {
		t.Error(err)
	}
	if err := verify(r, "", sk, now); err == nil {
		t.Error("the prefix is not covered")
	}
}

func TestBodyLimit(t *testing.T) {
	r, _ := http.NewRequest("POST", "https://x/", strings.NewReader(strings.Repeat("x", 100)))
	if _, err := sign.Digest(r, 99); !fail.Is(err, fail.TooLarge) {
		t.Errorf("100 bytes of 99: %v", err)
	}
	r, _ = http.NewRequest("POST", "https://x/", strings.NewReader(strings.Repeat("x", 100)))
	r.ContentLength = -1
	if _, err := sign.Digest(r, 99); !fail.Is(err, fail.TooLarge) {
		t.Errorf("100 bytes of 99, length unknown: %v", err)
	}
	r.Body = http.NoBody
	if digest, err := sign.Digest(r, 0); err != nil || len(digest) != 64 {
		t.Errorf("no body: %q, %v", digest, err)
	}
}

func BenchmarkVerify(b *testing.B) {
	now := time.Now()
	r, _ := http.NewRequest("POST", "https://vpc.awan-1.awan.localhost/v1/0123456789abcdef0123456789abcdef/vpcs?limit=10&marker=x",
		strings.NewReader(`{"vpc":{"name":"v","cidr":"10.0.0.0/8"}}`))
	for name, value := range map[string]string{"Content-Type": "application/json", "User-Agent": "x", "X-Project-Id": "0123456789abcdef0123456789abcdef"} {
		r.Header.Set(name, value)
	}
	if err := sign.Sign(r, ak, sk, now); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		r.Body, _ = r.GetBody()
		if err := verify(r, "", sk, now); err != nil {
			b.Fatal(err)
		}
	}
}
