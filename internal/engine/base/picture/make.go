package picture

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/awancloud/awan/internal/engine/base/debian"
	"github.com/awancloud/awan/internal/kernel/fail"
)

// make makes an image from its recipe and puts it, whole, where made says. Beside it the list of packages in it is kept.
func (m *Maker) make(ctx context.Context, r recipe, made string, progress func(string)) error {
	if os.Geteuid() != 0 {
		return fail.New(fail.Unsupported, "making images needs root").Then("run the cloud as root, or upload an image")
	}
	for tool, pack := range map[string]string{"mmdebstrap": "mmdebstrap", "mke2fs": "e2fsprogs", "qemu-img": "qemu-utils"} {
		if _, err := exec.LookPath(tool); err != nil {
			return fail.New(fail.Unsupported, "images are made with %s, which is not installed", tool).Then("install the Debian package %s, or upload an image", pack).Because(err)
		}
	}
	if err := os.MkdirAll(m.o.Dir, 0o700); err != nil {
		return fail.Wrap(err, fail.NoSpace, "making the image %s", r.Name)
	}
	old, _ := filepath.Glob(filepath.Join(m.o.Dir, "making-"+r.Name+"-*")) // what a crash left; one at a time makes it
	for _, p := range old {
		if err := debian.Remove(p); err != nil {
			m.o.Log.Warn("an unfinished image cannot be removed", "path", p, "err", err)
		}
	}
	work, err := os.MkdirTemp(m.o.Dir, "making-"+r.Name+"-")
	if err != nil {
		return fail.Wrap(err, fail.NoSpace, "making the image %s", r.Name)
	}
	defer func() {
		if err := debian.Remove(work); err != nil {
			m.o.Log.Warn("the working files of an image cannot be removed", "err", err)
		}
	}()
	if err := os.Chmod(work, 0o755); err != nil {
		return fail.Wrap(err, fail.NoSpace, "making the image %s", r.Name)
	}
	root := filepath.Join(work, "root")
	progress("installing Debian packages")
	packages, err := debian.Root(ctx, work, root, r.Packages, progress)
	if err != nil {
		return err
	}
	if err := place(r, root); err != nil {
		return fail.Wrap(err, fail.NoSpace, "adding files to the image %s", r.Name)
	}
	progress("setting it up")
	if err := debian.Within(ctx, root, nil, progress, "sh", "-ec", r.Setup); err != nil {
		return fail.Wrap(err, fail.Internal, "setting up the image %s", r.Name)
	}
	if err := clean(root); err != nil {
		return fail.Wrap(err, fail.NoSpace, "cleaning the image %s", r.Name)
	}
	progress("making it boot")
	loader, versions, err := m.loader(ctx, r, work, root, progress)
	if err != nil {
		return err
	}
	progress("writing its disk")
	raw := filepath.Join(work, "disk.raw")
	if err := writeDisk(ctx, raw, root, r.Size<<30, loader); err != nil {
		return err
	}
	out := filepath.Join(work, "disk.qcow2")
	if err := run(ctx, "qemu-img", "convert", "-q", "-O", "qcow2", raw, out); err != nil {
		return fail.Wrap(err, fail.NoSpace, "writing the image %s", r.Name)
	}
	list := strings.Join(append(packages, versions...), "\n") + "\n"
	if err := os.WriteFile(strings.TrimSuffix(made, ".qcow2")+".packages", []byte(list), 0o644); err != nil {
		return fail.Wrap(err, fail.NoSpace, "writing the image %s", r.Name)
	}
	f, err := os.Open(out)
	if err == nil {
		err = errors.Join(f.Sync(), f.Close())
	}
	if err := errors.Join(err, os.Rename(out, made)); err != nil {
		return fail.Wrap(err, fail.NoSpace, "writing the image %s", r.Name)
	}
	return nil
}

// place adds the recipe's files; scripts may be run.
func place(r recipe, root string) error {
	err := fs.WalkDir(r.files, "root", func(p string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return fs.SkipAll
		}
		if err != nil {
			return err
		}
		to := filepath.Join(root, strings.TrimPrefix(p, "root"))
		if d.IsDir() {
			return os.MkdirAll(to, 0o755)
		}
		text, err := fs.ReadFile(r.files, p)
		if err != nil {
			return err
		}
		mode := fs.FileMode(0o644)
		if bytes.HasPrefix(text, []byte("#!")) {
			mode = 0o755
		}
		_ = os.Remove(to) // a link would be followed
		return errors.Join(os.WriteFile(to, text, mode), os.Chmod(to, mode))
	})
	return err
}

// clean removes what must differ between machines, and what only the making needed.
func clean(root string) error {
	keys, _ := filepath.Glob(filepath.Join(root, "etc/ssh/ssh_host_*"))
	for _, p := range append(keys, filepath.Join(root, "var/lib/dbus/machine-id"), filepath.Join(root, "etc/resolv.conf")) {
		if err := os.RemoveAll(p); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(root, "etc/machine-id"), nil, 0o644)
}

// run runs a program to its end, or kills it with ctx.
func run(ctx context.Context, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.WaitDelay = 5 * time.Second
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "PATH="+os.Getenv("PATH")+":/usr/sbin:/sbin")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		return fail.From(ctx.Err())
	}
	if err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, bytes.TrimSpace(out))
	}
	return nil
}
