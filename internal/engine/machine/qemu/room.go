package qemu

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/machine"
)

// liveSize bounds what a machine can write on the host outside its disks: its serial log since we last collected it.
const liveSize = "size=1m,nr_inodes=16,mode=0700"

// makeLive gives a machine a fresh place for its sockets and its log, of bounded size.
func (e *Engine) makeLive(i id.ID) error {
	dir := e.live(i)
	if err := unmount(dir); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := unix.Mount("awan", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, liveSize); err != nil {
		return fmt.Errorf("mount a place for the machine's sockets: %w", err)
	}
	return nil
}

func (e *Engine) removeLive(i id.ID) error {
	return errors.Join(unmount(e.live(i)), removeIfThere(e.live(i)))
}

// listen makes a socket that the machine's process will serve. Connections wait there until it does.
func listen(path string) (*os.File, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), path)
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrUnix{Name: path}), unix.Chmod(path, 0o600), unix.Listen(fd, 8)); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// cell is how a process is shut in.
type cell struct {
	group string
	user  uint32
	kvm   bool
	keys  map[string][]byte
	boot  *machine.Kernel
}

// spawn starts a command in a cell. It is in its group from its first moment.
func (e *Engine) spawn(c *exec.Cmd, at cell) error {
	return elsewhere(func() error { return e.spawnHere(c, at) })
}

func (e *Engine) spawnHere(c *exec.Cmd, at cell) error {
	root := filepath.Join(run(e.o.Key), ".root")
	if err := os.MkdirAll(root, 0o700); err != nil {
		return err
	}
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("take mounts apart: %w", err)
	}
	if err := build(root, at); err != nil {
		return fmt.Errorf("build the process's root: %w", err)
	}
	folder, leave, err := e.cg.Enter(at.group)
	defer leave()
	if err != nil {
		return fmt.Errorf("enter the control group: %w", err)
	}
	if err := pivot(root); err != nil {
		return fmt.Errorf("go into the process's root: %w", err)
	}
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Credential: &syscall.Credential{Uid: at.user, Gid: at.user},
		Cloneflags: unix.CLONE_NEWIPC | unix.CLONE_NEWNET | unix.CLONE_NEWPID | unix.CLONE_NEWUTS}
	if folder != nil {
		defer folder.Close()
		c.SysProcAttr.UseCgroupFD, c.SysProcAttr.CgroupFD = true, int(folder.Fd())
	}
	c.Dir = "/"
	return c.Start()
}

// pivot makes root the thread's root and lets go of all other mounts: those of other machines must not live on in here.
func pivot(root string) error {
	if err := unix.Chdir(root); err != nil {
		return err
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return err
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return err
	}
	return unix.Chdir("/")
}

// build makes the process's root in the thread's own mounts: programs and libraries for reading, the few devices that it
// needs, the kernel to boot, and the keys that it reads once.
func build(root string, at cell) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	if err := unix.Mount("awan", root, "tmpfs", unix.MS_NOSUID, "size=1m,mode=0755"); err != nil {
		return err
	}
	for _, name := range []string{"usr", "lib", "lib64", "bin", "etc/ld.so.cache"} {
		if err := show("/"+name, filepath.Join(root, name)); err != nil {
			return err
		}
	}
	type node struct {
		name         string
		major, minor uint32
		mode         uint32
	}
	nodes := []node{{"null", 1, 3, 0o666}, {"zero", 1, 5, 0o666}, {"urandom", 1, 9, 0o444}}
	if at.kvm {
		nodes = append(nodes, node{"kvm", 10, 232, 0o600})
	}
	for _, d := range []string{"dev", "k", "boot"} {
		if err := os.Mkdir(filepath.Join(root, d), 0o711); err != nil {
			return err
		}
	}
	for _, n := range nodes {
		p := filepath.Join(root, "dev", n.name)
		if err := unix.Mknod(p, unix.S_IFCHR|n.mode, int(unix.Mkdev(n.major, n.minor))); err != nil {
			return err
		}
		if err := errors.Join(unix.Chmod(p, n.mode), unix.Chown(p, int(at.user), int(at.user))); err != nil {
			return err
		}
	}
	for name, key := range at.keys {
		p := filepath.Join(root, "k", name)
		if err := errors.Join(os.WriteFile(p, key, 0o400), os.Chown(p, int(at.user), int(at.user))); err != nil {
			return err
		}
	}
	if k := at.boot; k != nil {
		for name, path := range map[string]string{"kernel": k.Image, "initrd": k.Initrd} {
			if path == "" {
				continue
			}
			st, err := os.Stat(path)
			if err != nil || !st.Mode().IsRegular() || st.Mode()&0o004 == 0 {
				return fail.Field("kernel", "the file %s must be there, readable for everybody", filepath.Base(path)).Because(err)
			}
			if err := show(path, filepath.Join(root, "boot", name)); err != nil {
				return err
			}
		}
	}
	return nil
}

// show makes a file or folder of the system visible in the root, for reading; what is a link there becomes one here.
func show(path, at string) error {
	st, err := os.Lstat(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
		return err
	}
	switch {
	case st.Mode()&os.ModeSymlink != 0:
		to, err := os.Readlink(path)
		if err != nil {
			return err
		}
		return os.Symlink(to, at)
	case st.IsDir():
		err = os.Mkdir(at, 0o755)
	default:
		err = os.WriteFile(at, nil, 0o644)
	}
	if err != nil {
		return err
	}
	if err := unix.Mount(path, at, "", unix.MS_BIND, ""); err != nil {
		return err
	}
	return unix.Mount("", at, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV, "")
}
