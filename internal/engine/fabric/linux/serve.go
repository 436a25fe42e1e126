package linux

import (
	"context"
	"io"

	"github.com/awancloud/awan/internal/kernel/id"
)

// served is what this process answers in a VPC.
type served struct {
	stop context.CancelFunc
	dhcp io.Closer
}

// serve begins to answer in a VPC, or goes on. What fails is tried again with the next change.
func (e *Engine) serve(vpc id.ID, s *space) {
	here := e.served[vpc]
	if here == nil {
		here = &served{}
		var ctx context.Context
		ctx, here.stop = context.WithCancel(context.Background())
		_ = ctx
		e.served[vpc] = here
	}
	if here.dhcp == nil {
		c, err := e.serveDHCP(context.Background(), vpc, s)
		if err != nil {
			e.log.Error("DHCP does not answer", "vpc", vpc, "error", err)
		} else {
			here.dhcp = c
		}
	}
}

func (e *Engine) unserve(vpc id.ID) {
	here := e.served[vpc]
	if here == nil {
		return
	}
	here.stop()
	for _, c := range []io.Closer{here.dhcp} {
		if c != nil {
			_ = c.Close()
		}
	}
	delete(e.served, vpc)
}
