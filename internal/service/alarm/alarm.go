// Package alarm watches measurements and tells people when they are not what they should be: alarms, the channels that
// notifications go by, and the notifications themselves, which are stored before they are sent and tried again until they
// arrive. It may import the kernel and service/metric.
package alarm

import (
	"context"
	"log/slog"
	"net/http"
	"sync"

	"github.com/awancloud/awan/internal/kernel/clock"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/metric"
)

// Host is what the service needs of the cloud around it.
type Host interface {
	// Unseal reads a secret of a stored row.
	Unseal(m *kind.Meta, part, path, sealed string) (string, error)
}

// Deps are what the service stands on. The zero value is enough to describe its kinds.
type Deps struct {
	Store   store.Store
	Metrics *metric.Service
	Host    Host
	// Outward posts to web hooks: to addresses that tenants may reach.
	Outward *http.Client
	Mail    Mail
	// ProjectName says what people call a project.
	ProjectName func(tx store.Tx, project id.ID) string
	Now         clock.Clock
	Log         *slog.Logger
}

// Service is the alarm service.
type Service struct {
	Deps
	Alarm        kind.Table[Spec, Status]
	Channel      kind.Table[ChannelSpec, ChannelStatus]
	Notification kind.Table[NotificationSpec, NotificationStatus]
	wake         chan struct{}
	stop         context.CancelFunc
	running      sync.WaitGroup
}

// New makes the service. Its kinds can be described at once; Start makes it work.
func New(d Deps) *Service {
	s := &Service{Deps: d, wake: make(chan struct{}, 1)}
	s.describe()
	return s
}

// Kinds lists the service's kinds.
func (s *Service) Kinds() []*kind.Def {
	return []*kind.Def{s.Alarm.D, s.Channel.D, s.Notification.D}
}

// Start evaluates alarms and sends notifications until Close.
func (s *Service) Start(ctx context.Context) {
	ctx, s.stop = context.WithCancel(context.WithoutCancel(ctx))
	s.running.Go(func() { s.evaluateAll(ctx) })
	s.running.Go(func() { s.sendAll(ctx) })
}

// Close stops. What is not sent yet is sent after the next start.
func (s *Service) Close() {
	if s.stop != nil {
		s.stop()
	}
	s.running.Wait()
}
