// Package debian makes base images out of Debian packages, through the package sources this machine itself uses, or
// pulls them from a registry the operator names. What is in each base is data: the catalogue's bases folder.
//
// It may import the kernel, the build port it implements, and libraries for images; it runs mmdebstrap, apt, and the
// machine's go and npm commands where a base wants them.
package debian

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io/fs"
	"iter"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/service/build"
)

// Options say where bases are made and kept.
type Options struct {
	Dir      string // working files: the unpacked root and records of what was made
	Registry build.Registry
	Catalog  fs.FS  // holds bases/*.yaml
	Upstream string // pull bases from this registry ("registry.example.org/bases") instead of making them; "" makes them
	// UpstreamTransport carries requests to Upstream; nil is the default transport.
	UpstreamTransport http.RoundTripper
	Logger            *slog.Logger
}

// Bases makes and keeps base images. It implements build.Bases.
type Bases struct {
	o       Options
	log     *slog.Logger
	recipes map[string]recipe

	mu    sync.Mutex // guards locks
	locks map[string]*sync.Mutex
	apt   sync.Mutex   // apt's lists and archives are used by one
	roots sync.RWMutex // held for reading while a base is made on another's unpacked root, for writing while that is replaced
}

// New reads the catalogue; nothing is made yet.
func New(o Options) (*Bases, error) {
	recipes, err := read(o.Catalog)
	if err != nil {
		return nil, err
	}
	if o.Dir, err = filepath.Abs(o.Dir); err != nil {
		return nil, fail.Wrap(err, fail.Internal, "the folder for base images")
	}
	for _, sub := range []string{"made", "tmp", "root"} {
		if err := os.MkdirAll(filepath.Join(o.Dir, sub), 0o700); err != nil {
			return nil, fail.Wrap(err, fail.NoSpace, "cannot make the folder for base images")
		}
	}
	log := o.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	b := &Bases{o: o, log: log, recipes: recipes, locks: map[string]*sync.Mutex{}}
	b.sweep()
	return b, nil
}

// List yields the bases of the catalogue, made or not, by name.
func (b *Bases) List(ctx context.Context) iter.Seq2[build.Base, error] {
	return func(yield func(build.Base, error) bool) {
		for _, name := range slices.Sorted(maps.Keys(b.recipes)) {
			base := build.Base{Name: name}
			if m, ok := b.recall(name); ok {
				base = m.Base
			}
			if !yield(base, ctx.Err()) {
				return
			}
		}
	}
}

// Ensure makes the base exist in the registry and returns its reference by digest. Callers that want the same base at
// the same time wait for one making.
func (b *Bases) Ensure(ctx context.Context, name string, log func(line string)) (string, error) {
	base, err := b.ensure(ctx, name, serial(log), false)
	return base.Ref, err
}

// Refresh makes a base anew, with the package versions of now. Bases that stand on it are made anew when they are next
// wanted; images that were built stay what they are.
func (b *Bases) Refresh(ctx context.Context, name string, log func(line string)) (string, error) {
	base, err := b.ensure(ctx, name, serial(log), true)
	return base.Ref, err
}

// serial makes log safe for two bases that are in the making at a time.
func serial(log func(line string)) func(line string) {
	var one sync.Mutex
	return func(line string) {
		one.Lock()
		defer one.Unlock()
		if log != nil {
			log(line)
		}
	}
}

// usable tells whether a base that others stand on still has its unpacked root.
func (b *Bases) usable(r recipe) bool {
	if r.From != "" || r.Scratch || b.o.Upstream != "" {
		return true
	}
	_, err := os.Stat(filepath.Join(b.root(r.Name), "etc"))
	return err == nil
}

func (b *Bases) ensure(ctx context.Context, name string, log func(line string), again bool) (build.Base, error) {
	r, ok := b.recipes[name]
	if !ok {
		return build.Base{}, fail.New(fail.NotFound, "there is no base image %s", name).
			Then("the bases are: %v", slices.Sorted(maps.Keys(b.recipes)))
	}
	lock := b.lock(name)
	lock.Lock()
	defer lock.Unlock()
	began := time.Now()
	known, ok := b.recall(name)
	var m *making
	defer func() {
		if m != nil {
			m.discard()
		}
	}()
	var parent build.Base
	if r.From != "" && b.o.Upstream == "" {
		var err error
		if !ok { // downloads need not wait for the base below
			if m, err = b.begin(ctx, r, log); err != nil {
				return build.Base{}, err
			}
		}
		if parent, err = b.ensure(ctx, r.From, log, false); err != nil {
			return build.Base{}, err
		}
	}
	key := b.key(r, parent)
	if ok && !again && known.Key == key && b.usable(r) && b.present(ctx, known.Base.Ref) {
		return known.Base, nil
	}
	var base build.Base
	var err error
	if b.o.Upstream != "" {
		base, err = b.pull(ctx, r.Name, log)
	} else {
		if m == nil {
			if m, err = b.begin(ctx, r, log); err != nil {
				return build.Base{}, err
			}
		}
		base, err = m.finish(ctx, parent)
		if m.failed != nil && r.Else != "" && ctx.Err() == nil {
			log("the base image " + r.Else + " takes the place of " + name + ": " + reason(m.failed))
			return b.ensure(ctx, r.Else, log, false) // not remembered: the next build tries again
		}
	}
	if err != nil {
		return build.Base{}, err
	}
	base.Name, base.Made = name, time.Now().UTC()
	if err := b.remember(made{Key: key, Base: base}); err != nil {
		return build.Base{}, err
	}
	b.log.Info("base image made", "name", name, "seconds", time.Since(began).Seconds(), "bytes", base.Size, "ref", base.Ref)
	return base, nil
}

func (b *Bases) lock(name string) *sync.Mutex {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.locks[name] == nil {
		b.locks[name] = &sync.Mutex{}
	}
	return b.locks[name]
}

// made is the record of a finished base.
type made struct {
	Key  string
	Base build.Base
}

// key changes when anything a base is made of does, other than newer package versions.
func (b *Bases) key(r recipe, parent build.Base) string {
	h := sha256.New()
	h.Write(r.text)
	h.Write([]byte(parent.Digest + "\x00" + b.o.Upstream + "\x00" + format))
	for _, c := range localCertificates() {
		h.Write([]byte(c))
	}
	return hex.EncodeToString(h.Sum(nil))
}

// format is raised when the way of making bases changes, so that old ones are made anew.
const format = "3"

func (b *Bases) record(name string) string { return filepath.Join(b.o.Dir, "made", name+".json") }

func (b *Bases) recall(name string) (made, bool) {
	var m made
	text, err := os.ReadFile(b.record(name))
	if err != nil || json.Unmarshal(text, &m) != nil {
		return made{}, false
	}
	return m, true
}

func (b *Bases) remember(m made) error {
	text, err := json.MarshalIndent(m, "", "  ")
	if err == nil {
		temporary := b.record(m.Base.Name) + ".new"
		if err = os.WriteFile(temporary, text, 0o600); err == nil {
			err = os.Rename(temporary, b.record(m.Base.Name))
		}
	}
	if err != nil {
		return fail.Wrap(err, fail.NoSpace, "recording the base image %s", m.Base.Name)
	}
	return nil
}
