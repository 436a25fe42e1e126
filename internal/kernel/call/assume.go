package call

import (
	"context"
	"encoding/json"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/ledger"
	"github.com/awancloud/awan/internal/kernel/store"
)

// Assume lets the caller act through an agency of a domain (each a name or an id), and audits it in both domains. What
// comes back may be given a token (ident.TokenFor) or temporary keys of at most the given time.
func (d *Door) Assume(ctx context.Context, c *Call, domain, agency string, life time.Duration) (ident.Principal, error) {
	if c.Principal.Nobody() {
		return ident.Principal{}, fail.New(fail.Unauthenticated, "this needs a log-in").Then("awan login, or send a token or a signature")
	}
	if c.Principal.Restricted != "" {
		return ident.Principal{}, ident.Unfinished(c.Principal)
	}
	c.Kind, c.Verb = d.Ident.Kinds.Agency.D, "assume"
	if c.RequestID == "" {
		c.RequestID = string(id.New())
	}
	var p ident.Principal
	var at *kind.Meta
	err := d.Store.View(ctx, func(tx store.Tx) (err error) {
		if err = d.Ident.Admit(tx, c.Principal, c.Source, c.Dialect == ConsoleDialect); err != nil {
			return err
		}
		facts := map[string][]string{}
		if c.Source != "" {
			facts["g:SourceIp"] = []string{c.Source}
		}
		q, meta, dec, err := d.Ident.ByAgency(tx, c.Principal, domain, agency, d.Region, facts)
		p, at = q, meta
		if err != nil || meta == nil {
			return err
		}
		c.decision, err = d.Ident.Note(tx, dec, c.Kind.Resource(d.Region, meta.Domain, meta.Name), c.Principal.Domain, facts)
		if err != nil {
			return err
		}
		if !dec.Allowed {
			return d.denied(c, dec.Reason)
		}
		a, err := d.Ident.Kinds.Agency.Get(tx, meta.ID)
		if err == nil && a != nil && life > time.Duration(a.Spec.MaxSession)*time.Second {
			err = fail.Field("duration", "the agency allows sessions of at most %d seconds", a.Spec.MaxSession)
		}
		return err
	})
	c.Target = agency
	e := d.entry(c, scope{domain: c.Principal.Domain})
	if at != nil {
		e.Row, e.Name = at.ID, at.Name
	}
	if err != nil {
		return ident.Principal{}, d.refused(ctx, c, scope{domain: c.Principal.Domain}, err)
	}
	e.Outcome, e.Ended, e.Reason = ledger.Succeeded, e.At, c.decision.Reason
	e.Request, _ = json.Marshal(map[string]any{"domain": domain, "agency": agency, "seconds": int(life.Seconds())})
	theirs := *e
	theirs.ID, theirs.Domain = id.New(), at.Domain
	theirs.Actor = "user " + c.Principal.DomainName + "/" + c.Principal.UserName
	theirs.Reason, theirs.Decision = "assumed by a user of the trusted account", nil
	_, err = d.Store.Update(ctx, func(tx store.Tx) error {
		if err := ledger.Record(tx, e); err != nil {
			return err
		}
		return ledger.Record(tx, &theirs)
	})
	if err != nil {
		return ident.Principal{}, fail.Wrap(err, fail.Unavailable, "the audit log cannot be written, so nothing is done")
	}
	return p, nil
}
