// Package guest makes a tiny machine image for tests: Debian's kernel and busybox in an initramfs of a few megabytes, which
// boots within seconds without KVM. What it does is in the file init.
package guest

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/awancloud/awan/internal/engine/base/debian"
)

// Guest is a kernel with its initramfs.
type Guest struct {
	Kernel, Initrd string
	Command        string // of the kernel
}

// Marker is what the guest writes on its serial console once it is up.
const Marker = "AWAN-GUEST-UP"

// modules are those that the guest loads, with what they need.
var modules = []string{"virtio_pci", "virtio_blk", "virtio_net", "virtio_console", "virtio-rng", "virtio_scsi", "sd_mod", "sr_mod",
	"isofs", "button", "evdev"}

var once = sync.OnceValues(func() (Guest, error) {
	dir := os.Getenv("AWAN_BASES")
	if dir == "" {
		dir = filepath.Join(os.TempDir(), "awan-guest")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	return Make(ctx, dir)
})

// Get gives the guest, made once and kept in the folder that AWAN_BASES names; the test is skipped where it cannot be made.
func Get(t testing.TB) Guest {
	t.Helper()
	g, err := once()
	if err != nil {
		t.Skip("the test guest cannot be made here: ", err)
	}
	return g
}

// Make makes the guest in dir, or finds it there.
func Make(ctx context.Context, dir string) (Guest, error) {
	if runtime.GOARCH != "amd64" {
		return Guest{}, errors.New("no test guest is described for " + runtime.GOARCH)
	}
	busybox, err := os.ReadFile("/bin/busybox")
	if err != nil {
		return Guest{}, errors.New("busybox-static is not installed")
	}
	home := filepath.Join(dir, "guest-"+version())
	g := Guest{Kernel: filepath.Join(home, "vmlinuz"), Initrd: filepath.Join(home, "initrd.gz"),
		Command: "console=ttyS0 panic=-1 quiet mitigations=off"}
	if _, err := os.Stat(g.Initrd); err == nil {
		return g, nil
	}
	p, err := debian.OpenPackages(dir)
	if err != nil {
		return Guest{}, err
	}
	silent := func(string) {}
	images, err := p.Depends(ctx, "linux-image-cloud-amd64", silent)
	if err != nil || len(images) == 0 {
		return Guest{}, errors.Join(errors.New("no kernel package is known"), err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return Guest{}, err
	}
	work, err := os.MkdirTemp(dir, "making-guest-")
	if err != nil {
		return Guest{}, err
	}
	defer os.RemoveAll(work)
	root := filepath.Join(work, "root")
	if _, err := p.Unpack(ctx, root, silent, images[0]); err != nil {
		return Guest{}, err
	}
	made := filepath.Join(work, "made")
	if err := os.Mkdir(made, 0o755); err != nil {
		return Guest{}, err
	}
	kernels, _ := filepath.Glob(filepath.Join(root, "boot/vmlinuz-*"))
	if len(kernels) != 1 {
		return Guest{}, errors.New("the kernel package holds no kernel")
	}
	if err := os.Rename(kernels[0], filepath.Join(made, "vmlinuz")); err != nil {
		return Guest{}, err
	}
	if err := initramfs(filepath.Join(made, "initrd.gz"), busybox, root); err != nil {
		return Guest{}, err
	}
	if err := os.Rename(made, home); err != nil && !errors.Is(err, fs.ErrExist) {
		if _, there := os.Stat(g.Initrd); there != nil { // another process was quicker
			return Guest{}, err
		}
	}
	return g, nil
}

// find looks for a module's file below the kernel's tree.
func find(root, name string) (string, error) {
	var found string
	err := filepath.WalkDir(filepath.Join(root, "lib/modules"), func(p string, d fs.DirEntry, err error) error {
		if err == nil && strings.ReplaceAll(strings.TrimSuffix(d.Name(), ".ko"), "-", "_") == strings.ReplaceAll(name, "-", "_") && strings.HasSuffix(d.Name(), ".ko") {
			found = p
			return fs.SkipAll
		}
		return err
	})
	if err == nil && found == "" {
		err = errors.New("the kernel has no module " + name)
	}
	return found, err
}
