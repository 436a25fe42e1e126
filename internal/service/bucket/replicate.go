package bucket

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/awancloud/awan/internal/kernel/event"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/outward"
)

const (
	// copyKey is where copies wait to be made: bucket/copy/BUCKET/RECEIVER/ID, in the order in which the objects were stored.
	copyKey = "bucket/copy/"
	// copiesKey is how many copies of a version are still to be made, where there is more than one:
	// bucket/copies/BUCKET/VERSION.
	copiesKey = "bucket/copies/"

	copyBatch   = 64
	copySlots   = 8     // queues, and copies, at the same time: one to another store has a part in memory, mostly 16 MiB
	mostWaiting = 10000 // that a bucket's status counts
)

// States of a version that is copied, in S3's words.
const (
	replPending   = "PENDING"
	replCompleted = "COMPLETED"
	replFailed    = "FAILED"
	replReplica   = "REPLICA" // it is a copy itself, and is not copied on
)

// copying is a copy that is to be made, or a delete that is to be done elsewhere too.
type copying struct {
	Key     string `cbor:"1,keyasint"`
	Version string `cbor:"2,keyasint,omitempty"`
	Delete  bool   `cbor:"3,keyasint,omitempty"`
	At      int64  `cbor:"4,keyasint"`
}

func (r *Replication) receiver() string { return short(r.ID, r.Endpoint, r.Bucket) }

// replications are the rules that a new version, or a delete, goes by: one for each bucket elsewhere.
func (b *bucket) replications(key string, gone bool) (out []string) {
	for i := range b.Spec.Replication {
		r := &b.Spec.Replication[i]
		if !r.Disabled && strings.HasPrefix(key, r.Prefix) && (!gone || r.Deletes) {
			out = append(out, r.receiver())
		}
	}
	return out
}

// placeNew is place for what somebody stored or deleted: copies of it are made elsewhere when rules say so.
func (s *Service) placeNew(tx store.Tx, b *bucket, key string, r *record) error {
	var to []string
	if (r.Repl == "" || r.Repl == replPending) && r.SSE.Algorithm != byCustomer && len(b.Spec.Replication) > 0 {
		to = b.replications(key, r.Marker)
		if len(to) > 0 && !r.Marker {
			r.Repl = replPending
		}
	}
	if err := s.place(tx, b, key, r); err != nil {
		return err
	}
	if len(to) > 1 && !r.Marker {
		if err := tx.Put(copiesKey+string(b.ID)+"/"+r.Version, []byte{byte(len(to))}); err != nil {
			return err
		}
	}
	return s.copyLater(tx, b, to, copying{Key: key, Version: r.Version, Delete: r.Marker})
}

// deleteElsewhere notes that an object of a bucket without versions is to be deleted where it was copied to.
func (s *Service) deleteElsewhere(tx store.Tx, b *bucket, key string, r *record) error {
	if len(b.Spec.Replication) == 0 || r.Repl == replReplica {
		return nil
	}
	return s.copyLater(tx, b, b.replications(key, true), copying{Key: key, Delete: true})
}

func (s *Service) copyLater(tx store.Tx, b *bucket, to []string, c copying) error {
	c.At = s.now().UnixNano()
	for _, receiver := range to {
		if err := tx.Put(copyKey+string(b.ID)+"/"+receiver+"/"+string(id.New()), encode(&c)); err != nil {
			return err
		}
	}
	return nil
}

func (b *bucket) replication(receiver string) *Replication {
	for i := range b.Spec.Replication {
		if r := &b.Spec.Replication[i]; r.receiver() == receiver && !r.Disabled {
			return r
		}
	}
	return nil
}

// copiesWaiting counts the copies of a bucket that are to be made.
func copiesWaiting(tx store.Tx, bucket id.ID) (n int64, err error) {
	for range tx.Scan(copyKey+string(bucket)+"/", "") {
		if n++; n == mostWaiting {
			break
		}
	}
	return n, tx.ScanErr()
}

func (s *Service) replicator() *outbox {
	where := func(b *bucket, receiver string) string {
		r := b.replication(receiver)
		if r == nil {
			return "where no rule copies to any more"
		}
		return strings.TrimSuffix("bucket "+r.Bucket+" at "+r.Endpoint, " at ")
	}
	return &outbox{s: s, prefix: copyKey, batch: copyBatch, slots: copySlots,
		at: func(v []byte) (time.Time, error) {
			c, err := decode[copying](v)
			if err != nil {
				return time.Time{}, err
			}
			return time.Unix(0, c.At), nil
		},
		send: s.copyAll,
		lost: func(tx store.Tx, b *bucket, receiver string, batch []waiting, err error) error {
			for _, w := range batch {
				c, derr := decode[copying](w.value)
				if derr != nil {
					return derr
				}
				if derr := s.copied(tx, b, c, w.key, false); derr != nil {
					return derr
				}
			}
			return s.note(tx, b.ID, event.Error, "ReplicationFailed", fmt.Sprintf("%d objects could not be copied to %s within a day and stay uncopied: %s", len(batch), where(b, receiver), outward.Why(err)))
		},
		failing: func(tx store.Tx, b *bucket, receiver string, err error) error {
			return s.note(tx, b.ID, event.Warning, "ReplicationWaits", fmt.Sprintf("objects cannot be copied to %s, and wait for up to a day: %s", where(b, receiver), outward.Why(err)))
		}}
}

// refused is a copy that would fail again however often it is tried.
type refused struct{ error }

func (r refused) Unwrap() error { return r.error }

// receiving takes copies: a bucket of this cloud, or of another store.
type receiving interface {
	put(ctx context.Context, b *bucket, key string, r *record) error
	remove(ctx context.Context, key string) error
}

// copyAll makes copies, several at once: in the order in which things happened for each name, and in none between names.
func (s *Service) copyAll(ctx context.Context, b *bucket, receiver string, batch []waiting) error {
	rule := b.replication(receiver)
	if rule == nil {
		return s.uncopied(ctx, b, batch)
	}
	to, err := s.receiving(b, rule)
	if err != nil {
		return err
	}
	var order []string
	byName := map[string][]int{}
	changes := make([]*copying, len(batch))
	for i, w := range batch {
		if changes[i], err = decode[copying](w.value); err != nil {
			return err
		}
		name := changes[i].Key
		if byName[name] == nil {
			order = append(order, name)
		}
		byName[name] = append(byName[name], i)
	}
	var all sync.WaitGroup
	errs := make([]error, len(order))
	for n, name := range order {
		select {
		case s.copies <- struct{}{}:
		case <-ctx.Done():
			all.Wait()
			return ctx.Err()
		}
		all.Go(func() {
			defer func() { <-s.copies }()
			for _, i := range byName[name] {
				if errs[n] = s.copyNoted(ctx, b, rule, to, changes[i], batch[i].key); errs[n] != nil {
					return
				}
				batch[i].done = true
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// copyNoted makes one copy, and notes what came of it in the transaction that takes it off the queue.
func (s *Service) copyNoted(ctx context.Context, b *bucket, rule *Replication, to receiving, c *copying, at string) error {
	err := s.copyOne(ctx, b, to, c)
	var never refused
	if err != nil && !errors.As(err, &never) {
		return err
	}
	_, uerr := s.Store.Update(ctx, func(tx store.Tx) error {
		if err != nil {
			text := fmt.Sprintf("%q cannot be copied to bucket %s: %s", c.Key, rule.Bucket, outward.Why(err))
			if err := s.note(tx, b.ID, event.Error, "ReplicationFailed", text); err != nil {
				return err
			}
		}
		return s.copied(tx, b, c, at, err == nil)
	})
	return uerr
}

// uncopied settles what waits for a rule that is there no more.
func (s *Service) uncopied(ctx context.Context, b *bucket, batch []waiting) error {
	_, err := s.Store.Update(ctx, func(tx store.Tx) error {
		for _, w := range batch {
			c, err := decode[copying](w.value)
			if err != nil {
				return err
			}
			if err := s.copied(tx, b, c, w.key, false); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		allDone(batch)
	}
	return err
}

func (s *Service) receiving(b *bucket, rule *Replication) (receiving, error) {
	if rule.Endpoint == "" {
		return &here{s, b.Project, rule}, nil
	}
	secret, err := s.door.Unseal(&b.Meta, "spec", "replication.secret_key", rule.SecretKey)
	if err != nil {
		return nil, err
	}
	return s.elsewhere(rule, secret)
}

func (s *Service) copyOne(ctx context.Context, b *bucket, to receiving, c *copying) error {
	if c.Delete {
		return to.remove(ctx, c.Key)
	}
	var r *record
	err := s.Store.View(ctx, func(tx store.Tx) (err error) {
		r, err = stored(tx, b, c.Key, c.Version)
		return err
	})
	if err != nil || r == nil { // it was deleted meanwhile
		return err
	}
	if err = to.put(ctx, b, c.Key, r); fail.Is(err, fail.DataLoss) {
		err = refused{err}
	}
	return err
}

// stored reads a version by its own id, wherever it lies.
func stored(tx store.Tx, b *bucket, key, version string) (*record, error) {
	r, err := current(tx, b, key)
	if err == nil && (r == nil || r.Version != version) {
		r, err = read[record](tx, oldAt(b.ID, key, version))
	}
	return r, err
}

// copied takes a copy off its queue and notes in the version what came of it.
func (s *Service) copied(tx store.Tx, b *bucket, c *copying, queued string, ok bool) error {
	if err := tx.Delete(queued); err != nil || c.Delete {
		return err
	}
	left := byte(0)
	at := copiesKey + string(b.ID) + "/" + c.Version
	if v, there, err := tx.Get(at); err != nil {
		return err
	} else if there && len(v) == 1 {
		if left = v[0] - 1; left > 0 {
			err = tx.Put(at, []byte{left})
		} else {
			err = tx.Delete(at)
		}
		if err != nil {
			return err
		}
	}
	r, err := stored(tx, b, c.Key, c.Version)
	if err != nil || r == nil || r.Repl != replPending {
		return err
	}
	switch {
	case !ok:
		r.Repl = replFailed
	case left > 0:
		return nil
	default:
		r.Repl = replCompleted
	}
	return rewrite(tx, b, c.Key, r)
}
