package packets

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/awancloud/awan/internal/engine/thread"
	"github.com/awancloud/awan/internal/service/machine"
)

// box stands in for a server: a network namespace with an eth0 whose frames a goroutine carries to the port's tap and back.
type box struct {
	t  *testing.T
	ns string // the namespace's file
}

// boot plugs a box into a port.
func boot(t *testing.T, name string, nic machine.NIC, address, gateway string) *box {
	t.Helper()
	b := &box{t: t, ns: filepath.Join("/run/netns", name)}
	ip(t, "netns", "add", name)
	t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", name).Run() })
	near, far := tap(t, nic.Namespace, nic.Device), tap(t, b.ns, "eth0")
	t.Cleanup(func() { _, _ = near.Close(), far.Close() })
	go carry(near, far)
	go carry(far, near)
	ip(t, "-n", name, "link", "set", "eth0", "address", nic.MAC.String(), "mtu", fmt.Sprint(nic.MTU), "up")
	ip(t, "-n", name, "link", "set", "lo", "up")
	ip(t, "-n", name, "addr", "add", address+"/24", "dev", "eth0")
	ip(t, "-n", name, "route", "add", "default", "via", gateway)
	return b
}

func ip(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		t.Fatalf("ip %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// within does something with sockets of a namespace.
func within(ns string, do func() error) error {
	return thread.Elsewhere(func() error {
		f, err := os.Open(ns)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := unix.Setns(int(f.Fd()), unix.CLONE_NEWNET); err != nil {
			return err
		}
		return do()
	})
}

func tap(t *testing.T, ns, device string) (f *os.File) {
	t.Helper()
	err := within(ns, func() error {
		fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
		if err != nil {
			return err
		}
		r, err := unix.NewIfreq(device)
		if err != nil {
			return err
		}
		r.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI | unix.IFF_VNET_HDR)
		err = errors.Join(unix.IoctlIfreq(fd, unix.TUNSETIFF, r), unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, unix.TUN_F_CSUM))
		f = os.NewFile(uintptr(fd), device) // not before: until then nobody can wait for its frames
		return err
	})
	if err != nil {
		t.Fatalf("open the tap %s of %s: %v", device, ns, err)
	}
	return f
}

func carry(from, to *os.File) {
	buf := make([]byte, 70_000)
	for {
		n, err := from.Read(buf)
		if err == nil {
			_, err = to.Write(buf[:n])
		}
		if errors.Is(err, os.ErrClosed) || errors.Is(err, unix.EBADFD) {
			return
		}
		if err != nil {
			time.Sleep(time.Millisecond) // one of the two is switched off
		}
	}
}

// listen listens in the box.
func (b *box) listen(at string) (l net.Listener) {
	b.t.Helper()
	if err := within(b.ns, func() (err error) { l, err = net.Listen("tcp", at); return err }); err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { l.Close() })
	return l
}

// dial connects from the box.
func (b *box) dial(network, to string) (c net.Conn, err error) {
	d := net.Dialer{Timeout: time.Second, FallbackDelay: -1}
	err = within(b.ns, func() (err error) { c, err = d.Dial(network, to); return err })
	return c, err
}
