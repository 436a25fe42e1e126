package ledger

import (
	"encoding/json"
	"sort"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/store"
)

// Dim names what is counted, with its unit: "app.components", "app.memory (MiB)".
type Dim string

// Limits gives the limit of a dimension where a project has none of its own; ok is false for "no limit".
type Limits func(Dim) (limit int64, ok bool)

const (
	quotaPrefix = "quota/used/"
	limitPrefix = "quota/limit/"
)

// Quota is one line of a project's quota.
type Quota struct {
	Dim   Dim   `json:"name"`
	Used  int64 `json:"used"`
	Limit int64 `json:"limit"` // -1: no limit
	Own   bool  `json:"own"`   // set for this project, not the default
}

// Reserve adds delta (which may be negative: a release) to the project's use of dim. Going up past the limit fails
// with fail.Quota; going down never fails.
func Reserve(tx store.Tx, project id.ID, dim Dim, delta int64, defaults Limits) error {
	if delta == 0 {
		return nil
	}
	key := quotaPrefix + string(project) + "/" + string(dim)
	used, err := getInt(tx, key)
	if err != nil {
		return err
	}
	if delta > 0 {
		limit, limited, _, err := limitOf(tx, project, dim, defaults)
		if err != nil {
			return err
		}
		if limited && used+delta > limit {
			return fail.New(fail.Quota, "%s: %d of %d in use, %d more asked for", dim, used, limit, delta).
				Then("free some, or ask the operator to raise it: awan quota set %s %d", dim, used+delta)
		}
	}
	used += delta
	if used == 0 {
		return tx.Delete(key)
	}
	return putInt(tx, key, used)
}

// SetLimit gives a project its own limit; a negative one removes it, so that the default holds again.
func SetLimit(tx store.Tx, project id.ID, dim Dim, limit int64) error {
	key := limitPrefix + string(project) + "/" + string(dim)
	if limit < 0 {
		return tx.Delete(key)
	}
	return putInt(tx, key, limit)
}

// Quotas lists the project's use and limit of each dim, by name.
func Quotas(tx store.Tx, project id.ID, dims []Dim, defaults Limits) ([]Quota, error) {
	out := make([]Quota, 0, len(dims))
	for _, d := range dims {
		used, err := getInt(tx, quotaPrefix+string(project)+"/"+string(d))
		if err != nil {
			return nil, err
		}
		limit, limited, own, err := limitOf(tx, project, d, defaults)
		if err != nil {
			return nil, err
		}
		if !limited {
			limit = -1
		}
		out = append(out, Quota{Dim: d, Used: used, Limit: limit, Own: own})
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Dim < out[j].Dim })
	return out, nil
}

// Used gives every counter of every project: for the check that quota = Σ rows.
func Used(tx store.Tx) (map[id.ID]map[Dim]int64, error) {
	out := map[id.ID]map[Dim]int64{}
	for k, v := range tx.Scan(quotaPrefix, "") {
		var n int64
		if err := json.Unmarshal(v, &n); err != nil {
			return nil, err
		}
		p, d := id.ID(k[len(quotaPrefix):][:32]), Dim(k[len(quotaPrefix)+33:])
		if out[p] == nil {
			out[p] = map[Dim]int64{}
		}
		out[p][d] = n
	}
	return out, tx.ScanErr()
}

func limitOf(tx store.Tx, project id.ID, dim Dim, defaults Limits) (limit int64, limited, own bool, err error) {
	b, ok, err := tx.Get(limitPrefix + string(project) + "/" + string(dim))
	if err != nil {
		return 0, false, false, err
	}
	if ok {
		err := json.Unmarshal(b, &limit)
		return limit, true, true, err
	}
	if defaults == nil {
		return 0, false, false, nil
	}
	limit, limited = defaults(dim)
	return limit, limited, false, nil
}

func getInt(tx store.Tx, key string) (n int64, err error) {
	b, ok, err := tx.Get(key)
	if err != nil || !ok {
		return 0, err
	}
	return n, json.Unmarshal(b, &n)
}

func putInt(tx store.Tx, key string, n int64) error {
	b, _ := json.Marshal(n)
	return tx.Put(key, b)
}
