package qemu

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/awancloud/awan/internal/engine/cgroup"
	"github.com/awancloud/awan/internal/engine/machine/qemu/cidata"
	"github.com/awancloud/awan/internal/engine/machine/qemu/qmp"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/machine"
)

// startTime bounds the time from a process's start to its first answer. It takes a fraction of a second; a machine under
// heavy load is given more.
const startTime = 60 * time.Second

// Ensure implements machine.Engine.
func (e *Engine) Ensure(ctx context.Context, i id.ID, want machine.Want) (machine.Seen, error) {
	if err := machine.Check(i, want); err != nil {
		return machine.Seen{}, err
	}
	if want.Machine != "" && want.Machine != "pc" {
		return machine.Seen{}, fail.Field("machine", "must be pc here, not %q", want.Machine)
	}
	g, err := e.acquire(ctx, i, true)
	if err != nil {
		return machine.Seen{}, err
	}
	defer e.release(g)
	if err := e.ensure(ctx, g, want); err != nil {
		return machine.Seen{}, fail.Wrap(err, fail.Unavailable, "the machine cannot be made as wanted")
	}
	return e.look(ctx, g), nil
}

func (e *Engine) ensure(ctx context.Context, g *guest, want machine.Want) error {
	for {
		rec, q, known := g.view()
		if q == nil && known && rec.running() { // it is ending
			if err := g.wait(ctx, 10*time.Second); err != nil {
				return err
			}
			continue
		}
		switch {
		case q != nil:
			err := e.update(ctx, g, q, rec, want)
			if errors.Is(err, qmp.ErrClosed) && g.wait(ctx, 10*time.Second) == nil {
				continue // it ended meanwhile
			}
			return err
		case want.Running:
			return e.start(ctx, g, want)
		}
		return e.keep(g, want, nil)
	}
}

// wait waits until a process that is ending has been recorded as ended.
func (g *guest) wait(ctx context.Context, most time.Duration) error {
	g.mu.Lock()
	ended := g.ended
	g.mu.Unlock()
	if ended == nil {
		return nil
	}
	t := time.NewTimer(most)
	defer t.Stop()
	select {
	case <-ended:
		return nil
	case <-t.C:
		return fail.New(fail.Timeout, "the machine's process does not end")
	case <-ctx.Done():
		return fail.From(ctx.Err())
	}
}

// keep writes a machine's record with what it is to be.
func (e *Engine) keep(g *guest, want machine.Want, alter func(*record)) error {
	rec, _, known := g.view()
	slots, err := place(rec.Slots, want)
	if err != nil {
		return err
	}
	user := rec.User
	if !known {
		if user, err = e.user(g.id); err != nil {
			return err
		}
	}
	return e.change(g, func(r *record) {
		r.Want, r.Slots, r.User = want, slots, user
		if alter != nil {
			alter(r)
		}
	})
}

// start makes a process. Its record comes first, so that nothing is there of which List does not know.
func (e *Engine) start(ctx context.Context, g *guest, want machine.Want) error {
	accelerator, err := e.probe.wait(ctx)
	if err != nil {
		return err
	}
	began := time.Now()
	if err := e.keep(g, want, func(r *record) {
		*r = record{Want: r.Want, Slots: r.Slots, User: r.User, Started: began, Accel: accelerator, Boots: 1}
	}); err != nil {
		return err
	}
	if err := e.launch(ctx, g, want, accelerator); err != nil {
		reason := "it could not start: " + fail.From(err).Message
		return errors.Join(err, e.cg.Clear(e.group(g.id)), e.removeLive(g.id), e.change(g, func(r *record) {
			r.Exit = &machine.Exit{At: time.Now(), Reason: reason}
		}))
	}
	e.tell(g.id, began, "started", "")
	return nil
}

func (e *Engine) launch(ctx context.Context, g *guest, want machine.Want, accelerator string) error {
	rec, _, _ := g.view()
	i := g.id
	if err := e.cg.Clear(e.group(i)); err != nil {
		return err
	}
	if err := e.makeLive(i); err != nil {
		return err
	}
	if err := e.limit(i, want, 0); err != nil {
		return err
	}
	c := &command{keys: map[string][]byte{}}
	defer func() { c.files.close() }()
	if err := e.write(c, i, want, rec.Slots, accelerator); err != nil {
		return err
	}
	errors2, err := os.OpenFile(filepath.Join(e.live(i), "stderr"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer errors2.Close()
	cmd := &exec.Cmd{Path: e.qemu, Args: append([]string{program}, c.args...), Env: []string{"PATH=/usr/bin", "LC_ALL=C.UTF-8"},
		Stderr: errors2, ExtraFiles: c.files}
	if err := e.spawn(cmd, cell{group: e.group(i), user: rec.User, kvm: accelerator == "kvm", keys: c.keys, boot: want.Kernel}); err != nil {
		return err
	}
	c.files.close() // ours; the process has its own
	c.files = nil
	ended := make(chan int, 1)
	go func() { // the reaper lives as long as the process does, which may be longer than the engine
		_ = cmd.Wait()
		ended <- exitCode(cmd.ProcessState)
	}()
	if err := e.greet(ctx, g, cmd.Process.Pid, ended); err != nil {
		return err
	}
	if len(c.keys) > 0 {
		_, q, _ := g.view()
		for name := range c.keys {
			_ = q.Do(ctx, "object-del", object{"id": name}, nil) // it needs it no more
		}
	}
	return errors.Join(forgetKeys(cmd.Process.Pid), e.limit(i, want, guestShares))
}

func exitCode(s *os.ProcessState) int {
	if s == nil {
		return -1
	}
	if w, ok := s.Sys().(unix.WaitStatus); ok && w.Signaled() {
		return 128 + int(w.Signal())
	}
	return s.ExitCode()
}

// write puts the whole command line together.
func (e *Engine) write(c *command, i id.ID, want machine.Want, slots map[id.ID]int, accelerator string) error {
	c.describe(i, want, accelerator)
	var ends []string
	for _, path := range []string{e.qmpPath(i), e.linePath(i), e.askPath(i)} {
		f, err := listen(path)
		if err != nil {
			return err
		}
		ends = append(ends, c.fd(fileSet{f})...)
	}
	log, err := os.OpenFile(e.logPath(i), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	c.sockets(ends[0], ends[1], ends[2], c.set(fileSet{log}))
	for n, d := range want.Disks {
		if err := c.disk(d, slots[d.ID], n+1); err != nil {
			return err
		}
	}
	for _, n := range want.NICs {
		if err := c.nic(n, slots[n.ID]); err != nil {
			return err
		}
	}
	if len(want.Seed) > 0 {
		image, err := cidata.Image(want.Seed)
		if err != nil {
			return err
		}
		f, err := memory("seed", image)
		if err != nil {
			return err
		}
		c.seed(fileSet{f})
	}
	return nil
}

// memory is a file that is nowhere but in memory, open for reading.
func memory(name string, content []byte) (*os.File, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	if _, err := f.Write(content); err != nil {
		return nil, err
	}
	if _, err := unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, unix.F_SEAL_WRITE|unix.F_SEAL_GROW|unix.F_SEAL_SHRINK|unix.F_SEAL_SEAL); err != nil {
		return nil, err
	}
	return os.Open(fmt.Sprintf("/proc/self/fd/%d", fd))
}

// guestShares is a machine's part of the processors, for each of its own, when all are busy: what serves the cloud, and
// machines that only start, have 1024.
const guestShares = 512

// limit sets what a machine's group may use.
func (e *Engine) limit(i id.ID, w machine.Want, shares int64) error {
	milli := w.MilliCPU
	if milli == 0 {
		milli = w.CPUs * 1000
	}
	err := e.cg.Make(e.group(i), cgroup.Limits{MilliCPU: int64(milli), MemoryBytes: (w.MemoryMiB + overhead(w)) << 20, Pids: int64(64 + 2*w.CPUs + 32*len(w.Disks)),
		Shares: shares * int64(w.CPUs)})
	if err != nil {
		return fail.New(fail.Unavailable, "the machine's limits cannot be set").Because(err)
	}
	return nil
}

// greet waits for a new process's first answer, which comes once it is ready.
func (e *Engine) greet(ctx context.Context, g *guest, pid int, ended chan int) error {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	type result struct {
		w   *watch
		err error
	}
	ready := make(chan result, 1)
	go func() {
		w, err := e.connect(ctx, g)
		ready <- result{w, err}
	}()
	var failed error
	select {
	case r := <-ready:
		if r.err == nil {
			return e.take(ctx, g, r.w, pid, ended)
		}
		failed = r.err
	case code := <-ended:
		ended <- code
		cancel()
		r := <-ready
		if failed = r.err; failed == nil {
			_ = r.w.q.Close()
		}
	}
	select {
	case code := <-ended:
		return fail.New(fail.Unavailable, "QEMU did not start%s", e.lastWords(g.id)).Because(fmt.Errorf("it ended with %d: %s", code, e.stderr(g.id)))
	case <-time.After(time.Second): // it runs
		return fail.New(fail.Unavailable, "QEMU does not answer").Because(fmt.Errorf("%w: %s", failed, e.stderr(g.id)))
	}
}

// stderr is what a process wrote there.
func (e *Engine) stderr(i id.ID) string {
	b, _ := os.ReadFile(filepath.Join(e.live(i), "stderr"))
	return strings.TrimSpace(string(b))
}

// lastWords are the last of what a process wrote to its stderr, without the option that it speaks of.
func (e *Engine) lastWords(i id.ID) string {
	all := e.stderr(i)
	last := strings.TrimPrefix(all[strings.LastIndexByte(all, '\n')+1:], program+": ")
	if strings.HasPrefix(last, "-") {
		if n := strings.LastIndex(last, "}: "); n >= 0 {
			last = last[n+3:]
		} else if _, rest, ok := strings.Cut(last, ": "); ok {
			last = rest
		}
	}
	if last == "" {
		return ""
	}
	return ": " + last[:min(len(last), 300)]
}

// forgetKeys removes the keys from the process's root: it has read them.
func forgetKeys(pid int) error {
	names, err := filepath.Glob(fmt.Sprintf("/proc/%d/root/k/*", pid))
	for _, n := range names {
		err = errors.Join(err, removeIfThere(n))
	}
	return err
}
