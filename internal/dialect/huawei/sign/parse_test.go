package sign_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/awancloud/awan/internal/dialect/huawei/sign"
	"github.com/awancloud/awan/internal/kernel/fail"
)

func header(authorization string) http.Header {
	return http.Header{"Authorization": {authorization}, "X-Sdk-Date": {"20261122T080000Z"}}
}

func TestParse(t *testing.T) {
	mac := strings.Repeat("0a", 32)
	good := "SDK-HMAC-SHA256 Access=AK, SignedHeaders=host;x-sdk-date, Signature=" + mac
	s, err := sign.Parse(&http.Request{Header: header(good)})
	if err != nil || s.Access != "AK" || strings.Join(s.Headers, ",") != "host,x-sdk-date" || s.Time.Hour() != 8 {
		t.Fatalf("%+v, %v", s, err)
	}
	for name, bad := range map[string]http.Header{
		"none":               {},
		"two":                {"Authorization": {good, good}, "X-Sdk-Date": {"20261122T080000Z"}},
		"no date":            {"Authorization": {good}},
		"two dates":          {"Authorization": {good}, "X-Sdk-Date": {"20261122T080000Z", "20261122T080000Z"}},
		"bad date":           {"Authorization": {good}, "X-Sdk-Date": {"20261322T080000Z"}},
		"http date":          {"Authorization": {good}, "X-Sdk-Date": {"Sun, 22 Nov 2026 08:00:00 GMT"}},
		"bad payload":        {"Authorization": {good}, "X-Sdk-Date": {"20261122T080000Z"}, "X-Sdk-Content-Sha256": {"STREAMING"}},
		"bearer":             header("Bearer x"),
		"other algorithm":    header(strings.Replace(good, "SDK-HMAC-SHA256", "SDK-HMAC-SM3", 1)),
		"no access":          header(strings.Replace(good, "Access=AK, ", "", 1)),
		"empty access":       header(strings.Replace(good, "Access=AK", "Access=", 1)),
		"control in access":  header(strings.Replace(good, "Access=AK", "Access=A\tK", 1)),
		"access twice":       header(strings.Replace(good, "Access=AK", "Access=AK, Access=AK2", 1)),
		"no signed headers":  header(strings.Replace(good, "SignedHeaders=host;x-sdk-date, ", "", 1)),
		"upper case":         header(strings.Replace(good, "host", "Host", 1)),
		"header twice":       header(strings.Replace(good, "host", "host;host", 1)),
		"empty header":       header(strings.Replace(good, "host", "host;", 1)),
		"short signature":    header(good[:len(good)-2]),
		"signature not hex":  header(good[:len(good)-2] + "zz"),
		"endless":            header("SDK-HMAC-SHA256 " + strings.Repeat("x", 9000)),
		"scheme only":        header("SDK-HMAC-SHA256"),
		"many headers":       header(strings.Replace(good, "host", "h"+strings.Repeat(";h", 70), 1)),
		"something appended": header(good + ", Extra=1"),
	} {
		if s, err := sign.Parse(&http.Request{Header: bad}); !fail.Is(err, fail.Unauthenticated) {
			t.Errorf("%s: %+v, %v", name, s, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("SDK-HMAC-SHA256 Access=AK, SignedHeaders=host;x-sdk-date, Signature="+strings.Repeat("0a", 32), "20261122T080000Z", "")
	f.Add("SDK-HMAC-SHA256 Signature=,Access==,SignedHeaders=;", "", sign.Unsigned)
	f.Fuzz(func(t *testing.T, authorization, date, payload string) {
		h := http.Header{"Authorization": {authorization}, "X-Sdk-Date": {date}}
		if payload != "" {
			h.Set(sign.PayloadHeader, payload)
		}
		s, err := sign.Parse(&http.Request{Header: h})
		if err != nil {
			if !fail.Is(err, fail.Unauthenticated) {
				t.Fatal(err)
			}
			return
		}
		if s.Access == "" || len(s.Headers) == 0 || s.Time.IsZero() && s.Date[:4] != "0001" {
			t.Fatalf("%q gave %+v", authorization, s)
		}
	})
}

// FuzzVerify: no path, query or header makes Verify fail in another way than refusing, and nothing verifies without
// the secret.
func FuzzVerify(f *testing.F) {
	f.Add("GET", "/v1/p/vpcs", "a=1&b", "x", "body")
	f.Add("GET", "/%2f%zz", "%zz;=", "", "")
	now := time.Now()
	f.Fuzz(func(t *testing.T, method, path, query, value, body string) {
		r, err := http.NewRequest(method, "https://h/", strings.NewReader(body))
		if err != nil {
			return
		}
		r.URL.RawQuery = query
		r.Header.Set("X-Test", value)
		if err := sign.Sign(r, ak, sk, now); err != nil {
			return // a query no signer would send
		}
		s, err := sign.Parse(r)
		if err != nil {
			t.Fatal(err)
		}
		digest, err := sign.Digest(r, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Verify(r, "", digest, sk, now); err != nil {
			t.Fatalf("our own signature: %v", err)
		}
		if err := s.Verify(r, "", digest, sk+"x", now); err == nil {
			t.Fatal("verified with another secret")
		}
		if err := s.Verify(r, path, digest, sk, now); err != nil && !fail.Is(err, fail.Unauthenticated) {
			t.Fatal(err)
		}
	})
}
