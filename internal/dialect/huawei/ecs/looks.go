package ecs

import (
	"github.com/awancloud/awan/internal/dialect/huawei/rest"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/job"
	"github.com/awancloud/awan/internal/service/compute"
)

// card is the fact by which an operation on a network card finds it in the server's row.
const cardKey = "card/"

// Looks are what answers about jobs name of the rows, by kind; the jobs of all three services are asked for at one path.
func Looks() map[string]rest.Look {
	plain := func(name string) rest.Look {
		return func(_ *rest.Exchange, _ *job.Bundle, j *job.Job) map[string]any {
			return map[string]any{name: rest.ID(j.Row)}
		}
	}
	return map[string]rest.Look{"compute/server": lookServer, "volume/volume": plain("volume_id"), "volume/snapshot": plain("snapshot_id"), "image/image": plain("image_id")}
}

func lookServer(x *rest.Exchange, b *job.Bundle, j *job.Job) map[string]any {
	out := map[string]any{"server_id": rest.ID(j.Row)}
	for k, f := range rest.Said(b) {
		out[k] = f
	}
	key := b.Facts[cardKey+string(j.ID)]
	if key == "" || b.Facts["nic_id"] != "" {
		return out
	}
	r, err := x.Do(x.API.Door.KindOf(j.Kind), call.Get, string(j.Row), nil)
	if err != nil {
		return out // the server is gone; what was done to it is said all the same
	}
	for _, n := range r.StatusPtr().(*compute.ServerStatus).Cards {
		if n.Key == key && n.Port != "" {
			out["nic_id"] = rest.ID(n.Port)
		}
	}
	return out
}
