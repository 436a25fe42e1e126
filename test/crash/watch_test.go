package crash

import (
	"context"
	"encoding/pem"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/alarm"
	"github.com/awancloud/awan/internal/service/metric"
	"github.com/awancloud/awan/internal/service/outward"
	"github.com/awancloud/awan/internal/service/scaling"
)

// Lines of the story that are about alarms and scaling policies.
const (
	makeAlarm  = "make an alarm"
	makePolicy = "make a scaling policy"
)

// watchedStory: an alarm fires and tells a channel, a policy starts a second instance, and both go with the component.
var watchedStory = []flow{
	{"create", call.Create, m{"source": m{"image": "library/a:1"}, "probe": m{"type": "none"}}, nil},
	{"alarm", makeAlarm, nil, nil},
	{"scaling policy", makePolicy, nil, nil},
	{"purge", purge, nil, nil},
}

// TestDieAtEveryMomentOfAnAlarmAndAPolicy: a notification is neither lost nor made twice, and what a policy wants runs.
func TestDieAtEveryMomentOfAnAlarmAndAPolicy(t *testing.T) {
	sweep(t, watchedStory, 1, openWatched(t))
}

// watched is what alarms and policies stand on, and what outlives every process: measurements, and the hook's server.
type watched struct {
	metrics *metric.Service
	hook    *httptest.Server

	mu  sync.Mutex
	got map[string][]string // by path, the messages that came
}

func openWatched(t *testing.T) *watched {
	t.Helper()
	w := &watched{got: map[string][]string{}}
	var err error
	if w.metrics, err = metric.Open(metric.Options{Dir: t.TempDir(), Every: 300 * time.Millisecond, Now: time.Now, Log: slog.New(slog.DiscardHandler)}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.metrics.Close() })
	w.hook = httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		w.mu.Lock()
		defer w.mu.Unlock()
		w.got[r.URL.Path] = append(w.got[r.URL.Path], string(b))
	}))
	t.Cleanup(w.hook.Close)
	return w
}

func (w *watched) came(path string) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.got[path])
}

// watch is the services of one life.
type watch struct {
	in     *incarnation
	with   *watched
	alarms *alarm.Service
	scale  *scaling.Service
}

func (w *watched) open(in *incarnation, host *lateHost, log *slog.Logger) *watch {
	roots := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: w.hook.Certificate().Raw})
	x := &watch{in: in, with: w,
		alarms: alarm.New(alarm.Deps{Store: in.store, Metrics: w.metrics, Host: host,
			Outward: outward.New(func(netip.AddrPort) bool { return true }, func() []byte { return roots }), Now: time.Now, Log: log}),
		scale: scaling.New(scaling.Deps{Store: in.store, Apps: in.app, Metrics: w.metrics, Door: func() *call.Door { return in.door }, Now: time.Now, Log: log})}
	in.app.Bounds = x.scale.Bounds
	return x
}

func (x *watch) kinds() []*kind.Def {
	if x == nil {
		return nil
	}
	return slices.Concat(x.alarms.Kinds(), x.scale.Kinds())
}

func (x *watch) start() {
	if x != nil {
		x.alarms.Start(context.Background())
		x.scale.Start(context.Background())
	}
}

func (x *watch) close() {
	if x != nil {
		x.scale.Close()
		x.alarms.Close()
	}
}

// path is where this world's notifications go.
func (x *watch) path() string { return "/" + x.in.w.t.Name() }

func (x *watch) makeAlarm() (bool, error) {
	in := x.in
	if ok, err := in.doTo(x.alarms.Channel.D, call.Create, "hook", m{"url": x.with.hook.URL + x.path()}, nil); err != nil {
		return ok, err
	}
	ok, err := in.doTo(x.alarms.Alarm.D, call.Create, "always", m{"query": "vector(1)", "for": "0s", "channels": []string{"hook"}}, nil)
	if err != nil {
		return ok, err
	}
	return ok, in.until("the alarm is told", x.told)
}

func (x *watch) makePolicy() (bool, error) {
	in := x.in
	ok, err := in.doTo(x.scale.Policy.D, call.Create, "two", m{"component": "web", "min": 2, "max": 3}, nil)
	if err != nil {
		return ok, err
	}
	return ok, in.until("two instances run", x.followed)
}

// told: there is one notification of the alarm, it was delivered, and nothing else came.
func (x *watch) told() (ok bool) {
	_ = x.in.store.View(context.Background(), func(tx store.Tx) error {
		all, err := x.alarms.Notification.List(tx, "", kind.Filter{})
		ok = err == nil && len(all) == 1 && all[0].Status.Delivery == "delivered" && len(x.with.came(x.path())) > 0
		return err
	})
	return ok
}

func (x *watch) followed() bool {
	row := x.in.row()
	return row != nil && row.Spec.Replicas == 2 && row.Job == "" && len(row.Status.Instances) == 2
}

// settles waits until what there is has had its effect, and checks that it had it once.
func (x *watch) settles(what string) {
	if x == nil {
		return
	}
	there := func(k *kind.Def, name string) (found bool) {
		_ = x.in.store.View(context.Background(), func(tx store.Tx) error {
			rows, _, err := k.List(tx, "", kind.Filter{Where: func(r kind.AnyRow) bool { return r.M().Name == name }})
			found = len(rows) > 0
			return err
		})
		return found
	}
	if there(x.alarms.Alarm.D, "always") {
		if err := x.in.until("the alarm is told", x.told); err != nil {
			x.in.w.t.Errorf("%s: %v", what, err)
		}
		messages := x.with.came(x.path())
		for _, one := range messages { // the same one may come again when the process died before it knew
			if one != messages[0] {
				x.in.w.t.Errorf("%s: two messages of one alarm: %s and %s", what, messages[0], one)
			}
		}
	}
	gone := func() bool { row := x.in.row(); return row == nil || row.State == kind.Deleting }
	if there(x.scale.Policy.D, "two") {
		if err := x.in.until("two instances run", func() bool { return gone() || x.followed() }); err != nil {
			x.in.w.t.Errorf("%s: %v", what, err)
		}
	}
}

// epilogue takes the alarm and its channel away; the policy goes by itself with its component.
func (x *watch) epilogue(what string) {
	if x == nil {
		return
	}
	t := x.in.w.t
	for _, r := range []struct {
		k    *kind.Def
		name string
	}{{x.alarms.Alarm.D, "always"}, {x.alarms.Channel.D, "hook"}} {
		if _, err := x.in.doTo(r.k, call.Delete, r.name, nil, nil); err != nil && !fail.Is(err, fail.NotFound) {
			t.Errorf("%s: deleting %s: %v", what, r.name, err)
		}
	}
	var left []id.ID
	err := x.in.until("the policy goes", func() bool {
		left = nil
		_ = x.in.store.View(context.Background(), func(tx store.Tx) error {
			rows, err := x.scale.Policy.List(tx, "", kind.Filter{})
			for _, r := range rows {
				left = append(left, r.ID)
			}
			return err
		})
		return len(left) == 0
	})
	if err != nil {
		t.Errorf("%s: %v: %v", what, err, left)
	}
}
