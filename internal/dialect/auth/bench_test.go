package auth_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/awancloud/awan/internal/dialect/auth"
	"github.com/awancloud/awan/internal/dialect/huawei/sign"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/kerneltest"
)

// BenchmarkSigned is the whole check of a signed request: whose key, and is the signature right.
func BenchmarkSigned(b *testing.B) {
	k := kerneltest.Start(b, nil)
	r := httptest.NewRequest("GET", "https://iam.awan.localhost/v3/users?name=alice", nil)
	if err := sign.Sign(r, k.Admin.AccessKey, k.Admin.SecretKey, time.Now()); err != nil {
		b.Fatal(err)
	}
	check(b, &auth.Authenticator{Ident: k.Ident, Now: time.Now}, r)
}

// BenchmarkTokenHeader is that of a request with a token.
func BenchmarkTokenHeader(b *testing.B) {
	k := kerneltest.Start(b, nil)
	text, _, err := k.Ident.IssueToken(b.Context(), kerneltest.Token(k), 0)
	if err != nil {
		b.Fatal(err)
	}
	r := httptest.NewRequest("GET", "/v3/users", nil)
	r.Header.Set("X-Auth-Token", text)
	check(b, &auth.Authenticator{Ident: k.Ident, Now: time.Now}, r)
}

func check(b *testing.B, a *auth.Authenticator, r *http.Request) {
	b.Helper()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := a.Principal(r); err != nil {
			b.Fatal(err)
		}
	}
}

// TestATemporaryKeySigns: the key signs as any other, with its token in a header.
func TestATemporaryKeySigns(t *testing.T) {
	k := kerneltest.Start(t, nil)
	a := &auth.Authenticator{Ident: k.Ident, Now: k.Clock.Now}
	keys, err := k.Ident.IssueTemporary(t.Context(), k.Root, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		what, token, secret string
		ok                  bool
	}{{"right", keys.Token, keys.Secret, true}, {"without the token", "", keys.Secret, false}, {"another token", "awk1.other", keys.Secret, false}, {"another secret", keys.Token, "x", false}} {
		r := httptest.NewRequest("GET", "https://iam.awan.localhost/v3/users", nil)
		if c.token != "" {
			r.Header.Set(auth.SecurityToken, c.token)
		}
		if err := sign.Sign(r, keys.Access, c.secret, k.Clock.Now()); err != nil {
			t.Fatal(err)
		}
		p, err := a.Principal(r)
		if c.ok && (err != nil || p.User != k.Root.User || p.Method != ident.ByKey) || !c.ok && !fail.Is(err, fail.Unauthenticated) {
			t.Errorf("%s: %+v %v", c.what, p, err)
		}
		if c.ok {
			if _, err := k.Door.Do(t.Context(), &call.Call{Kind: k.Ident.Kinds.User.D, Verb: call.List, Principal: p}); err != nil {
				t.Error(err)
			}
		}
	}
}
