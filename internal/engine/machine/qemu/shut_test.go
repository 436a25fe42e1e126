package qemu_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/machine"
)

// A machine's process can do nothing on the host but what it was handed.
func TestProcessIsShutIn(t *testing.T) {
	o := options(t)
	o.Accelerator = "tcg"
	e := open(t, o)
	t.Cleanup(func() { _ = e.Purge(context.Background()) })
	secret := strings.Repeat("\xff\x01", 16)
	d := encrypted(t, []byte(secret))
	start := func() (machine.Seen, string) {
		s, err := e.Ensure(t.Context(), id.New(), machine.Want{Name: "shut,in", CPUs: 1, MemoryMiB: 32, Running: true,
			Disks: []machine.Disk{{ID: id.New(), Device: "vda", Drive: d}}, Seed: map[string][]byte{"user-data": []byte("password: seed-secret\n")}})
		if err != nil {
			t.Fatal(err)
		}
		return s, fmt.Sprintf("/proc/%d/", s.Pid)
	}
	s, proc := start()
	status := fields(t, proc+"status")
	uid := strings.Fields(status["Uid"])
	if len(uid) != 4 || uid[0] == "0" || uid[0] != uid[1] || uid[0] != uid[2] || uid[0] != uid[3] {
		t.Errorf("user ids %v", uid)
	}
	for name, want := range map[string]string{"Seccomp": "2", "NoNewPrivs": "1", "CapEff": "0000000000000000", "CapPrm": "0000000000000000", "Groups": ""} {
		if status[name] != want {
			t.Errorf("%s is %q, want %q", name, status[name], want)
		}
	}
	for _, ns := range []string{"mnt", "net", "ipc", "uts", "pid"} {
		if a, b := link(t, proc+"ns/"+ns), link(t, "/proc/self/ns/"+ns); a == b {
			t.Errorf("it shares our %s namespace", ns)
		}
	}
	if mounts, err := os.ReadFile(proc + "mounts"); err != nil || strings.Contains(string(mounts), "/run") || strings.Contains(string(mounts), "cgroup") {
		t.Errorf("it keeps mounts of ours: %s, %v", mounts, err)
	}
	entries, _ := filepath.Glob(proc + "root/*")
	for _, p := range entries {
		switch filepath.Base(p) {
		case "usr", "lib", "lib64", "bin", "etc", "dev", "boot", "k":
		default:
			t.Errorf("its root has %s", filepath.Base(p))
		}
	}
	if left, _ := filepath.Glob(proc + "root/k/*"); len(left) > 0 {
		t.Errorf("keys are left: %v", left)
	}
	line, _ := os.ReadFile(proc + "cmdline")
	env, _ := os.ReadFile(proc + "environ")
	for _, word := range []string{secret, machine.Passphrase([]byte(secret)), "seed-secret"} {
		if strings.Contains(string(line)+string(env), word) {
			t.Errorf("the command line or the environment says %s", word)
		}
		for _, dir := range []string{o.Dir, "/run/awan-" + o.Key + "-machines"} {
			_ = filepath.Walk(dir, func(p string, st os.FileInfo, err error) error {
				if err == nil && st.Mode().IsRegular() {
					if b, _ := os.ReadFile(p); strings.Contains(string(b), word) {
						t.Errorf("%s says %s", p, word)
					}
				}
				return nil
			})
		}
	}
	for _, p := range []string{o.Dir, filepath.Join(o.Dir, "machines"), "/run/awan-" + o.Key + "-machines"} {
		if st, err := os.Stat(p); err != nil || st.Mode().Perm() != 0o700 {
			t.Errorf("%s: %v, %v", p, st.Mode(), err)
		}
	}
	// Another machine is another user, though the disk's files are shared with nobody.
	d = disk(t, 1<<20)
	_, other := start()
	if again := strings.Fields(fields(t, other+"status")["Uid"]); again[0] == uid[0] {
		t.Error("two machines have one user")
	}
	if s.Usage.MemoryBytes > 200<<20 {
		t.Errorf("an empty machine of 32 MiB takes %d MiB", s.Usage.MemoryBytes>>20)
	}
}

func fields(t *testing.T, path string) map[string]string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for line := range strings.Lines(string(b)) {
		if k, v, ok := strings.Cut(line, ":"); ok {
			out[k] = strings.TrimSpace(v)
		}
	}
	return out
}

func link(t *testing.T, path string) string {
	t.Helper()
	to, err := os.Readlink(path)
	if err != nil {
		t.Fatal(err)
	}
	return to
}
