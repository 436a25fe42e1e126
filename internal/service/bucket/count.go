package bucket

import (
	"context"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/ledger"
	"github.com/awancloud/awan/internal/kernel/store"
)

// count is what a bucket holds; it changes in the transaction that changes the bucket.
type count struct {
	Objects  int64 `cbor:"1,keyasint,omitempty"`
	Versions int64 `cbor:"2,keyasint,omitempty"` // with delete markers
	Bytes    int64 `cbor:"3,keyasint,omitempty"` // of versions and parts
	Warm     int64 `cbor:"4,keyasint,omitempty"`
	Cold     int64 `cbor:"5,keyasint,omitempty"`
	Uploads  int64 `cbor:"6,keyasint,omitempty"`
}

func countOf(tx store.Tx, bucket id.ID) (count, error) {
	c, err := read[count](tx, countKey+string(bucket))
	if c == nil {
		c = &count{}
	}
	return *c, err
}

func (c *count) fill(st *BucketStatus) {
	st.Objects, st.Versions, st.Bytes, st.Warm, st.Cold, st.Uploads = c.Objects, c.Versions, c.Bytes, c.Warm, c.Cold, c.Uploads
}

// hold adds bytes of a class.
func (c *count) hold(class string, bytes int64) {
	c.Bytes += bytes
	switch class {
	case Warm:
		c.Warm += bytes
	case Cold, Deep:
		c.Cold += bytes
	}
}

// book writes the bucket's counters after a change; growing past a quota is refused.
func (s *Service) book(tx store.Tx, b *bucket, change func(*count)) error {
	c, err := countOf(tx, b.ID)
	if err != nil {
		return err
	}
	was := c.Bytes
	change(&c)
	if c.Bytes > was {
		if err := s.room(tx, b, c.Bytes); err != nil {
			return err
		}
	}
	return tx.Put(countKey+string(b.ID), encode(&c))
}

// room refuses what would make the bucket hold more than its quota, or its project's, allows.
func (s *Service) room(tx store.Tx, b *bucket, bytes int64) error {
	if isDepot(b.Name) { // what is kept there has quotas of its own, if any
		return nil
	}
	if q := b.Spec.Quota; q > 0 && bytes > q {
		return failed("InsufficientStorageSpace", fail.New(fail.Quota, "bucket %s would hold %d bytes, its quota is %d", b.Name, bytes, q).
			Then("delete something, or raise the bucket's quota"))
	}
	more := inMiB(bytes) - inMiB(b.Status.Bytes)
	if more <= 0 {
		return nil
	}
	quotas, err := ledger.Quotas(tx, b.Project, []ledger.Dim{Storage}, s.Limits)
	if err != nil || quotas[0].Limit < 0 || quotas[0].Used+more <= quotas[0].Limit {
		return err
	}
	return failed("InsufficientStorageSpace", fail.New(fail.Quota, "%s: %d of %d MiB in use, %d more asked for", Storage, quotas[0].Used, quotas[0].Limit, more).
		Then("delete something, or ask the operator to raise it: awan quota set %s %d", Storage, quotas[0].Used+more))
}

// countUp copies what changed counters say into the buckets' rows, with the project's quota and the meters.
func (s *Service) countUp(ctx context.Context) error {
	var changed []id.ID
	err := s.Store.View(ctx, func(tx store.Tx) error {
		for k, v := range tx.Scan(countKey, "") {
			c, err := decode[count](v)
			if err != nil {
				return err
			}
			row, err := s.Rows.Get(tx, id.ID(k[len(countKey):]))
			if err != nil {
				return err
			}
			if row != nil && stale(row, *c) {
				changed = append(changed, row.ID)
			}
		}
		return tx.ScanErr()
	})
	for _, b := range changed {
		if err == nil {
			_, err = s.Store.Update(ctx, func(tx store.Tx) error { return s.countOne(tx, b) })
		}
	}
	return err
}

func stale(row *Row, c count) bool {
	st := row.Status
	c.fill(&st)
	return st != row.Status
}

func (s *Service) countOne(tx store.Tx, b id.ID) error {
	row, err := s.Rows.Get(tx, b)
	if err != nil || row == nil || row.State == kind.Deleting {
		return err
	}
	c, err := countOf(tx, b)
	if err != nil || !stale(row, c) {
		return err
	}
	old := *row
	c.fill(&row.Status)
	if err := ledger.Reserve(tx, row.Project, Storage, inMiB(c.Bytes)-inMiB(old.Status.Bytes), nil); err != nil {
		return err
	}
	if err := s.Rows.D.Put(tx, &old, row); err != nil {
		return err
	}
	amount := int64(0)
	if row.State == kind.Active || row.State == kind.Updating {
		amount = inMiB(c.Bytes)
	}
	return ledger.Meter(tx, ledger.Sample{Project: row.Project, Kind: s.Rows.D.FullName(), Row: row.ID, Name: row.Name, Dim: Storage, Amount: amount}, s.now())
}

// Usage tells what a bucket holds.
func (s *Service) Usage(ctx context.Context, c *Caller, name string) (u Usage, err error) {
	_, err = s.enter(ctx, c, name, "", wish{s.Rows.D, "get", "obs:bucket:GetBucketStorage"}, func(tx store.Tx, b *bucket) error {
		n, err := countOf(tx, b.ID)
		u = Usage{Bytes: n.Bytes, Objects: n.Objects, StandardBytes: n.Bytes - n.Warm - n.Cold, WarmBytes: n.Warm, ColdByte: n.Cold}
		return err
	})
	return u, err
}
