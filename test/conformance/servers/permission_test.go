package servers_test

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/kind"
)

// logIn makes a user of a domain, with a policy or without one, and gives a token of the project.
func (n *tenant) logIn(domain, user, policy, project string) string {
	n.t.Helper()
	do := func(k *kind.Def, name, spec string) {
		n.t.Helper()
		if _, err := n.Kernel.Door.Do(n.t.Context(), &call.Call{Kind: k, Verb: call.Create, Domain: domain, Name: &name, Spec: []byte(spec), Principal: n.Root}); err != nil {
			n.t.Fatal(err)
		}
	}
	kinds := n.Kernel.Ident.Kinds
	do(kinds.User.D, user, `{"password":"correct-horse"}`)
	if policy != "" {
		do(kinds.Grant.D, "", fmt.Sprintf(`{"policy":%q,"user":%q}`, policy, user))
	}
	body := fmt.Sprintf(`{"auth":{"identity":{"methods":["password"],"password":{"user":{"domain":{"name":%q},"name":%q,"password":"correct-horse"}}},"scope":{"project":{"domain":{"name":%q},"name":%q}}}}`, domain, user, domain, project)
	res := n.ask("POST", "/iam/v3/auth/tokens", body)
	token := res.Header.Get("X-Subject-Token")
	if res.StatusCode != http.StatusCreated || token == "" {
		n.t.Fatalf("log-in of %s: %d", user, res.StatusCode)
	}
	return token
}

// ask sends a plain request, and reads the answer to its end.
func (n *tenant) ask(method, path, body string, header ...string) *http.Response {
	n.t.Helper()
	r, err := http.NewRequestWithContext(n.t.Context(), method, n.url+path, strings.NewReader(body))
	if err != nil {
		n.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		if header[i+1] != "" {
			r.Header.Set(header[i], header[i+1])
		}
	}
	if n.http == nil {
		tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: n.ca.Pool()}}
		n.t.Cleanup(tr.CloseIdleConnections)
		n.http = &http.Client{Transport: tr}
	}
	res, err := n.http.Do(r)
	if err != nil {
		n.t.Fatal(err)
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		n.t.Fatal(err)
	}
	return res
}

// TestAliases: policies may say what Huawei's documents call the actions.
func TestAliases(t *testing.T) {
	n := open(t)
	name, document := "look", `{"document":{"Version":"1.1","Statement":[{"Effect":"Allow","Action":["ecs:cloudServers:list","ecs:cloudServerFlavors:get"]}]}}`
	if _, err := n.Kernel.Door.Do(t.Context(), &call.Call{Kind: n.Kernel.Ident.Kinds.Policy.D, Verb: call.Create, Name: &name, Spec: json.RawMessage(document), Principal: n.Root}); err != nil {
		t.Fatal(err)
	}
	token := n.logIn("awan", "alice", "look", "awan-1")
	for path, want := range map[string]int{"/detail": 200, "/flavors": 200, "/limits": 403, "/os-server-groups": 403} {
		if got := n.ask("GET", "/ecs/v1/"+n.project+"/cloudservers"+path, "", "X-Auth-Token", token).StatusCode; got != want {
			t.Errorf("%s: %d, want %d", path, got, want)
		}
	}
	if got := n.ask("POST", "/ecs/v1/"+n.project+"/cloudservers", `{}`, "X-Auth-Token", token).StatusCode; got != 403 {
		t.Errorf("create: %d", got)
	}
}
