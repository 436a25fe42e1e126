package containerd

import (
	"context"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/awancloud/awan/internal/engine/thread"
	"github.com/awancloud/awan/internal/engine/workload/containerd/network"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
)

// Guest makes a network namespace for something that is no instance (a step of a build): a tenant of its own that may
// reach public addresses and the resolvers, and nothing else. It does not outlive this process's Close for long: what a
// crash leaves of it is an interface that the next owner of its address replaces.
func (e *Engine) Guest(ctx context.Context) (nsPath string, release func(), err error) {
	guest := id.New()
	addr, err := e.address(guest)
	if err != nil {
		return "", nil, err
	}
	b := addr.As4()
	port := network.Port{Address: addr, Tenant: 1<<31 | uint32(b[2])<<8 | uint32(b[3]), Egress: true}
	file := filepath.Join(e.paths.run, "guest-"+string(guest))
	release = func() {
		if err := e.net.Detach(context.WithoutCancel(ctx), port); err != nil {
			e.log.Warn("a guest's network is left", "address", addr, "err", err)
		}
		_ = unix.Unmount(file, unix.MNT_DETACH)
		_ = os.Remove(file)
		e.mu.Lock()
		delete(e.used, addr)
		e.mu.Unlock()
	}
	if err := newNamespace(file, func(tid int) error { return e.net.Attach(ctx, port, tid) }); err != nil {
		release()
		return "", nil, fail.Wrap(err, fail.Unavailable, "a network for the build cannot be made")
	}
	return file, release, nil
}

// newNamespace makes a network namespace in a thread of its own, keeps it at file, and calls setup with the thread's id.
// The thread ends with it: it is never used for anything else again.
func newNamespace(file string, setup func(tid int) error) error {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_RDONLY|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_ = f.Close()
	made, done := make(chan error), make(chan struct{})
	defer close(done)
	tid := 0
	go func() {
		_ = thread.Elsewhere(func() error {
			tid = unix.Gettid()
			err := unix.Unshare(unix.CLONE_NEWNET)
			if err == nil {
				err = unix.Mount("/proc/thread-self/ns/net", file, "", unix.MS_BIND, "")
			}
			made <- err
			<-done // setup speaks to the host's network from outside, and needs this thread to find the new one
			return nil
		})
	}()
	if err := <-made; err != nil {
		return err
	}
	return setup(tid)
}
