package file

import (
	"context"
	"hash/fnv"
	"os/exec"
	"syscall"
	"time"
)

// sandboxUser picks a user id for one conversion that nobody else on the machine has.
func sandboxUser(work string) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(work)) // a hash's Write does not fail
	return 1_900_000_000 + int(h.Sum32()%50_000_000)
}

// sandboxed is the command that shuts a program in; it ends with ctx and with us.
func (e *Engine) sandboxed(ctx context.Context, args []string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "unshare", args...)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"}
	cmd.WaitDelay = 5 * time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}
