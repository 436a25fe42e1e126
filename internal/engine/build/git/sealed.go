package git

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/build"
)

// Between uses a repository lies sealed under its project's key, as PROJECT/NAME.git.sealed: a tar. Who needs it first
// unpacks it to the folder PROJECT/NAME.git, which git works on; when nobody needed it for a while it is sealed again and
// the folder goes. Where both are there the folder counts: a crash loses nothing, and the next start seals it.
const (
	sealedSuffix = ".sealed"
	freshSuffix  = ".new"  // being made; a crash leaves it
	goneSuffix   = ".gone" // being removed
	endOfArchive = "awan-end"
	idleTime     = time.Minute
)

// repository is one that is in use, or was a moment ago.
type repository struct {
	mu      sync.Mutex // held while its files are unpacked, sealed or removed
	project id.ID
	name    string
	users   int         // under Engine.mu, as is idle
	idle    *time.Timer // seals it
	changed bool        // since it was sealed last; under mu
}

func (e *Engine) repository(project id.ID, name string) *repository {
	key := string(project) + "/" + name
	r := e.repos[key]
	if r == nil {
		r = &repository{project: project, name: name}
		e.repos[key] = r
	}
	return r
}

// use opens a repository for git to work on, until done is called.
func (e *Engine) use(own build.Own, create, changes bool) (dir string, done func(), err error) {
	e.mu.Lock()
	r := e.repository(own.Project, own.Name)
	r.users++
	e.mu.Unlock()
	done = sync.OnceFunc(func() { e.leave(r) })
	r.mu.Lock()
	defer r.mu.Unlock()
	if err = e.unseal(r); err == nil {
		var made bool
		dir, made, err = e.open(own, create)
		r.changed = r.changed || made || changes && err == nil
	}
	if err != nil {
		done()
	}
	return dir, done, err
}

// leave ends one use; the last one lets the repository be sealed after a while.
func (e *Engine) leave(r *repository) {
	e.mu.Lock()
	defer e.mu.Unlock()
	r.users--
	e.later(r, e.o.Idle)
}

// later seals a repository unless it is used before. Under e.mu.
func (e *Engine) later(r *repository, after time.Duration) {
	if r.users > 0 || e.o.Sealer == nil || e.closed {
		return
	}
	if r.idle != nil {
		r.idle.Stop()
	}
	r.idle = time.AfterFunc(after, func() {
		if err := e.rest(r); err != nil {
			e.log.Error("a pushed repository is not sealed yet", "project", r.project, "name", r.name, "err", err)
			e.mu.Lock()
			e.later(r, idleTime)
			e.mu.Unlock()
		}
	})
}

// rest seals a repository that nobody uses.
func (e *Engine) rest(r *repository) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	e.mu.Lock()
	used := r.users > 0
	e.mu.Unlock()
	dir := e.folder(r.project, r.name)
	if _, err := os.Stat(dir); used || err != nil {
		return nil
	}
	if _, err := os.Stat(dir + sealedSuffix); err != nil || r.changed {
		if err := e.seal(r, dir); err != nil {
			return err
		}
		r.changed = false
	}
	if err := os.Rename(dir, dir+goneSuffix); err != nil {
		return err
	}
	e.mu.Lock()
	e.forget(r)
	e.mu.Unlock()
	return os.RemoveAll(dir + goneSuffix)
}

// forget drops what is known of a repository that nobody uses. Under mu.
func (e *Engine) forget(r *repository) {
	if r.users == 0 {
		delete(e.repos, string(r.project)+"/"+r.name)
	}
}

func about(r *repository) []byte {
	return []byte("git repository " + string(r.project) + "/" + r.name)
}

// seal writes the archive, whole and on the disk before it takes the older one's place.
func (e *Engine) seal(r *repository, dir string) (err error) {
	fresh := dir + sealedSuffix + freshSuffix
	f, err := os.OpenFile(fresh, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(fresh)
		}
	}()
	frames := e.o.Sealer.Framing(f, string(r.project), about(r))
	err = errors.Join(pack(frames, dir), frames.Close(), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(fresh, dir+sealedSuffix)
	}
	if err == nil {
		err = syncFolder(filepath.Dir(dir))
	}
	return err
}

// pack writes the folders and files below dir, and how much they were.
func pack(w io.Writer, dir string) error {
	root, err := os.OpenRoot(dir) // what is in it belongs to git: nothing may lead us out
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	t, entries, total := tar.NewWriter(w), 0, int64(0)
	err = fs.WalkDir(root.FS(), ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil || p == "." || !d.IsDir() && !d.Type().IsRegular() {
			return err
		}
		if d.IsDir() {
			entries++
			return t.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: p + "/", Mode: 0o700})
		}
		f, err := root.Open(p)
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }()
		i, err := f.Stat()
		if err != nil {
			return err
		}
		if err := t.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: p, Mode: int64(i.Mode().Perm()), Size: i.Size()}); err != nil {
			return err
		}
		n, err := io.Copy(t, f)
		entries, total = entries+1, total+n
		return err
	})
	if err != nil {
		return err
	}
	end := fmt.Sprintf("%d %d", entries, total)
	if err = t.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: endOfArchive, Mode: 0o600, Size: int64(len(end))}); err == nil {
		_, err = io.WriteString(t, end)
	}
	return errors.Join(err, t.Close())
}

// unseal unpacks a repository where it lies sealed.
func (e *Engine) unseal(r *repository) error {
	dir := e.folder(r.project, r.name)
	if _, err := os.Stat(dir); err == nil || e.o.Sealer == nil {
		return nil
	}
	f, err := os.Open(dir + sealedSuffix)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fail.Wrap(err, fail.Unavailable, "the repository cannot be read")
	}
	defer func() { _ = f.Close() }()
	fresh := dir + freshSuffix
	err = errors.Join(os.RemoveAll(fresh), os.Mkdir(fresh, 0o700))
	if err == nil {
		err = e.unpack(e.o.Sealer.Frames(f, string(r.project), about(r)), fresh)
	}
	if err == nil {
		err = os.Rename(fresh, dir)
	}
	if err != nil {
		return errors.Join(fail.Wrap(err, fail.DataLoss, "the repository %s cannot be unsealed", r.name), os.RemoveAll(fresh))
	}
	r.changed = false
	return nil
}

func (e *Engine) unpack(from io.Reader, dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	if err := root.Lchown(".", e.o.User, e.o.User); err != nil {
		return err
	}
	t, entries, total := tar.NewReader(from), 0, int64(0)
	for {
		h, err := t.Next()
		if err != nil {
			return fmt.Errorf("it ends too early, after %d files: %w", entries, err)
		}
		if h.Name == endOfArchive {
			said, err := io.ReadAll(io.LimitReader(t, 64))
			if err == nil && string(said) != fmt.Sprintf("%d %d", entries, total) {
				err = fmt.Errorf("it holds %d files of %d bytes and says %q", entries, total, said)
			}
			return err
		}
		name := strings.TrimSuffix(h.Name, "/")
		if entries++; h.Typeflag == tar.TypeDir {
			err = root.Mkdir(name, 0o700)
		} else {
			var n int64
			n, err = write(root, name, fs.FileMode(h.Mode).Perm(), t)
			total += n
		}
		if err = errors.Join(err, root.Lchown(name, e.o.User, e.o.User)); err != nil {
			return err
		}
	}
}

func write(root *os.Root, name string, mode fs.FileMode, from io.Reader) (int64, error) {
	f, err := root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return 0, err
	}
	n, err := io.Copy(f, from)
	return n, errors.Join(err, f.Close())
}

func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// tidy takes away what a crash left half done, and has those sealed that lie unpacked.
func (e *Engine) tidy() {
	e.mu.Lock() // nothing is sealed before all is tidied
	defer e.mu.Unlock()
	projects, _ := e.Projects(context.Background())
	for _, p := range projects {
		entries, _ := os.ReadDir(filepath.Join(e.o.Dir, string(p)))
		for _, d := range entries {
			file := filepath.Join(e.o.Dir, string(p), d.Name())
			name, is := strings.CutSuffix(d.Name(), ".git")
			switch {
			case strings.HasSuffix(d.Name(), freshSuffix), strings.HasSuffix(d.Name(), goneSuffix):
				if err := os.RemoveAll(file); err != nil {
					e.log.Warn("what a crash left of a repository stays", "file", file, "err", err)
				}
			case is && d.IsDir():
				r := e.repository(p, name)
				r.changed = true
				e.later(r, 0)
			}
		}
	}
}

// used is how many bytes the repositories of a project take.
func (e *Engine) used(project id.ID) (n int64) {
	dir := filepath.Join(e.o.Dir, string(project))
	entries, _ := os.ReadDir(dir)
	for _, d := range entries {
		if name, sealed := strings.CutSuffix(d.Name(), sealedSuffix); sealed {
			if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
				continue // its folder is counted
			}
		}
		n += size(filepath.Join(dir, d.Name()))
	}
	return n
}

// remove takes a repository away in whichever form it lies.
func (e *Engine) remove(project id.ID, name string) error {
	e.mu.Lock()
	r := e.repository(project, name)
	if r.idle != nil {
		r.idle.Stop()
	}
	e.forget(r)
	e.mu.Unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	dir := e.folder(project, name)
	return errors.Join(os.RemoveAll(dir), os.RemoveAll(dir+sealedSuffix), os.RemoveAll(dir+freshSuffix), os.RemoveAll(dir+goneSuffix))
}

// restAll seals what is open, at the end.
func (e *Engine) restAll() (err error) {
	e.mu.Lock()
	e.closed = true
	var all []*repository
	for _, r := range e.repos {
		if r.idle != nil {
			r.idle.Stop()
		}
		all = append(all, r)
	}
	e.mu.Unlock()
	if e.o.Sealer == nil {
		return nil
	}
	for _, r := range all {
		err = errors.Join(err, e.rest(r))
	}
	return err
}
