package app

import (
	"cmp"
	"context"
	"net/netip"
	"strings"
	"time"

	"github.com/awancloud/awan/internal/kernel/event"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
)

// Liveness tells how to find out whether an instance must be started anew. It has no defaults of its own, so that components
// that do not use it stay as they were.
type Liveness struct {
	Type     string    `json:"type,omitempty" doc:"how to ask; empty: nobody asks" enum:"tcp,http,command"`
	Port     int       `json:"port,omitempty" doc:"for tcp and http: the port; 0: the program's own" min:"0" max:"65535"`
	Path     string    `json:"path,omitempty" doc:"for http: the path; any status below 400 is healthy; empty: /" max:"255"`
	Command  []string  `json:"command,omitempty" doc:"for command: what to run in the instance; exit code 0 is healthy" max:"64"`
	Interval kind.Span `json:"interval,omitempty" doc:"time between two questions; 0: 10s" min:"0" max:"300"`
	Timeout  kind.Span `json:"timeout,omitempty" doc:"how long one may take; 0: 2s" min:"0" max:"60"`
	Failures int       `json:"failures,omitempty" doc:"failures in a row after which the instance is stopped and started again; 0: 3" min:"0" max:"20"`
	Delay    kind.Span `json:"delay,omitempty" doc:"time after its start in which it is not asked; it is not before it was ready once, or probe.grace is over, either" min:"0" max:"1800"`
}

// livenessGrace is how long an instance that is to be started again may take to end.
const livenessGrace = 10 * time.Second

func (l Liveness) check() error {
	switch {
	case l.Type == "" && (l.Port != 0 || l.Path != "" || len(l.Command) > 0):
		return fail.Field("spec.liveness.type", "is required").Then("tcp, http or command")
	case l.Type == "command" && len(l.Command) == 0:
		return fail.Field("spec.liveness.command", "is required for a command")
	case l.Type == "http" && l.Path != "" && !strings.HasPrefix(l.Path, "/"):
		return fail.Field("spec.liveness.path", "must begin with /")
	}
	return nil
}

// probe is the question as it is asked.
func (l Liveness) probe() Probe {
	return Probe{Type: l.Type, Path: cmp.Or(l.Path, "/"), Command: l.Command, Interval: cmp.Or(l.Interval, kind.Span(10*time.Second)),
		Timeout: cmp.Or(l.Timeout, kind.Span(2*time.Second)), Failures: cmp.Or(l.Failures, 3)}
}

// keepAlive asks an instance for as long as it is watched, and stops one that does not answer any more. The loop starts it
// again, as it does one that ended by itself.
func (h *health) keepAlive(ctx context.Context, t *target, component, instance id.ID, at netip.AddrPort, spec *ComponentSpec) {
	p, began, failures := spec.Liveness.probe(), time.Now(), 0
	if spec.Liveness.Port != 0 {
		at = netip.AddrPortFrom(at.Addr(), uint16(spec.Liveness.Port))
	}
	tick := time.NewTicker(time.Duration(p.Interval))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		h.mu.Lock()
		ripe := t.ever || time.Since(began) > time.Duration(spec.Probe.Grace)
		h.mu.Unlock()
		if !ripe || time.Since(began) < time.Duration(spec.Liveness.Delay) {
			continue
		}
		err := h.s.probe(ctx, instance, at, p)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			failures = 0
			continue
		}
		if failures++; failures < p.Failures {
			continue
		}
		h.s.Ingress.Mark(component, instance, false)
		h.s.emit(ctx, component, event.Warning, "Unhealthy", "instance %s is started again: %s", short(instance), err)
		if err := h.s.Engine.Stop(ctx, instance, livenessGrace); err != nil && ctx.Err() == nil {
			h.s.Log.Warn("an instance that does not answer cannot be stopped", "instance", instance, "err", err)
		}
		h.s.Host.Wake(h.s.Component.D.FullName())
		failures = 0 // should it not have ended, it is asked on
	}
}
