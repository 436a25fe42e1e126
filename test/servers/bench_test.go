package servers

import (
	"encoding/json"
	"fmt"
	"sync"
	"testing"

	machinesim "github.com/awancloud/awan/internal/engine/machine/sim"
	"github.com/awancloud/awan/internal/kernel/call"
)

// BenchmarkCreate is a server from its call to active, 32 at a time.
func BenchmarkCreate(b *testing.B) {
	w := newWorld(b, machinesim.Options{})
	w.do("network/vpc", call.Create, "wide", `{"cidr":"10.0.0.0/8"}`)
	w.do("network/subnet", call.Create, "wide", `{"vpc":"wide","cidr":"10.0.0.0/16"}`)
	w.do(server, call.Create, "first", `{"flavor":"t6.nano.1","image":"Debian 12 small"}`)
	slots := make(chan struct{}, 32)
	var wg sync.WaitGroup
	i := 0
	for b.Loop() {
		i++
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			name := fmt.Sprintf("s-%d", i)
			d := w.Kernel.Door
			r, err := d.Do(b.Context(), &call.Call{Kind: d.KindOf(server), Verb: call.Create, Name: &name, Principal: w.Root,
				Spec: json.RawMessage(`{"flavor":"t6.nano.1","image":"Debian 12 small","networks":[{"subnet":"wide"}]}`)})
			if err != nil {
				b.Error(err)
				return
			}
			if _, err := d.WaitJob(b.Context(), r.Job.ID); err != nil {
				b.Error(err)
			}
		})
	}
	wg.Wait()
}
