package dns

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
)

// export writes a zone as a zone file that other servers take. What is disabled stands in it as a comment.
func (s *Service) export(ctx context.Context, r *zoneRow, _ any, st kind.Stream) error {
	var rows []*recordRow
	err := s.Store.View(ctx, func(tx store.Tx) (err error) {
		rows, err = s.Record.List(tx, string(r.Project), kind.Filter{Index: "zone", Value: string(r.ID)})
		for _, rec := range rows {
			if err == nil {
				err = s.recordShown(tx, rec)
			}
		}
		return err
	})
	if err != nil {
		return err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "$ORIGIN %s\n", fqdn(r.Name))
	for _, own := range []bool{true, false} { // SOA first, as zone files want
		for _, rec := range rows {
			if own != (rec.Spec.Type == "SOA") {
				continue
			}
			for _, v := range rec.Spec.Values {
				rr, err := parse(rec.Name, rec.Spec.TTL, rec.Spec.Type, v)
				if err != nil {
					return err
				}
				if rec.Spec.Disabled {
					b.WriteString("; ")
				}
				b.WriteString(rr.String() + "\n")
			}
		}
	}
	w, err := st.Raw("text/dns")
	if err != nil {
		return err
	}
	_, err = io.WriteString(w, b.String())
	return err
}
