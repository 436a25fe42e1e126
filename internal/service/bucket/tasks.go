package bucket

import (
	"context"
	"sync"
	"time"

	"github.com/awancloud/awan/internal/kernel/event"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
)

// What runs beside requests goes through buckets a page at a time, changes a bounded number of things in one transaction,
// rests in between so that requests stay fast, and keeps in the store how far it came where beginning anew would cost.

// wantKey is where what somebody asked for waits: bucket/want/TASK/BUCKET. It stays until it is done.
const wantKey = "bucket/want/"

// Tasks that can be asked for.
const (
	sweepTask = "sweep"
	scrubTask = "scrub"
)

func (s *Service) actions() []kind.Action[BucketSpec, BucketStatus] {
	want := func(task string) func(context.Context, store.Tx, *Row, any) (string, error) {
		return func(_ context.Context, tx store.Tx, row *Row, _ any) (string, error) {
			return "", tx.Put(wantKey+task+"/"+string(row.ID), nil)
		}
	}
	return []kind.Action[BucketSpec, BucketStatus]{
		{Verb: sweepTask, Doc: "run the lifecycle rules now; its events say what came of it", Level: kind.Write, Change: want(sweepTask)},
		{Verb: scrubTask, Doc: "read and check all that it holds now; its events say what came of it", Level: kind.Write, Change: want(scrubTask)},
	}
}

// wanted lists the buckets that a task was asked for.
func (s *Service) wanted(ctx context.Context, task string) (out []id.ID, err error) {
	p := wantKey + task + "/"
	err = s.Store.View(ctx, func(tx store.Tx) error {
		for k := range tx.Scan(p, "") {
			out = append(out, id.ID(k[len(p):]))
		}
		return tx.ScanErr()
	})
	return out, err
}

// forgetTasks removes what tasks keep of a bucket that goes. What waits to be sent its senders drop.
func forgetTasks(tx store.Tx, b id.ID) error {
	for _, k := range []string{wantKey + sweepTask + "/", wantKey + scrubTask + "/", sweepKey} {
		if err := tx.Delete(k + string(b)); err != nil {
			return err
		}
	}
	for _, p := range []string{copiesKey, inventoryKey, fetchJobKey} {
		for k := range tx.Scan(p+string(b)+"/", "") {
			if err := tx.Delete(k); err != nil {
				return err
			}
		}
	}
	return tx.ScanErr()
}

// each calls fn for every bucket, whose row it read a moment ago.
func (s *Service) each(ctx context.Context, fn func(*bucket) error) error {
	const page = 100
	after := ""
	for {
		var found []*bucket
		keys := 0
		err := s.Store.View(ctx, func(tx store.Tx) error {
			for k := range tx.Scan(nameKey, after) {
				after, keys = k, keys+1
				b, err := s.find(tx, k[len(nameKey):])
				if err != nil {
					return err
				}
				if b != nil && b.State != kind.Deleting {
					found = append(found, b)
				}
				if keys == page {
					break
				}
			}
			return tx.ScanErr()
		})
		if err != nil || keys == 0 {
			return err
		}
		for _, b := range found {
			if err := fn(b); err != nil {
				return err
			}
		}
	}
}

// byID reads a bucket; nil when there is none, or none that may be worked on.
func (s *Service) byID(tx store.Tx, bucket id.ID) (*bucket, error) {
	row, err := s.Rows.Get(tx, bucket)
	if err != nil || row == nil || row.State == kind.Deleting {
		return nil, err
	}
	return s.find(tx, row.Name)
}

// note writes an event on a bucket's row.
func (s *Service) note(tx store.Tx, bucket id.ID, level event.Level, typ, text string) error {
	return event.Emit(tx, bucket, event.Event{At: s.now(), Level: level, Type: typ, Text: text})
}

// itself is the cloud as a caller, for what it does by the bucket's own rules.
func itself(agent string) *Caller {
	return &Caller{Principal: ident.System(), Agent: agent, Dialect: "inside", RequestID: string(id.New())}
}

// taskState is what tasks remember while the cloud runs.
type taskState struct {
	mu      sync.Mutex
	swept   time.Time // when every bucket was last looked at
	orphans orphanSearch
	listed  time.Time            // when inventories were last looked at
	failed  map[string]time.Time // when those that failed are tried again
}

// rest lets requests go first.
func rest(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// later keeps a task that failed from failing again at once.
func (s *Service) later(ctx context.Context, err error) error {
	if err != nil && ctx.Err() == nil {
		s.Log.Error("object storage: a task failed and is tried again", "err", err)
		return rest(ctx, time.Minute)
	}
	return nil
}
