package delivery

import (
	"context"
	"encoding/json"
	"regexp"
	"slices"
	"time"

	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/job"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/ledger"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/app"
)

// Rules of a trigger.
const (
	Any     = "all"
	One     = "tag"
	Pattern = "pattern"
)

// TriggerSpec says which pushes are released, and to what.
type TriggerSpec struct {
	Repository string `json:"repository" doc:"the repository whose images are released" ref:"registry/repository" required:"true" immutable:"true"`
	Component  string `json:"component" doc:"the component that gets them" ref:"app/component" required:"true" immutable:"true"`
	Rule       string `json:"rule" doc:"all: every tag; tag: one; pattern: those that a regular expression describes whole" enum:"all,tag,pattern" default:"all"`
	Value      string `json:"value" doc:"the tag, or the regular expression" max:"128" example:"v[0-9]+"`
	Disabled   bool   `json:"disabled" doc:"pushes are not released"`
	Foreign    string `json:"foreign" form:"-" doc:"what a client of another cloud's API said that this cloud gives back and does not use" max:"4096"`
}

// fits tells whether a tag is one that the trigger is for.
func (s TriggerSpec) fits(tag string) bool {
	switch s.Rule {
	case One:
		return tag == s.Value
	case Pattern:
		re, err := regexp.Compile("^(?:" + s.Value + ")$")
		return err == nil && re.MatchString(tag)
	}
	return true
}

// Fired is one push that the trigger acted on.
type Fired struct {
	Tag    string    `json:"tag"`
	Digest string    `json:"digest"`
	At     time.Time `json:"at" doc:"when it was pushed"`
	Result string    `json:"result" doc:"releasing, success or failed"`
	Detail string    `json:"detail,omitempty" doc:"why it failed"`
	Job    id.ID     `json:"job,omitempty" doc:"the release"`
}

// Releasing is the result of one whose release is under way.
const Releasing = "releasing"

// TriggerStatus is what it did.
type TriggerStatus struct {
	Last    string  `json:"last,omitempty" doc:"what came of the newest push, in a sentence"`
	History []Fired `json:"history,omitempty" doc:"the newest first, at most 50"`
}

// TriggerRow is a stored trigger.
type TriggerRow = kind.Row[TriggerSpec, TriggerStatus]

func (s *Service) triggerKind() kind.Kind[TriggerSpec, TriggerStatus] {
	return kind.Kind[TriggerSpec, TriggerStatus]{
		Service: "registry", Name: "image-trigger", Scope: kind.InProject, AnyName: true,
		Doc:     "Releases the images that are pushed to a repository to a component, in the way that the component releases: at once, in batches, gray.",
		Columns: []string{"spec.repository", "spec.component", "spec.rule", "spec.value", "spec.disabled", "status.last"},
		Example: TriggerSpec{Repository: "team/shop", Component: "shop", Rule: Pattern, Value: "v[0-9]+"},
		Quota:   map[ledger.Dim]func(TriggerSpec) int64{"registry.image-triggers": func(TriggerSpec) int64 { return 1 }},
		Index: map[string]func(*TriggerRow) []string{
			"repository": func(r *TriggerRow) []string { return []string{r.Spec.Repository} }},
		Prepare: func(ctx context.Context, _, row *TriggerRow) error {
			target := row.Spec.Component
			err := s.Store.View(ctx, func(tx store.Tx) error {
				c, err := s.Apps.Component.Find(tx, string(row.Project), target)
				if c != nil {
					target = c.Name // what policies name it by
				}
				return err
			})
			if err != nil {
				return err
			}
			return s.permit(ctx, &row.Meta, s.Apps.Component.D, call.Update, target)
		},
		Check: s.checkTrigger,
		Changed: func(_ context.Context, tx store.Tx, old, row *TriggerRow) error {
			if row != nil {
				return nil
			}
			return forget(tx, old.ID)
		},
		Loop: job.Loop[TriggerRow]{Every: 2 * time.Second, Do: s.fire},
	}
}

func (s *Service) checkTrigger(_ context.Context, tx store.Tx, old, row *TriggerRow) error {
	spec := &row.Spec
	switch spec.Rule {
	case Any:
		spec.Value = ""
	case One, Pattern:
		if spec.Value == "" {
			return fail.Field("spec.value", "is needed with the rule %s", spec.Rule).Then("give the tag, or the regular expression; the rule all takes every tag")
		}
	}
	if spec.Rule == Pattern {
		if _, err := regexp.Compile(spec.Value); err != nil {
			return fail.Field("spec.value", "%q is not a regular expression: %v", spec.Value, err).Then(`v[0-9]+ describes v1, v2 and so on; .* describes all`)
		}
	}
	if old != nil {
		return nil
	}
	if _, err := s.repository(tx, row.Project, &spec.Repository); err != nil {
		return err
	}
	c, err := s.Apps.Component.Find(tx, string(row.Project), spec.Component)
	if err != nil {
		return err
	}
	if c == nil || c.State == kind.Trashed {
		return fail.Field("spec.component", "there is no component %q", spec.Component).Then("see awan component list")
	}
	spec.Component = string(c.ID)
	if row.Name == "" || row.Name == string(row.ID) {
		row.Name = c.Name
	}
	others, err := s.Trigger.List(tx, string(row.Project), kind.Filter{Index: "repository", Value: spec.Repository})
	for _, o := range others {
		if o.ID != row.ID && o.Name == row.Name {
			return fail.New(fail.Exists, "%s has a trigger called %s already", spec.Repository, row.Name).Then("choose another name, or delete that one first: awan image-trigger delete %s", o.ID)
		}
	}
	return err
}

// fire releases what waits: the newest push stands for those before it, for it is what is to run in the end. Nothing is
// saved by the loop, for what was done is stored at once.
func (s *Service) fire(ctx context.Context, row *TriggerRow) (bool, error) {
	if err := s.settle(ctx, row); err != nil {
		return false, err
	}
	notes, err := s.waiting(ctx, row.ID)
	if err != nil || len(notes) == 0 {
		return false, err
	}
	slices.SortFunc(notes, func(a, b note) int { return b.At.Compare(a.At) })
	path, err := s.path(ctx, row.Project, row.Spec.Repository)
	if err != nil && !fail.Is(err, fail.NotFound) {
		return false, err
	}
	for i, n := range notes {
		fresh := false
		if err == nil {
			if fresh, err = s.current(ctx, &row.Meta, path, n); err != nil {
				return false, err
			}
		}
		if !fresh {
			if err := s.fired(ctx, row.ID, []note{n}, nil); err != nil {
				return false, err
			}
			continue
		}
		f, err := s.release(ctx, row, path, n)
		if err != nil || f == nil {
			return false, err
		}
		return false, s.fired(ctx, row.ID, notes[i:], f)
	}
	return false, nil
}

// release asks for the release like anybody would; nil: the component is busy, and the push waits.
func (s *Service) release(ctx context.Context, row *TriggerRow, path string, n note) (*Fired, error) {
	var c *kind.Row[app.ComponentSpec, app.ComponentStatus]
	err := s.Store.View(ctx, func(tx store.Tx) (err error) {
		c, err = s.Apps.Component.Get(tx, id.ID(row.Spec.Component))
		return err
	})
	if err != nil {
		return nil, err
	}
	f := &Fired{Tag: n.Tag, Digest: n.Digest, At: n.At, Result: Failed}
	if c == nil || c.State == kind.Trashed {
		f.Detail = "the component is gone; delete this trigger, or restore the component"
		return f, nil
	}
	if c.Job != "" {
		return nil, nil
	}
	// The digest says which image it is, whatever the tag names later; the tag stays for people to read.
	image := path + ":" + n.Tag + "@" + n.Digest
	if own := string(row.Project) + "/"; len(path) > len(own) && path[:len(own)] == own {
		image = image[len(own):]
	}
	spec, err := json.Marshal(map[string]any{"source": map[string]any{"image": image}})
	if err != nil {
		return nil, err
	}
	r, err := s.Door().Do(ctx, &call.Call{Kind: s.Apps.Component.D, Verb: call.Update, Target: string(c.ID), Domain: string(row.Domain), Project: string(row.Project), Spec: spec,
		Principal: ident.Principal{UserName: "image-trigger " + row.Name, Domain: row.Domain, Project: row.Project, Method: ident.BySystem}, Dialect: "trigger"})
	switch {
	case fail.Is(err, fail.Conflict):
		return nil, nil
	case err != nil:
		f.Detail = fail.From(err).Public()
	case r.Job == nil:
		f.Result, f.Detail = Succeeded, "this image runs already"
	default:
		f.Result, f.Job = Releasing, r.Job.ID
	}
	return f, nil
}

// settle writes down how releases ended.
func (s *Service) settle(ctx context.Context, row *TriggerRow) error {
	if !slices.ContainsFunc(row.Status.History, func(f Fired) bool { return f.Result == Releasing }) {
		return nil
	}
	_, err := s.Store.Update(ctx, func(tx store.Tx) error {
		r, err := s.Trigger.Get(tx, row.ID)
		if err != nil || r == nil {
			return err
		}
		changed := false
		for i := range r.Status.History {
			f := &r.Status.History[i]
			if f.Result != Releasing {
				continue
			}
			j, err := job.Get(tx, f.Job)
			switch {
			case err != nil && !fail.Is(err, fail.NotFound):
				return err
			case err == nil && !j.Done():
				continue
			case err == nil && j.State != job.Succeeded:
				f.Result, f.Detail = Failed, fail.From(j.Error.Err()).Public()
			default:
				f.Result = Succeeded
			}
			changed = true
		}
		if !changed {
			return nil
		}
		return s.store(tx, r)
	})
	return err
}

// fired stores what came of notes; nil: nothing, they had gone by.
func (s *Service) fired(ctx context.Context, row id.ID, notes []note, f *Fired) error {
	_, err := s.Store.Update(ctx, func(tx store.Tx) error {
		for _, n := range notes {
			if err := done(tx, row, n); err != nil {
				return err
			}
		}
		if f == nil {
			return nil
		}
		r, err := s.Trigger.Get(tx, row)
		if err != nil || r == nil {
			return err
		}
		r.Status.History = append([]Fired{*f}, r.Status.History...)
		r.Status.History = r.Status.History[:min(len(r.Status.History), 50)]
		return s.store(tx, r)
	})
	return err
}

func (s *Service) store(tx store.Tx, r *TriggerRow) error {
	f := r.Status.History[0]
	r.Status.Last = map[string]string{Releasing: "is being released", Succeeded: "released", Failed: "not released: " + f.Detail}[f.Result]
	r.Status.Last, r.Updated = f.Tag+" "+r.Status.Last, s.Now().UTC()
	return s.Trigger.Put(tx, r)
}
