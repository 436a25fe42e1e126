package registry

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/awancloud/awan/internal/kernel/event"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/ledger"
	"github.com/awancloud/awan/internal/kernel/store"
)

// change is what a request did to a repository, for its row, the audit log and whoever follows pushes.
type change struct {
	who                ident.Principal
	source, agent, rid string
	verb               string // Push or Delete; "" only counts
	ref                string // tag or digest
	digest             digest.Digest
}

// inDoor is the source of changes that came as calls through the door.
const inDoor = "door"

// locks keeps the counts of one repository in order.
type locks struct {
	mu sync.Mutex
	m  map[string]*sync.Mutex
}

func (l *locks) take(name string) func() {
	l.mu.Lock()
	if l.m == nil {
		l.m = map[string]*sync.Mutex{}
	}
	k := l.m[name]
	if k == nil {
		k = new(sync.Mutex)
		l.m[name] = k
	}
	l.mu.Unlock()
	k.Lock()
	return k.Unlock
}

// measured is what a repository holds.
type measured struct {
	bytes        int64
	images, tags int
}

// measure adds up a repository: each blob that it links to, once.
func (r *Registry) measure(ctx context.Context, repository string) (measured, error) {
	var m measured
	revisions, err := r.links(ctx, repository, "_manifests/revisions")
	if err != nil {
		return m, err
	}
	m.images = len(revisions)
	layers, err := r.links(ctx, repository, "_layers")
	if err != nil {
		return m, err
	}
	for d := range layers {
		revisions[d] = time.Time{}
	}
	for d := range revisions {
		if info, ok, err := r.blob(ctx, d); err != nil {
			return m, err
		} else if ok {
			m.bytes += info.Size()
		}
	}
	tags, err := r.Tags(ctx, repository)
	if err != nil && !fail.Is(err, fail.NotFound) {
		return m, err
	}
	m.tags = len(tags)
	return m, nil
}

// account counts a repository anew after a change and stores what goes with it in one transaction: its row (made by a
// first push), quota, meter and audit entry. fail.Quota when the project may not hold that much.
func (r *Registry) account(ctx context.Context, repository string, c change) error {
	if r.store == nil || r.kinds == nil || namespaceOf(repository) == Shared {
		return nil
	}
	defer r.counting.take(repository)()
	m, err := r.measure(ctx, repository)
	if err != nil {
		return fail.Wrap(err, fail.Internal, "counting repository %s", repository)
	}
	_, err = r.store.Update(ctx, func(tx store.Tx) error {
		place, err := r.kinds.Place(tx, repository)
		if err != nil || place == nil {
			return err
		}
		now := r.now().UTC()
		row, old := place.Row, kind.AnyRow(nil)
		if row == nil {
			if c.verb == Delete || m.images == 0 && m.bytes == 0 {
				return nil // its row is gone: so are its images
			}
			row = &RepositoryRow{Meta: kind.Meta{ID: id.New(), Kind: r.kinds.Repository.D.FullName(), Domain: place.Domain, Project: place.Project,
				Name: place.Name, State: kind.Active, Made: true, Generation: 1, Created: now, Updated: now, CreatedBy: c.who.UserName}}
			row.Spec.Category, row.Status.Path = "other", repository
			if err := ledger.Reserve(tx, place.Project, "registry.repositories", 1, r.limits); err != nil {
				return err
			}
		} else {
			if row.State == kind.Deleting {
				return fail.New(fail.Conflict, "repository %s is being deleted", repository).Then("push again when it is gone")
			}
			old = r.kinds.Repository.D.Clone(row)
		}
		before := inMiB(row.Status.Bytes)
		row.Status.Bytes, row.Status.Images, row.Status.Tags = m.bytes, m.images, m.tags
		if err := ledger.Reserve(tx, place.Project, Storage, inMiB(m.bytes)-before, r.limits); err != nil {
			return err
		}
		if c.verb == Push {
			row.Status.Pushed, row.Updated = now, now
			if _, err := digest.Parse(c.ref); err != nil {
				row.Status.Newest = c.ref
			}
		}
		if err := r.kinds.Repository.D.Put(tx, old, row); err != nil {
			return err
		}
		for dim, amount := range r.kinds.Repository.D.MeterOf(row) {
			s := ledger.Sample{Project: row.Project, Kind: row.Kind, Row: row.ID, Name: row.Name, Dim: dim, Amount: amount}
			if err := ledger.Meter(tx, s, now); err != nil {
				return err
			}
		}
		return r.recordChange(tx, row, c, now)
	})
	return err
}

// recordChange writes the audit entry and the event of a push or a delete.
func (r *Registry) recordChange(tx store.Tx, row *RepositoryRow, c change, now time.Time) error {
	if c.verb == "" {
		return nil
	}
	text := map[string]string{Push: "pushed ", Delete: "deleted "}[c.verb] + c.ref
	if err := event.Emit(tx, row.ID, event.Event{At: now, Level: event.Info, Type: "Image", Text: text + " by " + c.who.String()}); err != nil {
		return err
	}
	if c.source == inDoor {
		return nil // the door has written its entry
	}
	return ledger.Record(tx, &ledger.Entry{ID: id.New(), At: now, Ended: now, Domain: row.Domain, Project: row.Project, Actor: c.who.String(), ActorID: c.who.User,
		Source: c.source, Agent: c.agent, Dialect: "oci", Action: row.Kind[:len("registry")] + ":repository:" + c.verb, Kind: row.Kind, Row: row.ID,
		Name: row.Name, Reason: text, Outcome: ledger.Succeeded, RequestID: c.rid})
}

// room is how many bytes the project of a repository may still store; ok is false where nothing limits it.
func (r *Registry) room(ctx context.Context, repository string) (bytes int64, ok bool, err error) {
	if r.store == nil || r.kinds == nil || namespaceOf(repository) == Shared {
		return 0, false, nil
	}
	err = r.store.View(ctx, func(tx store.Tx) error {
		place, err := r.kinds.Place(tx, repository)
		if err != nil || place == nil {
			return err
		}
		quotas, err := ledger.Quotas(tx, place.Project, []ledger.Dim{Storage}, r.limits)
		if err != nil {
			return err
		}
		if q := quotas[0]; q.Limit >= 0 {
			bytes, ok = max(0, q.Limit-q.Used)<<20, true
		}
		return nil
	})
	return bytes, ok, err
}

// full is the refusal of a push over quota, as docker shows it.
func full(w http.ResponseWriter, err error) {
	writeError(w, http.StatusForbidden, "DENIED", fail.From(err).Public())
}

var errFull = fail.New(fail.Quota, "%s: the project's images take all the room they may", Storage).
	Then("delete images or repositories, set a retention, or ask the operator for more: awan quota set %s MIB", Storage)

// Recount counts every repository anew: for a start after a crash between a file and its row.
func (r *Registry) Recount(ctx context.Context) error {
	names, err := r.Repositories(ctx, "")
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := r.account(ctx, name, change{}); err != nil && !fail.Is(err, fail.Quota) && !fail.Is(err, fail.Conflict) {
			return err
		}
	}
	return nil
}
