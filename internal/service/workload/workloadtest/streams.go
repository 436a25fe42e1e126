package workloadtest

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/service/workload"
)

func logs(t *testing.T, k *kit) {
	before := time.Now().Add(-time.Millisecond)
	i, _ := k.start(k.want(Program{Out: []string{"apple", "pear", "apricot"}, Err: []string{"wasp"}, Wait: 50 * time.Millisecond}))
	k.untilExited(i)
	all := k.lines(i, workload.LogQuery{})
	if len(all) != 4 {
		t.Fatalf("log is %q", texts(all))
	}
	for _, want := range []string{"stdout:apple|stdout:pear|stdout:apricot", "stderr:wasp"} {
		var one []workload.Line
		for _, l := range all {
			if strings.HasPrefix(want, l.Stream) {
				one = append(one, l)
			}
			if l.At.Before(before) || l.At.After(time.Now()) {
				t.Errorf("line %q has time %v", l.Text, l.At)
			}
		}
		if texts(one) != want {
			t.Errorf("log is %q, want %q", texts(one), want)
		}
	}
	if got := k.lines(i, workload.LogQuery{Match: "ap"}); len(got) != 2 {
		t.Errorf("Match gives %q", texts(got))
	}
	if got := k.lines(i, workload.LogQuery{Tail: 2}); len(got) != 2 || texts(got) != texts(all[2:]) {
		t.Errorf("Tail gives %q of %q", texts(got), texts(all))
	}
	if got := k.lines(i, workload.LogQuery{Tail: 1, Match: "ap"}); texts(got) != "stdout:apricot" {
		t.Errorf("Tail with Match gives %q", texts(got))
	}
	if got := k.lines(i, workload.LogQuery{Since: time.Now().Add(time.Hour)}); len(got) != 0 {
		t.Errorf("Since the future gives %q", texts(got))
	}
	if got := k.lines(i, workload.LogQuery{Since: before}); len(got) != 4 {
		t.Errorf("Since the start gives %q", texts(got))
	}
}

func logsFollow(t *testing.T, k *kit) {
	i, _ := k.start(k.want(Program{Out: []string{"now"}, Wait: 400 * time.Millisecond, Forever: true}))
	ctx, cancel := context.WithTimeout(k.ctx, 30*time.Second)
	defer cancel()
	var got []string
	stopped := false
	for l, err := range k.Engine.Logs(ctx, i, workload.LogQuery{Follow: true}) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, l.Text)
		if l.Text == "now" && !stopped {
			stopped = true
			// A replacement writes into the same log: a follower sees it come.
			k.ensure(i, k.want(Program{Out: []string{"later"}, Forever: true}))
		}
		if l.Text == "later" {
			break
		}
	}
	if strings.Join(got, " ") != "now later" {
		t.Fatalf("followed %q", got)
	}
	// A follower ends with its context.
	ctx2, cancel2 := context.WithTimeout(k.ctx, 300*time.Millisecond)
	defer cancel2()
	for range k.Engine.Logs(ctx2, i, workload.LogQuery{Follow: true}) {
	}
	if ctx2.Err() == nil {
		t.Error("the follower ended before its context")
	}
}

func longLines(t *testing.T, k *kit) {
	w := k.shell("head -c 40000 /dev/zero | tr '\\0' x; echo; echo end")
	i, _ := k.start(w)
	k.untilExited(i)
	all := k.lines(i, workload.LogQuery{})
	total := 0
	for _, l := range all {
		if len(l.Text) > 16<<10 {
			t.Errorf("a line of %d bytes", len(l.Text))
		}
		total += strings.Count(l.Text, "x")
	}
	if total != 40000 || all[len(all)-1].Text != "end" {
		t.Fatalf("%d of 40000 bytes in %d lines", total, len(all))
	}
}

func execCode(t *testing.T, k *kit) {
	k.needs("exec")
	w := k.want(Program{Forever: true})
	w.Env = map[string]string{"COLOUR": "green"}
	w.Secrets = map[string]string{"PASSWORD": "horse"}
	i, _ := k.start(w)
	code, got := k.exec(i, "env")
	for _, want := range []string{"COLOUR=green\n", "PASSWORD=horse\n"} {
		if code != 0 || !strings.Contains(got, want) {
			t.Errorf("env gives %d and no %q: %q", code, want, got)
		}
	}
	if code, _ := k.exec(i, "sh", "-c", "exit 7"); code != 7 {
		t.Errorf("exit 7 gives %d", code)
	}
	var out strings.Builder
	_, err := k.Engine.Exec(k.ctx, i, workload.Exec{Command: []string{"env"}, Env: map[string]string{"SIZE": "big"}, Stdout: &out})
	if err != nil || !strings.Contains(out.String(), "SIZE=big\n") {
		t.Errorf("the command's own environment: %q, %v", out.String(), err)
	}
}

func execStdin(t *testing.T, k *kit) {
	k.needs("exec")
	i, _ := k.start(k.want(Program{Forever: true}))
	in := strings.Repeat("all that is given comes back\n", 5000)
	var out strings.Builder
	code, err := k.Engine.Exec(k.ctx, i, workload.Exec{Command: []string{"cat"}, Stdin: strings.NewReader(in), Stdout: &out})
	if err != nil || code != 0 || out.String() != in {
		t.Fatalf("cat gives %d, %v, %d of %d bytes", code, err, out.Len(), len(in))
	}
}

func execStopped(t *testing.T, k *kit) {
	k.needs("exec")
	i, _ := k.start(k.want(Program{}))
	k.untilExited(i)
	_, err := k.Engine.Exec(k.ctx, i, workload.Exec{Command: []string{"true"}})
	k.wantKind(err, fail.Precondition)
}

func execTerminal(t *testing.T, k *kit) {
	k.needs("exec")
	k.needsReal()
	i, _ := k.start(k.want(Program{Forever: true}))
	sizes := make(chan [2]uint16, 1)
	var out strings.Builder
	w := &onText{to: &out, text: "30 100", do: func() { sizes <- [2]uint16{40, 120} }}
	code, err := k.Engine.Exec(k.ctx, i, workload.Exec{TTY: true, Rows: 30, Cols: 100, Resize: sizes, Stdout: w,
		Command: []string{"sh", "-c", "stty size; for n in 1 2 3 4 5 6 7 8 9 10; do sleep 0.2; s=$(stty size); [ \"$s\" = '40 120' ] && break; done; echo now $s; tty; exit 5"}})
	if err != nil || code != 5 {
		t.Fatalf("exit %d, %v: %q", code, err, out.String())
	}
	for _, want := range []string{"30 100", "now 40 120", "/dev/pts/"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the terminal shows no %q: %q", want, out.String())
		}
	}
}

// onText calls do once when text has passed.
type onText struct {
	to   *strings.Builder
	text string
	do   func()
}

func (o *onText) Write(p []byte) (int, error) {
	o.to.Write(p)
	if o.do != nil && strings.Contains(o.to.String(), o.text) {
		o.do()
		o.do = nil
	}
	return len(p), nil
}
