package config

import (
	"context"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/ledger"
	"github.com/awancloud/awan/internal/kernel/store"
)

// groupName is ServiceStage's rule, so that its names fit; configs may also have dots, as file names do.
const (
	groupName  = `^[A-Za-z]([A-Za-z0-9_-]{0,62}[A-Za-z0-9])?$`
	configName = `^[A-Za-z]([A-Za-z0-9._-]{0,62}[A-Za-z0-9])?$`
)

func (s *Service) describe() {
	s.Group = kind.TableOf[GroupSpec, GroupStatus](kind.Kind[GroupSpec, GroupStatus]{
		Service: "config", Name: "config-group", Scope: kind.InProject, NoRename: true, NamePat: groupName,
		Doc: "Configs that belong together; a component may mount a whole group.", Columns: []string{"spec.description"},
		Example: GroupSpec{Description: "what every part of the shop needs"},
		CheckDelete: func(_ context.Context, tx store.Tx, r *groupRow) error {
			rows, err := s.Config.List(tx, string(r.Project), kind.Filter{Index: "group", Value: r.Name, Limit: 1})
			if err == nil && len(rows) > 0 {
				err = fail.New(fail.Precondition, "config %s is still in it", rows[0].Name).Then("delete its configs first")
			}
			if err != nil {
				return err
			}
			return s.unused(tx, r.Project, "group/"+r.Name)
		}}.Def())
	s.Config = kind.TableOf[Spec, Status](kind.Kind[Spec, Status]{
		Service: "config", Name: "config", Scope: kind.InProject, NoRename: true, NamePat: configName,
		Doc:     "A text that instances get as a file or as variables; every version of it is kept.",
		Columns: []string{"spec.group", "spec.type", "status.version", "status.by"},
		Example: Spec{Group: "shop", Type: "properties", Content: "color=red\n"},
		Index:   map[string]func(*configRow) []string{"group": func(r *configRow) []string { return []string{r.Spec.Group} }},
		Quota:   map[ledger.Dim]func(Spec) int64{"config.configs": func(Spec) int64 { return 1 }},
		Check:   s.checkConfig, Changed: s.configChanged, Actions: s.configActions(),
		CheckDelete: func(_ context.Context, tx store.Tx, r *configRow) error {
			return s.unused(tx, r.Project, "config/"+r.Name)
		},
	}.Def())
	s.Version = kind.TableOf[VersionSpec, VersionStatus](kind.Kind[VersionSpec, VersionStatus]{
		Service: "config", Name: "config-version", Scope: kind.InProject, ReadOnly: true, AnyName: true, Doc: "A config as it was: what, when and by whom.",
		Columns: []string{"spec.number", "spec.by", "spec.note"},
		Index:   map[string]func(*versionRow) []string{"config": func(r *versionRow) []string { return []string{r.Spec.Config, r.Spec.Name} }}}.Def())
	s.Secret = kind.TableOf[SecretSpec, SecretStatus](kind.Kind[SecretSpec, SecretStatus]{
		Service: "config", Name: "secret", Scope: kind.InProject, NoRename: true, NamePat: configName,
		Doc:     "Values that programs get and nobody ever sees again: passwords, keys. Changing one rolls it out.",
		Columns: []string{"status.keys", "status.version", "status.changed", "status.by"},
		Example: SecretSpec{Values: map[string]string{"password": "a good one"}},
		Quota:   map[ledger.Dim]func(SecretSpec) int64{"config.secrets": func(SecretSpec) int64 { return 1 }},
		Check:   s.checkSecret, Changed: s.secretChanged, Actions: s.secretActions(),
		CheckDelete: func(_ context.Context, tx store.Tx, r *secretRow) error {
			return s.unused(tx, r.Project, "secret/"+r.Name)
		},
	}.Def())
	s.SecretVersion = kind.TableOf[SecretVersionSpec, VersionStatus](kind.Kind[SecretVersionSpec, VersionStatus]{
		Service: "config", Name: "secret-version", Scope: kind.InProject, ReadOnly: true, AnyName: true, Doc: "When a secret changed and who changed it; its values are never shown.",
		Columns: []string{"spec.number", "spec.keys", "spec.by"},
		Index:   map[string]func(*secretVersionRow) []string{"secret": func(r *secretVersionRow) []string { return []string{r.Spec.Secret, r.Spec.Name} }}}.Def())
}

func (s *Service) unused(tx store.Tx, project id.ID, what string) error {
	user, err := s.UsedBy(tx, project, what)
	if err == nil && user != "" {
		err = fail.New(fail.Precondition, "%s is mounted by %s", what, user).Then("take it out of what mounts it first")
	}
	return err
}

// checkConfig sees to the group and the content, and counts versions. A content that is the one there is already stays as
// it is, so that nothing rolls out for it.
func (s *Service) checkConfig(ctx context.Context, tx store.Tx, old, row *configRow) error {
	if err := s.ensureGroup(ctx, tx, row); err != nil {
		return err
	}
	spec := &row.Spec
	if old != nil && old.Spec.Sensitive && !spec.Sensitive {
		return fail.Field("spec.sensitive", "cannot be taken back: the content would be shown").Then("make another config")
	}
	fresh := old == nil || spec.Content != kind.Mask && spec.Content != old.Spec.Content
	if fresh {
		if err := checkContent(spec.Type, spec.Content); err != nil {
			return err
		}
		if old != nil {
			was, err := s.open(&old.Meta, old.Spec.Content)
			if err != nil {
				return err
			}
			if was == spec.Content {
				spec.Content, fresh = old.Spec.Content, false
			}
		}
	}
	if old != nil && !fresh && spec.Type != old.Spec.Type {
		text, err := s.open(&old.Meta, old.Spec.Content)
		if err != nil {
			return err
		}
		if err := checkContent(spec.Type, text); err != nil {
			return err
		}
	}
	if fresh || spec.Type != old.Spec.Type || spec.Sensitive != old.Spec.Sensitive {
		s.newVersion(ctx, row, "")
	}
	return nil
}

func (s *Service) newVersion(ctx context.Context, row *configRow, note string) {
	row.Status = Status{Version: row.Status.Version + 1, Changed: s.Now().UTC(), By: ident.From(ctx).UserName, Note: note}
}

// open reads a config's sealed content; empty content is not sealed.
func (s *Service) open(m *kind.Meta, sealed string) (string, error) {
	if sealed == "" {
		return "", nil
	}
	return s.Unseal(m, "spec", "content", sealed)
}

// ensureGroup finds the group; the one called default is made on first use.
func (s *Service) ensureGroup(ctx context.Context, tx store.Tx, row *configRow) error {
	g, err := s.Group.Find(tx, string(row.Project), row.Spec.Group)
	switch {
	case err != nil:
		return err
	case g != nil:
		row.Spec.Group = g.Name
		return nil
	case row.Spec.Group != "default":
		return fail.Field("spec.group", "there is no config group %q", row.Spec.Group).Then("awan config-group create %s", row.Spec.Group)
	}
	now := s.Now().UTC()
	return s.Group.Put(tx, &groupRow{Meta: kind.Meta{ID: id.New(), Kind: s.Group.D.FullName(), Domain: row.Domain, Project: row.Project, Name: "default",
		State: kind.Active, Made: true, Generation: 1, Created: now, Updated: now, CreatedBy: ident.From(ctx).UserName}, Spec: GroupSpec{Description: "made on first use"}})
}

func checkContent(typ, text string) error {
	if !utf8.ValidString(text) || strings.ContainsAny(text, "\x00\uFFFD") {
		return fail.Field("spec.content", "is not text in UTF-8").Then("put binary files into the image or a bucket, or encode them (base64) if the program decodes them")
	}
	_, err := Variables(typ, text)
	if err != nil && typ != "text" {
		return fail.Field("spec.content", "is not %s: %v", typ, err)
	}
	return nil
}

// configChanged writes down each version, and takes all away with the config.
func (s *Service) configChanged(_ context.Context, tx store.Tx, old, row *configRow) error {
	s.tell()
	if row == nil {
		return s.forgetVersions(tx, &old.Meta)
	}
	if old != nil && old.Status.Version == row.Status.Version {
		return nil
	}
	v := &versionRow{Meta: versionMeta(&row.Meta, s.Version.D, row.Status.Version, row.Status.Changed, row.Status.By)}
	v.Spec = VersionSpec{Config: string(row.ID), Name: row.Name, Number: row.Status.Version, Type: row.Spec.Type, Content: row.Spec.Content,
		Sensitive: row.Spec.Sensitive, By: row.Status.By, Note: row.Status.Note}
	if err := s.Version.Put(tx, v); err != nil {
		return err
	}
	all, err := s.Version.List(tx, string(row.Project), kind.Filter{Index: "config", Value: string(row.ID)})
	for i := 0; err == nil && i < len(all)-KeepConfigs; i++ {
		err = s.Version.Remove(tx, all[i])
	}
	return err
}

func (s *Service) forgetVersions(tx store.Tx, m *kind.Meta) error {
	all, err := s.Version.List(tx, string(m.Project), kind.Filter{Index: "config", Value: string(m.ID)})
	for i := 0; err == nil && i < len(all); i++ {
		err = s.Version.Remove(tx, all[i])
	}
	return err
}

func versionMeta(of *kind.Meta, d *kind.Def, number int, at time.Time, by string) kind.Meta {
	return kind.Meta{ID: id.New(), Kind: d.FullName(), Domain: of.Domain, Project: of.Project, Name: of.Name + " #" + itoa(number),
		State: kind.Active, Made: true, Generation: 1, Created: at, Updated: at, CreatedBy: by}
}

// tell says after the transaction that something may have changed.
func (s *Service) tell() {
	if s.Deps.Changed != nil {
		time.AfterFunc(20*time.Millisecond, s.Deps.Changed)
	}
}
