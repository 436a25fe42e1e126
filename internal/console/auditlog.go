package console

import (
	"strings"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/ledger"
)

// verifyPage checks the sealed audit log.
type verifyPage struct {
	Report *ledger.Report
	Head   ledger.Checkpoint
	Key    string
	Kept   string
	Err    *fail.Error
}

// verifyAudit checks the log where it lies. It changes nothing, so it is asked by GET; only the button runs it, for it reads the whole log.
func (q *request) verifyAudit() error {
	v := q.URL.Query()
	p := verifyPage{Kept: v.Get("kept")}
	var err error
	if p.Head, p.Key, _, err = q.Door.AuditHead(q.Context(), q.newCall(nil, "", "")); err != nil {
		return err
	}
	if !v.Has("check") {
		return q.render("verify", "Check of the audit log", p)
	}
	kept := strings.ReplaceAll(p.Kept, "\r\n", "\n")
	if at := strings.Index(kept, "key: "); at >= 0 { // as awan audit checkpoint prints it
		kept = kept[:at]
	}
	if strings.TrimSpace(kept) == "" {
		kept = ""
	} else {
		kept = strings.Trim(kept, "\n") + "\n"
	}
	r, err := q.Door.VerifyAudit(q.Context(), q.newCall(nil, "", ""), kept)
	if err != nil {
		return formError(err, func(e *fail.Error, status int) error {
			p.Err = e
			return q.renderStatus(status, "verify", "Check of the audit log", p)
		})
	}
	p.Report, p.Head = &r, r.Checkpoint
	return q.render("verify", "Check of the audit log", p)
}
