package machinetest

import (
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/machine"
)

// Limits of disks change while the machine runs. That devices leave needs a system that lets go: see system.
func devices(t *testing.T, k *kit) {
	w := k.want()
	w.Disks = []machine.Disk{k.disk("vda", 1<<20)}
	w.Disks[0].IOPS, w.Disks[0].Bytes, w.Disks[0].IOPSBurst, w.Disks[0].BytesBurst = 100, 1<<20, 200, 2<<20
	w.NICs = []machine.NIC{k.NIC(t)}
	i, first := k.start(w)
	more := w
	more.Disks = append(slices.Clone(w.Disks), k.disk("vdb", 2<<20), k.disk("sda", 1<<20))
	more.Disks[2].SCSI = true
	more.Disks[0].IOPS, more.Disks[0].IOPSBurst = 1000, 0
	more.NICs = append(slices.Clone(w.NICs), k.NIC(t))
	for range 2 {
		s := k.ensure(i, more)
		if s.Pid != first.Pid || len(s.Disks) != 3 || len(s.NICs) != 2 || s.Disks[more.Disks[2].ID] != "sda" {
			t.Fatalf("with more devices: %+v", s)
		}
	}
	if s := k.observe(i); len(s.Disks) != 3 || !slices.Contains(s.NICs, more.NICs[1].ID) {
		t.Fatalf("with more devices: %+v", s)
	}
	moved := more
	moved.Disks = slices.Clone(more.Disks)
	moved.Disks[1].Device = "vdx"
	_, err := k.Engine.Ensure(k.ctx, i, moved)
	k.wantKind(err, fail.Precondition)
	// A stopped machine takes what it is given.
	k.must("Stop", k.Engine.Stop(k.ctx, i, 0))
	if s := k.ensure(i, w); len(s.Disks) != 1 || len(s.NICs) != 1 {
		t.Fatalf("started with fewer devices: %+v", s)
	}
}

func layers(t *testing.T, k *kit) {
	w := k.want()
	d := k.disk("vda", 1<<20)
	w.Disks = []machine.Disk{d}
	i, _ := k.start(w)
	layer := k.Layer(t, d.Drive)
	for range 2 {
		if _, err := k.Engine.Overlay(k.ctx, i, d.ID, layer, false); err != nil {
			t.Fatal("Overlay:", err)
		}
	}
	// The want of the caller names the new layer from now on; the machine goes on as it is.
	w.Disks = []machine.Disk{d}
	w.Disks[0].Drive = layer
	k.ensure(i, w)
	for range 2 {
		k.must("Resized", k.Engine.Resized(k.ctx, i, d.ID, 4<<20))
	}
	if k.Sizes != nil {
		k.must("size", k.Sizes(t, layer, 4<<20))
	}
	k.wantKind(k.Engine.Resized(k.ctx, i, d.ID, 1<<20), fail.Precondition)
	k.wantKind(k.Engine.Resized(k.ctx, i, id.New(), 1<<20), fail.NotFound)
	_, err := k.Engine.Overlay(k.ctx, i, id.New(), layer, false)
	k.wantKind(err, fail.NotFound)
	top := k.Layer(t, layer)
	if _, err := k.Engine.Overlay(k.ctx, i, d.ID, top, true); err != nil {
		t.Fatal("a second Overlay:", err)
	}
	k.must("Stop", k.Engine.Stop(k.ctx, i, 0))
	_, err = k.Engine.Overlay(k.ctx, i, d.ID, top, false)
	k.wantKind(err, fail.Precondition)
	w.Disks[0].Drive = top
	k.ensure(i, w)
}

func consoles(t *testing.T, k *kit) {
	i, _ := k.start(k.want())
	a, b := k.join(i), k.join(i)
	if c, err := k.Engine.VNC(k.ctx, i); err != nil {
		t.Fatal("VNC:", err)
	} else {
		hello := make([]byte, 4)
		_ = c.SetReadDeadline(time.Now().Add(30 * time.Second))
		if _, err := io.ReadFull(c, hello); err != nil || string(hello) != "RFB " {
			t.Fatalf("the screen says %q, %v", hello, err)
		}
		c.Close()
	}
	k.must("Stop", k.Engine.Stop(k.ctx, i, 0))
	a.ended()
	b.ended()
	if _, err := k.Engine.Log(k.ctx, i, 0); err != nil {
		t.Fatal("the log of a stopped machine:", err)
	}
}

// logged waits until the serial log has a text.
func (k *kit) logged(i id.ID, text string) {
	k.Helper()
	for {
		log, err := k.Engine.Log(k.ctx, i, 0)
		k.must("Log", err)
		if strings.Contains(string(log), text) {
			return
		}
		select {
		case <-k.ctx.Done():
			k.Fatalf("the log never had %q: %q", text, log)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// system is one machine's life with a system in it: booting takes seconds without KVM, so it is booted once.
func system(t *testing.T, k *kit) {
	w := k.want()
	booted := k.System != nil
	d := k.disk("vda", 8<<20)
	w.Disks = []machine.Disk{d}
	w.NICs = []machine.NIC{k.NIC(t)}
	w.Seed = map[string][]byte{"meta-data": []byte("instance-id: i-1\n"), "user-data": []byte("#cloud-config\n")}
	if booted {
		w.MemoryMiB = 128
		k.System(&w)
	}
	i, _ := k.start(w)
	a, b := k.join(i), k.join(i)
	booting := time.Now()
	if booted {
		a.expect(k.Prompt)
		b.expect(k.Prompt)
		t.Logf("booted in %v, %v of the processor", time.Since(booting).Round(10*time.Millisecond), k.observe(i).Usage.CPU.Round(10*time.Millisecond))
	}
	k.logged(i, k.Prompt)
	if tail, err := k.Engine.Log(k.ctx, i, 5); err != nil || len(tail) != 5 {
		t.Fatalf("the log's end is %q, %v", tail, err)
	}
	a.send("hello\r")
	a.expect("hello")
	b.expect("hello")
	s := k.until(i, "its agent", func(s machine.Seen) bool { return s.Agent })
	if booted {
		inside(t, k, i, &w, a)
		if u := k.observe(i).Usage; u.CPU == 0 || u.MemoryBytes == 0 || u.WriteBytes == 0 || u.WriteOps == 0 {
			t.Errorf("usage is %+v", u)
		}
	}
	k.must("SetPassword", k.Engine.SetPassword(k.ctx, i, "root", "Secret-12"))
	layer := k.Layer(t, d.Drive)
	consistent, err := k.Engine.Overlay(k.ctx, i, d.ID, layer, true)
	k.must("Overlay", err)
	if !consistent {
		t.Error("the agent answers, but the file systems were not frozen")
	}
	if booted {
		if got := a.run("cat /tmp/agent"); !strings.Contains(got, "frozen\nthawed") || !strings.Contains(got, "guest-set-user-password") {
			t.Errorf("the agent was told: %q", got)
		}
	}
	k.must("Resized", k.Engine.Resized(k.ctx, i, d.ID, 16<<20))
	if booted {
		if got := a.run("cat /sys/block/vda/size"); got != "32768" {
			t.Errorf("the system sees %s sectors, want 32768", got)
		}
		if got := a.run("head -c 5 /dev/vda"); got != "first" {
			t.Errorf("after the snapshot the disk holds %q", got)
		}
	}
	k.must("Stop", k.Engine.Stop(k.ctx, i, 60*time.Second))
	s = k.observe(i)
	if s.Phase != machine.PhaseStopped || s.Exit == nil || !s.Exit.Clean {
		t.Fatalf("shut down: %+v, exit %+v", s, s.Exit)
	}
	if log, err := k.Engine.Log(k.ctx, i, 0); err != nil || !strings.Contains(string(log), k.Prompt) {
		t.Fatalf("the log of the stopped machine: %q, %v", log, err)
	}
}

// inside looks from the system's own side.
func inside(t *testing.T, k *kit, i id.ID, w *machine.Want, l *line) {
	if got := l.run("cat /sys/class/dmi/id/product_uuid"); !strings.EqualFold(got, w.UUID) {
		t.Errorf("UUID inside is %q, want %s", got, w.UUID)
	}
	if got := l.run("cat /sys/class/dmi/id/product_serial"); got != w.Serial {
		t.Errorf("serial inside is %q, want %s", got, w.Serial)
	}
	if got := l.run("cat /sys/block/vda/serial"); got != w.Disks[0].Serial {
		t.Errorf("the disk's serial inside is %q", got)
	}
	if got := l.run("cat /sys/class/net/eth0/address"); got != w.NICs[0].MAC.String() {
		t.Errorf("MAC inside is %q, want %s", got, w.NICs[0].MAC)
	}
	if got := l.run("mkdir -p /seed; for d in /dev/sr0 /dev/vdb /dev/vdc; do mount -o ro -t iso9660 $d /seed 2>/dev/null && break; done; cat /seed/meta-data /seed/user-data; umount /seed"); got != "instance-id: i-1\n#cloud-config" {
		t.Errorf("the seed inside is %q", got)
	}
	if got := l.run("echo first >/dev/vda; sync; head -c 5 /dev/vda"); got != "first" {
		t.Errorf("the disk inside gives %q", got)
	}
	// A disk and a card come and go.
	more := *w
	more.Disks = append(slices.Clone(w.Disks), k.disk("vdb", 4<<20))
	more.Disks[1].Serial = "the-new-one"
	more.NICs = append(slices.Clone(w.NICs), k.NIC(t))
	k.ensure(i, more)
	if got := l.run("for n in $(seq 100); do grep -l the-new-one /sys/block/*/serial 2>/dev/null && break; usleep 100000; done"); got == "" {
		t.Error("the new disk is not seen inside")
	}
	if got := l.run("for n in $(seq 100); do grep -il " + more.NICs[1].MAC.String() + " /sys/class/net/*/address && break; usleep 100000; done"); got == "" {
		t.Error("the new card is not seen inside")
	}
	began := time.Now()
	s := k.ensure(i, *w)
	if len(s.Disks) != 1 || len(s.NICs) != 1 {
		t.Errorf("devices stayed: %+v", s)
	}
	t.Logf("a disk and a card left in %v", time.Since(began).Round(time.Millisecond))
	if got := l.run("grep -l the-new-one /sys/block/*/serial; ls /sys/class/net"); strings.Contains(got, "/sys/block") || strings.Contains(got, "eth1") {
		t.Errorf("devices are still seen inside: %q", got)
	}
}
