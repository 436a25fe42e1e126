// Package apps tests the app and the config service together, through the one door, on simulated containers.
package apps_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/awancloud/awan/internal/engine/workload/sim"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/job"
	"github.com/awancloud/awan/internal/kernel/kerneltest"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/secret"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/kernel/store/mem"
	"github.com/awancloud/awan/internal/service/app"
	"github.com/awancloud/awan/internal/service/build"
	"github.com/awancloud/awan/internal/service/config"
	"github.com/awancloud/awan/internal/service/workload"
)

// world is the config and the app service on simulated containers, with a clock that tests set.
type world struct {
	t      *testing.T
	store  store.Store
	engine *sim.Engine
	ident  *ident.Service
	conf   *config.Service
	app    *app.Service
	door   *call.Door
	root   ident.Principal
	mu     sync.Mutex
	ahead  time.Duration
}

type m = map[string]any

func (w *world) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Now().Add(w.ahead)
}

func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ahead += d
}

// Unseal, Wake and Do make it the app service's host.
func (w *world) Unseal(m *kind.Meta, part, path, sealed string) (string, error) {
	return w.door.Unseal(m, part, path, sealed)
}

func (w *world) Wake(name string) {
	if w.door != nil {
		w.door.Wake(name)
	}
}

func (w *world) Do(ctx context.Context, c *call.Call) (call.Reply, error) { return w.door.Do(ctx, c) }

// Act calls an action in the cloud's own name.
func (w *world) Act(ctx context.Context, m *kind.Meta, verb string, in any) error {
	return w.door.Act(ctx, m, verb, in)
}

type images struct{}

func (images) Build(context.Context, build.Request, build.Progress) (build.Output, error) {
	return build.Output{}, fail.New(fail.Unsupported, "no builds here")
}

func (images) Resolve(_ context.Context, _ id.ID, image string) (string, error) {
	return image + "@sha256:0", nil
}

func open(t *testing.T) *world {
	w := &world{t: t, store: mem.New(), engine: sim.New(sim.Options{})}
	t.Cleanup(func() { _ = w.engine.Close() })
	sealer, err := secret.OpenSealer(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	w.ident = ident.New(w.store, secret.NewPasswords(kerneltest.Cheap), sealer, w.now)
	admin, err := w.ident.Bootstrap(t.Context(), "awan", "awan-1")
	if err != nil {
		t.Fatal(err)
	}
	w.root = ident.Principal{User: admin.UserID, UserName: "admin", Domain: admin.DomainID, DomainName: "awan", Project: admin.ProjectID, Method: ident.ByPassword}
	w.start()
	t.Cleanup(w.stop)
	return w
}

func (w *world) start() {
	log := slog.New(slog.DiscardHandler)
	w.conf = config.New(config.Deps{Store: w.store, Now: w.now, Unseal: w.Unseal, Changed: func() { w.app.ConfigChanged() },
		UsedBy: func(tx store.Tx, p id.ID, what string) (string, error) { return w.app.UsedBy(tx, p, what) }})
	w.app = app.New(app.Deps{Store: w.store, Engine: w.engine, Builder: images{}, Host: w, Config: w.conf, Dir: w.t.TempDir(), Now: w.now, Log: log,
		URL:    func(a netip.Addr, name, _ string) (string, string) { return "https://" + a.String(), name + ".test" },
		Listen: func(netip.Addr) error { return nil }})
	w.door = call.NewDoor(call.Options{Store: w.store, Ident: w.ident, Kinds: slices.Concat(w.app.Kinds(), w.conf.Kinds(), w.ident.Kinds.All()), Region: "awan-1", Now: w.now, Log: log})
	if err := w.app.Start(context.Background()); err != nil {
		w.t.Fatal(err)
	}
	if err := w.door.Start(context.Background()); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) stop() {
	w.door.Close()
	w.app.Close()
}

// send sends a call and waits for its job.
func (w *world) send(k *kind.Def, verb, target string, body any) (call.Reply, error) {
	c := &call.Call{Kind: k, Verb: verb, Target: target, Principal: w.root}
	b, err := json.Marshal(body)
	if err != nil {
		w.t.Fatal(err)
	}
	switch verb {
	case call.Create:
		c.Name, c.Target, c.Spec = &target, "", b
	case call.Update:
		c.Spec = b
	default:
		if body != nil {
			c.In = b
		}
	}
	var out []string
	c.Stream.Emit = func(v any) error {
		b, err := json.Marshal(v)
		out = append(out, string(b))
		return err
	}
	var r call.Reply
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if r, err = w.door.Do(w.t.Context(), c); !fail.Is(err, fail.Conflict) || time.Now().After(end) {
			break // busy with what an earlier change rolls out: as a client does, try again
		}
	}
	if err != nil {
		return r, err
	}
	if len(out) > 0 {
		w.mu.Lock()
		defer w.mu.Unlock()
		streamed = out
	}
	if r.Job != nil {
		j, err := w.door.WaitJob(w.t.Context(), r.Job.ID)
		if err != nil {
			return r, err
		}
		if j.State != job.Succeeded {
			return r, fmt.Errorf("job failed: %+v", j.Error)
		}
	}
	return r, nil
}

var streamed []string // what the newest streaming call emitted; these tests run one after the other

func (w *world) must(k *kind.Def, verb, target string, body any) call.Reply {
	w.t.Helper()
	r, err := w.send(k, verb, target, body)
	if err != nil {
		w.t.Fatalf("%s %s %s: %v", verb, k.Name, target, err)
	}
	return r
}

// refuse checks that a call fails with words of the message.
func (w *world) refuse(k *kind.Def, verb, target string, body any, words string) {
	w.t.Helper()
	_, err := w.send(k, verb, target, body)
	if err == nil || !strings.Contains(fail.From(err).Field+": "+fail.From(err).Message+" "+fail.From(err).Next, words) {
		w.t.Errorf("%s %s %s %v: error %v, want one with %q", verb, k.Name, target, body, err, words)
	}
}

// text is the text that a streaming action answers.
func (w *world) text(k *kind.Def, verb, target string, body any) string {
	w.t.Helper()
	streamed = nil
	w.must(k, verb, target, body)
	var all []string
	for _, l := range streamed {
		var out struct{ Text string }
		_ = json.Unmarshal([]byte(l), &out)
		all = append(all, out.Text)
	}
	return strings.Join(all, "\n")
}

func (w *world) until(what string, ok func() bool) {
	w.t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if ok() {
			return
		}
	}
	w.t.Fatalf("never came: %s", what)
}

func (w *world) component() (row *kind.Row[app.ComponentSpec, app.ComponentStatus]) {
	w.t.Helper()
	err := w.store.View(context.Background(), func(tx store.Tx) (err error) {
		row, err = w.app.Component.Find(tx, string(w.root.Project), "web")
		return err
	})
	if err != nil || row == nil {
		w.t.Fatal("no component", err)
	}
	return row
}

// wants is what the component's only instance was asked to be.
func (w *world) wants() workload.Want {
	w.t.Helper()
	row := w.component()
	if len(row.Status.Instances) != 1 {
		w.t.Fatalf("%d instances", len(row.Status.Instances))
	}
	want, err := w.engine.Want(row.Status.Instances[0].ID)
	if err != nil {
		w.t.Fatal(err)
	}
	return want
}

func (w *world) file(path string) string {
	for _, f := range w.wants().Files {
		if f.Path == path {
			return string(f.Content)
		}
	}
	return "(none)"
}

// settled waits until the component has this release and nothing goes on.
func (w *world) settled(release int) {
	w.t.Helper()
	w.until(fmt.Sprintf("release %d", release), func() bool {
		row := w.component()
		return row.Status.Release == release && row.Job == "" && len(row.Status.Instances) == 1
	})
}

// deploy makes the component web with mounts.
func (w *world) deploy(spec m) {
	w.t.Helper()
	all := m{"source": m{"image": "library/a:1"}, "probe": m{"type": "none"}}
	for k, v := range spec {
		all[k] = v
	}
	w.must(w.app.Component.D, call.Create, "web", all)
}
