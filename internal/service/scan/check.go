package scan

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/registry"
)

var anyFilter = kind.Filter{}

const (
	waiting = "waiting to be scanned"
	// NoList is what is said of an image where nothing can be said of it.
	NoList = "no list loaded"
)

// inventory gives an image's packages. They never change, so that they are read once.
func (s *Service) inventory(ctx context.Context, repository, d string) (*Inventory, error) {
	out := new(Inventory)
	known := false
	err := s.Store.View(ctx, func(tx store.Tx) error {
		b, ok, err := tx.Get(inventoryKey(d))
		if known = ok; !ok || err != nil {
			return err
		}
		return json.Unmarshal(b, out)
	})
	if known || err != nil {
		return out, err
	}
	im, err := s.Registry.Resolve(ctx, repository, d)
	if err != nil {
		return nil, err
	}
	layers, err := s.Registry.Layers(ctx, im, runtime.GOARCH)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(s.Dir, 0o700); err != nil {
		return nil, fail.Wrap(err, fail.NoSpace, "the image cannot be looked into")
	}
	w := &walker{ctx: ctx, dir: s.Dir, seen: map[string]bool{}, out: out}
	for _, l := range slices.Backward(layers) {
		body, err := s.Registry.Blob(ctx, repository, l.Digest)
		if err == nil {
			err = w.layer(l.MediaType, body)
			_ = body.Close()
		}
		if err != nil {
			return nil, fail.Wrap(err, fail.Invalid, "layer %s cannot be read", l.Digest)
		}
	}
	w.finish()
	b, err := json.Marshal(out)
	if err != nil {
		return nil, err
	}
	_, err = s.Store.Update(ctx, func(tx store.Tx) error { return tx.Put(inventoryKey(d), b) })
	return out, err
}

// examine compares an image with the lists.
func (s *Service) examine(ctx context.Context, repository, d string) (Status, error) {
	inv, err := s.inventory(ctx, repository, d)
	if err != nil {
		return Status{}, err
	}
	st := Status{Packages: len(inv.Packages), Scanned: s.Now().UTC(), Counts: map[Severity]int{}}
	missing := map[string]bool{}
	var all []Finding
	err = s.Store.View(ctx, func(tx store.Tx) error {
		l, err := s.lists(tx)
		if err != nil {
			return err
		}
		st.Lists = l.state
		all = nil
		clear(missing)
		for _, p := range inv.Packages {
			if !l.covers(p.Eco) {
				missing[p.Eco] = true
				continue
			}
			found, err := l.find(tx, p)
			if err != nil {
				return err
			}
			all = append(all, found...)
		}
		return nil
	})
	if err != nil {
		return st, err
	}
	for _, f := range all {
		st.Counts[f.Severity]++
	}
	slices.SortStableFunc(all, func(a, b Finding) int {
		if n := rank[b.Severity] - rank[a.Severity]; n != 0 {
			return n
		}
		return strings.Compare(a.Package+a.ID, b.Package+b.ID)
	})
	st.Findings = all
	for eco := range missing {
		st.Unchecked = append(st.Unchecked, eco)
	}
	slices.Sort(st.Unchecked)
	st.Unchecked = append(st.Unchecked, inv.Unread...)
	st.Verdict = verdict(st)
	return st, nil
}

// verdict says what came of it. It never calls an image clean of what nothing was looked up for.
func verdict(st Status) string {
	if st.Lists == "" {
		return NoList
	}
	checked := "in the lists of " + st.Lists
	n := len(st.Findings)
	text := plural(st.Packages, "package") + ", none with a flaw " + checked
	if st.Packages == 0 {
		text = "no packages were found in it, so nothing was compared"
	}
	if n > 0 {
		var parts []string
		for _, sev := range []Severity{Critical, High, Medium, Low, Unknown} {
			if c := st.Counts[sev]; c > 0 {
				parts = append(parts, fmt.Sprintf("%d %s", c, sev))
			}
		}
		text = plural(n, "finding") + ": " + strings.Join(parts, ", ")
	}
	if len(st.Unchecked) > 0 {
		text += "; not checked: " + strings.Join(st.Unchecked, ", ")
	}
	return text
}

func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}

func bounded(st Status) Status {
	st.Findings = st.Findings[:min(len(st.Findings), maxFindings)]
	return st
}

// find gives the repository's path and the digest of an image that a project names.
func (s *Service) find(ctx context.Context, project id.ID, image string) (repository, d string, err error) {
	name, ref := split(image)
	if repository, err = s.Registry.Qualify(project, name); err != nil {
		return "", "", err
	}
	if ns, _, _ := strings.Cut(repository, "/"); ns != string(project) && ns != registry.Shared {
		var place *registry.Place
		err := s.Store.View(ctx, func(tx store.Tx) (err error) {
			place, err = s.Kinds.Place(tx, repository)
			return err
		})
		if err != nil {
			return "", "", err
		}
		if place == nil || place.Project != project {
			return "", "", fail.Field("spec.image", "there is no repository %s in this project", repository).Then("see awan repository list")
		}
	}
	im, err := s.Registry.Resolve(ctx, repository, ref)
	if err != nil {
		return "", "", err
	}
	return repository, im.Digest, nil
}

func (s *Service) scanRow(ctx context.Context, r *row) error {
	image := r.Spec.Image
	if name, _ := split(image); r.Spec.Digest != "" {
		image = name + "@" + r.Spec.Digest
	}
	repository, d, err := s.find(ctx, r.Project, image)
	if err != nil {
		return err
	}
	st, err := s.examine(ctx, repository, d)
	if err != nil {
		return err
	}
	r.Spec.Digest, r.Status = d, bounded(st)
	return nil
}

// refresh scans what waits, scans again when lists changed, and forgets scans of images that are gone.
func (s *Service) refresh(ctx context.Context, r *row) (bool, error) {
	var now lists
	err := s.Store.View(ctx, func(tx store.Tx) (err error) {
		now, err = s.lists(tx)
		return err
	})
	if err != nil || r.Status.Verdict != waiting && now.state == r.Status.Lists && !s.gone(ctx, r) {
		return false, err
	}
	err = s.scanRow(ctx, r)
	if fail.Is(err, fail.NotFound) || fail.Is(err, fail.Invalid) && s.gone(ctx, r) {
		_, err = s.Store.Update(ctx, func(tx store.Tx) error {
			was, err := s.Scan.Get(tx, r.ID)
			if err != nil || was == nil {
				return err
			}
			if err := s.scanChanged(ctx, tx, was, nil); err != nil {
				return err
			}
			return s.Scan.Remove(tx, was)
		})
		return false, err
	}
	if err != nil && ctx.Err() == nil {
		r.Status = Status{Verdict: "it could not be scanned: " + fail.From(err).Public(), Lists: now.state, Scanned: s.Now().UTC()}
		return true, nil
	}
	return err == nil, err
}

// gone tells that the scanned image is no longer in the registry.
func (s *Service) gone(ctx context.Context, r *row) bool {
	name, _ := split(r.Spec.Image)
	repository, err := s.Registry.Qualify(r.Project, name)
	if err != nil {
		return false
	}
	return !s.Registry.Has(ctx, repository, digest.Digest(r.Spec.Digest))
}
