package volume

import (
	"cmp"
	"slices"
	"sync"

	"github.com/awancloud/awan/internal/kernel/id"
)

type hold struct {
	mu    sync.Mutex
	users int
}

// Hold keeps the layers of volumes as they are until it is given back: nobody takes a snapshot or grows them meanwhile.
// Whoever starts a machine on them, or plugs one in, holds them from Drive until the machine has them open.
func (s *Service) Hold(volumes ...id.ID) (release func()) {
	volumes = slices.Clone(volumes)
	slices.SortFunc(volumes, cmp.Compare[id.ID]) // the order in which all take several
	volumes = slices.Compact(volumes)
	for _, v := range volumes {
		s.mu.Lock()
		h := s.holds[v]
		if h == nil {
			h = new(hold)
			s.holds[v] = h
		}
		h.users++
		s.mu.Unlock()
		h.mu.Lock()
	}
	return sync.OnceFunc(func() {
		for _, v := range volumes {
			s.mu.Lock()
			h := s.holds[v]
			if h.users--; h.users == 0 {
				delete(s.holds, v)
			}
			s.mu.Unlock()
			h.mu.Unlock()
		}
	})
}
