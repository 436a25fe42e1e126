package cli

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"

	"github.com/awancloud/awan/internal/kernel/fail"
)

// neverPacked is what a source never needs: history, and what a build makes again.
var neverPacked = []string{"**/.git", "**/node_modules", "**/__pycache__", "**/.venv", "**/.DS_Store"}

// packed is what went into an archive.
type packed struct {
	files int
	size  int64
}

// pack writes the folder as tar.gz. The same content gives the same bytes: entries are in order, without owner and with
// one fixed time. A .dockerignore or .awanignore in the folder leaves out more.
func pack(dir string, w io.Writer) (packed, error) {
	var p packed
	root, err := os.OpenRoot(dir)
	if err != nil {
		return p, fail.Wrap(err, fail.Invalid, "%s is not a folder that can be read", dir)
	}
	defer root.Close()
	patterns := append([]string(nil), neverPacked...)
	for _, name := range []string{".dockerignore", ".awanignore"} {
		more, err := ignored(root, name)
		if err != nil {
			return p, err
		}
		patterns = append(patterns, more...)
	}
	skip, err := patternmatcher.New(patterns)
	if err != nil {
		return p, fail.Wrap(err, fail.Invalid, "a pattern in .dockerignore or .awanignore cannot be read")
	}
	gz := gzip.NewWriter(w)
	tw := tar.NewWriter(gz)
	err = fs.WalkDir(root.FS(), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == "." {
			return err
		}
		out, err := skip.MatchesOrParentMatches(path)
		switch {
		case err != nil:
			return err
		case out && d.IsDir() && !skip.Exclusions():
			return fs.SkipDir
		case out && path != "Dockerfile" && path != ".dockerignore":
			return nil
		}
		return p.add(root, tw, path, d)
	})
	if err == nil {
		err = errors.Join(tw.Close(), gz.Close())
	}
	var e *fail.Error
	if err != nil && !errors.As(err, &e) {
		return p, fail.Wrap(err, fail.Unavailable, "%s could not be packed: %v", dir, plainPath(err))
	}
	return p, err
}

func plainPath(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return errors.New(pe.Path + ": " + pe.Err.Error())
	}
	return err
}

func ignored(root *os.Root, name string) ([]string, error) {
	f, err := root.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fail.Wrap(err, fail.Invalid, "%s cannot be read", name)
	}
	defer f.Close()
	lines, err := ignorefile.ReadAll(f)
	if err != nil {
		return nil, fail.Wrap(err, fail.Invalid, "%s cannot be read", name)
	}
	return lines, nil
}

// add writes one file, folder or link. Sockets, pipes and devices are no source.
func (p *packed) add(root *os.Root, tw *tar.Writer, path string, d fs.DirEntry) error {
	info, err := d.Info()
	if err != nil {
		return err
	}
	h := &tar.Header{Name: path, Mode: 0o644, ModTime: time.Unix(0, 0).UTC(), Format: tar.FormatPAX}
	switch {
	case info.IsDir():
		h.Typeflag, h.Name, h.Mode = tar.TypeDir, path+"/", 0o755
		return tw.WriteHeader(h)
	case info.Mode()&fs.ModeSymlink != 0:
		h.Typeflag = tar.TypeSymlink
		if h.Linkname, err = root.Readlink(path); err != nil {
			return err
		}
		if filepath.IsAbs(h.Linkname) || !filepath.IsLocal(filepath.Join(filepath.Dir(path), h.Linkname)) {
			return fail.New(fail.Invalid, "the link %s leads out of the folder, to %s", path, h.Linkname).Then("remove it, or name it in .dockerignore")
		}
		p.files++
		return tw.WriteHeader(h)
	case !info.Mode().IsRegular():
		return nil
	}
	if info.Mode()&0o111 != 0 {
		h.Mode = 0o755
	}
	f, err := root.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	h.Typeflag, h.Size = tar.TypeReg, info.Size()
	if err := tw.WriteHeader(h); err != nil {
		return err
	}
	n, err := io.CopyN(tw, f, h.Size)
	if err == io.EOF {
		return fail.New(fail.Conflict, "%s became shorter while it was packed", path).Then("try again")
	}
	p.files, p.size = p.files+1, p.size+n
	return err
}

// nameOf makes an app's name from a folder's.
func nameOf(dir string) string {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return ""
	}
	var b strings.Builder
	for _, r := range strings.ToLower(filepath.Base(abs)) {
		switch {
		case r >= 'a' && r <= 'z' || r >= '0' && r <= '9' && b.Len() > 0:
			b.WriteRune(r)
		case b.Len() > 0 && !strings.HasSuffix(b.String(), "-"):
			b.WriteByte('-')
		}
	}
	name := b.String()
	return strings.Trim(name[:min(len(name), 63)], "-")
}
