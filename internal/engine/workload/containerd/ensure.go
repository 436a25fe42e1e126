package containerd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	taskapi "github.com/containerd/containerd/api/runtime/task/v3"
	"github.com/containerd/errdefs/pkg/errgrpc"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/workload"
)

var _ workload.Engine = (*Engine)(nil)

// Ensure implements workload.Engine. Each step finds what an earlier, broken off one left and goes on from there.
func (e *Engine) Ensure(ctx context.Context, i id.ID, want workload.Want) (workload.Seen, error) {
	ctx = inNamespace(ctx)
	if err := check(i, want); err != nil {
		return workload.Seen{}, err
	}
	in, err := e.acquire(ctx, i, true)
	if err != nil {
		return workload.Seen{}, err
	}
	defer e.release(in)

	rec, t, _, known := in.snapshot()
	hash := want.Hash()
	if known && rec.Hash == hash && t != nil && rec.running() {
		return e.seen(&rec, t), nil
	}
	e.img.gate.RLock()
	defer e.img.gate.RUnlock()
	img, err := e.img.get(ctx, want.Image)
	if err != nil {
		return workload.Seen{}, err
	}
	if known {
		e.end(in)
		if rec.Hash != hash {
			if err := e.removeLayer(i); err != nil {
				return workload.Seen{}, fail.Wrap(err, fail.Internal, "the earlier version cannot be removed")
			}
		}
	}
	if err := e.prepare(ctx, in, want, hash); err != nil {
		return workload.Seen{}, err
	}
	if err := e.start(ctx, in, want, img); err != nil {
		return workload.Seen{}, startError(want, err)
	}
	e.keepSpare()
	rec, t, _, _ = in.snapshot()
	e.events.Send(workload.Event{Instance: i, At: rec.Started, Type: workload.EventStarted})
	return e.seen(&rec, t), nil
}

func check(i id.ID, w workload.Want) error {
	if p, ok := id.Parse(string(i)); !ok || p != i {
		return fail.Field("instance", "is not an id")
	}
	if w.Image == "" {
		return fail.Field("image", "is needed")
	}
	if w.Network.Tenant == "" {
		return fail.Field("network.tenant", "is needed")
	}
	if err := workload.CheckFiles(w.Files); err != nil {
		return err
	}
	for name, n := range map[string]int64{"milli_cpu": w.MilliCPU, "memory_mib": w.MemoryMiB, "pids": w.Pids, "storage_mib": w.StorageMiB} {
		if n < 0 {
			return fail.Field(name, "must not be negative")
		}
	}
	if w.MemoryMiB > 0 && w.MemoryMiB < 6 {
		return fail.Field("memory_mib", "must be at least 6")
	}
	if w.StorageMiB > 0 && w.StorageMiB < 4 {
		return fail.Field("storage_mib", "must be at least 4")
	}
	if w.Network.Egress != workload.EgressNone && w.Network.Egress != workload.EgressInternet {
		return fail.Field("network.egress", "must be empty or internet")
	}
	if len(w.Hostname) > 63 || strings.ContainsAny(w.Hostname, " \n\t/") {
		return fail.Field("hostname", "must be a host name of at most 63 characters")
	}
	for name := range w.Network.HostAliases {
		if strings.ContainsAny(name, " \n\t") {
			return fail.Field("network.host_aliases", "%q is not a host name", name)
		}
	}
	return nil
}

// prepare writes the record: from here on the instance exists.
func (e *Engine) prepare(ctx context.Context, in *instance, want workload.Want, hash string) error {
	slot, err := e.tenants.slot(want.Network.Tenant)
	if err != nil {
		return fail.Wrap(err, fail.NoSpace, "the list of tenants cannot be written")
	}
	old, _, _, known := in.snapshot()
	next := record{Want: want, Hash: hash, Slot: slot, Address: old.Address}
	next.Want.Secrets, next.Want.Files = nil, withoutContent(want.Files)
	if known && old.Hash == hash {
		next.Started, next.Restarts, next.Exit = old.Started, old.Restarts, old.Exit
	}
	if known && old.Address.IsValid() && old.port() != next.port() {
		// Another tenant or another egress: nothing of the old port may be left.
		if err := e.net.Detach(ctx, old.port()); err != nil {
			return fail.Wrap(err, fail.Internal, "the network attachment cannot be removed")
		}
		e.forgetConnections(old.Address)
	}
	if !next.Address.IsValid() {
		if next.Address, err = e.address(in.id); err != nil {
			return err
		}
	}
	return e.change(in, func(r *record) { *r = next })
}

// start makes everything that lives only while the instance runs.
func (e *Engine) start(ctx context.Context, in *instance, want workload.Want, img *image) (err error) {
	rec, _, _, _ := in.snapshot()
	owner := e.tenants.ids(rec.Slot)
	root, err := e.mountRootfs(ctx, in.id, img, want.StorageMiB, owner)
	if err != nil {
		return err
	}
	if err := e.writeFiles(in.id, &rec); err != nil {
		return err
	}
	s, err := e.spec(ctx, in.id, want, img, root, owner)
	if err != nil {
		return err
	}
	if err := e.putFiles(in.id, want, root, s.Process.User, owner); err != nil {
		return err
	}
	t, err := e.launch(ctx, in.id, s, owner)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			e.discard(in.id, t)
		}
	}()
	if err := e.net.Attach(ctx, rec.port(), t.pid); err != nil {
		return fail.Wrap(err, fail.Internal, "the network attachment cannot be made")
	}
	if _, err := t.api.Start(ctx, &taskapi.StartRequest{ID: string(in.id)}); err != nil {
		return errgrpc.ToNative(err)
	}
	err = e.change(in, func(r *record) {
		if !r.Started.IsZero() {
			r.Restarts++
		}
		r.Started, r.Stopping = time.Now(), false
	})
	if err != nil {
		return err
	}
	e.follow(in, t)
	return nil
}

// follow makes t the instance's task and waits for its exit.
func (e *Engine) follow(in *instance, t *task) {
	done := make(chan struct{})
	in.mu.Lock()
	in.task, in.done, in.oom = t, done, 0
	in.mu.Unlock()
	e.work.Add(1)
	go func() {
		defer e.work.Done()
		e.await(in, t, done)
	}()
}

// end removes the instance's task, running or not, and waits until its exit is recorded.
func (e *Engine) end(in *instance) {
	_, t, done, _ := in.snapshot()
	if t == nil {
		e.discard(in.id, nil) // an earlier start may have been cut off
		return
	}
	ctx, cancel := context.WithTimeout(e.ctx, 20*time.Second)
	defer cancel()
	if err := t.kill(ctx); err != nil {
		e.discard(in.id, t)
	}
	select {
	case <-done:
	case <-ctx.Done():
	}
}

// startError tells the user's mistakes from ours: a command that is not in the image is theirs.
func startError(want workload.Want, err error) error {
	if e := (*fail.Error)(nil); errors.As(err, &e) {
		return err
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return fail.Wrap(err, fail.Timeout, "the instance did not start in time")
	}
	msg := err.Error()
	switch {
	case strings.Contains(msg, "chdir"):
		return fail.Wrap(err, fail.Invalid, "the working directory %s is not there or not accessible", want.Dir)
	case strings.Contains(msg, "executable file not found"), strings.Contains(msg, "no such file or directory") && strings.Contains(msg, "exec"):
		return fail.Wrap(err, fail.Invalid, "the command %s is not in the image", command(want)).Then("correct the command, or add the program to the image")
	case strings.Contains(msg, "permission denied") && strings.Contains(msg, "exec"):
		return fail.Wrap(err, fail.Invalid, "the command %s is not executable", command(want)).Then("give the file its execute permission")
	case strings.Contains(msg, "no space left on device"):
		return fail.Wrap(err, fail.NoSpace, "no room on the disk to start the instance")
	case errors.Is(err, os.ErrPermission):
		return fail.Wrap(err, fail.Unsupported, "this machine does not allow what a container needs")
	}
	return fail.Wrap(err, fail.Internal, "the instance cannot be started")
}

func command(w workload.Want) string {
	if len(w.Command) == 0 {
		return "of the image"
	}
	return fmt.Sprintf("%q", w.Command[0])
}
