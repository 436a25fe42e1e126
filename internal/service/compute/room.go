package compute

import (
	"context"

	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
)

// Room is what the machine has for servers and what of it is taken.
type Room struct {
	Host       string
	Zone       string
	Engine     string       // what runs machines there
	CPUs       int          // real processors
	Memory     int64        // MiB
	UsedCPUs   int          // virtual processors of servers that are switched on
	UsedMemory int64        // MiB
	Servers    int          // in all
	Running    int          // switched on
	Disk       int          // GiB of the servers' disks
	All        []*kind.Meta // its servers
	Overcommit
}

// Room reads what room there is.
func (s *Service) Room(ctx context.Context) (Room, error) {
	if err := s.capacity.read(ctx, s.Engine); err != nil {
		return Room{}, err
	}
	s.capacity.mu.Lock()
	has := s.capacity.last
	s.capacity.mu.Unlock()
	r := Room{Host: s.HostName, Zone: s.Zone, Engine: s.Engine.Capabilities(ctx).Name, CPUs: has.CPUs, Memory: has.MemoryMiB, Overcommit: s.Overcommit}
	err := s.Store.View(ctx, func(tx store.Tx) error {
		l, err := readLoad(tx, loadKey)
		if err != nil {
			return err
		}
		r.UsedCPUs, r.UsedMemory = l.CPUs, l.Memory
		rows, _, err := s.Server.D.List(tx, "", kind.Filter{Shared: true})
		r.Servers, r.Running, r.Disk = len(rows), 0, 0
		for _, row := range rows {
			one := row.(*serverRow)
			r.All = append(r.All, &one.Meta)
			if !one.Spec.Stopped {
				r.Running++
			}
			for _, d := range one.Status.Disks {
				r.Disk += d.Size
			}
		}
		return err
	})
	return r, err
}
