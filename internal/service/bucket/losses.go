package bucket

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/awancloud/awan/internal/kernel/event"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/ledger"
	"github.com/awancloud/awan/internal/kernel/store"
)

// Somebody who holds a bucket's data to ransom overwrites or deletes most of it within minutes. In a bucket without
// versions that cannot be undone, so its owner is told when it happens: at least lossLeast objects, and at least half of
// those that were there, in lossWindow. Whether they were encrypted is not looked at; a clean-up looks the same, which is
// why it is a warning and stops nothing. The counts are in memory: a restart begins anew.
const (
	lossWindow = 10 * time.Minute
	lossLeast  = 100
	lossQuiet  = 6 * time.Hour // between two warnings
)

type losses struct {
	mu      sync.Mutex
	buckets map[id.ID]*lossCount
}

type lossCount struct {
	begun   time.Time
	objects int64 // when it began
	lost    int64
	told    time.Time
}

// lost counts an object whose content is gone for good: overwritten or deleted, and no version kept.
func (s *Service) lost(tx store.Tx, b *bucket) error {
	if isDepot(b.Name) {
		return nil
	}
	l, now := &s.losses, s.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	n := l.buckets[b.ID]
	if n == nil || now.Sub(n.begun).Abs() > lossWindow {
		held, err := countOf(tx, b.ID)
		if err != nil {
			return err
		}
		fresh := &lossCount{begun: now, objects: held.Objects}
		if n != nil {
			fresh.told = n.told
		}
		if n = fresh; l.buckets == nil {
			l.buckets = map[id.ID]*lossCount{}
		}
		l.buckets[b.ID] = n
	}
	n.lost++
	return nil
}

// warn tells the owners of buckets that lose most of what they hold.
func (s *Service) warn(ctx context.Context) error {
	type loss struct {
		bucket id.ID
		lossCount
	}
	var alarming []loss
	now := s.now()
	l := &s.losses
	l.mu.Lock()
	for b, n := range l.buckets {
		switch {
		case n.lost >= lossLeast && 2*n.lost >= n.objects && (n.told.IsZero() || now.Sub(n.told) > lossQuiet):
			n.told = now
			alarming = append(alarming, loss{b, *n})
		case now.Sub(n.begun) > lossQuiet+lossWindow:
			delete(l.buckets, b)
		}
	}
	l.mu.Unlock()
	for _, a := range alarming {
		text := fmt.Sprintf("%d of %d objects were overwritten or deleted within %d minutes, and the bucket keeps no versions; if that was not you, disable the access keys that did it and restore from a replica or backup",
			a.lost, a.objects, int(now.Sub(a.begun).Minutes())+1)
		_, err := s.Store.Update(ctx, func(tx store.Tx) error {
			b, err := s.byID(tx, a.bucket)
			if err != nil || b == nil {
				return err
			}
			if err := s.note(tx, b.ID, event.Warning, "MassChange", text); err != nil {
				return err
			}
			c := itself("watch")
			return ledger.Record(tx, &ledger.Entry{ID: id.New(), At: now, Ended: now, Domain: b.Domain, Project: b.Project, Actor: c.Principal.String(), Source: "inside", Agent: c.Agent,
				Dialect: c.Dialect, Action: s.Rows.D.Desc.Action("warn"), Kind: s.Rows.D.FullName(), Row: b.ID, Name: b.Name, RequestID: c.RequestID, Outcome: ledger.Succeeded, Reason: text})
		})
		if err != nil {
			return err
		}
	}
	return nil
}
