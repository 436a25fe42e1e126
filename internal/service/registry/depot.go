package registry

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/distribution/distribution/v3/registry/storage/driver"
	"github.com/distribution/distribution/v3/registry/storage/driver/base"
	"github.com/distribution/distribution/v3/registry/storage/driver/factory"

	"github.com/awancloud/awan/internal/kernel/fail"
)

// Depot keeps the registry's files: in object storage, encrypted.
type Depot interface {
	Put(ctx context.Context, key string, body io.Reader, size int64) error
	Append(ctx context.Context, key string, body []byte, at int64) error
	Open(ctx context.Context, key string, from int64) (io.ReadCloser, error)
	Stat(ctx context.Context, key string) (size int64, written time.Time, err error)
	List(ctx context.Context, prefix, delimiter, after string) (keys, prefixes []string, next string, err error)
	Move(ctx context.Context, from, to string) error
	Delete(ctx context.Context, keys ...string) error
}

// depotDriver is a Depot as distribution uses it.
type depotDriver struct{ depot Depot }

const driverName = "depot"

func newDriver(d Depot) driver.StorageDriver {
	return &base.Base{StorageDriver: &depotDriver{d}}
}

// given is the name under which distribution's app gets a driver that is open already: it takes drivers from a list by
// name only.
var given = sync.OnceValue(func() string {
	factory.Register("given", givenDriver{})
	return "given"
})

type givenDriver struct{}

func (givenDriver) Create(_ context.Context, parameters map[string]any) (driver.StorageDriver, error) {
	return parameters["driver"].(driver.StorageDriver), nil
}

func keyOf(path string) string { return strings.TrimPrefix(path, "/") }

// known turns the absence of an object into distribution's error for it.
func known(path string, err error) error {
	if fail.Is(err, fail.NotFound) {
		return driver.PathNotFoundError{Path: path, DriverName: driverName}
	}
	return err
}

// Name names the driver in messages.
func (d *depotDriver) Name() string { return driverName }

// GetContent reads a small file.
func (d *depotDriver) GetContent(ctx context.Context, path string) ([]byte, error) {
	r, err := d.depot.Open(ctx, keyOf(path), 0)
	if err != nil {
		return nil, known(path, err)
	}
	defer func() { _ = r.Close() }()
	return io.ReadAll(r)
}

// PutContent writes a small file.
func (d *depotDriver) PutContent(ctx context.Context, path string, content []byte) error {
	return d.depot.Put(ctx, keyOf(path), bytes.NewReader(content), int64(len(content)))
}

// Reader reads a file from a byte on.
func (d *depotDriver) Reader(ctx context.Context, path string, offset int64) (io.ReadCloser, error) {
	size, _, err := d.depot.Stat(ctx, keyOf(path))
	if err != nil {
		return nil, known(path, err)
	}
	if offset >= size {
		return io.NopCloser(bytes.NewReader(nil)), nil
	}
	r, err := d.depot.Open(ctx, keyOf(path), offset)
	return r, known(path, err)
}

// Stat describes a file, or a folder: that is what files' names begin with.
func (d *depotDriver) Stat(ctx context.Context, path string) (driver.FileInfo, error) {
	info := driver.FileInfoFields{Path: path}
	size, written, err := d.depot.Stat(ctx, keyOf(path))
	if err == nil {
		info.Size, info.ModTime = size, written
		return driver.FileInfoInternal{FileInfoFields: info}, nil
	}
	if !fail.Is(err, fail.NotFound) {
		return nil, err
	}
	keys, folders, _, lerr := d.depot.List(ctx, folder(path), "/", "")
	if lerr != nil {
		return nil, lerr
	}
	if len(keys)+len(folders) == 0 {
		return nil, known(path, err)
	}
	info.IsDir = true
	return driver.FileInfoInternal{FileInfoFields: info}, nil
}

func folder(path string) string {
	if key := keyOf(path); key != "" {
		return key + "/"
	}
	return ""
}

// List gives what lies directly in a folder.
func (d *depotDriver) List(ctx context.Context, path string) (out []string, err error) {
	after := ""
	for {
		keys, folders, next, err := d.depot.List(ctx, folder(path), "/", after)
		if err != nil {
			return nil, err
		}
		for _, k := range keys {
			out = append(out, "/"+k)
		}
		for _, f := range folders {
			out = append(out, "/"+strings.TrimSuffix(f, "/"))
		}
		if after = next; next == "" {
			break
		}
	}
	if len(out) == 0 && path != "/" {
		return nil, driver.PathNotFoundError{Path: path, DriverName: driverName}
	}
	return out, nil
}

// Move renames a file.
func (d *depotDriver) Move(ctx context.Context, from, to string) error {
	return known(from, d.depot.Move(ctx, keyOf(from), keyOf(to)))
}

// Delete deletes a file, or a folder with all that is in it.
func (d *depotDriver) Delete(ctx context.Context, path string) error {
	found := false
	if _, _, err := d.depot.Stat(ctx, keyOf(path)); err == nil {
		found = true
		if err := d.depot.Delete(ctx, keyOf(path)); err != nil {
			return err
		}
	} else if !fail.Is(err, fail.NotFound) {
		return err
	}
	for {
		keys, _, next, err := d.depot.List(ctx, folder(path), "", "")
		if err != nil {
			return err
		}
		found = found || len(keys) > 0
		if err := d.depot.Delete(ctx, keys...); err != nil {
			return err
		}
		if next == "" {
			break
		}
	}
	if !found {
		return driver.PathNotFoundError{Path: path, DriverName: driverName}
	}
	return nil
}

// RedirectURL says that content comes from here.
func (d *depotDriver) RedirectURL(*http.Request, string) (string, error) { return "", nil }

// Walk visits every file.
func (d *depotDriver) Walk(ctx context.Context, path string, f driver.WalkFn, options ...func(*driver.WalkOptions)) error {
	return driver.WalkFallback(ctx, d, path, f, options...)
}

// Writer writes a file, a piece at a time.
func (d *depotDriver) Writer(ctx context.Context, path string, more bool) (driver.FileWriter, error) {
	w := &depotWriter{ctx: ctx, depot: d.depot, key: keyOf(path)}
	if more {
		size, _, err := d.depot.Stat(ctx, w.key)
		if err != nil {
			return nil, known(path, err)
		}
		w.stored = size
		return w, nil
	}
	return w, d.depot.Delete(ctx, w.key)
}

// piece is how much of an upload is kept in memory before it is stored.
const piece = 4 << 20

type depotWriter struct {
	ctx    context.Context
	depot  Depot
	key    string
	stored int64
	buf    []byte
	closed bool
}

func (w *depotWriter) Write(p []byte) (int, error) {
	if w.closed {
		return 0, os.ErrClosed
	}
	total := len(p)
	for len(p) > 0 {
		n := min(piece-len(w.buf), len(p))
		w.buf, p = append(w.buf, p[:n]...), p[n:]
		if len(w.buf) == piece {
			if err := w.flush(w.ctx); err != nil {
				return total - len(p), err
			}
		}
	}
	return total, nil
}

// flush stores what is in memory. A file that nothing was written to is made all the same.
func (w *depotWriter) flush(ctx context.Context) error {
	if len(w.buf) == 0 && w.stored > 0 {
		return nil
	}
	if err := w.depot.Append(ctx, w.key, w.buf, w.stored); err != nil {
		return err
	}
	w.stored += int64(len(w.buf))
	w.buf = w.buf[:0]
	return nil
}

func (w *depotWriter) Size() int64 { return w.stored + int64(len(w.buf)) }

func (w *depotWriter) Commit(ctx context.Context) error {
	if w.closed {
		return os.ErrClosed
	}
	return w.flush(ctx)
}

func (w *depotWriter) Cancel(ctx context.Context) error {
	w.closed = true
	return w.depot.Delete(ctx, w.key)
}

// Close keeps what was written for a later Writer that goes on.
func (w *depotWriter) Close() error {
	if w.closed {
		return nil
	}
	w.closed = true
	return w.flush(context.WithoutCancel(w.ctx))
}

// moveIn takes what earlier versions kept as files into the depot. It may be cut short and begun again.
func moveIn(ctx context.Context, dir string, depot Depot) error {
	root := filepath.Join(dir, "docker")
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }()
		info, err := f.Stat()
		if err != nil {
			return err
		}
		if size, _, err := depot.Stat(ctx, filepath.ToSlash(rel)); err == nil && size == info.Size() {
			return nil
		}
		return depot.Put(ctx, filepath.ToSlash(rel), f, info.Size())
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fail.Wrap(err, fail.Unavailable, "images cannot be moved into object storage")
	}
	return os.RemoveAll(root)
}
