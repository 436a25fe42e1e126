package cloud

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/awancloud/awan/internal/adminenv"
)

// pusher is a developer's working copy of an app that serves one page.
type pusher struct {
	*client
	dir, remote string
}

func (c *client) pusher(t *testing.T) *pusher {
	t.Helper()
	box, err := os.ReadFile("/bin/busybox")
	if err != nil {
		t.Skip("busybox-static is not installed")
	}
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("git is not installed")
	}
	env, err := adminenv.Read(filepath.Join(c.c.Data, adminenv.File))
	if err != nil {
		t.Fatal(err)
	}
	p := &pusher{client: c, dir: t.TempDir()}
	p.remote = strings.Replace(c.c.URL(), "https://", "https://"+env[adminenv.AccessKey]+":"+env[adminenv.SecretKey]+"@", 1) + "/git/" + env[adminenv.Project] + "/page.git"
	_ = os.WriteFile(filepath.Join(p.dir, "busybox"), box, 0o755)
	p.git("init", "-q", "-b", "main")
	return p
}

func (p *pusher) try(args ...string) (string, error) {
	c := exec.Command("git", args...)
	c.Dir = p.dir
	c.Env = append(os.Environ(), "GIT_SSL_CAINFO="+p.c.path("ca.pem"), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_TERMINAL_PROMPT=0",
		"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@b", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@b")
	out, err := c.CombinedOutput()
	return string(out), err
}

func (p *pusher) git(args ...string) string {
	p.t.Helper()
	out, err := p.try(args...)
	if err != nil {
		p.t.Fatalf("git %v: %v\n%s", args, err, out)
	}
	return out
}

// commit makes the page say something; program is what the image starts.
func (p *pusher) commit(says, program string) {
	p.t.Helper()
	_ = os.WriteFile(filepath.Join(p.dir, "index.html"), []byte(says), 0o644)
	_ = os.WriteFile(filepath.Join(p.dir, "Dockerfile"), []byte("FROM scratch\nCOPY busybox /\nCOPY index.html /www/\nUSER 10001\nCMD [\""+program+"\", \"httpd\", \"-f\", \"-p\", \"8080\", \"-h\", \"/www\"]\n"), 0o644)
	p.git("add", ".")
	p.git("commit", "-q", "-m", "the page says "+says)
}

func (p *pusher) says(name, want string) {
	p.t.Helper()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		code, body := p.get(p.component(name).Status.URL)
		if code == 200 && body == want {
			return
		}
		if time.Now().After(end) {
			p.t.Fatalf("%s answers %d %q, want %q", name, code, body, want)
		}
	}
}

// TestGitPushToRelease is the way of a source through git: pushed to the cloud's own repository, built and released
// before the push ends; refused when it does not run; fetched by another component, which a webhook brings up to date.
func TestGitPushToRelease(t *testing.T) {
	c := open(t)
	p := c.pusher(t)
	spec := map[string]any{"memory": 32}
	p.commit("one", "/busybox")
	out := p.git("push", p.remote, "main")
	for _, want := range []string{"remote: deploying ", "main: the page says one", "remote: built ", "remote: released: https://"} {
		if !strings.Contains(out, want) {
			t.Errorf("the push does not say %q:\n%s", want, out)
		}
	}
	p.says("page", "one")

	p.commit("broken", "/missing")
	out, err := p.try("push", p.remote, "main")
	if err == nil || !strings.Contains(out, "what ran before goes on running") || !strings.Contains(out, "refused: ") || !strings.Contains(out, "rejected") {
		t.Errorf("a push that does not run: %v\n%s", err, out)
	}
	p.says("page", "one")
	if out := p.git("push", p.remote, "main:later"); !strings.Contains(out, "only the branch main is deployed") {
		t.Errorf("another branch:\n%s", out)
	}

	p.git("reset", "-q", "--hard", "HEAD~1")
	var token struct {
		Resource struct{ Status struct{ Token, Hook string } }
	}
	c.do("POST", "/projects/-/app/deploy-tokens", map[string]any{"name": "ci", "spec": map[string]any{"component": "page"}}, &token)
	hook := token.Resource.Status.Hook
	byToken := strings.Replace(c.c.URL(), "https://", "https://any:"+token.Resource.Status.Token+"@", 1) + strings.TrimSuffix(hook, "/hook") + ".git"
	p.commit("two", "/busybox")
	p.git("push", byToken, "main")
	p.says("page", "two")
	env, _ := adminenv.Read(filepath.Join(c.c.Data, adminenv.File))
	byName := byToken[:strings.Index(byToken, "/git/")] + "/git/" + env[adminenv.Project] + "/page.git"
	if out, err := p.try("ls-remote", byName); err != nil || !strings.Contains(out, "refs/heads/main") {
		t.Errorf("by the project's name: %v\n%s", err, out)
	}
	if out, err := p.try("push", strings.Replace(byToken, "/page.git", "/other.git", 1), "main"); err == nil {
		t.Errorf("the token opens another component:\n%s", out)
	}

	// Another component is built from that repository, by the cloud itself.
	host := strings.TrimPrefix(c.c.URL(), "https://")
	c.do("POST", "/projects/-/app/credentials", map[string]any{"name": "self", "spec": map[string]any{"host": host, "username": env[adminenv.AccessKey],
		"password": env[adminenv.SecretKey], "ca": string(c.c.CA.Certificate())}}, nil)
	spec["source"] = map[string]any{"credential": "self", "git": map[string]any{"url": c.c.URL() + "/git/" + env[adminenv.Project] + "/page.git", "ref": "main"}}
	if j := c.finish("POST", components, map[string]any{"name": "copy", "spec": spec}); j.State != "succeeded" {
		t.Fatalf("%+v %v", j, j.Error)
	}
	p.says("copy", "two")
	c.do("POST", "/projects/-/app/deploy-tokens", map[string]any{"name": "hook", "spec": map[string]any{"component": "copy"}}, &token)
	p.commit("three", "/busybox")
	p.git("push", p.remote, "main")
	p.says("copy", "two")
	body := `{"ref":"refs/heads/main","after":"1234567890","repository":{"default_branch":"main"}}`
	sign := func(key string) string {
		m := hmac.New(sha256.New, []byte(key))
		m.Write([]byte(body))
		return hex.EncodeToString(m.Sum(nil))
	}
	call := func(header, value string) (int, string) {
		req, _ := http.NewRequest("POST", c.c.URL()+token.Resource.Status.Hook, strings.NewReader(body))
		req.Header.Set("X-GitHub-Event", "push")
		req.Header.Set(header, value)
		resp, err := c.http.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(b)
	}
	if code, _ := call("X-Hub-Signature-256", "sha256="+sign("guess")); code != 401 {
		t.Errorf("a wrong signature: %d", code)
	}
	if code, said := call("X-Hub-Signature-256", "sha256="+sign(token.Resource.Status.Token)); code != 202 {
		t.Errorf("a webhook: %d %s", code, said)
	}
	p.says("copy", "three")

	if j := c.finish("DELETE", components+"/page?purge=true", nil); j.State != "succeeded" {
		t.Errorf("%+v", j)
	}
	if out, err := p.try("ls-remote", p.remote); err == nil {
		t.Errorf("the repository of a component that is gone:\n%s", out)
	}
}

// TestStacksAreTheOperators: what the operator disabled is not built with, and what has ended is refused until the
// operator allows it for longer.
func TestStacksAreTheOperators(t *testing.T) {
	c := open(t)
	file := filepath.Join(t.TempDir(), "site.zip")
	if out, err := exec.Command("python3", "-c", "import sys,zipfile; zipfile.ZipFile(sys.argv[1],'w').writestr('index.html','hi')", file).CombinedOutput(); err != nil {
		t.Skipf("python3 is not installed: %s", out)
	}
	text, _ := os.ReadFile(file)
	req, _ := http.NewRequest("POST", c.c.URL()+"/awan/v1"+components+"/actions/upload", strings.NewReader(string(text)))
	req.Header.Set("X-Auth-Token", c.token)
	resp, err := c.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	b, _ := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	digest := strings.Split(string(b), `"`)[3]
	c.do("POST", "/app/stacks/static-1/actions/disable", map[string]any{}, nil)
	j := c.finish("POST", components, map[string]any{"name": "site", "spec": map[string]any{"source": map[string]any{"digest": digest}}})
	if j.State != "failed" || !strings.Contains(j.Error.Message, "no version of the stack static may be used") {
		t.Errorf("a disabled stack: %+v %v", j, j.Error)
	}
	c.do("POST", "/app/stacks/static-1/actions/enable", map[string]any{}, nil)
	c.do("PATCH", "/app/stacks/static-1", map[string]any{"spec": map[string]any{"end_of_life": "2020-01-01"}}, nil)
	j = c.finish("PATCH", components+"/site", map[string]any{"spec": map[string]any{"replicas": 2}})
	if j.State != "failed" || !strings.Contains(j.Error.Message, "end of life on 2020-01-01") {
		t.Errorf("after the end of life: %+v %v", j, j.Error)
	}
}
