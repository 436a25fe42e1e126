package app

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"
	"time"

	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/event"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/config"
	"github.com/awancloud/awan/internal/service/workload"
)

// Configs is what the service needs of the config service.
type Configs interface {
	// Check refuses mounts that cannot be, and turns ids in them into names.
	Check(tx store.Tx, project id.ID, mounts []config.Mount) error
	// Pins gives the present versions of what rolls out, and of what is replaced in running instances.
	Pins(tx store.Tx, project id.ID, mounts []config.Mount) (roll, live config.Pins, err error)
	// Resolve opens what is mounted, in the pinned versions.
	Resolve(ctx context.Context, project id.ID, mounts []config.Mount, pins config.Pins, sys config.System) (config.Resolved, error)
}

// mountsOf indexes components by what they mount.
func mountsOf(r *componentRow) []string {
	var out []string
	for _, m := range r.Spec.Mounts {
		if !slices.Contains(out, m.What()) {
			out = append(out, m.What())
		}
	}
	return out
}

// UsedBy names a component that mounts a thing; "" when none does.
func (s *Service) UsedBy(tx store.Tx, project id.ID, what string) (string, error) {
	for _, state := range []kind.State{"", kind.Trashed} {
		rows, err := s.Component.List(tx, string(project), kind.Filter{Index: "mounts", Value: what, Limit: 1, State: state})
		if err != nil {
			return "", err
		}
		if len(rows) > 0 {
			return "component " + rows[0].Name, nil
		}
	}
	return "", nil
}

// ConfigChanged makes components look at their configuration now.
func (s *Service) ConfigChanged() {
	if s.Host != nil {
		s.Host.Wake(s.Component.D.FullName())
	}
}

// wakeSoon wakes a loop after the transaction that goes on now.
func (s *Service) wakeSoon(d *kind.Def) {
	if s.Host != nil {
		time.AfterFunc(20*time.Millisecond, func() { s.Host.Wake(d.FullName()) })
	}
}

// configured is what a component gets beside its own spec.
type configured struct {
	variables map[string]string // of the environment and of the application in it
	pins      config.Pins
}

// fingerprint tells whether two are equal.
func (c configured) fingerprint() string {
	if len(c.variables) == 0 && len(c.pins) == 0 {
		return "none"
	}
	b, err := json.Marshal([]any{c.variables, c.pins})
	if err != nil {
		panic(err) // plain data
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:12])
}

func (s *Service) configuredIn(tx store.Tx, row *componentRow) (c configured, err error) {
	env, err := s.Environment.Find(tx, string(row.Project), row.Spec.Environment)
	if err != nil {
		return c, err
	}
	own, err := s.configurationOf(tx, row)
	if err != nil {
		return c, err
	}
	if env != nil {
		c.variables = maps.Clone(env.Spec.Variables)
	}
	if own != nil {
		if c.variables == nil {
			c.variables = map[string]string{}
		}
		maps.Copy(c.variables, own.Spec.Variables)
		for k, v := range own.Spec.Labels {
			c.variables["label "+k] = v // no variable has a space in its name
		}
	}
	c.pins, _, err = s.Config.Pins(tx, row.Project, row.Spec.Mounts)
	return c, err
}

func (s *Service) configured(ctx context.Context, row *componentRow) (c configured, err error) {
	err = s.Store.View(ctx, func(tx store.Tx) error {
		c, err = s.configuredIn(tx, row)
		return err
	})
	return c, err
}

// followConfig starts a roll-out when what a component is configured with changed since the last one. One that failed is
// not tried again until there is another change.
func (s *Service) followConfig(ctx context.Context, row *componentRow) (rolls bool, err error) {
	if row.Status.Config == "" || row.Status.Next != nil || row.Status.Gray != nil {
		return false, nil // it was rolled out before there was such a thing, or two releases share the traffic now
	}
	c, err := s.configured(ctx, row)
	if err != nil || c.fingerprint() == row.Status.Config {
		return false, err
	}
	_, err = s.Host.Do(ctx, &call.Call{Kind: s.Component.D, Verb: "reconfigure", Target: string(row.ID), Domain: string(row.Domain), Project: string(row.Project),
		Principal: ident.System(), Dialect: "loop"})
	if fail.Is(err, fail.Conflict) || fail.Is(err, fail.Precondition) { // busy, or its project is disabled: the next round sees
		return false, nil
	}
	return err == nil, err
}

// reconfigure rolls out the configuration as it is now.
func (s *Service) reconfigure(_ context.Context, tx store.Tx, row *componentRow, _ any) (string, error) {
	c, err := s.configuredIn(tx, row)
	if err != nil {
		return "", err
	}
	if row.Status.Gray != nil {
		return "", fail.New(fail.Precondition, "%s has a gray release under way", row.Name).Then("finish it or take it back first")
	}
	row.Status.Config = c.fingerprint()
	if row.Status.Image != "" {
		row.Status.Next = &Rollout{Image: row.Status.Image, Stack: row.Status.Stack, Note: "configuration", Plain: true}
	}
	return "update", nil
}

// configure adds to a want what comes from environment, application and mounts; of two with one name the later wins.
func (s *Service) configure(ctx context.Context, row *componentRow, in Instance, spec *ComponentSpec, env *environmentRow, pins config.Pins, w *workload.Want) error {
	if env != nil {
		maps.Copy(w.Env, env.Spec.Variables)
	}
	var own *configurationRow
	var application *applicationRow
	err := s.Store.View(ctx, func(tx store.Tx) (err error) {
		if own, err = s.configurationOf(tx, row); err != nil {
			return err
		}
		application, err = s.Application.Find(tx, string(row.Project), row.Spec.Application)
		return err
	})
	if err != nil {
		return err
	}
	if own != nil {
		maps.Copy(w.Env, own.Spec.Variables)
		for k, v := range own.Spec.Labels {
			if _, taken := w.Labels[k]; !taken {
				w.Labels[k] = v
			}
		}
	}
	if len(spec.Mounts) == 0 {
		return nil
	}
	sys := config.System{Project: string(row.Project), Application: row.Spec.Application, Environment: row.Spec.Environment, Component: row.Name,
		ComponentID: string(row.ID), Instance: string(in.ID), Release: in.Release}
	if application != nil {
		sys.ApplicationID = string(application.ID)
	}
	if env != nil {
		sys.EnvironmentID = string(env.ID)
	}
	r, err := s.Config.Resolve(ctx, row.Project, spec.Mounts, pins, sys)
	if err != nil {
		return err
	}
	maps.Copy(w.Env, r.Variables)
	maps.Copy(w.Secrets, r.Secrets)
	w.Files = r.Files
	return nil
}

// livePins are the versions of what is replaced in running instances.
func (s *Service) livePins(ctx context.Context, row *componentRow, in *Instance) (live config.Pins, err error) {
	spec, _, err := s.version(ctx, row, in)
	if err != nil || len(spec.Mounts) == 0 {
		return nil, err
	}
	err = s.Store.View(ctx, func(tx store.Tx) error {
		_, live, err = s.Config.Pins(tx, row.Project, spec.Mounts)
		return err
	})
	return live, err
}

// refreshFiles replaces files in a running instance whose configs or secrets changed, and tells the program where its
// mount says so.
func (s *Service) refreshFiles(ctx context.Context, row *componentRow, in *Instance) error {
	if in.Phase != phaseReady && in.Phase != phaseStarting && in.Phase != phaseUnready {
		return nil
	}
	live, err := s.livePins(ctx, row, in)
	if err != nil || maps.Equal(live, in.Live) {
		return err
	}
	w, err := s.want(ctx, row, *in)
	if err != nil {
		return err
	}
	spec, _, err := s.version(ctx, row, in)
	if err != nil {
		return err
	}
	signals, err := s.signals(ctx, row, spec.Mounts, in.Live, live)
	if err != nil {
		return err
	}
	if err := s.Engine.Replace(ctx, in.ID, w.Files, signals[0]); err != nil {
		return err
	}
	for _, sig := range signals[1:] {
		if err := s.Engine.Replace(ctx, in.ID, nil, sig); err != nil {
			return err
		}
	}
	in.Live = live
	s.emit(ctx, row.ID, event.Info, "Reloaded", "instance %s has new configuration", short(in.ID))
	return nil
}

// signals are those to send for what changed; the first is "" when there is none.
func (s *Service) signals(ctx context.Context, row *componentRow, mounts []config.Mount, was, is config.Pins) ([]string, error) {
	var out []string
	err := s.Store.View(ctx, func(tx store.Tx) error {
		for _, m := range mounts {
			if m.Reload != "signal" || slices.Contains(out, m.Signal) {
				continue
			}
			_, of, err := s.Config.Pins(tx, row.Project, []config.Mount{m})
			if err != nil {
				return err
			}
			for what := range of {
				if was[what] != is[what] && !slices.Contains(out, m.Signal) {
					out = append(out, m.Signal)
				}
			}
		}
		return nil
	})
	if len(out) == 0 {
		out = []string{""}
	}
	return out, err
}
