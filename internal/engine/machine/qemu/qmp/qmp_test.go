package qmp_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/awancloud/awan/internal/engine/machine/qemu/qmp"
)

// fake answers commands as a table says; each answer may have "ID" for the command's id.
func fake(t *testing.T, answers map[string]string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go serve(c.(*net.UnixConn), answers)
		}
	}()
	return path
}

func serve(c *net.UnixConn, answers map[string]string) {
	defer c.Close()
	fmt.Fprintln(c, `{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": ""}, "capabilities": []}}`)
	b, oob := make([]byte, 64<<10), make([]byte, 1024)
	for {
		n, m, _, _, err := c.ReadMsgUnix(b, oob)
		if err != nil || n == 0 {
			return
		}
		for line := range strings.Lines(string(b[:n])) {
			var q struct {
				Execute string
				ID      int
			}
			if json.Unmarshal([]byte(line), &q) != nil {
				return
			}
			answer, ok := answers[q.Execute]
			switch {
			case q.Execute == "hang up":
				return
			case q.Execute == "add-fd":
				answer = fmt.Sprintf(`{"return": {"fds": %d}, "id": ID}`, files(oob[:m]))
			case ok && answer == "":
				continue
			case !ok:
				answer = `{"return": {}, "id": ID}`
			}
			fmt.Fprintln(c, strings.ReplaceAll(answer, "ID", fmt.Sprint(q.ID)))
		}
	}
}

func files(oob []byte) (n int) {
	all, _ := syscall.ParseSocketControlMessage(oob)
	for _, m := range all {
		fds, _ := syscall.ParseUnixRights(&m)
		for _, fd := range fds {
			n++
			_ = syscall.Close(fd)
		}
	}
	return n
}

func TestCommandsAndEvents(t *testing.T) {
	path := fake(t, map[string]string{
		"query-status": `{"return": {"status": "running"}, "id": ID}`,
		"bad":          `{"error": {"class": "GenericError", "desc": "no such thing"}, "id": ID}`,
		"reset": `{"timestamp": {"seconds": 5, "microseconds": 7}, "event": "RESET", "data": {"guest": true}}
{"return": {}, "id": ID}`,
		"slow": "",
	})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	var events []qmp.Event
	q, err := qmp.Dial(ctx, path, func(e qmp.Event) { events = append(events, e) })
	if err != nil {
		t.Fatal(err)
	}
	if q.Version() != "7.2.22" {
		t.Errorf("version %q", q.Version())
	}
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			var s struct{ Status string }
			if err := q.Do(ctx, "query-status", nil, &s); err != nil || s.Status != "running" {
				t.Errorf("query-status: %+v, %v", s, err)
			}
		})
	}
	wg.Wait()
	var refused *qmp.Error
	if err := q.Do(ctx, "bad", map[string]int{"a": 1}, nil); !errors.As(err, &refused) || refused.Desc != "no such thing" {
		t.Errorf("bad: %v", err)
	}
	if err := q.Do(ctx, "reset", nil, nil); err != nil {
		t.Error("reset:", err)
	}
	if len(events) != 1 || events[0].Name != "RESET" || !events[0].At.Equal(time.Unix(5, 7000)) {
		t.Errorf("events %+v", events)
	}
	var got struct{ Fds int }
	if err := q.DoFile(ctx, int(os.Stdin.Fd()), "add-fd", nil, &got); err != nil || got.Fds != 1 {
		t.Errorf("add-fd: %+v, %v", got, err)
	}
	short, stop := context.WithTimeout(ctx, 20*time.Millisecond)
	defer stop()
	if err := q.Do(short, "slow", nil, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("slow: %v", err)
	}
	if err := q.Do(ctx, "hang up", nil, nil); !errors.Is(err, qmp.ErrClosed) {
		t.Errorf("hang up: %v", err)
	}
	<-q.Done()
	if err := q.Do(ctx, "query-status", nil, nil); !errors.Is(err, qmp.ErrClosed) {
		t.Errorf("after the end: %v", err)
	}
}

// An agent's line may hold what an earlier caller did not read.
func TestAgentIsSynchronised(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var asked []string
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		fmt.Fprint(c, "{\"return\": 7}\n{\"retu")
		for s := bufio.NewScanner(c); s.Scan(); {
			var q struct {
				Execute   string
				Arguments struct{ ID int64 }
			}
			_ = json.Unmarshal(bytes.TrimPrefix(s.Bytes(), []byte{0xff}), &q)
			asked = append(asked, q.Execute)
			switch q.Execute {
			case "guest-sync-delimited":
				fmt.Fprintf(c, "\xff{\"return\": %d}\n", q.Arguments.ID)
			case "guest-ping":
				fmt.Fprintln(c, `{"return": {"alive": true}}`)
			}
		}
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	var got struct{ Alive bool }
	if err := qmp.Agent(ctx, path, "guest-ping", nil, &got, false); err != nil || !got.Alive {
		t.Fatalf("guest-ping: %+v, %v", got, err)
	}
	if !slices.Equal(asked, []string{"guest-sync-delimited", "guest-ping"}) {
		t.Errorf("asked %v", asked)
	}
}

// A greeting that never comes ends with the context.
func TestSilentSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	if _, err := qmp.Dial(ctx, path, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
}
