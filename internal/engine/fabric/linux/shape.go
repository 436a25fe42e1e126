package linux

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// shape holds back what goes to a machine beyond mbit; 0 takes the limit away. What comes from it is dropped by a rule,
// see rates.
func (s *space) shape(l netlink.Link, mbit int) error {
	list, err := s.link.QdiscList(l)
	if err != nil {
		return fmt.Errorf("list the queues: %w", err)
	}
	want := bucket(l, mbit)
	for _, q := range list {
		have, ok := q.(*netlink.Tbf)
		if !ok || have.Parent != netlink.HANDLE_ROOT {
			continue
		}
		if mbit > 0 && have.Rate == want.Rate {
			return nil
		}
		if err := s.link.QdiscDel(have); err != nil && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("remove the old limit: %w", err)
		}
	}
	if mbit <= 0 {
		return nil
	}
	if err := s.link.QdiscReplace(want); err != nil {
		return fmt.Errorf("set the limit of %d Mbit/s: %w", mbit, err)
	}
	return nil
}

// bucket lets a burst of about 10 ms pass, at least one packet of the largest size that offloading makes, and keeps 50 ms
// waiting.
func bucket(l netlink.Link, mbit int) *netlink.Tbf {
	rate := uint64(mbit) * 125_000
	burst := max(rate/100, 70_000)
	return &netlink.Tbf{
		QdiscAttrs: netlink.QdiscAttrs{LinkIndex: l.Attrs().Index, Handle: netlink.MakeHandle(1, 0), Parent: netlink.HANDLE_ROOT},
		Rate:       rate,
		Limit:      uint32(max(rate/20, 256<<10)),
		Buffer:     uint32(float64(burst) / float64(rate) * 1e6 * netlink.TickInUsec()),
	}
}
