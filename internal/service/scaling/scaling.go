// Package scaling changes how many instances of a component run: by what is measured, by the clock, and to none while
// nobody asks. Every change goes through the door like anybody's, so quota, audit, meter and job are as ever. It may
// import the kernel, service/app and service/metric.
package scaling

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/clock"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/app"
	"github.com/awancloud/awan/internal/service/metric"
)

// Deps are what the service stands on. The zero value is enough to describe its kind.
type Deps struct {
	Store   store.Store
	Apps    *app.Service
	Metrics *metric.Service
	Door    func() *call.Door // is made after the service
	Now     clock.Clock
	Log     *slog.Logger
}

// Service is the scaling service.
type Service struct {
	Deps
	Policy kind.Table[Spec, Status]

	mu      sync.Mutex
	waking  map[id.ID]bool    // components that somebody is about to start
	recent  map[id.ID]*recent // what was wanted lately, by policy
	ctx     context.Context
	stop    context.CancelFunc
	running sync.WaitGroup
}

// New makes the service. Its kind can be described at once; Start makes it work.
func New(d Deps) *Service {
	s := &Service{Deps: d, waking: map[id.ID]bool{}, recent: map[id.ID]*recent{}}
	s.describe()
	return s
}

// Kinds lists the service's kinds.
func (s *Service) Kinds() []*kind.Def { return []*kind.Def{s.Policy.D} }

// Start follows the policies until Close.
func (s *Service) Start(ctx context.Context) {
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.mu.Lock()
	s.ctx, s.stop = ctx, stop
	s.mu.Unlock()
	s.running.Go(func() {
		t := time.NewTicker(s.Metrics.Every) // as often as there are new measurements
		defer t.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-t.C:
				if err := s.Round(ctx); err != nil && ctx.Err() == nil {
					s.Log.Error("scaling policies cannot be followed", "err", err)
				}
			}
		}
	})
}

// Close stops. Instances go on as they are.
func (s *Service) Close() {
	s.mu.Lock() // so that no wake begins once we wait
	if s.stop != nil {
		s.stop()
	}
	s.mu.Unlock()
	s.running.Wait()
}

// policies reads all policies in force.
func (s *Service) policies(ctx context.Context) (rows []*row, err error) {
	err = s.Store.View(ctx, func(tx store.Tx) error {
		rows, err = s.Policy.List(tx, "", kind.Filter{State: kind.Active})
		return err
	})
	return rows, err
}
