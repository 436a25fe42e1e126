package pebble_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/kernel/store/pebble"
)

// crashDir in the environment makes the test binary a process that writes there until it is killed.
const crashDir = "AWAN_STORE_CRASH_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashDir); dir != "" {
		s, err := pebble.Open(dir, small())
		if err == nil {
			var mu sync.Mutex
			err = writeRows(context.Background(), s, func(w, n int) {
				mu.Lock()
				defer mu.Unlock()
				fmt.Println(w, n)
			})
		}
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// small makes flushes, compactions and log rotations happen all the time.
func small() pebble.Options { return pebble.Options{MemTableBytes: 128 << 10} }

const writers = 4

// writeRows has each writer commit its rows 0, 1, 2 …, each in two halves beside the row's count, until ctx ends.
func writeRows(ctx context.Context, s store.Store, acknowledged func(writer, row int)) error {
	errs := make(chan error, writers)
	for w := range writers {
		go func() {
			for {
				var n int
				_, err := s.Update(ctx, func(tx store.Tx) error {
					n = count(tx, w)
					half := bytes.Repeat(fmt.Append(nil, n, " "), 1+rand.IntN(200))
					for k, v := range map[string][]byte{
						fmt.Sprintf("row/%d/%06d/a", w, n): half,
						fmt.Sprintf("row/%d/%06d/b", w, n): half,
						fmt.Sprintf("count/%d", w):         fmt.Append(nil, n+1),
					} {
						if err := tx.Put(k, v); err != nil {
							return err
						}
					}
					return nil
				})
				if err != nil {
					errs <- err
					return
				}
				acknowledged(w, n)
			}
		}()
	}
	var first error
	for range writers {
		if err := <-errs; first == nil {
			first = err
		}
	}
	return first
}

func count(tx store.Tx, w int) int {
	v, _, _ := tx.Get(fmt.Sprintf("count/%d", w))
	n, _ := strconv.Atoi(string(v))
	return n
}

// checkRows wants at least the acknowledged rows, and no transaction in part.
func checkRows(t *testing.T, s store.Store, acknowledged [writers]int) {
	t.Helper()
	total := 0
	err := s.View(context.Background(), func(tx store.Tx) error {
		for w := range writers {
			n := count(tx, w)
			total += n
			if n < acknowledged[w] {
				t.Errorf("writer %d: %d rows were acknowledged, %d are there", w, acknowledged[w], n)
			}
			halves := 0
			var a []byte
			for k, v := range tx.Scan(fmt.Sprintf("row/%d/", w), "") {
				if want := fmt.Sprintf("row/%d/%06d/%c", w, halves/2, 'a'+halves%2); k != want {
					t.Fatalf("found %s where %s should be", k, want)
				}
				if halves++; halves%2 == 1 {
					a = v
				} else if !bytes.Equal(a, v) {
					t.Errorf("%s differs from its other half", k)
				}
			}
			if halves != 2*n {
				t.Errorf("writer %d: %d halves of %d rows", w, halves, n)
			}
		}
		if tx.Rev() != store.Rev(total) {
			t.Errorf("revision %d after %d transactions", tx.Rev(), total)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestKill kills a writing process at random moments.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	var acknowledged [writers]int
	for round := range 10 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), crashDir+"="+dir)
		var complaints strings.Builder
		cmd.Stderr = &complaints
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		deadline := 0 // acknowledgements until the kill
		for seen := 0; lines.Scan(); seen++ {
			var w, n int
			if _, err := fmt.Sscan(lines.Text(), &w, &n); err != nil {
				t.Fatalf("%q: %v", lines.Text(), err)
			}
			acknowledged[w] = max(acknowledged[w], n+1)
			if seen == 0 {
				deadline = rand.IntN(1000)
			}
			if seen == deadline {
				if round == 0 {
					refusesSecondProcess(t, dir, cmd.Process.Pid)
				}
				_ = cmd.Process.Kill() // what it still acknowledges before it dies is in the pipe
			}
		}
		_ = cmd.Wait()
		if complaints.Len() > 0 {
			t.Fatal(complaints.String())
		}
		s, err := pebble.Open(dir, small())
		if err != nil {
			t.Fatal(err)
		}
		checkRows(t, s, acknowledged)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%v rows acknowledged", acknowledged)
}

func refusesSecondProcess(t *testing.T, dir string, pid int) {
	t.Helper()
	_, err := pebble.Open(dir, pebble.Options{})
	if !fail.Is(err, fail.Precondition) || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), fmt.Sprint("process ", pid)) {
		t.Errorf("a second process gets %v, want to be told about %s and process %d", err, dir, pid)
	}
}

// TestSecondOpen is the same in one process.
func TestSecondOpen(t *testing.T) {
	dir := t.TempDir()
	s, err := pebble.Open(dir, pebble.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pebble.Open(dir, pebble.Options{}); !fail.Is(err, fail.Precondition) || !strings.Contains(fail.From(err).Public(), dir) {
		t.Errorf("a second Open gives %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err = pebble.Open(dir, pebble.Options{}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestReopen finds everything again, and watchers learn that history is gone.
func TestReopen(t *testing.T) {
	dir := t.TempDir()
	for round := range 3 {
		s, err := pebble.Open(dir, pebble.Options{})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		if round > 0 {
			for _, err := range s.Watch(ctx, "", s.Rev()-1) {
				if !fail.Is(err, fail.Gone) {
					t.Errorf("a watch from before the restart gives %v", err)
				}
			}
		}
		rev := s.Rev()
		if rev != store.Rev(round) {
			t.Errorf("start %d is at revision %d", round, rev)
		}
		if _, err := s.Update(ctx, func(tx store.Tx) error { return tx.Put("n", fmt.Append(nil, round)) }); err != nil {
			t.Fatal(err)
		}
		for c, err := range s.Watch(ctx, "", rev) {
			if err != nil || string(c.Value) != fmt.Sprint(round) {
				t.Errorf("watching from the revision at start gives %+v, %v", c, err)
			}
			cancel()
		}
		cancel()
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestPowerCut cuts the power of a memory disk that forgets what was not synced, all or some of it.
func TestPowerCut(t *testing.T) {
	disk := vfs.NewCrashableMem()
	opts := small()
	opts.FS = disk
	s, err := pebble.Open("data", opts)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var acknowledged [writers]int
	more := make(chan struct{}, 8) // writers are ahead of the cuts by this much
	ctx, cancel := context.WithCancel(t.Context())
	stopped := make(chan error, 1)
	go func() {
		stopped <- writeRows(ctx, s, func(w, n int) {
			mu.Lock()
			acknowledged[w] = n + 1
			mu.Unlock()
			select {
			case more <- struct{}{}:
			case <-ctx.Done():
			}
		})
	}()
	for round := range 25 {
		for range rand.IntN(100) {
			<-more
		}
		mu.Lock()
		must := acknowledged
		mu.Unlock()
		err := s.View(ctx, func(tx store.Tx) error { // what was seen must not vanish either
			for w := range writers {
				must[w] = max(must[w], count(tx, w))
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		after := disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50 * (round % 3), RNG: rand.New(rand.NewPCG(1, uint64(round)))})
		opts := small()
		opts.FS = after
		again, err := pebble.Open("data", opts)
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		checkRows(t, again, must)
		if err := again.Close(); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	<-stopped
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestPowerCutInRestore cuts the power before every disk operation of a Restore: the state is the old or the new one.
func TestPowerCutInRestore(t *testing.T) {
	disk := vfs.NewCrashableMem()
	var mu sync.Mutex
	var clones []*vfs.MemFS
	cutting := false
	opts := small()
	opts.FS = errorfs.Wrap(disk, errorfs.InjectorFunc(func(op errorfs.Op) error {
		mu.Lock()
		defer mu.Unlock()
		if cutting && op.Kind.ReadOrWrite() == errorfs.OpIsWrite && strings.HasPrefix(op.Path, "data") {
			clones = append(clones, disk.CrashClone(vfs.CrashCloneCfg{}))
		}
		return nil
	}))
	from, err := pebble.Open("from", opts)
	if err != nil {
		t.Fatal(err)
	}
	s, err := pebble.Open("data", opts)
	if err != nil {
		t.Fatal(err)
	}
	older, newer := fill(t, s, "old"), fill(t, from, "new")
	var snapshot bytes.Buffer
	if _, err := from.Snapshot(t.Context(), &snapshot); err != nil {
		t.Fatal(err)
	}
	cut := func(on bool) {
		mu.Lock()
		defer mu.Unlock()
		cutting = on
	}
	cut(true)
	if err := s.Restore(t.Context(), &snapshot); err != nil {
		t.Fatal(err)
	}
	cut(false)
	clones = append(clones, disk.CrashClone(vfs.CrashCloneCfg{}))
	found := map[string]int{}
	for i, clone := range clones {
		opts := small()
		opts.FS = clone
		again, err := pebble.Open("data", opts)
		if err != nil {
			t.Fatalf("cut %d of %d: %v", i, len(clones), err)
		}
		got := state(t, again)
		switch {
		case maps.Equal(got, older) && again.Rev() == 20:
			found["old"]++
		case maps.Equal(got, newer) && again.Rev() == 21:
			found["new"]++
		default:
			t.Errorf("cut %d of %d: %d keys at revision %d are neither the old nor the new state", i, len(clones), len(got), again.Rev())
		}
		if err := again.Close(); err != nil {
			t.Fatal(err)
		}
		left, _ := clone.List("data")
		if left = slices.DeleteFunc(left, func(n string) bool { return !strings.HasPrefix(n, "g") }); len(left) != 1 {
			t.Errorf("cut %d: %q are left", i, left)
		}
	}
	if found["old"] == 0 || found["new"] == 0 {
		t.Errorf("the cuts found %v, want some of both", found)
	}
	t.Log(found)
	for _, s := range []store.Store{s, from} {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func fill(t *testing.T, s store.Store, name string) map[string]string {
	t.Helper()
	for i := range 20 {
		_, err := s.Update(t.Context(), func(tx store.Tx) error {
			for k := range 50 {
				if err := tx.Put(fmt.Sprintf("%s/%d/%d", name, i, k), []byte(strings.Repeat(name, 200))); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return state(t, s)
}

func state(t *testing.T, s store.Store) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := s.View(t.Context(), func(tx store.Tx) error {
		for k, v := range tx.Scan("", "") {
			all[k] = string(v)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// within fails the test when do takes too long: a store on a failing disk must answer.
func within(t *testing.T, limit time.Duration, what string, do func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); do() }()
	select {
	case <-done:
	case <-time.After(limit):
		t.Fatalf("%s hangs", what)
	}
}
