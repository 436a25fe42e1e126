// Package cgroup limits, counts and kills by control group, version 1, version 2 or both mixed. Engines that start processes
// share it; it may import kernel/fail.
package cgroup

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

// Groups are the control groups of one cloud on this machine.
type Groups struct {
	Parent string            // "/awan-KEY"
	V1     map[string]string // controller -> where it is mounted
	V2     string            // where the unified tree is mounted; may be empty
}

// Find looks where control groups are mounted; key names the cloud.
func Find(key string) (*Groups, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	c := Parse(bufio.NewScanner(f))
	c.Parent = "/awan-" + key
	if c.V1["memory"] == "" && c.V2 == "" {
		return nil, fail.New(fail.Unsupported, "this machine has no control groups").Then("mount cgroup2 at /sys/fs/cgroup")
	}
	return c, nil
}

// Parse reads the mounts of /proc/self/mountinfo.
func Parse(s *bufio.Scanner) *Groups {
	c := &Groups{V1: map[string]string{}}
	for s.Scan() {
		left, right, ok := strings.Cut(s.Text(), " - ")
		fields, tail := strings.Fields(left), strings.Fields(right)
		if !ok || len(fields) < 5 || len(tail) < 3 {
			continue
		}
		switch tail[0] {
		case "cgroup2":
			c.V2 = fields[4]
		case "cgroup":
			for _, o := range strings.Split(tail[2], ",") {
				c.V1[o] = fields[4]
			}
		}
	}
	return c
}

// Unified tells whether limits are set by version 2.
func (c *Groups) Unified() bool { return c.V1["memory"] == "" }

// Dir is a group's directory for a controller of version 1, or in the unified tree.
func (c *Groups) Dir(controller, group string) string {
	if c.Unified() {
		return filepath.Join(c.V2, c.Parent, group)
	}
	return filepath.Join(c.V1[controller], c.Parent, group)
}

// Dirs lists the group's directories in every tree.
func (c *Groups) Dirs(group string) []string {
	seen := map[string]bool{}
	var out []string
	add := func(mount string) {
		if mount != "" && !seen[mount] {
			seen[mount] = true
			out = append(out, filepath.Join(mount, c.Parent, group))
		}
	}
	for _, m := range c.V1 {
		add(m)
	}
	add(c.V2)
	return out
}

// Join moves a process out of the cloud's own groups, so that stopping those does not stop it.
func (c *Groups) Join(group string, pid int) error {
	mounts := []string{c.V2, c.V1["memory"], c.V1["pids"], c.V1["cpu"], c.V1["name=systemd"]}
	for _, m := range mounts {
		if m == "" {
			continue
		}
		dir := filepath.Join(m, c.Parent, group)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0o644); err != nil && !errors.Is(err, unix.ESRCH) {
			return err
		}
	}
	return nil
}

// Usage reads CPU time, working set and number of processes of a group; what cannot be read is 0.
func (c *Groups) Usage(group string) (cpu time.Duration, memory, pids int64) {
	if c.Unified() {
		dir := c.Dir("", group)
		cpu = time.Duration(field(filepath.Join(dir, "cpu.stat"), "usage_usec")) * time.Microsecond
		memory = number(filepath.Join(dir, "memory.current")) - field(filepath.Join(dir, "memory.stat"), "inactive_file")
		return cpu, max(0, memory), number(filepath.Join(dir, "pids.current"))
	}
	mem := c.Dir("memory", group)
	memory = number(filepath.Join(mem, "memory.usage_in_bytes")) - field(filepath.Join(mem, "memory.stat"), "total_inactive_file")
	return time.Duration(number(filepath.Join(c.Dir("cpuacct", group), "cpuacct.usage"))), max(0, memory),
		number(filepath.Join(c.Dir("pids", group), "pids.current"))
}

// OOMKills counts the processes of a group that were killed at its memory limit.
func (c *Groups) OOMKills(group string) int64 {
	if c.Unified() {
		return field(filepath.Join(c.Dir("", group), "memory.events"), "oom_kill")
	}
	return field(filepath.Join(c.Dir("memory", group), "memory.oom_control"), "oom_kill")
}

// Pids lists the processes of a group, never ourselves.
func (c *Groups) Pids(group string) []int {
	b, err := os.ReadFile(filepath.Join(c.Dir("pids", group), "cgroup.procs"))
	if err != nil {
		return nil
	}
	var out []int
	for _, s := range strings.Fields(string(b)) {
		// We ourselves are listed while a thread of ours is in there to start something.
		if pid, err := strconv.Atoi(s); err == nil && pid > 1 && pid != os.Getpid() {
			out = append(out, pid)
		}
	}
	return out
}

// Clear kills what is in a group and removes it from every tree. It waits for the dead to leave, up to a second.
func (c *Groups) Clear(group string) error {
	for end := time.Now().Add(time.Second); ; {
		pids := c.Pids(group)
		for _, pid := range pids {
			_ = unix.Kill(pid, unix.SIGKILL)
		}
		if len(pids) == 0 || time.Now().After(end) {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	var errs []error
	for _, d := range c.Dirs(group) {
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

// ClearAll removes the cloud's whole control group, killing what is in it.
func (c *Groups) ClearAll() error {
	var errs []error
	for _, d := range c.Dirs("") {
		entries, err := os.ReadDir(d)
		if err != nil {
			continue
		}
		for _, g := range entries {
			if g.IsDir() {
				errs = append(errs, c.Clear(g.Name()))
			}
		}
		errs = append(errs, removeTree(d))
	}
	return errors.Join(errs...)
}
