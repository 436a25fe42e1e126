package cli_test

import (
	"bytes"
	"context"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/awancloud/awan/internal/adminenv"
	"github.com/awancloud/awan/internal/cli"
	"github.com/awancloud/awan/internal/dialect/auth"
	"github.com/awancloud/awan/internal/dialect/native"
	"github.com/awancloud/awan/internal/kernel/duplex"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/job"
	"github.com/awancloud/awan/internal/kernel/kerneltest"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/ledger"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/bucket"
)

// cloud is a real kernel behind the native API, and a data folder that says where it is.
type cloud struct {
	t    *testing.T
	k    *kerneltest.Kernel
	url  string
	pem  string
	data string
	home string
	env  map[string]string
	in   string
	desc []kind.Desc
	drop atomic.Int32 // requests for a job that are cut off, as by a restart
	seen func(stdout string)
	lose atomic.Int32 // parts of uploads after which the connection is lost
	kept atomic.Int64 // parts that arrived
}

func start(t *testing.T) *cloud {
	t.Helper()
	buckets := bucket.New(bucket.Deps{})
	defs := append(buckets.Kinds(), boxes(), components())
	limits := func(d ledger.Dim) (int64, bool) { return 20, d == "test.size" }
	c := &cloud{t: t, k: kerneltest.Start(t, limits, defs...), data: t.TempDir(), home: t.TempDir()}
	api := native.New(c.k.Door, &auth.Authenticator{Ident: c.k.Ident, Now: time.Now}, "1.2.3")
	api.Domain = "awan.localhost"
	objects := c.objectStore(buckets)
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/s3/") {
			objects.ServeHTTP(w, r)
			return
		}
		w.Header().Set("X-Request-Id", "req-1")
		if strings.Contains(r.URL.Path, "/jobs/") && c.drop.Add(-1) >= 0 {
			panic(http.ErrAbortHandler)
		}
		api.ServeHTTP(w, r)
	}))
	srv.EnableHTTP2 = true
	srv.StartTLS()
	t.Cleanup(srv.Close)
	c.url = srv.URL
	c.pem = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}))
	api.CA = func() []byte { return []byte(c.pem) }
	c.write("ca.pem", c.pem)
	c.write("listen", strings.TrimPrefix(srv.URL, "https://")+"\n")
	a := c.k.Admin
	if err := adminenv.Write(filepath.Join(c.data, adminenv.File), map[string]string{adminenv.URL: "https://127.0.0.1:1", adminenv.CA: filepath.Join(c.data, "ca.pem"),
		adminenv.User: a.User, adminenv.Password: a.Password, adminenv.Domain: a.Domain, adminenv.Project: a.Project,
		adminenv.AccessKey: a.AccessKey, adminenv.SecretKey: a.SecretKey}); err != nil {
		t.Fatal(err)
	}
	for _, d := range append(c.k.Ident.Kinds.All(), defs...) {
		c.desc = append(c.desc, d.Desc)
	}
	return c
}

func (c *cloud) write(name, text string) string {
	path := filepath.Join(c.data, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		c.t.Fatal(err)
	}
	return path
}

// bare runs awan without --data; what it finds is in c.env and c.home.
func (c *cloud) bare(args ...string) (stdout, stderr string, code int) {
	return c.within(c.t.Context(), args...)
}

func (c *cloud) within(ctx context.Context, args ...string) (stdout, stderr string, code int) {
	var errs lockedBuffer
	out := lockedBuffer{seen: c.seen}
	code = cli.Run(ctx, cli.Options{Kinds: c.desc, Version: "1.2.3", Stdin: strings.NewReader(c.in), Stdout: &out, Stderr: &errs,
		Env: func(name string) string {
			if name == "HOME" {
				return c.home
			}
			return c.env[name]
		}}, args)
	return out.String(), errs.String(), code
}

// awan runs awan against the cloud's data folder.
func (c *cloud) awan(args ...string) (stdout, stderr string, code int) {
	return c.bare(append([]string{"--data", c.data}, args...)...)
}

// ok runs awan and expects it to do well; it gives standard output.
func (c *cloud) ok(args ...string) string {
	c.t.Helper()
	out, errs, code := c.awan(args...)
	if code != 0 {
		c.t.Fatalf("awan %s: exit %d\n%s%s", strings.Join(args, " "), code, out, errs)
	}
	return out
}

// lockedBuffer may be written to by more than one goroutine.
type lockedBuffer struct {
	mu   sync.Mutex
	b    bytes.Buffer
	seen func(string)
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.seen != nil {
		l.seen(string(p))
	}
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

type boxSpec struct {
	Size  int64             `json:"size" doc:"how big" unit:"litres" min:"1" max:"100" default:"5"`
	Color string            `json:"color" doc:"paint" enum:"red,blue" default:"red"`
	Shape string            `json:"shape" doc:"form" immutable:"true"`
	Token string            `json:"token" doc:"opens it" secret:"true"`
	Notes map[string]string `json:"notes" doc:"remarks"`
	Holes []int             `json:"holes" doc:"where they are"`
	Lid   boxLid            `json:"lid" doc:"what closes it"`
}

type boxLid struct {
	Locked  bool      `json:"locked" doc:"needs the token"`
	SlamsIn kind.Span `json:"slams_in" doc:"closes by itself after this" default:"30s"`
}

type boxStatus struct {
	Steps []string `json:"steps" doc:"what was done"`
}

type boxRow = kind.Row[boxSpec, boxStatus]

func boxes() *kind.Def {
	step := func(name string) job.Step[boxRow] {
		return job.Step[boxRow]{Name: name, Do: func(_ context.Context, r *boxRow) error {
			r.Status.Steps = append(r.Status.Steps, name)
			if r.Spec.Shape == name {
				return fail.New(fail.NoSpace, "no room to %s", name).Then("make room")
			}
			return nil
		}}
	}
	return kind.Kind[boxSpec, boxStatus]{Service: "test", Name: "box", Plural: "boxes", Scope: kind.InProject, Doc: "A box that things are kept in.",
		Example: boxSpec{Size: 7, Color: "blue", Notes: map[string]string{"for": "old shoes"}, Lid: boxLid{Locked: true}},
		Columns: []string{"spec.size", "spec.color"}, Retention: 48 * time.Hour,
		Index:  map[string]func(*boxRow) []string{"color": func(r *boxRow) []string { return []string{r.Spec.Color} }},
		Quota:  map[ledger.Dim]func(boxSpec) int64{"test.size": func(s boxSpec) int64 { return s.Size }},
		Create: job.Flow[boxRow]{step("cut"), step("glue")}, Update: job.Flow[boxRow]{step("paint")}, Delete: job.Flow[boxRow]{step("burn")},
		Actions: []kind.Action[boxSpec, boxStatus]{
			{Verb: "grow", Doc: "make it bigger", Level: kind.Write, In: struct {
				By int64 `json:"by" doc:"how much" min:"1" required:"true"`
			}{}, Change: func(_ context.Context, _ store.Tx, r *boxRow, in any) (string, error) {
				r.Spec.Size += in.(*struct {
					By int64 `json:"by" doc:"how much" min:"1" required:"true"`
				}).By
				return "update", nil
			}},
			{Verb: "shake", Doc: "hear what is in it", Level: kind.Read, Serve: func(_ context.Context, r *boxRow, _ any, s kind.Stream) error {
				for i := range 3 {
					if err := s.Emit(map[string]any{"knock": i, "box": r.Name}); err != nil {
						return err
					}
				}
				return fail.New(fail.RateLimited, "it fell down").Then("pick it up")
			}},
		}}.Def()
}

type componentSpec struct {
	Source struct {
		Digest string `json:"digest" doc:"digest of an uploaded folder"`
		Image  string `json:"image" doc:"or an image"`
	} `json:"source" doc:"what it is made from"`
	Replicas int               `json:"replicas" doc:"instances" default:"1"`
	Env      map[string]string `json:"env" doc:"environment variables"`
	Secrets  map[string]string `json:"secrets" doc:"hidden environment variables" secret:"true"`
	Probe    struct {
		Path string `json:"path" doc:"what to ask for" default:"/"`
	} `json:"probe" doc:"how to find out whether it can serve"`
	Stopped bool `json:"stopped" doc:"keeps no instance running"`
}

type componentStatus struct {
	URL     string `json:"url" doc:"where it answers"`
	Image   string `json:"image" doc:"what runs"`
	Release int    `json:"release" doc:"number of the live release"`
	Ready   int    `json:"ready" doc:"instances that can serve"`
}

type componentRow = kind.Row[componentSpec, componentStatus]

type execIn struct {
	Command  []string `json:"command" doc:"what to run"`
	TTY      bool     `json:"tty" doc:"with a terminal"`
	Rows     int      `json:"rows" doc:"its height"`
	Cols     int      `json:"cols" doc:"its width"`
	Instance string   `json:"instance" doc:"where"`
}

type buildLogIn struct {
	Follow bool   `json:"follow" doc:"go on"`
	Job    string `json:"job" doc:"which one"`
}

type logsIn struct {
	Follow   bool   `json:"follow" doc:"go on"`
	Tail     int    `json:"tail" doc:"last lines"`
	Since    string `json:"since" doc:"from then on"`
	Match    string `json:"match" doc:"holding this"`
	Instance string `json:"instance" doc:"of this one"`
}

type scaleIn struct {
	Replicas int `json:"replicas" doc:"how many"`
}

type exportIn struct {
	Break bool `json:"break" doc:"break off"`
}

// everyByte is a content that reading it by lines, or as text, would harm.
var everyByte = func() []byte {
	b := []byte("  \r\n\n \x00")
	for i := range 100_000 {
		b = append(b, byte(i), byte(i>>8))
	}
	return append(b, "\n\r\n "...)
}()

type rollbackIn struct {
	Release int `json:"release" doc:"number"`
}

// components stands in for the app service: the same routes and shapes, but nothing is built or run.
func components() *kind.Def {
	run := job.Flow[componentRow]{
		{Name: "build", Do: func(_ context.Context, r *componentRow) error {
			if r.Spec.Env["BREAK"] != "" {
				return fail.New(fail.Invalid, "RUN make ended with exit code 2").Then("see the log, mend it and deploy again")
			}
			r.Status.Image = "awan-1/" + r.Name + "@" + r.Spec.Source.Digest + r.Spec.Source.Image
			return nil
		}},
		{Name: "start", Do: func(_ context.Context, r *componentRow) error {
			r.Status.Release++
			r.Status.Ready, r.Status.URL = r.Spec.Replicas, "https://"+r.Name+".test"
			return nil
		}},
	}
	line := func(s kind.Stream, text string) error {
		return s.Emit(map[string]string{"at": "2026-01-02T03:04:05Z", "instance": "0123456789abcdef", "stream": "stdout", "step": "RUN make", "text": text})
	}
	return kind.Kind[componentSpec, componentStatus]{Service: "app", Name: "component", Scope: kind.InProject, NoRename: true, Doc: "An app.",
		Create: run, Update: run,
		Actions: []kind.Action[componentSpec, componentStatus]{
			{Verb: "upload", Doc: "take a folder", Level: kind.Write, Collection: true, Serve: func(_ context.Context, _ *componentRow, _ any, s kind.Stream) error {
				b, err := io.ReadAll(s.Body)
				if err != nil {
					return err
				}
				return s.Emit(map[string]any{"digest": fmt.Sprintf("sha256:%064x", len(b)), "size": len(b), "files": 1})
			}},
			{Verb: "build-log", Doc: "what the build printed", Level: kind.Read, In: buildLogIn{}, Serve: func(_ context.Context, r *componentRow, _ any, s kind.Stream) error {
				for i := range 40 {
					if err := line(s, fmt.Sprintf("build line %d", i)); err != nil {
						return err
					}
				}
				return nil
			}},
			{Verb: "export", Doc: "its content", Level: kind.Read, In: exportIn{}, Serve: func(_ context.Context, r *componentRow, in any, s kind.Stream) error {
				w, err := s.Raw("application/octet-stream")
				if err == nil {
					_, err = w.Write(everyByte)
				}
				if err == nil && in.(*exportIn).Break {
					err = fail.New(fail.Internal, "the disk broke")
				}
				return err
			}},
			{Verb: "logs", Doc: "what it prints", Level: kind.Read, In: logsIn{}, Serve: func(_ context.Context, r *componentRow, in any, s kind.Stream) error {
				l := in.(*logsIn)
				return line(s, fmt.Sprintf("tail %d since %q match %q follow %v", l.Tail, l.Since, l.Match, l.Follow))
			}},
			{Verb: "scale", Doc: "how many", Level: kind.Write, In: scaleIn{}, Change: func(_ context.Context, _ store.Tx, r *componentRow, in any) (string, error) {
				r.Spec.Replicas = in.(*scaleIn).Replicas
				return "update", nil
			}},
			{Verb: "rollback", Doc: "go back", Level: kind.Write, In: rollbackIn{}, Change: func(_ context.Context, _ store.Tx, r *componentRow, in any) (string, error) {
				r.Status.Release = 100 + in.(*rollbackIn).Release
				return "update", nil
			}},
			{Verb: "stop", Doc: "stop it", Level: kind.Write, Change: func(_ context.Context, _ store.Tx, r *componentRow, _ any) (string, error) {
				r.Spec.Stopped = true
				return "update", nil
			}},
			{Verb: "exec", Doc: "run a command in it", Level: kind.Write, In: execIn{}, Serve: echo},
		}}.Def()
}

// echo answers exec: it prints the command and what comes in, and ends with the code that its first word names.
func echo(_ context.Context, _ *componentRow, in any, s kind.Stream) error {
	rw, err := s.Duplex()
	if err != nil {
		return err
	}
	c := duplex.NewConn(rw)
	defer c.Close()
	command := in.(*execIn).Command
	if err := c.WriteFrame(duplex.Stderr, []byte(strings.Join(command, " ")+"\n")); err != nil {
		return err
	}
	for {
		typ, p, err := c.ReadFrame()
		if err != nil {
			return err
		}
		if typ == duplex.StdinEOF {
			break
		}
		if err := c.WriteFrame(duplex.Stdout, bytes.ToUpper(p)); err != nil {
			return err
		}
	}
	return c.WriteFrame(duplex.Exit, fmt.Appendf(nil, `{"code":%d}`, len(command)-1))
}
