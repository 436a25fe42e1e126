package file

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/awancloud/awan/internal/service/machine"
)

// TestLayer has qemu-img read and check what createLayer wrote.
func TestLayer(t *testing.T) {
	if _, err := exec.LookPath("qemu-img"); err != nil {
		t.Skip("this needs the Debian package qemu-utils")
	}
	dir := t.TempDir()
	key := []byte("0123456789abcdef0123456789abcdef")
	secret := filepath.Join(dir, "secret")
	if err := os.WriteFile(secret, []byte(machine.Passphrase(key)), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, size := range map[string]int64{"small": 1 << 20, "odd": 3<<30 + 512, "huge": 16 << 40} {
		t.Run(name, func(t *testing.T) {
			plain, locked := filepath.Join(dir, name+"-plain"), filepath.Join(dir, name+"-locked")
			if err := createLayer(plain, size, "", nil); err != nil {
				t.Fatal(err)
			}
			if err := createLayer(locked, size, "", key); err != nil {
				t.Fatal(err)
			}
			node := "driver=qcow2,file.filename=" + locked + ",encrypt.format=luks,encrypt.key-secret=k"
			for _, args := range [][]string{{"check", plain}, {"check", "--object", "secret,id=k,file=" + secret, "--image-opts", node}} {
				if out, err := exec.Command("qemu-img", args...).CombinedOutput(); err != nil {
					t.Fatalf("qemu-img %v: %v\n%s", args, err, out)
				}
			}
			if a := allocated(locked); a > 2<<20 {
				t.Fatalf("an empty layer takes %d bytes", a)
			}
		})
	}
}
