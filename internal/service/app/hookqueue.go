package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/event"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/store"
)

// A hook that comes while its component is busy waits here, one for each component: the newest stands for those before it,
// since all of them mean to deploy what is newest.
const waitingHook = "apphook/"

// hookCall is what is kept of a call: enough to make it again.
type hookCall struct {
	By      string    `json:"by"` // the principal's name: deployToken and the token's
	Source  string    `json:"source"`
	Agent   string    `json:"agent"`
	Request string    `json:"request"`
	At      time.Time `json:"at"`
}

// deployToken begins the name of the principal that a deploy token stands for.
const deployToken = "deploy-token "

func deployer(name string, domain, project id.ID) ident.Principal {
	return ident.Principal{UserName: deployToken + name, Domain: domain, Project: project, Method: ident.BySystem}
}

// queueHook keeps a redeploy for when the component is idle.
func (s *Service) queueHook(ctx context.Context, row *componentRow, c *call.Call) error {
	b, err := json.Marshal(hookCall{By: c.Principal.UserName, Source: c.Source, Agent: c.Agent, Request: c.RequestID, At: s.Now().UTC()})
	if err != nil {
		return err
	}
	_, err = s.Store.Update(ctx, func(tx store.Tx) error { return tx.Put(waitingHook+string(row.ID), b) })
	if err == nil {
		s.emit(ctx, row.ID, event.Info, "HookQueued", "a hook came while the component was busy; it is redeployed when that has ended")
	}
	return err
}

// followHooks makes the redeploys that wait, as soon as their components are idle, whatever state those are in.
func (s *Service) followHooks(ctx context.Context) {
	for tick := time.NewTicker(2 * time.Second); ; {
		select {
		case <-ctx.Done():
			tick.Stop()
			return
		case <-tick.C:
		}
		if err := s.redeployWaiting(ctx); err != nil && ctx.Err() == nil {
			s.Log.Warn("hooks that wait cannot be followed", "err", err)
		}
	}
}

func (s *Service) redeployWaiting(ctx context.Context) error {
	waiting := map[id.ID][]byte{}
	err := s.Store.View(ctx, func(tx store.Tx) error {
		for k, v := range tx.Scan(waitingHook, "") {
			waiting[id.ID(strings.TrimPrefix(string(k), waitingHook))] = bytes.Clone(v)
		}
		return tx.ScanErr()
	})
	for component, raw := range waiting {
		err = errors.Join(err, s.redeployOne(ctx, component, raw))
	}
	return err
}

func (s *Service) redeployOne(ctx context.Context, component id.ID, raw []byte) error {
	var h hookCall
	if err := json.Unmarshal(raw, &h); err != nil {
		return err
	}
	var row *componentRow
	var known bool
	err := s.Store.View(ctx, func(tx store.Tx) (err error) {
		if row, err = s.Component.Get(tx, component); err != nil || row == nil {
			return err
		}
		t, err := s.Token.Find(tx, string(row.Project), strings.TrimPrefix(h.By, deployToken))
		known = t != nil && (t.Spec.Expires.IsZero() || s.Now().Before(t.Spec.Expires))
		return err
	})
	switch {
	case err != nil:
		return err
	case row == nil:
		return s.unqueue(ctx, component, raw)
	case row.Job != "":
		return nil
	case !known:
		s.emit(ctx, component, event.Warning, "HookDropped", "the deploy token of a hook that waited is not valid any more")
		return s.unqueue(ctx, component, raw)
	}
	_, err = s.Host.Do(ctx, &call.Call{Kind: s.Component.D, Verb: "redeploy", Domain: string(row.Domain), Project: string(row.Project), Target: string(component),
		Principal: deployer(strings.TrimPrefix(h.By, deployToken), row.Domain, row.Project), Source: h.Source, Agent: h.Agent, RequestID: h.Request, Dialect: "git"})
	if fail.Is(err, fail.Conflict) {
		return nil // busy again: it goes on waiting
	}
	if err != nil {
		s.emit(ctx, component, event.Warning, "HookDropped", "a hook that waited came to nothing: %s", fail.From(err).Public())
	}
	return s.unqueue(ctx, component, raw)
}

// unqueue forgets a hook, unless a newer one came.
func (s *Service) unqueue(ctx context.Context, component id.ID, raw []byte) error {
	_, err := s.Store.Update(ctx, func(tx store.Tx) error {
		now, there, err := tx.Get(waitingHook + string(component))
		if err != nil || !there || !bytes.Equal(now, raw) {
			return err
		}
		return tx.Delete(waitingHook + string(component))
	})
	return err
}
