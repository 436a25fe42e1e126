package cloud

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/awancloud/awan/internal/cli"
	"github.com/awancloud/awan/test/cloudtest"
)

// awan runs the command line against the cloud and gives its exit code and what it printed.
func (c *client) awan(ctx context.Context, args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = cli.Run(ctx, cli.Options{Kinds: Describe(), Version: "test", Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs,
		Env: func(string) string { return "" }}, append([]string{"--data", c.c.Data}, args...))
	return code, out.String(), errs.String()
}

func (c *client) must(want int, args ...string) string {
	c.t.Helper()
	code, out, errs := c.awan(c.t.Context(), args...)
	if code != want {
		c.t.Fatalf("awan %s: exit code %d, want %d\n%s%s", strings.Join(args, " "), code, want, out, errs)
	}
	return out + errs
}

const shop = `name: shop
environment: live
variables: {REGION: north}
secrets: [db]
configs:
  banner: {file: banner.txt}
components:
  web:
    image: library/web:1
    replicas: 2
    memory: 32
    mounts:
      - {secret: db, path: /run/secrets}
      - {config: banner, path: /etc/shop/banner, reload: live}
schedules:
  nightly: {component: web, cron: "0 3 * * *", command: [date]}
`

func TestAnApplicationFromAFile(t *testing.T) {
	c := open(t)
	files, cmd := cloudtest.Web("hello")
	c.push("library/web:1", files, cmd...)
	dir := t.TempDir()
	file := filepath.Join(dir, "awan.yaml")
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("awan.yaml", strings.NewReplacer("replicas: 2", "replicas: 60", "memory: 32", "memori: 32", "cron: \"0 3 * * *\", ", "").Replace(shop))
	write("banner.txt", "one")
	got := c.must(2, "apply", "-f", file, "--yes")
	for _, want := range []string{file + ":10: components.web.replicas: 60 is too large", file + ":11: components.web.memori: there is no such field", file + ":16: schedules.nightly: cron is missing"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in:\n%s", want, got)
		}
	}
	write("awan.yaml", shop)
	if got := c.must(1, "plan", "-f", file); !strings.Contains(got, "awan.yaml:4: secrets: there is no secret db") {
		t.Errorf("without its secret: %s", got)
	}
	c.must(0, "secret", "create", "db", "--values", "password=one")
	c.must(2, "plan", "-f", file)
	c.must(0, "apply", "-f", file, "--yes")
	c.must(0, "plan", "-f", file)
	c.must(0, "apply", "-f", file)
	write("copy.yaml", c.must(0, "export", "shop"))
	c.must(0, "plan", "-f", filepath.Join(dir, "copy.yaml"))

	// A secret is rotated under load: new instances have it, and no request fails.
	url := c.component("web").Status.URL
	load := c.load(url, 4)
	c.must(0, "secret", "update", "db", "--values", "password=swordfish")
	c.until("the new secret everywhere", func() bool {
		w := c.component("web")
		return w.Status.Release == 2 && w.Status.Ready == 2 && len(w.Status.Instances) == 2
	})
	load.end(50)
	if got := c.must(0, "exec", "web", "--", "cat", "/run/secrets/password"); got != "swordfish" {
		t.Errorf("the secret is %q", got)
	}
	// A live config is replaced in the same instances.
	before := c.component("web").Status.Instances
	write("banner.txt", "two")
	c.must(0, "apply", "-f", file, "--yes")
	c.until("the new banner", func() bool { return c.must(0, "exec", "web", "--", "cat", "/etc/shop/banner") == "two" })
	if after := c.component("web").Status.Instances; fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("instances %v became %v", before, after)
	}
	notOnDisk(t, filepath.Join(c.c.Data, "engine", "instances"), "swordfish")

	code, out, errs := c.awan(t.Context(), "run", "web", "--", "sh", "-c", "echo out $REGION; echo err >&2; exit 7")
	if code != 7 || out != "out north\n" || !strings.Contains(errs, "err\n") {
		t.Errorf("awan run: %d %q %q", code, out, errs)
	}
	c.must(0, "cp", file, "web:/tmp/")
	c.must(0, "cp", "web:/tmp/awan.yaml", filepath.Join(dir, "back.yaml"))
	if b, _ := os.ReadFile(filepath.Join(dir, "back.yaml")); string(b) != shop {
		t.Errorf("copied there and back: %q", b)
	}
	c.forwards()
	write("awan.yaml", shop[:strings.Index(shop, "schedules:")])
	if got := c.must(2, "plan", "-f", file, "--prune"); !strings.Contains(got, "- delete schedule nightly") {
		t.Errorf("with --prune: %s", got)
	}
	c.must(0, "apply", "-f", file, "--prune", "--yes")
	c.must(0, "delete", "-f", file, "--purge", "--yes")
	for _, k := range []string{"component", "config", "application", "schedule"} {
		if got := c.must(0, k, "list", "-o", "json"); strings.Contains(got, `"name"`) {
			t.Errorf("left after the delete: %s", got)
		}
	}
}

// forwards sends requests through a forwarded port, several at once.
func (c *client) forwards() {
	c.t.Helper()
	ctx, cancel := context.WithCancel(c.t.Context())
	r, w := io.Pipe()
	ended := make(chan int)
	go func() {
		ended <- cli.Run(ctx, cli.Options{Kinds: Describe(), Version: "test", Stdin: strings.NewReader(""), Stdout: w, Stderr: io.Discard, Env: func(string) string { return "" }},
			[]string{"--data", c.c.Data, "port-forward", "web", "0"})
	}()
	var addr string
	if _, err := fmt.Fscanln(r, &addr); err != nil {
		c.t.Fatal(err)
	}
	answers := make(chan string)
	for range 5 {
		go func() {
			one := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
			resp, err := one.Get("http://" + addr + "/")
			if err != nil {
				answers <- err.Error()
				return
			}
			defer resp.Body.Close()
			b, _ := io.ReadAll(resp.Body)
			answers <- string(b)
		}()
	}
	for range 5 {
		if got := <-answers; got != "hello" {
			c.t.Errorf("through the forwarded port: %q", got)
		}
	}
	cancel()
	if code := <-ended; code != 0 {
		c.t.Errorf("port-forward ended with %d", code)
	}
}

func (c *client) until(what string, ok func() bool) {
	c.t.Helper()
	for end := time.Now().Add(60 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if ok() {
			return
		}
	}
	c.t.Fatalf("never came: %s", what)
}

// notOnDisk looks for a text in all files below a folder.
func notOnDisk(t *testing.T, dir, text string) {
	t.Helper()
	n := 0
	err := filepath.Walk(dir, func(p string, st os.FileInfo, err error) error {
		if err != nil || st.IsDir() {
			return err
		}
		n++
		b, err := os.ReadFile(p)
		if strings.Contains(string(b), text) {
			t.Errorf("%s holds %q", p, text)
		}
		return err
	})
	if err != nil || n == 0 {
		t.Errorf("%d files looked at: %v", n, err)
	}
}
