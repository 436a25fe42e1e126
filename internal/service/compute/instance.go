package compute

import (
	"context"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
)

// Row is a server's row.
type Row = serverRow

// Get reads a server, whosever it is: for the metadata service, which knows by the network who asks.
func (s *Service) Get(ctx context.Context, server id.ID) (row *kind.Row[ServerSpec, ServerStatus], err error) {
	err = s.Store.View(ctx, func(tx store.Tx) error {
		row, err = s.Server.Get(tx, server)
		return err
	})
	if err == nil && row == nil {
		err = fail.New(fail.NotFound, "there is no server %s", server)
	}
	return row, err
}
