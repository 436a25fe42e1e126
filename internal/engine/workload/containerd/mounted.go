package containerd

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/workload"
)

// An instance's files lie in a folder of the tmpfs at /run/awan-KEY, so their content is never on a disk. The folder is
// mounted read-only at filesInside; every file's own path is a link to it, in the writable layer:
//
//	/etc/app/settings.yaml → /run/awan/..data/NAME        in the instance
//	..data → ..GENERATION                                 in the folder, replaced by one rename
//
// A path under /run, which is an empty tmpfs in every instance, gets its link in a folder that is mounted there.
//
// So all files change at one moment, as in Kubernetes' own mounts, and a file may lie in any folder without hiding what the
// image has there.
const (
	filesInside = "/run/awan"
	dataLink    = "..data"
)

func (p paths) files(i id.ID) string { return filepath.Join(p.live(i), "files") }
func (p paths) runs(i id.ID) string  { return filepath.Join(p.live(i), "run") }

// fileName is the name of a file in the folder: it must not depend on what else is there.
func fileName(p string) string {
	sum := sha256.Sum256([]byte(p))
	return hex.EncodeToString(sum[:12])
}

// putFiles writes the files of an instance that is about to start, and links them into its root file system.
func (e *Engine) putFiles(i id.ID, w workload.Want, root string, u specs.User, owner uint32) error {
	if len(w.Files) == 0 {
		return nil
	}
	if err := os.MkdirAll(e.paths.files(i), 0o755); err != nil {
		return err
	}
	if err := e.writeGeneration(i, w.Files, owner+u.UID, owner+u.GID); err != nil {
		return err
	}
	r, err := os.OpenRoot(root) // links of the image stay inside it
	if err != nil {
		return err
	}
	defer r.Close()
	if err := os.MkdirAll(e.paths.runs(i), 0o755); err != nil {
		return err
	}
	run, err := os.OpenRoot(e.paths.runs(i))
	if err != nil {
		return err
	}
	defer run.Close()
	for _, f := range w.Files {
		into, at := r, f.Path
		if below, ok := strings.CutPrefix(f.Path, "/run/"); ok {
			into, at = run, below
		}
		if err := linkInto(into, at, f.Path, owner); err != nil {
			return err
		}
	}
	return nil
}

// linkInto makes the link at a file's own path.
func linkInto(r *os.Root, in, at string, owner uint32) error {
	name, target := strings.TrimPrefix(in, "/"), path.Join(filesInside, dataLink, fileName(at))
	if have, err := r.Readlink(name); err == nil && have == target {
		return nil
	}
	if err := makeFolders(r, path.Dir(name), owner, owner); err != nil {
		return fail.Wrap(err, fail.Invalid, "the folder of %s cannot be made in the image", at).Then("choose another path")
	}
	if st, err := r.Lstat(name); err == nil && st.IsDir() {
		return fail.New(fail.Invalid, "%s is a folder in the image", at).Then("choose another path for the file")
	}
	if err := r.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("take %s of the image away: %w", at, err)
	}
	if err := r.Symlink(target, name); err != nil {
		return fmt.Errorf("link %s: %w", at, err)
	}
	return r.Lchown(name, int(owner), int(owner))
}

// makeFolders makes a folder and those above it that are not there.
func makeFolders(r *os.Root, dir string, uid, gid uint32) error {
	if dir == "." || dir == "" {
		return nil
	}
	if st, err := r.Stat(dir); err == nil {
		if !st.IsDir() {
			return fmt.Errorf("/%s is a file", dir)
		}
		return nil
	}
	if err := makeFolders(r, path.Dir(dir), uid, gid); err != nil {
		return err
	}
	if err := r.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return r.Lchown(dir, int(uid), int(gid))
}

// writeGeneration writes all files into a folder of their own and makes it the present one.
func (e *Engine) writeGeneration(i id.ID, files []workload.File, uid, gid uint32) error {
	dir := e.paths.files(i)
	gen := ".." + string(id.New())
	at := filepath.Join(dir, gen)
	if err := errors.Join(os.Mkdir(at, 0o755), os.Chmod(at, 0o755)); err != nil {
		return err
	}
	for _, f := range files {
		p := filepath.Join(at, fileName(f.Path))
		if err := os.WriteFile(p, f.Content, 0o600); err != nil {
			return fail.Wrap(err, fail.NoSpace, "file %s cannot be written", f.Path)
		}
		if err := errors.Join(os.Chown(p, int(uid), int(gid)), os.Chmod(p, fs.FileMode(f.Mode))); err != nil {
			return err
		}
	}
	tmp := filepath.Join(dir, "..new")
	_ = os.Remove(tmp)
	if err := os.Symlink(gen, tmp); err != nil {
		return err
	}
	if err := os.Rename(tmp, filepath.Join(dir, dataLink)); err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	for _, old := range entries { // also what an earlier process left half-written
		if n := old.Name(); n != gen && n != dataLink {
			err = errors.Join(err, os.RemoveAll(filepath.Join(dir, n)))
		}
	}
	return err
}

// filesMounts show the folder, and those of /run, to the instance.
func (e *Engine) filesMounts(i id.ID, files []workload.File) []specs.Mount {
	if len(files) == 0 {
		return nil
	}
	bind := func(from, to string) specs.Mount {
		return specs.Mount{Destination: to, Type: "bind", Source: from, Options: []string{"rbind", "rprivate", "ro", "nosuid", "noexec", "nodev"}}
	}
	out := []specs.Mount{bind(e.paths.files(i), filesInside)}
	seen := map[string]bool{}
	for _, f := range files {
		below, ok := strings.CutPrefix(f.Path, "/run/")
		folder, _, _ := strings.Cut(below, "/")
		if ok && !seen[folder] {
			seen[folder] = true
			out = append(out, bind(filepath.Join(e.paths.runs(i), folder), path.Join("/run", folder)))
		}
	}
	return out
}

// Replace implements workload.Engine.
func (e *Engine) Replace(ctx context.Context, i id.ID, files []workload.File, signal string) error {
	ctx = inNamespace(ctx)
	if err := workload.CheckFiles(files); err != nil {
		return err
	}
	sig := unix.Signal(0)
	if signal != "" {
		if sig = unix.SignalNum("SIG" + signal); sig == 0 {
			return fail.Field("signal", "%q is not a signal", signal)
		}
	}
	in, err := e.acquire(ctx, i, false)
	if err != nil {
		return err
	}
	if in == nil {
		return fail.New(fail.Gone, "instance %s does not exist", i)
	}
	defer e.release(in)
	rec, t, _, known := in.snapshot()
	if !known || t == nil || !rec.running() {
		return fail.New(fail.Precondition, "the instance does not run").Then("start it first")
	}
	if files, err = e.merged(i, rec.Want.Files, files); err != nil {
		return err
	}
	if len(files) > 0 {
		u, err := e.userOf(i)
		if err != nil {
			return err
		}
		owner := e.tenants.ids(rec.Slot)
		if err := e.writeGeneration(i, files, owner+u.UID, owner+u.GID); err != nil {
			return err
		}
	}
	if sig == 0 {
		return nil
	}
	return t.signal(ctx, sig)
}

// merged is the instance's set of files with the new content of the live ones.
func (e *Engine) merged(i id.ID, have, given []workload.File) ([]workload.File, error) {
	content := map[string][]byte{}
	for _, f := range given {
		content[f.Path] = f.Content
	}
	var out []workload.File
	for _, f := range have {
		b, ok := content[f.Path]
		if !f.Live || !ok {
			var err error
			if b, err = os.ReadFile(filepath.Join(e.paths.files(i), dataLink, fileName(f.Path))); err != nil {
				return nil, fail.Wrap(err, fail.Internal, "file %s of the instance cannot be read", f.Path)
			}
		}
		delete(content, f.Path)
		f.Content = b
		out = append(out, f)
	}
	for p := range content {
		return nil, fail.Field("files", "the instance has no file %s", p).Then("a new file needs a new instance")
	}
	return out, nil
}

// userOf is the user that an instance's first process was started as.
func (e *Engine) userOf(i id.ID) (specs.User, error) {
	b, err := os.ReadFile(filepath.Join(e.paths.bundle(i), "config.json"))
	if err != nil {
		return specs.User{}, fail.Wrap(err, fail.Internal, "the instance's description cannot be read")
	}
	var s specs.Spec
	if err := json.Unmarshal(b, &s); err != nil {
		return specs.User{}, fail.Wrap(err, fail.Internal, "the instance's description cannot be read")
	}
	return s.Process.User, nil
}

// withoutContent is what of an instance's files may be written to a disk.
func withoutContent(files []workload.File) []workload.File {
	out := make([]workload.File, len(files))
	for i, f := range files {
		f.Content = nil
		out[i] = f
	}
	return out
}
