// Package shim is the process that stands beside each container: it is the container's parent, keeps its exit code and
// writes its log, so that both survive the cloud's own process. It is the same binary as the cloud, started under the
// name Name; its task service is containerd's own for runc. It may import containerd and nothing of the cloud.
package shim

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"time"

	taskapi "github.com/containerd/containerd/api/runtime/task/v3"
	"github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2/task"
	"github.com/containerd/containerd/v2/core/events"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/pkg/shutdown"
	"github.com/containerd/containerd/v2/pkg/sys/reaper"
	"github.com/containerd/log"
	"github.com/containerd/ttrpc"
	"golang.org/x/sys/unix"
)

const (
	// Name is the file name under which the binary becomes a shim.
	Name = "containerd-shim-runc-v2"
	// Namespace is containerd's namespace for everything of one cloud; each cloud has its own directories.
	Namespace = "awan"
	// orderFD is where the engine leaves the socket by which the order comes.
	orderFD = 3
)

// Is tells whether args are those of a shim: a program must ask this before anything else in main.
func Is(args []string) bool { return len(args) > 0 && filepath.Base(args[0]) == Name }

// Main waits to be told which container it is the shim of, and serves that one's task service until it is told to shut
// down. It does not return.
func Main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "shim:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func run() error {
	// There is one of these per container, so memory counts more than speed.
	debug.SetGCPercent(25)
	runtime.GOMAXPROCS(2)
	_ = log.SetLevel("warn")

	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("become the reaper: %w", err)
	}
	// The engine's end (SIGINT on a terminal, SIGHUP, SIGTERM to the group) is not the container's end.
	signal.Ignore(unix.SIGPIPE, unix.SIGHUP, unix.SIGINT, unix.SIGTERM)
	children := make(chan os.Signal, 32)
	signal.Notify(children, unix.SIGCHLD)
	go func() {
		for range children {
			_ = reaper.Reap()
		}
	}()

	ctx := namespaces.WithNamespace(context.Background(), Namespace)
	ctx, down := shutdown.WithShutdown(ctx)
	inner, err := task.NewTaskService(ctx, discard{}, down)
	if err != nil {
		return fmt.Errorf("task service: %w", err)
	}
	server, err := ttrpc.NewServer(
		ttrpc.WithServerHandshaker(ttrpc.UnixSocketRequireSameUser()),
		ttrpc.WithUnaryServerInterceptor(inNamespace))
	if err != nil {
		return fmt.Errorf("server: %w", err)
	}
	svc := newService(inner)
	taskapi.RegisterTTRPCTaskService(server, svc)
	// All above is done ahead of the order: it is most of what a shim's start takes.
	l, err := await()
	if errors.Is(err, io.EOF) {
		return nil // the cloud ended, and needs no other shim
	}
	if err != nil {
		return err
	}
	go trim(down.Done())

	served := make(chan error, 1)
	go func() { served <- server.Serve(ctx, l) }()
	select {
	case <-down.Done():
		// The reply to Shutdown is still on its way out.
		c, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
		defer cancel()
		_ = server.Shutdown(c)
		return nil
	case err := <-served:
		if errors.Is(err, ttrpc.ErrServerClosed) {
			return nil
		}
		return err
	}
}

func inNamespace(ctx context.Context, u ttrpc.Unmarshaler, _ *ttrpc.UnaryServerInfo, m ttrpc.Method) (any, error) {
	return m(namespaces.WithNamespace(ctx, Namespace), u)
}

// discard is the event publisher: the engine learns of exits by Wait and of OOM kills from the cgroup, both of which
// also work for what happened while it was away, which events do not.
type discard struct{}

func (discard) Publish(context.Context, string, events.Event) error { return nil }
func (discard) Close() error                                        { return nil }
