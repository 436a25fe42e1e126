package bucket

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/awancloud/awan/internal/kernel/event"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/ledger"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/object"
)

// Every blob is read and checked once in scrubEvery, for the first time so long after the cloud's first start, in the order of their references; what was read takes up at most a
// tenth of the time, so that disks have time for requests. How far it came is stored now and then.
const (
	scrubKey   = "bucket/scrub"   // how far it came
	damageKey  = "bucket/damage/" // bucket/damage/REF: a blob that is damaged
	scrubEvery = 30 * 24 * time.Hour
	scrubBatch = 50
	scrubShare = 9 // rest for so many times as long as reading took
	askedShare = 1 // and when somebody asked
)

// scrubbing is how far the scrub came.
type scrubbing struct {
	Begun   int64  `cbor:"1,keyasint"`
	After   string `cbor:"2,keyasint,omitempty"`
	Ended   int64  `cbor:"3,keyasint,omitempty"`
	Checked int64  `cbor:"4,keyasint,omitempty"`
}

// damaged is a blob that cannot be read whole.
type damaged struct {
	Bucket id.ID  `cbor:"1,keyasint"`
	At     int64  `cbor:"2,keyasint"`
	Reason string `cbor:"3,keyasint"`
}

// Health is what operators watch.
type Health struct {
	Damaged int64     // blobs that are beyond repair
	Checked int64     // blobs that the running scrub has checked
	Begun   time.Time // when it began
}

// Health tells how the stored bytes are.
func (s *Service) Health(ctx context.Context) (h Health, err error) {
	err = s.Store.View(ctx, func(tx store.Tx) error {
		for k := range tx.Scan(damageKey, "") {
			if _, used, err := tx.Get(blobKey + k[len(damageKey):]); err != nil {
				return err
			} else if used {
				h.Damaged++
			}
		}
		p, err := read[scrubbing](tx, scrubKey)
		if p != nil {
			h.Checked, h.Begun = p.Checked, time.Unix(0, p.Begun).UTC()
		}
		return err
	})
	return h, err
}

// scrub checks blobs: all of them in turn, and first those of buckets for which somebody asked.
func (s *Service) scrub(ctx context.Context) error {
	for {
		asked, err := s.wanted(ctx, scrubTask)
		if err != nil {
			return err
		}
		for _, b := range asked {
			if err := s.scrubBucket(ctx, b); err != nil {
				return s.later(ctx, err)
			}
		}
		more, err := s.scrubSome(ctx)
		if err != nil || !more {
			return s.later(ctx, err)
		}
	}
}

// scrubSome checks the next blobs, when it is time for them.
func (s *Service) scrubSome(ctx context.Context) (more bool, err error) {
	var p *scrubbing
	var refs []object.Ref
	var first bool
	now := s.now()
	err = s.Store.View(ctx, func(tx store.Tx) (err error) {
		if p, err = read[scrubbing](tx, scrubKey); err != nil {
			return err
		}
		if p == nil {
			first = true
			p = &scrubbing{Begun: now.UnixNano(), Ended: now.UnixNano()}
		}
		if p.Ended != 0 && now.Sub(time.Unix(0, p.Begun)) >= scrubEvery {
			p = &scrubbing{Begun: now.UnixNano()}
		}
		if p.Ended != 0 {
			return nil
		}
		from := ""
		if p.After != "" {
			from = blobKey + p.After
		}
		for k := range tx.Scan(blobKey, from) {
			if refs = append(refs, object.Ref(k[len(blobKey):])); len(refs) == scrubBatch {
				break
			}
		}
		return tx.ScanErr()
	})
	if err == nil && first {
		_, err = s.Store.Update(ctx, func(tx store.Tx) error { return tx.Put(scrubKey, encode(p)) })
	}
	if err != nil || p.Ended != 0 {
		return false, err
	}
	if p.After == "" && len(refs) == 0 { // nothing is stored yet
		return false, nil
	}
	for _, ref := range refs {
		if _, err := s.verify(ctx, ref, scrubShare); err != nil {
			return false, err
		}
		p.After, p.Checked = string(ref), p.Checked+1
	}
	if len(refs) < scrubBatch {
		p.Ended = s.now().UnixNano()
	}
	_, err = s.Store.Update(ctx, func(tx store.Tx) error {
		if p.Ended != 0 {
			if err := forgetDamage(tx); err != nil {
				return err
			}
		}
		return tx.Put(scrubKey, encode(p))
	})
	return p.Ended == 0, err
}

// forgetDamage forgets the damage of what was deleted.
func forgetDamage(tx store.Tx) error {
	var gone []string
	for k := range tx.Scan(damageKey, "") {
		if _, used, err := tx.Get(blobKey + k[len(damageKey):]); err != nil {
			return err
		} else if !used {
			gone = append(gone, k)
		}
		if len(gone) == 10000 {
			break
		}
	}
	for _, k := range gone {
		if err := tx.Delete(k); err != nil {
			return err
		}
	}
	return tx.ScanErr()
}

// scrubBucket checks all blobs of a bucket.
func (s *Service) scrubBucket(ctx context.Context, bucket id.ID) error {
	checked, bad := 0, 0
	err := s.blobsOf(ctx, bucket, func(_, _ string, segs []segment) (bool, error) {
		for _, seg := range segs {
			ok, err := s.verify(ctx, seg.Ref, askedShare)
			if err != nil {
				return false, err
			}
			if checked++; !ok {
				bad++
			}
		}
		return true, nil
	})
	if err != nil {
		return err
	}
	_, err = s.Store.Update(ctx, func(tx store.Tx) error {
		if err := tx.Delete(wantKey + scrubTask + "/" + string(bucket)); err != nil {
			return err
		}
		row, err := s.Rows.Get(tx, bucket)
		if err != nil || row == nil {
			return err
		}
		level, text := event.Info, fmt.Sprintf("%d pieces of content were read and are whole", checked)
		if bad > 0 {
			level, text = event.Error, fmt.Sprintf("%d of %d pieces of content are damaged", bad, checked)
		}
		return s.note(tx, bucket, level, "Scrubbed", text)
	})
	return err
}

// verify checks a blob and settles what is found; false says that it is damaged. An error is of the engine, not the blob.
func (s *Service) verify(ctx context.Context, ref object.Ref, share int) (bool, error) {
	began := time.Now()
	repaired, err := s.Blobs.Verify(ctx, ref)
	if rerr := rest(ctx, min(time.Since(began)*time.Duration(share)+time.Millisecond, time.Minute)); rerr != nil {
		return false, rerr
	}
	switch {
	case err == nil:
		return true, s.whole(ctx, ref, repaired)
	case fail.Is(err, fail.DataLoss) || fail.Is(err, fail.NotFound):
		return s.broken(ctx, ref, err)
	}
	return false, err
}

// whole notes a repair, and that what was damaged is not any more.
func (s *Service) whole(ctx context.Context, ref object.Ref, repaired int) error {
	was := false
	err := s.Store.View(ctx, func(tx store.Tx) (err error) {
		_, was, err = tx.Get(damageKey + string(ref))
		return err
	})
	if err != nil || !was && repaired == 0 {
		return err
	}
	key, version := s.userOf(ctx, ref)
	_, err = s.Store.Update(ctx, func(tx store.Tx) error {
		if err := tx.Delete(damageKey + string(ref)); err != nil {
			return err
		}
		owner, used, err := tx.Get(blobKey + string(ref))
		if err != nil || !used {
			return err
		}
		if row, err := s.Rows.Get(tx, id.ID(owner)); err != nil || row == nil {
			return err
		}
		return s.note(tx, id.ID(owner), event.Warning, "Repaired", fmt.Sprintf("%s was damaged on a disk and is whole again", called(key, version)))
	})
	return err
}

// broken reports a blob that cannot be read, to the bucket's owner, to the operator and in the audit log; once.
func (s *Service) broken(ctx context.Context, ref object.Ref, cause error) (ok bool, err error) {
	key, version := s.userOf(ctx, ref)
	_, err = s.Store.Update(ctx, func(tx store.Tx) error {
		owner, used, err := tx.Get(blobKey + string(ref))
		if ok = err == nil && !used; err != nil || !used { // it was deleted meanwhile
			return err
		}
		_, known, err := tx.Get(damageKey + string(ref))
		if err != nil || known {
			return err
		}
		d := damaged{Bucket: id.ID(owner), At: s.now().UnixNano(), Reason: fail.From(cause).Public()}
		if err := tx.Put(damageKey+string(ref), encode(&d)); err != nil {
			return err
		}
		row, err := s.Rows.Get(tx, d.Bucket)
		if err != nil || row == nil {
			return err
		}
		text := fmt.Sprintf("%s is damaged: %s; restore it from another version, a replica or a backup", called(key, version), d.Reason)
		if err := s.note(tx, d.Bucket, event.Error, "Damaged", text); err != nil {
			return err
		}
		c := itself("scrub")
		return ledger.Record(tx, &ledger.Entry{ID: id.New(), At: s.now(), Ended: s.now(), Domain: row.Domain, Project: row.Project, Actor: c.Principal.String(), Source: "inside",
			Agent: c.Agent, Dialect: c.Dialect, Action: s.object.Desc.Action("verify"), Kind: s.object.FullName(), Row: row.ID, Name: row.Name + "/" + key,
			RequestID: c.RequestID, Outcome: ledger.Failed, Reason: text})
	})
	if err == nil && !ok {
		s.Log.Error("object storage: stored content is damaged", "blob", ref, "object", key, "err", cause)
	}
	return ok, err
}

func called(key, version string) string {
	switch {
	case key == "":
		return "a part of an upload"
	case version == nullVersion:
		return fmt.Sprintf("object %q", key)
	}
	return fmt.Sprintf("object %q, version %s,", key, version)
}

// userOf finds the object that a blob belongs to by reading its bucket's records; "" when that is none, or not known.
func (s *Service) userOf(ctx context.Context, ref object.Ref) (key, version string) {
	var owner id.ID
	_ = s.Store.View(ctx, func(tx store.Tx) error {
		v, _, err := tx.Get(blobKey + string(ref))
		owner = id.ID(v)
		return err
	})
	_ = s.blobsOf(ctx, owner, func(k, v string, segs []segment) (bool, error) {
		for _, seg := range segs {
			if seg.Ref == ref {
				key, version = k, v
				return false, nil
			}
		}
		return true, nil
	})
	return key, version
}

// blobsOf calls fn with what every version and every part (key "") in a bucket consists of, until it says false. It reads
// a page in one view and calls fn outside of it.
func (s *Service) blobsOf(ctx context.Context, bucket id.ID, fn func(key, version string, segs []segment) (bool, error)) error {
	type use struct {
		key, version string
		segs         []segment
	}
	for _, prefix := range []string{nowKey, oldKey, uploadKey} {
		base, after := prefix+string(bucket)+"/", ""
		for more := true; more; {
			var page []use
			more = false
			err := s.Store.View(ctx, func(tx store.Tx) error {
				for k, v := range tx.Scan(base, after) {
					after = k
					key, upload, _ := strings.Cut(k[len(base):], "\x00")
					if prefix == uploadKey {
						parts, _, err := partsOf(tx, upload, 0)
						if err != nil {
							return err
						}
						for _, p := range parts {
							if p.Size > 0 {
								page = append(page, use{segs: []segment{p.segment}})
							}
						}
						more = true
						return nil
					}
					r, err := decode[record](v)
					if err != nil {
						return err
					}
					page = append(page, use{key, r.id(), r.Segments})
					if more = len(page) == 200; more {
						return nil
					}
				}
				return tx.ScanErr()
			})
			if err != nil {
				return err
			}
			for _, u := range page {
				if on, err := fn(u.key, u.version, u.segs); err != nil || !on {
					return err
				}
			}
		}
	}
	return nil
}
