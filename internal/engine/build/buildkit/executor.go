package buildkit

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/continuity/fs"
	"github.com/moby/buildkit/executor"
	"github.com/moby/buildkit/executor/resources"
	resourcestypes "github.com/moby/buildkit/executor/resources/types"
	"github.com/moby/buildkit/executor/runcexecutor"
	"github.com/moby/buildkit/identity"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/util/network"
	"github.com/moby/sys/user"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/awancloud/awan/internal/kernel/fail"
)

// check tells whether this machine can run build steps at all.
func check() error {
	if os.Geteuid() != 0 {
		return fail.New(fail.Unsupported, "building images needs root").Then("run the cloud as root")
	}
	if _, err := exec.LookPath("runc"); err != nil {
		return fail.New(fail.Unsupported, "building images needs runc, which is not installed").Then("install the Debian package runc").Because(err)
	}
	return nil
}

// ids is how many user ids a build step has.
const ids = 65536

// steps runs RUN steps: BuildKit's runc executor, made narrower. Root inside a step is nobody outside: the snapshots
// are seen through a mount that shifts user ids, so that files keep their ids on disk and layers need no rewriting.
type steps struct {
	executor.Executor
	runs      *runs
	env       []string
	snapshots string // where snapshots lie, and
	shifted   string // where the shifted view of them is mounted
	scratch   string // mount points for preparing a root, and for caches that steps share

	mu     sync.Mutex
	shared map[string]*sharedMount // by the folder they write to
}

// newExecutor mounts the shifted view and makes the executor.
func newExecutor(ctx context.Context, o Options, snapshots string, runs *runs) (*steps, error) {
	if err := os.MkdirAll(o.Run, 0o711); err != nil {
		return nil, fail.Wrap(err, fail.NoSpace, "preparing to run build steps")
	}
	var env []string
	if o.Env != nil {
		env = o.Env(ctx)
	}
	s := &steps{runs: runs, env: env, snapshots: snapshots, shifted: filepath.Join(o.Run, "snapshots"), scratch: filepath.Join(o.Run, "scratch"),
		shared: map[string]*sharedMount{}}
	for _, d := range []string{s.shifted, s.scratch} {
		_ = unix.Unmount(d, unix.MNT_DETACH)
		if err := os.MkdirAll(d, 0o711); err != nil {
			return nil, fail.Wrap(err, fail.NoSpace, "preparing to run build steps")
		}
	}
	// The second part is for the overlay's own working folder, which the kernel makes as the host's root: an id that
	// nothing in an image has stands for that on disk.
	mapping := fmt.Sprintf("0:%d:%d,%d:0:1", o.UserBase, ids, 2_000_000_000)
	ns, err := mount.GetUsernsFD(mapping, mapping)
	if err != nil {
		return nil, fail.Wrap(err, fail.Unsupported, "build steps need user namespaces, which this machine does not allow").
			Then("allow them (sysctl user.max_user_namespaces)")
	}
	defer ns.Close()
	if err := mount.IDMapMount(snapshots, s.shifted, int(ns.Fd())); err != nil {
		return nil, fail.Wrap(err, fail.Unsupported, "the file system under %s cannot shift user ids, which build steps need", o.Dir).
			Then("keep the cloud's data on ext4, XFS or btrfs, with Linux 5.19 or later")
	}
	identities := []user.IDMap{{ID: 0, ParentID: int64(o.UserBase), Count: ids}}
	s.Executor, err = runcexecutor.New(runcexecutor.Opt{
		Root: filepath.Join(o.Run, "steps"), CommandCandidates: []string{"runc"},
		IdentityMapping: &user.IdentityMapping{UIDMaps: identities, GIDMaps: identities},
		// One that was never started measures nothing; a started one would move this process in the cgroup tree.
		ResourceMonitor: &resources.Monitor{},
	}, map[pb.NetMode]network.Provider{pb.NetMode_UNSET: &provider{o.Net}, pb.NetMode_NONE: &provider{}})
	if err != nil {
		_ = s.close()
		return nil, fail.Wrap(err, fail.Unsupported, "build steps cannot be run")
	}
	return s, nil
}

func (s *steps) close() error {
	err := unix.Unmount(s.shifted, unix.MNT_DETACH)
	for _, d := range []string{s.shifted, s.scratch} {
		_ = os.Remove(d) // made again at the next start
	}
	return err
}

// Run runs one step within its build's limits.
func (s *steps) Run(ctx context.Context, id string, root executor.Mount, mounts []executor.Mount, process executor.ProcessInfo,
	started chan<- struct{}) (resourcestypes.Recorder, error) {
	r := s.owner(&process.Meta)
	if r == nil {
		return nil, errors.New("a build step that belongs to no build")
	}
	process.Meta.CgroupParent = r.cgroup.path
	if err := s.prepare(ctx, root, process.Meta.Cwd); err != nil {
		return nil, fmt.Errorf("preparing the step's folder: %w", err)
	}
	watch := r.disk.watch(r)
	defer watch.stop()
	root.Src = &shift{root.Src, s, watch, true}
	shifted := make([]executor.Mount, len(mounts))
	for i, m := range mounts {
		m.Src = &shift{m.Src, s, watch, false}
		shifted[i] = m
	}
	r.cgroup.killed() // an earlier step may have lived through losing a process
	recorder, err := s.Executor.Run(ctx, id, root, shifted, process, started)
	if err != nil && r.cgroup.killed() {
		r.starved.Store(true)
	}
	return recorder, err
}

// Exec would run something beside a step; no build needs it.
func (s *steps) Exec(context.Context, string, executor.ProcessInfo) error {
	return errors.New("nothing is run beside a build step")
}

// owner finds the build that a step belongs to, takes the marker out of the step's environment and adds the machine's.
func (s *steps) owner(meta *executor.Meta) *run {
	var owner *run
	kept := make([]string, 0, len(meta.Env))
	for _, e := range meta.Env {
		if _, id, found := strings.Cut(e, "="+marker); found {
			if r := s.runs.get(id); r != nil {
				owner = r
			}
			continue
		}
		kept = append(kept, e)
	}
	for _, e := range s.env {
		name, _, _ := strings.Cut(e, "=")
		if !slices.ContainsFunc(kept, func(k string) bool { return strings.HasPrefix(k, name+"=") }) {
			kept = append(kept, e)
		}
	}
	meta.Env = kept
	return owner
}

// prepare makes the working folder where a Dockerfile names one that is not there: the executor would make it as the
// host's root, which the shifted view does not know.
func (s *steps) prepare(ctx context.Context, root executor.Mount, cwd string) error {
	if cwd == "" || cwd == "/" {
		return nil
	}
	ref, err := root.Src.Mount(ctx, false)
	if err != nil {
		return err
	}
	mounts, release, err := unshared(ref).Mount()
	if err != nil {
		return err
	}
	if release != nil {
		defer release()
	}
	at, err := os.MkdirTemp(s.scratch, "")
	if err != nil {
		return err
	}
	defer os.Remove(at)
	if err := mount.All(mounts, at); err != nil {
		return err
	}
	defer unix.Unmount(at, unix.MNT_DETACH)
	folder, err := fs.RootPath(at, cwd) // follows links as the step would see them
	if err != nil {
		return err
	}
	return os.MkdirAll(folder, 0o755)
}

// provider gives steps their network; a nil net is none at all.
type provider struct{ net Net }

func (p *provider) Close() error { return nil }

func (p *provider) New(ctx context.Context, _ string) (network.Namespace, error) {
	if p.net == nil {
		return &namespaceOf{}, nil
	}
	path, release, err := p.net.Attach(ctx, identity.NewID())
	if err != nil {
		return nil, fmt.Errorf("attaching the step's network: %w", err)
	}
	return &namespaceOf{path, release}, nil
}

type namespaceOf struct {
	path    string
	release func()
}

func (n *namespaceOf) Close() error {
	if n.release != nil {
		n.release()
		n.release = nil
	}
	return nil
}

func (n *namespaceOf) Sample() (*resourcestypes.NetworkSample, error) { return nil, nil }

// Set is where the step's specification passes by: beside the network, it is fitted to the user namespace here.
func (n *namespaceOf) Set(spec *specs.Spec) error {
	for i := range spec.Linux.Namespaces {
		if spec.Linux.Namespaces[i].Type == specs.NetworkNamespace {
			spec.Linux.Namespaces[i].Path = n.path
		}
	}
	var kept []specs.Mount
	for _, m := range spec.Mounts {
		switch m.Type {
		case "sysfs": // belongs to the network namespace's owner, which is the host
			m = specs.Mount{Destination: m.Destination, Type: "tmpfs", Source: "tmpfs", Options: []string{"ro", "nosuid", "noexec", "nodev", "size=4k"}}
		case "cgroup":
			continue
		}
		kept = append(kept, m)
	}
	spec.Mounts = kept
	spec.Process.OOMScoreAdj = nil // we may lack the right to lower it
	return nil
}

// sweepContainers ends steps that a killed process left running and unmounts what they had.
func sweepContainers(run string) {
	bundles, _ := filepath.Glob(filepath.Join(run, "steps", "*", "config.json"))
	for _, b := range bundles {
		dir := filepath.Dir(b)
		_ = exec.Command("runc", "delete", "--force", filepath.Base(dir)).Run() // absent is success
		_ = unix.Unmount(filepath.Join(dir, "rootfs"), unix.MNT_DETACH)
		_ = os.Remove(filepath.Join(dir, "rootfs"))
		_ = os.Remove(b)
		_ = os.Remove(dir)
	}
	leftovers, _ := filepath.Glob(filepath.Join(run, "scratch", "*"))
	for _, d := range leftovers {
		_ = unix.Unmount(d, unix.MNT_DETACH)
		_ = os.Remove(d)
	}
}
