package ledger

import (
	"encoding/json"
	"sort"
	"time"

	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/store"
)

// Sample is an amount of something held from one moment to another: the raw matter of a bill.
type Sample struct {
	Project id.ID     `json:"project"`
	Kind    string    `json:"kind"`
	Row     id.ID     `json:"resource"`
	Name    string    `json:"name"`
	Dim     Dim       `json:"dim"`
	Amount  int64     `json:"amount"`
	From    time.Time `json:"from"`
	To      time.Time `json:"to,omitzero"` // zero: still open
}

const (
	openPrefix = "meter/open/" // <project>/<row>/<dim>
	donePrefix = "meter/done/" // <project>/<id>
)

// Meter says that from now on the row holds amount of dim. The sample open until now is closed; an amount of 0 opens
// none. Saying the same again changes nothing, so intervals never overlap and leave no gap.
func Meter(tx store.Tx, s Sample, now time.Time) error {
	key := openPrefix + string(s.Project) + "/" + string(s.Row) + "/" + string(s.Dim)
	b, ok, err := tx.Get(key)
	if err != nil {
		return err
	}
	if ok {
		var open Sample
		if err := json.Unmarshal(b, &open); err != nil {
			return err
		}
		if open.Amount == s.Amount {
			return nil
		}
		open.To = now
		if err := putSample(tx, donePrefix+string(s.Project)+"/"+string(id.New()), open); err != nil {
			return err
		}
	}
	if s.Amount == 0 {
		return tx.Delete(key)
	}
	s.From, s.To = now, time.Time{}
	return putSample(tx, key, s)
}

// Usage is what a project held in a time, by kind and dimension.
type Usage struct {
	Kind     string  `json:"kind"`
	Dim      Dim     `json:"dim"`
	Resource id.ID   `json:"resource,omitempty"`
	Name     string  `json:"name,omitempty"`
	Hours    float64 `json:"unit_hours"` // Σ amount × hours
	Now      int64   `json:"now"`        // the amount held at the end
	Passed   int64   `json:"passed"`     // Σ of what passed, for what is not held: bytes of traffic
}

// UsageOf adds up a project's samples between from and to, per resource.
func UsageOf(tx store.Tx, project id.ID, from, to time.Time) ([]Usage, error) {
	type key struct {
		row id.ID
		dim Dim
	}
	sum := map[key]*Usage{}
	add := func(b []byte) error {
		var s Sample
		if err := json.Unmarshal(b, &s); err != nil {
			return err
		}
		open := s.To.IsZero()
		if open || s.To.After(to) {
			s.To = to
		}
		if s.From.Before(from) {
			s.From = from
		}
		if !s.To.After(s.From) && !open {
			return nil
		}
		k := key{s.Row, s.Dim}
		u := sum[k]
		if u == nil {
			u = &Usage{Kind: s.Kind, Dim: s.Dim, Resource: s.Row, Name: s.Name}
			sum[k] = u
		}
		if s.To.After(s.From) {
			u.Hours += float64(s.Amount) * s.To.Sub(s.From).Hours()
		}
		if open {
			u.Now = s.Amount
		}
		return nil
	}
	for _, p := range []string{donePrefix, openPrefix} {
		for _, b := range tx.Scan(p+string(project)+"/", "") {
			if err := add(b); err != nil {
				return nil, err
			}
		}
	}
	if err := tx.ScanErr(); err != nil {
		return nil, err
	}
	err := passed(tx, string(project), from, to, func(s Sample) {
		k := key{s.Row, s.Dim}
		if sum[k] == nil {
			sum[k] = &Usage{Kind: s.Kind, Dim: s.Dim, Resource: s.Row, Name: s.Name}
		}
		sum[k].Passed += s.Amount
	})
	if err != nil {
		return nil, err
	}
	out := make([]Usage, 0, len(sum))
	for _, u := range sum {
		out = append(out, *u)
	}
	sort.Slice(out, func(i, j int) bool {
		a, b := out[i], out[j]
		return a.Kind < b.Kind || a.Kind == b.Kind && (a.Name < b.Name || a.Name == b.Name && a.Dim < b.Dim)
	})
	return out, nil
}

// Open lists a project's open samples, for the check that meters equal rows.
func Open(tx store.Tx, project id.ID) ([]Sample, error) {
	var out []Sample
	for _, b := range tx.Scan(openPrefix+string(project)+"/", "") {
		var s Sample
		if err := json.Unmarshal(b, &s); err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, tx.ScanErr()
}

func putSample(tx store.Tx, key string, s Sample) error {
	b, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return tx.Put(key, b)
}
