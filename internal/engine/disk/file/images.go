package file

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/disk"
)

// defaultMax is the most that is read of an image when the caller does not say.
const defaultMax = 1 << 40

// maxVirtual is the largest disk that an image may hold.
const maxVirtual = 16 << 40

// Import reads an image file, finds out what it is, and keeps its content as a layer of its own.
func (e *Engine) Import(ctx context.Context, image id.ID, r io.Reader, want disk.Import) (disk.SeenImage, error) {
	if err := e.enter(ctx); err != nil {
		return disk.SeenImage{}, err
	}
	defer e.locks.hold(image)()
	if seen, err := e.ObserveImage(ctx, image); err == nil {
		return seen, nil
	}
	work, err := os.MkdirTemp(e.path(tmpDir), "import-")
	if err != nil {
		return disk.SeenImage{}, full(err, "the image cannot be stored")
	}
	defer os.RemoveAll(work)
	path := filepath.Join(work, "in")
	seen, err := spool(ctx, path, r, want)
	if err != nil {
		return disk.SeenImage{}, err
	}
	if want.SHA256 != "" && want.SHA256 != seen.SHA256 {
		return disk.SeenImage{}, fail.Field("sha256", "what came has SHA-256 %s, not %s", seen.SHA256, want.SHA256).Then("send it again")
	}
	f, err := detect(path, want.Format)
	if err != nil {
		return disk.SeenImage{}, err
	}
	if f.Bytes > maxVirtual {
		return disk.SeenImage{}, fail.Field("content", "the disk inside has %d bytes, more than the %d that are allowed", f.Bytes, int64(maxVirtual))
	}
	seen.Format = f.Format
	if f.Format != disk.Raw && f.Format != disk.ISO {
		if path, err = e.convert(ctx, work, f); err != nil {
			return disk.SeenImage{}, err
		}
	}
	return e.adopt(ctx, image, seen, want.Key, func(c *call) (string, int64, error) {
		st, err := os.Stat(path)
		if err != nil {
			return "", 0, full(err, "the image cannot be stored")
		}
		return words(map[string]any{"driver": "raw", "file": map[string]any{"driver": "file", "filename": path}}), st.Size(), nil
	})
}

// adopt makes an image's layer from what source describes, and its manifest.
func (e *Engine) adopt(ctx context.Context, image id.ID, seen disk.SeenImage, key []byte, source func(*call) (string, int64, error)) (disk.SeenImage, error) {
	c := e.call()
	defer c.close()
	from, bytes, err := source(c)
	if err != nil {
		return seen, err
	}
	keys := disk.Keys{}
	if key != nil {
		keys[image] = key
	}
	seen.Bytes = (bytes + 511) &^ 511
	name, done, err := e.layer("", image, keys, seen.Bytes)
	if err != nil {
		return seen, err
	}
	defer done()
	target, err := c.chain(name, keys)
	if err != nil {
		return seen, err
	}
	if err := c.run(ctx, "the image cannot be stored", "convert", "-q", "-n", "--target-image-opts", from, dotted(target)); err != nil {
		return seen, err
	}
	if err := syncFile(e.file(name)); err != nil {
		return seen, full(err, "the image cannot be stored")
	}
	seen.Allocated = allocated(e.file(name))
	if seen.Size == 0 {
		seen.Size, seen.Format = seen.Allocated, disk.QCOW2
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return seen, store(e, imagesDir, e.images, image, imageFile{Layer: name, Seen: seen, Created: e.o.Now().UTC()})
}

// spool writes what comes to a file, leaving out zeros, and adds up its sums.
func spool(ctx context.Context, path string, r io.Reader, want disk.Import) (disk.SeenImage, error) {
	most := want.MaxBytes
	if most <= 0 {
		most = defaultMax
	}
	out, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return disk.SeenImage{}, full(err, "the image cannot be stored")
	}
	defer out.Close()
	all := disk.NewSums()
	buf, zero := make([]byte, 256<<10), make([]byte, 256<<10)
	var at int64
	for {
		n, err := io.ReadFull(r, buf)
		end := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) && n > 0 && atEnd(r)
		if err != nil && !end {
			return disk.SeenImage{}, fail.Wrap(err, fail.Canceled, "the upload broke off")
		}
		if err := ctx.Err(); err != nil {
			return disk.SeenImage{}, fail.From(err)
		}
		_, _ = all.Write(buf[:n])
		if !bytes.Equal(buf[:n], zero[:n]) {
			if _, err := out.WriteAt(buf[:n], at); err != nil {
				return disk.SeenImage{}, full(err, "the image cannot be stored")
			}
		}
		if at += int64(n); at > most {
			return disk.SeenImage{}, fail.New(fail.TooLarge, "the image is larger than %d bytes", most).Then("make it smaller, or ask the operator")
		}
		if want.Progress != nil {
			want.Progress(at)
		}
		if end {
			break
		}
	}
	if err := out.Truncate(at); err != nil {
		return disk.SeenImage{}, full(err, "the image cannot be stored")
	}
	return all.Seen(), nil
}

// atEnd tells a body that ended from one that broke off, which says so again.
func atEnd(r io.Reader) bool {
	var b [1]byte
	_, err := io.ReadFull(r, b[:])
	return errors.Is(err, io.EOF)
}

func detect(path, want string) (disk.File, error) {
	f, err := os.Open(path)
	if err != nil {
		return disk.File{}, full(err, "the image cannot be read")
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return disk.File{}, full(err, "the image cannot be read")
	}
	return disk.Detect(f, st.Size(), want)
}

// Capture makes an image of what a snapshot holds.
func (e *Engine) Capture(ctx context.Context, image id.ID, from disk.Source, keys disk.Keys) (disk.SeenImage, error) {
	if err := e.enter(ctx); err != nil {
		return disk.SeenImage{}, err
	}
	defer e.locks.hold(image)()
	if seen, err := e.ObserveImage(ctx, image); err == nil {
		return seen, nil
	}
	layer, bytes, release, err := e.source(from)
	if err != nil {
		return disk.SeenImage{}, err
	}
	defer release()
	if layer == "" {
		return disk.SeenImage{}, fail.New(fail.Internal, "an image is made from something")
	}
	return e.adopt(ctx, image, disk.SeenImage{}, keys[image], func(c *call) (string, int64, error) {
		o, err := c.chain(layer, keys)
		return words(o), bytes, err
	})
}

// Export writes an image in a format.
func (e *Engine) Export(ctx context.Context, image id.ID, format string, keys disk.Keys, size func(int64), w io.Writer) error {
	if err := e.enter(ctx); err != nil {
		return err
	}
	driver := map[string][]string{disk.QCOW2: {"-O", "qcow2"}, disk.Raw: {"-O", "raw"}, disk.VMDK: {"-O", "vmdk", "-o", "subformat=monolithicSparse"},
		disk.VHD: {"-O", "vpc", "-o", "force_size=on"}}[format]
	if driver == nil {
		return fail.Field("format", "%q is not a format that images are written in", format).Then("ask for qcow2, raw, vmdk or vhd")
	}
	layer, _, release, err := e.source(disk.Source{Image: image})
	if err != nil {
		return err
	}
	defer release()
	work, err := os.MkdirTemp(e.path(tmpDir), "export-")
	if err != nil {
		return full(err, "the image cannot be written")
	}
	defer os.RemoveAll(work)
	path := filepath.Join(work, "out")
	c := e.call()
	defer c.close()
	o, err := c.chain(layer, keys)
	if err != nil {
		return err
	}
	if err := c.run(ctx, "the image cannot be written", "convert", append(append([]string{"-q"}, driver...), words(o), path)...); err != nil {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return full(err, "the image cannot be written")
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return full(err, "the image cannot be written")
	}
	_ = os.Remove(path) // it is open; nothing is left however this ends
	size(st.Size())
	if _, err := io.Copy(w, &cancellable{ctx, f}); err != nil {
		if ctx.Err() != nil {
			return fail.From(ctx.Err())
		}
		return fail.Wrap(err, fail.Canceled, "the download broke off")
	}
	return nil
}

type cancellable struct {
	ctx context.Context
	r   io.Reader
}

func (c *cancellable) Read(b []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(b)
}

// ObserveImage looks at an image.
func (e *Engine) ObserveImage(ctx context.Context, image id.ID) (disk.SeenImage, error) {
	if err := e.enter(ctx); err != nil {
		return disk.SeenImage{}, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	i, ok := e.images[image]
	if !ok {
		return disk.SeenImage{}, gone("image", image)
	}
	return i.Seen, nil
}

// DestroyImage removes an image; its layer stays while disks stand on it.
func (e *Engine) DestroyImage(ctx context.Context, image id.ID) error {
	if err := e.enter(ctx); err != nil {
		return err
	}
	defer e.locks.hold(image)()
	e.mu.Lock()
	_, ok := e.images[image]
	var err error
	if ok {
		err = drop(e, imagesDir, e.images, image)
	}
	e.mu.Unlock()
	if err != nil || !ok {
		return err
	}
	return e.collect()
}

// The limits of a conversion: memory, open files, processor time.
const (
	sandboxMemory = 2 << 30
	sandboxFiles  = 64
	sandboxCPU    = 3600 // seconds
)

// convert turns a file of a format with a structure into a raw one. That is where a hostile file meets a large parser, so
// it runs as nobody of the machine, without network, in a root that holds the program and the two files; and what comes
// out has no structure that could name other files.
func (e *Engine) convert(ctx context.Context, work string, f disk.File) (string, error) {
	if missing := e.Capabilities(ctx).Missing["import"]; missing != "" {
		return "", fail.New(fail.Unsupported, "images of format %s cannot be read here: %s", f.Format, missing).Then("send a raw image")
	}
	driver := map[string]string{disk.VHD: "vpc"}[f.Format]
	if driver == "" {
		driver = f.Format
	}
	root, box := filepath.Join(work, "root"), filepath.Join(work, "box")
	user := sandboxUser(work)
	for _, err := range []error{os.Mkdir(root, 0o755), os.Mkdir(box, 0o700), os.Rename(filepath.Join(work, "in"), filepath.Join(box, "in")),
		os.Chown(box, user, user), os.Chown(filepath.Join(box, "in"), user, user), os.Chmod(filepath.Join(box, "in"), 0o400)} {
		if err != nil {
			return "", full(err, "the image cannot be read")
		}
	}
	script := `set -e
root=$1 box=$2 user=$3 size=$4; shift 4
mount --make-rprivate /
mount -t tmpfs -o size=1m,mode=755 tmpfs "$root"
for d in usr lib lib64 bin; do
	if [ -L /$d ]; then cp -P /$d "$root/$d"; elif [ -d /$d ]; then mkdir "$root/$d"; fi
done
mkdir -p "$root/usr" "$root/box" "$root/dev"
touch "$root/dev/null"
mount --bind /dev/null "$root/dev/null"
mount --bind /usr "$root/usr"
mount -o remount,bind,ro,nosuid,nodev "$root/usr"
for d in lib lib64; do [ -L /$d ] || [ ! -d /$d ] || { mount --bind /$d "$root/$d"; mount -o remount,bind,ro,nosuid,nodev "$root/$d"; }; done
mount --bind "$box" "$root/box"
exec prlimit --as=` + fmt.Sprint(sandboxMemory) + ` --nofile=` + fmt.Sprint(sandboxFiles) + ` --cpu=` + fmt.Sprint(sandboxCPU) + ` --core=0 --fsize="$size" setpriv --no-new-privs chroot --userspec="$user:$user" --groups= "$root" "$@"`
	args := []string{"--mount", "--pid", "--net", "--ipc", "--uts", "--fork", "--kill-child", "sh", "-c", script, "convert", root, box, fmt.Sprint(user), fmt.Sprint(int64(maxVirtual)),
		e.tool, "convert", "-q", "-f", driver, "-O", "raw", "/box/in", "/box/out"}
	cmd := e.sandboxed(ctx, args)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Run(); err != nil {
		err = explain(ctx, err, "the image cannot be read", said.String())
		if fail.Is(err, fail.Internal) {
			return "", fail.Field("content", "is not a sound %s file", f.Format).Then("check it: qemu-img check FILE").Because(err)
		}
		return "", err
	}
	out := filepath.Join(box, "out")
	var st unix.Stat_t
	if err := unix.Lstat(out, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
		return "", fail.Field("content", "is not a sound %s file", f.Format)
	}
	if st.Size == 0 || st.Size > maxVirtual {
		return "", fail.Field("content", "holds a disk of %d bytes", st.Size).Then("make it anew")
	}
	return out, os.Remove(filepath.Join(box, "in"))
}
