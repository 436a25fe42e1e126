// Package delivery carries pushed images on: a trigger releases them to a component, a sync copies them to another
// organisation or another registry. It may import the kernel, service/{app,registry}.
package delivery

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/clock"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/app"
	"github.com/awancloud/awan/internal/service/registry"
)

// Deps are what the service stands on; the zero value is enough to describe its kinds.
type Deps struct {
	Store    store.Store
	Registry *registry.Registry
	Images   *registry.Kinds
	Apps     *app.Service
	Door     func() *call.Door // is made after the service
	// Outward reaches other registries; roots are authorities in PEM form that theirs may be signed by beside the known ones.
	Outward func(roots []byte) *http.Client
	Now     clock.Clock
	Log     *slog.Logger
}

// Service carries images on.
type Service struct {
	Deps
	Remote  kind.Table[RemoteSpec, ident.None]
	Sync    kind.Table[SyncSpec, SyncStatus]
	Trigger kind.Table[TriggerSpec, TriggerStatus]
}

// New makes the service.
func New(d Deps) *Service {
	s := &Service{Deps: d}
	s.Remote = kind.TableOf[RemoteSpec, ident.None](s.remoteKind().Def())
	s.Sync = kind.TableOf[SyncSpec, SyncStatus](s.syncKind().Def())
	s.Trigger = kind.TableOf[TriggerSpec, TriggerStatus](s.triggerKind().Def())
	if d.Registry != nil {
		d.Registry.OnPush(s.pushed)
	}
	return s
}

// Kinds lists the kinds.
func (s *Service) Kinds() []*kind.Def { return []*kind.Def{s.Trigger.D, s.Sync.D, s.Remote.D} }

// What follows from a push is kept under these keys until it is done, and which push of a tag was the last that counted.
const (
	waitingPrefix = "delivery/waiting/" // ROW/TAG
	seenPrefix    = "delivery/seen/"    // ROW/TAG
)

// note is a push that waits for a row to act on it.
type note struct {
	Tag    string    `json:"tag"`
	Digest string    `json:"digest"`
	At     time.Time `json:"at"`
	Asked  bool      `json:"asked,omitempty"` // by hand: whenever it was pushed
	By     string    `json:"by,omitempty"`

	Override bool      `json:"override,omitempty"` // of one that was asked for
	Try      int       `json:"try,omitempty"`
	Tried    time.Time `json:"tried,omitzero"`
}

// pushed puts down what follows from a push. It is told of old pushes too, after a start: those that a row has seen, or
// that are older than it, do not count.
func (s *Service) pushed(repository, ref string, d digest.Digest) {
	if strings.HasPrefix(ref, "sha256:") { // a part of an index, or an image without a name
		return
	}
	ctx := context.Background()
	var wake []*kind.Def
	_, err := s.Store.Update(ctx, func(tx store.Tx) error {
		wake = nil
		place, err := s.Images.Place(tx, repository)
		if err != nil || place == nil {
			return err
		}
		f := kind.Filter{Index: "repository", Value: place.Name, State: kind.Active}
		syncs, err := s.Sync.List(tx, string(place.Project), f)
		if err != nil {
			return err
		}
		for _, r := range syncs {
			if r.Spec.Auto {
				if err := s.put(tx, r.ID, note{Tag: ref, Digest: d.String(), At: s.Now().UTC()}); err != nil {
					return err
				}
				wake = append(wake, s.Sync.D)
			}
		}
		triggers, err := s.Trigger.List(tx, string(place.Project), f)
		for _, r := range triggers {
			if !r.Spec.Disabled && r.Spec.fits(ref) {
				if err := s.put(tx, r.ID, note{Tag: ref, Digest: d.String(), At: s.Now().UTC()}); err != nil {
					return err
				}
				wake = append(wake, s.Trigger.D)
			}
		}
		return err
	})
	if err != nil {
		s.Log.Error("what follows from a push cannot be put down", "repository", repository, "ref", ref, "err", err)
	}
	for _, k := range wake {
		s.wake(k)
	}
}

// wake makes the loop of a kind look now; before the door is there nothing waits for it.
func (s *Service) wake(k *kind.Def) {
	if d := s.Door(); d != nil {
		d.Wake(k.FullName())
	}
}

// put keeps a note, unless the row has seen this image under this tag.
func (s *Service) put(tx store.Tx, row id.ID, n note) error {
	at := string(row) + "/" + n.Tag
	was, there, err := tx.Get(seenPrefix + at)
	if err != nil || there && string(was) == n.Digest && !n.Asked {
		return err
	}
	if err := tx.Put(seenPrefix+at, []byte(n.Digest)); err != nil {
		return err
	}
	return putNote(tx, row, n)
}

func putNote(tx store.Tx, row id.ID, n note) error {
	b, err := json.Marshal(n)
	if err != nil {
		return err
	}
	return tx.Put(waitingPrefix+string(row)+"/"+n.Tag, b)
}

// waiting reads the notes of a row, the oldest first.
func (s *Service) waiting(ctx context.Context, row id.ID) (out []note, err error) {
	err = s.Store.View(ctx, func(tx store.Tx) error {
		for _, b := range tx.Scan(waitingPrefix+string(row)+"/", "") {
			var n note
			if err := json.Unmarshal(b, &n); err != nil {
				return fail.Wrap(err, fail.Internal, "a stored note cannot be read")
			}
			out = append(out, n)
		}
		return tx.ScanErr()
	})
	return out, err
}

// done forgets a note, unless a newer one of that tag came meanwhile.
func done(tx store.Tx, row id.ID, n note) error {
	at := waitingPrefix + string(row) + "/" + n.Tag
	b, there, err := tx.Get(at)
	if err != nil || !there {
		return err
	}
	var now note
	if err := json.Unmarshal(b, &now); err != nil || now != n {
		return err
	}
	return tx.Delete(at)
}

// forget removes the notes of a row that is gone.
func forget(tx store.Tx, row id.ID) error {
	for _, prefix := range []string{waitingPrefix, seenPrefix} {
		var keys []string
		for k := range tx.Scan(prefix+string(row)+"/", "") {
			keys = append(keys, k)
		}
		if err := tx.ScanErr(); err != nil {
			return err
		}
		for _, k := range keys {
			if err := tx.Delete(k); err != nil {
				return err
			}
		}
	}
	return nil
}

// current tells whether a note's image is still what its tag names, and was pushed since the row is there.
func (s *Service) current(ctx context.Context, m *kind.Meta, path string, n note) (bool, error) {
	im, err := s.Registry.Resolve(ctx, path, n.Tag)
	if fail.Is(err, fail.NotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return im.Digest == n.Digest && (n.Asked || !im.Pushed.Before(m.Created.Truncate(time.Second))), nil
}

// repository finds the one a row names, and settles its name.
func (s *Service) repository(tx store.Tx, project id.ID, name *string) (*registry.RepositoryRow, error) {
	repo, err := s.Images.Find(tx, project, *name)
	if err != nil {
		return nil, err
	}
	if repo == nil {
		return nil, fail.Field("spec.repository", "there is no repository %q", *name).Then("see awan repository list; a first push makes one")
	}
	*name = repo.Name
	return repo, nil
}

// permit asks whether who calls may do themselves what a row will do for them.
func (s *Service) permit(ctx context.Context, m *kind.Meta, k *kind.Def, verb, target string) error {
	who := ident.From(ctx)
	if s.Door == nil || who.Method == ident.BySystem {
		return nil
	}
	_, _, err := s.Door().Permit(ctx, &call.Call{Principal: who, Domain: string(m.Domain), Project: string(m.Project)}, k, verb, target)
	return err
}
