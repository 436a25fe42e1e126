// Package containerd is the workload engine of one machine: containerd's content store, snapshots and runc task service
// as a library inside the cloud's own process, with a shim per container that outlives it. It implements
// service/workload.Engine and may import kernel packages, that port, containerd and its own sub-packages.
//
// What survives us: containers, their shims (which keep exit codes and write logs), veth pairs, packet rules, mounts. On
// Open the engine finds them again. The truth about an instance is its record file; everything else is made from it.
package containerd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/awancloud/awan/internal/engine/broadcast"
	"github.com/awancloud/awan/internal/engine/cgroup"
	"github.com/awancloud/awan/internal/engine/dirlock"
	"github.com/awancloud/awan/internal/engine/workload/containerd/network"
	"github.com/awancloud/awan/internal/engine/workload/containerd/shim"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/workload"
)

// Options say where an engine lives.
type Options struct {
	Dir          string            // everything that must survive a reboot; without ':' and ','
	Key          string            // six of [a-z0-9], unlike every other cloud's on this machine
	Subnet       netip.Prefix      // addresses of instances: a /16 as PickSubnet gives
	Registry     http.RoundTripper // reaches the registry, with its authentication
	RegistryHost string            // stands before image references
	Logger       *slog.Logger
}

// Engine runs containers on this machine.
type Engine struct {
	o     Options
	log   *slog.Logger
	runc  string
	shim  string // the binary that shims run
	paths paths
	cg    *cgroup.Groups
	net   *network.Network
	img   *images
	caps  []workload.Feature
	quota bool // writable layers can be limited

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	work   sync.WaitGroup // every goroutine of the engine
	lock   *os.File

	format    sync.Mutex // held while an empty layer or a user namespace is made
	users     map[uint32]*os.File
	mu        sync.Mutex
	instances map[id.ID]*instance
	tenants   *tenants
	hosts     hosts
	names     map[string]map[string]netip.Addr // tenant → name → address
	used      map[netip.Addr]id.ID
	spare     *spare // a shim that was started ahead; may be nil
	sparing   bool   // it is being started
	events    broadcast.Broadcast[workload.Event]
}

// paths are the engine's places. Below run everything is gone after a reboot, as it should be.
type paths struct{ dir, run string }

func (p paths) records() string               { return filepath.Join(p.dir, "instances") }
func (p paths) layers() string                { return filepath.Join(p.dir, "layers") }
func (p paths) logs(i id.ID) string           { return filepath.Join(p.dir, "logs", string(i)) }
func (p paths) sockets() string               { return filepath.Join(p.run, "s") }
func (p paths) socket(i id.ID) string         { return filepath.Join(p.sockets(), string(i)) }
func (p paths) bundle(i id.ID) string         { return filepath.Join(p.run, "b", string(i)) }
func (p paths) live(i id.ID) string           { return filepath.Join(p.run, "i", string(i)) }
func (p paths) moment() string                { return filepath.Join(p.run, "m") }
func (p paths) rootfs(i id.ID) string         { return filepath.Join(p.live(i), "rootfs") }
func (p paths) file(i id.ID, n string) string { return filepath.Join(p.live(i), "etc", n) }

var keyForm = regexp.MustCompile(`^[a-z0-9]{6}$`)

// IsShim tells whether this process was started as a container's shim. Ask before anything else in main, and call
// ShimMain if so.
func IsShim(args []string) bool { return shim.Is(args) }

// ShimMain is the shim's main; it does not return.
func ShimMain() { shim.Main() }

// Gateway is the address at which instances reach the cloud, at port 443.
func (e *Engine) Gateway() netip.Addr { return e.net.Gateway() }

// Inside is where their connections arrive. It may be closed by whoever takes it; Close closes it.
func (e *Engine) Inside() net.Listener { return e.net.Inside() }

// PickSubnet finds a free range for the cloud in dir and remembers it there.
func PickSubnet(dir string) (netip.Prefix, error) {
	p, err := network.PickSubnet(dir)
	if err != nil {
		return p, fail.Wrap(err, fail.Unavailable, "no address range is free on this machine").Then("write one into the file subnet in the cloud's directory")
	}
	return p, nil
}

// Open starts the engine over dir and takes over what an earlier one left running.
func Open(ctx context.Context, o Options) (*Engine, error) {
	if !keyForm.MatchString(o.Key) {
		return nil, fail.Field("key", "must be six of a-z and 0-9")
	}
	if strings.ContainsAny(o.Dir, ":,\\") || !filepath.IsAbs(o.Dir) {
		return nil, fail.Field("dir", "must be an absolute path without colon, comma and backslash")
	}
	if !o.Subnet.IsValid() || !o.Subnet.Addr().Is4() || o.Subnet.Bits() != 16 {
		return nil, fail.Field("subnet", "must be an IPv4 range with /16")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	e := &Engine{o: o, log: o.Logger, paths: paths{dir: o.Dir, run: "/run/awan-" + o.Key}, instances: map[id.ID]*instance{},
		used: map[netip.Addr]id.ID{}, users: map[uint32]*os.File{}, names: map[string]map[string]netip.Addr{}}
	e.ctx, e.cancel = context.WithCancel(inNamespace(context.Background()))
	if err := e.open(inNamespace(ctx)); err != nil {
		_ = e.Close()
		return nil, fail.Wrap(err, fail.Unavailable, "the container engine cannot start")
	}
	return e, nil
}

func (e *Engine) open(ctx context.Context) (err error) {
	if os.Geteuid() != 0 {
		return fail.New(fail.Unsupported, "containers need root").Then("start the cloud as root")
	}
	if e.runc, err = findRunc(); err != nil {
		return err
	}
	if e.cg, err = cgroup.Find(e.o.Key); err != nil {
		return err
	}
	if err := e.directories(); err != nil {
		return err
	}
	if e.shim, err = linkShim(filepath.Join(e.paths.dir, "bin")); err != nil {
		return fmt.Errorf("put the shim into place: %w", err)
	}
	if e.img, err = openImages(ctx, e.o, e.log); err != nil {
		return fmt.Errorf("open the image store: %w", err)
	}
	if e.tenants, err = loadTenants(filepath.Join(e.paths.dir, "tenants.json"), e.o.Key); err != nil {
		return err
	}
	if err := e.loadRecords(); err != nil {
		return err
	}
	e.net, err = network.Open(ctx, network.Options{Key: e.o.Key, Subnet: e.o.Subnet, Log: e.log}, e.ports())
	if err != nil {
		return err
	}
	e.caps = e.probe()
	e.quota = e.can("layer quota")
	if !e.can("user namespace") {
		return fail.New(fail.Unsupported, "the kernel cannot give containers their own users").Then("use Linux 5.19 or newer with user namespaces and idmapped mounts")
	}
	if err := e.adopt(ctx); err != nil {
		return err
	}
	e.work.Add(2)
	go e.watchOOM()
	go e.collectImages()
	if len(e.instances) > 0 {
		e.keepSpare()
	}
	return nil
}

// directories makes the engine's places, takes the lock on dir, and puts a tmpfs under run where /run is on a disk, since
// bundles hold secrets.
func (e *Engine) directories() error {
	if err := os.MkdirAll(e.paths.dir, 0o711); err != nil {
		return err
	}
	lock, err := dirlock.Take(e.paths.dir)
	if err != nil {
		return err
	}
	e.lock = lock
	if err := os.MkdirAll(e.paths.run, 0o711); err != nil {
		return err
	}
	var st unix.Statfs_t
	if err := unix.Statfs(e.paths.run, &st); err != nil {
		return err
	}
	if st.Type != unix.TMPFS_MAGIC {
		if err := unix.Mount("awan", e.paths.run, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=0711,size=512m"); err != nil {
			return fmt.Errorf("mount a tmpfs for secrets: %w", err)
		}
	}
	for _, d := range []string{e.paths.records(), e.paths.layers(), filepath.Join(e.paths.dir, "logs")} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return err
		}
	}
	// Pipes of commands that ran when the last process died.
	if err := os.RemoveAll(filepath.Join(e.paths.run, "x")); err != nil {
		return err
	}
	// Mounts of starts that were cut off.
	if err := unmountBelow(e.paths.moment()); err != nil {
		return err
	}
	if err := errors.Join(os.RemoveAll(e.paths.moment()), os.MkdirAll(e.paths.moment(), 0o700)); err != nil {
		return err
	}
	for _, d := range []string{e.paths.sockets(), e.paths.bundle(""), e.paths.live("")} {
		if err := os.MkdirAll(d, 0o711); err != nil {
			return err
		}
	}
	return nil
}

// Close lets go. Containers, their shims, addresses and rules stay.
func (e *Engine) Close() error {
	e.cancel()
	e.mu.Lock()
	for _, in := range e.instances {
		in.hangUp()
	}
	e.mu.Unlock()
	e.work.Wait()
	if e.spare != nil {
		_ = e.spare.orders.Close()
	}
	e.events.Close()
	for _, f := range e.users {
		f.Close()
	}
	var err error
	if e.net != nil {
		err = e.net.Close()
	}
	if e.img != nil {
		err = errors.Join(err, e.img.close())
	}
	if e.lock != nil {
		err = errors.Join(err, e.lock.Close())
	}
	return err
}

// Capabilities tells what was found when the engine opened.
func (e *Engine) Capabilities(context.Context) workload.Capabilities {
	return workload.Capabilities{Name: "containerd", Version: version(), Features: e.caps}
}

// findRunc looks also where a user's PATH often does not lead.
func findRunc() (string, error) {
	for _, d := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/sbin", "/usr/local/sbin", "/usr/bin", "/sbin") {
		p := filepath.Join(d, "runc")
		if st, err := os.Stat(p); err == nil && !st.IsDir() && st.Mode()&0o111 != 0 {
			return p, nil
		}
	}
	return "", fail.New(fail.Unsupported, "runc is not installed").Then("install the package runc")
}

// linkShim puts this very binary beside dir under the shim's name. Running shims keep the one they started with.
func linkShim(dir string) (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	path, tmp := filepath.Join(dir, shim.Name), filepath.Join(dir, ".new")
	_ = os.Remove(tmp)
	if os.Link(self, tmp) != nil {
		if err := copyFile(self, tmp, 0o700); err != nil {
			return "", err
		}
	}
	return path, os.Rename(tmp, path)
}
