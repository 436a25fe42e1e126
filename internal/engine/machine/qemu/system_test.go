package qemu_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/awancloud/awan/internal/engine/machine/qemu"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/machine"
	"github.com/awancloud/awan/test/guest"
)

// shell is the shell on a machine's serial console.
type shell struct {
	t  *testing.T
	c  io.ReadWriteCloser
	mu sync.Mutex
	b  bytes.Buffer
}

func dial(t *testing.T, e *qemu.Engine, i id.ID) *shell {
	t.Helper()
	c, err := e.Serial(t.Context(), i)
	if err != nil {
		t.Fatal(err)
	}
	s := &shell{t: t, c: c}
	go func() {
		b := make([]byte, 4096)
		for {
			n, err := c.Read(b)
			s.mu.Lock()
			s.b.Write(b[:n])
			s.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	return s
}

func (s *shell) expect(text string) string {
	s.t.Helper()
	var before string
	waitFor(s.t, text, func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		head, tail, ok := strings.Cut(s.b.String(), text)
		if ok {
			before = head
			s.b.Reset()
			s.b.WriteString(tail)
		}
		return ok
	})
	return before
}

func (s *shell) run(command string) string {
	s.t.Helper()
	if _, err := fmt.Fprintf(s.c, "echo BEG''IN; %s; echo EN''D\n", command); err != nil {
		s.t.Fatal(err)
	}
	s.expect("BEGIN")
	return strings.TrimSpace(strings.ReplaceAll(s.expect("END"), "\r", ""))
}

func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(8 * time.Minute); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never came: %s", what)
		}
	}
}

// One machine with a system in it: encrypted, raw and SCSI disks, limits that hold and change, packets, a snapshot of an
// encrypted disk, and a cloud that goes away and comes back meanwhile.
func TestSystem(t *testing.T) {
	if testing.Short() {
		t.Skip("boots a system")
	}
	t.Parallel() // with the contract, where another system boots
	o, g := options(t), guest.Get(t)
	o.Accelerator = "tcg"
	e := open(t, o)
	t.Cleanup(func() {
		if err := e.Purge(context.Background()); err != nil {
			t.Error("purge:", err)
		}
		leftovers(t, o)
	})
	key := bytes.Repeat([]byte{0xff, 1}, 16) // is no text
	i, card := id.New(), nicOf(t, 2)
	secret := machine.Disk{ID: id.New(), Device: "vda", Serial: "secret", Drive: encrypted(t, key)}
	raw := machine.Disk{ID: id.New(), Device: "vdb", Serial: "raw", Drive: machine.Drive{Path: filepath.Join(t.TempDir(), "raw"), Format: "raw"}, IOPS: 10}
	if err := os.WriteFile(raw.Drive.Path, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	want := machine.Want{Name: "system", CPUs: 1, MemoryMiB: 128, Running: true, Disks: []machine.Disk{secret, raw}, NICs: []machine.NIC{card},
		Kernel: &machine.Kernel{Image: g.Kernel, Initrd: g.Initrd, Command: g.Command}}
	ensure := func() machine.Seen {
		t.Helper()
		s, err := e.Ensure(t.Context(), i, want)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	first := ensure()
	sh := dial(t, e, i)
	sh.expect(guest.Marker)

	// Disks are what they are to be.
	sh.run("echo plain-on-raw >/dev/vdb; echo kept-secret >/dev/vda; sync")
	if b, _ := os.ReadFile(raw.Drive.Path); !bytes.HasPrefix(b, []byte("plain-on-raw")) {
		t.Errorf("the raw disk begins with %q", b[:16])
	}
	if b, _ := os.ReadFile(secret.Drive.Path); bytes.Contains(b, []byte("kept-secret")) {
		t.Error("the encrypted disk can be read")
	}
	// 10 operations a second, then none of that.
	const thirty = "for n in $(seq 30); do dd if=/dev/zero of=/dev/vdb bs=4096 count=1 seek=$n conv=fsync 2>/dev/null; done"
	slow := timed(func() { sh.run(thirty) })
	want.Disks[1].IOPS = 0
	ensure()
	quick := slow
	for try := 0; try < 5 && quick > slow*2/3; try++ { // a busy host is slow too
		quick = timed(func() { sh.run(thirty) })
	}
	if slow < 2500*time.Millisecond || quick > slow*2/3 {
		t.Errorf("30 writes took %v at 10 a second and %v without limit", slow, quick)
	}
	// An encrypted disk comes while it runs, and one that is SCSI.
	late := machine.Disk{ID: id.New(), Device: "vdc", Serial: "late", Drive: encrypted(t, key)}
	scsi := machine.Disk{ID: id.New(), Device: "sda", SCSI: true, Serial: "scsi", Drive: disk(t, 4<<20)}
	want.Disks = append(slices.Clone(want.Disks), late, scsi)
	ensure()
	if got := sh.run("for n in $(seq 100); do [ -e /dev/vdc ] && [ -e /dev/sda ] && break; usleep 100000; done; echo late >/dev/vdc; sync; cat /sys/block/vdc/serial; cat /sys/block/sda/size"); got != "late8192" && got != "late\n8192" {
		t.Errorf("the new disks inside: %q", got)
	}
	// A snapshot of an encrypted disk: the layer below stays as it is from then on, the new one is encrypted too.
	top := layerWithKey(t, secret.Drive, key)
	if consistent, err := e.Overlay(t.Context(), i, secret.ID, top, true); err != nil || !consistent {
		t.Errorf("Overlay: %v, %v", consistent, err)
	}
	below, _ := os.ReadFile(secret.Drive.Path)
	sh.run("echo after-it >/dev/vda; sync")
	if now, _ := os.ReadFile(secret.Drive.Path); !bytes.Equal(now, below) {
		t.Error("the layer below changed after the snapshot")
	}
	if got := sh.run("head -c 8 /dev/vda"); got != "after-it" {
		t.Errorf("the disk has %q", got)
	}

	t.Run("Network", func(t *testing.T) { packets(t, sh, card) })
	t.Run("CloudComesBack", func(t *testing.T) {
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		frozen(t, filepath.Join(o.Dir, "machines", string(i), "record.json"))
		e = open(t, o)
		s, err := e.Observe(t.Context(), i)
		if err != nil || s.Pid != first.Pid || s.Phase != machine.PhaseRunning || len(s.Disks) != 4 {
			t.Fatalf("adopted: %+v, %v", s, err)
		}
		sh = dial(t, e, i)
		waitFor(t, "file systems that were frozen when the cloud died are thawed", func() bool {
			return strings.HasSuffix(sh.run("cat /tmp/agent"), "thawed")
		})
		want.Disks = slices.Clone(want.Disks[:2]) // the others go; the first has its new layer by now
		want.Disks[0].Drive = top
		if s := ensure(); len(s.Disks) != 2 {
			t.Errorf("disks after adoption: %+v", s.Disks)
		}
		if got := sh.run("head -c 8 /dev/vda; ls /dev/vd* /dev/sd*"); !strings.HasPrefix(got, "after-it") || strings.Contains(got, "vdc") || strings.Contains(got, "/dev/sda\n") {
			t.Errorf("after adoption: %q", got)
		}
	})
	if err := e.Stop(t.Context(), i, time.Minute); err != nil {
		t.Fatal(err)
	}
	if s, err := e.Observe(t.Context(), i); err != nil || s.Exit == nil || !s.Exit.Clean {
		t.Errorf("stopped: %+v, %v", s, err)
	}
	// Nobody holds its disks.
	for _, d := range []machine.Drive{secret.Drive, late.Drive} {
		image(t, "info", d.Path) // fails while a process has it open
	}
}

func timed(do func()) time.Duration {
	began := time.Now()
	do()
	return time.Since(began)
}

// packets gets a page from the guest's web server over its card.
func packets(t *testing.T, sh *shell, card machine.NIC) {
	in := space{card.Namespace}
	in.in(t, func() error {
		l, err := netlink.LinkByName(card.Device)
		if err != nil {
			return err
		}
		a, _ := netlink.ParseAddr("10.99.0.1/24")
		return netlink.AddrAdd(l, a)
	})
	sh.run("ip addr add 10.99.0.2/24 dev eth0")
	var got string
	for end := time.Now().Add(time.Minute); got == "" && time.Now().Before(end); {
		in.in(t, func() error {
			c, err := net.DialTimeout("tcp", "10.99.0.2:80", 2*time.Second) // the socket stays in the thread's namespace
			if err != nil {
				return nil
			}
			client := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true,
				DialContext: func(context.Context, string, string) (net.Conn, error) { return c, nil }}}
			r, err := client.Get("http://guest/")
			if err != nil {
				return nil
			}
			defer r.Body.Close()
			b, _ := io.ReadAll(r.Body)
			got = string(b)
			return nil
		})
	}
	if got != "hello from the guest\n" {
		t.Errorf("the page is %q", got)
	}
}

// frozen makes a record say what it says when the cloud dies during a snapshot.
func frozen(t *testing.T, path string) {
	t.Helper()
	var rec map[string]any
	b, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(b, &rec)
	}
	if err == nil {
		rec["frozen"] = true
		b, err = json.Marshal(rec)
	}
	if err == nil {
		err = os.WriteFile(path, b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}
