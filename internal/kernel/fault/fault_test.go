package fault_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/fault"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/kernel/store/mem"
)

func set(t *testing.T, s store.Store, k string) error {
	_, err := s.Update(t.Context(), func(tx store.Tx) error { return tx.Put(k, []byte("v")) })
	return err
}

func keys(t *testing.T, s store.Store) (out []string) {
	err := s.View(t.Context(), func(tx store.Tx) error {
		for k := range tx.Scan("", "") {
			out = append(out, k)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestSweep dies at every moment of three commits and an engine call, and sees what the next incarnation finds.
func TestSweep(t *testing.T) {
	want := []string{ // found by the next incarnation, and the engine's calls
		"[] 0", "[a] 0", "[a] 0", "[a b] 0", "[a b] 0", "[a b] 1", "[a b] 1", "[a b c] 1", "[a b c] 1",
	}
	for n := 1; ; n++ {
		inner, plan, engine := mem.New(), fault.At(n, fault.Die), 0
		s := fault.Store(inner, plan)
		err := errors.Join(set(t, s, "a"), set(t, s, "b"),
			s.View(t.Context(), func(store.Tx) error { return nil }),
			plan.Call("engine call", func() error { engine++; return nil }),
			set(t, s, "c"))
		if got := fmt.Sprint(keys(t, fault.Store(inner, fault.Never())), engine); got != want[n-1] {
			t.Errorf("after dying %s: %s, want %s", plan.Moment(), got, want[n-1])
		}
		if !plan.Fired() {
			if n != len(want) || err != nil || plan.Moments() != 8 {
				t.Errorf("the sweep ended at %d after %d moments: %v", n, plan.Moments(), err)
			}
			return
		}
		if !errors.Is(err, fault.ErrDead) || !errors.Is(set(t, s, "d"), fault.ErrDead) || !errors.Is(s.View(t.Context(), nil), fault.ErrDead) {
			t.Errorf("after dying %s: %v", plan.Moment(), err)
		}
		<-plan.Died()
		for _, err := range s.Watch(t.Context(), "", 0) {
			if !errors.Is(err, fault.ErrDead) {
				t.Errorf("a watch of the dead gives %v", err)
			}
		}
	}
}

// TestFail fails one event and lets the others pass.
func TestFail(t *testing.T) {
	for n, want := range []string{"[b]", "[a b]"} {
		plan := fault.At(n+1, fault.Fail)
		s := fault.Store(mem.New(), plan)
		if err := set(t, s, "a"); !fail.Is(err, fail.Unavailable) || errors.Is(err, fault.ErrDead) {
			t.Errorf("%s: %v", plan.Moment(), err)
		}
		if err := set(t, s, "b"); err != nil {
			t.Error(err)
		}
		if got := fmt.Sprint(keys(t, s)); got != want {
			t.Errorf("%s: %s, want %s", plan.Moment(), got, want)
		}
	}
}

// TestPanic panics inside the transaction, which is rolled back.
func TestPanic(t *testing.T) {
	s := fault.Store(mem.New(), fault.At(1, fault.Panic))
	func() {
		defer func() {
			if f, ok := recover().(*fault.Fault); !ok || f.Moment != "before commit (moment 1)" {
				t.Errorf("recovered %v", f)
			}
		}()
		_ = set(t, s, "a")
	}()
	if err := set(t, s, "b"); err != nil || len(keys(t, s)) != 1 {
		t.Errorf("after a panic: %v, %v", err, keys(t, s))
	}
}

// TestWatchDies wakes a waiting watcher at death.
func TestWatchDies(t *testing.T) {
	inner, plan := mem.New(), fault.At(4, fault.Die)
	s := fault.Store(inner, plan)
	if err := set(t, s, "a"); err != nil {
		t.Fatal(err)
	}
	var last error
	for c, err := range s.Watch(t.Context(), "", 0) {
		if last = err; c.Key == "a" {
			go func() { _ = set(t, s, "b") }()
		}
	}
	if !errors.Is(last, fault.ErrDead) {
		t.Errorf("the watch ended with %v", last)
	}
}
