package bucket_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/event"
	"github.com/awancloud/awan/internal/service/bucket"
)

const day = 24 * time.Hour

// rules sets a bucket's lifecycle.
func (w *world) rules(name string, rules ...bucket.Rule) {
	w.t.Helper()
	if err := w.Change(w.t.Context(), w.me, name, "", func(r *bucket.Row) error { r.Spec.Lifecycle = rules; return nil }); err != nil {
		w.t.Fatal(err)
	}
}

// do asks for an action of a bucket.
func (w *world) do(name, verb string) {
	w.t.Helper()
	if _, err := w.Door.Do(w.t.Context(), &call.Call{Kind: w.Rows.D, Verb: verb, Target: name, Principal: w.Root}); err != nil {
		w.t.Fatal(err)
	}
}

// events gives what happened to a bucket.
func (w *world) events(name string) []event.Event {
	w.t.Helper()
	r, err := w.Door.Do(w.t.Context(), &call.Call{Kind: w.Rows.D, Verb: call.Events, Target: name, Principal: w.Root})
	if err != nil {
		w.t.Fatal(err)
	}
	return r.Events
}

// event waits for an event of a bucket.
func (w *world) event(name, typ, contains string) {
	w.t.Helper()
	waitFor(w.t, typ+" with "+contains, func() (any, bool) {
		all := w.events(name)
		return all, slices.ContainsFunc(all, func(e event.Event) bool { return e.Type == typ && strings.Contains(e.Text, contains) })
	})
}

// waitFor waits until something is as it should be.
func waitFor[T any](t testing.TB, what string, look func() (T, bool)) T {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		got, ok := look()
		if ok {
			return got
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s did not come; there is %v", what, got)
		}
	}
}

// sweep runs the rules of a bucket and gives what its event says.
func (w *world) sweep(name, want string) {
	w.t.Helper()
	w.Clock.Add(time.Minute)
	asked := w.Clock.Now()
	w.do(name, "sweep")
	waitFor(w.t, "the sweep", func() (any, bool) {
		row, err := w.Bucket(w.t.Context(), w.me, name, "")
		return row, err == nil && !row.Status.Swept.Before(asked)
	})
	w.event(name, "Swept", want)
}

// versions names every version: KEY or KEY! for a delete marker, with its class where that is not standard.
func (w *world) versions(name string) (out []string) {
	w.t.Helper()
	l, err := w.List(w.t.Context(), w.me, &bucket.ListInput{Bucket: name, Versions: true, Max: 1000})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, o := range l.Objects {
		text := o.Key
		if o.Marker {
			text += "!"
		}
		if o.Class != bucket.Standard {
			text += ":" + o.Class
		}
		out = append(out, text)
	}
	return out
}

func (w *world) has(name string, want ...string) {
	w.t.Helper()
	if got := w.versions(name); !slices.Equal(got, want) {
		w.t.Errorf("there is %q, want %q", got, want)
	}
}

// TestLifecycle lets a bucket age, with every kind of rule.
func TestLifecycle(t *testing.T) {
	w, ctx := start(t), t.Context()

	w.bucket("plain", bucket.BucketSpec{})
	w.rules("plain", bucket.Rule{ID: "tmp", Prefix: "tmp/", Expire: 3}, bucket.Rule{ID: "off", Disabled: true, Expire: 1},
		bucket.Rule{ID: "big", Larger: 10, Move: []bucket.Transition{{Class: "warm", Days: 1}, {Class: "cold", Days: 5}}}, bucket.Rule{ID: "leftover", Abort: 2})
	w.put("plain", "keep", "x")
	w.put("plain", "large", strings.Repeat("x", 11))
	w.put("plain", "tmp/a", "x")
	up, err := w.Begin(ctx, w.me, &bucket.UploadInput{PutInput: bucket.PutInput{Bucket: "plain", Key: "never"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.PutPart(ctx, w.me, &bucket.PartInput{Bucket: "plain", Key: "never", Upload: up.ID, Number: 1, Body: strings.NewReader("part"), Size: 4}); err != nil {
		t.Fatal(err)
	}
	w.sweep("plain", "nothing was due")
	w.Clock.Add(2 * day)
	w.sweep("plain", "1 moved")
	w.has("plain", "keep", "large:warm", "tmp/a")
	w.Clock.Add(2 * day) // this time nobody asks: the day has come
	w.event("plain", "Swept", "1 objects expired, 1 uploads aborted")
	w.Clock.Add(2 * day)
	w.sweep("plain", "1 moved")
	w.has("plain", "keep", "large:cold")
	w.Clock.Add(day)
	w.rules("plain", bucket.Rule{ID: "all", ExpireAt: w.Clock.Now().Add(-day)})
	w.sweep("plain", "2 objects expired")
	w.has("plain")
	if err := w.DeleteBucket(ctx, w.me, "plain"); err != nil {
		t.Error(err)
	}

	w.bucket("history", bucket.BucketSpec{Versioning: "enabled"})
	w.rules("history", bucket.Rule{ID: "old", Old: 2, KeepOld: 1, MoveOld: []bucket.Transition{{Class: "cold", Days: 1}}}, bucket.Rule{ID: "new", Prefix: "tmp/", Expire: 9}, bucket.Rule{ID: "markers", ExpireMarkers: true})
	for range 4 {
		w.put("history", "doc", "x")
		w.put("history", "tmp/doc", "x")
		w.Clock.Add(time.Hour)
	}
	w.put("history", "gone", "x")
	if _, err := w.Delete(ctx, w.me, &bucket.DeleteInput{Bucket: "history", Key: "gone"}); err != nil {
		t.Fatal(err)
	}
	w.Clock.Add(2 * day)
	w.sweep("history", "7 moved")
	w.Clock.Add(day)
	w.sweep("history", "4 old versions removed")
	w.has("history", "doc", "doc:cold", "gone!", "gone:cold", "tmp/doc", "tmp/doc:cold") // one replaced version of each is kept
	w.Clock.Add(9 * day)
	w.sweep("history", "1 objects expired, 1 old versions removed")
	w.has("history", "doc", "doc:cold", "gone!", "gone:cold", "tmp/doc!", "tmp/doc")
	w.rules("history", bucket.Rule{ID: "old", Old: 1}, bucket.Rule{ID: "markers", ExpireMarkers: true})
	w.Clock.Add(2 * day)
	w.sweep("history", "3 old versions removed")
	w.sweep("history", "2 delete markers removed")
	w.has("history", "doc")
}

// TestLifecycleLeavesWhatIsLocked: whatever the rules say, and however the clock stands, a lock wins.
func TestLifecycleLeavesWhatIsLocked(t *testing.T) {
	w, ctx := start(t), t.Context()
	w.bucket("ledger", bucket.BucketSpec{ObjectLock: true, Retention: bucket.Retention{Mode: "governance", Days: 3650}})
	w.put("ledger", "book", "2025")
	w.put("ledger", "book", "2026")
	off := false
	held, err := w.Put(ctx, w.me, &bucket.PutInput{Bucket: "ledger", Key: "page", Body: strings.NewReader("x"), Size: 1, Hold: true, Lock: bucket.Lock{Mode: "governance", Until: w.Clock.Now().Add(time.Second)}})
	if err != nil {
		t.Fatal(err)
	}
	w.rules("ledger", bucket.Rule{ID: "all", Expire: 1, Old: 1, ExpireMarkers: true})
	w.Clock.Add(5 * 365 * day)
	w.sweep("ledger", "2 objects expired, 1 kept because they are locked") // a delete marker takes nothing away
	w.Clock.Add(5 * day)
	w.sweep("ledger", "3 kept because they are locked")
	w.has("ledger", "book!", "book", "book", "page!", "page")
	if _, err := w.Edit(ctx, w.me, &bucket.EditInput{Bucket: "ledger", Key: "page", Version: held.Version, Hold: &off}); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the lock's end", func() ([]string, bool) { // locks end by a clock of their own
		w.do("ledger", "sweep")
		got := w.versions("ledger")
		return got, slices.Equal(got, []string{"book!", "book", "book", "page!"})
	})
}

// TestLifecycleOfMany goes over more records than one page, transaction by transaction.
func TestLifecycleOfMany(t *testing.T) {
	w := start(t)
	w.bucket("many", bucket.BucketSpec{})
	for i := range 1300 {
		w.put("many", fmt.Sprintf("k%04d", i), "x")
	}
	w.rules("many", bucket.Rule{ID: "all", Expire: 1})
	w.Clock.Add(3 * day)
	w.sweep("many", "1300 objects expired")
	w.has("many")
	if err := w.DeleteBucket(t.Context(), w.me, "many"); err != nil {
		t.Error(err)
	}
	w.nothingLeft()
}
