package network

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/nftables"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// PickSubnet gives the cloud in dir its range: the one remembered there, or else a 10.x.0.0/16 that no route of this
// machine and none of its resolvers touches, which it writes down. Different directories begin to look at different x.
func PickSubnet(dir string) (netip.Prefix, error) {
	path := filepath.Join(dir, "subnet")
	if b, err := os.ReadFile(path); err == nil {
		return netip.ParsePrefix(strings.TrimSpace(string(b)))
	} else if !errors.Is(err, os.ErrNotExist) {
		return netip.Prefix{}, err
	}
	taken, err := takenRanges()
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("read the routing table: %w", err)
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(dir))
	const first, count = 60, 180 // the low ones are other people's favourites
	for i := range uint32(count) {
		p := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(first + (h.Sum32()+i)%count), 0, 0}), 16)
		free := true
		for _, t := range taken {
			free = free && !t.Overlaps(p)
		}
		if !free {
			continue
		}
		if err := os.MkdirAll(dir, 0o711); err != nil {
			return netip.Prefix{}, err
		}
		return p, os.WriteFile(path, []byte(p.String()+"\n"), 0o600)
	}
	return netip.Prefix{}, errors.New("no free range in 10.60.0.0 to 10.239.255.255")
}

func takenRanges() ([]netip.Prefix, error) {
	routes, err := netlink.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Table: unix.RT_TABLE_UNSPEC}, netlink.RT_FILTER_TABLE)
	if err != nil {
		return nil, err
	}
	var out []netip.Prefix
	for _, r := range routes {
		if r.Dst == nil {
			continue
		}
		a, ok := netip.AddrFromSlice(r.Dst.IP.To4())
		ones, _ := r.Dst.Mask.Size()
		if ok && ones > 0 {
			out = append(out, netip.PrefixFrom(a, ones).Masked())
		}
	}
	for _, a := range Resolvers() {
		out = append(out, netip.PrefixFrom(a, 32))
	}
	return out, nil
}

// Resolvers are the host's name servers that an instance can reach: not those on loopback, for which systemd-resolved's
// real ones are taken.
func Resolvers() []netip.Addr {
	for _, path := range []string{"/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"} {
		if list := resolvers(path); len(list) > 0 {
			return list
		}
	}
	return nil
}

func resolvers(path string) []netip.Addr {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	var out []netip.Addr
	seen := map[netip.Addr]bool{}
	for s := bufio.NewScanner(f); s.Scan(); {
		fields := strings.Fields(s.Text())
		if len(fields) < 2 || fields[0] != "nameserver" {
			continue
		}
		a, err := netip.ParseAddr(fields[1])
		if err != nil || !a.Is4() || a.IsLoopback() || seen[a] {
			continue
		}
		seen[a] = true
		out = append(out, a)
	}
	return out
}

// Purge removes what a cloud's key left in this machine's network. Absent is success.
func Purge(_ context.Context, key string) error {
	var errs []error
	if c, err := nftables.New(); err != nil {
		errs = append(errs, err)
	} else {
		t := &nftables.Table{Family: nftables.TableFamilyINet, Name: tableName(key)}
		c.AddTable(t)
		c.DelTable(t)
		errs = append(errs, c.Flush())
	}
	links, err := netlink.LinkList()
	errs = append(errs, err)
	for _, l := range links {
		name := l.Attrs().Name
		if !strings.HasPrefix(name, prefix+key) {
			continue
		}
		if name == prefix+key+"gw" {
			errs = append(errs, dropClaim(l))
		}
		if err := netlink.LinkDel(l); err != nil && !errors.Is(err, unix.ENODEV) {
			errs = append(errs, err)
		}
	}
	errs = append(errs, closeUplinks())
	return errors.Join(errs...)
}

// closeUplinks switches forwarding off again where clouds had switched it on, once the last of them is gone.
func closeUplinks() error {
	links, err := netlink.LinkList()
	if err != nil {
		return err
	}
	for _, l := range links {
		if strings.HasPrefix(l.Attrs().Name, prefix+"-") {
			return nil // the way out of a cloud's servers
		}
		if name := l.Attrs().Name; l.Type() == "bridge" && len(name) == len(prefix)+8 && strings.HasPrefix(name, prefix) && strings.HasSuffix(name, "gw") {
			return nil
		}
	}
	marks, _ := filepath.Glob(guardFile("*"))
	var errs []error
	for _, m := range marks {
		name := strings.TrimPrefix(m, guardFile(""))
		if err := sysctl("ipv4/conf/"+name+"/forwarding", "0"); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
		errs = append(errs, os.Remove(m))
	}
	return errors.Join(errs...)
}

// dropClaim removes the route that claimed the subnet of the gateway on l.
func dropClaim(l netlink.Link) error {
	addrs, err := netlink.AddrList(l, netlink.FAMILY_V4)
	if err != nil {
		return err
	}
	routes, err := netlink.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Type: unix.RTN_UNREACHABLE}, netlink.RT_FILTER_TYPE)
	if err != nil {
		return err
	}
	for _, r := range routes {
		for _, a := range addrs {
			if r.Dst != nil && r.Dst.Contains(a.IP) {
				if err := netlink.RouteDel(&r); err != nil && !errors.Is(err, unix.ESRCH) {
					return err
				}
			}
		}
	}
	return nil
}
