package buildkit

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/build"
	"github.com/awancloud/awan/internal/service/build/buildtest"
)

// victim is the part of TestKilled that is killed: it builds until then.
const victim = "AWAN_TEST_VICTIM"

// TestKilled kills a process that is building, in the middle of a step, and opens the engine again on what it left.
func TestKilled(t *testing.T) {
	if dir := os.Getenv(victim); dir != "" {
		e := open(t, func(o *Options) { o.Dir, o.Key, o.Run = dir, "tkill", filepath.Join("/run/awan-tkill", "build") })
		p := &buildtest.Progress{On: func(line string) { _, _ = os.Stdout.WriteString(line + "\n") }}
		_, err := e.Build(context.Background(), id.New(), build.Want{Project: "p1", Image: "p1/app", Context: t.TempDir(),
			Dockerfile: "FROM busybox\nRUN echo kept > /x\nRUN --mount=type=cache,target=/c echo begun; sleep 271828\n"}, p)
		t.Fatal(err)
	}
	busybox(t)
	if err := check(); err != nil {
		t.Skip(err)
	}
	dir, err := os.MkdirTemp("", "awan-build-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	for range 3 {
		c := exec.Command(os.Args[0], "-test.run=^TestKilled$")
		c.Env = append(os.Environ(), victim+"="+dir)
		out, err := c.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for lines.Scan() && !strings.Contains(lines.Text(), "begun") {
		}
		_ = c.Process.Kill()
		_ = c.Wait()
		e := open(t, func(o *Options) { o.Dir, o.Key, o.Run = dir, "tkill", filepath.Join("/run/awan-tkill", "build") })
		deadline := time.Now().Add(10 * time.Second)
		for tick := time.NewTicker(20 * time.Millisecond); running("271828"); <-tick.C {
			if time.Now().After(deadline) {
				t.Fatal("the step's process is still there")
			}
		}
		if groups, _ := filepath.Glob("/sys/fs/cgroup/*/awan-tkill/build-*"); len(groups) > 0 {
			t.Errorf("cgroups left: %v", groups)
		}
		p, r, err := try(t, e, "p1", "RUN echo kept > /x\nRUN cat /x")
		if err != nil || !strings.Contains(p.Text(), "kept") && r.Cached == 0 {
			t.Errorf("%v %+v\n%s", err, r, p.Text())
		}
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	}
}

// running tells whether a process has this argument.
func running(argument string) bool {
	all, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, p := range all {
		if text, err := os.ReadFile(p); err == nil && strings.Contains(string(text), "\x00"+argument) {
			return true
		}
	}
	return false
}
