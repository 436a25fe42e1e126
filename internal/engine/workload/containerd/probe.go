package containerd

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/awancloud/awan/internal/engine/workload/containerd/shim"
	"github.com/awancloud/awan/internal/service/workload"
)

func shimPath(dir string) string { return filepath.Join(dir, "bin", shim.Name) }

// probe finds out what this machine can do.
func (e *Engine) probe() []workload.Feature {
	var out []workload.Feature
	add := func(name, reason string) {
		out = append(out, workload.Feature{Name: name, OK: reason == "", Reason: reason})
	}
	controller := func(name, file string) string {
		if e.cg.Unified() {
			b, err := os.ReadFile(filepath.Join(e.cg.V2, "cgroup.controllers"))
			if err != nil || !strings.Contains(" "+strings.TrimSpace(string(b))+" ", " "+name+" ") {
				return "the control group controller " + name + " is not there"
			}
			return ""
		}
		if m := e.cg.V1[name]; m == "" {
			return "the control group controller " + name + " is not mounted"
		} else if _, err := os.Stat(filepath.Join(m, file)); err != nil {
			return "the kernel has no " + file
		}
		return ""
	}
	add("memory limit", controller("memory", "memory.limit_in_bytes"))
	if e.cg.Unified() {
		add("swap limit", "") // runc leaves it out where the kernel has none
	} else {
		add("swap limit", controller("memory", "memory.memsw.limit_in_bytes"))
	}
	add("cpu limit", controller("cpu", "cpu.cfs_quota_us"))
	add("pids limit", controller("pids", "cgroup.procs"))
	reason := ""
	if b, err := os.ReadFile("/proc/sys/user/max_user_namespaces"); err != nil || strings.TrimSpace(string(b)) == "0" {
		reason = "the kernel allows no user namespaces"
	} else if !newerThan(5, 19) {
		reason = "the kernel is older than 5.19 and cannot map the users of overlay mounts"
	}
	add("user namespace", reason)
	reason = ""
	if _, err := os.Stat("/proc/sys/kernel/seccomp"); err != nil {
		reason = "the kernel has no seccomp filters"
	}
	add("seccomp", reason)
	reason = ""
	if _, err := findTool("mkfs.ext4"); err != nil {
		reason = "mkfs.ext4 is missing: install the package e2fsprogs"
	} else if f, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0); err != nil {
		reason = "there are no loop devices"
	} else {
		f.Close()
	}
	add("layer quota", reason)
	add("network policy", "") // Open fails without it
	add("egress", e.net.Obstacle())
	reason = ""
	if !e.net.CountsConnections() {
		reason = "the kernel's nftables cannot count connections"
	}
	add("connection limit", reason)
	add("exec", "")
	add("logs while the cloud is away", "")
	return out
}

// can tells whether probe found an ability.
func (e *Engine) can(name string) bool {
	return slices.ContainsFunc(e.caps, func(f workload.Feature) bool { return f.Name == name && f.OK })
}

// newerThan tells whether the kernel is at least of this version.
func newerThan(major, minor int) bool {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return false
	}
	var a, b int
	_, _ = fmt.Sscanf(unix.ByteSliceToString(u.Release[:]), "%d.%d", &a, &b)
	return a > major || (a == major && b >= minor)
}

// unmountBelow unmounts everything at and below dir, the deepest first.
func unmountBelow(dir string) error {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	defer f.Close()
	var at []string
	for s := bufio.NewScanner(f); s.Scan(); {
		if fields := strings.Fields(s.Text()); len(fields) > 4 && (fields[4] == dir || strings.HasPrefix(fields[4], dir+"/")) {
			at = append(at, fields[4])
		}
	}
	var errs []error
	for i := len(at) - 1; i >= 0; i-- {
		if err := unix.Unmount(at[i], unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil && !errors.Is(err, unix.EINVAL) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
