// Package picture makes images that machines boot, out of Debian packages, through the package sources this machine itself
// uses. What is in each is data: the catalogue's machines folder, a recipe and the files that it adds. It may import the
// kernel, service/image whose port it implements, and engine/base/debian; it runs mmdebstrap, mke2fs and qemu-img.
package picture

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"gopkg.in/yaml.v3"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/service/image"
)

// Options say where images are made and kept.
type Options struct {
	Dir     string // what was made is kept here
	Catalog fs.FS  // holds machines/NAME/recipe.yaml and machines/NAME/root
	Log     *slog.Logger
}

// Maker makes the catalogue's images.
type Maker struct {
	o       Options
	recipes map[string]recipe
	mu      sync.Mutex // of locks
	locks   map[string]*sync.Mutex
}

var _ image.Maker = (*Maker)(nil)

// recipe is a machines/NAME/recipe.yaml.
type recipe struct {
	Name     string   `yaml:"name"`
	About    string   `yaml:"about"`
	Size     int64    `yaml:"size"` // GiB
	Packages []string `yaml:"packages"`
	Command  string   `yaml:"command"` // the kernel's command line, beside where its root is
	Setup    string   `yaml:"setup"`   // run by sh in the image, in the end

	files fs.FS
	sum   string // of all of it: what it makes is made anew when it changes
}

// New reads the catalogue; nothing is made yet.
func New(o Options) (*Maker, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	m := &Maker{o: o, recipes: map[string]recipe{}, locks: map[string]*sync.Mutex{}}
	entries, err := fs.ReadDir(o.Catalog, "machines")
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		r, err := read(o.Catalog, e.Name())
		if err != nil {
			return nil, fail.Wrap(err, fail.Internal, "the catalogue's machines/%s cannot be read", e.Name())
		}
		m.recipes[r.Name] = r
	}
	if m.o.Dir, err = filepath.Abs(o.Dir); err != nil {
		return nil, err
	}
	return m, nil
}

func read(catalog fs.FS, name string) (r recipe, err error) {
	b, err := fs.ReadFile(catalog, path.Join("machines", name, "recipe.yaml"))
	if err != nil {
		return r, err
	}
	if err := yaml.Unmarshal(b, &r); err != nil {
		return r, err
	}
	if r.Name != name || r.Size < 1 || len(r.Packages) == 0 {
		return r, errors.New("it needs its folder's name, a size and packages")
	}
	if r.files, err = fs.Sub(catalog, path.Join("machines", name)); err != nil {
		return r, err
	}
	h := sha256.New()
	err = fs.WalkDir(r.files, ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := fs.ReadFile(r.files, p)
		_, _ = io.WriteString(h, p+"\x00"+string(text)+"\x00") // a hash's Write does not fail
		return err
	})
	r.sum = hex.EncodeToString(h.Sum(nil))[:16]
	return r, err
}

// Recipes names what can be made.
func (m *Maker) Recipes() []string { return slices.Sorted(maps.Keys(m.recipes)) }

// Make makes an image unless it is there, and opens it.
func (m *Maker) Make(ctx context.Context, name string, progress func(string)) (io.ReadCloser, error) {
	r, ok := m.recipes[name]
	if !ok {
		return nil, fail.New(fail.NotFound, "there is no recipe %q", name).Then("use one of %s", strings.Join(m.Recipes(), ", "))
	}
	m.mu.Lock()
	lock := m.locks[name]
	if lock == nil {
		lock = new(sync.Mutex)
		m.locks[name] = lock
	}
	m.mu.Unlock()
	lock.Lock()
	defer lock.Unlock()
	made := filepath.Join(m.o.Dir, name+"-"+r.sum+".qcow2")
	f, err := os.Open(made)
	if err == nil {
		return f, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, fail.Wrap(err, fail.Unavailable, "the image %s cannot be read", name)
	}
	if err := m.make(ctx, r, made, progress); err != nil {
		return nil, err
	}
	if f, err = os.Open(made); err != nil {
		return nil, fail.Wrap(err, fail.Unavailable, "the image %s cannot be read", name)
	}
	return f, nil
}
