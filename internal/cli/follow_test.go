package cli_test

import (
	"context"
	"strings"
	"testing"
)

func TestFollowingRidesOverARestart(t *testing.T) {
	c := start(t)
	c.drop.Store(2)
	out, errs, code := c.awan("box", "create", "shoes")
	if code != 0 || !strings.Contains(out, "active") || !strings.Contains(errs, "glue") || c.drop.Load() >= 0 {
		t.Errorf("exit %d, %d to drop\n%s%s", code, c.drop.Load(), out, errs)
	}
	c.drop.Store(1000)
	if _, errs, code := c.awan("box", "create", "hats", "--timeout", "1s"); code != 6 || !strings.Contains(errs, "in time") {
		t.Errorf("a cloud that stays away: %d %s", code, errs)
	}
}

func TestNotWaiting(t *testing.T) {
	c := start(t)
	_, errs, code := c.awan("box", "create", "shoes", "--no-wait")
	_, id, ok := strings.Cut(strings.TrimSpace(errs), "awan job wait ")
	if code != 0 || !ok {
		t.Fatalf("exit %d %s", code, errs)
	}
	c.ok("job", "wait", id)
	if out := c.ok("job", "show", id); !strings.Contains(out, "create test/box shoes: succeeded") || !strings.Contains(out, "glue") {
		t.Error(out)
	}
}

func TestAnInterruptEndsAWatch(t *testing.T) {
	c := start(t)
	c.ok("box", "create", "shoes")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	c.seen = func(out string) {
		if strings.Contains(out, "shoes") {
			cancel()
		}
	}
	out, errs, code := c.within(ctx, "--data", c.data, "box", "watch")
	if code != 130 || !strings.Contains(out, "shoes") || !strings.Contains(errs, "interrupted") {
		t.Errorf("exit %d\n%s%s", code, out, errs)
	}
}
