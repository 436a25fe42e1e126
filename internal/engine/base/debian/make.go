package debian

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sys/unix"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/service/build"
)

// A user that is not root is in every base, so that a recipe can say "USER app" without a step of its own.
const (
	appName = "app"
	appID   = 10001
)

// making is one base in the making.
type making struct {
	bases   *Bases
	recipe  recipe
	log     func(string)
	work    string // folder of its own
	fetch   sync.WaitGroup
	sources []string // what was fetched, once fetch is over
	failed  error    // why it was not
}

// begin starts to fetch what a recipe wants beside Debian's packages. The caller calls discard in the end.
func (b *Bases) begin(ctx context.Context, r recipe, log func(string)) (*making, error) {
	if os.Geteuid() != 0 {
		return nil, fail.New(fail.Unsupported, "making base images needs root").
			Then("run the cloud as root, or configure an upstream registry for base images")
	}
	work, err := os.MkdirTemp(filepath.Join(b.o.Dir, "tmp"), r.Name+"-")
	if err != nil {
		return nil, fail.Wrap(err, fail.NoSpace, "making the base image %s", r.Name)
	}
	m := &making{bases: b, recipe: r, log: log, work: work}
	if err := os.Mkdir(m.upper(), 0o755); err != nil {
		m.discard()
		return nil, fail.Wrap(err, fail.NoSpace, "making the base image %s", r.Name)
	}
	log("making the base image " + r.Name + ": " + r.About)
	m.fetch.Go(func() {
		if r.Go != nil {
			m.sources, m.failed = b.goToolchain(ctx, *r.Go, m.upper(), work, log)
		} else if len(r.Npm) > 0 {
			m.sources, m.failed = b.npmPackages(ctx, r.Npm, m.upper(), work, log)
		}
	})
	return m, nil
}

// upper is the folder that becomes the base's layer.
func (m *making) upper() string { return filepath.Join(m.work, "upper") }

func (m *making) discard() {
	m.fetch.Wait()
	if err := Remove(m.work); err != nil {
		m.bases.log.Warn("cannot remove the working files of a base image", "error", err)
	}
}

// finish makes the base on its parent and pushes it.
func (m *making) finish(ctx context.Context, parent build.Base) (build.Base, error) {
	m.fetch.Wait()
	r, b := m.recipe, m.bases
	var layers []v1.Layer
	var sources []string
	var err error
	switch {
	case r.Scratch:
		layers, sources, err = m.makeScratch(ctx)
	case r.From == "":
		layers, sources, err = b.makeRoot(ctx, r, m.work, m.log)
	default:
		layers, sources, err = m.makeOn(ctx, parent)
	}
	if err != nil {
		return build.Base{}, err
	}
	base, err := b.push(ctx, r, parent, layers)
	if err != nil {
		return build.Base{}, err
	}
	base.Sources = sources
	m.log("made the base image " + r.Name)
	return base, nil
}

// root is where the unpacked file system of a base that others stand on is kept.
func (b *Bases) root(name string) string { return filepath.Join(b.o.Dir, "root", name) }

func (b *Bases) makeRoot(ctx context.Context, r recipe, work string, log func(string)) ([]v1.Layer, []string, error) {
	fresh := filepath.Join(work, "root")
	if err := b.bootstrap(ctx, r, fresh, log); err != nil {
		return nil, nil, err
	}
	if err := users(fresh); err != nil {
		return nil, nil, err
	}
	if err := place(r, fresh); err != nil {
		return nil, nil, err
	}
	// The root is kept because the other bases are made on top of it.
	b.roots.Lock()
	defer b.roots.Unlock()
	old := b.root(r.Name)
	if err := errors.Join(Remove(old), os.Rename(fresh, old)); err != nil {
		return nil, nil, fail.Wrap(err, fail.NoSpace, "keeping the base image %s", r.Name)
	}
	l, err := pack(ctx, "", old, work)
	if err != nil {
		return nil, nil, err
	}
	sources, err := packages(ctx, old)
	return []v1.Layer{l}, sources, err
}

// makeOn lays packages, downloads and files over the parent's root, in an overlay whose upper half becomes the layer.
func (m *making) makeOn(ctx context.Context, parent build.Base) ([]v1.Layer, []string, error) {
	r, b := m.recipe, m.bases
	b.roots.RLock()
	defer b.roots.RUnlock()
	lower := b.root(parent.Name)
	if _, err := os.Stat(lower); err != nil {
		return nil, nil, fail.New(fail.Unavailable, "the unpacked root of the base image %s is gone", parent.Name).
			Then("try again: it is then made again").Because(err)
	}
	wanted := slices.Clone(r.Packages)
	if m.failed != nil {
		if ctx.Err() != nil {
			return nil, nil, fail.From(ctx.Err())
		}
		m.log("falling back to Debian's own, older packages (" + strings.Join(r.Fallback, ", ") + "): " + reason(m.failed))
		b.log.Warn("a base image falls back to Debian's packages", "name", r.Name, "error", m.failed)
		wanted = append(wanted, r.Fallback...)
		r.Links = nil
		// The recipe for Go mounts its cache from there.
		err := errors.Join(os.RemoveAll(m.upper()), os.MkdirAll(filepath.Join(m.upper(), "usr/local/go-cache"), 0o755))
		if err != nil {
			return nil, nil, fail.Wrap(err, fail.NoSpace, "making the base image %s", r.Name)
		}
	}
	merged, aside := filepath.Join(m.work, "merged"), filepath.Join(m.work, "work")
	if err := errors.Join(os.Mkdir(merged, 0o755), os.Mkdir(aside, 0o755)); err != nil {
		return nil, nil, fail.Wrap(err, fail.NoSpace, "making the base image %s", r.Name)
	}
	if err := unix.Mount("overlay", merged, "overlay", 0, "lowerdir="+lower+",upperdir="+m.upper()+",workdir="+aside); err != nil {
		return nil, nil, fail.Wrap(err, fail.Unsupported, "this machine cannot overlay file systems, which base images need")
	}
	defer unix.Unmount(merged, unix.MNT_DETACH)
	if len(wanted) > 0 {
		if err := b.install(ctx, wanted, merged, m.log); err != nil {
			return nil, nil, err
		}
	}
	if err := place(r, merged); err != nil {
		return nil, nil, err
	}
	l, err := pack(ctx, lower, merged, m.work)
	if err != nil {
		return nil, nil, err
	}
	installed, err := packages(ctx, merged)
	return []v1.Layer{l}, append(m.sources, installed...), err
}

// makeScratch fills an empty root with parts of a few packages, certificates and users.
func (m *making) makeScratch(ctx context.Context) ([]v1.Layer, []string, error) {
	r, root := m.recipe, m.upper()
	if m.failed != nil {
		return nil, nil, m.failed
	}
	for _, d := range []string{"bin", "etc", "usr", "var", "home", "root", "tmp", "var/tmp"} {
		p, mode := filepath.Join(root, d), fs.FileMode(0o755)
		if strings.HasSuffix(d, "tmp") {
			mode = 0o777 | fs.ModeSticky
		}
		if err := errors.Join(os.MkdirAll(p, 0o755), os.Chmod(p, mode)); err != nil {
			return nil, nil, fail.Wrap(err, fail.NoSpace, "making the base image %s", r.Name)
		}
	}
	unpacked := filepath.Join(m.work, "unpacked")
	versions, err := m.bases.unpack(ctx, append([]string{"ca-certificates"}, r.Debs...), unpacked, m.work, m.log)
	if err != nil {
		return nil, nil, err
	}
	if err := bundle(unpacked, root); err != nil {
		return nil, nil, err
	}
	for _, p := range r.Keep {
		if err := copyTree(filepath.Join(unpacked, p), filepath.Join(root, p)); err != nil {
			return nil, nil, fail.Wrap(err, fail.Internal, "copying %s into the base image %s", p, r.Name)
		}
	}
	text := map[string]string{
		"etc/passwd":        "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin\n",
		"etc/group":         "root:x:0:\nnogroup:x:65534:\n",
		"etc/nsswitch.conf": "hosts: files dns\n",
	}
	for p, t := range text {
		if err := os.WriteFile(filepath.Join(root, p), []byte(t), 0o644); err != nil {
			return nil, nil, fail.Wrap(err, fail.NoSpace, "making the base image %s", r.Name)
		}
	}
	if r.Busybox {
		if err := applets(ctx, root); err != nil {
			return nil, nil, fail.Wrap(err, fail.Internal, "installing busybox into the base image %s", r.Name)
		}
	}
	if err := errors.Join(users(root), place(r, root)); err != nil {
		return nil, nil, err
	}
	l, err := pack(ctx, "", root, m.work)
	return []v1.Layer{l}, append(m.sources, versions...), err
}

// applets links busybox's commands in /bin.
func applets(ctx context.Context, root string) error {
	list, err := exec.CommandContext(ctx, filepath.Join(root, "bin/busybox"), "--list").Output()
	if err != nil {
		return err
	}
	for _, name := range strings.Fields(string(list)) {
		if err := os.Symlink("busybox", filepath.Join(root, "bin", name)); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return nil
}

// users adds the user that is not root.
func users(root string) error {
	for name, line := range map[string]string{
		"etc/passwd": appName + ":x:10001:10001::/home/app:/bin/sh\n",
		"etc/group":  appName + ":x:10001:\n",
	} {
		f, err := os.OpenFile(filepath.Join(root, name), os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			return fail.Wrap(err, fail.Internal, "adding a user to a base image")
		}
		_, err = f.WriteString(line)
		if err := errors.Join(err, f.Close()); err != nil {
			return fail.Wrap(err, fail.NoSpace, "adding a user to a base image")
		}
	}
	home := filepath.Join(root, "home", appName)
	if err := errors.Join(os.MkdirAll(home, 0o755), os.Chown(home, appID, appID)); err != nil {
		return fail.Wrap(err, fail.NoSpace, "adding a user to a base image")
	}
	return nil
}

// place writes the recipe's own files and links.
func place(r recipe, root string) error {
	for p, f := range r.Files {
		full := filepath.Join(root, p)
		err := os.MkdirAll(filepath.Dir(full), 0o755)
		if err == nil {
			err = os.WriteFile(full, []byte(f.Text), f.Mode)
		}
		if err == nil {
			err = os.Chmod(full, f.Mode)
		}
		if err != nil {
			return fail.Wrap(err, fail.NoSpace, "writing %s into the base image %s", p, r.Name)
		}
	}
	for p, target := range r.Links {
		full := filepath.Join(root, p)
		if err := errors.Join(os.MkdirAll(filepath.Dir(full), 0o755), os.Symlink(target, full)); err != nil {
			return fail.Wrap(err, fail.NoSpace, "linking %s in the base image %s", p, r.Name)
		}
	}
	return nil
}

// copyTree copies a file or folder, following a link at its top only.
func copyTree(from, to string) error {
	from, err := filepath.EvalSymlinks(from)
	if err != nil {
		return err
	}
	return filepath.WalkDir(from, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(from, p)
		target := filepath.Join(to, rel)
		switch {
		case d.IsDir():
			return os.MkdirAll(target, 0o755)
		case d.Type()&fs.ModeSymlink != 0:
			link, err := os.Readlink(p)
			if err != nil {
				return err
			}
			return os.Symlink(link, target)
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		text, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			return err
		}
		return os.WriteFile(target, text, info.Mode().Perm())
	})
}

// sweep removes what a killed process left half made.
func (b *Bases) sweep() {
	tmp := filepath.Join(b.o.Dir, "tmp")
	entries, _ := os.ReadDir(tmp)
	for _, e := range entries {
		_ = unix.Unmount(filepath.Join(tmp, e.Name(), "merged"), unix.MNT_DETACH)
		if err := Remove(filepath.Join(tmp, e.Name())); err != nil {
			b.log.Warn("cannot remove an unfinished base image", "path", e.Name(), "error", err)
		}
	}
}

// reason is an error's public half in one line.
func reason(err error) string { return strings.TrimSpace(fail.From(err).Public()) }

// architecture is Debian's name for this machine's architecture, which is Go's for those that we support.
func architecture() string { return runtime.GOARCH }
