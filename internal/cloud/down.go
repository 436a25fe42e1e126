package cloud

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/awancloud/awan/internal/cli"
	"github.com/awancloud/awan/internal/engine/fabric/linux"
	"github.com/awancloud/awan/internal/engine/machine/qemu"
	"github.com/awancloud/awan/internal/engine/workload/containerd"
	"github.com/awancloud/awan/internal/kernel/fail"
)

// pidFile names the process that serves a data folder, for awan down.
const pidFile = "pid"

func (c *Cloud) writePid() error {
	if err := os.WriteFile(c.path(pidFile), []byte(strconv.Itoa(os.Getpid())+"\n"), 0o644); err != nil {
		return fail.Wrap(err, fail.NoSpace, "the data folder cannot be written")
	}
	c.closing(func() error { return os.Remove(c.path(pidFile)) })
	return nil
}

// down stops the cloud that serves a data folder, and, when asked, takes what it runs off this machine.
func down(ctx context.Context, o cli.DownOptions) error {
	if _, err := os.Stat(filepath.Join(o.Data, "instance")); err != nil {
		return fail.New(fail.NotFound, "%s is no cloud's data folder", o.Data).Then("name it with --data DIR")
	}
	pid, err := runningPid(o.Data)
	if err != nil {
		return err
	}
	if pid != 0 {
		if err := syscall.Kill(pid, syscall.SIGTERM); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fail.Wrap(err, fail.Denied, "process %d cannot be told to stop", pid).Then("do it as the user who started the cloud")
		}
		for syscall.Kill(pid, 0) == nil {
			select {
			case <-ctx.Done():
				return fail.Wrap(ctx.Err(), fail.Timeout, "process %d still runs", pid)
			case <-time.After(50 * time.Millisecond):
			}
		}
	}
	if !o.Purge {
		return nil
	}
	key, err := instanceKey(filepath.Join(o.Data, "instance"))
	if err != nil {
		return err
	}
	return errors.Join(qemu.Purge(ctx, filepath.Join(o.Data, "machines"), key), linux.Purge(ctx, key, ""), dropPublic(claims, key), containerd.Purge(ctx, filepath.Join(o.Data, "engine"), key))
}

// runningPid gives the process that serves the folder; 0 when none does.
func runningPid(data string) (int, error) {
	b, err := os.ReadFile(filepath.Join(data, pidFile))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fail.Wrap(err, fail.Denied, "the data folder %s cannot be read", data)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		return 0, nil
	}
	command, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline")
	if err != nil || !strings.Contains(string(command), "\x00up\x00") {
		return 0, nil // it was killed, and the number is free or somebody else's
	}
	return pid, nil
}
