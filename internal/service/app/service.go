// Package app runs people's programs: environments, applications, components and their releases. It turns a source or
// an image into instances that are probed, rolled over without a failed request, and reached at an HTTPS address.
// It may import the kernel, service/workload (the port to containers) and service/build (the port to builds).
package app

import (
	"context"
	"hash/fnv"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/clock"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/secret"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/build"
	"github.com/awancloud/awan/internal/service/log"
	"github.com/awancloud/awan/internal/service/workload"
)

// Builder makes images from uploaded sources, and finds images by name.
type Builder interface {
	// Build turns the archive into an image of the registry.
	Build(ctx context.Context, r build.Request, p build.Progress) (build.Output, error)
	// Resolve gives the digest form of an image that the project may run.
	Resolve(ctx context.Context, project id.ID, image string) (string, error)
}

// Host is what the service needs of the cloud around it.
type Host interface {
	// Unseal reads a secret of a stored row.
	Unseal(m *kind.Meta, part, path, sealed string) (string, error)
	// Wake makes the loop of a kind run now.
	Wake(fullName string)
	// Do sends a call of the system's own through the door.
	Do(ctx context.Context, c *call.Call) (call.Reply, error)
	// Act calls an action of a row in the cloud's own name, through the door.
	Act(ctx context.Context, row *kind.Meta, verb string, in any) error
}

// Deps are what the service stands on. The zero value is enough to describe its kinds.
type Deps struct {
	Store   store.Store
	Engine  workload.Engine
	Builder Builder
	Host    Host
	// Guard refuses an image (repository@digest) that may not be released in an environment; nil: every image may be.
	Guard  func(ctx context.Context, component *kind.Meta, environment, image string) error
	Config Configs
	// Git fetches repositories and keeps our own; nil: there are none.
	Git build.Git
	// GitQuota bounds a project's own repositories, in bytes; 0 is 1 GiB.
	GitQuota int64
	// Pull copies an image of another registry into the project's part of ours and gives its reference; nil: it cannot.
	Pull func(ctx context.Context, project id.ID, image string, access *build.Access) (string, error)
	// Download fetches packages; nil: it cannot.
	Download Download
	// Objects are the buckets that packages may come from; nil: none.
	Objects Objects
	// Caches are what builds keep; nil: nothing.
	Caches Caches
	// Projects lists the projects that there are; nil: those with components.
	Projects func(tx store.Tx) ([]id.ID, error)
	// Runtimes are the stacks' versions that this cloud comes with.
	Runtimes []build.Runtime
	// Uploads is where a project's uploads lie; those of "" are all, to list and delete. Nil: there are none.
	Uploads func(project id.ID) Depot
	// Sealer encrypts build logs.
	Sealer *secret.Sealer
	Dir    string // build logs, and sources while they are built
	// URL gives the address people use for a component, and the host name beside it; both change with the listener.
	URL func(address netip.Addr, name, project string) (url, host string)
	// Listen makes the ingress reachable under a component's own address.
	Listen func(netip.Addr) error
	// Gateway is the address at which instances reach the ingress; invalid where they cannot.
	Gateway netip.Addr
	// Trust is the certificate (PEM) by which instances know the ingress.
	Trust []byte
	Now   clock.Clock
	Log   *slog.Logger
	// Retention keeps deleted components in the trash.
	Retention time.Duration
}

// Service is the app service.
type Service struct {
	Deps
	Environment kind.Table[EnvironmentSpec, EnvironmentStatus]
	Application kind.Table[ApplicationSpec, ApplicationStatus]
	Component   kind.Table[ComponentSpec, ComponentStatus]
	Release     kind.Table[ReleaseSpec, ReleaseStatus]
	Credential  kind.Table[CredentialSpec, ident.None]
	Token       kind.Table[TokenSpec, TokenStatus]
	Stack       kind.Table[StackSpec, StackStatus]
	CustomStack kind.Table[StackSpec, StackStatus]

	Configuration kind.Table[ConfigurationSpec, ConfigurationStatus]
	Task          kind.Table[TaskSpec, TaskStatus]
	Schedule      kind.Table[ScheduleSpec, ScheduleStatus]

	LaneGroup kind.Table[LaneGroupSpec, LaneGroupStatus]
	Lane      kind.Table[LaneSpec, LaneStatus]

	// Measured summarises what was measured of a component; nil where nothing is measured.
	Measured func(ctx context.Context, project id.ID, component string, window time.Duration) (any, error)
	// Logs keeps what instances printed, also of those that are gone; nil where nothing is kept. Leaving is told of an
	// instance that ended and is removed next.
	Logs    *log.Store
	Leaving func(ctx context.Context, instance id.ID)
	// Bounds tells between how many instances a scaling policy keeps a component, if there is one.
	Bounds func(tx store.Tx, component id.ID) (*Bounds, error)

	Ingress  *Ingress
	health   *health
	starting starting
	naming   sync.Mutex
	named    atomic.Bool // the names of what was there at the start are known
	stop     context.CancelFunc
	running  sync.WaitGroup
}

// New makes the service. Its kinds can be described at once; Start makes it work.
func New(d Deps) *Service {
	if d.Retention == 0 {
		d.Retention = 7 * 24 * time.Hour
	}
	s := &Service{Deps: d}
	s.Ingress = newIngress(d.Log)
	s.Ingress.coming = s.coming
	s.health = newHealth(s)
	s.starting.of = map[id.ID]id.ID{}
	s.describe()
	return s
}

// Kinds lists the service's kinds.
func (s *Service) Kinds() []*kind.Def {
	return []*kind.Def{s.Component.D, s.Application.D, s.Environment.D, s.Release.D, s.LaneGroup.D, s.Lane.D, s.Configuration.D,
		s.Task.D, s.Schedule.D, s.Credential.D, s.Token.D, s.Stack.D, s.CustomStack.D}
}

// Start takes up what runs already: routes to it, watches its health, and removes instances the store never knew.
func (s *Service) Start(ctx context.Context) error {
	var rows []*componentRow
	err := s.Store.View(ctx, func(tx store.Tx) (err error) {
		rows, err = s.Component.List(tx, "", kind.Filter{})
		return err
	})
	if err != nil {
		return err
	}
	if err := s.takeOver(ctx); err != nil {
		return err
	}
	if err := s.sealBuildLogs(ctx); err != nil {
		return err
	}
	if err := s.syncStacks(ctx); err != nil {
		return err
	}
	for _, row := range rows {
		s.adopt(ctx, row)
	}
	s.nameAll(ctx)
	follow, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.stop = stop
	if err := s.syncLanes(ctx); err != nil {
		stop()
		return err
	}
	s.running.Go(func() { s.follow(follow) })
	s.running.Go(func() { s.tidyNowAndThen(follow) })
	s.running.Go(func() { s.followLanes(follow) })
	s.running.Go(func() { s.followHooks(follow) })
	return s.removeOrphans(ctx)
}

// Close stops watching. Instances go on running.
func (s *Service) Close() {
	if s.stop != nil {
		s.stop()
	}
	s.running.Wait()
	s.health.close()
}

// adopt takes up a component after a restart of the cloud. Its instances went on running; those that were ready are
// taken to be so until a probe says otherwise.
func (s *Service) adopt(ctx context.Context, row *componentRow) {
	s.expose(row)
	for i := range row.Status.Instances {
		in := &row.Status.Instances[i]
		if in.Phase != phaseReady && in.Phase != phaseUnready && in.Phase != phaseStarting {
			continue
		}
		seen, err := s.Engine.Observe(ctx, in.ID)
		if err != nil || seen.Phase != workload.PhaseRunning {
			continue // the loop starts it again
		}
		if err := s.watch(ctx, row, in, seen.Address, in.Phase == phaseReady); err != nil {
			s.Log.Warn("an instance is not watched yet", "instance", in.ID, "err", err)
		}
	}
}

// expose makes the component's addresses known to the listener and the ingress.
func (s *Service) expose(row *componentRow) {
	addr, err := netip.ParseAddr(row.Status.Address)
	if err != nil {
		return
	}
	_, host := s.URL(addr, row.Name, string(row.Project))
	if s.Ingress.Expose(row.Project, row.ID, row.Name, addr, host) {
		s.nameInside(context.Background(), row.Project)
	}
	s.divide(row)
	if n := row.Status.Next; n != nil && n.Tally != nil {
		s.Ingress.resume(row.ID, n.Number, *n.Tally)
	}
	if err := s.Listen(addr); err != nil {
		s.Log.Error("the app's address cannot be opened", "app", row.Name, "address", addr, "err", err)
	}
}

// follow wakes the loop when an engine saw something happen.
func (s *Service) follow(ctx context.Context) {
	for ctx.Err() == nil {
		for _, err := range s.Engine.Events(ctx) {
			if err != nil {
				s.Log.Warn("engine events broke off", "err", err)
				break
			}
			s.Host.Wake(s.Component.D.FullName())
			s.Host.Wake(s.Task.D.FullName())
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}

// removeOrphans destroys instances that no component knows: those of a crash between the engine and the store.
func (s *Service) removeOrphans(ctx context.Context) error {
	orphans, err := s.orphans(ctx)
	if err != nil {
		return err
	}
	for _, in := range orphans {
		s.Log.Info("removing an instance that belongs to nothing", "instance", in)
		if err := s.Engine.Destroy(ctx, in); err != nil {
			s.Log.Warn("an orphan cannot be removed", "instance", in, "err", err)
		}
	}
	return nil
}

// orphans are instances that no component, hook or task knows.
func (s *Service) orphans(ctx context.Context) ([]id.ID, error) {
	var held []id.ID
	for in, err := range s.Engine.List(ctx) {
		if err != nil {
			return nil, err
		}
		held = append(held, in)
	}
	known := map[id.ID]bool{}
	err := s.Store.View(ctx, func(tx store.Tx) error {
		rows, _, err := s.Component.D.List(tx, "", kind.Filter{})
		for _, r := range rows {
			st := &r.(*componentRow).Status
			for _, in := range st.Instances {
				known[in.ID] = true
			}
			if st.Hook != nil {
				known[st.Hook.ID] = true
			}
		}
		if err != nil {
			return err
		}
		tasks, err := s.Task.List(tx, "", kind.Filter{})
		for _, t := range tasks {
			for _, a := range t.Status.Attempts {
				known[a.Instance] = true
			}
		}
		return err
	})
	return slices.DeleteFunc(held, func(in id.ID) bool { return known[in] }), err
}

const addressPrefix = "appaddress/"

// allocate gives a component a loopback address of its own, 127.64.0.1 to 127.127.255.254: an app then has an origin of
// its own (cookies, same-origin policy) that every client on the machine reaches without any DNS.
func allocate(tx store.Tx, component id.ID) (netip.Addr, error) {
	h := fnv.New32a()
	_, _ = h.Write([]byte(component))
	n := h.Sum32()
	for range 1000 {
		n = n*1664525 + 1013904223
		addr := netip.AddrFrom4([4]byte{127, 64 + byte(n>>24)&63, byte(n >> 16), 1 + byte(n>>8)%254})
		owner, taken, err := tx.Get(addressPrefix + addr.String())
		if err != nil {
			return addr, err
		}
		if !taken || id.ID(owner) == component {
			return addr, tx.Put(addressPrefix+addr.String(), []byte(component))
		}
	}
	return netip.Addr{}, fail.New(fail.NoSpace, "no free address for the app was found").Then("delete some apps")
}
