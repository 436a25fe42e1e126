package build

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"

	"github.com/awancloud/awan/internal/kernel/fail"
)

// unwanted is left out of every source unless its .dockerignore brings it back with "!": what is made from the source,
// and what must not leave the machine.
func unwanted() []string {
	return []string{"**/.git", "**/node_modules", "**/.venv", "**/__pycache__", "**/.terraform", "**/.DS_Store", "**/.idea", "**/.env"}
}

// Packed tells what went into an archive.
type Packed struct {
	Files   int
	Bytes   int64    // of the files
	Archive int64    // of the archive
	Skipped []string // what was left out because of what it is: sockets, devices
}

// Pack writes the sources under dir as a tar.gz: without what .dockerignore names and what nobody wants uploaded, in
// the order of names, and without times and owners, so that the same sources give the same archive.
func Pack(dir string, w io.Writer) (Packed, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return Packed{}, fail.New(fail.NotFound, "there is no folder %s", dir).Because(err)
	}
	defer root.Close()
	ignore, err := ignored(root)
	if err != nil {
		return Packed{}, err
	}
	out := &written{w: w}
	z, err := gzip.NewWriterLevel(out, gzip.BestSpeed)
	if err != nil {
		return Packed{}, fail.Wrap(err, fail.Internal, "packing the source")
	}
	p := &packer{root: root, ignore: ignore, tar: tar.NewWriter(z)}
	if err := fs.WalkDir(root.FS(), ".", p.visit); err != nil {
		var known *fail.Error
		if errors.As(err, &known) {
			return Packed{}, known
		}
		return Packed{}, fail.New(fail.Invalid, "the source cannot be read: %s", err).Because(err)
	}
	if err := errors.Join(p.tar.Close(), z.Close()); err != nil {
		return Packed{}, fail.Wrap(err, fail.Unavailable, "sending the source")
	}
	p.done.Archive = out.n
	return p.done, nil
}

func ignored(root *os.Root) (*patternmatcher.PatternMatcher, error) {
	patterns := unwanted()
	f, err := root.Open(".dockerignore")
	switch {
	case err == nil:
		defer f.Close()
		own, err := ignorefile.ReadAll(f)
		if err != nil {
			return nil, fail.New(fail.Invalid, ".dockerignore cannot be read").Because(err)
		}
		patterns = append(patterns, own...)
	case !errors.Is(err, fs.ErrNotExist):
		return nil, fail.New(fail.Invalid, ".dockerignore cannot be read").Because(err)
	}
	// The build needs these two whatever the file says; the builder drops them from what COPY sees.
	patterns = append(patterns, "!Dockerfile", "!.dockerignore")
	m, err := patternmatcher.New(patterns)
	if err != nil {
		return nil, fail.New(fail.Invalid, ".dockerignore has a pattern that cannot be understood: %s", err)
	}
	return m, nil
}

type written struct {
	w io.Writer
	n int64
}

func (w *written) Write(b []byte) (int, error) {
	n, err := w.w.Write(b)
	w.n += int64(n)
	return n, err
}

type packer struct {
	root   *os.Root
	ignore *patternmatcher.PatternMatcher
	tar    *tar.Writer
	done   Packed
}

func (p *packer) visit(name string, d fs.DirEntry, err error) error {
	if err != nil || name == "." {
		return err
	}
	out, err := p.ignore.MatchesOrParentMatches(name)
	if err != nil {
		return err
	}
	if out {
		if d.IsDir() && !p.within(name) {
			return fs.SkipDir
		}
		return nil
	}
	info, err := d.Info()
	if err != nil {
		return err
	}
	h := &tar.Header{Name: name, Mode: 0o644, Format: tar.FormatPAX}
	switch {
	case d.IsDir():
		h.Typeflag, h.Name, h.Mode = tar.TypeDir, name+"/", 0o755
	case info.Mode().IsRegular():
		h.Typeflag, h.Size = tar.TypeReg, info.Size()
		if info.Mode()&0o111 != 0 {
			h.Mode = 0o755
		}
	case info.Mode()&fs.ModeSymlink != 0:
		h.Typeflag = tar.TypeSymlink
		if h.Linkname, err = p.root.Readlink(name); err != nil {
			return err
		}
		if path.IsAbs(h.Linkname) || !filepath.IsLocal(path.Join(path.Dir(name), h.Linkname)) {
			return leadsOut(name, h.Linkname)
		}
	default:
		p.done.Skipped = append(p.done.Skipped, name)
		return nil
	}
	if err := p.tar.WriteHeader(h); err != nil {
		return err
	}
	p.done.Files++
	if h.Typeflag != tar.TypeReg {
		return nil
	}
	f, err := p.root.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	n, err := io.CopyN(p.tar, f, h.Size)
	p.done.Bytes += n
	if errors.Is(err, io.EOF) {
		return fail.New(fail.Conflict, "%s changed while it was read", name).Then("try again")
	}
	return err
}

// within tells whether a pattern with "!" may bring something in a folder back.
func (p *packer) within(folder string) bool {
	return slices.ContainsFunc(p.ignore.Patterns(), func(q *patternmatcher.Pattern) bool {
		return q.Exclusion() && (strings.HasPrefix(q.String(), folder+"/") || strings.ContainsAny(q.String(), "*?["))
	})
}

func isFull(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) }
