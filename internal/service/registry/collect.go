package registry

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/distribution/distribution/v3/registry/storage"
	"github.com/opencontainers/go-digest"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/store"
)

// Grace is how long a blob or an untagged image that nothing refers to stays: a client sends an image's blobs before
// its manifest, and reads an image by digest after its tag has moved on.
const (
	Grace         = time.Hour
	UntaggedGrace = 7 * 24 * time.Hour
	collectEvery  = 15 * time.Minute
)

// leases remember when a client last relied on a blob being there (asked for it, sent it, mounted it, referred to it).
type leases struct {
	mu sync.Mutex
	m  map[digest.Digest]time.Time
}

func (l *leases) touch(now time.Time, digests ...digest.Digest) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.m == nil {
		l.m = map[digest.Digest]time.Time{}
	}
	for _, d := range digests {
		l.m[d] = now
	}
}

// unless runs remove if nobody relied on d after since. Who comes to rely on it meanwhile waits, and then finds it gone.
func (l *leases) unless(d digest.Digest, since time.Time, remove func() error) (done bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if at, ok := l.m[d]; ok && !at.Before(since) {
		return false, nil
	}
	delete(l.m, d)
	return true, remove()
}

// Collected is what a collection did.
type Collected struct {
	Manifests, Links, Blobs int
	Bytes                   int64
}

// Collect frees what no image refers to: untagged images that nothing needs (after UntaggedGrace), then blobs (after
// grace), then uploads older than a day. Clients go on reading and writing meanwhile: a blob is taken away only when
// nobody sent, mounted, asked for or referred to it within the grace.
func (r *Registry) Collect(ctx context.Context, grace time.Duration) (Collected, error) {
	r.collecting.Lock()
	defer r.collecting.Unlock()
	var out Collected
	now := r.now()
	if since := now.Sub(r.started); since < grace {
		return out, fail.New(fail.Conflict, "the registry runs for %s only: what clients rely on from before is not known", since.Round(time.Second)).
			Then("try again in %s", (grace - since).Round(time.Second))
	}
	needed, err := r.neededImages(ctx)
	if err != nil {
		return out, err
	}
	names, err := r.Repositories(ctx, "")
	if err != nil {
		return out, err
	}
	s := &sweep{r: r, vacuum: storage.NewVacuum(ctx, r.files), since: now.Add(-grace), untagged: now.Add(-max(grace, UntaggedGrace)), used: map[digest.Digest]bool{}, out: &out}
	for _, name := range names {
		if err := s.repository(ctx, name, needed); err != nil {
			return out, fail.Wrap(err, fail.Internal, "collecting repository %s", name)
		}
	}
	if err := s.blobs(ctx); err != nil && !absent(err) {
		return out, fail.Wrap(err, fail.Internal, "collecting unused blobs")
	}
	if _, err := r.files.Stat(ctx, "/docker/registry/v2/repositories"); absent(err) {
		return out, nil
	}
	// Files are dated by the machine's clock. One that a client writes to just now is left for the next time.
	if _, errs := storage.PurgeUploads(ctx, r.files, time.Now().Add(-24*time.Hour), true); len(errs) > 0 {
		r.log.Warn("abandoned uploads cannot be removed", "err", errors.Join(errs...))
	}
	return out, nil
}

// sweep is one collection on its way.
type sweep struct {
	r        *Registry
	vacuum   storage.Vacuum
	since    time.Time
	untagged time.Time
	used     map[digest.Digest]bool // blobs that some repository links to
	out      *Collected
}

// repository takes away a repository's untagged images and its links to blobs that none of its images has.
func (s *sweep) repository(ctx context.Context, name string, needed map[string]string) error {
	live, known, err := s.r.live(ctx, name, needed)
	if err != nil {
		return err
	}
	revisions, err := s.r.links(ctx, name, "_manifests/revisions")
	if err != nil {
		return err
	}
	before := s.out.Manifests + s.out.Links
	tags, err := s.r.Tags(ctx, name)
	if err != nil && !fail.Is(err, fail.NotFound) {
		return err
	}
	marked := map[digest.Digest]bool{}
	for d, at := range revisions {
		gone := known[d] != nil && !live[d] && at.Before(s.untagged) && s.take(d, func() error {
			if again, _, err := s.r.live(ctx, name, needed); err != nil || again[d] { // tagged or referred to meanwhile
				return errors.Join(err, errKept)
			}
			return s.vacuum.RemoveManifest(name, d, tags)
		}, &err)
		if err != nil {
			return err
		}
		if gone {
			s.out.Manifests++
			continue
		}
		marked[d], s.used[d] = true, true
		if m := known[d]; m != nil {
			for _, b := range m.blobs {
				marked[b] = true
			}
		}
	}
	layers, err := s.r.links(ctx, name, "_layers")
	if err != nil {
		return err
	}
	for d, at := range layers {
		gone := !marked[d] && at.Before(s.since) && s.take(d, func() error { return s.vacuum.RemoveLayer(name, d) }, &err)
		if err != nil {
			return err
		}
		if gone {
			s.out.Links++
		} else {
			s.used[d] = true
		}
	}
	if s.out.Manifests+s.out.Links > before {
		return s.r.account(ctx, name, change{})
	}
	return nil
}

var errKept = errors.New("kept")

// take runs remove, unless somebody relies on d.
func (s *sweep) take(d digest.Digest, remove func() error, failed *error) bool {
	done, err := s.r.relied.unless(d, s.since, remove)
	if !done || errors.Is(err, errKept) {
		return false
	}
	if err != nil && !absent(err) {
		*failed = err
		return false
	}
	return true
}

// blobs takes away the bytes that no repository links to.
func (s *sweep) blobs(ctx context.Context) error {
	var unused []digest.Digest
	err := s.r.names.Blobs().Enumerate(ctx, func(d digest.Digest) error {
		if !s.used[d] {
			unused = append(unused, d)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, d := range unused {
		info, ok, err := s.r.blob(ctx, d)
		if err != nil {
			return err
		}
		if !ok || !info.ModTime().Before(s.since) {
			continue
		}
		gone := s.take(d, func() error { return s.vacuum.RemoveBlob(d.String()) }, &err)
		if err != nil {
			return err
		}
		if gone {
			s.out.Blobs++
			s.out.Bytes += info.Size()
			s.r.parsed.Delete(d)
		}
	}
	return nil
}

// live names the images of a repository that stay: tagged ones, those that something needs, what these consist of, and
// what is about any of them (signatures, SBOMs).
func (r *Registry) live(ctx context.Context, name string, needed map[string]string) (live map[digest.Digest]bool, known map[digest.Digest]*manifest, err error) {
	if known, err = r.manifests(ctx, name); err != nil {
		return nil, nil, err
	}
	live = map[digest.Digest]bool{}
	var keep func(digest.Digest)
	keep = func(d digest.Digest) {
		if live[d] {
			return
		}
		live[d] = true
		if m := known[d]; m != nil {
			for _, c := range m.children {
				keep(c)
			}
		}
		for other, m := range known {
			if m.subject == d {
				keep(other)
			}
		}
	}
	tags, err := r.Tags(ctx, name)
	if err != nil && !fail.Is(err, fail.NotFound) {
		return nil, nil, err
	}
	for _, tag := range tags {
		d, _, ok, err := r.tag(ctx, name, tag)
		if err != nil {
			return nil, nil, err
		}
		if ok {
			keep(d)
		}
	}
	for d := range known {
		if needed[name+"@"+d.String()] != "" || namespaceOf(name) == Shared {
			keep(d)
		}
	}
	return live, known, nil
}

func (r *Registry) neededImages(ctx context.Context) (out map[string]string, err error) {
	if r.store == nil || r.kinds == nil || r.kinds.needed == nil {
		return nil, nil
	}
	err = r.store.View(ctx, func(tx store.Tx) error {
		out, err = r.kinds.needed(tx)
		return err
	})
	return out, err
}

// Start counts what is stored and begins to collect; Close ends it.
func (r *Registry) Start(ctx context.Context) error {
	if err := r.Recount(ctx); err != nil {
		return err
	}
	r.running.Go(func() {
		if err := r.retell(r.ctx); err != nil && r.ctx.Err() == nil {
			r.log.Warn("what was pushed before a crash may stay unscanned", "err", err)
		}
		t := time.NewTicker(collectEvery)
		defer t.Stop()
		for {
			select {
			case <-r.ctx.Done():
				return
			case <-t.C:
			}
			did, err := r.Collect(r.ctx, Grace)
			switch {
			case r.ctx.Err() != nil:
			case err != nil && !fail.Is(err, fail.Conflict):
				r.log.Warn("unused images cannot be collected", "err", err)
			case did != Collected{}:
				r.log.Info("collected unused images", "manifests", did.Manifests, "blobs", did.Blobs, "bytes", did.Bytes)
			}
		}
	})
	return nil
}
