package debian

import (
	"archive/tar"
	"archive/zip"
	"compress/gzip"
	"context"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/mod/sumdb/dirhash"
	"golang.org/x/sys/unix"

	"github.com/awancloud/awan/internal/kernel/fail"
)

// goToolchain puts a Go toolchain into root/usr/local/go, and a cache of compiled packages beside it. It comes as the
// module golang.org/toolchain, which the machine's go command fetches as its own settings say.
func (b *Bases) goToolchain(ctx context.Context, t toolchain, root, work string, log func(string)) ([]string, error) {
	sum, known := t.Sums[architecture()]
	if !known {
		return nil, fail.New(fail.Unsupported, "no checksum is known for %s", architecture())
	}
	if _, err := exec.LookPath("go"); err != nil {
		return nil, fail.New(fail.Unsupported, "the go command is not installed here").Because(err)
	}
	version := "v0.0.1-go" + t.Version + ".linux-" + architecture()
	log("downloading the Go toolchain " + t.Version)
	cache := filepath.Join(work, "modules")
	c := exec.CommandContext(ctx, "go", "mod", "download", "-json", "golang.org/toolchain@"+version)
	c.Dir = work
	c.Env = append(os.Environ(), "GOMODCACHE="+cache, "GOFLAGS=-modcacherw", "GOTOOLCHAIN=local", "GOWORK=off")
	out, err := c.Output()
	var got struct{ Zip, Error string }
	if jsonErr := json.Unmarshal(out, &got); err != nil || jsonErr != nil || got.Zip == "" {
		return nil, fail.New(fail.Unavailable, "the module proxy did not give Go %s", t.Version).
			Because(errors.Join(err, jsonErr, errors.New(got.Error)))
	}
	// The go command has asked the sum database, unless the machine's owner switched that off.
	if h, err := dirhash.HashZip(got.Zip, dirhash.Hash1); err != nil || h != sum {
		return nil, fail.New(fail.Invalid, "the Go toolchain's checksum is not the known one").Because(fmt.Errorf("%s, want %s: %w", h, sum, err))
	}
	to := filepath.Join(root, "usr/local/go")
	if err := unzipToolchain(got.Zip, "golang.org/toolchain@"+version+"/", to); err != nil {
		return nil, fail.Wrap(err, fail.NoSpace, "unpacking the Go toolchain")
	}
	if err := os.RemoveAll(cache); err != nil {
		return nil, fail.Wrap(err, fail.NoSpace, "removing the Go toolchain's download")
	}
	if err := os.MkdirAll(filepath.Join(root, "go"), 0o755); err != nil {
		return nil, fail.Wrap(err, fail.NoSpace, "making the base image go")
	}
	if len(t.Warm) > 0 {
		log("compiling Go's standard packages in advance")
		if err := warm(ctx, root, t.Warm, log); err != nil {
			return nil, fail.Wrap(err, fail.Internal, "compiling Go's standard packages")
		}
	}
	return []string{"golang.org/toolchain " + version + " " + sum}, nil
}

// warm compiles packages into a cache that builds start from, with the toolchain at the path it will have. The
// toolchain needs no other file, so this waits for no base.
func warm(ctx context.Context, root string, names []string, log func(string)) error {
	tmp, dev, cache := filepath.Join(root, "tmp"), filepath.Join(root, "dev"), filepath.Join(root, "usr/local/go-cache")
	for _, d := range []string{tmp, dev, cache} {
		if err := os.Mkdir(d, 0o755); err != nil {
			return err
		}
	}
	defer os.RemoveAll(tmp)
	defer os.RemoveAll(dev)
	if err := unix.Mknod(filepath.Join(dev, "null"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))); err != nil {
		return err
	}
	c := &exec.Cmd{Path: "/usr/local/go/bin/go", Args: append([]string{"go", "build"}, names...), Dir: "/tmp",
		Env: []string{"GOROOT=/usr/local/go", "GOCACHE=/usr/local/go-cache", "GOPATH=/tmp/go", "HOME=/tmp", "TMPDIR=/tmp",
			"GOFLAGS=-trimpath -buildvcs=false", "CGO_ENABLED=0", "GOTOOLCHAIN=local", "GOTELEMETRY=off", "GO111MODULE=on"},
		SysProcAttr: &syscall.SysProcAttr{Chroot: root}}
	if err := supervise(ctx, log, c); err != nil {
		return err
	}
	// The official image lets every user write where Go keeps things, and so do we.
	return filepath.WalkDir(cache, func(p string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			err = os.Chmod(p, 0o777)
		}
		return err
	})
}

// unzipToolchain unpacks what a build needs: not the tools' own source and no tests.
func unzipToolchain(archive, prefix, to string) error {
	z, err := zip.OpenReader(archive)
	if err != nil {
		return err
	}
	defer z.Close()
	for _, f := range z.File {
		name := strings.TrimPrefix(f.Name, prefix)
		if strings.HasPrefix(name, "src/cmd/") || strings.HasSuffix(name, "_test.go") || strings.Contains(name, "/testdata/") ||
			!filepath.IsLocal(name) || strings.HasSuffix(name, "/") {
			continue
		}
		mode := fs.FileMode(0o644)
		if strings.HasPrefix(name, "bin/") || strings.HasPrefix(name, "pkg/tool/") {
			mode = 0o755
		}
		r, err := f.Open()
		if err != nil {
			return err
		}
		if err := errors.Join(write(filepath.Join(to, name), r, mode), r.Close()); err != nil {
			return err
		}
	}
	return nil
}

func write(p string, r io.Reader, mode fs.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(p, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	return errors.Join(err, f.Close())
}

// npmPackages puts packages from the npm registry into root. The machine's npm fetches them as its own settings say.
func (b *Bases) npmPackages(ctx context.Context, wanted []npmPackage, root, work string, log func(string)) ([]string, error) {
	if _, err := exec.LookPath("npm"); err != nil {
		return nil, fail.New(fail.Unsupported, "the npm command is not installed here").Because(err)
	}
	for _, p := range wanted {
		if p.Arch != "" && p.Arch != architecture() {
			return nil, fail.New(fail.Unsupported, "no package is known for %s", architecture())
		}
	}
	var sources []string
	for _, p := range wanted {
		log("downloading " + p.Name + " " + p.Version)
		dir := filepath.Join(work, "npm-"+p.Name)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fail.Wrap(err, fail.NoSpace, "downloading %s", p.Name)
		}
		c := exec.CommandContext(ctx, "npm", "pack", "--silent", "--ignore-scripts", p.Name+"@"+p.Version)
		c.Dir = dir
		out, err := c.Output()
		if err != nil {
			return nil, fail.New(fail.Unavailable, "the npm registry did not give %s %s", p.Name, p.Version).Because(err)
		}
		lines := strings.Fields(string(out))
		if len(lines) == 0 {
			return nil, fail.New(fail.Unavailable, "npm did not say where it put %s", p.Name)
		}
		archive := filepath.Join(dir, filepath.Base(lines[len(lines)-1]))
		if err := checkSum(archive, p.Sum); err != nil {
			return nil, err
		}
		if err := untar(archive, p.Files, root); err != nil {
			return nil, fail.Wrap(err, fail.NoSpace, "unpacking %s", p.Name)
		}
		sources = append(sources, "npm:"+p.Name+" "+p.Version+" "+p.Sum)
	}
	return sources, nil
}

// checkSum compares a file with a subresource integrity string: "sha512-" and base64.
func checkSum(p, want string) error {
	f, err := os.Open(p)
	if err != nil {
		return fail.Wrap(err, fail.Internal, "checking a download")
	}
	defer f.Close()
	h := sha512.New()
	if _, err := io.Copy(h, f); err != nil {
		return fail.Wrap(err, fail.Internal, "checking a download")
	}
	if got := "sha512-" + base64.StdEncoding.EncodeToString(h.Sum(nil)); got != want {
		return fail.New(fail.Invalid, "the checksum of %s is not the known one", filepath.Base(p)).Because(fmt.Errorf("%s, want %s", got, want))
	}
	return nil
}

// untar unpacks the files of an npm package that places names: path inside to path in root; "" is everything.
func untar(archive string, places map[string]string, root string) error {
	f, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return err
	}
	r := tar.NewReader(z)
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		_, name, _ := strings.Cut(path.Clean(h.Name), "/") // the first part is "package"
		to, ok := places[name]
		if all, any := places[""]; any && !ok {
			to, ok = path.Join(all, name), true
		}
		if !ok || h.Typeflag != tar.TypeReg || !filepath.IsLocal(name) {
			continue
		}
		if err := write(filepath.Join(root, to), r, fs.FileMode(h.Mode).Perm()|0o644); err != nil {
			return err
		}
	}
}
