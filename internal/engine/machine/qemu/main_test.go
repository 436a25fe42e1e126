package qemu_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

	"github.com/awancloud/awan/internal/engine/machine/qemu"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/machine"
	"github.com/awancloud/awan/internal/service/machine/machinetest"
	"github.com/awancloud/awan/test/guest"
)

// options are those of a fresh cloud of its own.
func options(t testing.TB) qemu.Options {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	for _, p := range []string{"qemu-system-x86_64", "qemu-img"} {
		if _, err := exec.LookPath(p); err != nil {
			t.Skip(p + " is not installed")
		}
	}
	l := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelInfo}))
	return qemu.Options{Dir: filepath.Join(t.TempDir(), "machines"), Key: strings.ToLower(rand.Text()[:6]), Logger: l, Accelerator: accelerator(t)}
}

// accelerator is found out once for all tests: trying takes seconds where KVM does not work.
func accelerator(t testing.TB) string {
	if _, err := os.Stat("/dev/kvm"); err != nil {
		return ""
	}
	return "tcg"
}

// open opens an engine that is purged after the test.
func open(t testing.TB, o qemu.Options) *qemu.Engine {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	e, err := qemu.Open(ctx, o)
	if err != nil {
		_ = qemu.Purge(ctx, o.Dir, o.Key)
		t.Fatal(err)
	}
	return e
}

func TestContract(t *testing.T) {
	if testing.Short() {
		t.Skip("starts some twenty machines")
	}
	t.Parallel()
	machinetest.Run(t, harness)
}

func harness(t testing.TB) machinetest.Harness {
	o := options(t)
	o.Accelerator = "tcg"
	e := open(t, o)
	t.Cleanup(func() {
		if err := e.Purge(context.Background()); err != nil {
			t.Error("purge:", err)
		}
		leftovers(t, o)
	})
	var from func(*qemu.Engine) machinetest.Harness
	pids := map[id.ID]int{}
	from = func(now *qemu.Engine) machinetest.Harness {
		e = now
		return machinetest.Harness{Engine: e, Prompt: guest.Marker,
			System: func(w *machine.Want) {
				g := guest.Get(t)
				w.Kernel = &machine.Kernel{Image: g.Kernel, Initrd: g.Initrd, Command: g.Command}
			},
			Disk: disk, Layer: layer, NIC: nic, Sizes: hasSize,
			Crash: func(t testing.TB, i id.ID) {
				s, err := e.Observe(context.Background(), i)
				pid := s.Pid
				if pid == 0 {
					pid = pids[i]
				}
				if err != nil || pid == 0 {
					t.Fatalf("no process to kill: %+v, %v", s, err)
				}
				if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
					t.Fatal(err)
				}
			},
			Reopen: func(t testing.TB) machinetest.Harness { return from(open(t, o)) }}
	}
	return from(e)
}

// disk makes an empty qcow2 disk that only root may open.
func disk(t testing.TB, bytes int64) machine.Drive {
	p := filepath.Join(t.TempDir(), string(id.New()))
	image(t, "create", "-q", "-f", "qcow2", p, fmt.Sprint(bytes))
	if err := os.Chmod(p, 0o600); err != nil {
		t.Fatal(err)
	}
	return machine.Drive{Path: p, Format: "qcow2"}
}

func layer(t testing.TB, over machine.Drive) machine.Drive {
	p := filepath.Join(t.TempDir(), string(id.New()))
	image(t, "create", "-q", "-u", "-f", "qcow2", "-F", "qcow2", "-b", over.Path, p, fmt.Sprint(virtualSize(t, over.Path)))
	return machine.Drive{Path: p, Format: "qcow2", Backing: append([]string{over.Path}, over.Backing...)}
}

func image(t testing.TB, args ...string) []byte {
	t.Helper()
	out, err := exec.Command("qemu-img", args...).CombinedOutput()
	for range 5 { // it measures how quick this machine is, and gives up when others keep it busy
		if err == nil || !strings.Contains(string(out), "accurate CPU usage") {
			break
		}
		out, err = exec.Command("qemu-img", args...).CombinedOutput()
	}
	if err != nil {
		t.Fatalf("qemu-img %q: %v: %s", args, err, out)
	}
	return out
}

func virtualSize(t testing.TB, path string) int64 {
	t.Helper()
	var info struct {
		Size int64 `json:"virtual-size"`
	}
	if err := json.Unmarshal(image(t, "info", "-U", "--output=json", path), &info); err != nil {
		t.Fatal(err)
	}
	return info.Size
}

func hasSize(t testing.TB, d machine.Drive, bytes int64) error {
	if got := virtualSize(t, d.Path); got != bytes {
		return fmt.Errorf("the layer has %d bytes, want %d", got, bytes)
	}
	return nil
}

// nic makes a tap in a namespace of its own.
func nic(t testing.TB) machine.NIC { return nicOf(t, 1) }

// nicOf makes one with so many queues.
func nicOf(t testing.TB, queues int) machine.NIC {
	t.Helper()
	n := namespace(t)
	mac := net.HardwareAddr{0xfa, 0x16, 0x3e, 0, 0, 0}
	_, _ = rand.Read(mac[3:])
	tap := &netlink.Tuntap{LinkAttrs: netlink.LinkAttrs{Name: "tap" + strings.ToLower(rand.Text()[:6])}, Mode: netlink.TUNTAP_MODE_TAP,
		Flags: netlink.TUNTAP_NO_PI | netlink.TUNTAP_VNET_HDR}
	if queues > 1 {
		tap.Flags |= netlink.TUNTAP_MULTI_QUEUE
		tap.Queues = queues
	}
	n.in(t, func() error {
		if err := netlink.LinkAdd(tap); err != nil {
			return err
		}
		for _, f := range tap.Fds {
			_ = f.Close() // the device stays
		}
		return netlink.LinkSetUp(tap)
	})
	return machine.NIC{ID: id.New(), MAC: mac, Device: tap.Name, Namespace: n.name, MTU: 1500, Queues: queues}
}

// leftovers fails the test when something of a purged engine is left.
func leftovers(t testing.TB, o qemu.Options) {
	t.Helper()
	mounts, _ := os.ReadFile("/proc/self/mounts")
	if strings.Contains(string(mounts), "/run/awan-"+o.Key) {
		t.Error("a mount is left")
	}
	for _, p := range []string{"/run/awan-" + o.Key + "-machines", filepath.Join(o.Dir, "machines"), "/sys/fs/cgroup/memory/awan-" + o.Key, "/sys/fs/cgroup/awan-" + o.Key} {
		if _, err := os.Stat(p); err == nil {
			t.Errorf("%s is left", p)
		}
	}
	procs, _ := filepath.Glob("/proc/[0-9]*/cgroup")
	for _, p := range procs {
		if b, _ := os.ReadFile(p); strings.Contains(string(b), "/awan-"+o.Key+"/") && !strings.Contains(string(b), "(deleted)") { // the dead whom nobody has buried yet have
			t.Errorf("a process is left: %s: %s", p, b)
		}
	}
}

// space is a network namespace of a test, with a name below /run/netns.
type space struct{ name string }

func namespace(t testing.TB) space {
	t.Helper()
	s := space{"awan-test-" + strings.ToLower(rand.Text()[:8])}
	if err := qemu.Elsewhere(func() error {
		ns, err := netns.NewNamed(s.name)
		if err == nil {
			err = ns.Close()
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = netns.DeleteNamed(s.name) })
	return s
}

// in does something in the namespace.
func (s space) in(t testing.TB, do func() error) {
	t.Helper()
	if err := qemu.Elsewhere(func() error {
		ns, err := netns.GetFromName(s.name)
		if err != nil {
			return err
		}
		defer ns.Close()
		if err := netns.Set(ns); err != nil {
			return err
		}
		return do()
	}); err != nil {
		t.Fatal(err)
	}
}

// groupsOf lists the machines that have a control group.
func groupsOf(key string) (out []string) {
	for _, pattern := range []string{"/sys/fs/cgroup/awan-" + key + "/machine-*", "/sys/fs/cgroup/*/awan-" + key + "/machine-*"} {
		dirs, _ := filepath.Glob(pattern)
		for _, d := range dirs {
			out = append(out, strings.TrimPrefix(filepath.Base(d), "machine-"))
		}
	}
	return out
}

// encrypted makes an empty disk that key opens.
func encrypted(t testing.TB, key []byte) machine.Drive {
	t.Helper()
	p := filepath.Join(t.TempDir(), string(id.New()))
	if err := os.WriteFile(p, encryptedImage(t, key), 0o600); err != nil {
		t.Fatal(err)
	}
	return machine.Drive{Path: p, Format: "qcow2", Keys: map[string][]byte{p: key}}
}

// layerWithKey is a new layer over an encrypted one, with the same key. What its header says of others is not read.
func layerWithKey(t testing.TB, over machine.Drive, key []byte) machine.Drive {
	t.Helper()
	d := encrypted(t, key)
	d.Keys[over.Path], d.Backing = key, append([]string{over.Path}, over.Backing...)
	return d
}

var (
	encryptedOnce sync.Mutex
	encryptedFile = map[string][]byte{}
)

// encryptedImage makes an image of 4 MiB, once for each key: that takes seconds of computing by design.
func encryptedImage(t testing.TB, key []byte) []byte {
	t.Helper()
	encryptedOnce.Lock()
	defer encryptedOnce.Unlock()
	if b := encryptedFile[string(key)]; b != nil {
		return b
	}
	dir := t.TempDir()
	secret, p := filepath.Join(dir, "secret"), filepath.Join(dir, "image")
	if err := os.WriteFile(secret, []byte(machine.Passphrase(key)), 0o600); err != nil {
		t.Fatal(err)
	}
	image(t, "create", "-q", "--object", "secret,id=s,file="+secret, "-f", "qcow2", "-o", "encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10", p, "4M")
	b, err := os.ReadFile(p)
	if err != nil {
		t.Fatal(err)
	}
	encryptedFile[string(key)] = b
	return b
}
