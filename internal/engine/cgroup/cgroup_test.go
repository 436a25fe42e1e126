package cgroup_test

import (
	"bufio"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/awancloud/awan/internal/engine/cgroup"
)

func TestCgroupMounts(t *testing.T) {
	const hybrid = `30 25 0:26 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory
31 25 0:27 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
32 25 0:28 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
`
	c := cgroup.Parse(bufio.NewScanner(strings.NewReader(hybrid)))
	if c.Unified() || c.V1["cpuacct"] != "/sys/fs/cgroup/cpu,cpuacct" || c.V2 != "/sys/fs/cgroup/unified" {
		t.Errorf("hybrid: %+v", c)
	}
	c = cgroup.Parse(bufio.NewScanner(strings.NewReader("30 25 0:26 / /sys/fs/cgroup rw shared:9 - cgroup2 cgroup2 rw,nsdelegate\n")))
	if !c.Unified() || c.V2 != "/sys/fs/cgroup" {
		t.Errorf("unified: %+v", c)
	}
}

// Version 2 cannot be had on every test machine, but its files are only files.
func TestCgroupVersion2IsRead(t *testing.T) {
	root := t.TempDir()
	c := &cgroup.Groups{Parent: "/awan-k", V1: map[string]string{}, V2: root}
	dir := filepath.Join(root, "awan-k", "i")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"cpu.stat": "usage_usec 1500000\nuser_usec 1\n", "memory.current": "5000000\n", "memory.stat": "anon 1\ninactive_file 1000000\n",
		"pids.current": "7\n", "memory.events": "low 0\noom 2\noom_kill 2\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cpu, mem, pids := c.Usage("i")
	if cpu != 1500*time.Millisecond || mem != 4000000 || pids != 7 || c.OOMKills("i") != 2 {
		t.Errorf("cpu %v, memory %d, pids %d, kills %d", cpu, mem, pids, c.OOMKills("i"))
	}
}
