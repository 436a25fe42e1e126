// Package storetest is what every state store must do: one suite, run by each implementation's test.
//
//	func TestStore(t *testing.T) { storetest.Run(t, func(t testing.TB) store.Store { return mem.New() }) }
//
// It may import kernel/fail, kernel/store and test libraries.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/store"
)

// Factory makes an empty store. The suite closes it; the factory cleans up after that.
type Factory func(t testing.TB) store.Store

// Run runs the suite.
func Run(t *testing.T, open Factory) {
	tests := []struct {
		name string
		run  func(t *testing.T, open Factory)
	}{
		{"values", testValues},
		{"limits", testLimits},
		{"scan", testScan},
		{"own writes", testOwnWrites},
		{"write while scanning", testWriteWhileScanning},
		{"errors roll back", testRollback},
		{"revisions", testRevisions},
		{"first error sticks", testSticky},
		{"isolation", testIsolation},
		{"context", testContext},
		{"close", testClose},
		{"watch order", testWatchOrder},
		{"watch resumes", testWatchResumes},
		{"watch ends", testWatchEnds},
		{"watch while writing", testWatchWhileWriting},
		{"snapshot and restore", testRestore},
		{"restore refuses damage", testRestoreDamage},
		{"histories are linearizable", testHistories},
		{"behaves like a map", testModel},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) { test.run(t, open) })
	}
}

// pair is a key and a value; a nil value stands for a deletion in write.
type pair struct {
	key   string
	value []byte
}

func p(key, value string) pair { return pair{key, []byte(value)} }
func gone(key string) pair     { return pair{key, nil} }

// ctx ends when the test has run for too long, so that a hang is a failure with a stack.
func ctx(t testing.TB) context.Context {
	c, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return c
}

func start(t testing.TB, open Factory) store.Store {
	s := open(t)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

func put(tx store.Tx, writes ...pair) error {
	for _, w := range writes {
		var err error
		if w.value == nil {
			err = tx.Delete(w.key)
		} else {
			err = tx.Put(w.key, w.value)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func write(t testing.TB, s store.Store, writes ...pair) store.Rev {
	t.Helper()
	rev, err := s.Update(ctx(t), func(tx store.Tx) error { return put(tx, writes...) })
	if err != nil {
		t.Fatalf("update: %v", err)
	}
	return rev
}

// dump reads everything with the prefix after a key, and the revision it was read at.
func dump(t testing.TB, s store.Store, prefix, after string) (map[string]string, []string, store.Rev) {
	t.Helper()
	all, keys, rev := map[string]string{}, []string{}, store.Rev(0)
	err := s.View(ctx(t), func(tx store.Tx) error {
		rev = tx.Rev()
		keys = scan(tx, prefix, after, all)
		return tx.ScanErr()
	})
	if err != nil {
		t.Fatalf("view: %v", err)
	}
	return all, keys, rev
}

func scan(tx store.Tx, prefix, after string, into map[string]string) []string {
	keys := []string{}
	for k, v := range tx.Scan(prefix, after) {
		keys = append(keys, k)
		into[k] = string(v)
	}
	return keys
}

func wantKind(t testing.TB, err error, kind fail.Kind, doing string) {
	t.Helper()
	if !fail.Is(err, kind) {
		t.Errorf("%s: got %v, want a failure of kind %s", doing, err, kind)
	}
}

func wantState(t testing.TB, s store.Store, want map[string]string) {
	t.Helper()
	if got, _, _ := dump(t, s, "", ""); !maps.Equal(got, want) {
		t.Errorf("state is %q, want %q", got, want)
	}
}

func testValues(t *testing.T, open Factory) {
	s := start(t, open)
	wantState(t, s, map[string]string{})
	value := []byte("one")
	write(t, s, pair{"a", value}, p("b", ""), p("c", "\x00\xff"), p("d", "x"))
	copy(value, "two")
	write(t, s, p("d", "y"), gone("never there"))
	wantState(t, s, map[string]string{"a": "one", "b": "", "c": "\x00\xff", "d": "y"})
	err := s.View(ctx(t), func(tx store.Tx) error {
		v, ok, err := tx.Get("a")
		if err != nil || !ok {
			return fmt.Errorf("get a: %v, %v", ok, err)
		}
		copy(v, "xxx") // the slice is the caller's
		if v, _, _ = tx.Get("a"); string(v) != "one" {
			t.Errorf("a is %q after a reader changed its copy", v)
		}
		if v, ok, _ := tx.Get("b"); !ok || v == nil || len(v) != 0 {
			t.Errorf("an empty value reads as %v, %v", v, ok)
		}
		if v, ok, err := tx.Get("e"); ok || v != nil || err != nil {
			t.Errorf("an absent key reads as %v, %v, %v", v, ok, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	write(t, s, gone("a"), gone("b"), gone("c"), gone("d"))
	wantState(t, s, map[string]string{})
}

func testLimits(t *testing.T, open Factory) {
	s := start(t, open)
	long, big := strings.Repeat("k", store.MaxKey), strings.Repeat("v", store.MaxValue)
	write(t, s, p(long, big))
	if all, _, _ := dump(t, s, "", ""); all[long] != big {
		t.Error("the largest key and value did not survive")
	}
	tests := []struct {
		name string
		put  []pair
		kind fail.Kind
	}{
		{"empty key", []pair{p("", "v")}, fail.Invalid},
		{"empty key deleted", []pair{gone("")}, fail.Invalid},
		{"long key", []pair{p(long+"k", "v")}, fail.TooLarge},
		{"large value", []pair{p("k", big+"v")}, fail.TooLarge},
		{"large transaction", slices.Repeat([]pair{p("k", big)}, store.MaxTx/store.MaxValue+1), fail.TooLarge},
	}
	for _, test := range tests {
		_, err := s.Update(ctx(t), func(tx store.Tx) error { return put(tx, test.put...) })
		wantKind(t, err, test.kind, test.name)
	}
	if got := s.Rev(); got != 1 {
		t.Errorf("refused writes moved the revision to %d", got)
	}
}

func testScan(t *testing.T, open Factory) {
	s := start(t, open)
	keys := []string{"a", "a/", "a/1", "a/10", "a/2", "a0", "b", "z\xff", "z\xff\x00", "z\xff\xff", "z\xff\xffa", "{", "\xff", "\xff\x00", "\xff\xff", "\xff\xffa", "\x00", "\x00\x00", "d", "m/rev"}
	for _, k := range keys {
		write(t, s, p(k, "v"+k))
	}
	slices.Sort(keys)
	for _, prefix := range []string{"", "a", "a/", "a/1", "z\xff", "z\xff\xff", "\xff", "\xff\xff", "\xff\xff\xff", "\x00", "m", "nothing"} {
		for _, after := range append(keys, "", "a/3", "zz", "\xff\xff\xff") {
			var want []string
			for _, k := range keys {
				if strings.HasPrefix(k, prefix) && k > after {
					want = append(want, k)
				}
			}
			all, got, _ := dump(t, s, prefix, after)
			if !slices.Equal(got, want) {
				t.Errorf("View: Scan(%q, %q) = %q, want %q", prefix, after, got, want)
			}
			for k, v := range all {
				if v != "v"+k {
					t.Errorf("Scan gives %q for %q", v, k)
				}
			}
			_, err := s.Update(ctx(t), func(tx store.Tx) error { got = scan(tx, prefix, after, all); return nil })
			if err != nil || !slices.Equal(got, want) {
				t.Errorf("Update: Scan(%q, %q) = %q, %v, want %q", prefix, after, got, err, want)
			}
		}
	}
	for k := range keys { // a scan can be left at any point
		_ = s.View(ctx(t), func(tx store.Tx) error {
			n := 0
			for range tx.Scan("", "") {
				if n++; n > k {
					break
				}
			}
			return nil
		})
	}
}

func testOwnWrites(t *testing.T, open Factory) {
	s := start(t, open)
	write(t, s, p("k/1", "old"), p("k/2", "old"), p("k/3", "old"))
	_, err := s.Update(ctx(t), func(tx store.Tx) error {
		if err := put(tx, p("k/0", "new"), p("k/1", "new"), gone("k/2"), p("k/4", "new"), gone("k/4"), gone("k/5"), p("k/5", "new"), gone("k/3"), p("k/3", "newer")); err != nil {
			return err
		}
		want := map[string]string{"k/0": "new", "k/1": "new", "k/3": "newer", "k/5": "new"}
		got := map[string]string{}
		if keys := scan(tx, "k/", "", got); !slices.Equal(keys, []string{"k/0", "k/1", "k/3", "k/5"}) || !maps.Equal(got, want) {
			t.Errorf("the transaction scans %q (%q), want %q", got, keys, want)
		}
		for i := range 6 {
			k := fmt.Sprintf("k/%d", i)
			v, ok, err := tx.Get(k)
			if w, there := want[k]; ok != there || string(v) != w || err != nil {
				t.Errorf("the transaction reads %s as %q, %v, %v, want %q", k, v, ok, err, w)
			}
		}
		return s.View(ctx(t), func(other store.Tx) error { // nobody else does
			got := map[string]string{}
			scan(other, "", "", got)
			if !maps.Equal(got, map[string]string{"k/1": "old", "k/2": "old", "k/3": "old"}) {
				t.Errorf("a View during the transaction sees %q", got)
			}
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	wantState(t, s, map[string]string{"k/0": "new", "k/1": "new", "k/3": "newer", "k/5": "new"})
}

func testWriteWhileScanning(t *testing.T, open Factory) {
	s := start(t, open)
	var all []pair
	for i := range 200 {
		all = append(all, p(fmt.Sprintf("q/%03d", i), "v"))
	}
	write(t, s, all...)
	seen := 0
	_, err := s.Update(ctx(t), func(tx store.Tx) error { // a queue is drained like this
		seen = 0
		for k, v := range tx.Scan("q/", "") {
			seen++
			if err := put(tx, gone(k), p("done/"+k, string(v))); err != nil {
				return err
			}
		}
		return nil
	})
	if _, keys, _ := dump(t, s, "done/", ""); err != nil || seen != 200 || len(keys) != 200 {
		t.Errorf("drained %d of 200, %d moved: %v", seen, len(keys), err)
	}
	if _, keys, _ := dump(t, s, "q/", ""); len(keys) != 0 {
		t.Errorf("left %q", keys)
	}
}

func testRollback(t *testing.T, open Factory) {
	s := start(t, open)
	write(t, s, p("a", "1"))
	mine := errors.New("mine")
	rev, err := s.Update(ctx(t), func(tx store.Tx) error { return errors.Join(put(tx, p("a", "2"), p("b", "2")), mine) })
	if !errors.Is(err, mine) || rev != 0 {
		t.Errorf("Update gives %d, %v, want the function's own error", rev, err)
	}
	if err := s.View(ctx(t), func(store.Tx) error { return mine }); err != mine { //nolint:errorlint // as it is
		t.Errorf("View gives %v, want the function's own error", err)
	}
	func() {
		defer func() {
			if r := recover(); r != "boom" {
				t.Errorf("recovered %v", r)
			}
		}()
		_, _ = s.Update(ctx(t), func(tx store.Tx) error { _ = put(tx, p("a", "3")); panic("boom") })
	}()
	func() {
		defer func() { _ = recover() }()
		_ = s.View(ctx(t), func(store.Tx) error { panic("boom") })
	}()
	wantState(t, s, map[string]string{"a": "1"})
	if rev := write(t, s, p("a", "4")); rev != 2 {
		t.Errorf("the next commit has revision %d, want 2", rev)
	}
}

func testRevisions(t *testing.T, open Factory) {
	s := start(t, open)
	if s.Rev() != 0 {
		t.Errorf("an empty store is at revision %d", s.Rev())
	}
	steps := []struct {
		name string
		put  []pair
		want store.Rev
	}{
		{"a write", []pair{p("a", "1")}, 1},
		{"several writes", []pair{p("a", "1"), p("b", "1"), p("c", "1")}, 2},
		{"nothing", nil, 2},
		{"delete of an absent key", []pair{gone("x")}, 2},
		{"put and delete of an absent key", []pair{p("x", "1"), gone("x")}, 2},
		{"the same value again", []pair{p("a", "1")}, 3},
		{"a delete", []pair{gone("a")}, 4},
	}
	for _, step := range steps {
		if got := write(t, s, step.put...); got != step.want || s.Rev() != step.want {
			t.Errorf("%s: commit has revision %d, store is at %d, want %d", step.name, got, s.Rev(), step.want)
		}
	}
	_, err := s.Update(ctx(t), func(tx store.Tx) error {
		if tx.Rev() != 4 {
			t.Errorf("the transaction reads revision %d, want 4", tx.Rev())
		}
		return put(tx, p("z", "1"))
	})
	if _, _, rev := dump(t, s, "", ""); err != nil || rev != 5 {
		t.Errorf("the View reads revision %d, want 5 (%v)", rev, err)
	}
}

func testSticky(t *testing.T, open Factory) {
	s := start(t, open)
	write(t, s, p("a", "1"))
	_, err := s.Update(ctx(t), func(tx store.Tx) error {
		_ = tx.Put("", nil) // ignored
		if _, _, err := tx.Get("a"); !fail.Is(err, fail.Invalid) || !fail.Is(tx.ScanErr(), fail.Invalid) {
			t.Errorf("after an error the transaction reads with %v", err)
		}
		return nil
	})
	wantKind(t, err, fail.Invalid, "an Update whose error was ignored")
	for name, write := range map[string]func(store.Tx) error{
		"put":    func(tx store.Tx) error { return tx.Put("a", nil) },
		"delete": func(tx store.Tx) error { return tx.Delete("a") },
	} {
		err := s.View(ctx(t), func(tx store.Tx) error {
			wantKind(t, write(tx), fail.Internal, name+" in a View")
			return nil
		})
		wantKind(t, err, fail.Internal, "a View in which a "+name+" was ignored")
	}
	var kept store.Tx
	_, _ = s.Update(ctx(t), func(tx store.Tx) error { kept = tx; return nil })
	_, _, err = kept.Get("a")
	wantKind(t, err, fail.Internal, "Get after the end")
	wantKind(t, kept.Put("a", nil), fail.Internal, "Put after the end")
	for range kept.Scan("", "") {
		t.Error("Scan after the end gives something")
	}
	wantState(t, s, map[string]string{"a": "1"})
}

func testIsolation(t *testing.T, open Factory) {
	s := start(t, open)
	const writers, rounds = 8, 20
	write(t, s, p("n", "0"), p("oncall/a", "yes"), p("oncall/b", "yes"))
	each := func(n int, do func(i int)) {
		var wg sync.WaitGroup
		for i := range n {
			wg.Go(func() { do(i) })
		}
		wg.Wait()
	}
	each(writers, func(int) {
		for range rounds {
			_, err := s.Update(ctx(t), func(tx store.Tx) error {
				v, _, err := tx.Get("n")
				if err != nil {
					return err
				}
				var n int
				if _, err := fmt.Sscan(string(v), &n); err != nil {
					return err
				}
				return tx.Put("n", fmt.Append(nil, n+1))
			})
			if err != nil {
				t.Error(err)
				return
			}
		}
	})
	if all, _, _ := dump(t, s, "n", ""); all["n"] != fmt.Sprint(writers*rounds) {
		t.Errorf("the counter is %s after %d increments", all["n"], writers*rounds)
	}
	// Write skew: each may go off call if another stays, decided by a scan.
	each(2, func(i int) {
		_, err := s.Update(ctx(t), func(tx store.Tx) error {
			if len(scan(tx, "oncall/", "", map[string]string{})) < 2 {
				return nil
			}
			return tx.Delete([]string{"oncall/a", "oncall/b"}[i])
		})
		if err != nil {
			t.Error(err)
		}
	})
	if _, keys, _ := dump(t, s, "oncall/", ""); len(keys) != 1 {
		t.Errorf("%q are on call, want exactly one", keys)
	}
	// A View stays at its revision while others write, and does not stop them.
	err := s.View(ctx(t), func(tx store.Tx) error {
		before := map[string]string{}
		scan(tx, "", "", before)
		each(4, func(i int) { write(t, s, p(fmt.Sprint("w", i), "1"), p("n", "x")) })
		after := map[string]string{}
		scan(tx, "", "", after)
		v, _, err := tx.Get("n")
		if !maps.Equal(before, after) || string(v) != before["n"] {
			t.Errorf("a View saw %q, then %q", before, after)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func testContext(t *testing.T, open Factory) {
	s := start(t, open)
	ended, cancel := context.WithCancel(ctx(t))
	cancel()
	called := func(store.Tx) error { t.Error("called with an ended context"); return nil }
	_, err := s.Update(ended, called)
	wantKind(t, err, fail.Canceled, "Update")
	wantKind(t, s.View(ended, called), fail.Canceled, "View")

	// Ended inside: nothing is written, and a scan that was cut short is not taken for a whole one.
	write(t, s, p("a", "1"), p("b", "1"))
	live, cancel := context.WithCancel(ctx(t))
	_, err = s.Update(live, func(tx store.Tx) error { cancel(); return put(tx, p("a", "2")) })
	wantKind(t, err, fail.Canceled, "Update cancelled inside")
	live, cancel = context.WithCancel(ctx(t))
	err = s.View(live, func(tx store.Tx) error {
		for range tx.Scan("", "") {
			cancel()
		}
		return nil
	})
	wantKind(t, err, fail.Canceled, "View cancelled while scanning")

	// Ended while another Update runs: it does not wait for it.
	_, err = s.Update(ctx(t), func(store.Tx) error {
		soon, cancel := context.WithTimeout(ctx(t), 5*time.Millisecond)
		defer cancel()
		_, err := s.Update(soon, called)
		wantKind(t, err, fail.Timeout, "Update behind a slow one")
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	wantState(t, s, map[string]string{"a": "1", "b": "1"})
}

func testClose(t *testing.T, open Factory) {
	s := start(t, open)
	write(t, s, p("a", "1"))
	watched := follow(t, s)
	inside, closing := make(chan struct{}), make(chan struct{})
	updated := make(chan error, 1)
	go func() {
		_, err := s.Update(ctx(t), func(tx store.Tx) error {
			close(inside)
			<-closing
			return put(tx, p("a", "2"))
		})
		updated <- err
	}()
	<-inside
	closed := make(chan error, 1)
	go func() { closed <- s.Close() }()
	for s.View(ctx(t), func(store.Tx) error { return nil }) == nil { // until Close has begun
	}
	close(closing)
	if err := <-updated; err != nil {
		t.Errorf("Close did not wait for a running Update: %v", err)
	}
	if err := <-closed; err != nil {
		t.Errorf("close: %v", err)
	}
	wantKind(t, <-watched, fail.Unavailable, "Watch at Close")
	_, err := s.Update(ctx(t), func(store.Tx) error { return nil })
	wantKind(t, err, fail.Unavailable, "Update after Close")
	wantKind(t, s.View(ctx(t), func(store.Tx) error { return nil }), fail.Unavailable, "View after Close")
	_, err = s.Snapshot(ctx(t), discard{})
	wantKind(t, err, fail.Unavailable, "Snapshot after Close")
	wantKind(t, s.Restore(ctx(t), strings.NewReader("")), fail.Unavailable, "Restore after Close")
	for _, err := range s.Watch(ctx(t), "none", s.Rev()) {
		wantKind(t, err, fail.Unavailable, "Watch after Close")
	}
	if err := s.Close(); err != nil {
		t.Errorf("closing twice: %v", err)
	}
}
