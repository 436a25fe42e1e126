package alarm

import (
	"context"
	"time"

	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/metric"
)

// Line is an alarm as other APIs show it.
type Line struct {
	Name, Query, State, Severity, Description, Text, Value string
	Project                                                id.ID
	For                                                    time.Duration
	Since                                                  time.Time
}

// List gives the alarms of a project; of all when it is "".
func (s *Service) List(ctx context.Context, project id.ID) (out []Line, err error) {
	err = s.Store.View(ctx, func(tx store.Tx) error {
		rows, err := s.Alarm.List(tx, string(project), kind.Filter{})
		for _, r := range rows {
			l := Line{Name: r.Name, Query: r.Spec.Query, State: r.Status.Alarm, Severity: r.Spec.Severity, Description: r.Spec.Description, Text: r.Status.Text,
				Value: number(r.Status.Value), Project: r.Project, For: time.Duration(r.Spec.For), Since: r.Status.Since}
			if l.Query == "" {
				l.Query = metric.Expr(r.Spec.Metric, r.Spec.Component, window)
			}
			if r.Spec.Comparison != "" {
				l.Query = "(" + l.Query + ") " + r.Spec.Comparison + " " + number(r.Spec.Value)
			}
			out = append(out, l)
		}
		return err
	})
	return out, err
}
