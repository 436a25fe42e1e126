package servers

import (
	"context"
	"testing"

	machinesim "github.com/awancloud/awan/internal/engine/machine/sim"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/service/machine"
)

// translated is a machine without KVM.
type translated struct{ machine.Engine }

func (e translated) Capabilities(ctx context.Context) machine.Capabilities {
	c := e.Engine.Capabilities(ctx)
	c.Accelerator, c.Why = "tcg", "there is no /dev/kvm"
	return c
}

// TestWhatNeedsKVMIsRefusedWithoutIt, with the reason and what to take in its place, until an operator offers it all the same.
func TestWhatNeedsKVMIsRefusedWithoutIt(t *testing.T) {
	w := newWorldOn(t, machinesim.Options{}, func(e machine.Engine) machine.Engine { return translated{e} })
	const full = `{"flavor":"s6.small.1","image":"Debian 12"}`
	w.refused(server, call.Create, "full", full, "starts too slowly without KVM (there is no /dev/kvm)")
	w.refused(server, call.Create, "full", full, "Debian 12 small")
	w.do(server, call.Create, "small", `{"flavor":"t6.nano.1","image":"Debian 12 small"}`)
	w.do(w.Images.Public.D.FullName(), call.Update, "Debian 12", `{"properties":{"awan_needs":null}}`)
	w.do(server, call.Create, "full", full)
	newWorld(t, machinesim.Options{}).do(server, call.Create, "full", full)
}
