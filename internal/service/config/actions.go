package config

import (
	"context"
	"fmt"

	"github.com/aymanbagabas/go-udiff"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
)

// ContentIn selects a version.
type ContentIn struct {
	Version int `json:"version" doc:"number of the version; empty: the present one" min:"1"`
}

// CompareIn names two versions.
type CompareIn struct {
	From int `json:"from" doc:"number of the version to compare from; empty: the one before" min:"1"`
	To   int `json:"to" doc:"number of the version to compare to; empty: the present one" min:"1"`
}

// RollbackIn names the version to go back to.
type RollbackIn struct {
	Version int `json:"version" doc:"number of the version to go back to; empty: the one before" min:"1"`
}

// ContentOut is a config's content.
type ContentOut struct {
	Config  string `json:"config"`
	Version int    `json:"version"`
	Type    string `json:"type"`
	Text    string `json:"text"`
}

func (s *Service) configActions() []kind.Action[Spec, Status] {
	return []kind.Action[Spec, Status]{
		{Verb: "content", Doc: "show its content, now or in an earlier version", Level: kind.Read, In: ContentIn{}, Serve: s.serveContent},
		{Verb: "compare", Doc: "show what differs between two versions, as a unified diff", Level: kind.Read, In: CompareIn{}, Serve: s.serveCompare},
		{Verb: "rollback", Doc: "make an earlier version the newest one", Level: kind.Write, In: RollbackIn{}, Change: s.rollback},
		{Verb: "export", Doc: "write the configs of a group (or all) as a document that import takes", Level: kind.Read, In: ExportIn{}, Collection: true, Serve: s.serveExport},
	}
}

func noVersion(name, what string, number, present int) error {
	if number == present {
		return fail.Field("version", "version %d is the present one", number)
	}
	return fail.Field("version", "%s has no version %d", name, number).Then("see awan %s-version list --by %s=%s", what, what, name)
}

// At gives a config's content in a version; 0 is the present one. It says nothing about who may see it.
func (s *Service) At(tx store.Tx, row *configRow, number int) (typ, text string, err error) {
	if number == 0 || number == row.Status.Version {
		text, err = s.open(&row.Meta, row.Spec.Content)
		return row.Spec.Type, text, err
	}
	v, err := s.versionOf(tx, row, number)
	if err != nil {
		return "", "", err
	}
	text, err = s.open(&row.Meta, v.Spec.Content)
	return v.Spec.Type, text, err
}

func (s *Service) versionOf(tx store.Tx, row *configRow, number int) (*versionRow, error) {
	all, err := s.Version.List(tx, string(row.Project), kind.Filter{Index: "config", Value: string(row.ID)})
	if err != nil {
		return nil, err
	}
	for _, v := range all {
		if v.Spec.Number == number {
			return v, nil
		}
	}
	return nil, noVersion(row.Name, "config", number, row.Status.Version)
}

// shown gives a content that may be seen.
func (s *Service) shown(ctx context.Context, row *configRow, number int) (out ContentOut, err error) {
	if row.Spec.Sensitive {
		return out, fail.New(fail.Precondition, "%s is sensitive: its content is never shown", row.Name).Then("instances that mount it see it")
	}
	err = s.Store.View(ctx, func(tx store.Tx) error {
		out.Type, out.Text, err = s.At(tx, row, number)
		return err
	})
	out.Config, out.Version = row.Name, number
	if number == 0 {
		out.Version = row.Status.Version
	}
	return out, err
}

func (s *Service) serveContent(ctx context.Context, row *configRow, in any, st kind.Stream) error {
	out, err := s.shown(ctx, row, in.(*ContentIn).Version)
	if err != nil {
		return err
	}
	return st.Emit(out)
}

// Compared is the answer of compare.
type Compared struct {
	From int    `json:"from"`
	To   int    `json:"to"`
	Text string `json:"text" doc:"unified diff; empty when they are equal"`
}

func (s *Service) serveCompare(ctx context.Context, row *configRow, in any, st kind.Stream) error {
	q := *in.(*CompareIn)
	if q.To == 0 {
		q.To = row.Status.Version
	}
	if q.From == 0 {
		q.From = max(1, q.To-1)
	}
	a, err := s.shown(ctx, row, q.From)
	if err != nil {
		return err
	}
	b, err := s.shown(ctx, row, q.To)
	if err != nil {
		return err
	}
	label := func(n int) string { return fmt.Sprintf("%s version %d", row.Name, n) }
	return st.Emit(Compared{q.From, q.To, udiff.Unified(label(q.From), label(q.To), a.Text, b.Text)})
}

func (s *Service) rollback(ctx context.Context, tx store.Tx, row *configRow, in any) (string, error) {
	want := in.(*RollbackIn).Version
	if want == 0 {
		want = row.Status.Version - 1
	}
	if want == row.Status.Version {
		return "", noVersion(row.Name, "config", want, row.Status.Version)
	}
	v, err := s.versionOf(tx, row, want)
	if err != nil {
		return "", err
	}
	row.Spec.Type, row.Spec.Content = v.Spec.Type, v.Spec.Content
	s.newVersion(ctx, row, fmt.Sprintf("rollback to %d", want))
	return "", nil
}

// ExportIn says what to export.
type ExportIn struct {
	Group string `json:"group" doc:"only this config group" ref:"config/config-group"`
}

// Exported is one config of an export: a body that creates it.
type Exported struct {
	Name string `json:"name"`
	Spec Spec   `json:"spec"`
}

// serveExport leaves out what is sensitive.
func (s *Service) serveExport(ctx context.Context, _ *configRow, in any, st kind.Stream) error {
	f := kind.Filter{}
	if g := in.(*ExportIn).Group; g != "" {
		f.Index, f.Value = "group", g
	}
	var rows []*configRow
	err := s.Store.View(ctx, func(tx store.Tx) (err error) {
		rows, err = s.Config.List(tx, string(st.Meta.Project), f)
		return err
	})
	if err != nil {
		return err
	}
	for _, r := range rows {
		if r.Spec.Sensitive {
			continue
		}
		out, err := s.shown(ctx, r, 0)
		if err != nil {
			return err
		}
		spec := r.Spec
		spec.Content = out.Text
		if err := st.Emit(Exported{Name: r.Name, Spec: spec}); err != nil {
			return err
		}
	}
	return nil
}
