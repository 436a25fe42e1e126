package cloudtest

import (
	"context"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// Isolate makes the process start in a network of its own that has a loopback interface and no way out.
func (p *Process) Isolate() {
	p.t.Helper()
	for _, tool := range []string{"unshare", "ip"} {
		if _, err := exec.LookPath(tool); err != nil {
			p.t.Skipf("%s is not installed", tool)
		}
	}
	p.Before = []string{"unshare", "--net", "sh", "-c", `ip link set lo up && exec "$@"`, "sh"}
}

// Dial opens a connection from within the process's network. The address must be a literal one.
func (p *Process) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	type answer struct {
		conn net.Conn
		err  error
	}
	done := make(chan answer)
	go func() { // the thread is thrown away with the goroutine, so it need not find its way back
		runtime.LockOSThread()
		conn, err := func() (net.Conn, error) {
			fd, err := unix.Open(filepath.Join("/proc", strconv.Itoa(p.Pid()), "ns/net"), unix.O_RDONLY|unix.O_CLOEXEC, 0)
			if err != nil {
				return nil, err
			}
			defer func() { _ = unix.Close(fd) }()
			if err := unix.Setns(fd, unix.CLONE_NEWNET); err != nil {
				return nil, err
			}
			return (&net.Dialer{}).DialContext(ctx, network, addr)
		}()
		done <- answer{conn, err}
	}()
	a := <-done
	return a.conn, a.err
}

// Inside makes a client speak from within the process's network.
func (p *Process) Inside(c *http.Client) *http.Client {
	c.Transport.(*http.Transport).DialContext = p.Dial
	return c
}
