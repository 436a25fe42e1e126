package debian

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// What a crash left mounted in an unfinished root is this machine's own, and outlives the root.
func TestRemoveKeepsWhatIsMountedInside(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("root is needed")
	}
	host, root := t.TempDir(), filepath.Join(t.TempDir(), "making a root")
	inner := filepath.Join(root, "dev", "shm")
	for _, d := range []string{filepath.Join(host, "shm"), inner} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	kept := filepath.Join(host, "shm", "kept")
	if err := os.WriteFile(kept, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount(host, filepath.Join(root, "dev"), "", unix.MS_BIND, ""); err != nil {
		t.Skip("nothing can be mounted here:", err)
	}
	if err := unix.Mount(filepath.Join(host, "shm"), inner, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	if err := Remove(root); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(kept); err != nil {
		t.Error("a file of this machine was deleted:", err)
	}
	if _, err := os.Stat(root); !os.IsNotExist(err) {
		t.Errorf("the root is left: %v", err)
	}
}
