package bucket

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/awancloud/awan/internal/kernel/event"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/store"
)

// sweepKey is how far the lifecycle rules came in a bucket: bucket/sweep/BUCKET.
const sweepKey = "bucket/sweep/"

const (
	sweepLook   = 500  // records that are looked at in one view
	sweepWeight = 1000 // records and blobs that one transaction changes
	sweepCheck  = 10 * time.Minute
)

// The phases of a sweep.
const (
	sweepNow = iota
	sweepOld
	sweepUploads
	sweepEnd
)

var sweepPrefix = [...]string{sweepNow: nowKey, sweepOld: oldKey, sweepUploads: uploadKey}

// sweeping is how far a sweep came, stored in the transactions that change something.
type sweeping struct {
	At    int64  `cbor:"1,keyasint"` // the time it goes by
	Phase int    `cbor:"2,keyasint,omitempty"`
	After string `cbor:"3,keyasint,omitempty"`
	Done  swept  `cbor:"4,keyasint"`
	// Within the versions of a name: which, when the one before was made, how many were replaced.
	Key  string `cbor:"5,keyasint,omitempty"`
	Prev int64  `cbor:"6,keyasint,omitempty"`
	Nth  int    `cbor:"7,keyasint,omitempty"`
}

// swept counts what a sweep did.
type swept struct {
	Expired int64 `cbor:"1,keyasint,omitempty"`
	Old     int64 `cbor:"2,keyasint,omitempty"`
	Markers int64 `cbor:"3,keyasint,omitempty"`
	Moved   int64 `cbor:"4,keyasint,omitempty"`
	Aborted int64 `cbor:"5,keyasint,omitempty"`
	Locked  int64 `cbor:"6,keyasint,omitempty"`
}

func (d swept) String() string {
	var parts []string
	for _, p := range []struct {
		n    int64
		what string
	}{{d.Expired, "objects expired"}, {d.Old, "old versions removed"}, {d.Markers, "delete markers removed"}, {d.Moved, "moved to another storage class"},
		{d.Aborted, "uploads aborted"}, {d.Locked, "kept because they are locked"}} {
		if p.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", p.n, p.what))
		}
	}
	if len(parts) == 0 {
		return "nothing was due"
	}
	return strings.Join(parts, ", ")
}

// sweeps runs the lifecycle rules where somebody asked for it, and once a day everywhere.
func (s *Service) sweeps(ctx context.Context) error {
	asked, err := s.wanted(ctx, sweepTask)
	if err != nil {
		return err
	}
	var errs []error
	run := func(b id.ID) {
		if err := s.sweep(ctx, b); err != nil && ctx.Err() == nil { // one that fails does not keep the others from theirs
			errs = append(errs, fmt.Errorf("lifecycle of bucket %s: %w", b, err))
		}
	}
	for _, b := range asked {
		run(b)
	}
	if now := s.now(); now.Sub(s.tasks.swept).Abs() >= sweepCheck {
		today := now.Truncate(24 * time.Hour)
		err := s.each(ctx, func(b *bucket) error {
			if len(b.Spec.Lifecycle) > 0 && b.Status.Swept.Before(today) {
				run(b.ID)
			}
			return ctx.Err()
		})
		if err != nil {
			return err
		}
		s.tasks.swept = now
	}
	return s.later(ctx, errors.Join(errs...))
}

// sweep runs a bucket's lifecycle rules, from where an earlier run was cut short.
func (s *Service) sweep(ctx context.Context, bucket id.ID) error {
	p := &sweeping{At: s.now().UnixNano()}
	err := s.Store.View(ctx, func(tx store.Tx) error {
		stored, err := read[sweeping](tx, sweepKey+string(bucket))
		if stored != nil {
			p = stored
		}
		return err
	})
	if err != nil {
		return err
	}
	for pages := 1; p.Phase != sweepEnd; pages++ {
		steps, gone, err := s.sweepPage(ctx, bucket, p)
		if err != nil {
			return err
		}
		if gone {
			break
		}
		pause := time.Millisecond
		if len(steps) > 0 || pages%20 == 0 {
			if err := s.sweepStep(ctx, bucket, p, steps); err != nil {
				return err
			}
			pause = 10 * time.Millisecond
		}
		if err := rest(ctx, pause); err != nil {
			return err
		}
	}
	_, err = s.Store.Update(ctx, func(tx store.Tx) error {
		for _, k := range []string{sweepKey, wantKey + sweepTask + "/"} {
			if err := tx.Delete(k + string(bucket)); err != nil {
				return err
			}
		}
		row, err := s.Rows.Get(tx, bucket)
		if err != nil || row == nil {
			return err
		}
		row.Status.Swept = s.now()
		if err := s.Rows.Put(tx, row); err != nil {
			return err
		}
		return s.note(tx, bucket, event.Info, "Swept", "lifecycle rules: "+p.Done.String())
	})
	return err
}

// sweepStep does what a page found, and stores how far the sweep came with it.
func (s *Service) sweepStep(ctx context.Context, bucket id.ID, p *sweeping, steps []step) error {
	c := itself("lifecycle")
	var done swept
	_, err := s.Store.Update(ctx, func(tx store.Tx) error {
		b, err := s.byID(tx, bucket)
		if err != nil || b == nil {
			return err
		}
		q := *p
		for _, do := range steps {
			if err := do(tx, c, b, &q.Done); err != nil {
				return err
			}
		}
		done = q.Done
		return tx.Put(sweepKey+string(bucket), encode(&q))
	})
	if err == nil {
		p.Done = done
		s.wakeFree()
	}
	return err
}

// step is a change that a rule asks for. It reads again what it is about: that may have changed since.
type step func(tx store.Tx, c *Caller, b *bucket, done *swept) error

// sweepPage looks at some records and gives what is to be done about them; p then stands behind them.
func (s *Service) sweepPage(ctx context.Context, bucket id.ID, p *sweeping) (steps []step, gone bool, err error) {
	err = s.Store.View(ctx, func(tx store.Tx) error {
		b, err := s.byID(tx, bucket)
		if err != nil || b == nil {
			gone = b == nil
			return err
		}
		base := sweepPrefix[p.Phase] + string(b.ID) + "/"
		from := ""
		if p.After != "" {
			from = base + p.After
		}
		looked, weight := 0, 0
		for k, v := range tx.Scan(base, from) {
			r, err := decode[record](v)
			if err != nil {
				return err
			}
			p.After = k[len(base):]
			do, err := s.sweepOne(tx, b, p, r)
			if err != nil {
				return err
			}
			if do != nil {
				steps = append(steps, do)
				weight += 1 + len(r.Segments)
			}
			looked++
			// An upload's parts are not in its record: they may be many.
			if looked == sweepLook || weight >= sweepWeight || do != nil && p.Phase == sweepUploads {
				return nil
			}
		}
		p.Phase, p.After = p.Phase+1, ""
		return tx.ScanErr()
	})
	return steps, gone, err
}

// sweepOne judges the record that p stands at.
func (s *Service) sweepOne(tx store.Tx, b *bucket, p *sweeping, r *record) (step, error) {
	at := time.Unix(0, p.At).UTC()
	key, version, _ := strings.Cut(p.After, "\x00")
	switch p.Phase {
	case sweepNow:
		if when, _ := b.expiry(key, r, true); !when.IsZero() && !when.After(at) {
			return s.expire(key, r.Version), nil
		}
		if class := b.moves(key, r, at); class != "" {
			return s.move(key, r.Version, class), nil
		}
	case sweepUploads:
		if b.abandoned(key, r, at) {
			return s.giveUp(key, version), nil
		}
	case sweepOld:
		return s.sweepVersion(tx, b, p, key, r, at)
	}
	return nil, nil
}

// sweepVersion judges a version that is not current: replaced when the next newer one was made. A delete marker in front
// of all others is not replaced.
func (s *Service) sweepVersion(tx store.Tx, b *bucket, p *sweeping, key string, r *record, at time.Time) (step, error) {
	if key != p.Key {
		now, err := current(tx, b, key)
		if err != nil {
			return nil, err
		}
		p.Key, p.Prev, p.Nth = key, r.At, 0
		if now == nil {
			lonely, err := last(tx, b, key, r.Version)
			if err == nil && lonely && r.Marker && b.markerDue(key, r, at) {
				return s.removeMarker(key, r.Version), nil
			}
			return nil, err
		}
		p.Prev = now.At
	}
	replaced, nth := time.Unix(0, p.Prev), p.Nth
	p.Prev, p.Nth = r.At, p.Nth+1
	if b.oldDue(key, r, replaced, nth, at) {
		return s.removeOld(key, r.Version), nil
	}
	if class := b.movesOld(key, r, replaced, nth, at); class != "" {
		return s.move(key, r.Version, class), nil
	}
	return nil, nil
}

// last tells whether no older version of key is behind this one.
func last(tx store.Tx, b *bucket, key, version string) (bool, error) {
	for range tx.Scan(oldAt(b.ID, key, ""), oldAt(b.ID, key, version)) {
		return false, nil
	}
	return true, tx.ScanErr()
}
