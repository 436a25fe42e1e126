package keystone_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/awancloud/awan/internal/dialect/auth"
	"github.com/awancloud/awan/internal/dialect/openstack/keystone"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/kerneltest"
	"github.com/awancloud/awan/internal/kernel/store/pebble"
)

// served is the API over the store that a cloud has, for what a request costs without its connection.
func served(b *testing.B) (*keystone.API, *kerneltest.Kernel, string) {
	b.Helper()
	on, err := pebble.Open(b.TempDir(), pebble.Options{})
	if err != nil {
		b.Fatal(err)
	}
	k := kerneltest.StartNow(b, on, nil)
	a := keystone.New(keystone.Options{Options: wire.Options{Door: k.Door, Region: "awan-1", Auth: &auth.Authenticator{Ident: k.Ident, Now: time.Now}}})
	w := httptest.NewRecorder()
	a.ServeHTTP(w, httptest.NewRequest("POST", "https://cloud.test/v3/auth/tokens", strings.NewReader(fmt.Sprintf(
		`{"auth":{"identity":{"methods":["password"],"password":{"user":{"name":%q,"domain":{"name":"awan"},"password":%q}}},"scope":{"project":{"name":"awan-1"}}}}`, k.Admin.User, k.Admin.Password))))
	token := w.Header().Get("X-Subject-Token")
	if token == "" {
		b.Fatal(w.Body)
	}
	return a, k, token
}

func load(b *testing.B, a http.Handler, status int, request func() *http.Request) {
	b.Helper()
	b.ReportAllocs()
	b.SetParallelism(16)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			w := httptest.NewRecorder()
			if a.ServeHTTP(w, request()); w.Code != status {
				b.Errorf("%d %s", w.Code, w.Body)
				return
			}
		}
	})
}

// BenchmarkRescope is a token for another scope.
func BenchmarkRescope(b *testing.B) {
	a, k, token := served(b)
	body := fmt.Sprintf(`{"auth":{"identity":{"methods":["token"],"token":{"id":%q}},"scope":{"project":{"id":%q}}}}`, token, k.Admin.ProjectID)
	load(b, a, 201, func() *http.Request {
		return httptest.NewRequest("POST", "https://cloud.test/v3/auth/tokens", strings.NewReader(body))
	})
}

// BenchmarkProjects is a list of eleven projects.
func BenchmarkProjects(b *testing.B) {
	a, _, token := served(b)
	request := func(method, body string) *http.Request {
		r := httptest.NewRequest(method, "https://cloud.test/v3/projects", strings.NewReader(body))
		r.Header.Set("X-Auth-Token", token)
		return r
	}
	for i := range 10 {
		a.ServeHTTP(httptest.NewRecorder(), request("POST", fmt.Sprintf(`{"project":{"name":"bench-%d"}}`, i)))
	}
	load(b, a, 200, func() *http.Request { return request("GET", "") })
}
