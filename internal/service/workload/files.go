package workload

import (
	"path"
	"strings"

	"github.com/awancloud/awan/internal/kernel/fail"
)

// MaxFiles and MaxFileBytes bound the files of one instance, which are held in memory.
const (
	MaxFiles     = 200
	MaxFileBytes = 4 << 20
)

// Signals are those that Replace may send.
var Signals = []string{"HUP", "USR1", "USR2", "INT", "TERM", "WINCH"}

// CheckFiles refuses files that no engine could put into an instance.
func CheckFiles(files []File) error {
	if len(files) > MaxFiles {
		return fail.Field("files", "%d files are too many; the most is %d", len(files), MaxFiles)
	}
	size, seen := 0, map[string]bool{}
	for _, f := range files {
		if err := CheckPath(f.Path); err != nil {
			return err
		}
		if seen[f.Path] {
			return fail.Field("files", "two files have the path %s", f.Path)
		}
		if f.Mode&^0o777 != 0 {
			return fail.Field("files", "%o is not a mode of permissions", f.Mode)
		}
		seen[f.Path] = true
		size += len(f.Content)
	}
	for p := range seen {
		for up := path.Dir(p); up != "/"; up = path.Dir(up) {
			if seen[up] {
				return fail.Field("files", "%s cannot be a file and the folder of %s", up, p)
			}
		}
	}
	if size > MaxFileBytes {
		return fail.New(fail.TooLarge, "the files have %d bytes together; the most is %d", size, MaxFileBytes).Then("put large files into the image or a bucket")
	}
	return nil
}

// reserved are folders that the engines themselves fill.
var reserved = []string{"/proc", "/sys", "/dev", "/run/awan", "/run/awan-ca"}

// CheckPath refuses what is no plain absolute path of a file.
func CheckPath(p string) error {
	if !strings.HasPrefix(p, "/") || path.Clean(p) != p || p == "/" || strings.ContainsAny(p, "\x00\n") || len(p) > 1024 {
		return fail.Field("path", "%q is not a plain absolute path", p).Then("write /etc/app/settings.yaml, say")
	}
	if path.Dir(p) == "/run" {
		return fail.Field("path", "a file cannot lie in /run itself").Then("choose a folder of it: /run/secrets/%s", path.Base(p))
	}
	for _, r := range reserved {
		if p == r || strings.HasPrefix(p, r+"/") {
			return fail.Field("path", "%s is the system's own", r)
		}
	}
	return nil
}
