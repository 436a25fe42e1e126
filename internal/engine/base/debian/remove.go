package debian

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/awancloud/awan/internal/kernel/fail"
)

// Remove deletes a folder in which a root was made. What is still mounted below it belongs to this machine (its /dev, say), so
// it is taken away first, and nothing is deleted while anything is left.
func Remove(dir string) error {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	if real, err := filepath.EvalSymlinks(abs); err == nil { // mounts are told by their real paths
		abs = real
	}
	points, err := mounted(abs)
	if err != nil {
		return err
	}
	slices.Reverse(points) // the newest first: what is mounted on others goes before them
	for _, p := range points {
		if err := unix.Unmount(p, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil {
			return fail.New(fail.Conflict, "%s is mounted and cannot be let go", p).Then("unmount it, then try again").Because(err)
		}
	}
	if left, err := mounted(abs); err != nil || len(left) > 0 {
		return fail.New(fail.Conflict, "something is mounted below %s", abs).Then("unmount it, then try again").Because(err)
	}
	return os.RemoveAll(abs)
}

// mounted lists what is mounted on dir or below it, in the order in which it was mounted.
func mounted(dir string) (out []string, err error) {
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) < 5 {
			continue
		}
		p := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(f[4])
		if p == dir || strings.HasPrefix(p, dir+"/") {
			out = append(out, p)
		}
	}
	return out, nil
}
