// Package bucket is object storage: buckets, which are rows like any other resource, and the objects in them, whose
// records lie in the cloud's store beside the rows and whose bytes lie, encrypted here, in an engine behind the port
// service/object.
//
// What must hold together is written in one transaction: the version, what it replaces, the counters, what may be freed.
// Bytes are on stable storage before the version that names them is. It may import the kernel, service/object and service/outward.
package bucket

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/clock"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/ledger"
	"github.com/awancloud/awan/internal/kernel/policy"
	"github.com/awancloud/awan/internal/kernel/secret"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/object"
)

// Deps are what the service stands on; the zero value is enough to describe its kinds.
type Deps struct {
	Store  store.Store
	Blobs  object.Blobs
	Sealer *secret.Sealer
	Limits ledger.Limits
	Now    clock.Clock
	Log    *slog.Logger
	// DomainName gives a domain's name.
	DomainName func(tx store.Tx, domain id.ID) (string, error)
	// Outward reaches addresses that tenants name (web hooks, mirrors, other stores).
	Outward *http.Client
}

// Service is object storage.
type Service struct {
	Deps
	Rows   kind.Table[BucketSpec, BucketStatus]
	object *kind.Def // no rows: what policies call objects
	door   *call.Door

	decoded  sync.Map // id.ID to *bucket: right while its raw is what is stored
	policies policyCache
	locks    lockClock

	ctx     context.Context // of what runs beside requests
	stop    context.CancelFunc
	running sync.WaitGroup
	free    chan struct{} // there may be something to free
	copies  chan struct{} // slots of replication
	tasks   taskState
	access  accessLog
	mirrors mirrors
	losses  losses
}

// New makes the service. Serve gives it its door, Start begins what runs beside requests.
func New(d Deps) *Service {
	s := &Service{Deps: d, free: make(chan struct{}, 1), copies: make(chan struct{}, copySlots), ctx: context.Background(), access: accessLog{lines: make(chan *Access, logWaiting)}}
	s.Rows = kind.TableOf[BucketSpec, BucketStatus](s.bucketKind().Def())
	s.object = kind.Kind[struct{}, struct{}]{Service: "bucket", Name: "object", Scope: kind.InProject,
		Doc: "What lies in buckets. Policies name it BUCKET/NAME."}.Def()
	return s
}

// Kinds lists the resources.
func (s *Service) Kinds() []*kind.Def { return []*kind.Def{s.Rows.D} }

// Serve gives the service the door that its callers go through.
func (s *Service) Serve(d *call.Door) { s.door = d }

// Start takes up what was left undone and begins what runs beside requests. Close ends it.
func (s *Service) Start(ctx context.Context) error {
	s.ctx, s.stop = context.WithCancel(context.WithoutCancel(ctx))
	if err := s.startClock(); err != nil {
		return err
	}
	s.every(time.Minute, s.free, s.freeBlobs)
	s.every(10*time.Second, nil, s.countUp)
	s.every(time.Minute, nil, s.keepTime)
	s.every(300*time.Millisecond, nil, s.sweeps)
	s.every(300*time.Millisecond, nil, s.notifications().run)
	s.every(time.Second, nil, s.orphans)
	s.every(time.Second, nil, s.scrub)
	s.every(300*time.Millisecond, nil, s.replicator().run)
	s.every(300*time.Millisecond, nil, s.inventories)
	s.every(300*time.Millisecond, nil, s.fetchJobs().run)
	s.every(time.Hour, nil, s.forgetFetches)
	s.every(time.Second, nil, s.warn)
	s.running.Go(s.gatherLogs)
	return nil
}

// Close waits for what runs beside requests.
func (s *Service) Close() {
	if s.stop != nil {
		s.stop()
	}
	s.running.Wait()
}

// every runs f now and then, and when woken.
func (s *Service) every(d time.Duration, wake <-chan struct{}, f func(context.Context) error) {
	s.running.Go(func() {
		t := time.NewTicker(d)
		defer t.Stop()
		for {
			began := time.Now()
			if err := f(s.ctx); err != nil && s.ctx.Err() == nil {
				s.Log.Error("object storage: a task failed and is tried again", "err", err)
			}
			select { // however often it is woken, it takes a hundredth of the time
			case <-s.ctx.Done():
				return
			case <-time.After(min(100*time.Since(began), d)):
			}
			select {
			case <-s.ctx.Done():
				return
			case <-t.C:
			case <-wake:
			}
		}
	})
}

func (s *Service) now() time.Time { return s.Now().UTC() }

// Own gives the policies that a bucket carries, for the door.
func (s *Service) Own(k *kind.Def, row kind.AnyRow, p ident.Principal) []policy.Attached {
	if k != s.Rows.D {
		return nil
	}
	return s.own(&bucket{Row: row.(*Row)}, p, nil)
}
