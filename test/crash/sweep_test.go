// Package crash kills the cloud at every moment of what it does and checks that the next start finds nothing lost,
// nothing left over and every count right.
package crash

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/awancloud/awan/internal/engine/workload/sim"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/fault"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/job"
	"github.com/awancloud/awan/internal/kernel/kerneltest"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/ledger"
	"github.com/awancloud/awan/internal/kernel/secret"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/kernel/store/mem"
	"github.com/awancloud/awan/internal/service/app"
	"github.com/awancloud/awan/internal/service/build"
	"github.com/awancloud/awan/internal/service/config"
)

// world is what outlives the process: the stored rows, the containers, the keys.
type world struct {
	t      testing.TB
	store  store.Store
	engine *sim.Engine
	plan   *fault.Plan // of the present incarnation
	sealer *secret.Sealer
	dir    string
	admin  *ident.Admin

	watched *watched // with alarms and scaling policies; nil: without
}

// incarnation is one life of the process.
type incarnation struct {
	w     *world
	store store.Store
	app   *app.Service

	config *config.Service
	watch  *watch // nil: there are no alarms and policies
	door   *call.Door
	root   ident.Principal
}

// images finds any image.
type images struct{}

// Build is not used: sources are images here.
func (images) Build(context.Context, build.Request, build.Progress) (build.Output, error) {
	return build.Output{}, fail.New(fail.Unsupported, "no builds here")
}

// Resolve gives every image one digest.
func (images) Resolve(_ context.Context, _ id.ID, image string) (string, error) {
	return image + "@sha256:0", nil
}

type lateHost struct{ door *call.Door }

func (h *lateHost) Unseal(m *kind.Meta, part, path, sealed string) (string, error) {
	return h.door.Unseal(m, part, path, sealed)
}

func (h *lateHost) Do(ctx context.Context, c *call.Call) (call.Reply, error) {
	return h.door.Do(ctx, c)
}

func (h *lateHost) Wake(name string) {
	if h.door != nil {
		h.door.Wake(name)
	}
}

func (h *lateHost) Act(ctx context.Context, row *kind.Meta, verb string, in any) error {
	return h.door.Act(ctx, row, verb, in)
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{t: t, store: mem.New(), plan: fault.Never(), dir: t.TempDir()}
	hook := func(when string) func(context.Context, sim.Call) error {
		return func(_ context.Context, c sim.Call) error {
			if c.Method == "Observe" || c.Method == "Logs" {
				return w.plan.Live()
			}
			return w.plan.Call(when+" "+c.Method, func() error { return nil })
		}
	}
	w.engine = sim.New(sim.Options{Before: hook("before"), After: hook("after")})
	t.Cleanup(func() { _ = w.engine.Close() })
	var err error
	if w.sealer, err = secret.OpenSealer(w.dir); err != nil {
		t.Fatal(err)
	}
	if w.admin, err = w.ident(w.store).Bootstrap(t.Context(), "awan", "awan-1"); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) ident(s store.Store) *ident.Service {
	return ident.New(s, secret.NewPasswords(kerneltest.Cheap), w.sealer, time.Now)
}

// live starts an incarnation under a plan.
func (w *world) live(plan *fault.Plan) *incarnation {
	w.t.Helper()
	w.plan = plan
	in := &incarnation{w: w, store: fault.Store(w.store, plan)}
	log := slog.New(slog.DiscardHandler)
	identity := w.ident(in.store)
	host := &lateHost{}
	in.config = config.New(config.Deps{Store: in.store, Now: time.Now, Unseal: host.Unseal, Changed: func() { in.app.ConfigChanged() },
		UsedBy: func(tx store.Tx, project id.ID, what string) (string, error) { return in.app.UsedBy(tx, project, what) }})
	in.app = app.New(app.Deps{Store: in.store, Engine: w.engine, Builder: images{}, Host: host, Config: in.config, Dir: w.dir, Now: time.Now, Log: log,
		URL:    func(a netip.Addr, name, _ string) (string, string) { return "https://" + a.String(), name + ".test" },
		Listen: func(netip.Addr) error { return nil }})
	if w.watched != nil {
		in.watch = w.watched.open(in, host, log)
	}
	in.door = call.NewDoor(call.Options{Store: in.store, Ident: identity, Kinds: slices.Concat(in.app.Kinds(), in.config.Kinds(), in.watch.kinds(), identity.Kinds.All()), Region: "awan-1", Now: time.Now, Log: log})
	host.door = in.door
	in.root = ident.Principal{User: w.admin.UserID, UserName: "admin", Domain: w.admin.DomainID, DomainName: "awan", Project: w.admin.ProjectID, Method: ident.ByPassword}
	if err := in.app.Start(context.Background()); err != nil && plan.Live() == nil {
		w.t.Fatal(err)
	}
	if err := in.door.Start(context.Background()); err != nil && plan.Live() == nil {
		w.t.Fatal(err)
	}
	in.watch.start()
	return in
}

func (in *incarnation) close() {
	in.watch.close()
	in.door.Close()
	in.app.Close()
}

// do sends a call and waits for its job; acknowledged is false when no answer came.
func (in *incarnation) do(verb, target string, spec any, action any) (acknowledged bool, err error) {
	return in.doTo(in.app.Component.D, verb, target, spec, action)
}

func (in *incarnation) doTo(k *kind.Def, verb, target string, spec any, action any) (acknowledged bool, err error) {
	c := &call.Call{Kind: k, Verb: verb, Target: target, Principal: in.root}
	if verb == purge {
		c.Verb, c.Purge = call.Delete, true
	}
	if verb == call.Create {
		c.Name, c.Target = &target, ""
	}
	if spec != nil {
		c.Spec, _ = json.Marshal(spec)
	}
	if action != nil {
		c.In, _ = json.Marshal(action)
	}
	r, err := in.door.Do(context.Background(), c)
	if err != nil {
		return false, err
	}
	if r.Job != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		go func() {
			select {
			case <-in.w.plan.Died():
				cancel()
			case <-ctx.Done():
			}
		}()
		j, err := in.door.WaitJob(ctx, r.Job.ID)
		if err != nil {
			return true, err
		}
		if j.State != job.Succeeded {
			return true, fmt.Errorf("job %+v", j.Error)
		}
	}
	return true, nil
}

type m = map[string]any

// flow is one line of a story.
type flow struct {
	name, verb string
	spec       any
	action     any
}

// story is what the dying incarnation does; each line is one flow.
var story = []flow{
	{"create", call.Create, m{"source": m{"image": "library/a:1"}, "replicas": 2, "secrets": m{"KEY": "hush"}, "probe": m{"type": "none"},
		"mounts": []m{{"config": "settings"}, {"secret": "db"}}}, nil},
	{"change of a config", changeConfig, nil, nil},
	{"rotation of a secret", rotateSecret, nil, nil},
	{"task", runTask, nil, nil},
	{"update", call.Update, m{"env": m{"COLOR": "red"}}, nil},
	{"scale", "scale", nil, m{"replicas": 3}},
	{"scale to none", "scale", nil, m{"replicas": 0}},
	{"scale back", "scale", nil, m{"replicas": 2}},
	{"stop", "stop", nil, nil},
	{"start", "start", nil, nil},
	{"rollback", "rollback", nil, m{"release": 1}},
	{"delete", call.Delete, nil, nil},
	{"restore", call.Restore, nil, nil},
	{"purge", purge, nil, nil},
}

// grayStory is the life of gray releases.
var grayStory = []flow{
	{"create", call.Create, m{"source": m{"image": "library/a:1"}, "probe": m{"type": "none"}}, nil},
	{"gray", call.Update, m{"strategy": "gray", "gray": m{"weight": 10}, "env": m{"COLOR": "blue"}}, nil},
	{"gray, half", "gray-continue", nil, m{"weight": 50}},
	{"gray, taken back", "gray-rollback", nil, m{}},
	{"gray again, after a hook", call.Update, m{"env": m{"COLOR": "green"}, "hooks": m{"before": m{"command": []string{"sim", "exit:0"}}}}, nil},
	{"gray, all", "gray-continue", nil, m{}},
	{"purge", purge, nil, nil},
}

// purge is a delete without the trash.
const purge = "purge"

func TestDieAtEveryMoment(t *testing.T) { sweep(t, story, 2, nil) }

// TestDieAtEveryMomentOfAGrayRelease begins, changes, continues and takes back.
func TestDieAtEveryMomentOfAGrayRelease(t *testing.T) { sweep(t, grayStory, 1, nil) }

// sweep tells a story once for every moment it has, and dies there. Of its rounds, short tests live the first few.
func sweep(t *testing.T, story []flow, short int, with *watched) {
	const width = 96 // lives that are lived side by side: they mostly wait
	for from := 1; ; from += width {
		beyond := false
		fired := make([]bool, width)
		var lives sync.WaitGroup // not t.Parallel, which would run as many as there are cores
		for i := range width {
			lives.Go(func() {
				t.Run(fmt.Sprint(from+i), func(t *testing.T) { fired[i] = dieAt(t, story, from+i, with) })
			})
		}
		lives.Wait()
		for _, f := range fired {
			beyond = beyond || !f
		}
		if beyond || t.Failed() {
			return
		}
		if testing.Short() && from > short*width {
			t.Log("short: the rest of the moments is not swept")
			return
		}
	}
}

func dieAt(t *testing.T, story []flow, n int, with *watched) (fired bool) {
	w := newWorld(t)
	w.watched = with
	plan := fault.At(n, fault.Die)
	in := w.live(plan)
	done, during := 0, ""
	if err := in.prologue(); err != nil && plan.Live() == nil {
		t.Fatal(err)
	}
	for _, s := range story {
		if plan.Live() != nil {
			during = "the prologue"
			break
		}
		_, err := in.tell(s.verb, s.spec, s.action)
		if plan.Live() != nil {
			during = s.name
			break
		}
		if err != nil {
			t.Fatalf("%s: %v", s.name, err)
		}
		done++
	}
	in.close()
	if !plan.Fired() {
		return false
	}
	what := fmt.Sprintf("died during %s, %s", during, plan.Moment())
	in = w.live(fault.Never())
	defer in.close()
	in.watch.settles(what)
	in.settles(what)
	in.check(what)
	if done >= 1 && done < len(story)-1 { // the create was acknowledged, the delete not asked for: it must be there
		if row := in.row(); row == nil {
			t.Errorf("%s: the component is lost", what)
		}
	}
	if in.row() != nil {
		if _, err := in.do(purge, "web", nil, nil); err != nil {
			t.Errorf("%s: cleaning up: %v", what, err)
		}
		in.settles(what)
		in.check(what + ", after the delete")
	}
	in.epilogue(what)
	for i := range w.engine.List(t.Context()) {
		t.Errorf("%s: instance %s is left after the delete", what, i)
	}
	return true
}

func (in *incarnation) row() *kind.Row[app.ComponentSpec, app.ComponentStatus] {
	var row *kind.Row[app.ComponentSpec, app.ComponentStatus]
	_ = in.store.View(context.Background(), func(tx store.Tx) (err error) {
		row, err = in.app.Component.Find(tx, string(in.w.admin.ProjectID), "web")
		return err
	})
	return row
}

// settles waits until no job is left and what runs is what is written down.
func (in *incarnation) settles(what string) {
	in.w.t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	why := ""
	for time.Now().Before(deadline) {
		if why = in.unsettled(); why == "" {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	in.w.t.Fatalf("%s: does not settle: %s", what, why)
}

func (in *incarnation) unsettled() (why string) {
	_ = in.store.View(context.Background(), func(tx store.Tx) error {
		for k := range tx.Scan("jobdue/", "") {
			why = "job " + k
		}
		return nil
	})
	if why != "" {
		return why
	}
	known := map[id.ID]bool{}
	if row := in.row(); row != nil {
		for _, i := range row.Status.Instances {
			known[i.ID] = true
			if i.Phase != "ready" {
				why = fmt.Sprintf("instance %+v", i)
			}
		}
		want := row.Spec.Replicas
		if row.Spec.Stopped || !row.Made || row.State == kind.Trashed {
			want = 0
		}
		if g := row.Status.Gray; g != nil && want > 0 {
			want += g.Instances
		}
		if row.Status.Hook != nil {
			why = "hook " + row.Status.Hook.Name
		}
		if len(known) != want {
			why = fmt.Sprintf("%d instances, want %d", len(known), want)
		}
	}
	for _, task := range in.tasks() {
		for _, a := range task.Status.Attempts {
			known[a.Instance] = true
		}
		if !task.Status.Over() {
			why = "task " + task.Name + " is " + task.Status.Phase
		}
	}
	for i := range in.w.engine.List(context.Background()) {
		if !known[i] {
			why = "orphan " + string(i)
		}
		delete(known, i)
	}
	for i := range known {
		why = "missing " + string(i)
	}
	return why
}

// check compares every count with the rows it counts.
func (in *incarnation) check(what string) {
	in.w.t.Helper()
	err := in.store.View(context.Background(), func(tx store.Tx) error {
		rows, _, err := in.app.Component.D.List(tx, "", kind.Filter{})
		if err != nil {
			return err
		}
		if err := in.checkReleases(tx, what); err != nil {
			return err
		}
		if err := countsAreRight(in.w.t, tx, in.w.admin, slices.Concat(in.app.Kinds(), in.config.Kinds(), in.watch.kinds()), what); err != nil {
			return err
		}
		entries, _, err := ledger.Search(tx, ledger.Query{Domain: in.w.admin.DomainID, Action: "app:component:*", Limit: 1000})
		for _, e := range entries {
			if e.Outcome == ledger.Begun {
				in.w.t.Errorf("%s: audit entry %s of %s never ended", what, e.ID, e.Action)
			}
		}
		creates := 0
		for _, e := range entries {
			if e.Action == "app:component:create" {
				creates++
			}
		}
		if creates == 0 && len(rows) > 0 {
			in.w.t.Errorf("%s: no audit entry of the create", what)
		}
		return err
	})
	if err != nil {
		in.w.t.Errorf("%s: %v", what, err)
	}
}

// countsAreRight compares quotas and meters with the rows of kinds that they count.
func countsAreRight(t testing.TB, tx store.Tx, admin *ident.Admin, kinds []*kind.Def, what string) error {
	t.Helper()
	quota, meters := map[ledger.Dim]int64{}, map[string]int64{}
	for _, k := range kinds {
		all, _, err := k.List(tx, "", kind.Filter{})
		if err != nil {
			return err
		}
		for _, r := range all {
			for d, n := range k.QuotaOf(r) {
				if n != 0 {
					quota[d] += n
				}
			}
			for d, n := range k.MeterOf(r) {
				if n > 0 {
					meters[string(r.M().ID)+"/"+string(d)] = n
				}
			}
		}
	}
	used, err := ledger.Used(tx)
	if err != nil {
		return err
	}
	if got := used[admin.ProjectID]; fmt.Sprint(got) != fmt.Sprint(quota) && len(got)+len(quota) > 0 {
		t.Errorf("%s: quota %v, rows hold %v", what, got, quota)
	}
	open, err := ledger.Open(tx, admin.ProjectID)
	if err != nil {
		return err
	}
	for _, s := range open {
		if k := string(s.Row) + "/" + string(s.Dim); meters[k] != s.Amount {
			t.Errorf("%s: meter %s runs at %d, the row holds %d", what, k, s.Amount, meters[k])
		} else {
			delete(meters, k)
		}
	}
	if len(meters) > 0 {
		t.Errorf("%s: no meter for %v", what, meters)
	}
	return nil
}

// checkReleases compares what became of each release with what the component says runs: one is live, one is gray while a
// gray release is open, none is still rolling.
func (in *incarnation) checkReleases(tx store.Tx, what string) error {
	row := in.row()
	if row == nil || !row.Made || row.State != kind.Active {
		return nil
	}
	all, err := in.app.Release.List(tx, string(row.Project), kind.Filter{Index: "component", Value: string(row.ID)})
	for _, r := range all {
		want := r.Status.State
		switch {
		case r.ID == row.Status.ReleaseID:
			want = "live"
		case row.Status.Gray != nil && r.Spec.Number == row.Status.Gray.Release:
			want = "gray"
		case want == "live", want == "gray", want == "rolling":
			want = "over"
		}
		if r.Status.State != want {
			in.w.t.Errorf("%s: release %d is %s, it should be %s", what, r.Spec.Number, r.Status.State, want)
		}
	}
	return err
}
