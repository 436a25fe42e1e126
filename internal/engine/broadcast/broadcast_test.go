package broadcast_test

import (
	"context"
	"slices"
	"testing"

	"github.com/awancloud/awan/internal/engine/broadcast"
)

// Who listens hears all in order until it leaves or the sender ends; who does not read loses the newest and stops nobody.
func TestListen(t *testing.T) {
	var b broadcast.Broadcast[int]
	b.Send(0) // nobody listens
	ctx, leave := context.WithCancel(t.Context())
	left := b.Listen(ctx)
	all, slow := b.Listen(t.Context()), b.Listen(t.Context())
	leave()
	for range left {
		t.Error("who left hears on")
	}
	for i := 1; i <= 1000; i++ {
		b.Send(i)
	}
	next := 1
	for v, err := range all {
		if v != next || err != nil {
			t.Fatalf("%d, %v instead of %d", v, err, next)
		}
		if next++; next == 100 {
			break
		}
	}
	b.Close()
	b.Send(1001)
	var heard []int
	for v := range slow {
		heard = append(heard, v)
	}
	if !slices.IsSorted(heard) || len(heard) == 0 || len(heard) == 1000 || heard[0] != 1 {
		t.Errorf("a slow listener heard %d of 1000, from %v", len(heard), heard[:min(3, len(heard))])
	}
	for range b.Listen(t.Context()) {
		t.Error("one hears after the end")
	}
	b.Close()
}
