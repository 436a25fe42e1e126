package qemu

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/machine"
)

// The probe's sector is good: it gets through where guests run for sure, and not where there is no time.
func TestProbeGuestBoots(t *testing.T) {
	qemu, err := findProgram()
	if err != nil {
		t.Skip(err)
	}
	if len(sector) != 512 || sector[510] != 0x55 || sector[511] != 0xaa {
		t.Fatalf("the boot sector has %d bytes", len(sector))
	}
	took, err := bootSector(t.Context(), qemu, "tcg", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("booted in %v", took)
	if _, err := bootSector(t.Context(), qemu, "none", time.Minute); err == nil {
		t.Error("an accelerator that does not exist works")
	}
	if _, err := bootSector(t.Context(), qemu, "tcg", 5*time.Millisecond); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("without time: %v", err)
	}
}

// What was found out is believed until the host starts anew or QEMU is another.
func TestProbeIsRemembered(t *testing.T) {
	qemu, err := findProgram()
	if err != nil {
		t.Skip(err)
	}
	dir := t.TempDir()
	e := &Engine{o: Options{Dir: dir}, qemu: qemu, log: slog.New(slog.DiscardHandler)}
	e.ctx, e.cancel = context.WithCancel(t.Context())
	defer e.cancel()
	p, err := e.startProbe()
	if err != nil {
		t.Fatal(err)
	}
	first, err := p.wait(t.Context())
	e.work.Wait()
	_, why := p.state()
	if err != nil || first != "kvm" && first != "tcg" || why == "" {
		t.Fatalf("%s, %q, %v", first, why, err)
	}
	t.Logf("%s: %s", first, why)
	file := filepath.Join(dir, "probe.json")
	var f found
	if err := readJSON(file, &f); err != nil || f.Accelerator != first || f.Version != p.version || f.Boot == "" {
		t.Fatalf("remembered %+v, %v", f, err)
	}
	f.Accelerator, f.Why = "kvm", "remembered"
	if err := writeJSON(file, f); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if p, err = e.startProbe(); err != nil {
		t.Fatal(err)
	}
	if a, why := p.state(); a != "kvm" || why != "remembered" || time.Since(began) > time.Minute {
		t.Errorf("the second time: %s, %s", a, why)
	}
}

func TestPlacesOfDevices(t *testing.T) {
	disk := func(device string) machine.Disk { return machine.Disk{ID: id.New(), Device: device} }
	a, b, c := disk("vda"), disk("vdb"), disk("vdb")
	n, m := machine.NIC{ID: id.New()}, machine.NIC{ID: id.New()}
	first, err := place(nil, machine.Want{Disks: []machine.Disk{a, b}, NICs: []machine.NIC{n, m}})
	if err != nil || first[a.ID] != 1 || first[b.ID] != 2 || first[n.ID] != firstCard || first[m.ID] != firstCard+1 {
		t.Fatalf("%v, %v", first, err)
	}
	// Who stays, stays where it is; who comes takes what is free.
	next, err := place(first, machine.Want{Disks: []machine.Disk{b, c}, NICs: []machine.NIC{m, n}})
	if err != nil || next[b.ID] != 2 || next[c.ID] != 1 || next[m.ID] != firstCard+1 || next[n.ID] != firstCard || len(next) != 4 {
		t.Fatalf("%v, %v", next, err)
	}
	var all machine.Want
	for n := range machine.MaxDisks + 1 {
		all.Disks = append(all.Disks, disk("vd"+string(rune('a'+n%26))))
	}
	if _, err := place(nil, all); !fail.Is(err, fail.Precondition) {
		t.Errorf("one disk too many: %v", err)
	}
	all.Disks = all.Disks[1:]
	full, err := place(nil, all)
	if err != nil {
		t.Fatal(err)
	}
	var slots []int
	for _, s := range full {
		slots = append(slots, s)
	}
	slices.Sort(slots)
	if len(slices.Compact(slots)) != machine.MaxDisks {
		t.Errorf("slots %v", slots)
	}
}

func TestLimitsOfDisks(t *testing.T) {
	for _, c := range []struct {
		d    machine.Disk
		want string
	}{
		{machine.Disk{}, "0 0 0 0"},
		{machine.Disk{IOPS: 100, Bytes: 1000, IOPSBurst: 200, BytesBurst: 2000}, "100 200 1000 2000"},
		{machine.Disk{IOPS: 100, IOPSBurst: 100, BytesBurst: 5}, "100 0 0 0"},
		{machine.Disk{IOPS: 100, IOPSBurst: 50}, "100 0 0 0"},
	} {
		l := limits(c.d)
		if got := fmt.Sprint(l["iops-total"], l["iops-total-max"], l["bps-total"], l["bps-total-max"]); got != c.want {
			t.Errorf("%+v: %s, want %s", c.d, got, c.want)
		}
	}
}

// A system that writes without end fills neither memory nor disk, and its newest lines are there.
func TestSerialLogIsBounded(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	key := strings.ToLower(string(id.New())[26:])
	e := &Engine{o: Options{Dir: t.TempDir(), Key: key}, log: slog.New(slog.DiscardHandler), machines: map[id.ID]*guest{}}
	g := newGuest(id.New())
	g.rec = &record{}
	e.machines[g.id] = g
	if err := errors.Join(e.makeLive(g.id), os.MkdirAll(e.home(g.id), 0o700)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(e.removeLive(g.id), os.RemoveAll(run(key))); err != nil {
			t.Error(err)
		}
	})
	f, err := os.OpenFile(e.logPath(g.id), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600) // as QEMU has it
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	n := 0
	write := func(lines int) (lost int) {
		for range lines {
			n++
			if _, err := fmt.Fprintf(f, "line %07d of a system that says much\n", n); errors.Is(err, unix.ENOSPC) {
				lost++
			} else if err != nil {
				t.Fatal(err)
			}
		}
		return lost
	}
	for range 60 { // 2.4 MB, collected as it comes
		if lost := write(1000); lost > 0 {
			t.Fatalf("%d lines lost while somebody collects", lost)
		}
		if err := e.moveLog(g, collectAfter); err != nil {
			t.Fatal(err)
		}
	}
	all, err := e.Log(t.Context(), g.id, 0)
	if err != nil || !bytes.HasSuffix(all, fmt.Appendf(nil, "line %07d of a system that says much\n", n)) || len(all) > 3*turn || bytes.IndexByte(all, 0) >= 0 {
		t.Fatalf("the log has %d bytes and ends with %q, %v", len(all), all[max(0, len(all)-40):], err)
	}
	lines := strings.Split(strings.TrimSpace(string(all)), "\n")
	for k, l := range lines[1:] { // no line is missing or there twice
		if want := fmt.Sprintf("line %07d of", n-len(lines)+2+k); !strings.HasPrefix(l, want) {
			t.Fatalf("line %d is %q, want %q", k, l, want)
		}
	}
	if tail, err := e.Log(t.Context(), g.id, 5); err != nil || string(tail) != "much\n" {
		t.Errorf("the last bytes are %q, %v", tail, err)
	}
	// While nobody collects it ends at its bound.
	if lost := write(60000); lost == 0 {
		t.Error("3 MB were taken while nobody collects")
	}
	var st unix.Statfs_t
	if err := unix.Statfs(e.live(g.id), &st); err != nil || st.Blocks*uint64(st.Bsize) > 1<<20 {
		t.Errorf("its place has %d bytes, %v", st.Blocks*uint64(st.Bsize), err)
	}
	if err := e.keepLog(g.id); err != nil {
		t.Fatal(err)
	}
	if lost := write(10); lost > 0 {
		t.Error("there is no room again after collecting")
	}
}
