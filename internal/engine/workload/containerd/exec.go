package containerd

import (
	"context"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	taskapi "github.com/containerd/containerd/api/runtime/task/v3"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"github.com/containerd/typeurl/v2"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/workload"
)

// Exec implements workload.Engine. The command gets the instance's user, environment (secrets included) and limits. When
// ctx ends, it is killed.
func (e *Engine) Exec(ctx context.Context, i id.ID, x workload.Exec) (int, error) {
	ctx = inNamespace(ctx)
	if len(x.Command) == 0 {
		return 0, fail.Field("command", "is needed")
	}
	e.mu.Lock()
	in := e.instances[i]
	e.mu.Unlock()
	if in == nil {
		return 0, fail.New(fail.Gone, "instance %s does not exist", i)
	}
	rec, t, _, known := in.snapshot()
	if !known || t == nil || !rec.running() {
		return 0, fail.New(fail.Precondition, "the instance does not run").Then("start it first")
	}
	p, err := e.execProcess(i, x)
	if err != nil {
		return 0, fail.Wrap(err, fail.Internal, "the instance's description cannot be read")
	}
	spec, err := typeurl.MarshalAnyToProto(p)
	if err != nil {
		return 0, fail.Wrap(err, fail.Internal, "the command cannot be described")
	}
	name := "x" + string(id.New())
	dir := filepath.Join(e.paths.run, "x", name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return 0, fail.Wrap(err, fail.NoSpace, "the command's pipes cannot be made")
	}
	defer os.RemoveAll(dir)
	return e.run(ctx, t, name, dir, spec, x)
}

// execProcess takes the first process's description from the bundle and puts the command in.
func (e *Engine) execProcess(i id.ID, x workload.Exec) (*specs.Process, error) {
	var s specs.Spec
	if err := readJSON(filepath.Join(e.paths.bundle(i), "config.json"), &s); err != nil {
		return nil, err
	}
	p := s.Process
	p.Args, p.Terminal = x.Command, x.TTY
	for _, k := range slices.Sorted(maps.Keys(x.Env)) {
		p.Env = append(slices.DeleteFunc(p.Env, func(kv string) bool { return strings.HasPrefix(kv, k+"=") }), k+"="+x.Env[k])
	}
	if x.TTY {
		if !slices.ContainsFunc(p.Env, func(kv string) bool { return strings.HasPrefix(kv, "TERM=") }) {
			p.Env = append(p.Env, "TERM=xterm")
		}
		if x.Rows > 0 && x.Cols > 0 {
			p.ConsoleSize = &specs.Box{Height: uint(x.Rows), Width: uint(x.Cols)}
		}
	}
	return p, nil
}

func (e *Engine) run(ctx context.Context, t *task, name, dir string, spec *anypb.Any, x workload.Exec) (int, error) {
	var started bool
	begun := make(chan struct{})
	begin := sync.OnceFunc(func() { close(begun) })
	defer begin()
	stdin := x.Stdin
	if stdin != nil {
		// The shim keeps the pipe open until it is told that no more comes.
		stdin = &ender{r: x.Stdin, end: func() {
			<-begun // before the process runs the shim has nothing to close, and would keep the pipe open for good
			c, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			_, _ = t.api.CloseIO(c, &taskapi.CloseIORequest{ID: string(t.id), ExecID: name, Stdin: true})
		}}
	}
	opts := []cio.Opt{cio.WithStreams(stdin, orDiscard(x.Stdout), orDiscard(x.Stderr)), cio.WithFIFODir(dir)}
	if x.TTY {
		opts = append(opts, cio.WithTerminal)
	}
	pipes, err := cio.NewCreator(opts...)(name)
	if err != nil {
		return 0, fail.Wrap(err, fail.Internal, "the command's pipes cannot be made")
	}
	defer func() {
		if !started {
			pipes.Cancel()
		}
		pipes.Close()
	}()
	cfg := pipes.Config()
	_, err = t.api.Exec(ctx, &taskapi.ExecProcessRequest{ID: string(t.id), ExecID: name, Terminal: cfg.Terminal, Stdin: cfg.Stdin,
		Stdout: cfg.Stdout, Stderr: cfg.Stderr, Spec: spec})
	if err != nil {
		return 0, execError(x, errgrpc.ToNative(err))
	}
	defer func() {
		c, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		_, _ = t.api.Delete(c, &taskapi.DeleteRequest{ID: string(t.id), ExecID: name})
	}()
	if _, err := t.api.Start(ctx, &taskapi.StartRequest{ID: string(t.id), ExecID: name}); err != nil {
		return 0, execError(x, errgrpc.ToNative(err))
	}
	started = true
	begin()
	resizing, stop := context.WithCancel(ctx)
	defer stop()
	if x.TTY && x.Resize != nil {
		go t.resize(resizing, name, x.Resize)
	}
	return t.wait(ctx, name, pipes)
}

// wait waits for an exec's exit and for the last of its output.
func (t *task) wait(ctx context.Context, name string, pipes cio.IO) (int, error) {
	long := context.WithoutCancel(ctx)
	type result struct {
		code int
		err  error
	}
	c := make(chan result, 1)
	go func() {
		r, err := t.api.Wait(long, &taskapi.WaitRequest{ID: string(t.id), ExecID: name})
		c <- result{int(r.GetExitStatus()), err}
	}()
	select {
	case r := <-c:
		if r.err != nil {
			return 0, fail.Wrap(r.err, fail.Unavailable, "the instance ended while the command ran")
		}
		finished := make(chan struct{})
		go func() { pipes.Wait(); close(finished) }()
		select {
		case <-finished:
		case <-time.After(5 * time.Second): // a child of the command keeps the pipe open
			pipes.Cancel()
		case <-ctx.Done():
			pipes.Cancel()
		}
		return r.code, nil
	case <-ctx.Done():
		k, cancel := context.WithTimeout(long, 5*time.Second)
		defer cancel()
		_, _ = t.api.Kill(k, &taskapi.KillRequest{ID: string(t.id), ExecID: name, Signal: uint32(unix.SIGKILL)})
		select {
		case <-c:
		case <-k.Done():
		}
		pipes.Cancel()
		return 0, fail.From(ctx.Err())
	}
}

func (t *task) resize(ctx context.Context, name string, sizes <-chan [2]uint16) {
	for {
		select {
		case <-ctx.Done():
			return
		case s, ok := <-sizes:
			if !ok {
				return
			}
			_, _ = t.api.ResizePty(ctx, &taskapi.ResizePtyRequest{ID: string(t.id), ExecID: name, Height: uint32(s[0]), Width: uint32(s[1])})
		}
	}
}

func execError(x workload.Exec, err error) error {
	return startError(workload.Want{Command: x.Command}, err)
}

func orDiscard(w io.Writer) io.Writer {
	if w == nil {
		return io.Discard
	}
	return w
}

// ender calls end once when r has no more.
type ender struct {
	r    io.Reader
	end  func()
	over bool
}

func (r *ender) Read(p []byte) (int, error) {
	if r.over {
		return 0, io.EOF
	}
	n, err := r.r.Read(p)
	if err == nil {
		return n, nil
	}
	r.over = true
	if n > 0 {
		// Given on first; the end is told at the next call.
		r.over = false
		r.r = eof{err}
		return n, nil
	}
	r.end()
	if errors.Is(err, io.EOF) {
		return 0, io.EOF
	}
	return 0, err
}

type eof struct{ err error }

func (e eof) Read([]byte) (int, error) { return 0, e.err }
