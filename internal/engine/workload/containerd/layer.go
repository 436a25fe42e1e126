package containerd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/containerd/containerd/v2/core/mount"
	"golang.org/x/sys/unix"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
)

// The writable layer of an instance is the upper directory of an overlay. With a size limit it lies on a small ext4 of
// that size in a sparse file, so that the kernel itself says ENOSPC and the host's disk is used only for what is
// written. The lower directories are mounted with the tenant's user ids, so that nothing is copied or chowned at start.

func (e *Engine) layerImage(i id.ID) string { return filepath.Join(e.paths.layers(), string(i)+".img") }
func (e *Engine) layerDir(i id.ID) string   { return filepath.Join(e.paths.layers(), string(i)) }
func (e *Engine) layerMount(i id.ID) string { return filepath.Join(e.paths.live(i), "layer") }

// mountRootfs makes the instance's root file system and returns its path. Mounted already is success.
func (e *Engine) mountRootfs(ctx context.Context, i id.ID, img *image, storageMiB int64, owner uint32) (string, error) {
	live, root := e.paths.live(i), e.paths.rootfs(i)
	if err := os.MkdirAll(filepath.Join(live, "etc"), 0o711); err != nil {
		return "", err
	}
	// The container's root must get through here, other users of the host need not.
	if err := errors.Join(os.Chown(live, -1, int(owner)), os.Chmod(live, 0o710)); err != nil {
		return "", err
	}
	if mounted(root) {
		return root, nil
	}
	layer := e.layerDir(i)
	if storageMiB > 0 && e.quota {
		layer = e.layerMount(i)
		if err := e.mountLayer(ctx, i, layer, storageMiB); err != nil {
			return "", err
		}
	}
	upper, work := filepath.Join(layer, "upper"), filepath.Join(layer, "work")
	for _, d := range []string{upper, work, root} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return "", err
		}
	}
	if err := os.Chown(upper, int(owner), int(owner)); err != nil {
		return "", err
	}
	if err := e.mountOverlay(root, img.lower, upper, work, owner); err != nil {
		return "", fmt.Errorf("mount the root file system: %w", err)
	}
	return root, nil
}

// mountOverlay mounts an overlay whose lower directories show the tenant's user ids. Each gets a mapped mount for the
// moment of mounting, after which the overlay holds it by itself.
func (e *Engine) mountOverlay(at string, lower []string, upper, work string, owner uint32) (err error) {
	users, err := e.usersOf(owner)
	if err != nil {
		return fmt.Errorf("make a user namespace: %w", err)
	}
	dir, err := os.MkdirTemp(e.paths.moment(), "")
	if err != nil {
		return err
	}
	var mapped []string
	defer func() {
		for n := range lower { // never recursively: what is mounted there is the image
			p := filepath.Join(dir, strconv.Itoa(n))
			if n < len(mapped) {
				err = errors.Join(err, unix.Unmount(p, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW))
			}
			_ = os.Remove(p)
		}
		_ = os.Remove(dir)
	}()
	for n, l := range lower {
		p := filepath.Join(dir, strconv.Itoa(n))
		if err := os.Mkdir(p, 0o700); err != nil {
			return err
		}
		if err := mount.IDMapMountWithAttrs(l, p, int(users.Fd()), unix.MOUNT_ATTR_RDONLY, 0); err != nil {
			return err
		}
		mapped = append(mapped, p)
	}
	options := "index=off,upperdir=" + upper + ",workdir=" + work + ",lowerdir=" + strings.Join(mapped, ":")
	if len(options) >= os.Getpagesize() {
		return fail.New(fail.Invalid, "the image has too many layers: %d", len(lower)).Then("build it with fewer steps")
	}
	return unix.Mount("overlay", at, "overlay", unix.MS_NODEV, options)
}

// usersOf gives a user namespace that maps a tenant's ids; making one starts a process, so it is kept.
func (e *Engine) usersOf(owner uint32) (*os.File, error) {
	e.format.Lock()
	defer e.format.Unlock()
	if f := e.users[owner]; f != nil {
		return f, nil
	}
	ids := fmt.Sprintf("0:%d:%d", owner, idsPerTenant)
	f, err := mount.GetUsernsFD(ids, ids)
	if err == nil {
		e.users[owner] = f
	}
	return f, err
}

func (e *Engine) mountLayer(ctx context.Context, i id.ID, at string, sizeMiB int64) error {
	if mounted(at) {
		return nil
	}
	if err := os.MkdirAll(at, 0o700); err != nil {
		return err
	}
	file := e.layerImage(i)
	if _, err := os.Stat(file); err == nil {
		checkLayer(ctx, file) // not mounted though used before: the machine was restarted
	} else {
		empty, err := e.emptyLayer(ctx, sizeMiB)
		if err != nil {
			return err
		}
		tmp := file + ".new"
		if err := copyFile(empty, tmp, 0o600); err != nil {
			return err
		}
		if err := os.Rename(tmp, file); err != nil {
			return err
		}
	}
	m := mount.Mount{Type: "ext4", Source: file, Options: []string{"loop", "nodev", "nosuid", "discard", "noinit_itable"}}
	if err := m.Mount(at); err != nil {
		return fmt.Errorf("mount the writable layer: %w", err)
	}
	return nil
}

// checkLayer repairs what a power cut left; a layer that is beyond repair shows when it is mounted.
func checkLayer(ctx context.Context, file string) {
	if tool, err := findTool("e2fsck"); err == nil {
		_ = exec.CommandContext(ctx, tool, "-f", "-y", file).Run()
	}
}

// emptyLayer gives a formatted file of the size, made once: copying its few used blocks is quicker than formatting.
func (e *Engine) emptyLayer(ctx context.Context, sizeMiB int64) (string, error) {
	path := filepath.Join(e.paths.layers(), "empty-"+strconv.FormatInt(sizeMiB, 10)+".img")
	e.format.Lock()
	defer e.format.Unlock()
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	tool, err := findTool("mkfs.ext4")
	if err != nil {
		return "", err
	}
	tmp := path + ".new"
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return "", err
	}
	err = errors.Join(f.Truncate(sizeMiB<<20), f.Close())
	if err != nil {
		return "", err
	}
	// No journal: a layer that was in use when the machine lost power is checked before it is mounted again.
	out, err := exec.CommandContext(ctx, tool, "-q", "-F", "-m", "0", "-O", "^has_journal", "-E", "lazy_itable_init=1,root_owner=0:0", tmp).CombinedOutput()
	if err != nil {
		return "", fail.Wrap(fmt.Errorf("%w: %s", err, out), fail.Internal, "the writable layer cannot be formatted")
	}
	return path, os.Rename(tmp, path)
}

func findTool(name string) (string, error) {
	for _, d := range append([]string{"/usr/sbin", "/sbin", "/usr/bin", "/bin"}, filepath.SplitList(os.Getenv("PATH"))...) {
		p := filepath.Join(d, name)
		if st, err := os.Stat(p); err == nil && !st.IsDir() {
			return p, nil
		}
	}
	return "", fail.New(fail.Unsupported, "%s is not installed", name).Then("install the package e2fsprogs")
}

// unmountRootfs takes the mounts away; the layer's content stays.
func (e *Engine) unmountRootfs(i id.ID) error {
	for _, p := range []string{e.paths.rootfs(i), e.layerMount(i)} {
		for mounted(p) {
			if err := unix.Unmount(p, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil && !errors.Is(err, unix.EINVAL) {
				return fmt.Errorf("unmount %s: %w", p, err)
			}
		}
	}
	return nil
}

// removeLayer takes mounts and content away.
func (e *Engine) removeLayer(i id.ID) error {
	if err := e.unmountRootfs(i); err != nil {
		return err
	}
	return errors.Join(os.RemoveAll(e.paths.live(i)), os.RemoveAll(e.layerDir(i)), os.RemoveAll(e.layerImage(i)), os.RemoveAll(e.layerImage(i)+".new"))
}

// storageUsed is what the writable layer holds, in bytes; -1 without a limit, where counting would mean walking it.
func (e *Engine) storageUsed(i id.ID) int64 {
	var st unix.Statfs_t
	if at := e.layerMount(i); !mounted(at) || unix.Statfs(at, &st) != nil {
		return -1
	}
	return int64(st.Blocks-st.Bfree) * st.Bsize
}

// mounted tells whether something is mounted at path itself.
func mounted(path string) bool {
	var st, up unix.Stat_t
	if unix.Lstat(path, &st) != nil || unix.Lstat(filepath.Dir(path), &up) != nil {
		return false
	}
	return st.Dev != up.Dev
}
