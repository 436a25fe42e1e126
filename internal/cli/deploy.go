package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/awancloud/awan/internal/cli/client"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kind"
	sources "github.com/awancloud/awan/internal/service/build"
)

// deployFlag names flags as people say them: --probe-path, --secret, --image.
func deployFlag(path []string) string {
	name := strings.ReplaceAll(strings.Join(path, "-"), "_", "-")
	switch name {
	case "source-digest", "source-commit", "stopped":
		return "" // deploy itself sets these
	case "source-git-url":
		return "git"
	case "source-git-ref", "source-git-path":
		return strings.TrimPrefix(name, "source-git-")
	case "secrets":
		return "secret"
	case "gray-weight":
		return "weight"
	}
	return strings.TrimPrefix(name, "source-")
}

func (s *session) deployCmd() *cobra.Command {
	ch := new(change)
	var buildLog bool
	k := s.component()
	cmd := &cobra.Command{Use: "deploy [PATH]", Short: "build a folder and run it at an HTTPS address",
		Long: "Build a folder and run it at an HTTPS address, or bring a running app up to date with it. Instead of a folder: a package\n" +
			"(zip, tar, jar, war or one program for Linux; a file, an https address, or obs://BUCKET/KEY in a bucket of the project),\n" +
			"a git repository, or an image.\n\n" +
			"A Dockerfile is used where there is one; otherwise the stack is detected. The address is printed on standard output,\n" +
			"everything else on standard error.",
		Example: examples("awan deploy ./guestbook", "awan deploy . --name shop --replicas 2 --env STAGE=test --secret DB_PASSWORD=@password.txt",
			"awan deploy shop.jar", "awan deploy obs://builds/shop.jar", "awan deploy --git https://git.example.org/team/shop.git --ref main --path web",
			"awan deploy --image library/hello:latest --name hello --port 8080",
			"awan deploy . --name shop --strategy gray --weight 10"),
		Args: cobra.MaximumNArgs(1),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveDefault
		}}
	f := cmd.Flags()
	f.StringVar(&ch.name, "name", "", "the app's `NAME`; the folder's when empty")
	_ = cmd.RegisterFlagCompletionFunc("name", s.names(k, 0)) // fails for an unknown flag only
	f.BoolVar(&buildLog, "build-log", false, "print the whole build log")
	ch.waiting(cmd)
	if k != nil {
		ch.fields = s.fieldFlags(cmd, k.Spec, deployFlag)
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := needs(k, "component"); err != nil {
			return err
		}
		c, err := s.client()
		if err != nil {
			return err
		}
		d := &deploy{s: s, c: c, k: k, ch: ch, buildLog: buildLog, began: time.Now()}
		if len(args) == 1 {
			d.dir = args[0]
		}
		return d.run(cmd.Context())
	}
	return cmd
}

// deploy is one run of awan deploy.
type deploy struct {
	s        *session
	c        *client.Client
	k        *kind.Desc
	ch       *change
	dir      string
	buildLog bool
	began    time.Time
	there    bool           // the app was there before
	before   map[string]any // its source, then
}

func (d *deploy) run(ctx context.Context) error {
	spec, err := d.s.values(d.ch.fields)
	if err != nil {
		return err
	}
	_, image := at(spec, "source.image").(string)
	repository, git := at(spec, "source.git.url").(string)
	address, pack := at(spec, "source.package.url").(string)
	if isAddress(d.dir) && !pack {
		address, pack, d.dir = d.dir, true, ""
		put(spec, []string{"source", "package", "url"}, address)
	}
	if d.dir == "" && !image && !git && !pack {
		d.dir = "."
	}
	name := d.ch.name
	if name == "" {
		if git {
			name = nameOf(strings.TrimSuffix(strings.TrimRight(repository, "/"), ".git"))
		} else if pack {
			name = nameOf(strings.TrimSuffix(fileOf(address), archiveEnd(address)))
		} else if d.dir != "" {
			name = nameOf(strings.TrimSuffix(d.dir, packageEnd(d.dir)))
		}
		if name == "" {
			return usagef("say the app's name: --name NAME")
		}
	}
	if image && d.dir != "" {
		return usagef("give either a folder or --image, not both")
	}
	if git && (d.dir != "" || image) {
		return usagef("give --git alone, without a folder or --image")
	}
	if pack && (d.dir != "" || image || git) {
		return usagef("give a package's address alone, without a folder, --git or --image")
	}
	if !image && !git && !pack {
		digest, err := d.upload(ctx)
		if err != nil {
			return err
		}
		put(spec, []string{"source", "digest"}, digest)
	}
	a, err := d.apply(ctx, name, spec)
	if err != nil {
		return err
	}
	row := a.Resource
	if j := a.job(); (git || pack) && d.there && (j == nil || d.same(a.Resource)) {
		if j != nil {
			if err := d.follow(ctx, j); err != nil {
				return err
			}
		}
		*a = answer{} // the address is the one that was there, so what is new can only lie there
		if err := d.c.Do(ctx, client.Request{Method: "POST", Path: d.path(name) + "/actions/redeploy"}, a); err != nil {
			return err
		}
		row = a.Resource
	}
	if j := a.job(); j != nil && !j.done() {
		if d.ch.noWait || !d.ch.wait {
			fmt.Fprintf(d.s.Stderr, "accepted; follow it with: awan job wait %s\n", j.ID)
			return d.done(row)
		}
		if d.ch.timeout > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, d.ch.timeout)
			defer cancel()
		}
		if err := d.follow(ctx, j); err != nil {
			return err
		}
		var after answer
		if err := d.c.Do(ctx, client.Request{Method: "GET", Path: d.path(j.Resource)}, &after); err != nil {
			return err
		}
		row = after.Resource
	} else {
		fmt.Fprintln(d.s.Stderr, "nothing to do: this is what runs already")
	}
	return d.done(row)
}

func (d *deploy) path(target string) string {
	return d.s.collection(d.c, d.k) + "/" + url.PathEscape(target)
}

// same tells whether the app's source is what it was.
func (d *deploy) same(row json.RawMessage) bool {
	doc, err := decode(row)
	now, _ := at(doc, "spec.source").(map[string]any)
	return err == nil && reflect.DeepEqual(now, d.before)
}

// isAddress tells a package's address from a path.
func isAddress(path string) bool {
	return strings.HasPrefix(path, "https://") || strings.HasPrefix(path, "obs://") || strings.HasPrefix(path, "s3://") || strings.HasPrefix(path, "awan://")
}

// fileOf is the last part of an address, without its query.
func fileOf(address string) string {
	address, _, _ = strings.Cut(address, "?")
	return path.Base(address)
}

// packageEnd is the end of a file's name that is no part of the app's.
func packageEnd(file string) string {
	if i, err := os.Stat(file); err != nil || i.IsDir() {
		return ""
	}
	return archiveEnd(file)
}

func archiveEnd(file string) string {
	file, _, _ = strings.Cut(file, "?")
	for _, end := range []string{".tar.gz", ".tar.xz", ".tar.zst", ".tgz", ".tar", ".zip", ".jar", ".war"} {
		if strings.HasSuffix(strings.ToLower(file), end) {
			return file[len(file)-len(end):]
		}
	}
	return ""
}

// upload sends a package as it is, or a folder packed.
func (d *deploy) upload(ctx context.Context) (string, error) {
	i, err := os.Stat(d.dir)
	if err != nil || !i.Mode().IsRegular() {
		return d.uploadFolder(ctx)
	}
	begin := time.Now()
	f, err := os.Open(d.dir)
	if err != nil {
		return "", fail.Wrap(err, fail.Denied, "%s cannot be read", d.dir)
	}
	defer func() { _ = f.Close() }()
	digest, err := d.send(ctx, f, "application/octet-stream")
	if err == nil {
		fmt.Fprintf(d.s.Stderr, "  %-16s %6s  %s, %s\n", "upload", span(time.Since(begin)), filepath.Base(d.dir), bytesOf(i.Size()))
	}
	return digest, err
}

// uploadFolder packs the folder into a file first, for its size is then known and a retry sends the same bytes.
func (d *deploy) uploadFolder(ctx context.Context) (string, error) {
	begin := time.Now()
	tmp, err := os.CreateTemp("", "awan-source-*.tar.gz")
	if err != nil {
		return "", fail.Wrap(err, fail.NoSpace, "there is no room to pack the folder")
	}
	defer func() {
		_ = tmp.Close() // read only from here on
		_ = os.Remove(tmp.Name())
	}()
	p, err := sources.Pack(d.dir, tmp)
	if err != nil {
		return "", err
	}
	if p.Files == 0 {
		return "", fail.New(fail.Invalid, "%s holds no files", d.dir)
	}
	if _, err := tmp.Seek(0, io.SeekStart); err != nil {
		return "", fail.Wrap(err, fail.Unavailable, "the packed folder cannot be read again")
	}
	digest, err := d.send(ctx, tmp, "application/gzip")
	if err == nil {
		fmt.Fprintf(d.s.Stderr, "  %-16s %6s  %s, %s\n", "upload", span(time.Since(begin)), count(p.Files, "file"), bytesOf(p.Archive))
	}
	return digest, err
}

func (d *deploy) send(ctx context.Context, f *os.File, contentType string) (string, error) {
	var up struct {
		Digest string `json:"digest"`
	}
	err := d.c.Lines(ctx, client.Request{Method: "POST", Path: d.s.collection(d.c, d.k) + "/actions/upload", Body: f, ContentType: contentType},
		func(line []byte) error { return json.Unmarshal(line, &up) })
	if err == nil && up.Digest == "" {
		err = fail.New(fail.Internal, "the cloud answered no digest for the upload")
	}
	return up.Digest, err
}

// apply creates the app, or changes it when it is there.
func (d *deploy) apply(ctx context.Context, name string, spec map[string]any) (*answer, error) {
	a := new(answer)
	err := d.c.Do(ctx, client.Request{Method: "GET", Path: d.path(name)}, a)
	switch {
	case fail.Is(err, fail.NotFound):
		*a = answer{}
		err = d.c.Do(ctx, client.Request{Method: "POST", Path: d.s.collection(d.c, d.k), In: map[string]any{"name": name, "spec": spec}}, a)
	case err == nil:
		d.there = true
		if doc, err := decode(a.Resource); err == nil {
			d.before, _ = at(doc, "spec.source").(map[string]any)
		}
		*a = answer{}
		err = d.c.Do(ctx, client.Request{Method: "PATCH", Path: d.path(name), In: map[string]any{"spec": spec}}, a)
	}
	return a, err
}

// follow shows the operation's steps, and its build log when asked or when it fails.
func (d *deploy) follow(ctx context.Context, j *jobView) error {
	logs, cancel := context.WithCancel(ctx)
	defer cancel()
	lines, last := make(chan string), &tail{most: 30}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer close(lines)
		d.readBuildLog(logs, j, func(l string) {
			last.add(l)
			select {
			case lines <- l:
			case <-logs.Done():
			}
		})
	}()
	_, err := d.s.follow(ctx, d.c, j.ID, lines, d.buildLog)
	if err != nil && ctx.Err() == nil {
		go func() { // the last lines may still be on their way; nobody shows them as they come
			for range lines { //nolint:revive // drained
			}
		}()
		select {
		case <-ended:
		case <-time.After(2 * time.Second):
		}
	}
	cancel()
	<-ended
	var je *jobError
	if errors.As(err, &je) && je.job.Error != nil && je.job.Error.Step == "build" && !d.buildLog {
		for _, l := range last.lines {
			fmt.Fprintln(d.s.Stderr, "  | "+clean(l))
		}
	}
	return err
}

// readBuildLog reads the build's lines until it ends. A log that cannot be read is no reason to fail: the operation says
// itself how it ends.
func (d *deploy) readBuildLog(ctx context.Context, j *jobView, each func(string)) {
	in := map[string]any{"follow": true, "job": j.ID}
	_ = d.c.Lines(ctx, client.Request{Method: "POST", Path: d.path(j.Resource) + "/actions/build-log", In: in}, func(line []byte) error {
		var l logLine
		if json.Unmarshal(line, &l) == nil && l.Text != nil {
			each(strings.TrimRight(*l.Text, "\n"))
		}
		return ctx.Err()
	})
}

// tail keeps the last lines.
type tail struct {
	most  int
	lines []string
}

func (t *tail) add(l string) {
	t.lines = append(t.lines, l)
	if len(t.lines) > t.most {
		t.lines = t.lines[1:]
	}
}

// done prints the result: the address alone, or a document.
func (d *deploy) done(row json.RawMessage) error {
	doc, err := decode(row)
	if err != nil {
		return err
	}
	address, seconds := text(at(doc, "status.url")), time.Since(d.began).Seconds()
	if d.ch.output == "table" {
		if err := d.s.sayGray(row); err != nil {
			return err
		}
		_, err := fmt.Fprintln(d.s.Stdout, clean(address))
		return err
	}
	b, err := json.Marshal(struct {
		Name    string  `json:"name"`
		ID      string  `json:"id"`
		URL     string  `json:"url"`
		Release any     `json:"release"`
		Image   string  `json:"image"`
		Seconds float64 `json:"seconds"`
	}{text(doc["name"]), text(doc["id"]), address, at(doc, "status.release"), text(at(doc, "status.image")), float64(int(seconds*1000)) / 1000})
	if err != nil {
		return fail.Wrap(err, fail.Internal, "the result cannot be written")
	}
	return d.s.document(d.ch.output, b)
}

func bytesOf(n int64) string {
	switch {
	case n < 1<<10:
		return fmt.Sprintf("%d B", n)
	case n < 1<<20:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
}

// nameOf makes an app's name from a folder's.
func nameOf(dir string) string {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return ""
	}
	var b strings.Builder
	for _, r := range strings.ToLower(filepath.Base(abs)) {
		switch {
		case r >= 'a' && r <= 'z' || r >= '0' && r <= '9' && b.Len() > 0:
			b.WriteRune(r)
		case b.Len() > 0 && !strings.HasSuffix(b.String(), "-"):
			b.WriteByte('-')
		}
	}
	name := b.String()
	return strings.Trim(name[:min(len(name), 63)], "-")
}
