package containerd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"time"

	taskapi "github.com/containerd/containerd/api/runtime/task/v3"
	runcoptions "github.com/containerd/containerd/api/types/runc/options"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"github.com/containerd/ttrpc"
	"github.com/containerd/typeurl/v2"
	"golang.org/x/sys/unix"

	"github.com/awancloud/awan/internal/engine/workload/containerd/shim"
	"github.com/awancloud/awan/internal/kernel/id"
)

// task is a running shim with its container, seen from here.
type task struct {
	id     id.ID
	shim   int                     // process id of the shim; 0 when not known yet
	pid    int                     // of the container's first process
	handle atomic.Pointer[os.File] // its pidfd, which is safe against reuse of the number; may be nil
	client *ttrpc.Client
	api    taskapi.TTRPCTaskService
}

func (t *task) close() {
	_ = t.client.Close()
	if fd := t.handle.Swap(nil); fd != nil {
		fd.Close()
	}
}

// hold notes the container's first process, which must be alive or a zombie of the shim's now.
func (t *task) hold(pid int) {
	t.pid = pid
	if fd, err := unix.PidfdOpen(pid, 0); err == nil {
		t.handle.Store(os.NewFile(uintptr(fd), "pidfd"))
	}
}

// launch writes the bundle, starts a shim on it and creates the container in it, not started yet.
func (e *Engine) launch(ctx context.Context, i id.ID, s *oci.Spec, owner uint32) (_ *task, err error) {
	bundle := e.paths.bundle(i)
	if err := os.RemoveAll(bundle); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Join(bundle, "work"), 0o710); err != nil {
		return nil, err
	}
	if err := errors.Join(os.Chown(bundle, -1, int(owner)), os.Chmod(bundle, 0o710)); err != nil {
		return nil, err
	}
	config, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(bundle, "config.json"), config, 0o600); err != nil {
		return nil, err
	}
	t, err := e.startShim(i, bundle)
	if err != nil {
		return nil, fmt.Errorf("start the shim: %w", err)
	}
	defer func() {
		if err != nil {
			e.discard(t.id, t)
		}
	}()
	options, err := typeurl.MarshalAnyToProto(&runcoptions.Options{BinaryName: e.runc, Root: e.runcRoot(), IoUid: owner, IoGid: owner})
	if err != nil {
		return nil, err
	}
	r, err := t.api.Create(ctx, &taskapi.CreateTaskRequest{ID: string(i), Bundle: bundle, Options: options,
		Stdout: shim.LogScheme + e.paths.logs(i), Stderr: shim.LogScheme + e.paths.logs(i)})
	if err != nil {
		return nil, errgrpc.ToNative(err)
	}
	t.hold(int(r.Pid))
	return t, nil
}

func (e *Engine) runcRoot() string { return filepath.Join(e.paths.run, "runc") }

// startShim makes a waiting shim the instance's: it listens on the instance's socket, which is there before it is told, so
// that a crash in between leaves something that the next Open sees.
func (e *Engine) startShim(i id.ID, bundle string) (*task, error) {
	path := e.paths.socket(i)
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false)
	defer l.Close()
	f, err := l.File()
	if err != nil {
		return nil, err
	}
	defer f.Close()
	order := shim.Order{ID: string(i), Bundle: bundle}
	s, err := e.takeShim()
	if err != nil {
		return nil, err
	}
	if err = order.Send(s.orders, f); err != nil { // it may have been killed while it waited
		_ = s.orders.Close()
		if s, err = e.newShim(); err != nil {
			return nil, err
		}
		err = order.Send(s.orders, f)
	}
	_ = s.orders.Close()
	if err != nil {
		return nil, err
	}
	t, err := connect(i, path)
	if err != nil {
		_ = unix.Kill(s.pid, unix.SIGKILL)
		return nil, err
	}
	t.shim = s.pid
	return t, nil
}

func connect(i id.ID, path string) (*task, error) {
	conn, err := net.DialTimeout("unix", path, 2*time.Second)
	if err != nil {
		return nil, err
	}
	c := ttrpc.NewClient(conn)
	return &task{id: i, client: c, api: taskapi.NewTTRPCTaskClient(c)}, nil
}

// discard removes whatever there is of a task, in any state: container, shim, bundle, control group. It works without a
// shim too. t may be nil.
func (e *Engine) discard(i id.ID, t *task) {
	ctx, cancel := context.WithTimeout(inNamespace(context.Background()), 15*time.Second)
	defer cancel()
	clean := false
	if t != nil {
		clean = t.remove(ctx)
		t.close()
		if !clean && t.shim > 1 && e.isShim(t.shim, i) {
			_ = unix.Kill(t.shim, unix.SIGKILL)
		}
	}
	if !clean {
		e.killShims(i)
		if _, err := os.Stat(filepath.Join(e.runcRoot(), shim.Namespace, string(i))); err == nil {
			out, err := exec.CommandContext(ctx, e.runc, "--root", filepath.Join(e.runcRoot(), shim.Namespace), "delete", "--force", string(i)).CombinedOutput()
			if err != nil {
				e.log.Warn("runc delete", "instance", i, "err", err, "output", string(out))
			}
			_ = os.RemoveAll(filepath.Join(e.runcRoot(), shim.Namespace, string(i)))
		}
	}
	if err := e.cg.Clear(string(i)); err != nil {
		e.log.Warn("remove the control group", "instance", i, "err", err)
	}
	_ = os.Remove(e.paths.socket(i))
	if err := os.RemoveAll(e.paths.bundle(i)); err != nil {
		e.log.Warn("remove the bundle", "instance", i, "err", err)
	}
}

// remove asks the shim to kill and delete its container and to end.
func (t *task) remove(ctx context.Context) bool {
	_, err := t.api.Delete(ctx, &taskapi.DeleteRequest{ID: string(t.id)})
	if err != nil && !errdefs.IsNotFound(errgrpc.ToNative(err)) {
		if _, kerr := t.api.Kill(ctx, &taskapi.KillRequest{ID: string(t.id), Signal: uint32(unix.SIGKILL), All: true}); kerr != nil {
			return false
		}
		if _, werr := t.api.Wait(ctx, &taskapi.WaitRequest{ID: string(t.id)}); werr != nil {
			return false
		}
		if _, err = t.api.Delete(ctx, &taskapi.DeleteRequest{ID: string(t.id)}); err != nil {
			return false
		}
	}
	_, err = t.api.Shutdown(ctx, &taskapi.ShutdownRequest{ID: string(t.id)})
	return err == nil || errors.Is(err, ttrpc.ErrClosed)
}

// killShims ends shims of an instance that no socket leads to: those whose start was cut off.
func (e *Engine) killShims(i id.ID) {
	entries, _ := os.ReadDir("/proc")
	for _, p := range entries {
		pid := atoi(p.Name())
		if pid > 1 && e.isShim(pid, i) {
			_ = unix.Kill(pid, unix.SIGKILL)
		}
	}
}

// isShim tells whether a process is a shim of this cloud for the instance ("" for any).
func (e *Engine) isShim(pid int, i id.ID) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		return false
	}
	want := e.shim + "\x00-id\x00" + string(i)
	return len(b) >= len(want) && string(b[:len(want)]) == want
}

func atoi(s string) int {
	n := 0
	for _, c := range []byte(s) {
		if c < '0' || c > '9' || n > 1<<30 {
			return 0
		}
		n = n*10 + int(c-'0')
	}
	return n
}
