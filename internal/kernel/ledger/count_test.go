package ledger

import (
	"testing"
	"time"

	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/kernel/store/mem"
)

// TestWhatPassedIsAddedUp counts in three hours and for two projects.
func TestWhatPassedIsAddedUp(t *testing.T) {
	s := mem.New()
	noon := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	_, err := s.Update(t.Context(), func(tx store.Tx) error {
		for _, c := range []struct {
			project, row string
			amount       int64
			at           time.Duration
		}{{"p", "r", 5, time.Minute}, {"p", "r", 7, 59 * time.Minute}, {"p", "r", 100, time.Hour}, {"p", "other", 1, 0}, {"q", "r", 1000, 0}, {"p", "r", 10_000, 2 * time.Hour}} {
			if err := Count(tx, Sample{Project: id.ID(c.project), Row: id.ID(c.row), Kind: "network/public-ip", Dim: "bytes", Amount: c.amount}, noon.Add(c.at)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		from, to time.Duration
		want     int64
	}{{0, time.Hour, 12}, {0, 2 * time.Hour, 112}, {time.Hour, 2 * time.Hour, 100}, {0, 24 * time.Hour, 10_112}, {-time.Hour, 0, 0}, {30 * time.Minute, time.Hour, 12}} {
		err := s.View(t.Context(), func(tx store.Tx) error {
			all, err := UsageOf(tx, "p", noon.Add(c.from), noon.Add(c.to))
			var got int64
			for _, u := range all {
				if u.Resource == "r" {
					got += u.Passed
				}
			}
			if got != c.want {
				t.Errorf("from %s to %s: %d, want %d", c.from, c.to, got, c.want)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
