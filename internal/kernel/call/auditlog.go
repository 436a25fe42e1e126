package call

import (
	"context"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/ledger"
	"github.com/awancloud/awan/internal/kernel/store"
)

// sealEvery is how soon an audit entry is part of the signed log.
const sealEvery = time.Second

// seal makes what was written leaves of the log; also at the end, when the loops' context has ended.
func (l *loops) seal() {
	if l.d.AuditSigner == nil {
		return
	}
	ctx := context.WithoutCancel(l.ctx)
	for more := true; more; {
		var err error
		if more, err = l.sealer.Seal(ctx, l.d.now()); err != nil {
			l.d.Log.Error("the audit log cannot be sealed", "err", err)
			return
		}
	}
}

// AuditHead is the newest signed checkpoint of the audit log of the call's domain, the key it is signed with, and how many entries are newer.
func (d *Door) AuditHead(ctx context.Context, c *Call) (head ledger.Checkpoint, key string, waiting int, err error) {
	err = d.enter(ctx, c, auditKind, List, func(tx store.Tx, s scope) (err error) {
		if head, err = ledger.Head(tx, s.domain); err == nil {
			waiting, err = ledger.Waiting(tx, s.domain)
		}
		return err
	})
	return head, d.AuditKey, waiting, err
}

// AuditLeaves gives the sealed records of the audit log of the call's domain, for a check on another machine.
func (d *Door) AuditLeaves(ctx context.Context, c *Call, from int64, limit int) (out []ledger.Leaf, err error) {
	if limit <= 0 || limit > MaxPage {
		limit = MaxPage
	}
	if from < 0 {
		return nil, fail.Field("from", "is less than 0")
	}
	err = d.enter(ctx, c, auditKind, List, func(tx store.Tx, s scope) (err error) {
		out, err = ledger.Leaves(tx, s.domain, from, limit)
		return err
	})
	return out, err
}

// VerifyAudit checks the audit log of the call's domain, against a checkpoint kept from earlier where one is given.
func (d *Door) VerifyAudit(ctx context.Context, c *Call, kept string) (r ledger.Report, err error) {
	var earlier *ledger.Checkpoint
	if kept != "" {
		k, err := ledger.ParseCheckpoint(kept)
		if err != nil {
			return r, fail.Field("kept", "%s", fail.From(err).Message).Then("give the whole text, as awan audit checkpoint prints it")
		}
		earlier = &k
	}
	err = d.enter(ctx, c, auditKind, List, func(tx store.Tx, s scope) (err error) {
		r, err = ledger.Verify(tx, s.domain, d.AuditKey, earlier)
		return err
	})
	return r, err
}
