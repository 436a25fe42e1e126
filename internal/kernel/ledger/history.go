package ledger

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/store"
)

// History lists what a resource held of dim since a moment, the oldest first. The last sample may be open.
func History(tx store.Tx, project, row id.ID, dim Dim, since time.Time) ([]Sample, error) {
	var out []Sample
	for _, p := range []string{donePrefix, openPrefix} {
		for _, b := range tx.Scan(p+string(project)+"/", "") {
			var s Sample
			if err := json.Unmarshal(b, &s); err != nil {
				return nil, err
			}
			if s.Row == row && s.Dim == dim && (s.To.IsZero() || s.To.After(since)) {
				out = append(out, s)
			}
		}
	}
	slices.SortFunc(out, func(a, b Sample) int { return a.From.Compare(b.From) })
	return out, tx.ScanErr()
}
