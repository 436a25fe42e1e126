package app

import (
	"cmp"
	"context"
	"net/url"
	"os"
	"strings"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/job"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/build"
)

// GitSource is a repository of somebody else.
type GitSource struct {
	URL  string `json:"url" doc:"git repository to build: https://HOST/PATH or ssh://USER@HOST/PATH" max:"1024"`
	Ref  string `json:"ref" doc:"branch, tag or commit; empty: the repository's default branch" max:"255"`
	Path string `json:"path" doc:"folder in the repository; empty: all of it" max:"512"`
}

// key names what an image is made from.
func (s Source) key() string {
	k := s.Digest + "|" + s.Image + "|" + s.Dockerfile + "|" + s.Stack
	if s.Git.URL != "" {
		k += "|" + s.Git.URL + "|" + s.Git.Ref + "|" + s.Git.Path
	}
	if s.Package.URL != "" {
		k += "|" + s.Package.URL + "|" + s.Package.Digest
	}
	return k
}

// settleSource leaves one source of several: in an update, the one that is new takes the place of the others.
func settleSource(old, src *Source) error {
	if old != nil {
		switch {
		case src.Digest != "" && src.Digest != old.Digest:
			src.Image, src.Git, src.Package = keep(src.Image, old.Image), keep(src.Git, old.Git), keep(src.Package, old.Package)
		case src.Image != "" && src.Image != old.Image:
			src.Digest, src.Git, src.Package = keep(src.Digest, old.Digest), keep(src.Git, old.Git), keep(src.Package, old.Package)
		case src.Git.URL != "" && src.Git != old.Git:
			src.Digest, src.Image, src.Package = keep(src.Digest, old.Digest), keep(src.Image, old.Image), keep(src.Package, old.Package)
		case src.Package.URL != "" && src.Package != old.Package:
			src.Digest, src.Image, src.Git = keep(src.Digest, old.Digest), keep(src.Image, old.Image), keep(src.Git, old.Git)
		}
		if src.Commit == old.Commit && src.Digest != old.Digest {
			src.Commit = ""
		}
	}
	given := 0
	for _, s := range []string{src.Digest, src.Image, src.Git.URL, src.Package.URL} {
		if s != "" {
			given++
		}
	}
	switch {
	case given > 1:
		return fail.Field("spec.source", "give one of a digest, an image, a git repository and a package, not several")
	case given == 0 && src.Git != (GitSource{}):
		return fail.Field("spec.source.git.url", "is required for a git source")
	case given == 0 && src.Package != (PackageSource{}):
		return fail.Field("spec.source.package.url", "is required for a package")
	case given == 0:
		return fail.Field("spec.source", "says nothing to run").Then("upload a folder or a package (awan deploy PATH does), or name a git repository or an image")
	case src.Digest == "":
		src.Commit = ""
	}
	return nil
}

// keep drops what an update left as it was.
func keep[T comparable](now, was T) T {
	var none T
	if now == was {
		return none
	}
	return now
}

// checkSource refuses sources that are not there or cannot be.
func (s *Service) checkSource(ctx context.Context, tx store.Tx, old, row *componentRow) error {
	src := &row.Spec.Source
	var was *Source
	if old != nil {
		was = &old.Spec.Source
	}
	if err := settleSource(was, src); err != nil {
		return err
	}
	if was == nil || was.Digest != src.Digest {
		if src.Digest != "" {
			depot, err := s.uploads(row.Project)
			if err != nil {
				return err
			}
			if there, err := depot.Has(tx, uploadKey(row.Project, src.Digest)); err != nil {
				return err
			} else if !there {
				return fail.Field("spec.source.digest", "there is no upload %s in this project", src.Digest).Then("upload the folder again")
			}
		}
	}
	if strings.HasPrefix(src.Branch, "/") || strings.HasSuffix(src.Branch, "/") || strings.Contains(src.Branch, "..") || strings.HasSuffix(src.Branch, ".lock") {
		return fail.Field("spec.source.branch", "%q is not a branch", src.Branch)
	}
	host := ""
	switch {
	case src.Git.URL != "":
		u, err := build.CheckRepository(src.Git.URL, src.Git.Ref, src.Git.Path)
		if err != nil {
			return err
		}
		host = u.Host
	case src.Package.URL != "":
		h, err := src.Package.check()
		if err != nil {
			return err
		}
		host = h
		if was == nil || was.Package != src.Package {
			if err := s.mayTake(ctx, tx, row); err != nil {
				return err
			}
		}
	case src.Image != "" && outside(src.Image):
		host, _, _ = strings.Cut(src.Image, "/")
	}
	if src.Credential == "" {
		return nil
	}
	c, err := s.Credential.Find(tx, string(row.Project), src.Credential)
	if err != nil {
		return err
	}
	if c == nil {
		return fail.Field("spec.source.credential", "there is no credential %q", src.Credential).Then("awan credential create %s --host HOST …", src.Credential)
	}
	if host != "" && !c.Spec.opens(host) {
		return fail.Field("spec.source.credential", "%s is for %s, not for %s", c.Name, c.Spec.Host, host).Then("make one for this host; a credential is never sent to another")
	}
	return nil
}

// outside tells an image of another registry, named in full, from one of ours.
func outside(image string) bool {
	first, _, more := strings.Cut(image, "/")
	return more && (strings.ContainsAny(first, ".:") || first == "localhost")
}

// access gives what opens the row's source, in clear; nil when nothing is needed.
func (s *Service) access(ctx context.Context, row *componentRow) (*build.Access, error) {
	name := row.Spec.Source.Credential
	if name == "" {
		return nil, nil
	}
	var c *credentialRow
	err := s.Store.View(ctx, func(tx store.Tx) (err error) {
		c, err = s.Credential.Find(tx, string(row.Project), name)
		return err
	})
	if err != nil {
		return nil, err
	}
	if c == nil {
		return nil, fail.Field("spec.source.credential", "there is no credential %q any more", name)
	}
	if u, err := url.Parse(cmp.Or(row.Spec.Source.Git.URL, row.Spec.Source.Package.URL)); err == nil && u.Host != "" && !c.Spec.opens(u.Host) {
		return nil, fail.Field("spec.source.credential", "%s is for %s, not for %s", c.Name, c.Spec.Host, u.Host)
	}
	a := &build.Access{Username: c.Spec.Username, KnownHosts: c.Spec.KnownHosts, CA: c.Spec.CA}
	for field, to := range map[string]*string{"password": &a.Password, "private_key": &a.PrivateKey} {
		sealed := c.Spec.Password
		if field == "private_key" {
			sealed = c.Spec.PrivateKey
		}
		if sealed == "" {
			continue
		}
		if *to, err = s.Host.Unseal(&c.Meta, "spec", field, sealed); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// make builds an image from an upload or a repository.
func (s *Service) make(ctx context.Context, row *componentRow, key string, again bool) error {
	st, src := &row.Status, row.Spec.Source
	j, _ := job.Current(ctx)
	log, err := s.openBuildLog(row, j.ID)
	if err != nil {
		return err
	}
	defer log.close()
	failed := func(err error) error {
		log.write("error", fail.From(err).Public())
		return err
	}
	p := &progress{ctx: ctx, log: log}
	archive, commit, id := "", src.Commit, ""
	if src.Git.URL != "" {
		file, c, err := s.fetch(ctx, row, p)
		if err != nil {
			return failed(err)
		}
		defer func() { _ = os.Remove(file) }()
		archive, commit, id = file, c.String(), c.ID
		p.Log("fetched " + commit)
		if b := st.Built; again && b != nil && b.From == key && b.Commit == id {
			p.Log("this commit was built before; its image is used")
			st.Next = &Rollout{Image: b.Image, Stack: b.Stack, Commit: commit, Note: "redeploy"}
			return nil
		}
	} else if src.Package.URL != "" {
		file, digest, err := s.download(ctx, row, p)
		if err != nil {
			return failed(err)
		}
		defer func() { _ = os.Remove(file) }()
		archive, id = file, digest
		if b := st.Built; again && b != nil && b.From == key && b.Commit == id {
			p.Log("this package was built before; its image is used")
			st.Next = &Rollout{Image: b.Image, Stack: b.Stack, Note: "redeploy"}
			return nil
		}
	} else {
		file, err := s.bring(ctx, row)
		if err != nil {
			return failed(err)
		}
		defer func() { _ = os.Remove(file) }()
		archive = file
	}
	runtimes, err := s.runtimes(ctx, row.Project)
	if err != nil {
		return failed(err)
	}
	out, err := s.Builder.Build(ctx, build.Request{ID: j.ID, Project: string(row.Project), Name: row.Name, Archive: archive,
		Dockerfile: src.Dockerfile, Stack: src.Stack, Runtimes: runtimes}, p)
	if err != nil {
		return failed(err)
	}
	log.write("done", "built "+out.Image)
	next := &Rollout{Image: out.Image, Stack: out.Stack, Commit: commit}
	if again {
		next.Note = "redeploy"
	}
	st.Next, st.Built = next, &Built{From: key, Image: out.Image, Stack: out.Stack, Commit: id}
	return nil
}

// fetch brings the row's repository into a file of its own.
func (s *Service) fetch(ctx context.Context, row *componentRow, p *progress) (string, build.Commit, error) {
	if s.Git == nil {
		return "", build.Commit{}, fail.New(fail.Unsupported, "this cloud fetches no git repositories")
	}
	access, err := s.access(ctx, row)
	if err != nil {
		return "", build.Commit{}, err
	}
	file, err := s.workFile(row.ID, "git")
	if err != nil {
		return "", build.Commit{}, err
	}
	src := row.Spec.Source.Git
	job.Note(ctx, "fetching "+src.URL)
	c, err := s.Git.Fetch(ctx, row.ID, build.Repository{URL: src.URL, Ref: src.Ref, Path: src.Path, Credential: access}, file, p.Log)
	if err != nil {
		_ = os.Remove(file)
	}
	return file, c, err
}

// redeploy builds again from where the component comes from: the newest commit of a branch, the newest image of a tag,
// the newest base images under an upload.
func (s *Service) redeploy(_ context.Context, _ store.Tx, row *componentRow, _ any) (string, error) {
	if row.Status.Gray != nil {
		return "", underWay(row)
	}
	row.Status.Next = &Rollout{Again: true, Note: "redeploy"}
	return "update", nil
}

// unbuild forgets what a build that came to nothing had in mind.
func (s *Service) unbuild(_ context.Context, row *componentRow) error {
	if row.Status.Gray == nil { // a gray release outlives the jobs that move it on
		row.Status.Next = nil
	}
	return nil
}

// resolve finds the image that the row names: one of ours, or a copy of one of another registry.
func (s *Service) resolve(ctx context.Context, row *componentRow) (string, error) {
	image := row.Spec.Source.Image
	if !outside(image) {
		return s.Builder.Resolve(ctx, row.Project, image)
	}
	if s.Pull == nil {
		return "", fail.New(fail.Unsupported, "images of other registries cannot be used here").Then("push the image to this cloud's registry")
	}
	access, err := s.access(ctx, row)
	if err != nil {
		return "", err
	}
	job.Note(ctx, "pulling "+image)
	return s.Pull(ctx, row.Project, image, access)
}
