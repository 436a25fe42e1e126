package pebble

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/awancloud/awan/internal/kernel/store"
)

// TestHotKeys: two keys that every commit changes together are never seen apart, and one that is read never goes back,
// however many read and write, and also through a key that comes and goes.
func TestHotKeys(t *testing.T) {
	s, err := Open(t.TempDir(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	const writers, each = 4, 100
	done := make(chan struct{})
	var readers, all sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			last := -1
			for {
				err := s.View(t.Context(), func(tx store.Tx) error {
					a, _, _ := tx.Get("a")
					b, _, _ := tx.Get("b")
					_, odd, err := tx.Get("odd")
					n := 0
					if len(a) > 0 {
						_, _ = fmt.Sscan(string(a), &n)
					}
					if string(a) != string(b) || n < last || odd != (n%2 == 1) {
						t.Errorf("a %s, b %s, odd %v after %d", a, b, odd, last)
					}
					last = n
					return err
				})
				if err != nil {
					t.Error(err)
				}
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	for w := range writers {
		r := rand.New(rand.NewPCG(uint64(w), 1))
		all.Go(func() {
			for range each {
				_, err := s.Update(t.Context(), func(tx store.Tx) error {
					a, _, err := tx.Get("a")
					if err != nil {
						return err
					}
					n := 0
					if len(a) > 0 {
						_, _ = fmt.Sscan(string(a), &n)
					}
					n++
					if r.IntN(4) == 0 { // a value that is read back after it was written
						if err := tx.Put("a", []byte("none")); err != nil {
							return err
						}
						if v, _, _ := tx.Get("a"); string(v) != "none" {
							t.Errorf("an Update reads %s after its own write", v)
						}
					}
					for _, k := range []string{"a", "b"} {
						if err := tx.Put(k, fmt.Append(nil, n)); err != nil {
							return err
						}
					}
					if n%2 == 1 {
						return tx.Put("odd", nil)
					}
					return tx.Delete("odd")
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	close(done)
	readers.Wait()
	err = s.View(t.Context(), func(tx store.Tx) error {
		if a, _, _ := tx.Get("a"); string(a) != fmt.Sprint(writers*each) {
			t.Errorf("a is %s after %d updates", a, writers*each)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// TestHotBounded: what is kept stays within its bound, and what is too large is not kept.
func TestHotBounded(t *testing.T) {
	var h hot
	h.forget(1)
	for i := range 3 * maxHot / 1000 {
		h.learn(fmt.Sprint("key", i), make([]byte, 1000), true, 1)
	}
	h.learn("large", make([]byte, maxHotValue+1), true, 1)
	if _, known := h.get("large", 1); h.bytes > maxHot || h.bytes < maxHot/2 || known {
		t.Errorf("%d bytes in %d keys, large %v", h.bytes, len(h.keys), known)
	}
	change := []store.Change{{Rev: 2, Key: "k", Value: []byte("v")}}
	h.learn("k", []byte("first"), true, 1)
	h.expect(change)
	if v, known := h.getAhead("k"); known {
		t.Errorf("an Update reads %s where it was changed", v.value)
	}
	h.follow(2, change)
	if v, known := h.getAhead("k"); !known || string(v.value) != "v" {
		t.Errorf("an Update reads %s, %v", v.value, known)
	}
	h.learn("k", []byte("old"), true, 1)
	if v, known := h.get("k", 1); known {
		t.Errorf("an older snapshot taught %s", v.value)
	}
}
