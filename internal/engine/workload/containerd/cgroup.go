package containerd

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/awancloud/awan/internal/kernel/fail"
)

// cgroups reads and kills by control group, version 1, version 2 or both mixed.
type cgroups struct {
	parent string            // "/awan-KEY"
	v1     map[string]string // controller -> where it is mounted
	v2     string            // where the unified tree is mounted; may be empty
}

func findCgroups(key string) (*cgroups, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	c := parseCgroups(bufio.NewScanner(f))
	c.parent = "/awan-" + key
	if c.v1["memory"] == "" && c.v2 == "" {
		return nil, fail.New(fail.Unsupported, "this machine has no control groups").Then("mount cgroup2 at /sys/fs/cgroup")
	}
	return c, nil
}

func parseCgroups(s *bufio.Scanner) *cgroups {
	c := &cgroups{v1: map[string]string{}}
	for s.Scan() {
		left, right, ok := strings.Cut(s.Text(), " - ")
		fields, tail := strings.Fields(left), strings.Fields(right)
		if !ok || len(fields) < 5 || len(tail) < 3 {
			continue
		}
		switch tail[0] {
		case "cgroup2":
			c.v2 = fields[4]
		case "cgroup":
			for _, o := range strings.Split(tail[2], ",") {
				c.v1[o] = fields[4]
			}
		}
	}
	return c
}

// unified tells whether limits are set by version 2.
func (c *cgroups) unified() bool { return c.v1["memory"] == "" }

// dir is a group's directory for a controller of version 1, or in the unified tree.
func (c *cgroups) dir(controller, group string) string {
	if c.unified() {
		return filepath.Join(c.v2, c.parent, group)
	}
	return filepath.Join(c.v1[controller], c.parent, group)
}

// dirs lists the group's directories in every tree.
func (c *cgroups) dirs(group string) []string {
	seen := map[string]bool{}
	var out []string
	add := func(mount string) {
		if mount != "" && !seen[mount] {
			seen[mount] = true
			out = append(out, filepath.Join(mount, c.parent, group))
		}
	}
	for _, m := range c.v1 {
		add(m)
	}
	add(c.v2)
	return out
}

// join moves a process out of the cloud's own groups, so that stopping those does not stop it.
func (c *cgroups) join(group string, pid int) error {
	mounts := []string{c.v2, c.v1["memory"], c.v1["pids"], c.v1["cpu"], c.v1["name=systemd"]}
	for _, m := range mounts {
		if m == "" {
			continue
		}
		dir := filepath.Join(m, c.parent, group)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0o644); err != nil && !errors.Is(err, unix.ESRCH) {
			return err
		}
	}
	return nil
}

// usage reads CPU time, working set and number of processes of a group; what cannot be read is 0.
func (c *cgroups) usage(group string) (cpu time.Duration, memory, pids int64) {
	if c.unified() {
		dir := c.dir("", group)
		cpu = time.Duration(field(filepath.Join(dir, "cpu.stat"), "usage_usec")) * time.Microsecond
		memory = number(filepath.Join(dir, "memory.current")) - field(filepath.Join(dir, "memory.stat"), "inactive_file")
		return cpu, max(0, memory), number(filepath.Join(dir, "pids.current"))
	}
	mem := c.dir("memory", group)
	memory = number(filepath.Join(mem, "memory.usage_in_bytes")) - field(filepath.Join(mem, "memory.stat"), "total_inactive_file")
	return time.Duration(number(filepath.Join(c.dir("cpuacct", group), "cpuacct.usage"))), max(0, memory),
		number(filepath.Join(c.dir("pids", group), "pids.current"))
}

// oomKills counts the processes of a group that were killed at its memory limit.
func (c *cgroups) oomKills(group string) int64 {
	if c.unified() {
		return field(filepath.Join(c.dir("", group), "memory.events"), "oom_kill")
	}
	return field(filepath.Join(c.dir("memory", group), "memory.oom_control"), "oom_kill")
}

// pidsOf lists the processes of a group.
func (c *cgroups) pidsOf(group string) []int {
	b, err := os.ReadFile(filepath.Join(c.dir("pids", group), "cgroup.procs"))
	if err != nil {
		return nil
	}
	var out []int
	for _, s := range strings.Fields(string(b)) {
		if pid, err := strconv.Atoi(s); err == nil && pid > 1 {
			out = append(out, pid)
		}
	}
	return out
}

// clear kills what is in a group and removes it from every tree. It waits for the dead to leave, up to a second.
func (c *cgroups) clear(group string) error {
	for end := time.Now().Add(time.Second); ; {
		pids := c.pidsOf(group)
		for _, pid := range pids {
			_ = unix.Kill(pid, unix.SIGKILL)
		}
		if len(pids) == 0 || time.Now().After(end) {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	var errs []error
	for _, d := range c.dirs(group) {
		if err := removeTree(d); err != nil {
			errs = append(errs, fmt.Errorf("remove %s: %w", d, err))
		}
	}
	return errors.Join(errs...)
}

// removeTree removes a group and those inside it: directories only, their files are the kernel's.
func removeTree(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.IsDir() {
			if err := removeTree(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	for end := time.Now().Add(time.Second); ; {
		err = unix.Rmdir(dir)
		if !errors.Is(err, unix.EBUSY) || time.Now().After(end) {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	return err
}

func number(path string) int64 {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	v, _ := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
	return v
}

// field reads "name value" from a file of such lines.
func field(path, name string) int64 {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if k, v, ok := strings.Cut(strings.TrimSpace(line), " "); ok && k == name {
			n, _ := strconv.ParseInt(strings.TrimSpace(v), 10, 64)
			return n
		}
	}
	return 0
}
