package iam

import (
	"bufio"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/kerneltest"
	"github.com/awancloud/awan/internal/service/endpoint"
	"github.com/awancloud/awan/internal/service/federation"
)

// notHere are operations of Huawei's SDK that this cloud does not have, each with the reason. Whatever else the SDK can ask
// for has a route.
var notHere = map[string]string{
	"iam v3 CreateLoginToken":                       "a log-in to the console is by password and second factor, or by an identity provider",
	"iam v3 CreateUnscopeTokenByIdpInitiated":       "SAML is for the console; programs bring an ID token",
	"iam v5 GetServiceLinkedAgencyDeletionStatusV5": "a service-linked agency is deleted at once",
	"eps v1 ListMigrationRecord":                    "who moved what is in the audit log",
}

var placeholder = regexp.MustCompile(`\{[^}]*\}`)

// TestEveryOperationIsRouted holds the routes against the table of what Huawei's Go SDK v3 sends to IAM (v3, v3.0, v3-ext and
// v5), EPS, TMS and STS.
func TestEveryOperationIsRouted(t *testing.T) {
	k := kerneltest.Start(t, nil)
	i := New(Options{Options: wire.Options{Door: k.Door}, Federation: federation.New(federation.Deps{}), Endpoints: endpoint.New()})
	routed := map[string]bool{}
	for _, r := range i.Routes() {
		routed[r.Method+" "+placeholder.ReplaceAllString(r.Path, "{}")] = true
	}
	f, err := os.Open("testdata/operations.tsv")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	n := 0
	for s := bufio.NewScanner(f); s.Scan(); {
		op := strings.Split(s.Text(), "\t")
		if len(op) != 5 || strings.HasPrefix(op[0], "#") {
			continue
		}
		n++
		name := op[0] + " " + op[1] + " " + op[2]
		method := strings.Replace(op[3], "HEAD", "GET", 1) // HEAD is answered as GET is
		op[4] = strings.Replace(op[4], "{api_version}", "v1.0", 1)
		switch route := method + " " + placeholder.ReplaceAllString(op[4], "{}"); {
		case routed[route] && notHere[name] != "":
			t.Errorf("%s is there, and is listed as not: %s", name, notHere[name])
		case !routed[route] && notHere[name] == "":
			t.Errorf("%s has no route: %s", name, route)
		}
	}
	if n < 260 {
		t.Errorf("the table has only %d operations", n)
	}
}
