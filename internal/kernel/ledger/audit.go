// Package ledger keeps what must never be forgotten: who did what (audit entries), what is used up (quota) and what is
// to be paid for (meters). Every function works in the caller's transaction, so that a record and the thing it records
// are stored together or not at all. It may import kernel/{store,id,fail}.
package ledger

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/store"
)

// Outcome of an audited call.
type Outcome string

const (
	Begun     Outcome = "begun"     // accepted; a job goes on with it
	Succeeded Outcome = "succeeded" // done
	Failed    Outcome = "failed"    // tried, and failed; Reason says why
	Denied    Outcome = "denied"    // not allowed
)

// Entry is one audit record. It never holds a secret: Request is the redacted body.
type Entry struct {
	ID        id.ID           `json:"id"`
	At        time.Time       `json:"at"`
	Ended     time.Time       `json:"ended,omitzero"`
	Domain    id.ID           `json:"domain,omitempty"`
	Project   id.ID           `json:"project,omitempty"`
	Actor     string          `json:"actor"` // "user alice", "key AKIA… of alice", "anonymous"
	ActorID   id.ID           `json:"actor_id,omitempty"`
	Source    string          `json:"source"` // address the call came from
	Agent     string          `json:"agent,omitempty"`
	Dialect   string          `json:"dialect"`
	Action    string          `json:"action"` // "app:component:create"
	Kind      string          `json:"kind,omitempty"`
	Row       id.ID           `json:"resource,omitempty"`
	Name      string          `json:"name,omitempty"`
	Outcome   Outcome         `json:"outcome"`
	Reason    string          `json:"reason,omitempty"` // why denied or failed, or which statement allowed it
	RequestID string          `json:"request_id"`
	Job       id.ID           `json:"job,omitempty"`
	Request   json.RawMessage `json:"request,omitempty"`
	// Decision is what the policies said; none where they were not asked.
	Decision *Decision `json:"decision,omitempty"`
	// Agency and By: the actor acted through this agency, and this is who did.
	Agency id.ID `json:"agency,omitempty"`
	ByID   id.ID `json:"by_id,omitempty"`
	ByIn   id.ID `json:"by_domain,omitempty"`
}

// Decision is what the policies said to a call, and on what grounds.
type Decision struct {
	Allowed    bool                `json:"allowed"`
	Reason     string              `json:"reason"`
	Resource   string              `json:"resource"`            // as policies see it
	Domain     id.ID               `json:"domain,omitempty"`    // where it was asked
	PolicyID   string              `json:"policy_id,omitempty"` // of the deciding policy
	Policy     string              `json:"policy,omitempty"`
	Held       string              `json:"held,omitempty"`       // how the caller came by it
	Generation int64               `json:"generation,omitempty"` // of the policy, then
	Statement  int                 `json:"statement,omitempty"`  // counted from 1
	Said       json.RawMessage     `json:"said,omitempty"`       // that statement, as it was then
	Sid        string              `json:"sid,omitempty"`
	Facts      map[string][]string `json:"facts,omitempty"`
}

const auditPrefix = "audit/"

func auditKey(domain, entry id.ID) string { return auditPrefix + folder(domain) + "/" + string(entry) }

// Record writes e, giving it an id when it has none. It waits then to be sealed.
func Record(tx store.Tx, e *Entry) error {
	if e.ID == "" {
		e.ID = id.New()
	}
	b, err := json.Marshal(e)
	if err != nil {
		return err
	}
	if err := wait(tx, mark{e.Domain, e.ID, e.Outcome == Begun}); err != nil {
		return err
	}
	return tx.Put(auditKey(e.Domain, e.ID), b)
}

// End completes the entry of a call that went on as a job.
func End(tx store.Tx, domain, entry id.ID, at time.Time, outcome Outcome, reason string) error {
	if entry == "" {
		return nil
	}
	b, ok, err := tx.Get(auditKey(domain, entry))
	if err != nil || !ok {
		return err
	}
	var e Entry
	if err := json.Unmarshal(b, &e); err != nil {
		return err
	}
	e.Ended, e.Outcome = at, outcome
	if reason != "" {
		e.Reason = reason
	}
	return Record(tx, &e)
}

// Find reads one entry of a domain; nil when there is none.
func Find(tx store.Tx, domain, entry id.ID) (*Entry, error) {
	if _, ok := id.Parse(string(entry)); !ok {
		return nil, nil
	}
	e, raw, err := read(tx, auditKey(domain, entry))
	if err != nil || raw == nil {
		return nil, err
	}
	return &e, nil
}

// Query selects audit entries of one domain.
type Query struct {
	Domain   id.ID
	Project  id.ID     // "" = all
	Actor    string    // substring of Actor
	Action   string    // "app:component:create", or a prefix that ends with *
	Resource string    // id or name
	Outcome  Outcome   // "" = all
	Text     string    // substring of anything
	Since    time.Time // zero = from the first
	Until    time.Time
	Before   id.ID // page on: entries older than this one
	Limit    int
}

// Search gives the newest matching entries first, and the marker of the next page ("" at the end). Keys are in the order
// of time and a scan goes forward only, so it looks at the last moments first and then at ever longer times before, or
// shorter ones where much happened: the newest page of a long log costs no more than that of a short one.
func Search(tx store.Tx, q Query) ([]Entry, id.ID, error) {
	var out []Entry
	p, below, at := strings.TrimSuffix(auditKey(q.Domain, "x"), "x"), string(q.Before), time.Now()
	if t, ok := q.Before.Time(); ok {
		at = t.Add(time.Millisecond)
	}
	for span := firstSpan; ; span *= 4 {
		above := ""
		if span < lastSpan {
			above = string(id.At(at.Add(-span)))
		}
		keys, whole := between(tx, p, above, below, span > time.Millisecond)
		if err := tx.ScanErr(); err != nil {
			return nil, "", err
		}
		if !whole {
			span /= 32
			continue
		}
		for _, k := range slices.Backward(keys) {
			e, raw, err := read(tx, k)
			if err != nil {
				return nil, "", err
			}
			if !q.Since.IsZero() && e.At.Before(q.Since) {
				return out, "", nil
			}
			if !q.match(e, raw) {
				continue
			}
			if len(out) == q.Limit {
				return out, out[len(out)-1].ID, nil
			}
			out = append(out, e)
		}
		if above == "" {
			return out, "", nil
		}
		at, below = at.Add(-span), above
	}
}

// The times that Search looks at in one go: at first, and from which on it is all that is left; and how many keys it
// wants to see of one.
const (
	firstSpan = 2 * time.Second
	lastSpan  = 365 * 24 * time.Hour
	manyKeys  = 1000
)

// between lists the keys of entries above one id and below another (""; no bound); whole is false where there are too
// many and few are wanted.
func between(tx store.Tx, prefix, above, below string, few bool) (keys []string, whole bool) {
	for k := range tx.Scan(prefix, prefix+above) {
		if below != "" && k[len(prefix):] >= below {
			break
		}
		if few && len(keys) == manyKeys {
			return nil, false
		}
		keys = append(keys, k)
	}
	return keys, true
}

func read(tx store.Tx, key string) (e Entry, raw []byte, err error) {
	raw, ok, err := tx.Get(key)
	if err != nil || !ok {
		return e, nil, err
	}
	if err := json.Unmarshal(raw, &e); err != nil {
		return e, nil, fail.Wrap(err, fail.Internal, "an audit entry cannot be read")
	}
	return e, raw, nil
}

func (q Query) match(e Entry, raw []byte) bool {
	if q.Project != "" && e.Project != q.Project {
		return false
	}
	if q.Outcome != "" && e.Outcome != q.Outcome {
		return false
	}
	if !q.Until.IsZero() && e.At.After(q.Until) {
		return false
	}
	if q.Actor != "" && !strings.Contains(strings.ToLower(e.Actor), strings.ToLower(q.Actor)) {
		return false
	}
	if p, wild := strings.CutSuffix(q.Action, "*"); wild && !strings.HasPrefix(e.Action, p) || !wild && q.Action != "" && e.Action != q.Action {
		return false
	}
	if q.Resource != "" && string(e.Row) != q.Resource && e.Name != q.Resource {
		return false
	}
	return q.Text == "" || strings.Contains(strings.ToLower(string(raw)), strings.ToLower(q.Text))
}
