package sim_test

import (
	"crypto/rand"
	"net"
	"testing"

	"github.com/awancloud/awan/internal/engine/machine/sim"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/machine"
	"github.com/awancloud/awan/internal/service/machine/machinetest"
)

func TestContract(t *testing.T) {
	machinetest.Run(t, func(testing.TB) machinetest.Harness {
		e := sim.New(sim.Options{})
		return machinetest.Harness{Engine: e, Prompt: "login: ",
			Disk: func(testing.TB, int64) machine.Drive {
				return machine.Drive{Path: "/disks/" + string(id.New()), Format: "qcow2"}
			},
			Layer: func(_ testing.TB, over machine.Drive) machine.Drive {
				return machine.Drive{Path: "/disks/" + string(id.New()), Format: "qcow2", Backing: append([]string{over.Path}, over.Backing...)}
			},
			NIC: func(testing.TB) machine.NIC {
				mac := net.HardwareAddr{0xfa, 0x16, 0x3e, 0, 0, 0}
				_, _ = rand.Read(mac[3:])
				return machine.NIC{ID: id.New(), MAC: mac, Device: "tap" + rand.Text()[:6], MTU: 1500}
			},
			Crash: func(t testing.TB, i id.ID) {
				if err := e.Crash(i); err != nil {
					t.Fatal(err)
				}
			}}
	})
}
