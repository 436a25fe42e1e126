package build

import (
	"archive/tar"
	"archive/zip"
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"

	"github.com/klauspost/compress/zstd"

	"github.com/awancloud/awan/internal/kernel/fail"
)

// UnpackLimits bound what an uploaded archive may become. Zero means the default beside each.
type UnpackLimits struct {
	Archive int64 // bytes of the archive itself: 512 MiB
	Bytes   int64 // bytes of all files unpacked: 2 GiB
	Files   int   // files, folders and links: 100,000
	Ratio   int64 // unpacked to packed, once 16 MiB are unpacked: 200
}

// Unpacked tells what came out of an archive.
type Unpacked struct {
	Files int
	Bytes int64
}

const (
	maxPath       = 1024
	ratioApplies  = 16 << 20
	peekForFormat = 512
)

// Unpack unpacks a tar (plain, or packed with gzip, xz or zstd) or zip of sources into dir, which must exist and should be empty. Nothing is written
// outside dir, whatever the archive says: names that lead out, links that lead out, devices and the like are errors, and
// so is more than limits allow. After an error dir holds part of the archive: the caller removes it.
func Unpack(r io.Reader, dir string, limits UnpackLimits) (Unpacked, error) {
	orDefault(&limits.Archive, 512<<20)
	orDefault(&limits.Bytes, 2<<30)
	orDefault(&limits.Ratio, 200)
	if limits.Files == 0 {
		limits.Files = 100_000
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return Unpacked{}, fail.Wrap(err, fail.Internal, "unpacking the source")
	}
	defer root.Close()
	u := &unpacker{root: root, limits: limits, packed: &counted{r: r, limit: limits.Archive}}
	in := bufio.NewReaderSize(u.packed, 64<<10)
	head, err := in.Peek(peekForFormat)
	if err != nil && !errors.Is(err, io.EOF) {
		return Unpacked{}, reading(err)
	}
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		var z *gzip.Reader
		if z, err = gzip.NewReader(in); err != nil {
			return Unpacked{}, reading(err)
		}
		err = u.tar(z)
	case bytes.HasPrefix(head, []byte("\x28\xb5\x2f\xfd")):
		var z *zstd.Decoder
		if z, err = zstd.NewReader(in, zstd.WithDecoderMaxMemory(128<<20), zstd.WithDecoderMaxWindow(64<<20), zstd.WithDecoderConcurrency(1)); err != nil {
			return Unpacked{}, reading(err)
		}
		defer z.Close()
		err = u.tar(z)
	case bytes.HasPrefix(head, []byte("\xfd7zXZ\x00")):
		err = u.xz(in)
	case bytes.HasPrefix(head, []byte("PK\x03\x04")), bytes.HasPrefix(head, []byte("PK\x05\x06")):
		err = u.zip(in)
	case len(head) == peekForFormat && (bytes.HasPrefix(head[257:], []byte("ustar")) || bytes.Equal(head, make([]byte, peekForFormat))):
		err = u.tar(in)
	default:
		return Unpacked{}, fail.New(fail.Invalid, "the upload is no tar (plain, gz, xz, zst), no zip, no jar or war and no program").Then("pack the source as one of these")
	}
	if err == nil {
		err = u.checkLinks()
	}
	return u.done, err
}

func orDefault(v *int64, d int64) {
	if *v == 0 {
		*v = d
	}
}

// counted counts what is read and ends with an error beyond a limit.
type counted struct {
	r     io.Reader
	n     atomic.Int64
	limit int64
}

func (c *counted) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	if c.n.Add(int64(n)) > c.limit {
		return 0, fail.New(fail.TooLarge, "the upload is larger than %d MiB", c.limit>>20).Then("leave out what the build does not need (.dockerignore)")
	}
	return n, err
}

// reading explains an error in the archive's own format.
func reading(err error) error {
	var known *fail.Error
	if errors.As(err, &known) {
		return known
	}
	return fail.New(fail.Invalid, "the archive is damaged or was cut short").Then("upload it again").Because(err)
}

type unpacker struct {
	root   *os.Root
	limits UnpackLimits
	packed *counted
	done   Unpacked
	links  []string
}

func (u *unpacker) tar(r io.Reader) error {
	t := tar.NewReader(r)
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return reading(err)
		}
		switch h.Typeflag {
		case tar.TypeReg:
			err = u.file(h.Name, fs.FileMode(h.Mode), t)
		case tar.TypeDir:
			err = u.folder(h.Name)
		case tar.TypeSymlink:
			err = u.link(h.Name, h.Linkname)
		case tar.TypeLink:
			err = u.hardLink(h.Name, h.Linkname)
		case tar.TypeXGlobalHeader:
			continue
		default:
			err = fail.New(fail.Invalid, "the archive holds %q, which is neither a file, a folder nor a link", h.Name).Then("leave it out")
		}
		if err != nil {
			return err
		}
	}
}

// xz leaves the unpacking to the program of that name, which holds its limit on memory whatever the archive asks for; it
// runs as nobody.
func (u *unpacker) xz(r io.Reader) error {
	program, err := exec.LookPath("xz")
	if err != nil {
		return fail.New(fail.Unsupported, "archives in xz form need the program xz, which is not installed").Then("pack the source with gzip or zstd; the operator can install the Debian package xz-utils")
	}
	c := exec.Command(program, "-dc", "-T1", "--memlimit-decompress=128MiB")
	c.Stdin, c.Env, c.Dir = r, []string{}, "/"
	if os.Geteuid() == 0 {
		c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	out, err := c.StdoutPipe()
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		return fail.Wrap(err, fail.Unavailable, "unpacking the source")
	}
	err = u.tar(out)
	if err != nil {
		_ = c.Process.Kill()
	} else {
		_, err = io.Copy(io.Discard, io.LimitReader(out, 1<<20)) // what pads the end
	}
	if werr := c.Wait(); err == nil && werr != nil {
		err = reading(werr)
	}
	return err
}

// zip needs to go back and forth, so the archive is put into a file first.
func (u *unpacker) zip(r io.Reader) error {
	f, err := os.CreateTemp("", "awan-upload-")
	if err != nil {
		return fail.Wrap(err, fail.NoSpace, "unpacking the source")
	}
	defer f.Close()
	if err := os.Remove(f.Name()); err != nil { // it lives as long as it is open
		return fail.Wrap(err, fail.Internal, "unpacking the source")
	}
	n, err := io.Copy(f, r)
	if err != nil {
		return reading(err)
	}
	z, err := zip.NewReader(f, n)
	if err != nil {
		return reading(err)
	}
	for _, e := range z.File {
		if err := u.zipped(e); err != nil {
			return err
		}
	}
	return nil
}

func (u *unpacker) zipped(e *zip.File) error {
	mode := e.Mode()
	if mode.IsDir() || strings.HasSuffix(e.Name, "/") {
		return u.folder(e.Name)
	}
	if !mode.IsRegular() && mode.Type() != fs.ModeSymlink {
		return fail.New(fail.Invalid, "the archive holds %q, which is neither a file, a folder nor a link", e.Name).Then("leave it out")
	}
	r, err := e.Open()
	if err != nil {
		return reading(err)
	}
	defer r.Close()
	if mode.Type() == fs.ModeSymlink {
		target, err := io.ReadAll(io.LimitReader(r, maxPath+1))
		if err != nil {
			return reading(err)
		}
		return u.link(e.Name, string(target))
	}
	return u.file(e.Name, mode, r)
}

// admit checks an entry's name and counts it.
func (u *unpacker) admit(name string) (string, error) {
	clean := path.Clean(strings.TrimSuffix(name, "/"))
	if len(name) > maxPath || name == "" || strings.ContainsAny(name, "\x00\\") || path.IsAbs(name) || !filepath.IsLocal(clean) {
		return "", fail.New(fail.Invalid, "the archive holds a name that leads outside the source: %q", shorten(name)).Then("pack it with relative names")
	}
	if u.done.Files++; u.done.Files > u.limits.Files {
		return "", fail.New(fail.TooLarge, "the archive holds more than %d files", u.limits.Files).Then("leave out what the build does not need (.dockerignore)")
	}
	return clean, nil
}

func shorten(s string) string {
	if len(s) > 100 {
		return s[:100] + "…"
	}
	return s
}

// wrong explains a failed write: os.Root refuses what leads out of the folder.
func wrong(err error, name string) error {
	switch {
	case errors.Is(err, fs.ErrExist):
		return fail.New(fail.Invalid, "the archive holds %q twice", shorten(name)).Because(err)
	case isFull(err):
		return fail.New(fail.NoSpace, "there is no room to unpack the source").Because(err)
	}
	return fail.New(fail.Invalid, "the archive's %q cannot be unpacked", shorten(name)).Because(err)
}

func (u *unpacker) folder(name string) error {
	clean, err := u.admit(name)
	if err != nil || clean == "." {
		return err
	}
	if err := u.root.MkdirAll(clean, 0o755); err != nil {
		return wrong(err, name)
	}
	return nil
}

func (u *unpacker) parent(clean string) error {
	if d := path.Dir(clean); d != "." {
		return u.root.MkdirAll(d, 0o755)
	}
	return nil
}

func (u *unpacker) file(name string, mode fs.FileMode, r io.Reader) error {
	clean, err := u.admit(name)
	if err != nil {
		return err
	}
	if err := u.parent(clean); err != nil {
		return wrong(err, name)
	}
	perm := fs.FileMode(0o644)
	if mode&0o111 != 0 {
		perm = 0o755
	}
	f, err := u.root.OpenFile(clean, os.O_CREATE|os.O_EXCL|os.O_WRONLY, perm)
	if err != nil {
		return wrong(err, name)
	}
	err = u.copy(f, r)
	if cerr := f.Close(); err == nil && cerr != nil {
		err = wrong(cerr, name)
	}
	return err
}

// copy writes a file, holding the limits as it goes: what the archive says of sizes is not believed.
func (u *unpacker) copy(w io.Writer, r io.Reader) error {
	buffer := make([]byte, 64<<10)
	for {
		n, err := r.Read(buffer)
		u.done.Bytes += int64(n)
		if u.done.Bytes > u.limits.Bytes {
			return fail.New(fail.TooLarge, "the source is larger than %d MiB unpacked", u.limits.Bytes>>20).Then("leave out what the build does not need (.dockerignore)")
		}
		if u.done.Bytes > ratioApplies && u.done.Bytes/max(1, u.packed.n.Load()) > u.limits.Ratio {
			return fail.New(fail.TooLarge, "the archive unpacks to more than %d times its size", u.limits.Ratio).Then("leave out files that are made up")
		}
		if n > 0 {
			if _, err := w.Write(buffer[:n]); err != nil {
				return wrong(err, "a file")
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return reading(err)
		}
	}
}

func (u *unpacker) link(name, target string) error {
	clean, err := u.admit(name)
	if err != nil {
		return err
	}
	if len(target) > maxPath || target == "" || strings.ContainsRune(target, 0) || path.IsAbs(target) || !filepath.IsLocal(path.Join(path.Dir(clean), target)) {
		return leadsOut(name, target)
	}
	if err := u.parent(clean); err != nil {
		return wrong(err, name)
	}
	if err := u.root.Symlink(target, clean); err != nil {
		return wrong(err, name)
	}
	u.links = append(u.links, clean)
	return nil
}

func leadsOut(name, target string) error {
	return fail.New(fail.Invalid, "the link %q leads outside the source, to %q", shorten(name), shorten(target)).Then("replace it by what it points to")
}

func (u *unpacker) hardLink(name, target string) error {
	clean, err := u.admit(name)
	if err != nil {
		return err
	}
	to := path.Clean(target)
	if path.IsAbs(target) || !filepath.IsLocal(to) {
		return leadsOut(name, target)
	}
	if err := u.parent(clean); err != nil {
		return wrong(err, name)
	}
	if i, err := u.root.Lstat(to); err != nil || !i.Mode().IsRegular() {
		return fail.New(fail.Invalid, "the archive's link %q points to no file that came before it", shorten(name))
	}
	if err := u.root.Link(to, clean); err != nil {
		return wrong(err, name)
	}
	return nil
}

// checkLinks follows every link: several that each look harmless may lead out together. os.Root refuses those.
func (u *unpacker) checkLinks() error {
	for _, l := range u.links {
		if _, err := u.root.Stat(l); err != nil && !errors.Is(err, fs.ErrNotExist) {
			target, _ := u.root.Readlink(l)
			return leadsOut(l, target)
		}
	}
	return nil
}
