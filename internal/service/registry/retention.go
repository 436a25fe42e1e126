package registry

import (
	"context"
	"regexp"
	"slices"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/job"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
)

// Rules of a retention.
const (
	Newest = "newest" // keeps the newest Number tags
	Age    = "age"    // keeps tags younger than Number days
)

// RetentionSpec says which tags of a repository are removed by themselves.
type RetentionSpec struct {
	Repository string   `json:"repository" doc:"the repository it is for" ref:"registry/repository" required:"true" immutable:"true"`
	Rule       string   `json:"rule" doc:"newest: that many tags stay; age: tags younger than that many days stay" enum:"newest,age" default:"newest"`
	Number     int      `json:"number" doc:"how many tags, or days" required:"true" min:"1" max:"365000" example:"10"`
	Keep       []string `json:"keep" doc:"tags that stay whatever the rule says" max:"100"`
	Patterns   []string `json:"patterns" doc:"regular expressions; a tag that one describes whole stays" max:"20"`
}

// Removed is a tag that a retention took away.
type Removed struct {
	Tag    string    `json:"tag"`
	Digest string    `json:"digest"`
	At     time.Time `json:"at"`
}

// RetentionStatus tells what it did.
type RetentionStatus struct {
	Ran     time.Time `json:"ran,omitzero" doc:"when it last looked"`
	Removed []Removed `json:"removed,omitempty" doc:"what it removed, the newest first, at most 100"`
}

// RetentionRow is a stored retention.
type RetentionRow = kind.Row[RetentionSpec, RetentionStatus]

func (k *Kinds) retention() kind.Kind[RetentionSpec, RetentionStatus] {
	return kind.Kind[RetentionSpec, RetentionStatus]{
		Service: "registry", Name: "retention", Scope: kind.InProject, AnyName: true,
		Doc:     "Removes old tags of a repository by itself. What a release runs on stays, whatever it says.",
		Columns: []string{"spec.repository", "spec.rule", "spec.number", "status.ran"}, Example: RetentionSpec{Repository: "web", Rule: Newest, Number: 10},
		Index: map[string]func(*RetentionRow) []string{"repository": func(r *RetentionRow) []string { return []string{r.Spec.Repository} }},
		Check: k.checkRetention,
		Loop:  job.Loop[RetentionRow]{Every: 10 * time.Minute, Do: k.retain},
		Actions: []kind.Action[RetentionSpec, RetentionStatus]{
			{Verb: "run", Doc: "remove what the rule says now", Level: kind.Write, Flow: job.Flow[RetentionRow]{{Name: "remove tags", Do: func(ctx context.Context, r *RetentionRow) error {
				_, err := k.retain(ctx, r)
				return err
			}}}},
		},
	}
}

func (k *Kinds) checkRetention(_ context.Context, tx store.Tx, old, row *RetentionRow) error {
	repo, err := k.Find(tx, row.Project, row.Spec.Repository)
	if err != nil {
		return err
	}
	if repo == nil && old == nil {
		return fail.Field("spec.repository", "there is no repository %q", row.Spec.Repository).Then("see awan repository list")
	}
	if repo != nil {
		row.Spec.Repository = repo.Name
	}
	for _, p := range row.Spec.Patterns {
		if _, err := regexp.Compile(p); err != nil {
			return fail.Field("spec.patterns", "%q is not a regular expression: %v", p, err)
		}
	}
	return nil
}

// retain removes the tags that the rule says, and tells whether the status changed.
func (k *Kinds) retain(ctx context.Context, row *RetentionRow) (bool, error) {
	path := pathOf(row.Project, row.Spec.Repository)
	images, err := k.registry.Images(ctx, path)
	if err != nil {
		return false, err
	}
	needed, err := k.registry.neededImages(ctx)
	if err != nil {
		return false, err
	}
	now := k.registry.now().UTC()
	var removed []Removed
	for _, im := range surplus(images, row.Spec, now) {
		if needed[path+"@"+im.Digest] != "" {
			continue
		}
		c := change{who: ident.System(), source: "inside", agent: "retention " + row.Name, verb: Delete, ref: im.Tag}
		if err := k.registry.untag(ctx, path, im.Tag, c); err != nil {
			return false, err
		}
		removed = append(removed, Removed{Tag: im.Tag, Digest: im.Digest, At: now})
	}
	if len(removed) == 0 && now.Sub(row.Status.Ran) < time.Hour {
		return false, nil
	}
	row.Status.Ran = now
	all := append(removed, row.Status.Removed...)
	row.Status.Removed = all[:min(len(all), 100)]
	return true, nil
}

// surplus names the tags that a rule removes; images come the newest first.
func surplus(images []Image, rule RetentionSpec, now time.Time) []Image {
	var out []Image
	kept := 0
	for _, im := range images {
		if slices.Contains(rule.Keep, im.Tag) || slices.ContainsFunc(rule.Patterns, func(p string) bool {
			re, err := regexp.Compile("^(?:" + p + ")$")
			return err == nil && re.MatchString(im.Tag)
		}) {
			continue
		}
		if rule.Rule == Age && now.Sub(im.Pushed) < time.Duration(rule.Number)*24*time.Hour {
			continue
		}
		if kept++; rule.Rule == Newest && kept <= rule.Number {
			continue
		}
		out = append(out, im)
	}
	return out
}

// untag takes a tag away; its image stays until the collection finds that nothing needs it.
func (r *Registry) untag(ctx context.Context, repository, tag string, c change) error {
	repo, err := r.repository(ctx, repository)
	if err != nil {
		return err
	}
	if err := repo.Tags(ctx).Untag(ctx, tag); err != nil && !absent(err) {
		return fail.Wrap(err, fail.Internal, "removing tag %s of %s", tag, repository)
	}
	return r.account(ctx, repository, c)
}
