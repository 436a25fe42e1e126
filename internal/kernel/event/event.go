// Package event keeps what happened to a resource, in words that explain: "killed: memory limit 256 MiB reached".
// Audit entries say who asked for what; events say what then happened. It may import kernel/{store,id}.
package event

import (
	"encoding/json"
	"time"

	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/store"
)

// Level of an event.
type Level string

const (
	Info    Level = "info"
	Warning Level = "warning"
	Error   Level = "error"
)

// Event is one thing that happened to a row.
type Event struct {
	ID    id.ID     `json:"id"`
	At    time.Time `json:"at"`
	Level Level     `json:"level"`
	Type  string    `json:"type"` // a word: "Deployed", "OOMKilled", "ProbeFailed"
	Text  string    `json:"text"`
	Count int       `json:"count,omitempty"` // the same again, this many times in all
	Last  time.Time `json:"last,omitzero"`
}

// Keep is how many events a row keeps; older ones go.
const Keep = 200

const prefix = "event/"

// Emit adds an event to a row. The same type and text as the newest one counts it up instead.
func Emit(tx store.Tx, row id.ID, e Event) error {
	p := prefix + string(row) + "/"
	var keys []string
	for k := range tx.Scan(p, "") {
		keys = append(keys, k)
	}
	if err := tx.ScanErr(); err != nil {
		return err
	}
	if n := len(keys); n > 0 {
		b, ok, err := tx.Get(keys[n-1])
		if err != nil {
			return err
		}
		var newest Event
		if ok && json.Unmarshal(b, &newest) == nil && newest.Type == e.Type && newest.Text == e.Text {
			newest.Count, newest.Last = max(newest.Count, 1)+1, e.At
			return put(tx, keys[n-1], newest)
		}
	}
	for len(keys) >= Keep {
		if err := tx.Delete(keys[0]); err != nil {
			return err
		}
		keys = keys[1:]
	}
	e.ID = id.New()
	return put(tx, p+string(e.ID), e)
}

func put(tx store.Tx, key string, e Event) error {
	b, err := json.Marshal(e)
	if err != nil {
		return err
	}
	return tx.Put(key, b)
}

// Of lists a row's events, newest first, at most n.
func Of(tx store.Tx, row id.ID, n int) ([]Event, error) {
	var all []Event
	for _, b := range tx.Scan(prefix+string(row)+"/", "") {
		var e Event
		if err := json.Unmarshal(b, &e); err != nil {
			return nil, err
		}
		all = append(all, e)
	}
	if err := tx.ScanErr(); err != nil {
		return nil, err
	}
	out := make([]Event, 0, min(n, len(all)))
	for i := len(all) - 1; i >= 0 && len(out) < n; i-- {
		out = append(out, all[i])
	}
	return out, nil
}

// Forget removes a row's events, when the row is gone for good.
func Forget(tx store.Tx, row id.ID) error {
	for k := range tx.Scan(prefix+string(row)+"/", "") {
		if err := tx.Delete(k); err != nil {
			return err
		}
	}
	return tx.ScanErr()
}
