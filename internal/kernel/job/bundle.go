package job

import (
	"encoding/json"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/store"
)

// Bundle is what a client of an API asks for as one operation: one job, several, or none where all was done at once. Facts
// are what that API wants to say of it later, when rows may be gone.
type Bundle struct {
	ID      id.ID             `json:"id"`
	Kind    string            `json:"kind"` // of the rows: "service/kind"
	Domain  id.ID             `json:"domain"`
	Project id.ID             `json:"project"`
	Type    string            `json:"type"`
	Jobs    []id.ID           `json:"jobs"`
	Facts   map[string]string `json:"facts,omitempty"`
	Created time.Time         `json:"created"`
}

const bundlePrefix = "jobbundle/"

// PutBundle stores b.
func PutBundle(tx store.Tx, b *Bundle) error {
	raw, err := json.Marshal(b)
	if err != nil {
		return err
	}
	return tx.Put(bundlePrefix+string(b.ID), raw)
}

// GetBundle reads a bundle.
func GetBundle(tx store.Tx, bundle id.ID) (*Bundle, error) {
	raw, ok, err := tx.Get(bundlePrefix + string(bundle))
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, fail.New(fail.NotFound, "there is no job %s", bundle)
	}
	b := new(Bundle)
	return b, json.Unmarshal(raw, b)
}
