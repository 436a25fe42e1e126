package delivery

import (
	"context"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/job"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/ledger"
	"github.com/awancloud/awan/internal/kernel/store"
)

// SyncSpec says where a repository's images are copied to.
type SyncSpec struct {
	Repository   string `json:"repository" doc:"the repository whose images are copied" ref:"registry/repository" required:"true" immutable:"true"`
	Remote       string `json:"remote" doc:"registry elsewhere that they are copied to; empty: this cloud's own, into another organisation" ref:"registry/remote-registry" immutable:"true"`
	Organization string `json:"organization" doc:"first part of their names there (another Awan: an organisation, or a project's id)" required:"true" immutable:"true" max:"64" pattern:"^[a-z0-9]+((\\.|_|__|-+)[a-z0-9]+)*$" example:"team"`
	Auto         bool   `json:"auto" doc:"every image is copied when it is pushed; off: by the run action only" default:"true"`
	Override     bool   `json:"override" doc:"a tag there that names another image is overwritten; off: it stays, and the copy says so"`
}

// Copy is one image that was copied, or is to be.
type Copy struct {
	Tag     string    `json:"tag"`
	Digest  string    `json:"digest"`
	State   string    `json:"state" doc:"success, existed (the tag there names another image) or failed"`
	Detail  string    `json:"detail,omitempty" doc:"why it failed"`
	By      string    `json:"by,omitempty"`
	Created time.Time `json:"created" doc:"when it was pushed, or asked for"`
	Ended   time.Time `json:"ended"`
	Try     int       `json:"try,omitempty" doc:"tries so far, where it failed in a way that may pass"`
}

// States of a copy.
const (
	Succeeded = "success"
	Existed   = "existed"
	Failed    = "failed"
)

// SyncStatus is what was copied.
type SyncStatus struct {
	Target string `json:"target" doc:"where the images go"`
	Last   string `json:"last,omitempty" doc:"what came of the newest copy, in a sentence"`
	Copies []Copy `json:"copies,omitempty" doc:"the newest first, at most 100"`
}

// RunIn names the tags that are copied now.
type RunIn struct {
	Tags     []string `json:"tags" doc:"tags to copy" required:"true" min:"1" max:"50" example:"v1"`
	Override *bool    `json:"override,omitempty" doc:"whether a tag there that names another image is overwritten; empty: as the sync says"`
}

// SyncRow is a stored sync.
type SyncRow = kind.Row[SyncSpec, SyncStatus]

func (s *Service) syncKind() kind.Kind[SyncSpec, SyncStatus] {
	return kind.Kind[SyncSpec, SyncStatus]{
		Service: "registry", Name: "image-sync", Scope: kind.InProject, AnyName: true,
		Doc:     "Copies a repository's images to another organisation or another registry: each when it is pushed, or those that are asked for.",
		Columns: []string{"spec.repository", "status.target", "spec.auto", "status.last"}, Example: SyncSpec{Repository: "team/shop", Remote: "elsewhere", Organization: "team", Auto: true},
		Quota: map[ledger.Dim]func(SyncSpec) int64{"registry.image-syncs": func(SyncSpec) int64 { return 1 }},
		Index: map[string]func(*SyncRow) []string{
			"repository": func(r *SyncRow) []string { return []string{r.Spec.Repository} },
			"remote":     func(r *SyncRow) []string { return []string{r.Spec.Remote} }},
		Prepare: func(ctx context.Context, old, row *SyncRow) error {
			if old != nil {
				return nil
			}
			return s.permit(ctx, &row.Meta, s.Images.Repository.D, "pull", row.Spec.Repository)
		},
		Check: s.checkSync,
		Changed: func(_ context.Context, tx store.Tx, old, row *SyncRow) error {
			if row != nil {
				return nil
			}
			return forget(tx, old.ID)
		},
		Loop: job.Loop[SyncRow]{Every: 10 * time.Second, Do: s.follow},
		Actions: []kind.Action[SyncSpec, SyncStatus]{
			{Verb: "run", Doc: "copy these tags now, whenever they were pushed", Level: kind.Write, In: RunIn{},
				Serve: func(ctx context.Context, row *SyncRow, in any, st kind.Stream) error {
					run := in.(*RunIn)
					if err := s.run(ctx, row, run); err != nil {
						return err
					}
					return st.Emit(map[string]any{"copying": run.Tags, "target": row.Status.Target})
				}},
		},
	}
}

func (s *Service) checkSync(_ context.Context, tx store.Tx, old, row *SyncRow) error {
	if old != nil {
		return nil
	}
	repo, err := s.repository(tx, row.Project, &row.Spec.Repository)
	if err != nil {
		return err
	}
	where := ""
	if row.Spec.Remote != "" {
		remote, err := s.Remote.Find(tx, string(row.Project), row.Spec.Remote)
		if err != nil {
			return err
		}
		if remote == nil {
			return fail.Field("spec.remote", "there is no remote registry %q", row.Spec.Remote).
				Then("this cloud is one region; name another registry first: awan remote-registry create %s --url https://HOST --username USER --password @FILE", row.Spec.Remote)
		}
		row.Spec.Remote, where = string(remote.ID), remote.Name+": "
	} else if err := s.checkOrganization(tx, row); err != nil {
		return err
	}
	row.Status.Target = where + target(repo.Status.Path, row.Spec.Organization)
	if row.Name == "" || row.Name == string(row.ID) {
		row.Name = strings.ReplaceAll(repo.Name+" to "+row.Status.Target, "/", " ")
	}
	others, err := s.Sync.List(tx, string(row.Project), kind.Filter{Index: "repository", Value: row.Spec.Repository})
	for _, o := range others {
		if o.ID != row.ID && o.Spec.Remote == row.Spec.Remote && o.Spec.Organization == row.Spec.Organization {
			return fail.New(fail.Exists, "%s is copied to %s already", row.Spec.Repository, row.Status.Target).Then("change image sync %s, or delete it first", o.ID)
		}
	}
	return err
}

// checkOrganization looks at a target in this cloud: it must be the project's own, so that nobody fills the room of others.
func (s *Service) checkOrganization(tx store.Tx, row *SyncRow) error {
	if row.Spec.Organization == string(row.Project) {
		if !strings.Contains(row.Spec.Repository, "/") {
			return fail.Field("spec.organization", "the images are there already")
		}
		return nil
	}
	org, err := s.Images.Organization.Find(tx, string(row.Project), row.Spec.Organization)
	if err != nil {
		return err
	}
	if org == nil {
		return fail.Field("spec.organization", "there is no organisation %q in this project", row.Spec.Organization).
			Then("awan organization create %s; to another project of this cloud images are shared (awan repository update --shares), not copied", row.Spec.Organization)
	}
	if strings.HasPrefix(row.Spec.Repository, row.Spec.Organization+"/") {
		return fail.Field("spec.organization", "the images are there already").Then("name another organisation, or a remote registry")
	}
	return nil
}

// target is the name of a repository there.
func target(path, organization string) string {
	_, rest, _ := strings.Cut(path, "/")
	return organization + "/" + rest
}

// run puts down tags to be copied now.
func (s *Service) run(ctx context.Context, row *SyncRow, in *RunIn) error {
	tags, override := in.Tags, row.Spec.Override
	if in.Override != nil {
		override = *in.Override
	}
	path, err := s.path(ctx, row.Project, row.Spec.Repository)
	if err != nil {
		return err
	}
	digests := make([]string, len(tags))
	for i, tag := range tags {
		if _, err := name.NewTag(s.Registry.Host() + "/" + path + ":" + tag); err != nil || tag == "" {
			return fail.Field("tags", "%q is not a tag", tag)
		}
		im, err := s.Registry.Resolve(ctx, path, tag)
		if err != nil {
			return err
		}
		digests[i] = im.Digest
	}
	_, err = s.Store.Update(ctx, func(tx store.Tx) error {
		for i, tag := range tags {
			if err := s.put(tx, row.ID, note{Tag: tag, Digest: digests[i], At: s.Now().UTC(), Asked: true, Override: override, By: ident.From(ctx).UserName}); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		s.wake(s.Sync.D)
	}
	return err
}

// path is the whole name of a project's repository.
func (s *Service) path(ctx context.Context, project id.ID, repository string) (path string, err error) {
	err = s.Store.View(ctx, func(tx store.Tx) error {
		repo, err := s.Images.Find(tx, project, repository)
		if err != nil {
			return err
		}
		if repo == nil {
			return fail.New(fail.NotFound, "the repository %s is gone", repository).Then("push an image under that name again, or delete what refers to it")
		}
		path = repo.Status.Path
		return nil
	})
	return path, err
}

// maxTries and pause are how a copy that failed for a reason that may pass is repeated: after 10 s, 20 s, … about an hour in all.
const maxTries = 8

func pause(try int) time.Duration { return 10 * time.Second << min(try, maxTries) }

// follow copies what waits. What it did is stored at once, so the loop has nothing to save.
func (s *Service) follow(ctx context.Context, row *SyncRow) (bool, error) {
	notes, err := s.waiting(ctx, row.ID)
	if err != nil || len(notes) == 0 {
		return false, err
	}
	path, err := s.path(ctx, row.Project, row.Spec.Repository)
	for _, n := range notes {
		if n.Try > 0 && s.Now().Before(n.Tried.Add(pause(n.Try))) {
			continue
		}
		c := Copy{Tag: n.Tag, Digest: n.Digest, Created: n.At, By: n.By, Try: n.Try + 1}
		failed := err
		if failed == nil {
			fresh, cerr := s.current(ctx, &row.Meta, path, n)
			if cerr != nil {
				return false, cerr
			}
			if !fresh {
				if err := s.record(ctx, row.ID, n, nil); err != nil {
					return false, err
				}
				continue
			}
			c.State, failed = s.copy(ctx, row, path, n, n.Override || !n.Asked && row.Spec.Override)
		}
		if ctx.Err() != nil { // the cloud goes down: it is copied when it is up again
			return false, nil
		}
		if failed != nil {
			c.State, c.Detail = Failed, fail.From(failed).Public()
			if k := fail.KindOf(failed); (k == fail.Unavailable || k == fail.Timeout) && c.Try < maxTries {
				if err := s.again(ctx, row.ID, n, c); err != nil {
					return false, err
				}
				continue
			}
		}
		c.Ended = s.Now().UTC()
		if err := s.record(ctx, row.ID, n, &c); err != nil {
			return false, err
		}
	}
	return false, nil
}

// again keeps a note for a later try, and says so.
func (s *Service) again(ctx context.Context, row id.ID, n note, c Copy) error {
	later := n
	later.Try, later.Tried = c.Try, s.Now().UTC()
	c.Ended = later.Tried
	_, err := s.Store.Update(ctx, func(tx store.Tx) error {
		if err := done(tx, row, n); err != nil {
			return err
		}
		if err := putNote(tx, row, later); err != nil {
			return err
		}
		return s.show(tx, row, c, "; it is tried again in "+pause(c.Try).String())
	})
	return err
}

// record stores what came of a note; nil: nothing, it had gone by.
func (s *Service) record(ctx context.Context, row id.ID, n note, c *Copy) error {
	_, err := s.Store.Update(ctx, func(tx store.Tx) error {
		if err := done(tx, row, n); err != nil || c == nil {
			return err
		}
		return s.show(tx, row, *c, "")
	})
	return err
}

// show puts a copy into the row's status, in the place of earlier tries.
func (s *Service) show(tx store.Tx, row id.ID, c Copy, more string) error {
	r, err := s.Sync.Get(tx, row)
	if err != nil || r == nil {
		return err
	}
	if all := r.Status.Copies; len(all) > 0 && c.Try > 1 && all[0].Tag == c.Tag && all[0].Created.Equal(c.Created) {
		r.Status.Copies = all[1:]
	}
	r.Status.Copies = append([]Copy{c}, r.Status.Copies...)
	r.Status.Copies = r.Status.Copies[:min(len(r.Status.Copies), 100)]
	r.Status.Last = c.Tag + ": copied"
	switch c.State {
	case Existed:
		r.Status.Last = c.Tag + ": the tag there names another image, and stays (override is off)"
	case Failed:
		r.Status.Last = c.Tag + ": " + c.Detail + more
	}
	r.Updated = s.Now().UTC()
	return s.Sync.Put(tx, r)
}
