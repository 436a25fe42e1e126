package containerd

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/awancloud/awan/internal/engine/workload/containerd/shim"
)

// spare is a shim that waits to be told whose it is. It ends by itself when its engine does.
type spare struct {
	pid    int
	orders *net.UnixConn
}

// spareAfter is how long after a start the next spare is made, so as not to take the time of the app that begins.
const spareAfter = 500 * time.Millisecond

// takeShim gives the shim that was started ahead, or starts one.
func (e *Engine) takeShim() (*spare, error) {
	e.mu.Lock()
	s := e.spare
	e.spare = nil
	e.mu.Unlock()
	if s != nil {
		return s, nil
	}
	return e.newShim()
}

// keepSpare has a shim started ahead, soon. Making its process takes as long as all else at the start of a container.
func (e *Engine) keepSpare() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.spare != nil || e.sparing || e.ctx.Err() != nil {
		return
	}
	e.sparing = true
	e.work.Add(1)
	go func() {
		defer e.work.Done()
		select {
		case <-e.ctx.Done():
			return
		case <-time.After(spareAfter):
		}
		s, err := e.newShim()
		if err != nil {
			e.log.Warn("no shim is kept ready", "err", err)
		}
		e.mu.Lock()
		defer e.mu.Unlock()
		e.spare, e.sparing = s, false
	}()
}

// newShim starts a shim that waits.
func (e *Engine) newShim() (*spare, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "orders"), os.NewFile(uintptr(fds[1]), "orders")
	defer ours.Close()
	defer theirs.Close()
	diary, err := os.OpenFile(filepath.Join(e.paths.run, "shims.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer diary.Close()
	conn, err := net.FileConn(ours)
	if err != nil {
		return nil, err
	}
	orders, ok := conn.(*net.UnixConn)
	if !ok {
		return nil, errors.Join(errors.New("a socket pair is of another kind"), conn.Close())
	}
	cmd := exec.Command(e.shim, "-id", shim.Nobody)
	cmd.Dir, cmd.Stderr, cmd.ExtraFiles = "/", diary, []*os.File{theirs}
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "GOMAXPROCS=2", "GOGC=25"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(err, orders.Close())
	}
	go func() { _ = cmd.Wait() }() // ends with the shim or with us, whichever is first
	if err := e.cg.Join("shims", cmd.Process.Pid); err != nil {
		e.log.Warn("a shim stays in the cloud's own control group", "err", err)
	}
	return &spare{cmd.Process.Pid, orders}, nil
}
