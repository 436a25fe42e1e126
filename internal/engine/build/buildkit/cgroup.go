package buildkit

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/build"
)

// cgroup holds one build's limits over all its steps together: /awan-KEY/build-ID, in the unified tree where the
// machine has one (version 2), else in each controller's own (version 1). runc puts each step below it.
type cgroup struct {
	path string
	dirs []string // its folders, one for version 2
	two  bool
	seen atomic.Int64

	mu     sync.Mutex
	oom    int   // version 1: an event descriptor that counts out-of-memory kills; -1 is none
	before int64 // version 2: kills that were counted already
}

const cgroupRoot = "/sys/fs/cgroup"

func unified() bool {
	_, err := os.Stat(cgroupRoot + "/cgroup.controllers")
	return err == nil
}

// controllers are version 1's that limits need.
var controllers = [...]string{"cpu", "memory", "pids"}

func newCgroup(key string, build id.ID, l build.Limits) (*cgroup, error) {
	c := &cgroup{path: "/awan-" + key + "/build-" + string(build), two: unified(), oom: -1}
	err := c.make(l)
	if err != nil {
		c.remove()
		return nil, err
	}
	return c, nil
}

func (c *cgroup) make(l build.Limits) error {
	if c.two {
		return c.makeTwo(l)
	}
	memory := strconv.FormatInt(l.MemoryMiB<<20, 10)
	for _, controller := range controllers {
		dir := filepath.Join(cgroupRoot, controller, c.path)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("the %s controller: %w", controller, err)
		}
		c.dirs = append(c.dirs, dir)
	}
	dir := func(controller string) string { return filepath.Join(cgroupRoot, controller, c.path) }
	err := errors.Join(
		set(dir("cpu"), "cpu.cfs_period_us", "100000"),
		set(dir("cpu"), "cpu.cfs_quota_us", strconv.FormatInt(l.MilliCPU*100, 10)),
		set(dir("memory"), "memory.limit_in_bytes", memory),
		set(dir("pids"), "pids.max", strconv.FormatInt(l.Pids, 10)))
	if err != nil {
		return err
	}
	_ = set(dir("memory"), "memory.memsw.limit_in_bytes", memory) // absent where swap is not accounted
	return c.listen(dir("memory"))
}

// makeTwo needs the controllers passed down at every level above.
func (c *cgroup) makeTwo(l build.Limits) error {
	dir := filepath.Join(cgroupRoot, c.path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	c.dirs = []string{dir}
	for _, up := range []string{cgroupRoot, filepath.Dir(dir), dir} {
		if err := set(up, "cgroup.subtree_control", "+cpu +memory +pids"); err != nil {
			return err
		}
	}
	_ = set(dir, "memory.swap.max", "0") // absent where swap is not accounted
	return errors.Join(
		set(dir, "cpu.max", fmt.Sprintf("%d 100000", l.MilliCPU*100)),
		set(dir, "memory.max", strconv.FormatInt(l.MemoryMiB<<20, 10)),
		set(dir, "pids.max", strconv.FormatInt(l.Pids, 10)))
}

func set(dir, name, value string) error {
	return os.WriteFile(filepath.Join(dir, name), []byte(value), 0)
}

// listen asks version 1 to count kills for want of memory in this group and below: the groups of the steps, which have
// counters of their own, are gone by the time the answer is wanted.
func (c *cgroup) listen(dir string) error {
	control, err := os.Open(filepath.Join(dir, "memory.oom_control"))
	if err != nil {
		return err
	}
	defer control.Close()
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return err
	}
	if err := set(dir, "cgroup.event_control", fmt.Sprintf("%d %d", fd, control.Fd())); err != nil {
		unix.Close(fd)
		return err
	}
	c.oom = fd
	return nil
}

// killed tells whether a process was killed because the memory limit was reached, since it was last asked.
func (c *cgroup) killed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.two {
		n := counter(c.dirs[0], "memory.events", "oom_kill")
		more := n > c.before
		c.before = n
		return more
	}
	var count [8]byte
	n, err := unix.Read(c.oom, count[:])
	return err == nil && n == 8 // an eventfd that counted nothing has nothing to read
}

// refused tells how many processes were not started because of the limit on their number, as far as was seen. Version 1
// counts where the process would have been, in the group of the step, which is gone when the step is.
func (c *cgroup) refused() int64 {
	for _, d := range c.dirs {
		steps, _ := filepath.Glob(filepath.Join(d, "buildkit", "*", "pids.events"))
		for _, p := range append(steps, filepath.Join(d, "pids.events")) {
			if n := counter(filepath.Dir(p), "pids.events", "max"); n > c.seen.Load() {
				c.seen.Store(n)
			}
		}
	}
	return c.seen.Load()
}

// full tells whether there were ever as many processes as the limit allows (Linux 6.1 counts that) or one was refused.
func (c *cgroup) full(limit int64) bool {
	for _, d := range c.dirs {
		text, err := os.ReadFile(filepath.Join(d, "pids.peak"))
		if n, perr := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil && perr == nil && n >= limit {
			return true
		}
	}
	return c.refused() > 0
}

func counter(dir, name, key string) int64 {
	text, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) == 2 && f[0] == key {
			n, _ := strconv.ParseInt(f[1], 10, 64)
			return n
		}
	}
	return 0
}

// remove takes the group away, in every controller's tree that runc made it in.
func (c *cgroup) remove() {
	c.mu.Lock()
	if c.oom >= 0 {
		unix.Close(c.oom)
		c.oom = -1
	}
	c.mu.Unlock()
	removeCgroup(c.path)
}

func removeCgroup(path string) {
	roots := []string{cgroupRoot}
	if !unified() {
		roots, _ = filepath.Glob(filepath.Join(cgroupRoot, "*"))
	}
	for _, root := range roots {
		rmdirs(filepath.Join(root, path))
	}
}

// removeEmpty takes the cloud's own group away in every tree where nothing is in it.
func removeEmpty(key string) {
	for _, pattern := range []string{"/awan-" + key, "/*/awan-" + key} {
		dirs, _ := filepath.Glob(cgroupRoot + pattern)
		for _, d := range dirs {
			_ = unix.Rmdir(d)
		}
	}
}

// rmdirs removes a group with the groups below it; only folders can be removed there.
func rmdirs(dir string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		if e.IsDir() {
			rmdirs(filepath.Join(dir, e.Name()))
		}
	}
	_ = unix.Rmdir(dir)
}

// sweepCgroups removes the groups of builds that a killed process left, ending what still runs in them.
func sweepCgroups(key string) {
	for _, pattern := range []string{"/awan-" + key + "/build-*", "/*/awan-" + key + "/build-*"} {
		dirs, _ := filepath.Glob(cgroupRoot + pattern)
		for _, d := range dirs {
			killAll(d)
			rmdirs(d)
		}
	}
}

func killAll(dir string) {
	_ = filepath.WalkDir(dir, func(p string, e os.DirEntry, err error) error {
		if err != nil || !e.IsDir() {
			return nil
		}
		text, _ := os.ReadFile(filepath.Join(p, "cgroup.procs"))
		for _, f := range strings.Fields(string(text)) {
			if pid, err := strconv.Atoi(f); err == nil && pid > 1 {
				_ = unix.Kill(pid, unix.SIGKILL)
			}
		}
		return nil
	})
}
