// Package image holds the images that disks are made from: those of the cloud, which everybody may use and of which it
// makes some itself, and those of projects, which may be shared. Their content lies in the disk engine, a project's
// encrypted with a key of its own. It may import the kernel and the port service/disk.
package image

import (
	"context"
	"io"
	"log/slog"
	"sync"

	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/clock"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/ledger"
	"github.com/awancloud/awan/internal/kernel/secret"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/disk"
)

// Maker makes images of the catalogue. Its methods are safe for concurrent use.
type Maker interface {
	// Make makes the image of a recipe, unless that was done before, and opens it. progress is told what goes on.
	Make(ctx context.Context, recipe string, progress func(string)) (io.ReadCloser, error)
	// Recipes names what it can make.
	Recipes() []string
}

// Taken is a volume's content of one moment, for an image.
type Taken struct {
	From       disk.Source
	Keys       disk.Keys
	Bytes      int64
	Consistent bool
	Server     id.ID // that it was in
}

// Deps are what the service stands on; the zero value is enough to describe its kinds.
type Deps struct {
	Store  store.Store
	Engine disk.Engine
	Maker  Maker // nil: the catalogue's images cannot be made
	Sealer *secret.Sealer
	Limits ledger.Limits
	Now    clock.Clock
	Log    *slog.Logger
	// Take freezes the content of a volume or a snapshot of the project under the image's id; called again it gives the same.
	Take func(ctx context.Context, project id.ID, from Source, image id.ID) (Taken, error)
	// Release gives back what Take froze for the image; nothing there is success.
	Release func(ctx context.Context, project id.ID, from Source, image id.ID) error
	// Object opens an object of the project; nil: there are none. MayRead tells, at the time of the call, whether the caller
	// may read it.
	MayRead func(ctx context.Context, tx store.Tx, project id.ID, bucket, object string) error
	Object  func(ctx context.Context, project id.ID, bucket, object string) (io.ReadCloser, error)
	// Project finds a project by name or id as the owner of an image says it, within the domain or by id in any.
	Project func(tx store.Tx, domain id.ID, idOrName string) (project, projectDomain id.ID, err error)
	// MaxBytes is the largest image that may be uploaded; 0: 100 GiB.
	MaxBytes int64
}

// Service holds images.
type Service struct {
	Deps
	Images kind.Table[Spec, Status] // of projects
	Public kind.Table[Spec, Status] // of the cloud
	Offers kind.Table[OfferSpec, OfferStatus]

	door   *call.Door
	making sync.Map // id.ID to *sync.Mutex
}

// New makes the service. Serve gives it its door, Start seeds the catalogue.
func New(d Deps) *Service {
	s := &Service{Deps: d}
	if s.MaxBytes == 0 {
		s.MaxBytes = 100 << 30
	}
	s.describe()
	return s
}

// Kinds lists the resources.
func (s *Service) Kinds() []*kind.Def { return []*kind.Def{s.Images.D, s.Public.D, s.Offers.D} }

// Serve gives the service the door.
func (s *Service) Serve(d *call.Door) { s.door = d }

// tableOf gives the table that a row lies in.
func (s *Service) tableOf(m *kind.Meta) kind.Table[Spec, Status] {
	if m.Kind == s.Public.D.FullName() {
		return s.Public
	}
	return s.Images
}
