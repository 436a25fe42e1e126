package qemu

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
)

// sector is probe/probe.S assembled: a boot sector that reaches long mode and then writes to the debug exit port.
//
//go:embed probe/probe.bin
var sector []byte

const (
	probeTime = 3 * time.Second
	probeExit = 0x2a<<1 | 1 // how QEMU ends when the sector has done its work
)

// probe finds out which accelerator machines get. That /dev/kvm opens says little: there are hosts where guests then hang. So
// a guest has to boot under it, and quickly.
type probe struct {
	version string
	done    chan struct{}

	mu          sync.Mutex
	accelerator string
	why         string
}

// found is the probe's result, good until the host starts anew or gets another QEMU.
type found struct {
	Boot, Version, Accelerator, Why string
}

func (e *Engine) startProbe() (*probe, error) {
	out, err := exec.Command(e.qemu, "--version").Output()
	if err != nil {
		return nil, fail.New(fail.Unsupported, program+" does not run").Then("install the package qemu-system-x86 anew").Because(err)
	}
	p := &probe{version: versionOf(string(out)), done: make(chan struct{})}
	boot, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	now := found{Boot: strings.TrimSpace(string(boot)), Version: p.version}
	var old found
	switch file := filepath.Join(e.o.Dir, "probe.json"); {
	case e.o.Accelerator != "":
		p.set(e.o.Accelerator, "the operator's setting says so")
	case readJSON(file, &old) == nil && old.Boot == now.Boot && old.Version == now.Version:
		p.set(old.Accelerator, old.Why)
	default:
		e.work.Go(func() {
			now.Accelerator, now.Why = e.tryKVM()
			if e.ctx.Err() != nil {
				p.set("tcg", "the engine was closed before it was found out")
				return
			}
			if err := writeJSON(file, now); err != nil {
				e.log.Warn("remember whether KVM works", "err", err)
			}
			e.log.Info("machines' accelerator", "accelerator", now.Accelerator, "why", now.Why)
			p.set(now.Accelerator, now.Why)
		})
	}
	return p, nil
}

var versionForm = regexp.MustCompile(`version (\S+)`)

func versionOf(s string) string {
	if m := versionForm.FindStringSubmatch(s); m != nil {
		return m[1]
	}
	return "unknown"
}

func (p *probe) set(accelerator, why string) {
	p.mu.Lock()
	p.accelerator, p.why = accelerator, why
	p.mu.Unlock()
	close(p.done)
}

// state tells what is known by now.
func (p *probe) state() (accelerator, why string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.accelerator == "" {
		return "tcg", "whether KVM works is being found out"
	}
	return p.accelerator, p.why
}

// wait gives the accelerator once it is known.
func (p *probe) wait(ctx context.Context) (string, error) {
	select {
	case <-p.done:
		a, _ := p.state()
		return a, nil
	case <-ctx.Done():
		return "", fail.From(ctx.Err())
	}
}

func (e *Engine) tryKVM() (accelerator, why string) {
	f, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
	if err != nil {
		return "tcg", "this host offers no KVM: " + reason(err)
	}
	f.Close()
	took, err := bootSector(e.ctx, e.qemu, "kvm", probeTime)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return "tcg", fmt.Sprintf("/dev/kvm opens, but a guest did not boot under it within %v", probeTime)
	case err != nil:
		return "tcg", "/dev/kvm opens, but a guest does not run under it: " + err.Error()
	}
	return "kvm", fmt.Sprintf("a guest booted under KVM in %v", took.Round(time.Millisecond))
}

func reason(err error) string {
	var p *os.PathError
	if errors.As(err, &p) {
		return p.Path + ": " + p.Err.Error()
	}
	return err.Error()
}

// bootSector boots the probe's sector and tells how long it took.
func bootSector(ctx context.Context, qemu, accelerator string, most time.Duration) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	disk, err := memory("probe", sector)
	if err != nil {
		return 0, err
	}
	defer disk.Close()
	began := time.Now()
	c := exec.CommandContext(ctx, qemu, "-nodefaults", "-no-user-config", "-display", "none", "-machine", "pc,usb=off", "-accel", accelerator, "-m", "16",
		"-device", "isa-debug-exit,iobase=0xf4,iosize=4", "-add-fd", "fd=3,set=1",
		"-drive", "file=/dev/fdset/1,format=raw,if=floppy,readonly=on,file.locking=off",
		"-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny")
	c.ExtraFiles = []*os.File{disk}
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // a guest that hangs must not outlive a killed cloud
	c.WaitDelay = time.Second
	out, err := c.CombinedOutput()
	took := time.Since(began)
	if ctx.Err() != nil {
		return took, ctx.Err()
	}
	if c.ProcessState != nil && c.ProcessState.ExitCode() == probeExit {
		return took, nil
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return took, fmt.Errorf("it ended with %v: %s", err, lines[len(lines)-1])
}
