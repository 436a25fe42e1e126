package ident

import (
	"strings"
	"testing"
)

func TestRequestRules(t *testing.T) {
	for _, tc := range []struct {
		pattern, path string
		want          bool
	}{
		{"/v2.1/servers", "/v2.1/servers", true},
		{"/v2.1/servers", "/v2x1/servers", false}, // a point is a point
		{"/v2.1/servers", "/v2.1/servers/1", false},
		{"/v2.1/servers/*", "/v2.1/servers/1", true},
		{"/v2.1/servers/*", "/v2.1/servers/", true},
		{"/v2.1/servers/*", "/v2.1/servers/1/action", false},
		{"/v2.1/servers/{id}", "/v2.1/servers/", false},
		{"/v2.1/servers/{id}/action", "/v2.1/servers/1/action", true},
		{"/v2.1/**", "/v2.1/servers/1/action", true},
		{"/**/action", "/v2.1/servers/1/action", true},
		{"/**/action", "/v2.1/servers/1/actions", false},
		{"/a{b", "/a{b", true},
		{"/a+(b)", "/a+(b)", true},
		{"/a", "/a\n", false},
		{"/" + strings.Repeat("**a", 80), "/" + strings.Repeat("a", 1<<16) + "b", false}, // in no time
	} {
		if got := fits(tc.pattern, tc.path); got != tc.want {
			t.Errorf("%.40s on %.40s: %v", tc.pattern, tc.path, got)
		}
	}
}
