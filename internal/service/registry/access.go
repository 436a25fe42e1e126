package registry

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/distribution/reference"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
)

// namespaceOf is the first part of a repository's path.
func namespaceOf(path string) string {
	first, _, _ := strings.Cut(path, "/")
	return first
}

func cutPrefix(s, prefix string) (string, bool) { return strings.CutPrefix(s, prefix) }

// Place is where a repository belongs: a project by its id, or an organisation of one.
type Place struct {
	Path         string
	Domain       id.ID
	Project      id.ID
	Name         string // the repository's name in the project
	Organization *OrganizationRow
	Row          *RepositoryRow // nil before the first push
}

// Place finds where a path belongs. nil: nowhere; nobody may use it. Shared images belong to nobody either.
func (k *Kinds) Place(tx store.Tx, path string) (*Place, error) {
	ns := namespaceOf(path)
	p := &Place{Path: path}
	if project, ok := id.Parse(ns); ok && string(project) == ns {
		domain, err := k.registry.project(tx, project)
		if err != nil || domain == "" {
			return nil, err
		}
		p.Domain, p.Project = domain, project
	} else {
		org, err := k.OrganizationOf(tx, ns)
		if err != nil || org == nil {
			return nil, err
		}
		p.Domain, p.Project, p.Organization = org.Domain, org.Project, org
	}
	p.Name = nameOf(p.Project, path)
	var err error
	p.Row, err = k.Repository.Find(tx, string(p.Project), p.Name)
	return p, err
}

// OrganizationOf finds an organisation by its name, in whatever project; nil when there is none.
func (k *Kinds) OrganizationOf(tx store.Tx, name string) (*OrganizationRow, error) {
	row, ok, err := tx.Get(organizationKey(name))
	if err != nil || !ok {
		return nil, err
	}
	return k.Organization.Get(tx, id.ID(row))
}

// Granted tells whether membership, a share or being public lets p do it, without any policy. action is Pull, Push or
// Delete.
func (p *Place) Granted(who ident.Principal, action string, now time.Time) bool {
	if action == Pull && p.Row != nil {
		if p.Row.Spec.Public {
			return true
		}
		for _, s := range p.Row.Spec.Shares {
			if (s.Domain == who.DomainName || s.Domain == string(who.Domain)) && (s.Until.IsZero() || now.Before(s.Until)) {
				return true
			}
		}
	}
	enough := map[string][]string{Pull: {Read, Write, Manage}, Push: {Write, Manage}, Delete: {Manage}}[action]
	if who.User == "" {
		return false
	}
	if p.Organization != nil && slices.Contains(enough, p.Organization.Spec.Members[string(who.User)]) {
		return true
	}
	return p.Row != nil && slices.Contains(enough, p.Row.Spec.Members[string(who.User)])
}

// usable tells whether a project may use a repository from inside, where there is no user: its own, its organisations',
// public ones, those shared with its domain, and reading in Shared.
func (r *Registry) usable(project, repository string, actions []string) (bool, error) {
	read := len(actions) == 1 && actions[0] == Pull
	if ns := namespaceOf(repository); ns == project || ns == Shared && read {
		return true, nil
	}
	if r.store == nil || r.kinds == nil {
		return false, nil
	}
	ok := false
	err := r.store.View(r.ctx, func(tx store.Tx) error {
		place, err := r.kinds.Place(tx, repository)
		if err != nil || place == nil {
			return err
		}
		if string(place.Project) == project {
			ok = true
			return nil
		}
		own, _ := id.Parse(project)
		domain, err := r.project(tx, own)
		ok = err == nil && read && place.Granted(ident.Principal{Domain: domain}, Pull, r.now())
		return err
	})
	return ok, err
}

// Qualify gives the path of an image that a project names: its own by a single name, others with their organisation.
func (r *Registry) Qualify(project id.ID, image string) (string, error) {
	ns, _, slash := strings.Cut(image, "/")
	if !slash || r.store == nil {
		if ns == Shared || !slash {
			return string(project) + "/" + image, nil
		}
		return image, nil
	}
	if ns == Shared || ns == string(project) {
		return image, nil
	}
	known := false
	err := r.store.View(r.ctx, func(tx store.Tx) error {
		org, err := r.kinds.OrganizationOf(tx, ns)
		known = org != nil
		if _, isID := id.Parse(ns); isID {
			known = true
		}
		return err
	})
	if !known {
		image = string(project) + "/" + image
	}
	return image, err
}

// Find finds a repository of a project by its path or name; nil when there is none.
func (k *Kinds) Find(tx store.Tx, project id.ID, pathOrName string) (*RepositoryRow, error) {
	row, err := k.Repository.Find(tx, string(project), nameOf(project, pathOrName))
	if row != nil && row.State == kind.Trashed {
		row = nil
	}
	return row, err
}

// Locate finds an image that a project may run, in its own repositories, its organisations', those shared with it or in
// Shared, and gives its digest form.
func (r *Registry) Locate(ctx context.Context, project id.ID, image string) (string, error) {
	named, err := reference.Parse(image)
	if err != nil {
		return "", fail.Field("spec.source.image", "%q is not an image reference", image).Then("write name:tag, organisation/name:tag, library/name:tag or name@sha256:…")
	}
	name, ref := image, "latest"
	switch n := named.(type) {
	case reference.Canonical:
		name, ref = n.Name(), n.Digest().String()
	case reference.NamedTagged:
		name, ref = n.Name(), n.Tag()
	}
	path, err := r.Qualify(project, name)
	if err != nil {
		return "", err
	}
	ok, err := r.usable(string(project), path, []string{Pull})
	if err != nil {
		return "", err
	}
	if ok {
		im, err := r.Resolve(ctx, path, ref)
		if err == nil {
			return path + "@" + im.Digest, nil
		}
		if !fail.Is(err, fail.NotFound) {
			return "", err
		}
	}
	return "", fail.New(fail.NotFound, "there is no image %s in the registry that this project may use", image).
		Then("push it first, or write its registry in front of it, docker.io/library/NAME say, where the operator allows that one")
}
