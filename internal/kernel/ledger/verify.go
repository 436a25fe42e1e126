package ledger

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/store"
)

// Problem is something that is not as it was sealed.
type Problem struct {
	Index int64     `json:"index"` // of the leaf; -1: of the log as a whole
	Entry id.ID     `json:"entry,omitempty"`
	At    time.Time `json:"at,omitzero"`
	What  string    `json:"what"`
}

// Report is what a check of a log found.
type Report struct {
	Checkpoint Checkpoint `json:"checkpoint"`
	Key        string     `json:"key"` // that the checkpoint is signed with
	Entries    int64      `json:"entries"`
	Waiting    int        `json:"waiting"` // not sealed yet: written in the last seconds
	Problems   []Problem  `json:"problems"`
	// Kept is the size of the earlier checkpoint that the log was compared with; 0: with none.
	Kept int64 `json:"kept,omitempty"`
}

// Verifier checks a domain's log from its first leaf on. It needs nothing but what the log gives out, so that who does not
// trust the cloud runs it on a machine of its own.
type Verifier struct {
	n        int64
	hashes   []tlog.Hash
	began    map[id.ID]Entry // entries whose end has not come yet
	ended    map[id.ID]bool
	sealed   map[id.ID]bool // all that have a leaf
	problems []Problem
}

// maxProblems are told; the first ones tell enough.
const maxProblems = 1000

func (v *Verifier) bad(l Leaf, at time.Time, format string, args ...any) {
	if len(v.problems) < maxProblems {
		v.problems = append(v.problems, Problem{Index: l.Index, Entry: l.Entry, At: at, What: fmt.Sprintf(format, args...)})
	}
}

// Add takes the next leaf.
func (v *Verifier) Add(l Leaf) {
	if v.began == nil {
		v.began, v.ended, v.sealed = map[id.ID]Entry{}, map[id.ID]bool{}, map[id.ID]bool{}
	}
	at, _ := l.Entry.Time()
	if l.Index != v.n {
		v.bad(l, at, "leaf %d is missing before it", v.n)
	}
	v.n = l.Index + 1
	v.sealed[l.Entry] = true
	h, err := tlog.ParseHash(l.Hash)
	if err != nil {
		v.bad(l, at, "its hash cannot be read")
	}
	more, err := tlog.StoredHashesForRecordHash(tlogSize(len(v.hashes)), h, v)
	if err != nil {
		v.bad(l, at, "its place in the tree cannot be computed")
	}
	v.hashes = append(v.hashes, more...)
	if l.Record == "" {
		v.bad(l, at, "the entry was deleted after it was sealed")
		return
	}
	if tlog.RecordHash([]byte(l.Record)) != h {
		v.bad(l, at, "the entry was changed after it was sealed")
		return
	}
	var e Entry
	if err := json.Unmarshal([]byte(l.Record), &e); err != nil || e.ID != l.Entry {
		v.bad(l, at, "the record is not of this entry")
		return
	}
	was, began := v.began[e.ID]
	switch {
	case v.ended[e.ID]:
		v.bad(l, at, "the entry was written again after it had ended")
	case began && !goesOn(was, e):
		v.bad(l, at, "the entry does not end the call that it began with")
	}
	if e.Outcome == Begun {
		v.began[e.ID] = e
	} else {
		delete(v.began, e.ID)
		v.ended[e.ID] = true
	}
}

// goesOn tells whether only what the end of a call adds is different.
func goesOn(was, is Entry) bool {
	is.Ended, is.Outcome, is.Reason = was.Ended, was.Outcome, was.Reason
	a, aerr := json.Marshal(was)
	b, berr := json.Marshal(is)
	return aerr == nil && berr == nil && string(a) == string(b)
}

// tlogSize is how many leaves have so many stored hashes.
func tlogSize(hashes int) int64 {
	n := int64(hashes) / 2
	for tlog.StoredHashCount(n) < int64(hashes) {
		n++
	}
	return n
}

// ReadHashes makes the hashes computed so far a tlog.HashReader.
func (v *Verifier) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, n := range indexes {
		if n >= int64(len(v.hashes)) {
			return nil, fail.New(fail.Invalid, "hash %d is not there", n)
		}
		out[i] = v.hashes[n]
	}
	return out, nil
}

// Close compares what was added with the checkpoint that is said to be of it, and with one that was kept from earlier (nil: none).
func (v *Verifier) Close(key string, head Checkpoint, kept *Checkpoint) (Report, error) {
	r := Report{Checkpoint: head, Key: key, Entries: v.n}
	whole := func(format string, args ...any) { v.bad(Leaf{Index: -1}, time.Time{}, format, args...) }
	r.Problems = []Problem{}
	if head.Size == 0 && v.n == 0 && kept == nil {
		return r, nil // nothing is sealed yet
	}
	known, err := note.NewVerifier(key)
	if err != nil {
		return r, fail.New(fail.Invalid, "the key %q cannot be read", key)
	}
	compare := func(what string, c Checkpoint) {
		if _, err := note.Open([]byte(c.Note), note.VerifierList(known)); err != nil {
			whole("%s is not signed with this key", what)
		}
		if c.Size > v.n {
			whole("the log is shorter than %s: %d leaves of %d, so entries were taken away, or an old backup was restored", what, v.n, c.Size)
			return
		}
		root, err := tlog.TreeHash(c.Size, v)
		if err != nil || base64.StdEncoding.EncodeToString(root[:]) != c.Root {
			whole("the first %d leaves are others than those of %s", c.Size, what)
		}
	}
	compare("the newest checkpoint", head)
	if kept != nil {
		r.Kept = kept.Size
		if kept.Origin != head.Origin && head.Origin != "" {
			return r, fail.New(fail.Invalid, "the kept checkpoint is of another log: %s, not %s", kept.Origin, head.Origin).Then("give one of this domain")
		}
		compare("the checkpoint that was kept", *kept)
	}
	r.Problems = append(r.Problems, v.problems...)
	return r, nil
}

// Verify checks the log of a domain where it lies; also that no entry is there which never was sealed.
func Verify(tx store.Tx, domain id.ID, key string, kept *Checkpoint) (Report, error) {
	v := new(Verifier)
	for {
		page, err := Leaves(tx, domain, v.n, 1000)
		if err != nil {
			return Report{}, err
		}
		if len(page) == 0 {
			break
		}
		for _, l := range page {
			v.Add(l)
		}
	}
	marked, err := waiting(tx)
	if err != nil {
		return Report{}, err
	}
	prefix := auditPrefix + folder(domain) + "/"
	for k := range tx.Scan(prefix, "") {
		entry := id.ID(strings.TrimPrefix(k, prefix))
		if v.sealed[entry] {
			continue
		}
		if marked[entry] == "" {
			at, _ := entry.Time()
			v.bad(Leaf{Index: -1, Entry: entry}, at, "the entry was put there past the cloud: it never was sealed")
		}
	}
	if err := tx.ScanErr(); err != nil {
		return Report{}, err
	}
	head, err := Head(tx, domain)
	if err != nil {
		return Report{}, err
	}
	r, err := v.Close(key, head, kept)
	if err == nil {
		r.Waiting, err = Waiting(tx, domain)
	}
	return r, err
}
