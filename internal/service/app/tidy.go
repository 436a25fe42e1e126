package app

import (
	"context"
	"strings"
	"time"

	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
)

// Caches are what builds keep for a project.
type Caches interface {
	// Forget frees a project's build caches.
	Forget(ctx context.Context, project string) error
	// Projects lists the projects that have some.
	Projects(ctx context.Context) ([]string, error)
}

// uploadLife is how long an upload waits for a deploy that uses it.
const uploadLife = 24 * time.Hour

// tidyNowAndThen frees what nothing needs any more, soon after the start and then every six hours.
func (s *Service) tidyNowAndThen(ctx context.Context) {
	for wait := time.Minute; ; wait = 6 * time.Hour {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		if err := s.Tidy(ctx); err != nil && ctx.Err() == nil {
			s.Log.Warn("tidying up sources and caches", "err", err)
		}
	}
}

// Tidy removes uploads that no component and no release refers to, and what projects that are gone left: uploads,
// repositories and build caches.
func (s *Service) Tidy(ctx context.Context) error {
	used, projects, err := s.inUse(ctx)
	if err != nil {
		return err
	}
	if s.Uploads != nil {
		if err := s.tidyUploads(ctx, used, projects); err != nil {
			return err
		}
	}
	if s.Git != nil {
		pushed, err := s.Git.Projects(ctx)
		if err != nil {
			return err
		}
		for _, p := range pushed {
			if !projects[string(p)] {
				if err := s.Git.Remove(ctx, p, ""); err != nil {
					return err
				}
			}
		}
	}
	if s.Caches == nil {
		return nil
	}
	cached, err := s.Caches.Projects(ctx)
	if err != nil {
		return err
	}
	for _, p := range cached {
		if _, ok := id.Parse(p); ok && !projects[p] {
			s.Log.Info("freeing the build caches of a project that is gone", "project", p)
			if err := s.Caches.Forget(ctx, p); err != nil {
				return err
			}
		}
	}
	return nil
}

// tidyUploads removes uploads that are old and used by nothing, and those of projects that are gone.
func (s *Service) tidyUploads(ctx context.Context, used, projects map[string]bool) error {
	depot := s.Uploads("")
	for after := ""; ; {
		keys, _, next, err := depot.List(ctx, "", "", after)
		if err != nil {
			return err
		}
		for _, key := range keys {
			project, _, _ := strings.Cut(key, "/")
			if projects[project] {
				if used[key] {
					continue
				}
				if _, written, err := depot.Stat(ctx, key); err != nil || s.Now().Sub(written) < uploadLife {
					continue
				}
			}
			if err := depot.Delete(ctx, key); err != nil {
				return err
			}
		}
		if after = next; next == "" {
			return nil
		}
	}
}

// inUse gives the uploads that components and releases refer to, as PROJECT/DIGEST, and the projects that there are.
func (s *Service) inUse(ctx context.Context) (used, projects map[string]bool, err error) {
	used, projects = map[string]bool{}, map[string]bool{}
	note := func(project id.ID, src Source) {
		projects[string(project)] = true
		if src.Digest != "" {
			used[string(project)+"/"+strings.TrimPrefix(src.Digest, "sha256:")] = true
		}
	}
	err = s.Store.View(ctx, func(tx store.Tx) error {
		components, err := s.Component.List(tx, "", kind.Filter{})
		if err != nil {
			return err
		}
		trashed, err := s.Component.List(tx, "", kind.Filter{State: kind.Trashed})
		if err != nil {
			return err
		}
		for _, c := range append(components, trashed...) {
			note(c.Project, c.Spec.Source)
		}
		releases, err := s.Release.List(tx, "", kind.Filter{})
		if err != nil {
			return err
		}
		for _, r := range releases {
			note(r.Project, r.Spec.Source)
		}
		if s.Projects == nil {
			return nil
		}
		more, err := s.Projects(tx)
		for _, p := range more {
			projects[string(p)] = true
		}
		return err
	})
	return used, projects, err
}
