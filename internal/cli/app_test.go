package cli_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestDeploy(t *testing.T) {
	c := start(t)
	dir := filepath.Join(t.TempDir(), "Guest Book")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte("package main"), 0o644); err != nil {
		t.Fatal(err)
	}
	out, errs, code := c.awan("deploy", dir, "--env", "A=1", "--secret", "P=@"+c.write("p", "hush\n"), "--probe-path", "/up", "--replicas", "2")
	if code != 0 || out != "https://guest-book.test\n" {
		t.Fatalf("deploy: %d %q %s", code, out, errs)
	}
	for _, w := range []string{"upload", "1 file, ", "build", "start"} {
		if !strings.Contains(errs, w) {
			t.Errorf("%q is not in\n%s", w, errs)
		}
	}
	var row struct {
		Spec struct {
			Replicas int
			Env      map[string]string
			Secrets  map[string]string
			Probe    struct{ Path string }
		}
	}
	if err := json.Unmarshal([]byte(c.ok("component", "show", "guest-book", "-o", "json")), &row); err != nil {
		t.Fatal(err)
	}
	if row.Spec.Replicas != 2 || row.Spec.Env["A"] != "1" || row.Spec.Secrets["P"] != "********" || row.Spec.Probe.Path != "/up" {
		t.Errorf("row %+v", row)
	}
	var result struct {
		Name, ID, URL, Image string
		Release              int
		Seconds              float64
	}
	if err := json.Unmarshal([]byte(c.ok("deploy", "--image", "library/hello:1", "--name", "guest-book", "-o", "json")), &result); err != nil {
		t.Fatal(err)
	}
	if result.Name != "guest-book" || len(result.ID) != 32 || result.Release != 2 || result.Seconds <= 0 || !strings.HasSuffix(result.Image, "library/hello:1") {
		t.Errorf("result %+v", result)
	}
	out, errs, code = c.awan("deploy", dir, "--env", "BREAK=1")
	if code != 1 || out != "" || !strings.Contains(errs, "| build line 39\n") || !strings.Contains(errs, "| build line 10\n") || strings.Contains(errs, "| build line 9\n") ||
		!strings.Contains(errs, `failed in step "build": RUN make ended with exit code 2`) || !strings.Contains(errs, "next: see the log") {
		t.Errorf("failing deploy: %d %q %s", code, out, errs)
	}
	for _, tc := range []struct{ args, want string }{
		{"deploy " + filepath.Join(c.data, "none"), "there is no folder"}, {"deploy --image x", "--name"}, {"deploy " + t.TempDir() + " --image x --name y", "not both"}} {
		if _, errs, code := c.awan(strings.Split(tc.args, " ")...); code == 0 || !strings.Contains(errs, tc.want) {
			t.Errorf("%s: %d %s", tc.args, code, errs)
		}
	}
}

// What is not text comes out as it is, and half of it is a failure.
func TestBytes(t *testing.T) {
	c := start(t)
	c.ok("deploy", "--image", "library/hello:1", "--name", "hello")
	if out := c.ok("component", "export", "hello"); out != string(everyByte) {
		t.Errorf("%d bytes came of %d, or others", len(out), len(everyByte))
	}
	if out, errs, code := c.awan("component", "export", "hello", "--break"); code == 0 || strings.Contains(out, "the disk broke") {
		t.Errorf("what broke off: %d %s", code, errs)
	}
}

func TestApps(t *testing.T) {
	c := start(t)
	if _, errs, _ := c.awan("apps"); !strings.Contains(errs, "awan deploy DIR") {
		t.Errorf("no apps: %s", errs)
	}
	c.ok("deploy", "--image", "library/hello:1", "--name", "hello")
	c.ok("scale", "hello", "3")
	if out := c.ok("apps"); !strings.Contains(out, "NAME") || !strings.Contains(out, "3/3") || !strings.Contains(out, "https://hello.test") {
		t.Errorf("apps:\n%s", out)
	}
	if out := c.ok("logs", "--tail", "5", "--since", "10m", "--match", "x", "-f", "hello"); out != "89abcdef  tail 5 since \"10m\" match \"x\" follow true\n" {
		t.Errorf("logs: %q", out)
	}
	if out := c.ok("logs", "-o", "json", "hello"); !strings.HasPrefix(out, `{"at":"2026-01-02T03:04:05Z"`) {
		t.Errorf("logs: %q", out)
	}
	c.ok("rollback", "hello", "7")
	if out := c.ok("component", "list"); !strings.Contains(out, "hello") {
		t.Error(out)
	}
	if out := c.ok("component", "show", "hello"); !strings.Contains(out, "108") {
		t.Errorf("rolled back:\n%s", out)
	}
	c.ok("stop", "hello")
	if out := c.ok("apps"); !strings.Contains(out, "stopped") {
		t.Errorf("apps:\n%s", out)
	}
	if _, errs, code := c.awan("scale", "hello", "many"); code != 2 {
		t.Errorf("scale: %d %s", code, errs)
	}
}

func TestExec(t *testing.T) {
	c := start(t)
	c.ok("deploy", "--image", "library/hello:1", "--name", "hello")
	c.in = "typed"
	out, errs, code := c.awan("exec", "-i", "hello", "--", "cat", "-n")
	if out != "TYPED" || errs != "cat -n\n" || code != 1 {
		t.Errorf("exec: %q %q %d", out, errs, code)
	}
	out, errs, code = c.awan("component", "exec", "hello", "--", "true")
	if out != "" || errs != "true\n" || code != 0 {
		t.Errorf("component exec: %q %q %d", out, errs, code)
	}
	if _, errs, code := c.awan("exec", "nobody", "--", "true"); code != 4 {
		t.Errorf("exec in what is not there: %d %s", code, errs)
	}
	if _, _, code := c.awan("exec", "hello"); code != 2 {
		t.Errorf("exec without command: %d", code)
	}
	out, _, code = c.awan("exec", "--", "sh", "-c", `echo $OS_AUTH_URL $HTTPS_PROXY $NO_PROXY; grep -c BEGIN "$SSL_CERT_FILE" >/dev/null && exit 7`)
	host := strings.TrimPrefix(c.url, "https://")
	if want := c.url + "/v3 http://" + host + " 127.0.0.1,::1\n"; out != want || code != 7 {
		t.Errorf("local: %q, want %q; %d", out, want, code)
	}
	if _, _, code := c.awan("exec", "--", "no-such-command-here"); code != 4 {
		t.Errorf("no such command: %d", code)
	}
}

func TestEnv(t *testing.T) {
	c := start(t)
	out := c.ok("env")
	for _, w := range []string{"export OS_AUTH_URL='" + c.url + "/v3'", "export OS_USER_DOMAIN_NAME='awan'", "export OS_PROJECT_NAME='awan-1'", "export HW_CLOUD='awan.localhost'",
		"export HW_ENTERPRISE_PROJECT_ID='0'", "export AWS_ENDPOINT_URL_S3=", "export OS_CACERT='" + filepath.Join(c.data, "ca.pem") + "'"} {
		if !strings.Contains(out, w) {
			t.Errorf("%q is not in\n%s", w, out)
		}
	}
	if out := c.ok("env", "--format", "terraform"); !strings.Contains(out, `    vpc          = "`+c.url+`/vpc/"`) || !strings.Contains(out, `obs          = "https://obs.awan-1.awan.localhost"`) {
		t.Errorf("terraform:\n%s", out)
	}
	var doc struct{ Variables, Endpoints map[string]string }
	if err := json.Unmarshal([]byte(c.ok("env", "--format", "json")), &doc); err != nil || doc.Variables["OS_PASSWORD"] != c.k.Admin.Password || doc.Endpoints["iam"] != c.url+"/iam/" {
		t.Errorf("json: %v %v", err, doc)
	}
	if _, _, code := c.awan("env", "--format", "xml"); code != 2 {
		t.Error("xml is no format")
	}
}
