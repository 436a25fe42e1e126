package cgroup

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Limits of a group; 0 is none.
type Limits struct {
	MilliCPU    int64
	MemoryBytes int64
	Pids        int64
	Shares      int64 // of the processors when all are busy, beside others' 1024
}

// Make makes a group with its limits, or changes them.
func (c *Groups) Make(group string, l Limits) error {
	for _, d := range c.Dirs(group) {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return err
		}
	}
	if c.Unified() {
		if err := c.delegate(); err != nil {
			return err
		}
		dir := c.Dir("", group)
		weight := "100"
		if l.Shares > 0 {
			weight = strconv.FormatInt(min(10000, max(1, l.Shares*100/1024)), 10)
		}
		return errors.Join(set(dir, "cpu.weight", weight), set(dir, "cpu.max", orMax(l.MilliCPU*100)+" 100000"), set(dir, "memory.max", orMax(l.MemoryBytes)),
			set(dir, "pids.max", orMax(l.Pids)))
	}
	quota, memory, shares := "-1", "-1", "1024"
	if l.Shares > 0 {
		shares = strconv.FormatInt(max(2, l.Shares), 10)
	}
	if l.MilliCPU > 0 {
		quota = strconv.FormatInt(l.MilliCPU*100, 10)
	}
	if l.MemoryBytes > 0 {
		memory = strconv.FormatInt(l.MemoryBytes, 10)
	}
	return errors.Join(set(c.Dir("cpu", group), "cpu.shares", shares), set(c.Dir("cpu", group), "cpu.cfs_period_us", "100000"), set(c.Dir("cpu", group), "cpu.cfs_quota_us", quota),
		set(c.Dir("memory", group), "memory.limit_in_bytes", memory), set(c.Dir("pids", group), "pids.max", orMax(l.Pids)))
}

func orMax(v int64) string {
	if v <= 0 {
		return "max"
	}
	return strconv.FormatInt(v, 10)
}

func set(dir, file, value string) error {
	if err := os.WriteFile(filepath.Join(dir, file), []byte(value), 0o644); err != nil {
		return fmt.Errorf("set %s to %s: %w", file, value, err)
	}
	return nil
}

// delegate lets groups below the cloud's own have controllers (version 2).
func (c *Groups) delegate() error {
	for _, dir := range []string{c.V2, filepath.Join(c.V2, c.Parent)} {
		have, err := os.ReadFile(filepath.Join(dir, "cgroup.subtree_control"))
		if err != nil {
			return err
		}
		for _, controller := range []string{"cpu", "memory", "pids"} {
			if strings.Contains(" "+strings.TrimSpace(string(have))+" ", " "+controller+" ") {
				continue
			}
			if err := set(dir, "cgroup.subtree_control", "+"+controller); err != nil {
				return err
			}
		}
	}
	return nil
}

// Enter moves the calling thread, which must be locked, into a group of version 1, so that what it starts is in there from
// the first moment; where version 2 is mounted it gives the open folder for SysProcAttr.CgroupFD, else nil. Leave takes the
// thread out again, also from another root. The thread must end thereafter.
func (c *Groups) Enter(group string) (folder *os.File, leave func(), err error) {
	var outside []*os.File
	leave = func() {
		for _, f := range outside {
			_, _ = f.WriteString("0")
			_ = f.Close()
		}
	}
	done := map[string]bool{"": true}
	for _, m := range c.V1 {
		if done[m] {
			continue
		}
		done[m] = true
		out, err := os.OpenFile(filepath.Join(m, "tasks"), os.O_WRONLY, 0)
		if err != nil {
			return nil, leave, err
		}
		outside = append(outside, out)
		if err := c.seed(m, group); err != nil {
			return nil, leave, err
		}
		if err := set(filepath.Join(m, c.Parent, group), "tasks", strconv.Itoa(unix.Gettid())); err != nil {
			return nil, leave, err
		}
	}
	if c.V2 != "" {
		folder, err = os.OpenFile(filepath.Join(c.V2, c.Parent, group), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	}
	return folder, leave, err
}

// seed gives a group of the cpuset controller what its parent has: it takes nobody in before that.
func (c *Groups) seed(mount, group string) error {
	if mount != c.V1["cpuset"] {
		return nil
	}
	from := mount
	for _, part := range strings.Split(strings.Trim(filepath.Join(c.Parent, group), "/"), "/") {
		to := filepath.Join(from, part)
		for _, f := range []string{"cpuset.cpus", "cpuset.mems"} {
			if has, err := os.ReadFile(filepath.Join(to, f)); err != nil || strings.TrimSpace(string(has)) != "" {
				continue
			}
			v, err := os.ReadFile(filepath.Join(from, f))
			if err != nil {
				return err
			}
			if err := set(to, f, strings.TrimSpace(string(v))); err != nil {
				return err
			}
		}
		from = to
	}
	return nil
}

// Groups lists the cloud's groups whose name begins with prefix.
func (c *Groups) Groups(prefix string) []string {
	seen := map[string]bool{}
	var out []string
	for _, d := range c.Dirs("") {
		entries, _ := os.ReadDir(d)
		for _, e := range entries {
			if e.IsDir() && strings.HasPrefix(e.Name(), prefix) && !seen[e.Name()] {
				seen[e.Name()] = true
				out = append(out, e.Name())
			}
		}
	}
	return out
}
