package login

import (
	"context"
	"encoding/json"
	"time"

	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/store"
)

// IssueKeys is the action under which temporary keys are audited.
const IssueKeys = "identity:temporary-key:create"

// TemporaryRequest asks for temporary keys: of By itself, or of an agency that By acts through.
type TemporaryRequest struct {
	From
	By      ident.Principal
	Agency  Agency
	Project string        // of the agency's account: the keys work in it only; "" = wherever they may
	Life    time.Duration // 0 = ident.DefaultTemporary
	Policy  json.RawMessage
}

// Temporary gives out temporary keys and audits that.
func Temporary(ctx context.Context, d *call.Door, r TemporaryRequest) (ident.Temporary, error) {
	p := r.By
	if p.Restricted != "" {
		return ident.Temporary{}, ident.Unfinished(p)
	}
	err := d.Store.View(ctx, func(tx store.Tx) error { return d.Ident.Admit(tx, p, r.Source, false) })
	if err != nil {
		return ident.Temporary{}, err
	}
	if r.Agency == (Agency{}) { // a key asks for no code, so it is not had without one
		if err := confirmed(ctx, d, p); err != nil {
			return ident.Temporary{}, err
		}
	}
	if r.Agency != (Agency{}) {
		c := &call.Call{Principal: p, Source: r.Source, Agent: r.Agent, Dialect: r.Dialect, RequestID: r.RequestID}
		if p, err = d.Assume(ctx, c, r.Agency.Domain, r.Agency.Name, r.Life); err != nil {
			return ident.Temporary{}, err
		}
	}
	if r.Project != "" {
		err := d.Store.View(ctx, func(tx store.Tx) (err error) {
			p.Project, _, err = scope(tx, d.Ident, &p, Scope{Project: r.Project})
			return err
		})
		if err != nil {
			return ident.Temporary{}, err
		}
	}
	keys, err := d.Ident.IssueTemporary(ctx, p, r.Life, r.Policy)
	if err != nil {
		return ident.Temporary{}, err
	}
	e := entry(r.From, IssueKeys)
	e.Domain, e.Project, e.Actor, e.ActorID, e.Name = p.Domain, p.Project, p.String(), p.User, keys.Access
	e.Agency, e.ByID, e.ByIn = p.Agency, p.By.User, p.By.Domain
	if err := d.Record(ctx, e); err != nil {
		_ = d.Ident.RevokeTemporary(ctx, keys.Access)
		return ident.Temporary{}, fail.Wrap(err, fail.Unavailable, "the audit log cannot be written, so no keys are given out")
	}
	return keys, nil
}
