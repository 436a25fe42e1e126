// Package thread lends threads that may leave the process's namespaces. It imports nothing of the project: every engine may
// use it.
package thread

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// Elsewhere does something on a thread that may leave the process's namespaces and root, for it ends thereafter and nobody
// else gets it. It is never the first thread: that one cannot end, and what it sees is what /proc/self tells.
func Elsewhere(do func() error) (err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if unix.Gettid() != unix.Getpid() {
			err = do()
			return // without unlocking
		}
		err = Elsewhere(do) // the first thread is held by us meanwhile
		runtime.UnlockOSThread()
	}()
	<-done
	return err
}
