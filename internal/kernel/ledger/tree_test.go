package ledger

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/kernel/store/mem"
)

// sealedLog is a log of one domain, with the key that signs it.
type sealedLog struct {
	*testing.T
	store  store.Store
	signer note.Signer
	sealer *Sealer
	key    string
}

func newLog(t *testing.T) *sealedLog {
	private, key, err := note.GenerateKey(rand.Reader, "cloud.test/audit")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	s := mem.New()
	t.Cleanup(func() { s.Close() })
	return &sealedLog{t, s, signer, &Sealer{Store: s, Signer: signer}, key}
}

func (l *sealedLog) update(fn func(tx store.Tx) error) {
	l.Helper()
	if _, err := l.store.Update(l.Context(), fn); err != nil {
		l.Fatal(err)
	}
}

func (l *sealedLog) record(name string, outcome Outcome) Entry {
	l.Helper()
	e := Entry{At: time.Now().UTC(), Domain: "d", Action: "app:component:create", Name: name, Outcome: outcome, Reason: "a < b & c"}
	l.update(func(tx store.Tx) error { e.ID = ""; return Record(tx, &e) })
	return e
}

func (l *sealedLog) seal() {
	l.Helper()
	for more := true; more; {
		var err error
		if more, err = l.sealer.Seal(l.Context(), time.Now()); err != nil {
			l.Fatal(err)
		}
	}
}

func (l *sealedLog) verify(kept *Checkpoint) (r Report) {
	l.Helper()
	err := l.store.View(l.Context(), func(tx store.Tx) (err error) { r, err = Verify(tx, "d", l.key, kept); return err })
	if err != nil {
		l.Fatal(err)
	}
	return r
}

// TestLogProvesItself seals a log with calls that go on as jobs, keeps a checkpoint, goes on, and checks it from outside.
func TestLogProvesItself(t *testing.T) {
	l := newLog(t)
	long := l.record("long", Begun)
	for i := range 5 {
		l.record(fmt.Sprint(i), Succeeded)
	}
	if r := l.verify(nil); r.Entries != 0 || r.Waiting != 6 || len(r.Problems) != 0 {
		t.Fatalf("before it is sealed: %+v", r)
	}
	l.seal()
	kept := l.verify(nil).Checkpoint
	if kept.Size != 6 {
		t.Fatalf("checkpoint %+v", kept)
	}
	l.update(func(tx store.Tx) error { return End(tx, "d", long.ID, time.Now(), Failed, "it broke") })
	short := l.record("short", Begun)
	l.update(func(tx store.Tx) error { return End(tx, "d", short.ID, time.Now(), Succeeded, "") }) // before it is sealed
	for i := range 2000 {
		l.record(fmt.Sprint("more ", i), Denied)
	}
	l.update(func(tx store.Tx) error { return Record(tx, &Entry{Domain: "other", Name: "not ours"}) })
	l.seal()
	if r := l.verify(&kept); r.Entries != 2008 || r.Waiting != 0 || len(r.Problems) != 0 || r.Kept != 6 {
		t.Fatalf("%d entries, %d wait, kept %d, problems %+v", r.Entries, r.Waiting, r.Kept, r.Problems)
	}

	// The same from what the log gives out, through JSON as an auditor gets it.
	var v Verifier
	err := l.store.View(t.Context(), func(tx store.Tx) error {
		for {
			page, err := Leaves(tx, "d", v.n, 300)
			if err != nil || len(page) == 0 {
				return err
			}
			b, _ := json.Marshal(page)
			var got []Leaf
			if err := json.Unmarshal(b, &got); err != nil {
				return err
			}
			for _, leaf := range got {
				v.Add(leaf)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if r, err := v.Close(l.key, l.verify(nil).Checkpoint, &kept); err != nil || len(r.Problems) != 0 {
		t.Fatalf("%v, %+v", err, r.Problems)
	}
}

// TestLogTellsWhatWasDoneToIt changes a sealed log in each way that who has the store could.
func TestLogTellsWhatWasDoneToIt(t *testing.T) {
	edit := func(tx store.Tx, e Entry, old, now string) error {
		raw, _, err := tx.Get(auditKey("d", e.ID))
		if err != nil {
			return err
		}
		return tx.Put(auditKey("d", e.ID), []byte(strings.Replace(string(raw), old, now, 1)))
	}
	for name, c := range map[string]struct {
		do     func(l *sealedLog, tx store.Tx, e Entry) error
		reseal bool
		kept   bool
		want   string
		named  bool // the entry is
	}{
		"one byte": {do: func(l *sealedLog, tx store.Tx, e Entry) error { return edit(tx, e, "victim", "victin") }, want: "was changed after it was sealed", named: true},
		"deleted":  {do: func(l *sealedLog, tx store.Tx, e Entry) error { return tx.Delete(auditKey("d", e.ID)) }, want: "was deleted after it was sealed", named: true},
		"rewritten by the cloud": {do: func(l *sealedLog, tx store.Tx, e Entry) error { e.Actor = "user mallory"; return Record(tx, &e) }, reseal: true,
			want: "changed after it was sealed", named: true},
		"slipped in": {do: func(l *sealedLog, tx store.Tx, e Entry) error {
			e.ID = id.New()
			b, err := json.Marshal(e)
			if err != nil {
				return err
			}
			return tx.Put(auditKey("d", e.ID), b)
		}, want: "never was sealed"},
		"a leaf with its entry": {do: func(l *sealedLog, tx store.Tx, e Entry) error {
			if err := tx.Delete(numbered(leafPrefix, "d", 1)); err != nil {
				return err
			}
			return tx.Delete(auditKey("d", e.ID))
		}, want: "leaf 1 is missing"},
		"the whole log begun again": {do: func(l *sealedLog, tx store.Tx, e Entry) error {
			for _, prefix := range []string{leafPrefix, hashPrefix, headPrefix} {
				for k := range tx.Scan(prefix, "") {
					if err := tx.Delete(k); err != nil {
						return err
					}
				}
			}
			for k := range tx.Scan(auditPrefix, "") {
				if err := wait(tx, mark{domain: "d", entry: id.ID(k[len(auditPrefix)+2:])}); err != nil {
					return err
				}
			}
			return edit(tx, e, "victim", "nobody")
		}, reseal: true, kept: true, want: "others than those of the checkpoint that was kept"},
		"its tail cut off": {do: func(l *sealedLog, tx store.Tx, e Entry) error {
			return tx.Delete(numbered(leafPrefix, "d", 3))
		}, kept: true, want: "shorter than the checkpoint that was kept"},
		"signed by another": {do: func(l *sealedLog, tx store.Tx, e Entry) error {
			return sign(newTree(tx, "d", 4), newLog(l.T).signer, time.Now())
		}, want: "not signed with this key"},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLog(t)
			l.record("first", Succeeded)
			e := l.record("victim", Succeeded)
			l.record("third", Succeeded)
			l.record("fourth", Denied)
			l.seal()
			kept := l.verify(nil).Checkpoint
			l.update(func(tx store.Tx) error { return c.do(l, tx, e) })
			if c.reseal {
				l.seal()
			}
			var with *Checkpoint
			if c.kept {
				with = &kept
			}
			r := l.verify(with)
			found := false
			for _, p := range r.Problems {
				found = found || strings.Contains(p.What, c.want) && (!c.named || p.Entry == e.ID)
			}
			if !found {
				t.Errorf("problems are %+v, want %q", r.Problems, c.want)
			}
		})
	}
}

// TestAdopt takes up a log that was written before logs were sealed.
func TestAdopt(t *testing.T) {
	l := newLog(t)
	const n = 2345
	l.update(func(tx store.Tx) error {
		for i := range n {
			b, err := json.Marshal(Entry{ID: id.New(), Domain: "d", Name: fmt.Sprint(i)})
			if err != nil {
				return err
			}
			var e Entry
			_ = json.Unmarshal(b, &e) // what was just made
			if err := tx.Put(auditKey("d", e.ID), b); err != nil {
				return err
			}
		}
		return nil
	})
	l.record("of this version already", Succeeded)
	for range 2 {
		if err := Adopt(t.Context(), l.store); err != nil {
			t.Fatal(err)
		}
		l.seal()
		if r := l.verify(nil); r.Entries != n+1 || len(r.Problems) != 0 {
			t.Fatalf("%d entries, problems %+v", r.Entries, r.Problems)
		}
	}
}
