package shim

import (
	"bufio"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// trim gives memory back after the burst of a start, and then now and again: a shim mostly sleeps.
func trim(done <-chan struct{}) {
	wait := 3 * time.Second
	for {
		select {
		case <-done:
			return
		case <-time.After(wait):
			debug.FreeOSMemory()
			forgetCode()
			wait = 2 * time.Minute
		}
	}
}

// forgetCode unmaps the pages of the program's own code and constants that start-up touched. The binary is the whole
// cloud's, a shim needs little of it; what it needs comes back from the page cache, which all shims share.
func forgetCode() {
	self, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return
	}
	f, err := os.Open("/proc/self/maps")
	if err != nil {
		return
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if !strings.HasSuffix(s.Text(), self) {
			continue
		}
		var from, to uintptr
		var mode string
		// Never a writable mapping: dropping that would lose what was written.
		if n, _ := fmt.Sscanf(s.Text(), "%x-%x %s", &from, &to, &mode); n == 3 && !strings.Contains(mode, "w") {
			_, _, _ = unix.Syscall(unix.SYS_MADVISE, from, to-from, unix.MADV_DONTNEED)
		}
	}
}
