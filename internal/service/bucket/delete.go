package bucket

import (
	"context"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/ledger"
	"github.com/awancloud/awan/internal/kernel/store"
)

// MaxDelete is how many objects one request deletes at most.
const MaxDelete = 1000

// Delete deletes an object: with versions it puts a delete marker in front; a version that is named goes for good.
// What is not there is deleted already.
func (s *Service) Delete(ctx context.Context, c *Caller, in *DeleteInput) (Deleted, error) {
	if err := s.mayDelete(ctx, c, in); err != nil {
		return Deleted{}, err
	}
	out, err := s.drops(ctx, c, in.Bucket, []DeleteInput{*in})
	if err != nil {
		return Deleted{}, err
	}
	return out[0], out[0].Err
}

// DeleteMany deletes up to MaxDelete objects in one transaction; each has its own outcome.
func (s *Service) DeleteMany(ctx context.Context, c *Caller, name string, in []DeleteInput) ([]Deleted, error) {
	if len(in) > MaxDelete {
		return nil, failed("MalformedXML", fail.Field("Delete", "holds %d objects, at most %d are allowed", len(in), MaxDelete).Then("send several requests"))
	}
	out := make([]Deleted, len(in))
	var may []DeleteInput
	var at []int
	for i := range in {
		in[i].Bucket = name
		out[i] = Deleted{Key: in[i].Key, Version: in[i].Version}
		if err := s.mayDelete(ctx, c, &in[i]); err != nil {
			if CodeOf(err) == "NoSuchBucket" || fail.Is(err, fail.Unauthenticated) {
				return nil, err
			}
			out[i].Err = err
			continue
		}
		may, at = append(may, in[i]), append(at, i)
	}
	done, err := s.drops(ctx, c, name, may)
	if err != nil {
		return nil, err
	}
	for i, d := range done {
		out[at[i]] = d
	}
	return out, nil
}

func (s *Service) mayDelete(ctx context.Context, c *Caller, in *DeleteInput) error {
	if err := checkKey(in.Key); err != nil {
		return err
	}
	w := wish{s.object, "delete", "obs:object:DeleteObject"}
	if in.Version != "" {
		w.action = "obs:object:DeleteObjectVersion"
	}
	_, err := s.enter(ctx, c, in.Bucket, in.Key, w, func(tx store.Tx, b *bucket) error {
		if !in.Bypass {
			return nil
		}
		w := wish{s.object, "bypass", "obs:object:BypassGovernanceRetention"}
		return s.within(tx, c, c.call(w), b, in.Key, w, nil)
	})
	return err
}

// drops deletes what the caller may, in one transaction.
func (s *Service) drops(ctx context.Context, c *Caller, name string, in []DeleteInput) (out []Deleted, err error) {
	_, err = s.Store.Update(ctx, func(tx store.Tx) error {
		b, err := s.need(tx, name)
		if err != nil {
			return err
		}
		out = make([]Deleted, len(in))
		for i := range in {
			d, err := s.drop(tx, c, b, &in[i])
			if err != nil {
				if fail.Is(err, fail.Internal) || fail.Is(err, fail.NoSpace) || fail.Is(err, fail.Unavailable) {
					return err
				}
				d = Deleted{Key: in[i].Key, Version: in[i].Version, Err: err}
			}
			out[i] = d
		}
		return nil
	})
	s.wakeFree()
	return out, err
}

// drop is one delete, in the transaction.
func (s *Service) drop(tx store.Tx, c *Caller, b *bucket, in *DeleteInput) (Deleted, error) {
	d := Deleted{Key: in.Key}
	now, err := current(tx, b, in.Key)
	if err != nil {
		return d, err
	}
	if in.Version == "" {
		if in.If.any() {
			if err := in.If.match(now); err != nil {
				return d, err
			}
		}
		if b.Spec.Versioning == "off" {
			if now == nil {
				return d, nil
			}
			if err := s.mayGo(now, in.Bypass); err != nil {
				return d, err
			}
			if err := s.remove(tx, b, in.Key, now); err != nil {
				return d, err
			}
			if err := s.lost(tx, b); err != nil {
				return d, err
			}
			if err := s.deleteElsewhere(tx, b, in.Key, now); err != nil {
				return d, err
			}
			return d, s.tell(tx, c, b, "ObjectRemoved:Delete", in.Key, now)
		}
		marker := &record{Marker: true, At: s.now().UnixNano()}
		if err := s.placeNew(tx, b, in.Key, marker); err != nil {
			return d, err
		}
		d.Marker, d.MarkerVersion = true, marker.id()
		return d, s.tell(tx, c, b, "ObjectRemoved:DeleteMarkerCreated", in.Key, marker)
	}
	d.Version = in.Version
	r, _, err := b.version(tx, in.Key, in.Version)
	if err != nil || r == nil {
		if fail.Is(err, fail.NotFound) {
			err = nil
		}
		return d, err
	}
	if in.If.any() {
		if err := in.If.match(r); err != nil {
			return d, err
		}
	}
	if err := s.mayGo(r, in.Bypass); err != nil {
		return d, err
	}
	d.Marker = r.Marker
	if err := s.remove(tx, b, in.Key, r); err != nil {
		return d, err
	}
	if in.Bypass && r.Lock.Mode != "" {
		if err := s.record(tx, c, b, wish{s.object, "bypass", ""}, in.Key); err != nil {
			return d, err
		}
	}
	return d, s.tell(tx, c, b, "ObjectRemoved:Delete", in.Key, r)
}

// record writes what changes an object's protection into the audit log, in the transaction that does it.
func (s *Service) record(tx store.Tx, c *Caller, b *bucket, w wish, key string) error {
	p := c.Principal
	e := &ledger.Entry{ID: id.New(), At: s.now(), Ended: s.now(), Domain: b.Domain, Project: b.Project, Actor: p.String(), ActorID: p.User, Source: c.Source, Agent: c.Agent,
		Dialect: c.Dialect, Action: w.kind.Desc.Action(w.verb), Kind: w.kind.FullName(), Name: b.Name + "/" + key, RequestID: c.RequestID, Outcome: ledger.Succeeded,
		Agency: p.Agency, ByID: p.By.User, ByIn: p.By.Domain}
	return ledger.Record(tx, e)
}
