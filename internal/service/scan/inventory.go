package scan

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/klauspost/compress/zstd"

	"github.com/awancloud/awan/internal/kernel/fail"
)

// Package is something installed in an image.
type Package struct {
	Eco           string `json:"eco"` // the ecosystem, as OSV names it: "Debian:12", "Go", "npm"
	Name          string `json:"name"`
	Version       string `json:"version"`
	Source        string `json:"source,omitempty"` // of a distribution: the source package, by which lists name it
	SourceVersion string `json:"source_version,omitempty"`
	Where         string `json:"where"`
}

// Inventory is what an image holds.
type Inventory struct {
	OS       string    `json:"os,omitempty"`
	Packages []Package `json:"packages"`
	Unread   []string  `json:"unread,omitempty"` // what tells of packages and could not be read
}

// Bounds of what is read of an image: an image is a stranger's.
const (
	maxText   = 64 << 20 // of one file that lists packages
	maxBinary = 512 << 20
	maxFiles  = 2_000_000
	maxTotal  = 64 << 30
)

// walker reads an image's layers from the top down: what an upper layer has or took away hides what is below.
type walker struct {
	ctx    context.Context
	dir    string
	seen   map[string]bool
	opaque []string // folders of which lower layers show nothing
	files  int
	out    *Inventory
	dpkg   []Package
	apk    []Package
	osRel  map[string]string
}

// hidden tells whether an upper layer has, hides or took away p.
func (w *walker) hidden(p string, opaque []string) bool {
	if w.seen[p] {
		return true
	}
	for dir := path.Dir(p); dir != "."; dir = path.Dir(dir) {
		if w.seen["\x00"+dir] || slices.Contains(opaque, dir) {
			return true
		}
	}
	return slices.Contains(opaque, ".")
}

// layer reads one layer's tar.
func (w *walker) layer(mediaType string, body io.Reader) error {
	r, err := uncompressed(mediaType, body)
	if err != nil {
		return err
	}
	t := tar.NewReader(io.LimitReader(r, maxTotal))
	below := slices.Clone(w.opaque)
	var gone []string
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fail.Wrap(err, fail.Invalid, "a layer is not a tar archive")
		}
		if w.files++; w.files > maxFiles {
			return fail.New(fail.TooLarge, "the image has more than %d files", maxFiles)
		}
		if err := w.ctx.Err(); err != nil {
			return err
		}
		p := strings.TrimPrefix(path.Clean("/"+h.Name), "/")
		base := path.Base(p)
		switch {
		case base == ".wh..wh..opq":
			below = append(below, path.Dir(p))
			continue
		case strings.HasPrefix(base, ".wh."):
			gone = append(gone, path.Join(path.Dir(p), strings.TrimPrefix(base, ".wh.")))
			continue
		}
		if w.hidden(p, w.opaque) {
			continue
		}
		if h.Typeflag != tar.TypeReg {
			if h.Typeflag != tar.TypeDir {
				w.seen[p] = true
			}
			continue
		}
		w.seen[p] = true
		if err := w.file(p, h, bufio.NewReaderSize(t, 64<<10)); err != nil {
			return err
		}
	}
	w.opaque = below
	for _, p := range gone {
		w.seen[p], w.seen["\x00"+p] = true, true
	}
	return nil
}

func uncompressed(mediaType string, body io.Reader) (io.Reader, error) {
	b := bufio.NewReaderSize(body, 64<<10)
	magic, _ := b.Peek(4)
	switch {
	case len(magic) >= 2 && magic[0] == 0x1f && magic[1] == 0x8b:
		return gzip.NewReader(b)
	case len(magic) == 4 && string(magic) == "\x28\xb5\x2f\xfd":
		d, err := zstd.NewReader(b, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(256<<20))
		if err != nil {
			return nil, err
		}
		return d.IOReadCloser(), nil
	case strings.Contains(mediaType, "encrypted"):
		return nil, fail.New(fail.Unsupported, "the image's layers are encrypted")
	}
	return b, nil
}

// finish gives the distribution's packages their ecosystem, which may stand in a layer below them.
func (w *walker) finish() {
	name, version := w.osRel["ID"], w.osRel["VERSION_ID"]
	w.out.OS = strings.TrimSpace(name + " " + version)
	eco := ""
	switch {
	case name == "debian" && version != "":
		eco = "Debian:" + version
	case name == "ubuntu" && version != "":
		eco = "Ubuntu:" + version
		if strings.Contains(w.osRel["VERSION"], "LTS") {
			eco += ":LTS"
		}
	case name == "alpine" && version != "":
		major, rest, _ := strings.Cut(version, ".")
		minor, _, _ := strings.Cut(rest, ".")
		eco = "Alpine:v" + major + "." + minor
	}
	for _, p := range append(w.dpkg, w.apk...) {
		p.Eco = eco
		if eco == "" {
			p.Eco = "unknown distribution"
		}
		w.out.Packages = append(w.out.Packages, p)
	}
	slices.SortFunc(w.out.Packages, func(a, b Package) int {
		return strings.Compare(a.Eco+"\x00"+a.Name+"\x00"+a.Version+"\x00"+a.Where, b.Eco+"\x00"+b.Name+"\x00"+b.Version+"\x00"+b.Where)
	})
	w.out.Packages = slices.CompactFunc(w.out.Packages, func(a, b Package) bool { return a == b })
	slices.Sort(w.out.Unread)
	w.out.Unread = slices.Compact(w.out.Unread)
}
