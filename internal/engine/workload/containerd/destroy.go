package containerd

import (
	"context"
	"errors"
	"os"

	"github.com/awancloud/awan/internal/engine/cgroup"
	"github.com/awancloud/awan/internal/engine/dirlock"
	"github.com/awancloud/awan/internal/engine/workload/containerd/network"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
)

// forget removes all that is left of an instance without a task; the record goes last, so that a crash before that is
// followed by another Destroy.
func (e *Engine) forget(ctx context.Context, in *instance, rec record) error {
	if rec.Address.IsValid() {
		if err := e.net.Detach(ctx, rec.port()); err != nil {
			return fail.Wrap(err, fail.Internal, "the network attachment cannot be removed")
		}
	}
	if err := errors.Join(e.removeLayer(in.id), os.RemoveAll(e.paths.logs(in.id))); err != nil {
		return fail.Wrap(err, fail.Internal, "the instance's files cannot be removed")
	}
	if err := os.Remove(e.recordFile(in.id)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fail.Wrap(err, fail.Internal, "the instance's record cannot be removed")
	}
	e.mu.Lock()
	if e.used[rec.Address] == in.id {
		delete(e.used, rec.Address)
	}
	e.mu.Unlock()
	in.mu.Lock()
	in.rec = nil
	in.mu.Unlock()
	return nil
}

// Purge removes every trace of this cloud from the machine, the engine's own directories included, and closes the
// engine. It is for `awan down --purge` and for tests.
func (e *Engine) Purge(ctx context.Context) error {
	var errs []error
	e.mu.Lock()
	var all []id.ID
	for i := range e.instances {
		all = append(all, i)
	}
	e.mu.Unlock()
	for _, i := range all {
		errs = append(errs, e.Destroy(ctx, i))
	}
	errs = append(errs, e.Close())
	return errors.Join(append(errs, Purge(ctx, e.o.Dir, e.o.Key))...)
}

// Purge removes what a cloud that no longer runs left on this machine: containers, shims, interfaces, rules, mounts,
// control groups, directories.
func Purge(ctx context.Context, dir, key string) error {
	if !keyForm.MatchString(key) {
		return fail.Field("key", "must be six of a-z and 0-9")
	}
	cg, err := cgroup.Find(key)
	if err != nil {
		return err
	}
	if _, err := os.Stat(dir); err == nil {
		lock, err := dirlock.Take(dir)
		if err != nil {
			return err
		}
		defer lock.Close()
	}
	e := &Engine{paths: paths{dir: dir, run: "/run/awan-" + key}, cg: cg}
	e.shim = shimPath(dir)
	e.killShims("")
	errs := []error{network.Purge(ctx, key)}
	errs = append(errs, cg.ClearAll())
	if err := unmountBelow(e.paths.run); err != nil { // what is still mounted must not be removed through the mount
		return fail.Wrap(errors.Join(append(errs, err)...), fail.Internal, "not everything could be unmounted")
	}
	for _, d := range []string{e.paths.run, e.paths.records(), e.paths.layers(), dir + "/logs", dir + "/images", dir + "/bin"} {
		errs = append(errs, os.RemoveAll(d))
	}
	for _, f := range []string{"tenants.json", "next-address.json", "lock", "subnet"} {
		if err := os.Remove(dir + "/" + f); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fail.Wrap(err, fail.Internal, "not everything could be removed")
	}
	return nil
}
