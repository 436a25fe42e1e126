package servers

import (
	"strings"
	"testing"

	machinesim "github.com/awancloud/awan/internal/engine/machine/sim"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/ledger"
	"github.com/awancloud/awan/internal/service/compute"
	"github.com/awancloud/awan/internal/service/machine"
	"github.com/awancloud/awan/internal/service/network"
)

// A server is made of a port, a volume and a machine; it goes with what was made for it.
func TestAServerComesAndGoes(t *testing.T) {
	w := newWorld(t, machinesim.Options{})
	w.do("keypair/keypair", call.Create, "laptop", `{}`)
	r := w.small("web", `,"key_pair":"laptop","password":"correct horse","user_data":"#!/bin/sh\necho hi\n","public_ip":{"bandwidth":10},"volumes":[{"size":5,"delete":true}]`)
	st := r.Status
	if st.Power != compute.On || len(st.Addresses) != 1 || st.PublicIP == "" || len(st.Disks) != 2 || st.Disks[1].Device != "vdb" || st.Hostname != "web" {
		t.Errorf("%+v", st)
	}
	seen, err := w.machines.Observe(t.Context(), r.ID)
	if err != nil || seen.Phase != machine.PhaseRunning || seen.CPUs != 1 || seen.MemoryMiB != 256 || len(seen.Disks) != 2 || len(seen.NICs) != 1 {
		t.Errorf("the machine: %+v, %v", seen, err)
	}
	for _, d := range st.Disks {
		if v := w.volume(string(d.Volume)); len(v.Status.Attachments) != 1 || v.Status.Attachments[0].Server != r.ID {
			t.Errorf("volume %s: %+v", v.Name, v.Status.Attachments)
		}
	}
	w.refused(disk, call.Delete, string(st.Disks[1].Volume), "", "detach it first")
	w.refused(port, call.Delete, string(st.Cards[0].Port), "", string(r.ID))
	w.do(server, call.Update, "web", `{"release_ip":true,"description":"the shop"}`)
	w.do(server, call.Delete, "web", "")
	for _, k := range []string{server, disk, port, "network/public-ip"} {
		if n := w.count(k); n != 0 {
			t.Errorf("%d of %s are left", n, k)
		}
	}
	if _, err := w.machines.Observe(t.Context(), r.ID); !fail.Is(err, fail.Gone) {
		t.Errorf("the machine is left: %v", err)
	}
}

// The seed tells the system inside who it is; the password in it is the one that was given.
func TestTheSeedTells(t *testing.T) {
	w := newWorld(t, machinesim.Options{})
	w.do("keypair/keypair", call.Create, "laptop", `{}`)
	r := w.small("Web Server!", `,"key_pair":"laptop","password":"correct horse","user_data":"#!/bin/sh\necho hi\n"`)
	want, err := w.machines.Want(r.ID)
	if err != nil {
		t.Fatal(err)
	}
	for file, text := range map[string]string{"meta-data": `"local-hostname": "web-server"`, "user-data": "echo hi", "vendor-data": "correct horse", "network-config": "macaddress"} {
		if !strings.Contains(string(want.Seed[file]), text) {
			t.Errorf("%s lacks %q:\n%s", file, text, want.Seed[file])
		}
	}
	if !strings.Contains(string(want.Seed["meta-data"]), "ssh-ed25519") {
		t.Errorf("no key in %s", want.Seed["meta-data"])
	}
}

func TestPowerIsWhatWasAskedFor(t *testing.T) {
	w := newWorld(t, machinesim.Options{})
	r := w.small("web", "")
	phase := func() machine.Phase {
		seen, err := w.machines.Observe(t.Context(), r.ID)
		if err != nil {
			t.Fatal(err)
		}
		return seen.Phase
	}
	w.do(server, "stop", "web", "")
	if s := w.server("web"); phase() != machine.PhaseStopped || s.Status.Power != compute.Off || !s.Spec.Stopped {
		t.Errorf("%v %+v", phase(), s.Status)
	}
	w.refused(server, "reboot", "web", "{}", "is stopped")
	w.do(server, "start", "web", "")
	if s := w.server("web"); phase() != machine.PhaseRunning || s.Status.Power != compute.On {
		t.Errorf("%v %+v", phase(), s.Status)
	}
	for _, how := range []string{`{"hard":true}`, `{}`} {
		w.do(server, "reboot", "web", how)
		if s := w.server("web"); phase() != machine.PhaseRunning || s.Status.Reboot != "" {
			t.Errorf("after reboot %s: %v %+v", how, phase(), s.Status)
		}
	}
	w.do(server, "lock", "web", "")
	w.refused(server, "stop", "web", "", "locked")
	w.refused(server, call.Delete, "web", "", "locked")
	w.do(server, "unlock", "web", "")
	w.do(server, call.Delete, "web", "")
}

func TestDevicesComeAndGoWhileItRuns(t *testing.T) {
	w := newWorld(t, machinesim.Options{})
	r := w.small("web", "")
	other := w.small("db", "")
	v := w.do(disk, call.Create, "data", `{"size":10}`)
	w.do(server, "attach-volume", "web", `{"volume":"data"}`)
	seen, _ := w.machines.Observe(t.Context(), r.ID)
	if seen.Disks[v.M().ID] != "vdb" {
		t.Errorf("disks of the machine: %v", seen.Disks)
	}
	w.refused(server, "attach-volume", "db", `{"volume":"data"}`, "attached")
	w.refused(server, "attach-volume", "web", `{"volume":"data"}`, "has it already")
	w.refused(server, "attach-volume", "web", `{"volume":"nothing"}`, "there is no volume")
	w.refused(server, "detach-volume", "web", `{"volume":"vda"}`, "runs from this volume")
	w.do(server, "detach-volume", "web", `{"volume":"vdb"}`)
	if len(w.volume("data").Status.Attachments) != 0 || len(w.server("web").Status.Disks) != 1 {
		t.Error("the volume is still attached")
	}
	w.do(server, "attach-volume", "db", `{"volume":"data","device":"/dev/vdf"}`)
	if d := w.server("db").Status.Disks[1]; d.Device != "vdf" || d.Phase != compute.Attached {
		t.Errorf("%+v", d)
	}
	w.do(server, "attach-interface", "web", `{}`)
	w.do(port, call.Create, "extra", `{}`)
	w.do(server, "attach-interface", "web", `{"port":"extra"}`)
	s := w.server("web")
	if seen, _ := w.machines.Observe(t.Context(), r.ID); len(s.Status.Cards) != 3 || len(s.Status.Addresses) != 3 || len(seen.NICs) != 3 {
		t.Errorf("%+v %v", s.Status.Cards, seen.NICs)
	}
	w.refused(server, "attach-interface", "db", `{"port":"extra"}`, "belongs to")
	w.do(server, "detach-interface", "web", `{"port":"`+s.Status.Addresses[1]+`"}`)
	w.do(server, "detach-interface", "web", `{"port":"extra"}`)
	if n := w.count(port); n != 3 { // two servers and extra
		t.Errorf("%d ports", n)
	}
	w.do(server, call.Delete, string(other.ID), "")
	if len(w.volume("data").Status.Attachments) != 0 {
		t.Error("a volume that was there before the server must stay, free")
	}
}

func TestSizeAndImageChange(t *testing.T) {
	w := newWorld(t, machinesim.Options{})
	r := w.small("web", "")
	w.refused(server, call.Update, "web", `{"flavor":"m1.tiny"}`, "awan server resize")
	w.do(server, "resize", "web", `{"flavor":"m1.tiny"}`)
	if seen, _ := w.machines.Observe(t.Context(), r.ID); seen.MemoryMiB != 512 || seen.Phase != machine.PhaseRunning {
		t.Errorf("%+v", seen)
	}
	w.do(server, "resize", "web", `{"flavor":"s6.large.2","confirm":true}`)
	w.refused(server, "resize", "web", `{"flavor":"m1.tiny"}`, "waits to be confirmed")
	w.do(server, "revert-resize", "web", "")
	if seen, _ := w.machines.Observe(t.Context(), r.ID); seen.MemoryMiB != 512 || w.server("web").Spec.Flavor != "m1.tiny" {
		t.Errorf("after going back: %+v", seen)
	}
	before := w.server("web")
	w.refused(server, "rebuild", "web", `{"image":"Debian 12"}`, "needs 3 GiB")
	w.do(server, "rebuild", "web", `{"image":"Debian 12 small"}`)
	after := w.server("web")
	if after.Status.Disks[0].Volume == before.Status.Disks[0].Volume || after.Status.Cards[0].Port != before.Status.Cards[0].Port || after.Status.Rebuild != nil {
		t.Errorf("%+v", after.Status)
	}
	if n := w.count(disk); n != 1 {
		t.Errorf("%d volumes are left after the rebuild", n)
	}
}

// What a flavour of the operator's says of processors and cards holds, as what the catalogue's say does.
func TestAFlavourLimits(t *testing.T) {
	w := newWorld(t, machinesim.Options{})
	w.do("compute/flavor", call.Create, "thrifty", `{"cpus":2,"memory":512,"milli_cpu":250,"bandwidth":50}`)
	r := w.do(server, call.Create, "web", `{"flavor":"thrifty","image":"Debian 12 small"}`).(*compute.Row)
	if want, err := w.machines.Want(r.ID); err != nil || want.MilliCPU != 500 {
		t.Errorf("the machine may use %d thousandths of a processor, not 500: %v", want.MilliCPU, err)
	}
	if p := w.get(port, string(r.Status.Cards[0].Port)).(*kind.Row[network.PortSpec, network.PortStatus]); p.Spec.Mbit != 50 {
		t.Errorf("its card carries %d Mbit/s, not 50", p.Spec.Mbit)
	}
}

// What cannot be is refused before anything is made, and says what is missing.
func TestRefusals(t *testing.T) {
	w := newWorld(t, machinesim.Options{CPUs: 1, MemoryMiB: 1024})
	for body, because := range map[string]string{
		`{}`: "flavor",
		`{"flavor":"t6.nano.1","image":"Debian 12 small","root":{"encryption":"k"}}`: "spec.root.encryption",
		`{"flavor":"t6.nano.1"}`:                                                     "awan image list",
		`{"flavor":"giant","image":"Debian 12"}`:                                     "awan flavor list",
		`{"flavor":"t6.nano.1","image":"Minix"}`:                                     `there is no image "Minix"`,
		`{"flavor":"t6.nano.1","image":"Debian 12 small","key_pair":"x"}`:            "awan keypair create x",
		`{"flavor":"t6.nano.1","image":"Debian 12 small","zone":"moon"}`:             "availability zone",
		`{"flavor":"t6.nano.1","image":"Debian 12 small","volumes":[{}]}`:            "spec.volumes[0].size",
		`{"flavor":"s6.large.2","image":"Debian 12"}`:                                "4096 MiB of memory: 1024 of 1024 MiB are free",
		`{"flavor":"t6.nano.1","image":"Debian 12 small","networks":[{"port":"p"}]}`: `there is no port "p"`,
	} {
		w.refused(server, call.Create, "x", body, because)
	}
	w.small("a", "")
	w.small("b", "")
	w.small("c", "")
	w.small("d", "")
	w.refused(server, call.Create, "e", `{"flavor":"t6.nano.1","image":"Debian 12 small"}`, "no machine has room")
	w.do(server, "stop", "a", "")
	w.small("e", "")
	w.refused(server, "start", "a", "", "no machine has room")
	w.do(server, call.Delete, "b", "")
	w.limits[ledger.Dim("compute.servers")] = 1
	w.refused(server, call.Create, "f", `{"flavor":"t6.nano.1","image":"Debian 12 small"}`, "quota")
}

// A server that fails to start leaves nothing behind but its row, which says why.
func TestAFailureLeavesNothing(t *testing.T) {
	broken := true
	w := newWorld(t, machinesim.Options{Before: beforeEnsure(func() error {
		if broken {
			return fail.New(fail.Precondition, "the machine does not start")
		}
		return nil
	})})
	_, err := w.try(server, call.Create, "web", `{"flavor":"t6.nano.1","image":"Debian 12 small","public_ip":{},"volumes":[{"size":1}]}`)
	if err == nil || !strings.Contains(err.Error(), "does not start") {
		t.Fatalf("got %v", err)
	}
	if r := w.server("web"); r.State != "failed" || !strings.Contains(r.Reason, "does not start") {
		t.Errorf("%+v", r.Meta)
	}
	for _, k := range []string{disk, port, "network/public-ip"} {
		if n := w.count(k); n != 0 {
			t.Errorf("%d of %s are left", n, k)
		}
	}
	broken = false
	w.do(server, call.Delete, "web", "")
	w.small("web", "")
}

// A system that is shut down from inside stays off; a machine that crashes is started again.
func TestWhatHappensInside(t *testing.T) {
	w := newWorld(t, machinesim.Options{})
	r := w.small("web", "")
	if err := w.machines.Crash(r.ID); err != nil {
		t.Fatal(err)
	}
	w.until("the machine runs again", func() bool {
		seen, err := w.machines.Observe(t.Context(), r.ID)
		return err == nil && seen.Phase == machine.PhaseRunning
	})
	if err := w.machines.ShutDown(r.ID); err != nil {
		t.Fatal(err)
	}
	w.until("the server is known to be off", func() bool {
		s := w.server("web")
		return s.Spec.Stopped && s.Status.Power == compute.Off
	})
	w.do(server, "start", "web", "")
}
