package storetest

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/store"
)

// discard is an io.Writer.
type discard struct{}

func (discard) Write(b []byte) (int, error) { return len(b), nil }

// collect takes n changes from a watch.
func collect(t testing.TB, s store.Store, prefix string, from store.Rev, n int) []store.Change {
	t.Helper()
	var out []store.Change
	if n == 0 {
		return out
	}
	for c, err := range s.Watch(ctx(t), prefix, from) {
		if err != nil {
			t.Fatalf("watch %q from %d: %v", prefix, from, err)
		}
		if out = append(out, c); len(out) == n {
			return out
		}
	}
	t.Fatalf("watch %q from %d ended after %d of %d changes", prefix, from, len(out), n)
	return nil
}

// ending runs a watch until it ends and gives its last error.
func ending(ctx context.Context, s store.Store, prefix string, from store.Rev) error {
	var last error
	for _, err := range s.Watch(ctx, prefix, from) {
		last = err
	}
	return last
}

// follow watches everything from the last commit on, returns when it has seen that, and gives the watch's last error.
func follow(t testing.TB, s store.Store) <-chan error {
	began, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		var last error
		seen := sync.OnceFunc(func() { close(began) })
		for _, err := range s.Watch(ctx(t), "", s.Rev()-1) {
			last = err
			seen()
		}
		ended <- last
	}()
	<-began
	return ended
}

func testWatchOrder(t *testing.T, open Factory) {
	s := start(t, open)
	write(t, s, p("b", "1"), p("a", "1"), p("a", "2"), p("c/x", "1"), gone("c/y"))
	write(t, s, gone("a"), p("c/y", ""), gone("b"), p("b", "3"), gone("nothing"))
	write(t, s, gone("nothing"))
	write(t, s, gone("c/x"))
	want := []store.Change{
		{Rev: 1, Key: "a", Value: []byte("2")},
		{Rev: 1, Key: "b", Value: []byte("1")},
		{Rev: 1, Key: "c/x", Value: []byte("1")},
		{Rev: 2, Key: "a", Deleted: true},
		{Rev: 2, Key: "b", Value: []byte("3")},
		{Rev: 2, Key: "c/y", Value: []byte{}},
		{Rev: 3, Key: "c/x", Deleted: true},
	}
	got := collect(t, s, "", 0, len(want))
	for i := range want {
		if !reflect.DeepEqual(got[i], want[i]) {
			t.Errorf("change %d is %+v, want %+v", i, got[i], want[i])
		}
	}
	got[0].Value[0] = 'x' // it is the watcher's own
	if again := collect(t, s, "", 0, 1); string(again[0].Value) != "2" {
		t.Errorf("a watcher changed what others see: %q", again[0].Value)
	}
	if got := collect(t, s, "c/", 1, 2); got[0].Key != "c/y" || got[1].Key != "c/x" || !got[1].Deleted {
		t.Errorf("watching c/ from 1 gives %+v", got)
	}
}

func testWatchResumes(t *testing.T, open Factory) {
	s := start(t, open)
	var all []store.Change
	for i := range 150 { // more than a watcher takes at once
		key := fmt.Sprintf("%c/%d", 'a'+rand.IntN(3), i)
		rev := write(t, s, p(key, fmt.Sprint(i)))
		all = append(all, store.Change{Rev: rev, Key: key, Value: fmt.Append(nil, i)})
	}
	for _, prefix := range []string{"", "a/", "c/1"} {
		for _, from := range []store.Rev{0, 1, 77, 149, 150} {
			var want []store.Change
			for _, c := range all {
				if c.Rev > from && strings.HasPrefix(c.Key, prefix) {
					want = append(want, c)
				}
			}
			if got := collect(t, s, prefix, from, len(want)); !reflect.DeepEqual(got, want) {
				t.Errorf("watching %q from %d gives %+v, want %+v", prefix, from, got, want)
			}
		}
	}
}

func testWatchEnds(t *testing.T, open Factory) {
	s := start(t, open)
	write(t, s, p("quiet/1", "1"))
	wantKind(t, ending(ctx(t), s, "", 2), fail.Gone, "a revision that never was")

	live, cancel := context.WithCancel(ctx(t))
	defer cancel()
	for c, err := range s.Watch(live, "", 0) {
		if err != nil {
			t.Errorf("a cancelled watch gives %v after %+v", err, c)
		}
		cancel()
	}
	if err := ending(live, s, "", 1); err != nil {
		t.Errorf("a watch with an ended context gives %v", err)
	}

	// Two watchers of a quiet prefix: one waits, one is stuck at its first change while others write a lot.
	waits, stuck := make(chan store.Change, 2), make(chan error, 1)
	release := make(chan struct{})
	var first sync.WaitGroup
	first.Add(2)
	go func() {
		defer close(waits)
		for c, err := range s.Watch(ctx(t), "quiet/", 0) {
			if err != nil {
				t.Errorf("a waiting watcher was ended: %v", err)
				return
			}
			if waits <- c; c.Rev > 1 {
				return
			}
			first.Done()
		}
	}()
	go func() {
		defer close(stuck)
		for _, err := range s.Watch(ctx(t), "", 0) {
			if err != nil {
				stuck <- err
				return
			}
			first.Done()
			<-release
		}
	}()
	first.Wait()
	for i := range 40 { // far more than any history
		write(t, s, p("noise", strings.Repeat(fmt.Sprint(i%10), store.MaxValue)))
	}
	close(release)
	wantKind(t, <-stuck, fail.Gone, "a watcher that fell behind")
	wantKind(t, ending(ctx(t), s, "", 0), fail.Gone, "a revision that is no longer kept")
	rev := write(t, s, p("quiet/2", "2"))
	<-waits
	if c := <-waits; c.Key != "quiet/2" || c.Rev != rev {
		t.Errorf("a waiting watcher got %+v", c)
	}
}

func testWatchWhileWriting(t *testing.T, open Factory) {
	s := start(t, open)
	const writers, rounds, watchers = 8, 25, 4
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() {
			for n := range rounds {
				_, err := s.Update(ctx(t), func(tx store.Tx) error {
					return put(tx, p(fmt.Sprintf("w/%d", i), fmt.Sprint(n)), p("last", fmt.Sprint(i, n)))
				})
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for range watchers {
		wg.Go(func() {
			last := map[string]string{}
			next := store.Rev(1)
			for c, err := range s.Watch(ctx(t), "", 0) {
				if err != nil {
					t.Errorf("watch: %v", err)
					return
				}
				switch {
				case c.Key == "last": // the first of each commit's two changes
					if c.Rev != next {
						t.Errorf("revision %d follows %d", c.Rev, next-1)
						return
					}
					next++
				case c.Rev != next-1:
					t.Errorf("the other half of %d came as %d", next-1, c.Rev)
				}
				last[c.Key] = string(c.Value)
				if s.Rev() < c.Rev {
					t.Errorf("a watcher heard of revision %d before readers can see it", c.Rev)
				}
				if c.Key != "last" && c.Rev == writers*rounds {
					break
				}
			}
			wantState(t, s, last)
		})
	}
	wg.Wait()
}

func testRestore(t *testing.T, open Factory) {
	from, to := start(t, open), start(t, open)
	want := map[string]string{}
	for i := range 3000 {
		k, v := fmt.Sprintf("k/%05d", i*7919%3000), strings.Repeat(fmt.Sprint(i), 50)
		want[k] = v
		if i%100 == 0 {
			write(t, from, p(k, v))
			continue
		}
		if _, err := from.Update(ctx(t), func(tx store.Tx) error { return put(tx, p(k, v)) }); err != nil {
			t.Fatal(err)
		}
	}
	write(t, to, p("old", "1"), p("k/00001", "old"))
	var buf bytes.Buffer
	rev, err := from.Snapshot(ctx(t), &buf)
	if err != nil || rev != 3000 {
		t.Fatalf("snapshot of revision %d: %v", rev, err)
	}
	write(t, from, p("after", "the snapshot"))
	var again bytes.Buffer
	if _, err := from.Snapshot(ctx(t), &again); err != nil || bytes.Equal(buf.Bytes(), again.Bytes()) {
		t.Errorf("a second snapshot is the same as the first, or fails: %v", err)
	}

	restore := func(s store.Store) {
		t.Helper()
		ended := follow(t, s)
		before := s.Rev()
		err := s.View(ctx(t), func(tx store.Tx) error { // a View goes on with the old state
			if err := s.Restore(ctx(t), bytes.NewReader(buf.Bytes())); err != nil {
				return err
			}
			if old := scan(tx, "", "", map[string]string{}); len(old) == len(want) || tx.Rev() != before {
				t.Errorf("a View that began before the restore sees %d keys of it", len(old))
			}
			return nil
		})
		if err != nil {
			t.Fatalf("restore: %v", err)
		}
		wantKind(t, <-ended, fail.Gone, "a watch across a restore")
		wantKind(t, ending(ctx(t), s, "", before), fail.Gone, "a watch from before the restore")
		wantState(t, s, want)
		if got := max(before, rev) + 1; s.Rev() != got {
			t.Errorf("after the restore the revision is %d, want %d", s.Rev(), got)
		}
		next := write(t, s, p("old", "2"))
		if c := collect(t, s, "", next-1, 1); c[0].Key != "old" || c[0].Rev != next {
			t.Errorf("after a restore the watch gives %+v", c)
		}
	}
	restore(to)
	restore(to)
	restore(from)
}

func testRestoreDamage(t *testing.T, open Factory) {
	s := start(t, open)
	write(t, s, p("a", "1"), p("b", "2"))
	var buf bytes.Buffer
	if _, err := s.Snapshot(ctx(t), &buf); err != nil {
		t.Fatal(err)
	}
	write(t, s, p("c", "3"))
	good := buf.Bytes()
	refused := func(name string, b []byte, kinds ...fail.Kind) {
		t.Helper()
		err := s.Restore(ctx(t), bytes.NewReader(b))
		for _, k := range kinds {
			if fail.Is(err, k) {
				return
			}
		}
		t.Errorf("%s: restore gives %v", name, err)
	}
	refused("empty", nil, fail.Invalid)
	refused("cut short", good[:len(good)-1], fail.Invalid)
	refused("cut in half", good[:len(good)/2], fail.Invalid)
	refused("more behind it", append(bytes.Clone(good), 0), fail.Invalid)
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 0x41
		refused(fmt.Sprintf("byte %d changed", i), bad, fail.Invalid, fail.Unsupported)
	}
	ended, cancel := context.WithCancel(ctx(t))
	cancel()
	wantKind(t, s.Restore(ended, bytes.NewReader(good)), fail.Canceled, "restore with an ended context")
	if _, err := s.Snapshot(ctx(t), broken{}); err == nil {
		t.Error("a snapshot to a broken pipe succeeds")
	}
	wantState(t, s, map[string]string{"a": "1", "b": "2", "c": "3"})
	if s.Rev() != 2 {
		t.Errorf("refused restores moved the revision to %d", s.Rev())
	}
	if err := s.Restore(ctx(t), bytes.NewReader(good)); err != nil {
		t.Fatal(err)
	}
	wantState(t, s, map[string]string{"a": "1", "b": "2"})
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, fmt.Errorf("broken pipe") }
