package linux

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/google/nftables"
	mdnetlink "github.com/mdlayher/netlink"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/awancloud/awan/internal/engine/thread"
)

// namespaces is where ip-netns(8) keeps its names too, so that an operator can look into a VPC with "ip netns exec".
const namespaces = "/run/netns"

// space is one network namespace that is ours, and the sockets that reach into it.
type space struct {
	name string // below namespaces; "" is the machine's own
	own  string // in the machine's own, our interface there
	fd   netns.NsHandle
	link *netlink.Handle
	flow *netlink.Handle // the connection table
	// had is what the packet rules are, as far as this process knows; nil: unknown.
	had map[string]*ruleset
}

// enter opens the namespace, and makes it when create is set.
func enter(name string, create bool) (*space, error) {
	path := filepath.Join(namespaces, name)
	fd, err := netns.GetFromPath(path)
	if create && (errors.Is(err, os.ErrNotExist) || err == nil && !mounted(fd)) {
		if err == nil {
			_ = fd.Close()
		}
		if err := makeNamespace(path); err != nil {
			return nil, fmt.Errorf("make the namespace %s: %w", name, err)
		}
		fd, err = netns.GetFromPath(path)
	}
	if err == nil && !mounted(fd) {
		_ = fd.Close()
		err = os.ErrNotExist
	}
	if err != nil {
		return nil, err
	}
	return open(name, fd)
}

// host is the machine's own namespace, or rather this process's.
func host() (*space, error) {
	fd, err := netns.Get()
	if err != nil {
		return nil, err
	}
	return open("", fd)
}

func open(name string, fd netns.NsHandle) (*space, error) {
	s := &space{name: name, fd: fd, had: map[string]*ruleset{}}
	var err error
	if s.link, err = netlink.NewHandleAt(fd, unix.NETLINK_ROUTE); err == nil {
		s.flow, err = netlink.NewHandleAt(fd, unix.NETLINK_NETFILTER)
	}
	if err != nil {
		s.close()
		return nil, fmt.Errorf("reach into the namespace %s: %w", name, err)
	}
	return s, nil
}

func (s *space) close() {
	if s.link != nil {
		s.link.Close()
	}
	if s.flow != nil {
		s.flow.Close()
	}
	_ = s.fd.Close()
}

func (s *space) path() string {
	if s.name == "" {
		return ""
	}
	return filepath.Join(namespaces, s.name)
}

// run does f with a thread that is in the namespace.
func (s *space) run(f func() error) error {
	return thread.Elsewhere(func() error {
		if err := netns.Set(s.fd); err != nil {
			return err
		}
		return f()
	})
}

func (s *space) filter() (*nftables.Conn, error) {
	const room = 16 << 20 // a big VPC's rules are one message of some megabytes
	return nftables.New(nftables.WithNetNSFd(int(s.fd)), nftables.WithSockOptions(
		func(c *mdnetlink.Conn) error { return c.SetWriteBuffer(room) },
		func(c *mdnetlink.Conn) error { return c.SetReadBuffer(room) }))
}

// makeNamespace makes a namespace and keeps it by its name. A crash between the two leaves an empty file, which the next
// try takes over.
func makeNamespace(path string) error {
	if err := os.MkdirAll(namespaces, 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDONLY, 0o444)
	if err != nil {
		return err
	}
	_ = f.Close()
	return thread.Elsewhere(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return err
		}
		return unix.Mount("/proc/thread-self/ns/net", path, "", unix.MS_BIND, "")
	})
}

// mounted tells a namespace from the empty file that a crash left.
func mounted(fd netns.NsHandle) bool {
	var st unix.Statfs_t
	return unix.Fstatfs(int(fd), &st) == nil && st.Type == unix.NSFS_MAGIC
}

// dropNamespace forgets the name. What is inside ends once nobody holds it: a machine that has a tap open, say.
func dropNamespace(name string) error {
	path := filepath.Join(namespaces, name)
	for {
		err := unix.Unmount(path, unix.MNT_DETACH)
		if err == nil {
			continue
		}
		if !errors.Is(err, syscall.EINVAL) && !errors.Is(err, syscall.ENOENT) {
			return fmt.Errorf("release the namespace %s: %w", name, err)
		}
		break
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// listNamespaces gives the names that begin with prefix.
func listNamespaces(prefix string) ([]string, error) {
	entries, err := os.ReadDir(namespaces)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	var out []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), prefix) {
			out = append(out, e.Name())
		}
	}
	return out, err
}

// whole asks the kernel for a list until it gets one that nothing changed while it was read: what happens elsewhere on the
// machine may disturb it at any time.
func whole[T any](list func() (T, error)) (out T, err error) {
	for range 20 {
		if out, err = list(); !errors.Is(err, netlink.ErrDumpInterrupted) {
			break
		}
	}
	return out, err
}

// setting reads one of the files that settings writes.
func (s *space) setting(name string) (value string, err error) {
	err = s.run(func() error {
		b, err := os.ReadFile("/proc/sys/net/" + name)
		value = strings.TrimSpace(string(b))
		return err
	})
	return value, err
}

// settings writes below /proc/sys/net, of whose files each thread sees its own namespace's.
func (s *space) settings(list ...string) error {
	return s.run(func() error {
		for i := 0; i+1 < len(list); i += 2 {
			path := "/proc/sys/net/" + list[i]
			if b, err := os.ReadFile(path); err == nil && strings.TrimSpace(string(b)) == list[i+1] {
				continue
			}
			if err := os.WriteFile(path, []byte(list[i+1]), 0o644); err != nil {
				return err
			}
		}
		return nil
	})
}
