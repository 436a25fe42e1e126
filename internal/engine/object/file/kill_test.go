package file_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/awancloud/awan/internal/engine/object/file"
	"github.com/awancloud/awan/internal/service/object"
	"github.com/awancloud/awan/internal/service/object/objecttest"
)

// killDir in the environment makes the test binary a process that works there until it is killed.
const killDir = "AWAN_OBJECT_KILL_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(killDir); dir != "" {
		fmt.Fprintln(os.Stderr, toil(dir))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// toil has 16 writers put and delete, each telling what it was acknowledged, and what it is about to delete.
func toil(dir string) error {
	e, err := file.Open(small([]string{dir}))
	if err != nil {
		return err
	}
	var mu sync.Mutex
	say := func(what string, ref object.Ref, about string) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Println(what, ref, about)
	}
	errs := make(chan error)
	for range 16 {
		go func() {
			var mine []object.Ref
			for {
				size := rand.IntN(5000)
				if rand.IntN(15) == 0 {
					size = rand.IntN(600_000)
				}
				c := content(rand.Uint64(), size)
				ref, err := objecttest.Put(context.Background(), e, c, -1, 50_000)
				if err != nil {
					errs <- err
					return
				}
				say("put", ref, strings.ReplaceAll(name(c), " ", "/"))
				if mine = append(mine, ref); rand.IntN(2) == 0 {
					i := rand.IntN(len(mine))
					say("delete", mine[i], "-")
					if err := e.Delete(context.Background(), mine[i]); err != nil {
						errs <- err
						return
					}
					mine = append(mine[:i], mine[i+1:]...)
				}
			}
		}()
	}
	return <-errs
}

// TestKill kills a working process at random moments, after about 1,000 operations in all. (The long form: 20,000.)
func TestKill(t *testing.T) {
	dir := t.TempDir()
	m := newModel()
	ops, kills := 0, 0
	for ; ops < 1000*long(20); kills++ {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), killDir+"="+dir)
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
		left := 1 + rand.IntN(400)
		for ; lines.Scan(); left-- {
			var what, about string
			var ref object.Ref
			if n, _ := fmt.Sscan(lines.Text(), &what, &ref, &about); n != 3 {
				continue // cut by the kill
			}
			ops++
			if what == "put" {
				m.must[ref] = strings.ReplaceAll(about, "/", " ")
			} else {
				m.may[ref] = m.must[ref]
				delete(m.must, ref)
			}
			if left == 0 {
				if err := cmd.Process.Kill(); err != nil { // what it still says is in the pipe
					t.Fatal(err)
				}
			}
		}
		_ = cmd.Wait()
		if complaints.Len() > 0 {
			t.Fatal(complaints.String())
		}
		e := open(t, small([]string{dir}))
		m.check(t, e)
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d operations, %d kills, %d blobs", ops, kills, len(m.must))
}
