package app

import (
	"context"
	"strings"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/build"
)

// StackSpec is one version of a technology stack.
type StackSpec struct {
	Type        string `json:"type" doc:"the recipe: go, node, python, java, php, static, jar, war" required:"true" immutable:"true" max:"63"`
	Version     string `json:"version" doc:"version, as sources ask for it" required:"true" pattern:"^[0-9]+([.][0-9]+){0,2}$" example:"17"`
	Release     string `json:"release" doc:"the exact version, which constraints are held against; empty: version" pattern:"^([0-9]+([.][0-9]+){0,2})?$"`
	Base        string `json:"base" doc:"image that the recipe starts from: library/NAME, or an image of the project" required:"true" max:"512"`
	EndOfLife   string `json:"end_of_life" doc:"day after which it gets no security fixes, YYYY-MM-DD: deploys are warned 180 days before, and refused after" pattern:"^([0-9]{4}-[0-9]{2}-[0-9]{2})?$"`
	Extended    bool   `json:"extended" doc:"may be deployed after its end of life"`
	Disabled    bool   `json:"disabled" doc:"cannot be deployed; what runs goes on"`
	Unpublished bool   `json:"unpublished" doc:"used only by those who name it, never detected"`
	Description string `json:"description" doc:"what it is" max:"512"`
}

// StackStatus tells where it comes from.
type StackStatus struct {
	Catalogue bool   `json:"catalogue" doc:"comes with the cloud"`
	End       string `json:"catalogue_end,omitempty" doc:"the end of life that the catalogue gave it"`
}

type stackRow = kind.Row[StackSpec, StackStatus]

func (s *Service) describeStacks() {
	k := kind.Kind[StackSpec, StackStatus]{Service: "app", Check: s.checkStack, NamePat: kind.DefaultNamePat,
		Columns: []string{"spec.type", "spec.version", "spec.base", "spec.end_of_life", "spec.disabled", "spec.unpublished"},
		Example: StackSpec{Type: "java", Version: "21", Base: "library/java"},
		Actions: stackActions()}
	k.Name, k.Scope, k.Public = "stack", kind.InCloud, true
	k.Doc = "A version of a technology stack that everybody may build with. The operator adds, enables, disables and publishes them."
	k.CheckDelete = func(_ context.Context, _ store.Tx, row *stackRow) error {
		if row.Status.Catalogue {
			return fail.New(fail.Precondition, "%s comes with the cloud", row.Name).Then("disable it instead: awan stack disable %s", row.Name)
		}
		return nil
	}
	s.Stack = kind.TableOf[StackSpec, StackStatus](k.Def())
	k.Name, k.Scope, k.Public, k.CheckDelete = "custom-stack", kind.InProject, false, nil
	k.Doc = "A version of a technology stack of a project's own: a recipe of the cloud over an image that the project brings."
	k.Example.Base = "my-java:21"
	s.CustomStack = kind.TableOf[StackSpec, StackStatus](k.Def())
}

func stackActions() []kind.Action[StackSpec, StackStatus] {
	set := func(verb, doc string, f func(*StackSpec)) kind.Action[StackSpec, StackStatus] {
		return kind.Action[StackSpec, StackStatus]{Verb: verb, Doc: doc, Level: kind.Write, Change: func(_ context.Context, _ store.Tx, r *stackRow, _ any) (string, error) {
			f(&r.Spec)
			return "", nil
		}}
	}
	return []kind.Action[StackSpec, StackStatus]{
		set("enable", "let it be deployed", func(s *StackSpec) { s.Disabled = false }),
		set("disable", "let nobody deploy it; what runs goes on", func(s *StackSpec) { s.Disabled = true }),
		set("publish", "let sources that do not name it be built with it", func(s *StackSpec) { s.Unpublished = false }),
		set("unpublish", "let only those use it who name it", func(s *StackSpec) { s.Unpublished = true }),
	}
}

func (s *Service) checkStack(_ context.Context, tx store.Tx, old, row *stackRow) error {
	known := map[string]bool{}
	for _, r := range s.Runtimes {
		known[r.Stack] = true
	}
	if len(known) > 0 && !known[row.Spec.Type] {
		return fail.Field("spec.type", "there is no recipe %q", row.Spec.Type).Then("use one of those in awan stack list, or bring a Dockerfile")
	}
	if _, err := time.Parse(time.DateOnly, row.Spec.EndOfLife); row.Spec.EndOfLife != "" && err != nil {
		return fail.Field("spec.end_of_life", "%q is not a day", row.Spec.EndOfLife).Then("write it as 2028-06-30")
	}
	if old == nil {
		row.Status = StackStatus{}
	}
	if row.Kind != "app/custom-stack" {
		if !strings.HasPrefix(row.Spec.Base, build.Shared+"/") {
			return fail.Field("spec.base", "must be one of the cloud's own images").Then("write library/NAME")
		}
		return nil
	}
	if known[row.Name] {
		return fail.Field("name", "%q is the name of a recipe", row.Name).Then("choose another")
	}
	shared, err := s.Stack.Find(tx, "-", row.Name)
	if err == nil && shared != nil {
		err = fail.Field("name", "%q is a stack of the cloud", row.Name).Then("choose another name")
	}
	return err
}

// runtimes are the versions that a project may build with.
func (s *Service) runtimes(ctx context.Context, project id.ID) ([]build.Runtime, error) {
	var out []build.Runtime
	err := s.Store.View(ctx, func(tx store.Tx) error {
		out = []build.Runtime{}
		shared, err := s.Stack.List(tx, "-", kind.Filter{})
		if err != nil {
			return err
		}
		custom, err := s.CustomStack.List(tx, string(project), kind.Filter{})
		for _, r := range append(shared, custom...) {
			if !r.Spec.Disabled {
				out = append(out, r.Spec.runtime(r.Name, project))
			}
		}
		return err
	})
	return out, err
}

func (sp StackSpec) runtime(name string, project id.ID) build.Runtime {
	r := build.Runtime{Name: name, Stack: sp.Type, Version: sp.Version, Release: sp.Release, Base: sp.Base, Extend: sp.Extended, Hidden: sp.Unpublished}
	if owner, _, two := strings.Cut(sp.Base, "/"); !two || owner != build.Shared && owner != string(project) {
		r.Base = string(project) + "/" + sp.Base
	}
	r.End, _ = time.Parse(time.DateOnly, sp.EndOfLife) // checked when it was stored
	return r
}

// syncStacks stores the versions that this cloud comes with; what the operator decided about them stays.
func (s *Service) syncStacks(ctx context.Context) error {
	_, err := s.Store.Update(ctx, func(tx store.Tx) error {
		for _, r := range s.Runtimes {
			end := ""
			if !r.End.IsZero() {
				end = r.End.Format(time.DateOnly)
			}
			row, err := s.Stack.Find(tx, "-", r.Name)
			if err != nil {
				return err
			}
			now := s.Now().UTC()
			if row == nil {
				row = &stackRow{Meta: kind.Meta{ID: id.New(), Kind: s.Stack.D.FullName(), Name: r.Name, State: kind.Active, Made: true, Generation: 1, Created: now, Updated: now, CreatedBy: "awan"}}
				row.Domain = row.ID
				row.Spec = StackSpec{Type: r.Stack, Version: r.Version, EndOfLife: end}
			} else if row.Spec.Base == r.Base && row.Spec.Release == r.Release && row.Status.End == end {
				continue
			}
			if row.Spec.EndOfLife == row.Status.End {
				row.Spec.EndOfLife = end
			}
			row.Spec.Base, row.Spec.Release, row.Spec.Description = r.Base, r.Release, r.Doc
			row.Status = StackStatus{Catalogue: true, End: end}
			if err := s.Stack.Put(tx, row); err != nil {
				return err
			}
		}
		return nil
	})
	return err
}
