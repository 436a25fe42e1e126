package qemu

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// elsewhere does something on a thread that may leave the process's namespaces and root, for it ends thereafter. It is never
// the first thread: that one cannot end, and what it sees is what /proc/self tells.
func elsewhere(do func() error) (err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if unix.Gettid() != unix.Getpid() {
			err = do()
			return // without unlocking
		}
		err = elsewhere(do) // the first thread is held by us meanwhile
		runtime.UnlockOSThread()
	}()
	<-done
	return err
}
