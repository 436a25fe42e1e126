package qemu_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/awancloud/awan/internal/engine/machine/qemu"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/machine"
)

// small opens an engine with one machine that has two disks and no system.
func small(t *testing.T) (qemu.Options, *qemu.Engine, id.ID, machine.Want) {
	t.Helper()
	o := options(t)
	o.Accelerator = "tcg"
	e := open(t, o)
	t.Cleanup(func() {
		_ = e.Close()
		if err := qemu.Purge(context.Background(), o.Dir, o.Key); err != nil {
			t.Error("purge:", err)
		}
		leftovers(t, o)
	})
	want := machine.Want{CPUs: 1, MemoryMiB: 32, Running: true, Disks: []machine.Disk{
		{ID: id.New(), Device: "vda", Drive: disk(t, 1<<20)}, {ID: id.New(), Device: "vdb", Drive: disk(t, 1<<20)}}}
	i := id.New()
	if _, err := e.Ensure(t.Context(), i, want); err != nil {
		t.Fatal(err)
	}
	return o, e, i, want
}

// Where no system lets go of a disk, it stays, and the error says what to do.
func TestDiskThatIsHeld(t *testing.T) {
	qemu.LetGo(t, 300*time.Millisecond)
	_, e, i, want := small(t)
	less := want
	less.Disks = want.Disks[:1]
	for range 2 {
		_, err := e.Ensure(t.Context(), i, less)
		if !fail.Is(err, fail.Conflict) || !strings.Contains(fail.From(err).Public(), "disk vdb") || fail.From(err).Next == "" {
			t.Fatalf("taken away: %v", err)
		}
	}
	if s, err := e.Observe(t.Context(), i); err != nil || len(s.Disks) != 2 || s.Phase != machine.PhaseRunning {
		t.Fatalf("after it: %+v, %v", s, err)
	}
	if err := e.Stop(t.Context(), i, 0); err != nil {
		t.Fatal(err)
	}
	if s, err := e.Ensure(t.Context(), i, less); err != nil || len(s.Disks) != 1 {
		t.Fatalf("started without it: %+v, %v", s, err)
	}
}

// A disk's file that is missing is named by no path, and leaves a machine that says why it does not run.
func TestWhatCannotStart(t *testing.T) {
	_, e, _, want := small(t)
	for name, spoil := range map[string]func(*machine.Want){
		"a missing disk": func(w *machine.Want) { w.Disks[0].Drive.Path = filepath.Join(t.TempDir(), "nowhere") },
		"a broken disk": func(w *machine.Want) {
			w.Disks[0].Drive.Path = filepath.Join(t.TempDir(), "broken")
			if err := os.WriteFile(w.Disks[0].Drive.Path, []byte("no qcow2"), 0o600); err != nil {
				t.Fatal(err)
			}
		},
		"a missing card": func(w *machine.Want) {
			n := nic(t)
			n.Device = "nosuchtap"
			w.NICs = []machine.NIC{n}
		},
		"a wrong key": func(w *machine.Want) {
			d := encrypted(t, bytes.Repeat([]byte{0xff, 1}, 16)) // the key of other tests: making such an image takes long
			d.Keys[d.Path] = []byte("wrong")
			w.Disks[0].Drive = d
		},
		"a kernel that only root reads": func(w *machine.Want) {
			p := filepath.Join(t.TempDir(), "kernel")
			if err := os.WriteFile(p, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			w.Kernel = &machine.Kernel{Image: p}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w, i := want, id.New()
			w.Disks = []machine.Disk{{ID: id.New(), Device: "vda", Drive: disk(t, 1<<20)}}
			good := w
			good.Disks = slices.Clone(w.Disks)
			spoil(&w)
			_, err := e.Ensure(t.Context(), i, w)
			if err == nil || fail.Is(err, fail.Internal) {
				t.Fatalf("Ensure: %v", err)
			}
			if msg := fail.From(err).Public(); strings.Contains(msg, "/") {
				t.Errorf("a path is shown: %s", msg)
			}
			t.Log(fail.From(err).Public())
			if s, err := e.Observe(t.Context(), i); err != nil || s.Phase != machine.PhaseStopped || s.Exit == nil || s.Exit.Clean || !strings.HasPrefix(s.Exit.Reason, "it could not start: ") {
				t.Errorf("seen: %+v, exit %+v, %v", s, s.Exit, err)
			}
			if s, err := e.Ensure(t.Context(), i, good); err != nil || s.Phase != machine.PhaseRunning {
				t.Errorf("corrected: %+v, %v", s, err)
			}
			if err := e.Destroy(t.Context(), i); err != nil {
				t.Error(err)
			}
		})
	}
}

// The cloud dies when QEMU has taken a new layer and nobody wrote that down: the same call again is success.
func TestOverlayThatWasCutShort(t *testing.T) {
	o, e, i, want := small(t)
	d := want.Disks[0]
	over := layer(t, d.Drive)
	record := filepath.Join(o.Dir, "machines", string(i), "record.json")
	before, err := os.ReadFile(record)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Overlay(t.Context(), i, d.ID, over, false); err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(record, before, 0o600); err != nil {
		t.Fatal(err)
	}
	e = open(t, o)
	defer e.Close()
	if _, err := e.Overlay(t.Context(), i, d.ID, over, false); err != nil {
		t.Fatal("again:", err)
	}
	var rec struct{ Want machine.Want }
	after, err := os.ReadFile(record)
	if err == nil {
		err = json.Unmarshal(after, &rec)
	}
	if err != nil || rec.Want.Disks[0].Drive.Path != over.Path {
		t.Fatalf("the record has %s, want %s, %v", rec.Want.Disks[0].Drive.Path, over.Path, err)
	}
	if _, err := e.Ensure(t.Context(), i, want); err != nil { // what the caller knew before the snapshot is still true
		t.Error(err)
	}
	other := want
	other.Disks = slices.Clone(want.Disks)
	other.Disks[0].Drive = disk(t, 1<<20)
	if _, err := e.Ensure(t.Context(), i, other); !fail.Is(err, fail.Precondition) {
		t.Errorf("other files under a running machine: %v", err)
	}
}

// A machine's processors and memory are bounded by its group.
func TestGroupOfAMachine(t *testing.T) {
	o, e, i, want := small(t)
	want.MilliCPU = 250
	if _, err := e.Ensure(t.Context(), i, want); err != nil {
		t.Fatal(err)
	}
	group := fmt.Sprintf("awan-%s/machine-%s", o.Key, i)
	if b, err := os.ReadFile(filepath.Join("/sys/fs/cgroup/cpu", group, "cpu.cfs_quota_us")); err == nil {
		if strings.TrimSpace(string(b)) != "25000" {
			t.Errorf("the quota is %s", b)
		}
	} else if b, err := os.ReadFile(filepath.Join("/sys/fs/cgroup", group, "cpu.max")); err != nil || strings.TrimSpace(string(b)) != "25000 100000" {
		t.Errorf("the quota is %s, %v", b, err)
	}
	for _, name := range []string{filepath.Join("/sys/fs/cgroup/memory", group, "memory.limit_in_bytes"), filepath.Join("/sys/fs/cgroup", group, "memory.max")} {
		var limit int64
		if b, err := os.ReadFile(name); err != nil {
			continue
		} else if _, err := fmt.Sscan(string(b), &limit); err != nil || limit < 32<<20 || limit > 512<<20 {
			t.Errorf("the memory limit is %s, %v", b, err)
		}
	}
}
