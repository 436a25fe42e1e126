package thread

import (
	"os"
	"runtime"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// TestTheFirstThreadStaysAtHome lets many go to other networks at once, also from the first thread, and looks whether the
// process is where it was.
func TestTheFirstThreadStaysAtHome(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	home := func() string {
		at, err := os.Readlink("/proc/self/ns/net")
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	before := home()
	away := func() {
		err := Elsewhere(func() error {
			if unix.Gettid() == unix.Getpid() {
				t.Error("on the first thread")
			}
			return unix.Unshare(unix.CLONE_NEWNET)
		})
		if err != nil {
			t.Error(err)
		}
	}
	var all sync.WaitGroup
	for range 64 {
		all.Go(func() {
			away()
			runtime.Gosched()
			away()
		})
	}
	all.Wait()
	if now := home(); now != before {
		t.Errorf("the process is in %s, not in %s", now, before)
	}
	for range 64 { // no thread that was away serves others
		all.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			if at, err := os.Readlink("/proc/thread-self/ns/net"); err != nil || at != before {
				t.Errorf("a thread is in %s: %v", at, err)
			}
		})
	}
	all.Wait()
}
