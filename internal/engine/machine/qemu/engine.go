// Package qemu is the machine engine of one machine: a QEMU process per machine, in its own session, control group, user,
// mount, network and process namespaces, driven by QMP. It implements service/machine.Engine and may import kernel packages,
// that port, engine/cgroup and its own sub-packages.
//
// What survives us: the processes with their sockets. On Open the engine finds them again. The truth about a machine is its
// record file; a process of a group that no record names is ended.
//
// A machine's process sees a root of its own: the system's libraries for reading, and nothing to write. Disks, taps, sockets
// and the log come to it as open files, so that its user needs a right to no path.
package qemu

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/awancloud/awan/internal/engine/broadcast"
	"github.com/awancloud/awan/internal/engine/cgroup"
	"github.com/awancloud/awan/internal/engine/dirlock"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/machine"
)

// Options say where an engine lives.
type Options struct {
	Dir         string // records and logs: everything that must survive a reboot
	Key         string // six of [a-z0-9], unlike every other cloud's on this machine
	Accelerator string // "kvm" or "tcg"; "": found out by trying
	Logger      *slog.Logger
}

// Engine runs machines on this machine.
type Engine struct {
	o     Options
	log   *slog.Logger
	qemu  string // path of the program
	cg    *cgroup.Groups
	probe *probe
	users uint32 // the first of the user ids that machines have

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	work   sync.WaitGroup // every goroutine of the engine
	lock   *os.File

	mu       sync.Mutex
	machines map[id.ID]*guest
	taken    map[uint32]id.ID // user ids
	events   broadcast.Broadcast[machine.Event]
}

var _ machine.Engine = (*Engine)(nil)

var keyForm = regexp.MustCompile(`^[a-z0-9]{6}$`)

const (
	program       = "qemu-system-x86_64"
	group         = "machine-" // control groups begin with it
	firstUser     = 0xc8000000 // above those of containers (0x20000000 and 40 clouds of 0x4000000)
	usersPerKey   = 1 << 16
	maxCloudsHere = 256
)

func (e *Engine) records() string         { return filepath.Join(e.o.Dir, "machines") }
func (e *Engine) home(i id.ID) string     { return filepath.Join(e.records(), string(i)) }
func run(key string) string               { return "/run/awan-" + key + "-machines" }
func (e *Engine) live(i id.ID) string     { return filepath.Join(run(e.o.Key), string(i)) }
func (e *Engine) group(i id.ID) string    { return group + string(i) }
func (e *Engine) qmpPath(i id.ID) string  { return filepath.Join(e.live(i), "qmp") }
func (e *Engine) linePath(i id.ID) string { return filepath.Join(e.live(i), "serial") }
func (e *Engine) askPath(i id.ID) string  { return filepath.Join(e.live(i), "agent") }

// Open starts the engine over dir and takes over the machines that an earlier one left running. Whether KVM works is found out
// in the background.
func Open(ctx context.Context, o Options) (*Engine, error) {
	if !keyForm.MatchString(o.Key) {
		return nil, fail.Field("key", "must be six of a-z and 0-9")
	}
	if !filepath.IsAbs(o.Dir) {
		return nil, fail.Field("dir", "must be an absolute path")
	}
	if o.Accelerator != "" && o.Accelerator != "kvm" && o.Accelerator != "tcg" {
		return nil, fail.Field("accelerator", "must be kvm, tcg or empty")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(o.Key))
	e := &Engine{o: o, log: o.Logger, users: firstUser + h.Sum32()%maxCloudsHere*usersPerKey, machines: map[id.ID]*guest{},
		taken: map[uint32]id.ID{}}
	e.ctx, e.cancel = context.WithCancel(context.Background())
	if err := e.open(ctx); err != nil {
		_ = e.Close()
		return nil, fail.Wrap(err, fail.Unavailable, "the machine engine cannot start")
	}
	return e, nil
}

func (e *Engine) open(ctx context.Context) (err error) {
	if os.Geteuid() != 0 {
		return fail.New(fail.Unsupported, "machines need root").Then("start the cloud as root")
	}
	if e.qemu, err = findProgram(); err != nil {
		return err
	}
	if e.cg, err = cgroup.Find(e.o.Key); err != nil {
		return err
	}
	for _, d := range []string{e.o.Dir, e.records()} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return err
		}
	}
	if e.lock, err = dirlock.Take(e.o.Dir); err != nil {
		return err
	}
	if e.probe, err = e.startProbe(); err != nil {
		return err
	}
	if err := e.loadRecords(); err != nil {
		return err
	}
	return e.adopt(ctx)
}

// findProgram looks also where a user's PATH often does not lead.
func findProgram() (string, error) {
	for _, d := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/bin", "/usr/local/bin") {
		p := filepath.Join(d, program)
		if st, err := os.Stat(p); err == nil && !st.IsDir() && st.Mode()&0o111 != 0 && strings.HasPrefix(p, "/usr/") {
			return p, nil
		}
	}
	return "", fail.New(fail.Unsupported, program+" is not installed").Then("install the package qemu-system-x86")
}

// Close lets go. Machines run on.
func (e *Engine) Close() error {
	e.cancel()
	e.mu.Lock()
	for _, g := range e.machines {
		g.hangUp()
	}
	e.mu.Unlock()
	e.work.Wait()
	e.events.Close()
	if e.lock != nil {
		return e.lock.Close()
	}
	return nil
}

// Purge removes what a cloud that no longer runs left on this machine: processes, groups, mounts, directories.
func Purge(_ context.Context, dir, key string) error {
	if !keyForm.MatchString(key) {
		return fail.Field("key", "must be six of a-z and 0-9")
	}
	cg, err := cgroup.Find(key)
	if err != nil {
		return err
	}
	var errs []error
	for _, g := range cg.Groups(group) {
		errs = append(errs, cg.Clear(g))
	}
	for _, d := range cg.Dirs("") {
		_ = unix.Rmdir(d) // fails while other engines have groups there
	}
	entries, _ := os.ReadDir(run(key))
	for _, f := range entries {
		errs = append(errs, unmount(filepath.Join(run(key), f.Name())))
	}
	errs = append(errs, os.RemoveAll(run(key)), os.RemoveAll(filepath.Join(dir, "machines")), removeIfThere(filepath.Join(dir, "probe.json")),
		removeIfThere(filepath.Join(dir, "lock")))
	_ = unix.Rmdir(dir)
	if err := errors.Join(errs...); err != nil {
		return fail.Wrap(err, fail.Internal, "not everything of machines could be removed")
	}
	return nil
}

func removeIfThere(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// Purge closes the engine and removes all it has.
func (e *Engine) Purge(ctx context.Context) error {
	return errors.Join(e.Close(), Purge(ctx, e.o.Dir, e.o.Key))
}

// unmount takes a mount away, if there is one.
func unmount(path string) error {
	if err := unix.Unmount(path, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("unmount %s: %w", path, err)
	}
	return nil
}
