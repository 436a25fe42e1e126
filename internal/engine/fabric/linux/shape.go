package linux

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// detour is the interface over which a limited port's packets make their way in: only going out can packets wait.
func detour(tap string) string { return "i" + tap[1:] }

const perMbit = 125_000 // bytes a second

// shape holds back what goes to a machine, and what comes from it, beyond mbit; 0 takes the limits away. limited tells
// that there may be some.
func (s *space) shape(l netlink.Link, mbit int, limited bool) error {
	if mbit <= 0 && !limited {
		return nil // reading the queues reads those of all interfaces
	}
	if err := s.bucket(l, mbit); err != nil {
		return err
	}
	list, err := whole(func() ([]netlink.Qdisc, error) { return s.link.QdiscList(l) })
	if err != nil {
		return fmt.Errorf("list the queues: %w", err)
	}
	i := slices.IndexFunc(list, func(q netlink.Qdisc) bool { return q.Attrs().Parent == netlink.HANDLE_INGRESS })
	if mbit <= 0 {
		if i >= 0 {
			return s.link.QdiscDel(list[i])
		}
		return nil
	}
	name := detour(l.Attrs().Name)
	way, err := s.link.LinkByName(name)
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = name
		if err = s.link.LinkAdd(&netlink.Ifb{LinkAttrs: attrs}); err == nil {
			way, err = s.link.LinkByName(name)
		}
	}
	if err != nil {
		return fmt.Errorf("make the interface %s: %w", name, err)
	}
	if err := errors.Join(s.bucket(way, mbit), s.finish(way, way.Attrs().MTU, true)); err != nil {
		return err
	}
	index := l.Attrs().Index
	if i < 0 {
		q := &netlink.Ingress{QdiscAttrs: netlink.QdiscAttrs{LinkIndex: index, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_INGRESS}}
		if err := s.link.QdiscAdd(q); err != nil {
			return fmt.Errorf("catch what comes from the machine: %w", err)
		}
	}
	filters, err := whole(func() ([]netlink.Filter, error) { return s.link.FilterList(l, netlink.MakeHandle(0xffff, 0)) })
	if err != nil {
		return err
	}
	for _, f := range filters {
		if u, ok := f.(*netlink.U32); ok && u.RedirIndex == way.Attrs().Index {
			return nil
		}
	}
	err = s.link.FilterReplace(&netlink.U32{
		FilterAttrs: netlink.FilterAttrs{LinkIndex: index, Parent: netlink.MakeHandle(0xffff, 0), Priority: 1, Protocol: unix.ETH_P_ALL},
		RedirIndex:  way.Attrs().Index,
	})
	if err != nil {
		return fmt.Errorf("send what comes from the machine over %s: %w", name, err)
	}
	return nil
}

// bucket lets a burst of about 10 ms out of an interface, at least one packet of the largest size that offloading makes, and
// keeps 50 ms waiting.
func (s *space) bucket(l netlink.Link, mbit int) error {
	list, err := whole(func() ([]netlink.Qdisc, error) { return s.link.QdiscList(l) })
	if err != nil {
		return fmt.Errorf("list the queues: %w", err)
	}
	rate := uint64(mbit) * perMbit
	for _, q := range list {
		have, ok := q.(*netlink.Tbf)
		if !ok || have.Parent != netlink.HANDLE_ROOT {
			continue
		}
		if mbit > 0 && have.Rate == rate {
			return nil
		}
		if err := s.link.QdiscDel(have); err != nil && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("remove the old limit: %w", err)
		}
	}
	if mbit <= 0 {
		return nil
	}
	burst := max(rate/100, 70_000)
	err = s.link.QdiscReplace(&netlink.Tbf{
		QdiscAttrs: netlink.QdiscAttrs{LinkIndex: l.Attrs().Index, Handle: netlink.MakeHandle(1, 0), Parent: netlink.HANDLE_ROOT},
		Rate:       rate,
		Limit:      uint32(max(rate/20, 256<<10)),
		Buffer:     uint32(float64(burst) / float64(rate) * 1e6 * netlink.TickInUsec()),
	})
	if err != nil {
		return fmt.Errorf("set the limit of %d Mbit/s: %w", mbit, err)
	}
	return nil
}

// limited are the interfaces on which anything holds packets back.
func (s *space) limited() (map[int]bool, error) {
	list, err := whole(func() ([]netlink.Qdisc, error) { return s.link.QdiscList(nil) })
	if err != nil {
		return nil, fmt.Errorf("list the queues: %w", err)
	}
	out := map[int]bool{}
	for _, q := range list {
		switch q.Type() {
		case "tbf", "htb", "ingress":
			out[q.Attrs().LinkIndex] = true
		}
	}
	return out, nil
}

// limit is what bucket last set.
func (s *space) limit(l netlink.Link) (mbit int, err error) {
	list, err := whole(func() ([]netlink.Qdisc, error) { return s.link.QdiscList(l) })
	for _, q := range list {
		if have, ok := q.(*netlink.Tbf); ok && have.Parent == netlink.HANDLE_ROOT {
			mbit = int(have.Rate / perMbit)
		}
	}
	return mbit, err
}

// lanes are limits of single addresses on a cable.
type lanes struct {
	mbit map[netip.Addr]int
	from bool // the address is the packets' source, else their destination
}

// classes numbers the lanes by their addresses, so that a lane's number and rate say all there is to it.
func (w lanes) classes() map[uint32]netip.Addr {
	out := map[uint32]netip.Addr{}
	for _, a := range slices.SortedFunc(maps.Keys(w.mbit), netip.Addr.Compare) {
		b := a.As4()
		for n := uint32(b[2])<<8 | uint32(b[3]); ; n++ {
			if n &= 0xffff; n == 0 || n == 0xffff {
				continue
			}
			if _, taken := out[n]; !taken {
				out[n] = a
				break
			}
		}
	}
	return out
}

// rates are the lanes of an interface by number, in Mbit/s.
func (s *space) rates(l netlink.Link) (map[uint32]int, error) {
	list, err := whole(func() ([]netlink.Class, error) { return s.link.ClassList(l, netlink.HANDLE_NONE) })
	if err != nil {
		return nil, err
	}
	out := map[uint32]int{}
	for _, c := range list {
		if h, ok := c.(*netlink.HtbClass); ok {
			out[h.Handle&0xffff] = int(h.Rate / perMbit)
		}
	}
	return out, nil
}

func (w lanes) rates() map[uint32]int {
	out := map[uint32]int{}
	for n, a := range w.classes() {
		out[n] = w.mbit[a]
	}
	return out
}

// divide gives each limited address a lane of its own; what has none goes beside them. divided tells that there may be some.
func (s *space) divide(l netlink.Link, w lanes, divided bool) error {
	if len(w.mbit) == 0 && !divided {
		return nil
	}
	have, err := s.rates(l)
	if err != nil {
		return fmt.Errorf("list the limits: %w", err)
	}
	if maps.Equal(have, w.rates()) {
		return nil
	}
	index := l.Attrs().Index
	root := netlink.NewHtb(netlink.QdiscAttrs{LinkIndex: index, Handle: netlink.MakeHandle(1, 0), Parent: netlink.HANDLE_ROOT})
	if len(have) > 0 {
		if err := s.link.QdiscDel(root); err != nil && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("remove the old limits: %w", err)
		}
	}
	if len(w.mbit) == 0 {
		return nil
	}
	if err := s.link.QdiscReplace(root); err != nil {
		return fmt.Errorf("make room for limits: %w", err)
	}
	offset := int32(16)
	if w.from {
		offset = 12
	}
	for n, a := range w.classes() {
		bits := uint64(w.mbit[a]) * 1_000_000
		burst := uint32(max(bits/800, 70_000)) // 10 ms
		class := netlink.NewHtbClass(netlink.ClassAttrs{LinkIndex: index, Parent: root.Handle, Handle: netlink.MakeHandle(1, uint16(n))},
			netlink.HtbClassAttrs{Rate: bits, Ceil: bits, Buffer: burst, Cbuffer: burst})
		if err := s.link.ClassReplace(class); err != nil {
			return fmt.Errorf("set the limit of %s: %w", a, err)
		}
		b := a.As4()
		err := s.link.FilterReplace(&netlink.U32{
			FilterAttrs: netlink.FilterAttrs{LinkIndex: index, Parent: root.Handle, Priority: 1, Protocol: unix.ETH_P_IP},
			ClassId:     class.Handle,
			Sel: &nl.TcU32Sel{Flags: nl.TC_U32_TERMINAL, Nkeys: 1,
				Keys: []nl.TcU32Key{{Mask: 0xffffffff, Val: binary.BigEndian.Uint32(b[:]), Off: offset}}},
		})
		if err != nil {
			return fmt.Errorf("set the limit of %s: %w", a, err)
		}
	}
	return nil
}
