package cli

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/containerd/console"
)

func TestNamesFromFolders(t *testing.T) {
	for dir, want := range map[string]string{"/x/guestbook": "guestbook", "/x/My Shop_2": "my-shop-2", "/x/9lives": "lives", "/x/---": "", "/x/über": "ber"} {
		if got := nameOf(dir); got != want {
			t.Errorf("%s: %q, want %q", dir, got, want)
		}
	}
}

func TestTextCannotSteerTheTerminal(t *testing.T) {
	for in, want := range map[string]string{"plain\ttab": "plain\ttab", "\x1b[31mred\x1b[0m": "red", "\x1b]0;title\x07x": "x", "a\rb\x07": "ab", "\x1b": "", "ü…": "ü…"} {
		if got := clean(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestColumnsGiveWay(t *testing.T) {
	w := []int{10, 40, 8}
	fit(w, 40)
	if !slices.Equal(w, []int{10, 22, 8}) {
		t.Errorf("widths %v", w)
	}
	fit(w, 1)
	if !slices.Equal(w, []int{6, 6, 6}) {
		t.Errorf("widths %v", w)
	}
	if got := cut("abcdef", 4); got != "abc…" {
		t.Error(got)
	}
}

func TestAges(t *testing.T) {
	now := time.Date(2026, 1, 10, 0, 0, 0, 0, time.UTC)
	for d, want := range map[time.Duration]string{5 * time.Second: "5s", 3*time.Minute + time.Second: "3m", 26 * time.Hour: "26h", 100 * time.Hour: "4d", -time.Minute: "0s"} {
		if got := age(now.Add(-d).Format(time.RFC3339Nano), now); got != want {
			t.Errorf("%s: %s", d, got)
		}
	}
}

func TestATerminalSeesStepsAsTheyRun(t *testing.T) {
	pty, name, err := console.NewPty()
	if err != nil {
		t.Skip("no pseudo-terminal: ", err)
	}
	defer pty.Close()
	if err := pty.Resize(console.WinSize{Height: 24, Width: 60}); err != nil {
		t.Fatal(err)
	}
	tty, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer tty.Close()
	p := newProgress(tty, false)
	now := time.Now()
	j := &jobView{State: "running", Steps: []jobStep{{Name: "build", Started: now}, {Name: "start"}}}
	p.line = "npm ci " + strings.Repeat("x", 80)
	p.show(j)
	j.Steps[0].Ended, j.Steps[1].Started, j.Step = now.Add(1500*time.Millisecond), now, 1
	p.show(j)
	j.Steps[1].Ended, j.State = now.Add(time.Second), "succeeded"
	p.show(j)
	p.close()
	if _, err := tty.WriteString("END"); err != nil {
		t.Fatal(err)
	}
	var seen strings.Builder
	buf := make([]byte, 4096)
	for !strings.Contains(seen.String(), "END") {
		n, err := pty.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		seen.Write(buf[:n])
	}
	for _, w := range []string{"⠋ build", "npm ci", "…", "\r\x1b[K  build              1.5s", "start              1.0s"} {
		if !strings.Contains(seen.String(), w) {
			t.Errorf("%q is not in %q", w, seen.String())
		}
	}
}
