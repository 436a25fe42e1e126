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
	wakeful map[id.ID]wakeful // components that a request wakes
	waking  map[id.ID]bool    // those on which somebody works at that
	recent  map[id.ID]*recent // what was wanted lately, by policy
	kick    chan struct{}
	ctx     context.Context
	stop    context.CancelFunc
	running sync.WaitGroup
}

// wakeful is a component that sleeps, or may.
type wakeful struct {
	wait time.Duration
	min  int
}

// New makes the service. Its kind can be described at once; Start makes it work.
func New(d Deps) *Service {
	s := &Service{Deps: d, wakeful: map[id.ID]wakeful{}, waking: map[id.ID]bool{}, recent: map[id.ID]*recent{}, kick: make(chan struct{}, 1)}
	s.describe()
	return s
}

// Kinds lists the service's kinds.
func (s *Service) Kinds() []*kind.Def { return []*kind.Def{s.Policy.D} }

// every is how often policies are looked at: as often as there are new measurements, by default.
func (s *Service) every() time.Duration { return s.Metrics.Every }

// Start takes up the policies and follows them until Close.
func (s *Service) Start(ctx context.Context) error {
	s.ctx, s.stop = context.WithCancel(context.WithoutCancel(ctx))
	if err := s.learn(s.ctx); err != nil {
		return err
	}
	s.running.Go(func() {
		t := time.NewTicker(s.every())
		defer t.Stop()
		for {
			select {
			case <-s.ctx.Done():
				return
			case <-t.C:
				if err := s.Round(s.ctx); err != nil && s.ctx.Err() == nil {
					s.Log.Error("scaling policies cannot be followed", "err", err)
				}
			case <-s.kick:
				if err := s.learn(s.ctx); err != nil && s.ctx.Err() == nil {
					s.Log.Error("scaling policies cannot be read", "err", err)
				}
			}
		}
	})
	return nil
}

// Close stops. Instances go on as they are.
func (s *Service) Close() {
	if s.stop != nil {
		s.stop()
	}
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

// learn notes which components a request wakes.
func (s *Service) learn(ctx context.Context) error {
	rows, err := s.policies(ctx)
	if err != nil {
		return err
	}
	s.note(rows)
	return nil
}

func (s *Service) note(rows []*row) {
	next := map[id.ID]wakeful{}
	for _, r := range rows {
		if low, _ := bounds(r.Spec, s.Now()); low == 0 {
			next[id.ID(r.Spec.Component)] = wakeful{wait: time.Duration(r.Spec.Wait), min: max(1, low)}
		}
	}
	s.mu.Lock()
	s.wakeful = next
	s.mu.Unlock()
}
