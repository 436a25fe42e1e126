package git

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
)

// task is one confined run.
type task struct {
	args  []string
	env   []string
	dirs  map[string]string // folder inside to folder on the host; writable
	cwd   string
	netns string // "" is none
	in    io.Reader
	out   io.Writer
	errs  io.Writer
	files []*os.File // inherited from descriptor 3 on
	time  time.Duration
}

// exited is the result of a program that ran and was not content.
type exited struct {
	code int
	text string // the end of what it printed to standard error
}

func (e *exited) Error() string { return fmt.Sprintf("exit status %d: %s", e.code, e.text) }

// skeleton makes the root that every run sees: links and mount points, and nothing else.
func (e *Engine) skeleton() (string, error) {
	root := filepath.Join(e.o.Run, "root")
	if _, err := os.Stat(filepath.Join(root, "etc", "group")); err == nil {
		return root, nil
	}
	for _, d := range []string{"usr", "etc/ssl/certs", "tmp", "proc", "dev", "job", "repo"} {
		if err := os.MkdirAll(filepath.Join(root, d), 0o755); err != nil {
			return "", err
		}
	}
	for _, l := range []string{"bin", "sbin", "lib", "lib64"} {
		if err := os.Symlink("usr/"+l, filepath.Join(root, l)); err != nil && !errors.Is(err, fs.ErrExist) {
			return "", err
		}
	}
	for name, text := range map[string]string{
		"etc/ssl/certs/ca-certificates.crt": "",
		"etc/passwd":                        fmt.Sprintf("git:x:%d:%d:git:/job:/bin/sh\n", e.o.User, e.o.User),
		"etc/nsswitch.conf":                 "passwd: files\ngroup: files\nhosts: files\n",
	} {
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o644); err != nil {
			return "", err
		}
	}
	// The last file says that the root is whole.
	return root, os.WriteFile(filepath.Join(root, "etc/group"), fmt.Appendf(nil, "git:x:%d:\n", e.o.User), 0o644)
}

// run runs a program to its end. An error of the program itself is an *exited.
func (e *Engine) run(ctx context.Context, t task) error {
	ctx, cancel := context.WithTimeoutCause(ctx, t.time, fail.New(fail.Invalid, "git took longer than %s", t.time).Then("try again; a smaller repository is quicker"))
	defer cancel()
	root, err := e.skeleton()
	if err != nil {
		return fail.Wrap(err, fail.NoSpace, "git cannot be confined")
	}
	name := "git-" + string(id.New())
	bundle := filepath.Join(e.o.Run, name)
	if err := os.Mkdir(bundle, 0o700); err != nil {
		return fail.Wrap(err, fail.NoSpace, "git cannot be confined")
	}
	state := filepath.Join(e.o.Run, "state")
	defer func() {
		_ = exec.Command("runc", "--root", state, "delete", "--force", name).Run() // absent is success
		_ = os.RemoveAll(bundle)
	}()
	text, err := json.Marshal(e.spec(name, root, t))
	if err == nil {
		err = os.WriteFile(filepath.Join(bundle, "config.json"), text, 0o600)
	}
	if err != nil {
		return fail.Wrap(err, fail.NoSpace, "git cannot be confined")
	}
	said := &tail{}
	args := []string{"--root", state, "--log", filepath.Join(bundle, "log"), "run", "--bundle", bundle}
	if len(t.files) > 0 {
		args = append(args, fmt.Sprintf("--preserve-fds=%d", len(t.files)))
	}
	c := exec.CommandContext(ctx, "runc", append(args, name)...)
	c.Stdin, c.Stdout, c.Stderr, c.ExtraFiles = t.in, t.out, io.Writer(said), t.files
	if t.errs != nil {
		c.Stderr = io.MultiWriter(said, t.errs)
	}
	c.Cancel = func() error {
		_ = exec.Command("runc", "--root", state, "kill", name, "KILL").Run() // it may not have begun
		return c.Process.Kill()
	}
	c.WaitDelay = 5 * time.Second
	err = c.Run()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var x *exec.ExitError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &x):
		if b, _ := os.ReadFile(filepath.Join(bundle, "log")); strings.Contains(string(b), "level=error") {
			return fail.New(fail.Unsupported, "git cannot be confined on this machine").Because(fmt.Errorf("%s", b)).Then("the operator finds the reason in the log")
		}
		return &exited{x.ExitCode(), said.String()}
	}
	return fail.Wrap(err, fail.Unavailable, "git cannot be run")
}

func (e *Engine) spec(name, root string, t task) *specs.Spec {
	user := uint32(e.o.User)
	memory, quota, period, pids := int64(1<<30), int64(100_000), uint64(100_000), int64(128)
	ro := []string{"bind", "ro", "nosuid", "nodev"}
	mounts := []specs.Mount{
		{Destination: "/usr", Type: "bind", Source: "/usr", Options: ro},
		{Destination: "/proc", Type: "proc", Source: "proc", Options: []string{"nosuid", "noexec", "nodev"}},
		{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "strictatime", "mode=755", "size=64k"}},
		{Destination: "/tmp", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "nodev", "mode=1777", "size=64m"}},
	}
	if _, err := os.Stat(authorities); err == nil {
		mounts = append(mounts, specs.Mount{Destination: authorities, Type: "bind", Source: authorities, Options: ro})
	}
	for inside, outside := range t.dirs {
		mounts = append(mounts, specs.Mount{Destination: inside, Type: "bind", Source: outside, Options: []string{"bind", "rw", "nosuid", "nodev"}})
	}
	namespaces := []specs.LinuxNamespace{{Type: specs.PIDNamespace}, {Type: specs.MountNamespace}, {Type: specs.IPCNamespace}, {Type: specs.UTSNamespace},
		{Type: specs.NetworkNamespace, Path: t.netns}}
	return &specs.Spec{
		Version: specs.Version, Hostname: "git", Root: &specs.Root{Path: root, Readonly: true}, Mounts: mounts,
		Process: &specs.Process{User: specs.User{UID: user, GID: user}, Args: t.args, Env: t.env, Cwd: t.cwd, NoNewPrivileges: true,
			Capabilities: &specs.LinuxCapabilities{},
			Rlimits: []specs.POSIXRlimit{{Type: "RLIMIT_FSIZE", Hard: maxSource, Soft: maxSource}, {Type: "RLIMIT_NOFILE", Hard: 1024, Soft: 1024},
				{Type: "RLIMIT_CORE"}}},
		Linux: &specs.Linux{CgroupsPath: "/awan-" + e.o.Key + "/" + name, Namespaces: namespaces,
			MaskedPaths:   []string{"/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list", "/proc/sched_debug", "/proc/scsi", "/sys/firmware"},
			ReadonlyPaths: []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"},
			Resources: &specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{{Allow: false, Access: "rwm"}},
				Memory: &specs.LinuxMemory{Limit: &memory}, CPU: &specs.LinuxCPU{Quota: &quota, Period: &period}, Pids: &specs.LinuxPids{Limit: pids}}},
	}
}

const authorities = "/etc/ssl/certs/ca-certificates.crt"

// sweep ends what a killed process left running.
func (e *Engine) sweep() {
	left, _ := filepath.Glob(filepath.Join(e.o.Run, "git-*"))
	for _, b := range left {
		_ = exec.Command("runc", "--root", filepath.Join(e.o.Run, "state"), "delete", "--force", filepath.Base(b)).Run() // absent is success
	}
	if err := os.RemoveAll(e.o.Run); err != nil {
		e.log.Warn("git's run folder is left", "err", err)
	}
	if err := os.MkdirAll(e.o.Run, 0o711); err != nil {
		e.log.Warn("git's run folder cannot be made", "err", err)
	}
}

// tail keeps the end of what is written.
type tail struct{ b bytes.Buffer }

func (t *tail) Write(p []byte) (int, error) {
	t.b.Write(p)
	if t.b.Len() > 8<<10 {
		t.b.Next(t.b.Len() - 4<<10)
	}
	return len(p), nil
}

func (t *tail) String() string { return t.b.String() }
