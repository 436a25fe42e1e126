package containerd

import (
	"archive/tar"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
)

// insideOf opens a running instance's root file system. os.Root follows no link out of it.
func (e *Engine) insideOf(ctx context.Context, i id.ID) (*os.Root, *instance, error) {
	in, err := e.acquire(ctx, i, false)
	if err != nil {
		return nil, nil, err
	}
	if in == nil {
		return nil, nil, fail.New(fail.Gone, "instance %s does not exist", i)
	}
	rec, t, _, known := in.snapshot()
	if !known || t == nil || !rec.running() {
		e.release(in)
		return nil, nil, fail.New(fail.Precondition, "the instance does not run").Then("start it first")
	}
	r, err := os.OpenRoot(e.paths.rootfs(i))
	if err != nil {
		e.release(in)
		return nil, nil, fail.Wrap(err, fail.Internal, "the instance's files cannot be opened")
	}
	return r, in, nil
}

func inner(p string) (string, error) {
	if !strings.HasPrefix(p, "/") || strings.Contains(p, "\x00") {
		return "", fail.Field("path", "%q is not an absolute path", p)
	}
	if p = strings.TrimPrefix(path.Clean(p), "/"); p == "" {
		return ".", nil
	}
	return p, nil
}

// CopyIn implements workload.Engine.
func (e *Engine) CopyIn(ctx context.Context, i id.ID, folder string, archive io.Reader) error {
	dir, err := inner(folder)
	if err != nil {
		return err
	}
	r, in, err := e.insideOf(ctx, i)
	if err != nil {
		return err
	}
	defer e.release(in)
	defer r.Close()
	u, err := e.userOf(i)
	if err != nil {
		return err
	}
	rec, _, _, _ := in.snapshot()
	owner := e.tenants.ids(rec.Slot)
	c := &copier{r: r, uid: owner + u.UID, gid: owner + u.GID}
	if err := makeFolders(r, dir, c.uid, c.gid); err != nil {
		return copyError(err, folder)
	}
	for t := tar.NewReader(archive); ; {
		h, err := t.Next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fail.Wrap(err, fail.Invalid, "the tar cannot be read")
		case ctx.Err() != nil:
			return fail.From(ctx.Err())
		}
		if err := c.entry(path.Join(dir, path.Clean("/"+h.Name)), h, t); err != nil {
			return copyError(err, h.Name)
		}
	}
}

func copyError(err error, name string) error {
	if errors.Is(err, unix.ENOSPC) {
		return fail.New(fail.NoSpace, "the instance's writable layer is full").Because(err).Then("raise its storage")
	}
	return fail.Wrap(err, fail.Invalid, "%s cannot be written in the instance", name)
}

type copier struct {
	r        *os.Root
	uid, gid uint32
}

func (c *copier) entry(name string, h *tar.Header, body io.Reader) error {
	switch h.Typeflag {
	case tar.TypeDir:
		return makeFolders(c.r, name, c.uid, c.gid)
	case tar.TypeSymlink, tar.TypeReg:
	default:
		return nil // devices and the like are nobody's business here
	}
	if err := makeFolders(c.r, path.Dir(name), c.uid, c.gid); err != nil {
		return err
	}
	if h.Typeflag == tar.TypeSymlink {
		if err := c.r.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err := c.r.Symlink(h.Linkname, name); err != nil {
			return err
		}
		return c.r.Lchown(name, int(c.uid), int(c.gid))
	}
	tmp := path.Join(path.Dir(name), ".awan-"+string(id.New()))
	f, err := c.r.OpenFile(tmp, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, body)
	err = errors.Join(err, f.Chown(int(c.uid), int(c.gid)), f.Chmod(h.FileInfo().Mode().Perm()), f.Close())
	if err == nil {
		err = c.r.Rename(tmp, name) // a reader sees the old or the new file
	}
	if err != nil {
		_ = c.r.Remove(tmp)
	}
	return err
}

// CopyOut implements workload.Engine.
func (e *Engine) CopyOut(ctx context.Context, i id.ID, what string, to io.Writer) error {
	name, err := inner(what)
	if err != nil {
		return err
	}
	r, in, err := e.insideOf(ctx, i)
	if err != nil {
		return err
	}
	e.release(in) // reading needs no order, and may take long
	defer r.Close()
	if _, err := r.Stat(name); err != nil {
		return fail.New(fail.NotFound, "the instance has no %s", what).Because(err)
	}
	w := tar.NewWriter(to)
	err = fs.WalkDir(r.FS(), name, func(p string, _ fs.DirEntry, err error) error {
		if err != nil || ctx.Err() != nil {
			return errors.Join(err, ctx.Err())
		}
		return pack(w, r, name, p)
	})
	if err != nil {
		return fail.Wrap(err, fail.Unavailable, "%s cannot be read whole", what)
	}
	return w.Close()
}

// pack adds one file under its path below what was asked for.
func pack(w *tar.Writer, r *os.Root, top, p string) error {
	st, err := r.Lstat(p)
	if err != nil {
		return nil // gone meanwhile
	}
	link := ""
	switch {
	case st.Mode()&fs.ModeSymlink != 0 && p == top:
		if st, err = r.Stat(p); err != nil { // who names a link wants what it leads to
			return err
		}
	case st.Mode()&fs.ModeSymlink != 0:
		if link, err = r.Readlink(p); err != nil {
			return err
		}
	}
	if !st.Mode().IsRegular() && !st.IsDir() && link == "" {
		return nil
	}
	h, err := tar.FileInfoHeader(st, link)
	if err != nil {
		return err
	}
	h.Name = path.Join(path.Base(top), strings.TrimPrefix(strings.TrimPrefix(p, top), "/"))
	if st.IsDir() {
		h.Name += "/"
	}
	h.Uid, h.Gid, h.Uname, h.Gname = 0, 0, "", ""
	if !st.Mode().IsRegular() {
		return w.WriteHeader(h)
	}
	f, err := r.Open(p)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := w.WriteHeader(h); err != nil {
		return err
	}
	n, err := io.Copy(w, io.LimitReader(f, h.Size))
	if err == nil && n < h.Size { // it shrank meanwhile
		_, err = io.CopyN(w, zeros{}, h.Size-n)
	}
	return err
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
