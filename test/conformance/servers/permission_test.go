package servers_test

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/awancloud/awan/internal/dialect/auth"
	"github.com/awancloud/awan/internal/dialect/huawei/ecs"
	"github.com/awancloud/awan/internal/dialect/huawei/evs"
	"github.com/awancloud/awan/internal/dialect/huawei/ims"
	"github.com/awancloud/awan/internal/dialect/huawei/kps"
	"github.com/awancloud/awan/internal/dialect/openstack/keystone"
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

// TestEveryRouteAsks: nobody is told to log in, who has no policy is refused, who is of another domain finds nothing, and who
// may only read changes nothing; on every route.
func TestEveryRouteAsks(t *testing.T) {
	n := open(t)
	door, root := n.Kernel.Door, n.Root
	make := func(k *kind.Def, domain, name, spec string) {
		if _, err := door.Do(t.Context(), &call.Call{Kind: k, Verb: call.Create, Domain: domain, Name: &name, Spec: []byte(spec), Principal: root}); err != nil {
			t.Fatal(err)
		}
	}
	make(n.Kernel.Ident.Kinds.Domain.D, "", "elsewhere", `{}`)
	make(n.Kernel.Ident.Kinds.Project.D, "elsewhere", "lair", `{}`)
	fresh := n.logIn("awan", "fresh", "", "awan-1")
	reader := n.logIn("awan", "reader", "read-only", "awan-1")
	mallory := n.logIn("elsewhere", "mallory", "full-access", "lair")

	w := n.network()
	parse := func(s string) string { return strings.ReplaceAll(s, "-", "") }
	n.makeRow(n.Keypairs.D, "door", `{}`)
	server := n.makeRow(n.Servers.Server.D, "web", `{"flavor":"s6.small.1","image":"Debian 12 small","networks":[{"subnet":"`+parse(w.subnet)+`"}]}`).M().ID
	group := n.makeRow(n.Servers.Group.D, "apart", `{"policy":"soft-anti-affinity"}`).M().ID
	volume := n.makeRow(n.Volumes.Volumes.D, "data", `{"size":1}`).M().ID
	snapshot := n.makeRow(n.Volumes.Snapshots.D, "before", `{"volume":"data"}`).M().ID
	n.makeRow(n.Volumes.Volumes.D, "gift", `{"size":1}`)
	transfer := n.makeRow(n.Volumes.Transfers.D, "", `{"volume":"gift"}`).M().ID
	image := n.makeRow(n.Images.Images.D, "golden", `{}`).M().ID
	values := strings.NewReplacer("{project_id}", n.project, "{target_project_id}", n.project, "{server_id}", server.Dashed(), "{server_group_id}", group.Dashed(), "{volume_id}", volume.Dashed(),
		"{snapshot_id}", snapshot.Dashed(), "{transfer_id}", transfer.Dashed(), "{image_id}", image.Dashed(), "{keypair_name}", "door", "{flavor_id}", "s6.small.1", "{type_id}", "SSD",
		"{key}", "role", "{member_id}", n.project, "{port_id}", strings.Repeat("0", 32), "{nic_id}", strings.Repeat("0", 32), "{launch_template_id}", "x", "{id}", "x", "{job_id}", strings.Repeat("0", 32))

	a := &auth.Authenticator{Ident: n.Kernel.Ident}
	for prefix, routes := range map[string][]keystone.Route{
		"/ecs": ecs.New(ecs.Options{Door: door, Auth: a, Compute: n.Servers, Network: n.Networks, KeyPair: n.Keypairs.D}).Routes(),
		"/evs": evs.New(evs.Options{Door: door, Auth: a, Volumes: n.Volumes}).Routes(),
		"/ims": ims.New(ims.Options{Door: door, Auth: a, Images: n.Images, Compute: n.Servers}).Routes(),
		"/kms": kps.New(kps.Options{Door: door, Auth: a, KeyPair: n.Keypairs.D}).Routes()} {
		t.Run(prefix[1:], func(t *testing.T) {
			for _, r := range routes {
				path := prefix + values.Replace(r.Path)
				if strings.ContainsAny(path, "{}") {
					t.Errorf("%s %s: there is no value for a placeholder", r.Method, r.Path)
					continue
				}
				body := ""
				if r.Method != "GET" && r.Method != "DELETE" {
					body = "{}"
				}
				try := func(who, token string, want ...int) {
					t.Helper()
					res := n.ask(r.Method, path, body, "X-Auth-Token", token, "X-Project-Id", n.project)
					if !slices.Contains(want, res.StatusCode) {
						t.Errorf("%s %s as %s: %d, want %v", r.Method, path, who, res.StatusCode, want)
					}
				}
				try("nobody", "", 401)
				if r.Kind == nil {
					continue
				}
				try("fresh", fresh, 403)
				if r.Kind.Scope == kind.InProject {
					try("mallory", mallory, 404)
				}
				for _, v := range call.Verbs(r.Kind) {
					if v.Verb == r.Verb && (v.Level == kind.Write || v.Level == kind.Admin) {
						try("reader", reader, 403)
					}
				}
			}
			t.Logf("%d routes", len(routes))
		})
	}
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
