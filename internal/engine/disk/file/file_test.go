package file_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/awancloud/awan/internal/engine/disk/file"
	"github.com/awancloud/awan/internal/service/disk"
	"github.com/awancloud/awan/internal/service/disk/disktest"
	"github.com/awancloud/awan/internal/service/machine"
)

func open(t testing.TB, dir string) *file.Engine {
	t.Helper()
	if _, err := exec.LookPath("qemu-io"); err != nil {
		t.Skip("this needs the Debian package qemu-utils")
	}
	e, err := file.Open(file.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestContract(t *testing.T) {
	disktest.Run(t, func(t *testing.T) disktest.Subject {
		dir := t.TempDir()
		e := open(t, dir)
		return disktest.Subject{Engine: e,
			Reopen: func() disk.Engine {
				_ = e.Close()
				e = open(t, dir)
				return e
			},
			Write: func(d machine.Drive, off int64, b []byte) error {
				in := filepath.Join(t.TempDir(), "pattern")
				if err := os.WriteFile(in, b, 0o600); err != nil {
					return err
				}
				_, err := qemuIO(t, d, fmt.Sprintf("write -s %s %d %d", in, off, len(b)))
				return err
			},
			Read: func(d machine.Drive, off int64, n int) ([]byte, error) {
				out, err := qemuIO(t, d, fmt.Sprintf("read -v %d %d", off, n))
				return dump(out, n), err
			}}
	})
}

// qemuIO opens a drive as a machine does.
func qemuIO(t testing.TB, d machine.Drive, commands ...string) (string, error) {
	var args []string
	node := ""
	for n, path := range append([]string{d.Path}, d.Backing...) {
		prefix := strings.Repeat("backing.", n)
		node += fmt.Sprintf("%sdriver=qcow2,%sfile.driver=file,%sfile.filename=%s,", prefix, prefix, prefix, path)
		if key, ok := d.Keys[path]; ok {
			secret := filepath.Join(t.TempDir(), fmt.Sprint("key", n))
			if err := os.WriteFile(secret, []byte(machine.Passphrase(key)), 0o600); err != nil {
				return "", err
			}
			args = append(args, "--object", fmt.Sprintf("secret,id=k%d,format=raw,file=%s", n, secret))
			node += fmt.Sprintf("%sencrypt.format=luks,%sencrypt.key-secret=k%d,", prefix, prefix, n)
		}
	}
	node += strings.Repeat("backing.", len(d.Backing)) + "backing="
	args = append(args, "--image-opts", node)
	for _, c := range commands {
		args = append(args, "-c", c)
	}
	out, err := exec.CommandContext(context.Background(), "qemu-io", args...).CombinedOutput()
	if err != nil || strings.Contains(string(out), "failed") {
		return string(out), fmt.Errorf("qemu-io: %v: %s", err, out)
	}
	return string(out), nil
}

// dump reads qemu-io's hexadecimal lines.
func dump(out string, n int) []byte {
	var b []byte
	for line := range strings.Lines(out) {
		addr, rest, ok := strings.Cut(line, ":  ")
		if !ok || strings.Trim(addr, "0123456789abcdef") != "" {
			continue
		}
		for _, h := range strings.Fields(rest)[:min(16, n-len(b))] {
			var c byte
			if _, err := fmt.Sscanf(h, "%02x", &c); err == nil {
				b = append(b, c)
			}
		}
	}
	return b
}
