package cli_test

import (
	"encoding/json"
	"flag"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestTheLifeOfAResource(t *testing.T) {
	c := start(t)
	for _, tc := range []struct {
		args         string
		code         int
		stdout, errs []string
	}{
		{"box list", 0, nil, []string{"there are no boxes"}},
		{"box create red --size 3 --note x", 2, nil, []string{"unknown flag: --note", "next: see awan box create --help"}},
		{"box create red --size three", 2, nil, []string{`--size takes a whole number, not "three"`}},
		{"box create red --size 101", 2, nil, []string{"error: spec.size: 101 is too large", "request id: "}},
		{"box create red --color green", 2, nil, []string{`"green" is not one of red, blue`}},
		{"box create", 2, nil, []string{"say the name: awan box create NAME"}},
		{"box create red --size 3 --token t0p --notes for=shoes --notes by=me --holes 1 --holes 2 --lid.locked --lid.slams-in 5s --tag team=a", 0,
			[]string{"NAME", "STATE", "SIZE", "COLOR", "AGE", "red", "active"}, []string{"cut", "glue"}},
		{"box create red", 5, nil, []string{"there already"}},
		{"box create big --size 18", 5, nil, []string{"quota", "3 of 20 in use"}},
		{"box create sad --shape glue", 1, nil, []string{"failed", `error: create sad failed in step "glue": no room to glue`, "next: make room"}},
		{"box create try --size 2 --dry-run", 0, []string{"try"}, []string{"nothing was changed"}},
		{"box show try", 4, nil, []string{"error: ", "try"}},
		{"box show red", 0, []string{"name ", "spec.size ", "3", "spec.token ", "********", "spec.notes for ", "shoes", "spec.holes ", "1, 2", "spec.lid.locked ", "yes", "tag team ", "status.steps ", "cut, glue"}, nil},
		{"box show red -o yaml", 0, []string{"name: red", "  size: 3", "  holes:\n    - 1\n    - 2", "  lid:\n    locked: true\n    slams_in: 5s"}, nil},
		{"box update red --color blue --notes by- --tag team- --tag stage=test", 0, []string{"blue"}, []string{"paint"}},
		{"box show red -o yaml", 0, []string{"  color: blue", "  notes:\n    for: shoes\n", "tags:\n  stage: test\n", "token: \"********\""}, nil},
		{"box update red --if-revision 1 --size 4", 5, nil, []string{"revision"}},
		{"box update red", 2, nil, []string{"say what to change"}},
		{"box update red --shape cube", 2, nil, []string{"cannot change after creation"}},
		{"box update red --lid.slams_in 5s", 0, nil, nil}, // as the field is written in files
		{"box grow red --by 2", 0, []string{"5"}, []string{"paint"}},
		{"box grow red", 2, nil, []string{"by: is required"}},
		{"box shake red", 6, []string{`{"box":"red","knock":0}`}, []string{"error: it fell down", "next: pick it up"}},
		{"box list --name re --tag stage --by color=blue", 0, []string{"red"}, nil},
		{"box list --by weight=1", 2, nil, []string{"there is no such filter", "color"}},
		{"box list --limit 1", 0, []string{"NAME"}, []string{"there are more: --marker "}},
		{"boxes list --all", 0, []string{"red", "sad"}, nil},
		{"box events red", 0, []string{"AGE", "LEVEL", "WHAT"}, nil},
		{"box delete red sad", 0, nil, []string{"deleted box red", "deleted box sad"}},
		{"box list --state trashed", 0, []string{"red", "trashed"}, nil},
		{"box restore red", 0, []string{"red", "active"}, nil},
		{"box delete red --purge", 0, nil, []string{"burn", "deleted box red"}},
		{"box melt red", 2, nil, []string{`awan box has no command "melt"`}},
		{"bo list", 2, nil, []string{`awan has no command "bo"`, "did you mean"}},
		{"box show red --project other", 4, nil, []string{"other"}},
		{"grant create --policy read-only --user admin --project awan-1", 0, []string{"ID", "POLICY"}, nil},
		{"grant list", 0, []string{"read-only", "admin", "awan-1"}, nil}, // names, not ids
		{"access-key create --description ci", 0, []string{"status.secret_key ", "spec.description ", "ci"}, nil},
		{"user create alice --password @" + c.write("pw", "correct horse\n"), 0, []string{"alice"}, nil},
		{"projects", 0, []string{"*  awan-1"}, nil},
		{"whoami", 0, []string{"user      admin", "project   awan-1", "method    key"}, nil},
		{"audit --action test:box:create --outcome failed", 0, []string{"TIME", "test:box:create", "no room to glue"}, nil},
		{"audit --since yesterday", 2, nil, []string{`since: "yesterday" is not a time`}},
		{"usage", 0, nil, []string{"nothing was used"}},
		{"quota", 0, []string{"test.size", "20"}, nil},
		{"quota set test.size 30", 0, []string{"30", "set for this project"}, nil},
		{"kinds", 0, []string{"box", "grow shake", "access-key"}, nil},
		{"version", 0, []string{"awan 1.2.3", "cloud 1.2.3 at https://127.0.0.1"}, nil},
		{"job show 0123456789abcdef0123456789abcdef", 4, nil, []string{"there is no job"}},
		{"ca --fingerprint", 0, []string{" "}, nil},
		{"down", 1, nil, []string{"client only"}},
		{"help exit-codes", 0, []string{"not logged in, or not allowed"}, nil},
	} {
		out, errs, code := c.awan(strings.Fields(tc.args)...)
		if code != tc.code {
			t.Errorf("awan %s: exit %d, want %d\n%s%s", tc.args, code, tc.code, out, errs)
		}
		for _, w := range tc.stdout {
			if !strings.Contains(out, w) {
				t.Errorf("awan %s: %q is not in\n%s", tc.args, w, out)
			}
		}
		for _, w := range tc.errs {
			if !strings.Contains(errs, w) {
				t.Errorf("awan %s: %q is not in\n%s", tc.args, w, errs)
			}
		}
	}
}

func TestFilesAndDocuments(t *testing.T) {
	c := start(t)
	c.ok("box", "create", "-f", c.write("box.yaml", "name: one\ntags: {team: b}\nspec:\n  size: 4\n  notes: {a: \"1\"}\n"), "--notes", "c=2")
	doc := c.ok("box", "show", "one", "-o", "yaml")
	c.ok("box", "update", "one", "-f", c.write("again.yaml", strings.Replace(doc, "size: 4", "size: 6", 1)))
	var row struct {
		Name string
		Tags map[string]string
		Spec struct {
			Size  int
			Notes map[string]string
		}
	}
	if err := json.Unmarshal([]byte(c.ok("box", "show", "one", "-o", "json")), &row); err != nil {
		t.Fatal(err)
	}
	if row.Name != "one" || row.Tags["team"] != "b" || row.Spec.Size != 6 || row.Spec.Notes["a"] != "1" || row.Spec.Notes["c"] != "2" {
		t.Errorf("row %+v", row)
	}
	c.in = `{"spec":{"size":2},"name":"two"}`
	c.ok("box", "create", "-f", "-")
	var list struct {
		Items []json.RawMessage
		Next  string
	}
	for _, args := range [][]string{{"box", "list", "-o", "json", "--limit", "1"}, {"box", "list", "-o", "json", "--limit", "1", "--all"}} {
		if err := json.Unmarshal([]byte(c.ok(args...)), &list); err != nil {
			t.Fatal(err)
		}
		if want := len(args) - 5; len(list.Items) != want || (list.Next == "") != (want == 2) {
			t.Errorf("%v: %d items, next %q", args, len(list.Items), list.Next)
		}
		list.Next = ""
	}
}

func TestWaysToFindTheCloud(t *testing.T) {
	c := start(t)
	a := c.k.Admin
	if _, errs, code := c.bare("whoami"); code != 3 || !strings.Contains(errs, "awan up") {
		t.Errorf("no cloud known: %d %s", code, errs)
	}
	c.env = map[string]string{"AWAN_URL": c.url, "AWAN_CA": c.pem, "AWAN_ACCESS_KEY": a.AccessKey, "AWAN_SECRET_KEY": a.SecretKey, "AWAN_PROJECT": a.Project}
	if out, errs, code := c.bare("whoami"); code != 0 || !strings.Contains(out, "found by  the environment") {
		t.Errorf("by key: %d %s%s", code, out, errs)
	}
	c.env = map[string]string{"AWAN_URL": c.url, "AWAN_CA": filepath.Join(c.data, "ca.pem"), "AWAN_USER": a.User, "AWAN_PASSWORD": a.Password, "AWAN_DOMAIN": a.Domain, "AWAN_PROJECT": a.Project}
	if out, errs, code := c.bare("box", "list"); code != 0 {
		t.Errorf("by password: %d %s%s", code, out, errs)
	}
	c.env["AWAN_PASSWORD"] = "wrong"
	if _, errs, code := c.bare("box", "list"); code != 3 {
		t.Errorf("wrong password: %d %s", code, errs)
	}
	delete(c.env, "AWAN_CA")
	if _, errs, code := c.bare("box", "list"); code != 6 || !strings.Contains(errs, "awan ca") {
		t.Errorf("unknown CA: %d %s", code, errs)
	}
	srv := httptest.NewServer(nil)
	srv.Close()
	c.env["AWAN_URL"] = srv.URL
	if _, errs, code := c.bare("box", "list"); code != 6 || !strings.Contains(errs, "no cloud answers at "+srv.URL) || !strings.Contains(errs, "next: start one with: awan up") {
		t.Errorf("nobody there: %d %s", code, errs)
	}
	if _, errs, code := c.bare("--data", filepath.Join(c.home, "none"), "whoami"); code != 4 || !strings.Contains(errs, "admin.env") {
		t.Errorf("no such folder: %d %s", code, errs)
	}
}

func TestLogIn(t *testing.T) {
	c := start(t)
	a := c.k.Admin
	args := []string{"login", c.url, "--user", a.User, "--domain", a.Domain}
	c.in = "no\n"
	if _, errs, code := c.bare(args...); code != 3 || !strings.Contains(errs, "fingerprint") {
		t.Errorf("no trust: %d %s", code, errs)
	}
	if _, errs, code := c.bare(append(args, "--fingerprint", "00ff")...); code != 3 || !strings.Contains(errs, "another fingerprint") {
		t.Errorf("wrong fingerprint: %d %s", code, errs)
	}
	c.in = "yes\n" + a.Password + "\n"
	if _, errs, code := c.bare(args...); code != 0 || !strings.Contains(errs, "logged in to "+c.url+" as admin of awan, project awan-1") {
		t.Fatalf("log in: %d %s", code, errs)
	}
	config := filepath.Join(c.home, ".config", "awan", "config.json")
	info, err := os.Stat(config)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("config %v %v", info, err)
	}
	if b, _ := os.ReadFile(config); strings.Contains(string(b), a.Password) {
		t.Error("the password is kept")
	}
	if out, errs, code := c.bare("box", "list"); code != 0 {
		t.Errorf("after log-in: %d %s%s", code, out, errs)
	}
	if out, _, _ := c.bare("ca"); out != c.pem {
		t.Errorf("ca prints %q", out)
	}
	c.in = a.Password
	if _, errs, code := c.bare("login", "--profile", "work", c.url, "--ca", filepath.Join(c.data, "ca.pem"), "--user", a.User, "--domain", a.Domain, "--password", "-", "--project", "nowhere"); code != 4 || !strings.Contains(errs, "nowhere") {
		t.Errorf("unknown project: %d %s", code, errs)
	}
	if _, errs, code := c.bare("logout"); code != 0 {
		t.Errorf("log out: %d %s", code, errs)
	}
	if _, errs, code := c.bare("box", "list"); code != 3 || !strings.Contains(errs, "next: awan login") {
		t.Errorf("after log-out: %d %s", code, errs)
	}
	if _, errs, code := c.awan("login"); code != 0 {
		t.Errorf("log in with --data: %d %s", code, errs)
	}
	if _, errs, code := c.bare("box", "list"); code != 0 {
		t.Errorf("after log-in with --data: %d %s", code, errs)
	}
}

func TestHelpIsAsItWas(t *testing.T) {
	c := start(t)
	for _, args := range []string{"--help", "box --help", "box create --help", "box list --help", "deploy --help", "exec --help"} {
		got := c.ok(strings.Fields(args)...)
		path := filepath.Join("testdata", strings.ReplaceAll(strings.ReplaceAll(args, " ", "_"), "--help", "help")+".txt")
		if *update {
			if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if got != strings.ReplaceAll(string(want), "\r", "") {
			t.Errorf("awan %s changed (go test -update writes it anew):\n%s", args, got)
		}
	}
}

func TestCompletion(t *testing.T) {
	c := start(t)
	c.ok("box", "create", "shoes")
	for _, shell := range []string{"bash", "zsh", "fish"} {
		if out := c.ok("completion", shell); !strings.Contains(out, "__complete") {
			t.Errorf("%s: %d bytes", shell, len(out))
		}
	}
	for _, tc := range []struct{ args, want string }{
		{"bo", "box\t"}, {"box gr", "grow\t"}, {"box show s", "shoes\tactive"}, {"box create --col", "--color"}, {"box create --color ", "red\nblue"},
		{"grant create --policy read", "read-only"}, {"box list --by ", "color="}, {"box show -o ", "table\njson\nyaml"},
	} {
		args := strings.Split(tc.args, " ")
		if out := c.ok(append([]string{"__complete"}, args...)...); !strings.Contains(out, tc.want) {
			t.Errorf("%q completes to\n%s", tc.args, out)
		}
	}
}
