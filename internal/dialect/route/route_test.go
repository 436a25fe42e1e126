package route_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/awancloud/awan/internal/dialect/route"
)

func table(t testing.TB, patterns ...string) *route.Table[string] {
	t.Helper()
	var tab route.Table[string]
	for _, p := range patterns {
		service, pattern, _ := strings.Cut(p, ": ")
		if err := tab.Add(pattern, service); err != nil {
			t.Fatal(err)
		}
	}
	return &tab
}

func TestFind(t *testing.T) {
	tab := table(t,
		"iam: GET /", "iam: GET /v3", "iam: GET /v3/projects/{id}",
		"dns: GET /v2/zones/{zone_id}", "dcs: GET /v2/{project_id}/instances", "dcs: GET /v2/{project_id}/instances/{id}",
		"swr: GET /v2/{project_id}/instances/{instance_id}",
		"dns: GET /v2/{project_id}/DNS-public_zone/{id}/tags", "smn: GET /v2/{project_id}/smn_topic/{id}/tags",
		"fgs: GET /v2/{project_id}/{type}/{id}/tags",
		"vpc: POST /v1/{project_id}/vpcs", "vpc: GET /v1/{project_id}/vpcs",
		"cce: /api/v1/{rest...}", "obs: PUT /objects/{bucket}/{key...}",
	)
	for _, c := range []struct{ method, path, want string }{
		{"GET", "/", "iam"},
		{"GET", "/v3", "iam"},
		{"GET", "/v3/", "iam"},
		{"HEAD", "/v3", "iam"},
		{"POST", "/v3", ""},
		{"GET", "/v3/projects/a%2Fb", "iam id=a/b"},
		{"GET", "/v2/zones/z", "dns zone_id=z"},
		{"GET", "/v2/zones/instances", "dns zone_id=instances"},
		{"GET", "/v2/p/instances", "dcs project_id=p"},
		{"GET", "/v2/p/instances/i", "dcs project_id=p id=i | swr project_id=p instance_id=i"},
		{"GET", "/v2/p/DNS-public_zone/i/tags", "dns project_id=p id=i"},
		{"GET", "/v2/p/smn_topic/i/tags", "smn project_id=p id=i"},
		{"GET", "/v2/p/functions/i/tags", "fgs project_id=p type=functions id=i"},
		{"GET", "/v2/zones/other/i/tags", "fgs project_id=zones type=other id=i"}, // goes back from the literal
		{"DELETE", "/v1/p/vpcs", ""},
		{"PATCH", "/api/v1/namespaces/a/pods", "cce rest=namespaces/a/pods"},
		{"GET", "/api/v1", "cce rest="},
		{"PUT", "/objects/b/k/e%20y", "obs bucket=b key=k/e y"},
		{"GET", "/nothing", ""},
	} {
		var got []string
		for _, h := range tab.Find(c.method, c.path) {
			s := h.Value
			for _, name := range []string{"project_id", "zone_id", "type", "id", "instance_id", "rest", "bucket", "key"} {
				r := &http.Request{}
				h.Set(r)
				if v := h.Param(name); v != r.PathValue(name) {
					t.Errorf("%s %s: Param and PathValue differ", c.method, c.path)
				} else if strings.Contains(h.Pattern, "{"+name) {
					s += " " + name + "=" + v
				}
			}
			got = append(got, s)
		}
		if strings.Join(got, " | ") != c.want {
			t.Errorf("%s %s: %q, want %q", c.method, c.path, strings.Join(got, " | "), c.want)
		}
	}
	if m := strings.Join(tab.Methods("/v1/p/vpcs"), " "); m != "GET HEAD POST" {
		t.Errorf("methods of vpcs: %s", m)
	}
}

func TestAddRefuses(t *testing.T) {
	var tab route.Table[int]
	for _, bad := range []string{"GET v1", "get /v1", "/a/{b}x", "/{a...}/b", "GET"} {
		if err := tab.Add(bad, 1); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func BenchmarkFind(b *testing.B) {
	tab := table(b, "dns: GET /v2/zones/{zone_id}", "dcs: GET /v2/{project_id}/instances/{id}", "vpc: GET /v1/{project_id}/vpcs/{vpc_id}")
	b.ReportAllocs()
	for b.Loop() {
		if tab.Find("GET", "/v1/0123456789abcdef0123456789abcdef/vpcs/0123456789abcdef0123456789abcdef") == nil {
			b.Fatal("not found")
		}
	}
}
