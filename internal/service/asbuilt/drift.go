package asbuilt

import (
	"context"
	"encoding/json"
	"time"

	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/store"
)

// Drift is a difference that a watch found and repaired between two reports.
type Drift struct {
	At       time.Time `json:"at"`
	Kind     string    `json:"kind"`
	ID       id.ID     `json:"id,omitempty"`
	Detail   string    `json:"detail"`
	Repaired bool      `json:"repaired"`
}

// Found notes a difference that a watch found: the next report tells it.
func (s *Service) Found(ctx context.Context, d Drift) {
	d.At = s.Now().UTC()
	b, err := json.Marshal(d)
	if err == nil {
		_, err = s.Store.Update(ctx, func(tx store.Tx) error { return tx.Put(driftPrefix+string(id.New()), b) })
	}
	if err != nil && ctx.Err() == nil {
		s.Log.Error("a difference that was found cannot be stored", "kind", d.Kind, "id", d.ID, "detail", d.Detail, "err", err)
	}
}

// Keys: drift/<id> holds a difference that was found and repaired; ids are in the order of time.
const driftPrefix = "drift/"

// found gives the differences since a time, and forgets those past the retention.
func (s *Service) found(ctx context.Context, since time.Time) (out []Drift, err error) {
	out = []Drift{}
	var old []string
	err = s.Store.View(ctx, func(tx store.Tx) error {
		for k, b := range tx.Scan(driftPrefix, "") {
			var d Drift
			if err := json.Unmarshal(b, &d); err != nil {
				return err
			}
			if d.At.After(since) {
				out = append(out, d)
			}
			if s.Now().After(d.At.Add(retention)) {
				old = append(old, k)
			}
		}
		return tx.ScanErr()
	})
	if err != nil || len(old) == 0 {
		return out, err
	}
	_, err = s.Store.Update(ctx, func(tx store.Tx) error {
		for _, k := range old {
			if err := tx.Delete(k); err != nil {
				return err
			}
		}
		return nil
	})
	return out, err
}
