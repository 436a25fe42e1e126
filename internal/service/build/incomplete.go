package build

import (
	"io/fs"
	"regexp"
	"strings"
)

var modulePath = regexp.MustCompile(`(?m)^\s*path\s*=\s*(\S.*?)\s*$`)

// emptySubmodules lists the submodules that a source names and does not hold.
func emptySubmodules(source fs.FS) (out []string) {
	text, err := readSome(source, ".gitmodules")
	if err != nil {
		return nil
	}
	for _, m := range modulePath.FindAllStringSubmatch(text, -1) {
		if in, err := fs.ReadDir(source, m[1]); err != nil || len(in) == 0 {
			out = append(out, m[1])
		}
	}
	return out
}

const lfsPointer = "version https://git-lfs.github.com/spec/v1"

// lfsPointers counts the files that are pointers of Git LFS, in a source that uses it.
func lfsPointers(source fs.FS) (n int) {
	if attributes, _ := readSome(source, ".gitattributes"); !strings.Contains(attributes, "filter=lfs") {
		return 0
	}
	_ = fs.WalkDir(source, ".", func(p string, d fs.DirEntry, err error) error { // a file that cannot be read is no pointer
		if err != nil || !d.Type().IsRegular() {
			return nil
		}
		if i, err := d.Info(); err == nil && i.Size() <= 1024 {
			if b, err := fs.ReadFile(source, p); err == nil && strings.HasPrefix(string(b), lfsPointer) {
				n++
			}
		}
		return nil
	})
	return n
}
