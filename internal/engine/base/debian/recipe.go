package debian

import (
	"io/fs"
	"path"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/awancloud/awan/internal/kernel/fail"
)

// recipe is one file of catalog/bases.
type recipe struct {
	Name     string
	About    string
	From     string   // the base below this one; "" is the root, made by the bootstrap
	Scratch  bool     // the image begins empty and gets what Keep names of Debs, without a package manager
	Debs     []string // Debian packages that are unpacked, not installed
	Keep     []string // paths in them that are kept
	Variant  string   // the bootstrap's package set, for a root
	Packages []string // Debian packages
	Fallback []string // Debian packages instead of Go or Npm where those cannot be had
	Go       *toolchain
	Npm      []npmPackage
	Files    map[string]file
	Links    map[string]string // link to target
	Else     string            // the base that takes this one's place where Go cannot be had, for Scratch
	Busybox  bool              // /bin holds busybox's commands
	Env      map[string]string
	Ports    []int
	User     string
	Workdir  string
	Command  []string

	text []byte // what it was read from: part of the key of a made base
}

type toolchain struct {
	Version string
	Sums    map[string]string // architecture to the module's h1: sum
	Warm    []string          // packages to compile in advance
}

type npmPackage struct {
	Name, Version, Sum string
	Arch               string            // needed on this architecture only; "" is all
	Files              map[string]string // path inside the package to where it goes; "" is all of it
}

type file struct {
	Mode fs.FileMode
	Text string
}

// read reads every recipe of the catalogue's bases folder.
func read(catalog fs.FS) (map[string]recipe, error) {
	entries, err := fs.ReadDir(catalog, "bases")
	if err != nil {
		return nil, fail.Wrap(err, fail.Internal, "the catalogue has no bases")
	}
	out := map[string]recipe{}
	for _, e := range entries {
		text, err := fs.ReadFile(catalog, path.Join("bases", e.Name()))
		if err != nil {
			return nil, fail.Wrap(err, fail.Internal, "reading the catalogue's base %s", e.Name())
		}
		var r recipe
		decoder := yaml.NewDecoder(strings.NewReader(string(text)))
		decoder.KnownFields(true)
		if err := decoder.Decode(&r); err != nil {
			return nil, fail.New(fail.Invalid, "the catalogue's base %s cannot be read", e.Name()).Because(err)
		}
		if r.Name+".yaml" != e.Name() {
			return nil, fail.New(fail.Invalid, "the catalogue's base %s says its name is %q", e.Name(), r.Name)
		}
		r.text = text
		out[r.Name] = r
	}
	for _, r := range out {
		for _, other := range []string{r.From, r.Else} {
			if _, known := out[other]; other != "" && !known {
				return nil, fail.New(fail.Invalid, "the catalogue's base %s names %s, which there is not", r.Name, other)
			}
		}
	}
	return out, nil
}
