package native

import (
	"net/http"

	"github.com/awancloud/awan/internal/kernel/ledger"
)

// AuditHead is what is known of a domain's sealed log.
type AuditHead struct {
	ledger.Checkpoint
	Key     string `json:"key"`     // checks the note's signature
	Waiting int    `json:"waiting"` // entries that are not sealed yet
}

func (a *API) auditHead(w http.ResponseWriter, r *http.Request) error {
	c, err := a.newCall(r)
	if err != nil {
		return err
	}
	head, key, waiting, err := a.Door.AuditHead(r.Context(), c)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, AuditHead{head, key, waiting})
}

func (a *API) auditLeaves(w http.ResponseWriter, r *http.Request) error {
	c, err := a.newCall(r)
	if err != nil {
		return err
	}
	var from, limit int64
	for name, into := range map[string]*int64{"from": &from, "limit": &limit} {
		if err := number(r.URL.Query().Get(name), name, into); err != nil {
			return err
		}
	}
	leaves, err := a.Door.AuditLeaves(r.Context(), c, from, int(limit))
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, map[string]any{"items": orEmpty(leaves)})
}

func (a *API) auditVerify(w http.ResponseWriter, r *http.Request) error {
	c, err := a.newCall(r)
	if err != nil {
		return err
	}
	report, err := a.Door.VerifyAudit(r.Context(), c, r.URL.Query().Get("kept"))
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, report)
}
