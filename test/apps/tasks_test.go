package apps_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/app"
)

func (w *world) tasks() (out []*kind.Row[app.TaskSpec, app.TaskStatus]) {
	w.t.Helper()
	err := w.store.View(context.Background(), func(tx store.Tx) (err error) {
		out, err = w.app.Task.List(tx, string(w.root.Project), kind.Filter{})
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return out
}

func (w *world) task(name string) app.TaskStatus {
	w.t.Helper()
	for _, t := range w.tasks() {
		if t.Name == name {
			return t.Status
		}
	}
	return app.TaskStatus{}
}

func (w *world) over(name string) app.TaskStatus {
	w.t.Helper()
	w.until("the end of "+name, func() bool { return w.task(name).Over() })
	return w.task(name)
}

func words(words ...string) []string { return append([]string{"sim"}, words...) }

func TestATaskRunsToItsEnd(t *testing.T) {
	w := open(t)
	k := w.app.Task.D
	w.must(w.conf.Secret.D, call.Create, "db", m{"values": m{"PASSWORD": "hush"}})
	w.deploy(m{"env": m{"COLOR": "red"}, "mounts": []m{{"secret": "db", "as": "variables"}}})

	w.must(k, call.Create, "good", m{"component": "web", "command": words("out:hello", "env:COLOR", "env:PASSWORD", "env:MORE", "exit:0"), "env": m{"MORE": "yes"}})
	if s := w.over("good"); s.Phase != app.TaskSucceeded || s.ExitCode != 0 || len(s.Attempts) != 1 || s.Started.IsZero() || s.Ended.IsZero() {
		t.Errorf("%+v", s)
	}
	if log := w.text(k, "logs", "good", m{"follow": true}); log != "hello\nCOLOR=red\nPASSWORD=hush\nMORE=yes" {
		t.Errorf("the log is %q", log)
	}
	w.must(k, call.Create, "bad", m{"component": "web", "command": words("out:try", "exit:3"), "retries": 1})
	w.until("the second attempt", func() bool { return len(w.task("bad").Attempts) == 2 })
	w.pass(time.Minute)
	if s := w.over("bad"); s.Phase != app.TaskFailed || s.ExitCode != 3 || len(s.Attempts) != 2 || !strings.Contains(s.Reason, "exit code 3") {
		t.Errorf("%+v", s)
	}
	if log := w.text(k, "logs", "bad", m{}); log != "try\ntry" {
		t.Errorf("the log of both attempts is %q", log)
	}
	w.must(k, call.Create, "slow", m{"component": "web", "command": words("forever"), "timeout": "10m"})
	w.until("it runs", func() bool { return w.task("slow").Phase == app.TaskRunning })
	w.pass(11 * time.Minute)
	if s := w.over("slow"); s.Phase != app.TaskFailed || !strings.Contains(s.Reason, "longer than 10m") {
		t.Errorf("%+v", s)
	}
	w.must(k, call.Create, "stopped", m{"component": "web", "command": words("forever")})
	w.until("it runs", func() bool { return w.task("stopped").Phase == app.TaskRunning })
	w.must(k, "stop", "stopped", nil)
	if s := w.over("stopped"); s.Phase != app.TaskStopped {
		t.Errorf("%+v", s)
	}
	w.refuse(k, "stop", "stopped", nil, "has ended already")
	w.refuse(k, call.Create, "x", m{"component": "nowhere"}, "there is no component")
	w.refuse(k, call.Create, "x", m{"component": "web", "memory": 8}, "16 MiB")
	w.refuse(k, call.Update, "good", m{"retries": 3}, "cannot change")
	instance := w.task("good").Attempts[0].Instance
	w.must(k, call.Delete, "good", nil)
	if _, err := w.engine.Observe(t.Context(), instance); err == nil {
		t.Error("the instance of a deleted task is left")
	}
	if row := w.component(); row.Status.Release != 1 || len(row.Status.Instances) != 1 {
		t.Errorf("tasks changed the component: %+v", row.Status)
	}
}

func TestARunningTaskIsAdopted(t *testing.T) {
	w := open(t)
	w.deploy(nil)
	w.must(w.app.Task.D, call.Create, "long", m{"component": "web", "command": words("out:once", "wait:300ms", "exit:5")})
	w.until("it runs", func() bool { return w.task("long").Phase == app.TaskRunning })
	w.stop()
	w.start()
	s := w.over("long")
	if s.ExitCode != 5 || len(s.Attempts) != 1 {
		t.Errorf("%+v", s)
	}
	if log := w.text(w.app.Task.D, "logs", "long", m{}); log != "once" {
		t.Errorf("it ran again: %q", log)
	}
}

func TestManyTasksWait(t *testing.T) {
	w := open(t)
	w.deploy(nil)
	for i := range 12 {
		w.must(w.app.Task.D, call.Create, fmt.Sprintf("t%d", i), m{"component": "web", "command": words("forever")})
	}
	count := func() (running, waiting int) {
		for _, x := range w.tasks() {
			switch x.Status.Phase {
			case app.TaskRunning:
				running++
			case app.TaskPending:
				if strings.Contains(x.Status.Reason, "waits") {
					waiting++
				}
			}
		}
		return
	}
	w.until("some wait", func() bool { _, n := count(); return n > 0 })
	for _, x := range w.tasks() {
		w.must(w.app.Task.D, call.Delete, x.Name, nil)
	}
}

func (w *world) schedule(spec m) {
	w.t.Helper()
	all := m{"component": "web", "cron": "0 3 * * *", "command": words("out:hello", "exit:0")}
	for k, v := range spec {
		all[k] = v
	}
	w.must(w.app.Schedule.D, call.Create, "nightly", all)
}

func (w *world) scheduled() (row *kind.Row[app.ScheduleSpec, app.ScheduleStatus]) {
	_ = w.store.View(context.Background(), func(tx store.Tx) (err error) {
		row, err = w.app.Schedule.Find(tx, string(w.root.Project), "nightly")
		return err
	})
	return row
}

// due lets time pass until the schedule has been looked at after its next time.
func (w *world) due(late time.Duration) {
	w.t.Helper()
	next := w.scheduled().Status.Next
	w.pass(next.Sub(w.now()) + late)
	w.door.Wake(w.app.Schedule.D.FullName())
	w.until("the next time", func() bool { return w.scheduled().Status.Next.After(next) })
}

func TestAScheduleStartsTasks(t *testing.T) {
	w := open(t)
	w.deploy(nil)
	w.schedule(m{"zone": "Europe/Berlin", "keep": 2})
	if n := w.scheduled().Status.Next.In(berlin(t)); n.Hour() != 3 || n.Minute() != 0 {
		t.Errorf("next is %s", n)
	}
	for range 4 {
		w.due(time.Second)
		w.over(w.scheduled().Status.Task)
	}
	w.until("two that are kept", func() bool { return len(w.tasks()) == 2 })
	w.refuse(w.app.Component.D, call.Delete, "web", nil, "schedule nightly still runs it")
	for _, c := range []struct {
		spec  m
		words string
	}{
		{m{"cron": "61 * * * *"}, "spec.cron"}, {m{"cron": "0 0 30 2 *"}, "never comes"}, {m{"zone": "Mars/Base"}, "is not a time zone"}, {m{"component": "nowhere"}, "no component"},
	} {
		w.refuse(w.app.Schedule.D, call.Update, "nightly", c.spec, c.words)
	}
}

func berlin(t *testing.T) *time.Location {
	l, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestWhenTheOneBeforeStillRuns(t *testing.T) {
	for policy, want := range map[string]struct{ tasks, running int }{"forbid": {1, 1}, "allow": {2, 2}, "replace": {2, 1}} {
		t.Run(policy, func(t *testing.T) {
			w := open(t)
			w.deploy(nil)
			w.schedule(m{"concurrency": policy, "command": words("forever"), "timeout": "100h"})
			for range 2 {
				w.due(time.Second)
				w.until("it runs", func() bool { return w.task(w.scheduled().Status.Task).Phase == app.TaskRunning })
			}
			running := func() (n int) {
				for _, x := range w.tasks() {
					if x.Status.Phase == app.TaskRunning {
						n++
					}
				}
				return n
			}
			w.until("the policy's effect", func() bool { return len(w.tasks()) == want.tasks && running() == want.running })
		})
	}
}

func TestTimesThatWereMissed(t *testing.T) {
	for _, c := range []struct {
		name  string
		spec  m
		tasks int
	}{
		{"once for all", m{"missed": "once"}, 1},
		{"skipped", m{"missed": "skip"}, 0},
		{"suspended", m{"suspended": true}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := open(t)
			w.deploy(nil)
			w.schedule(c.spec)
			w.stop() // the cloud is away for three days
			w.pass(73 * time.Hour)
			w.start()
			w.until("the next time lies ahead", func() bool { return w.scheduled().Status.Next.After(w.now()) })
			if n := len(w.tasks()); n != c.tasks {
				t.Errorf("%d tasks were started, want %d", n, c.tasks)
			}
			w.stop() // nothing is started twice for one time
			w.start()
			w.door.Wake(w.app.Schedule.D.FullName())
			if n := len(w.tasks()); n != c.tasks {
				t.Errorf("after another start: %d tasks, want %d", n, c.tasks)
			}
		})
	}
}
