package app

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/awancloud/awan/internal/kernel/event"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/job"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/ledger"
	"github.com/awancloud/awan/internal/kernel/store"
)

// rollDeadline bounds a roll-out with its pauses, hooks and window; a new instance is bounded by its grace.
const rollDeadline = 8 * time.Hour

func (s *Service) describe() {
	s.Environment = kind.TableOf[EnvironmentSpec, EnvironmentStatus](kind.Kind[EnvironmentSpec, EnvironmentStatus]{
		Service: "app", Name: "environment", Scope: kind.InProject, Doc: "Where components run: what they may reach, and variables they all get.",
		Columns: []string{"spec.egress", "spec.description"}, Example: EnvironmentSpec{Egress: "internet"}, NamePat: groupName,
		Check: func(_ context.Context, tx store.Tx, old, r *environmentRow) error {
			return s.renamable(tx, "environment", metaOf(old), &r.Meta)
		},
		Changed: func(_ context.Context, tx store.Tx, old, r *environmentRow) error {
			return s.renamed(tx, "environment", metaOf(old), metaOf(r), func(c *ComponentSpec) { c.Environment = r.Name })
		},
		CheckDelete: func(_ context.Context, tx store.Tx, r *environmentRow) error {
			if err := s.unconfigured(tx, "environment", &r.Meta); err != nil {
				return err
			}
			return s.unused(tx, "environment", &r.Meta)
		}}.Def())
	s.Application = kind.TableOf[ApplicationSpec, ApplicationStatus](kind.Kind[ApplicationSpec, ApplicationStatus]{
		Service: "app", Name: "application", Scope: kind.InProject, Doc: "Components that belong together.",
		Columns: []string{"spec.description"}, Example: ApplicationSpec{Description: "the web shop"}, NamePat: groupName,
		Check: func(_ context.Context, tx store.Tx, old, r *applicationRow) error {
			return s.renamable(tx, "application", metaOf(old), &r.Meta)
		},
		Changed: func(_ context.Context, tx store.Tx, old, r *applicationRow) error {
			if err := s.renameLaneGroups(tx, metaOf(old), metaOf(r)); err != nil {
				return err
			}
			return s.renamed(tx, "application", metaOf(old), metaOf(r), func(c *ComponentSpec) { c.Application = r.Name })
		},
		CheckDelete: func(_ context.Context, tx store.Tx, r *applicationRow) error {
			if err := s.withoutLanes(tx, &r.Meta); err != nil {
				return err
			}
			if err := s.unconfigured(tx, "application", &r.Meta); err != nil {
				return err
			}
			return s.unused(tx, "application", &r.Meta)
		}}.Def())
	s.Release = kind.TableOf[ReleaseSpec, ReleaseStatus](kind.Kind[ReleaseSpec, ReleaseStatus]{
		Service: "app", Name: "release", Scope: kind.InProject, ReadOnly: true, AnyName: true, Doc: "A version of a component as it was deployed; any can be gone back to.",
		Columns: []string{"spec.number", "status.rollout", "spec.note", "spec.by", "spec.stack", "spec.commit"},
		Index:   map[string]func(*releaseRow) []string{"component": func(r *releaseRow) []string { return []string{r.Spec.Component} }}}.Def())
	s.describeCredentials()
	s.describeStacks()
	s.describeLanes()
	s.Component = kind.TableOf[ComponentSpec, ComponentStatus](s.componentKind().Def())
	s.describeConfiguration()
	s.describeTasks()
}

func (s *Service) componentKind() kind.Kind[ComponentSpec, ComponentStatus] {
	one := func(ComponentSpec) int64 { return 1 }
	cpu := func(c ComponentSpec) int64 { return int64(c.Replicas) * c.CPU }
	memory := func(c ComponentSpec) int64 { return int64(c.Replicas) * c.Memory }
	running := func(f func(ComponentSpec) int64) func(ComponentSpec, ComponentStatus) int64 {
		return func(c ComponentSpec, _ ComponentStatus) int64 {
			if c.Stopped {
				return 0
			}
			return f(c)
		}
	}
	run := job.Flow[componentRow]{
		{Name: "build", Do: s.build, Undo: s.unbuild, Deadline: 30 * time.Minute},
		{Name: "scan", Do: s.admit, Undo: s.dropRelease, Deadline: 30 * time.Minute},
		{Name: "release", Do: s.plan, Commit: s.commitRelease, Undo: s.dropRelease},
		{Name: "fetch image", Do: s.prefetch, Deadline: 5 * time.Minute},
		{Name: "start", Do: s.roll, Undo: s.unroll, Deadline: rollDeadline},
		{Name: "settle", Do: s.settle, Commit: s.commitLive, Deadline: 65 * time.Minute},
	}
	return kind.Kind[ComponentSpec, ComponentStatus]{
		Service: "app", Name: "component", Scope: kind.InProject, NoRename: true,
		Doc:     "A deployable part of an application: a source or an image that runs as instances behind an HTTPS address.",
		Columns: []string{"status.ready", "spec.replicas", "status.release", "status.url"},
		Example: ComponentSpec{Source: Source{Image: "library/hello:latest"}, Replicas: 2, Port: 8080},
		Index: map[string]func(*componentRow) []string{
			"application": func(r *componentRow) []string { return []string{r.Spec.Application} },
			"environment": func(r *componentRow) []string { return []string{r.Spec.Environment} },
			"mounts":      mountsOf},
		Quota:    map[ledger.Dim]func(ComponentSpec) int64{"app.components": one, "app.cpu": cpu, "app.memory": memory},
		Meter:    map[ledger.Dim]func(ComponentSpec, ComponentStatus) int64{"app.cpu": running(cpu), "app.memory": running(memory)},
		Defaults: s.componentDefaults, Check: s.checkComponent, Changed: s.componentChanged, CheckDelete: s.unscheduled,
		Create: run, Update: run, Unpark: run,
		Park:      job.Flow[componentRow]{{Name: "stop", Do: s.removeAll, Deadline: 10 * time.Minute}},
		Delete:    job.Flow[componentRow]{{Name: "stop", Do: s.removeAll, Deadline: 10 * time.Minute}, {Name: "forget", Do: s.forgetFiles, Commit: s.forgetReleases}},
		Loop:      job.Loop[componentRow]{Every: 2 * time.Second, Do: s.converge},
		Retention: s.Retention,
		Actions:   s.componentActions(),
	}
}

func (s *Service) unused(tx store.Tx, index string, m *kind.Meta) error {
	for _, ref := range []string{m.Name, string(m.ID)} {
		for _, state := range []kind.State{"", kind.Trashed} {
			users, err := s.Component.List(tx, string(m.Project), kind.Filter{Index: index, Value: ref, Limit: 1, State: state})
			if err != nil {
				return err
			}
			if len(users) > 0 {
				return fail.New(fail.Precondition, "component %s still uses it", users[0].Name).Then("delete the component first (with --purge when it is in the trash)")
			}
		}
	}
	return nil
}

// componentDefaults gives a new component its address, and makes the environment and application called default when
// a project uses them for the first time.
func (s *Service) componentDefaults(ctx context.Context, tx store.Tx, row *componentRow) error {
	if row.Status.Address == "" {
		addr, err := allocate(tx, row.ID)
		if err != nil {
			return err
		}
		row.Status.Address = addr.String()
		row.Status.URL, row.Status.Host = s.URL(addr, row.Name, string(row.Project))
	}
	if row.Spec.Environment == "default" {
		if err := ensureDefault(ctx, tx, s.Environment, &row.Meta, EnvironmentSpec{Egress: "none", Description: "made on first use"}); err != nil {
			return err
		}
	}
	if row.Spec.Application == "default" {
		return ensureDefault(ctx, tx, s.Application, &row.Meta, ApplicationSpec{Description: "made on first use"})
	}
	return nil
}

func ensureDefault[S, T any](ctx context.Context, tx store.Tx, t kind.Table[S, T], of *kind.Meta, spec S) error {
	there, err := t.Find(tx, string(of.Project), "default")
	if err != nil || there != nil {
		return err
	}
	return t.Put(tx, &kind.Row[S, T]{Meta: kind.Meta{ID: id.New(), Kind: t.D.FullName(), Domain: of.Domain, Project: of.Project, Name: "default",
		State: kind.Active, Made: true, Generation: 1, Created: of.Updated, Updated: of.Updated, CreatedBy: ident.From(ctx).UserName}, Spec: spec})
}

func (s *Service) checkComponent(ctx context.Context, tx store.Tx, old, row *componentRow) error {
	spec := &row.Spec
	env, err := s.Environment.Find(tx, string(row.Project), spec.Environment)
	if err != nil {
		return err
	}
	if env == nil {
		return fail.Field("spec.environment", "there is no environment %q", spec.Environment).Then("awan environment create %s", spec.Environment)
	}
	application, err := s.Application.Find(tx, string(row.Project), spec.Application)
	if err != nil {
		return err
	}
	if application == nil {
		return fail.Field("spec.application", "there is no application %q", spec.Application).Then("awan application create %s", spec.Application)
	}
	spec.Environment, spec.Application = env.Name, application.Name
	if err := s.Config.Check(tx, row.Project, spec.Mounts); err != nil {
		return err
	}
	if old != nil && old.Spec.Replicas != spec.Replicas {
		if err := s.bounded(ctx, tx, row, spec.Replicas, "spec.replicas"); err != nil {
			return err
		}
	}
	if err := checkMetrics(spec.Metrics); err != nil {
		return err
	}
	if err := s.checkSource(ctx, tx, old, row); err != nil {
		return err
	}
	for _, vars := range []map[string]string{spec.Env, spec.Secrets} {
		for k := range vars {
			if k == "" || strings.ContainsAny(k, "=\x00 ") {
				return fail.Field("spec.env", "%q is not a name for an environment variable", k)
			}
		}
	}
	if err := spec.Liveness.check(); err != nil {
		return err
	}
	if spec.Probe.Type == "command" && len(spec.Probe.Command) == 0 {
		return fail.Field("spec.probe.command", "is required when the probe's type is command")
	}
	if err := checkRelease(spec); err != nil {
		return err
	}
	if err := checkGray(old, row); err != nil {
		return err
	}
	if spec.Probe.Type == "http" && !strings.HasPrefix(spec.Probe.Path, "/") {
		return fail.Field("spec.probe.path", "must begin with /")
	}
	return nil
}

// componentChanged frees the address of a component that is gone.
func (s *Service) componentChanged(_ context.Context, tx store.Tx, old, row *componentRow) error {
	if row == nil {
		return tx.Delete(addressPrefix + old.Status.Address)
	}
	return nil
}

// refreshURL follows a change of the listener.
func (s *Service) refreshURL(row *componentRow) bool {
	addr, err := netip.ParseAddr(row.Status.Address)
	if err != nil {
		return false
	}
	url, host := s.URL(addr, row.Name, string(row.Project))
	changed := url != row.Status.URL || host != row.Status.Host
	row.Status.URL, row.Status.Host = url, host
	return changed
}

func (s *Service) emit(ctx context.Context, component id.ID, level event.Level, typ, format string, args ...any) {
	_, err := s.Store.Update(ctx, func(tx store.Tx) error {
		return event.Emit(tx, component, event.Event{At: s.Now().UTC(), Level: level, Type: typ, Text: fmt.Sprintf(format, args...)})
	})
	if err != nil && ctx.Err() == nil {
		s.Log.Error("an event cannot be stored", "component", component, "event", typ, "err", err)
	}
}

// commitRelease stores the release that the plan made, with the component's spec as it is now.
func (s *Service) commitRelease(ctx context.Context, tx store.Tx, row *componentRow) error {
	next := row.Status.Next
	if next == nil || row.Status.Gray != nil && row.Status.Gray.Phase != grayStarting { // nothing new, or stored already
		return nil
	}
	config, err := json.Marshal(row.Spec)
	if err != nil {
		return err
	}
	j, _ := job.Current(ctx)
	r := &releaseRow{Meta: kind.Meta{ID: next.Release, Kind: s.Release.D.FullName(), Domain: row.Domain, Project: row.Project,
		Name: fmt.Sprintf("%s #%d", row.Name, next.Number), State: kind.Active, Made: true, Generation: 1, Created: s.Now().UTC(), Updated: s.Now().UTC(), CreatedBy: j.By}}
	r.Spec = ReleaseSpec{Component: string(row.ID), Number: next.Number, Image: next.Image, Source: row.Spec.Source, Stack: next.Stack, Commit: next.Commit, Config: string(config), By: j.By, Note: next.Note, Foreign: row.Spec.Foreign}
	r.Status.State = "rolling"
	return s.Release.Put(tx, r)
}

// commitLive makes the new release the live one, in the transaction that ends the roll-out.
func (s *Service) commitLive(_ context.Context, tx store.Tx, row *componentRow) error {
	rows, err := s.Release.List(tx, string(row.Project), kind.Filter{Index: "component", Value: string(row.ID)})
	if err != nil {
		return err
	}
	st := &row.Status
	for _, r := range rows {
		was := r.Status.State
		switch {
		case r.ID == st.ReleaseID:
			r.Status.State = "live"
			if was != "live" {
				r.Status.Live = s.Now().UTC()
			}
		case st.Gray != nil && st.Next != nil && r.ID == st.Next.Release:
			r.Status.State = "gray"
		case was == "live":
			r.Status.State = "superseded"
		case was == "gray":
			r.Status.State = "rolled back"
		case was == "rolling":
			r.Status.State = "failed"
		}
		if r.Status.State == was {
			continue
		}
		if err := s.Release.Put(tx, r); err != nil {
			return err
		}
		text := ""
		switch r.Status.State {
		case "live":
			text = fmt.Sprintf("release %d is live (%s, by %s)", r.Spec.Number, r.Spec.Note, r.Spec.By)
		case "gray":
			text = fmt.Sprintf("gray release %d runs beside release %d (%s, by %s)", r.Spec.Number, st.Release, r.Spec.Note, r.Spec.By)
		default:
			continue
		}
		if err := event.Emit(tx, row.ID, event.Event{At: s.Now().UTC(), Level: event.Info, Type: "Released", Text: text}); err != nil {
			return err
		}
	}
	return nil
}

func (s *Service) forgetReleases(_ context.Context, tx store.Tx, row *componentRow) error {
	rows, err := s.Release.List(tx, string(row.Project), kind.Filter{Index: "component", Value: string(row.ID)})
	if err != nil {
		return err
	}
	for _, r := range rows {
		if err := s.Release.Remove(tx, r); err != nil {
			return err
		}
	}
	return s.forgetTokens(tx, row)
}

func (s *Service) forgetFiles(ctx context.Context, row *componentRow) error {
	s.Ingress.Forget(row.ID)
	s.nameInside(ctx, row.Project)
	if s.Git != nil {
		if err := s.Git.Remove(ctx, row.Project, row.Name); err != nil {
			return err
		}
	}
	if err := os.RemoveAll(filepath.Dir(s.buildLogFile(row.ID, "x"))); err != nil {
		return fail.Wrap(err, fail.Unavailable, "the build logs cannot be removed")
	}
	return nil
}
