package qemu

import (
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/machine"
)

// Where devices are. A machine has room for all that may come while it runs: cards in the upper half of its first bus, disks
// on a bus of their own.
const (
	diskBus   = "disks"
	scsiBus   = "scsi0.0"
	firstCard = 0x10
	seedUnit  = 0 // of the SCSI bus
)

// place gives every disk and card a slot, and leaves those that have one where they are.
func place(old map[id.ID]int, w machine.Want) (map[id.ID]int, error) {
	out := map[id.ID]int{}
	take := func(i id.ID, taken map[int]bool, wish, first, last int) error {
		for n := range last - first + 2 {
			s := wish
			if n > 0 {
				s = first + n - 1
			}
			if s >= first && s <= last && !taken[s] {
				out[i], taken[s] = s, true
				return nil
			}
		}
		return fail.New(fail.Precondition, "the machine has no room for another device").Then("take one away first")
	}
	disks, cards := map[int]bool{}, map[int]bool{}
	for _, d := range w.Disks {
		if s, ok := old[d.ID]; ok {
			out[d.ID], disks[s] = s, true
		}
	}
	for _, n := range w.NICs {
		if s, ok := old[n.ID]; ok {
			out[n.ID], cards[s] = s, true
		}
	}
	for _, d := range w.Disks {
		if _, ok := out[d.ID]; ok {
			continue
		}
		if err := take(d.ID, disks, int(d.Device[len(d.Device)-1]-'a')+1, 1, machine.MaxDisks); err != nil {
			return nil, err
		}
	}
	for _, n := range w.NICs {
		if _, ok := out[n.ID]; ok {
			continue
		}
		if err := take(n.ID, cards, firstCard, firstCard, firstCard+machine.MaxNICs-1); err != nil {
			return nil, err
		}
	}
	return out, nil
}
