package config

import (
	"context"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/workload"
)

// Mount puts a config, a config group or a secret into the instances of a component.
type Mount struct {
	Config   string `json:"config,omitempty" doc:"the config to mount" ref:"config/config"`
	Group    string `json:"group,omitempty" doc:"or every config of this group" ref:"config/config-group"`
	Secret   string `json:"secret,omitempty" doc:"or this secret" ref:"config/secret"`
	As       string `json:"as" doc:"files, or environment variables" enum:"file,variables" default:"file"`
	Path     string `json:"path,omitempty" doc:"where the file lies; of a group and of a secret without key: the folder; empty: /config/NAME, /secrets/NAME" max:"512"`
	Mode     string `json:"mode,omitempty" doc:"permissions of the file, which belongs to the instance's user; empty: 0444, and 0400 for what is secret" pattern:"^0?[0-7]{3}$"`
	Key      string `json:"key,omitempty" doc:"only this key of the secret" max:"128"`
	Variable string `json:"variable,omitempty" doc:"as variables: the variable's name, with a key or a config as one value" max:"128"`
	Version  int    `json:"version,omitempty" doc:"stay with this version of the config; empty: the newest" min:"1"`
	Reload   string `json:"reload" doc:"what a change does: roll makes new instances without a gap; live replaces the file in running ones; signal does so and tells the program" enum:"roll,live,signal" default:"roll"`
	Signal   string `json:"signal,omitempty" doc:"with reload signal: which" enum:"HUP,USR1,USR2,INT,TERM,WINCH" default:"HUP"`
}

// What names the mounted thing: "secret/db".
func (m Mount) What() string {
	switch {
	case m.Secret != "":
		return "secret/" + m.Secret
	case m.Group != "":
		return "group/" + m.Group
	}
	return "config/" + m.Config
}

// Live tells whether a change of it reaches running instances.
func (m Mount) Live() bool { return m.Reload == "live" || m.Reload == "signal" }

func (m Mount) mode(secret bool) uint32 {
	if n, err := strconv.ParseUint(m.Mode, 8, 32); err == nil && m.Mode != "" {
		return uint32(n)
	}
	if secret {
		return 0o400
	}
	return 0o444
}

// Check refuses mounts that cannot be, and turns ids into names.
func (s *Service) Check(tx store.Tx, project id.ID, mounts []Mount) error {
	for i := range mounts {
		m := &mounts[i]
		field := "spec.mounts[" + itoa(i) + "]"
		given := 0
		for _, x := range []string{m.Config, m.Group, m.Secret} {
			if x != "" {
				given++
			}
		}
		variables := m.As == "variables"
		switch {
		case given != 1:
			return fail.Field(field, "give one of config, group and secret")
		case variables && m.Live():
			return fail.Field(field+".reload", "variables of a running program cannot change").Then("mount a file, or leave reload at roll")
		case variables && m.Path != "":
			return fail.Field(field+".path", "is for files")
		case variables && m.Mode != "":
			return fail.Field(field+".mode", "is for files")
		case !variables && m.Variable != "":
			return fail.Field(field+".variable", "is for variables").Then("set as: variables")
		case m.Key != "" && m.Secret == "":
			return fail.Field(field+".key", "is for secrets")
		case m.Variable != "" && (m.Group != "" || m.Secret != "" && m.Key == ""):
			return fail.Field(field+".variable", "names one variable; this has several").Then("give a key too")
		case strings.ContainsAny(m.Variable, "=\x00 "):
			return fail.Field(field+".variable", "%q is not a name for an environment variable", m.Variable)
		case m.Version != 0 && m.Config == "":
			return fail.Field(field+".version", "is for configs")
		}
		if m.Path != "" {
			at := m.Path
			if m.Group != "" || m.Secret != "" && m.Key == "" {
				at = path.Join(m.Path, "x") // the path is a folder
			}
			if err := workload.CheckPath(at); err != nil {
				return fail.Field(field+".path", "%s", fail.From(err).Message).Then("%s", fail.From(err).Next)
			}
		}
		if err := s.checkTarget(tx, project, m, field); err != nil {
			return err
		}
	}
	return nil
}

func (s *Service) checkTarget(tx store.Tx, project id.ID, m *Mount, field string) error {
	switch {
	case m.Secret != "":
		r, err := s.Secret.Find(tx, string(project), m.Secret)
		if err != nil {
			return err
		}
		if r == nil {
			return fail.Field(field+".secret", "there is no secret %q", m.Secret).Then("awan secret create %s --values KEY=-", m.Secret)
		}
		m.Secret = r.Name
		if _, ok := r.Spec.Values[m.Key]; m.Key != "" && !ok {
			return fail.Field(field+".key", "secret %s has no key %q", r.Name, m.Key).Then("its keys: %s", strings.Join(r.Status.Keys, ", "))
		}
	case m.Group != "":
		r, err := s.Group.Find(tx, string(project), m.Group)
		if err != nil {
			return err
		}
		if r == nil {
			return fail.Field(field+".group", "there is no config group %q", m.Group).Then("awan config-group create %s", m.Group)
		}
		m.Group = r.Name
	default:
		r, err := s.Config.Find(tx, string(project), m.Config)
		if err != nil {
			return err
		}
		if r == nil {
			return fail.Field(field+".config", "there is no config %q", m.Config).Then("awan config create %s --content @FILE", m.Config)
		}
		m.Config = r.Name
		if m.Version != 0 && m.Version != r.Status.Version {
			if _, err := s.versionOf(tx, r, m.Version); err != nil {
				return fail.Field(field+".version", "%s", fail.From(err).Message)
			}
		}
	}
	return nil
}

// Pins are versions of configs and secrets, by "config/NAME" and "secret/NAME": with them mounts come to the same again.
type Pins map[string]int

func (p Pins) with(what string, version int) Pins {
	if p == nil {
		p = Pins{}
	}
	p[what] = version
	return p
}

// Pins gives the present versions of what is mounted and rolls out, and of what is replaced in running instances.
func (s *Service) Pins(tx store.Tx, project id.ID, mounts []Mount) (roll, live Pins, err error) {
	for _, m := range mounts {
		add := func(what string, version int) {
			if m.Live() {
				live = live.with(what, version)
			} else {
				roll = roll.with(what, version)
			}
		}
		if m.Secret != "" {
			r, err := s.Secret.Find(tx, string(project), m.Secret)
			if err != nil {
				return nil, nil, err
			}
			if r == nil {
				continue
			}
			add("secret/"+r.Name, r.Status.Version)
			for _, k := range r.Status.Keys { // another set of files needs new instances
				if m.Live() && m.Key == "" {
					roll = roll.with("key of secret/"+r.Name+": "+k, 0)
				}
			}
			continue
		}
		rows, err := s.configsOf(tx, project, m)
		if err != nil {
			return nil, nil, err
		}
		for _, r := range rows {
			version := r.Status.Version
			if m.Version != 0 {
				version = m.Version
			}
			add("config/"+r.Name, version)
			if m.Live() && m.Group != "" {
				roll = roll.with("member of group/"+m.Group+": "+r.Name, 0)
			}
		}
	}
	return roll, live, nil
}

func (s *Service) configsOf(tx store.Tx, project id.ID, m Mount) ([]*configRow, error) {
	if m.Group != "" {
		return s.Config.List(tx, string(project), kind.Filter{Index: "group", Value: m.Group})
	}
	r, err := s.Config.Find(tx, string(project), m.Config)
	if r == nil || err != nil {
		return nil, err
	}
	return []*configRow{r}, nil
}

// Resolved is what mounts come to.
type Resolved struct {
	Files              []workload.File
	Variables, Secrets map[string]string
}

// Resolve opens what is mounted, in the pinned versions where there are pins and they are kept, else in the present ones.
func (s *Service) Resolve(ctx context.Context, project id.ID, mounts []Mount, pins Pins, sys System) (out Resolved, err error) {
	out.Variables, out.Secrets = map[string]string{}, map[string]string{}
	if len(mounts) == 0 {
		return out, nil
	}
	err = s.Store.View(ctx, func(tx store.Tx) error {
		for _, m := range mounts {
			if m.Secret != "" {
				err = s.resolveSecret(tx, project, m, pins, &out)
			} else {
				err = s.resolveConfigs(tx, project, m, pins, sys, &out)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	slices.SortStableFunc(out.Files, func(a, b workload.File) int { return strings.Compare(a.Path, b.Path) }) // the same is always the same
	return out, err
}

func (s *Service) resolveConfigs(tx store.Tx, project id.ID, m Mount, pins Pins, sys System, out *Resolved) error {
	rows, err := s.configsOf(tx, project, m)
	if err != nil {
		return err
	}
	if len(rows) == 0 && m.Group == "" {
		return fail.New(fail.Precondition, "config %s, which is mounted, is gone", m.Config).Then("create it again, or take the mount away")
	}
	for _, r := range rows {
		number := m.Version
		if number == 0 && !m.Live() {
			number = pins["config/"+r.Name]
		}
		typ, text, err := s.At(tx, r, number)
		if fail.Is(err, fail.Invalid) { // that version is not kept any more
			typ, text, err = s.At(tx, r, 0)
		}
		if err != nil {
			return err
		}
		text = sys.Fill(text)
		switch {
		case m.As != "variables":
			p := m.Path
			if p == "" {
				p = path.Join("/config", m.Group, r.Name)
			} else if m.Group != "" {
				p = path.Join(p, r.Name)
			}
			out.Files = append(out.Files, workload.File{Path: p, Content: []byte(text), Mode: m.mode(r.Spec.Sensitive), Live: m.Live()})
		case m.Variable != "":
			out.set(m.Variable, text, r.Spec.Sensitive)
		default:
			vars, err := Variables(typ, text)
			if err != nil {
				return fail.New(fail.Invalid, "config %s cannot be variables: %v", r.Name, err).Then("make its type properties, or mount it as a file")
			}
			for k, v := range vars {
				out.set(k, v, r.Spec.Sensitive)
			}
		}
	}
	return nil
}

func (s *Service) resolveSecret(tx store.Tx, project id.ID, m Mount, pins Pins, out *Resolved) error {
	r, err := s.Secret.Find(tx, string(project), m.Secret)
	if err != nil {
		return err
	}
	if r == nil {
		return fail.New(fail.Precondition, "secret %s, which is mounted, is gone", m.Secret).Then("create it again, or take the mount away")
	}
	values := r.Spec.Values
	if n := pins["secret/"+r.Name]; n != 0 && n != r.Status.Version && !m.Live() {
		all, err := s.SecretVersion.List(tx, string(project), kind.Filter{Index: "secret", Value: string(r.ID)})
		if err != nil {
			return err
		}
		for _, v := range all {
			if v.Spec.Number == n {
				values = v.Spec.Values
			}
		}
	}
	for k, sealed := range values {
		if m.Key != "" && k != m.Key {
			continue
		}
		v := sealed
		if sealed != "" {
			if v, err = s.Unseal(&r.Meta, "spec", "values."+k, sealed); err != nil {
				return err
			}
		}
		if m.As == "variables" {
			name := m.Variable
			if name == "" {
				name = k
			}
			out.Secrets[name] = v
			delete(out.Variables, name)
			continue
		}
		p := m.Path
		if p == "" {
			p = path.Join("/secrets", r.Name, k)
		} else if m.Key == "" {
			p = path.Join(p, k)
		}
		out.Files = append(out.Files, workload.File{Path: p, Content: []byte(v), Mode: m.mode(true), Live: m.Live()})
	}
	return nil
}

func (r *Resolved) set(name, value string, secret bool) {
	if secret {
		r.Secrets[name] = value
		delete(r.Variables, name)
		return
	}
	r.Variables[name] = value
	delete(r.Secrets, name)
}
