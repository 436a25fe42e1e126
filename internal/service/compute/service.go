// Package compute runs servers: virtual machines of a flavour, from an image, with disks and network cards. It turns rows
// into machines on whatever is behind the machine port, and keeps the two alike.
// It may import the kernel and service/machine (the port to machines); networks, volumes, images and key pairs are handed
// to it behind interfaces.
package compute

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/awancloud/awan/internal/kernel/clock"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/machine"
)

// Host is what the service needs of the cloud around it.
type Host interface {
	// Unseal reads a secret of a stored row.
	Unseal(m *kind.Meta, part, path, sealed string) (string, error)
	// Wake makes the loop of a kind look at these rows now.
	Wake(fullName string, rows ...id.ID)
	// Make, Made, Ready and Unmake create, find, await and delete rows that a server needs (call.Door says how).
	Make(ctx context.Context, of *kind.Meta, fullName, key, name string, spec any) (kind.AnyRow, error)
	Made(ctx context.Context, of *kind.Meta, fullName, key string) (id.ID, error)
	Ready(ctx context.Context, fullName string, row id.ID) (kind.AnyRow, error)
	Unmake(ctx context.Context, fullName string, row id.ID) error
}

// Networks is where cards are plugged in.
type Networks interface {
	// PortSpec describes a port to be made for a card of a server.
	PortSpec(server *kind.Meta, hostname string, c Card, groups []string) any
	// PublicSpec describes a public address to be made for a port.
	PublicSpec(port id.ID, mbit int) any
	// Find gives a port of the project by name or id; nil when there is none. Seen fills in what the card shows of its port.
	Find(tx store.Tx, project id.ID, nameOrID string) (id.ID, error)
	Seen(tx store.Tx, port id.ID, n *NIC) error
	// Attached and Detached say in the port's row which server has it; a port that another one has is refused.
	Attached(tx store.Tx, port id.ID, server *kind.Meta) error
	Detached(tx store.Tx, port, server id.ID) error
	// Limit says how much a port may carry in each direction, in Mbit/s.
	Limit(tx store.Tx, port id.ID, mbit int) error
	// Publish binds a public address that is there to a port, in the caller's transaction; PublicOf gives those of a port.
	Publish(ctx context.Context, tx store.Tx, project id.ID, address string, port id.ID) error
	PublicOf(tx store.Tx, port id.ID) ([]PublicAddress, error)
	// Plug makes the port carry packets and says where a machine finds it; Unplug takes it back.
	Plug(ctx context.Context, port id.ID) (machine.NIC, error)
	Unplug(ctx context.Context, port id.ID) error
}

// PublicAddress is a public address of a port.
type PublicAddress struct {
	ID      id.ID
	Address string
}

// Volumes is where disks come from.
type Volumes interface {
	// RootSpec and DataSpec describe volumes to be made.
	RootSpec(r Root, image id.ID, sizeGiB int, zone string) any
	DataSpec(v Volume, zone string) any
	// Find gives a volume of the project by name or id; "" when there is none.
	Find(tx store.Tx, project id.ID, nameOrID string) (id.ID, error)
	// Attached and Detached say in the volume's row which server has it; one that is taken, or not ready, is refused.
	Attached(tx store.Tx, volume id.ID, server *kind.Meta, device string, boot bool) error
	Detached(tx store.Tx, volume, server id.ID) error
	Size(tx store.Tx, volume id.ID) (gib int, err error)
	// Hold keeps volumes as they are, from before Drive until the machine has them open.
	Hold(volumes ...id.ID) (release func())
	// Drive opens the volume for a machine, with the limits of its type.
	Drive(ctx context.Context, volume id.ID) (machine.Disk, error)
}

// Image is what a server needs to know of one.
type Image struct {
	ID        id.ID
	Name      string
	MinDisk   int   // GiB
	MinMemory int64 // MiB
	User      string
}

// Images is what servers are made from.
type Images interface {
	// Locate finds an image that the project may use, by name or id; nil when there is none. One that cannot be used now is an error.
	Locate(tx store.Tx, project id.ID, nameOrID string) (*Image, error)
	// Ready makes the image ready to be stood on: an image of the catalogue is made at its first use. It may take minutes and
	// notes its progress.
	Ready(ctx context.Context, image id.ID) error
}

// Deps are what the service stands on. The zero value is enough to describe its kinds.
type Deps struct {
	Store    store.Store
	Engine   machine.Engine
	Host     Host
	Networks Networks
	Volumes  Volumes
	Images   Images
	// PublicKey gives the public key of a project's key pair; "" when there is none of that name.
	PublicKey func(tx store.Tx, project id.ID, name string) (string, error)
	Flavors   map[string]FlavorSpec
	// MayPass refuses an agency that does not trust servers, or that the caller may not give to one. Nil: there are none.
	MayPass func(ctx context.Context, tx store.Tx, row *kind.Meta, agency string) error
	// Overcommit is how many virtual processors a real one carries, and how much memory is promised of what there is.
	Overcommit Overcommit
	Zone       string // the name of the availability zone that this machine is
	HostName   string
	Now        clock.Clock
	Log        *slog.Logger
	// Measured tells what was measured of a server over a time; nil: nothing is.
	Measured func(ctx context.Context, project, server id.ID, window time.Duration) (any, error)
}

// Service is the compute service.
type Service struct {
	Deps
	Flavor kind.Table[FlavorSpec, FlavorStatus]
	Server kind.Table[ServerSpec, ServerStatus]
	Group  kind.Table[GroupSpec, GroupStatus]

	capacity capacity
	stop     context.CancelFunc
	running  sync.WaitGroup
}

// New makes the service. Its kinds can be described at once; Start makes it work.
func New(d Deps) *Service {
	if d.Overcommit == (Overcommit{}) {
		d.Overcommit = DefaultOvercommit
	}
	s := &Service{Deps: d}
	s.describeFlavors()
	s.describeGroups()
	s.describeServers()
	return s
}

// Kinds lists the service's kinds.
func (s *Service) Kinds() []*kind.Def { return []*kind.Def{s.Server.D, s.Flavor.D, s.Group.D} }

// Start takes up the machines that run, follows what happens to them, and removes those that no row knows.
func (s *Service) Start(ctx context.Context) error {
	if err := s.syncFlavors(ctx); err != nil {
		return err
	}
	if err := s.capacity.read(ctx, s.Engine); err != nil {
		s.Log.Warn("how much room there is for servers is not known", "err", err)
	}
	follow, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.stop = stop
	s.running.Go(func() { s.follow(follow) })
	return s.removeOrphans(ctx)
}

// Close stops watching. Machines go on running.
func (s *Service) Close() {
	if s.stop != nil {
		s.stop()
	}
	s.running.Wait()
}

// follow wakes the loop when the engine saw something happen.
func (s *Service) follow(ctx context.Context) {
	for ctx.Err() == nil {
		for e, err := range s.Engine.Events(ctx) {
			if err != nil {
				s.Log.Warn("the machines' events broke off", "err", err)
				break
			}
			s.Host.Wake(s.Server.D.FullName(), e.Machine)
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}
