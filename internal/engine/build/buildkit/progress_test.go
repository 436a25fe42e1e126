package buildkit

import (
	"testing"

	"github.com/opencontainers/go-digest"
)

// TestStepsThatReachNobody: what package managers print when there is no way to where packages come from.
func TestStepsThatReachNobody(t *testing.T) {
	for line, want := range map[string]bool{
		"Failed to establish a new connection: [Errno -2] Name or service not known')': /simple/flask/":              true,
		"npm ERR! request to https://registry.npmjs.org/x failed, reason: getaddrinfo EAI_AGAIN registry.npmjs.org":  true,
		"Could not transfer artifact a:b:pom:1 from/to central (https://repo.maven.apache.org/maven2): Unknown host": true,
		"Exception in thread \"main\" java.net.UnknownHostException: services.gradle.org":                            true,
		"dial tcp: lookup proxy.golang.org on 10.0.0.1:53: no such host":                                             true,
		"curl: (6) Could not resolve host: getcomposer.org":                                                          true,
		"./main.go:3:1: syntax error: unexpected }":                                                                  false,
		"ERROR: No matching distribution found for nope==9.9.9.9":                                                    false,
	} {
		r := newReporter(nil)
		v := digest.FromString("step")
		r.output(v, []byte("before\n"+line+"\nafter\n"))
		if got := r.reachedNobody(string(v)); got != want {
			t.Errorf("%s: %v", line, got)
		}
		if r.reachedNobody(string(digest.FromString("another"))) {
			t.Errorf("%s: another step did not say that", line)
		}
	}
}
