// Package volume is block storage: volumes, which servers use as disks, and snapshots of them. What is in them lies in
// the disk engine, encrypted with a key for each volume that the project's key protects. It may import the kernel, the
// ports service/disk and service/machine, and service/image.
package volume

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/clock"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/ledger"
	"github.com/awancloud/awan/internal/kernel/secret"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/disk"
	"github.com/awancloud/awan/internal/service/image"
	"github.com/awancloud/awan/internal/service/machine"
)

// Machines is what volumes need of the machine engine: to snapshot and to grow what a server has open.
type Machines interface {
	Observe(ctx context.Context, machine id.ID) (machine.Seen, error)
	Overlay(ctx context.Context, machine, disk id.ID, layer machine.Drive, quiesce bool) (consistent bool, err error)
	Resized(ctx context.Context, machine, disk id.ID, bytes int64) error
}

// Deps are what the service stands on; the zero value is enough to describe its kinds.
type Deps struct {
	Store    store.Store
	Engine   disk.Engine
	Machines Machines // nil: no server ever runs
	Images   *image.Service
	Sealer   *secret.Sealer
	Limits   ledger.Limits
	Now      clock.Clock
	Log      *slog.Logger
	// Unseal reads a secret of a stored row.
	Unseal func(m *kind.Meta, part, path, sealed string) (string, error)
	// Refit gives a running server the new limits of a volume that it has; nil: they hold from its next start.
	Refit func(ctx context.Context, server, volume id.ID) error
	// Catalogue are the types that the cloud comes with.
	Catalogue []Entry
	// Zones are the availability zones; none: any name will do.
	Zones []string
	// Retention keeps deleted volumes in the trash.
	Retention time.Duration
}

// Service is block storage.
type Service struct {
	Deps
	Volumes   kind.Table[Spec, Status]
	Types     kind.Table[TypeSpec, TypeStatus]
	Snapshots kind.Table[SnapshotSpec, SnapshotStatus]
	Transfers kind.Table[TransferSpec, TransferStatus]

	door  *call.Door
	mu    sync.Mutex
	holds map[id.ID]*hold
}

// New makes the service. Serve gives it its door, Start seeds the types.
func New(d Deps) *Service {
	s := &Service{Deps: d, holds: map[id.ID]*hold{}}
	s.describe()
	return s
}

// Room is what the disks of all volumes are kept on.
type Room struct{ Bytes, Free, Promised int64 }

// Room reads how much there is.
func (s *Service) Room(ctx context.Context) (Room, error) {
	c, err := s.Engine.Capacity(ctx)
	return Room{c.Bytes, c.Free, c.Promised}, err
}

// Kinds lists the resources.
func (s *Service) Kinds() []*kind.Def {
	return []*kind.Def{s.Volumes.D, s.Snapshots.D, s.Types.D, s.Transfers.D}
}

// Serve gives the service the door.
func (s *Service) Serve(d *call.Door) { s.door = d }
