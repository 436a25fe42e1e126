package cidata_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/awancloud/awan/internal/engine/machine/qemu/cidata"
)

// The kernel reads what was written, under the names as they were, and finds the label.
func TestImageIsReadByTheKernel(t *testing.T) {
	files := map[string][]byte{"meta-data": []byte("instance-id: i-1\n"), "user-data": bytes.Repeat([]byte("#cloud-config\n"), 500),
		"network-config": nil, "vendor-data": []byte("#!/bin/sh\n")}
	b, err := cidata.Image(files)
	if err != nil {
		t.Fatal(err)
	}
	if again, _ := cidata.Image(files); !bytes.Equal(again, b) {
		t.Error("the same files made another image")
	}
	if len(b)%2048 != 0 {
		t.Errorf("it has %d bytes, not whole sectors", len(b))
	}
	p := filepath.Join(t.TempDir(), "seed.iso")
	if err := os.WriteFile(p, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("blkid", "-p", "-o", "export", p).Output(); err != nil {
		t.Log("blkid:", err)
	} else if s := string(out); !strings.Contains(s, "\nLABEL=cidata\n") || !strings.Contains(s, "TYPE=iso9660") {
		t.Errorf("blkid sees %q", s)
	}
	at := t.TempDir()
	if out, err := exec.Command("mount", "-o", "loop,ro", "-t", "iso9660", p, at).CombinedOutput(); err != nil {
		t.Logf("this kernel cannot mount it (a guest's does, in the engine's contract): %v: %s", err, out)
		return
	}
	defer func() {
		if err := unix.Unmount(at, 0); err != nil && !errors.Is(err, unix.EINVAL) {
			t.Error(err)
		}
	}()
	entries, err := os.ReadDir(at)
	if err != nil || len(entries) != len(files) {
		t.Fatalf("it holds %v, %v", entries, err)
	}
	for name, want := range files {
		if got, err := os.ReadFile(filepath.Join(at, name)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
}

func TestNamesAreChecked(t *testing.T) {
	for _, name := range []string{"", "a/b", "..\\x", "a:b", strings.Repeat("n", 65)} {
		if _, err := cidata.Image(map[string][]byte{name: nil}); err == nil {
			t.Errorf("%q was taken", name)
		}
	}
	many := map[string][]byte{}
	for n := range 17 {
		many[fmt.Sprint(n)] = nil
	}
	if _, err := cidata.Image(many); err == nil {
		t.Error("17 files were taken")
	}
}
