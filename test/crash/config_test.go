package crash

import (
	"context"
	"fmt"
	"time"

	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/app"
)

// Lines of the story that are about other kinds than components.
const (
	changeConfig = "change config"
	rotateSecret = "rotate secret"
	runTask      = "run task"
)

// prologue makes what the component mounts.
func (in *incarnation) prologue() error {
	if _, err := in.doTo(in.config.Config.D, call.Create, "settings", m{"content": "color=red\n", "type": "properties"}, nil); err != nil {
		return err
	}
	_, err := in.doTo(in.config.Secret.D, call.Create, "db", m{"values": m{"password": "one"}}, nil)
	return err
}

// tell does one line of the story and waits until it has had its effect.
func (in *incarnation) tell(verb string, spec, action any) (bool, error) {
	switch verb {
	case changeConfig:
		return in.changes("config/settings", func() (bool, error) {
			return in.doTo(in.config.Config.D, call.Update, "settings", m{"content": "color=green\n"}, nil)
		})
	case rotateSecret:
		return in.changes("secret/db", func() (bool, error) {
			return in.doTo(in.config.Secret.D, call.Update, "db", m{"values": m{"password": "two"}}, nil)
		})
	case makeAlarm:
		return in.watch.makeAlarm()
	case makePolicy:
		return in.watch.makePolicy()
	case runTask:
		ok, err := in.doTo(in.app.Task.D, call.Create, "migrate", m{"component": "web", "command": []string{"sim", "out:done", "exit:0"}}, nil)
		if err != nil {
			return ok, err
		}
		return ok, in.until("the task ends", func() bool {
			all := in.tasks()
			return len(all) == 1 && all[0].Status.Phase == app.TaskSucceeded && len(all[0].Status.Attempts) == 1
		})
	}
	return in.do(verb, "web", spec, action)
}

// changes waits until the second version of what is mounted runs.
func (in *incarnation) changes(what string, do func() (bool, error)) (bool, error) {
	ok, err := do()
	if err != nil {
		return ok, err
	}
	return ok, in.until("version 2 of "+what+" runs", func() bool {
		row := in.row()
		return row != nil && row.Status.Pins[what] == 2 && row.Job == ""
	})
}

func (in *incarnation) until(what string, ok func() bool) error {
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if in.w.plan.Live() != nil || ok() {
			return nil
		}
	}
	return fmt.Errorf("never came: %s", what)
}

func (in *incarnation) tasks() []*kind.Row[app.TaskSpec, app.TaskStatus] {
	var out []*kind.Row[app.TaskSpec, app.TaskStatus]
	_ = in.store.View(context.Background(), func(tx store.Tx) (err error) {
		out, err = in.app.Task.List(tx, "", kind.Filter{})
		return err
	})
	return out
}

// epilogue takes away what the prologue made, and the task.
func (in *incarnation) epilogue(what string) {
	in.watch.epilogue(what)
	for _, r := range []struct {
		k    *kind.Def
		name string
	}{{in.app.Task.D, "migrate"}, {in.config.Config.D, "settings"}, {in.config.Secret.D, "db"}} {
		if _, err := in.doTo(r.k, call.Delete, r.name, nil, nil); err != nil && !fail.Is(err, fail.NotFound) {
			in.w.t.Errorf("%s: deleting %s: %v", what, r.name, err)
		}
	}
	_ = in.store.View(context.Background(), func(tx store.Tx) error {
		for _, k := range in.config.Kinds() {
			rows, _, err := k.List(tx, "", kind.Filter{})
			for _, r := range rows {
				if r.M().Name != "default" {
					in.w.t.Errorf("%s: %s %s is left", what, k.FullName(), r.M().Name)
				}
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}
