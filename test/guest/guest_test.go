package guest

import (
	"os"
	"testing"
)

// The guest is made of what this machine's package sources give, and only once.
func TestMakeIsKept(t *testing.T) {
	g := Get(t)
	first, err := os.Stat(g.Initrd)
	if err != nil || first.Size() == 0 {
		t.Fatal("no initramfs:", err)
	}
	again, err := Make(t.Context(), os.Getenv("AWAN_BASES"))
	if os.Getenv("AWAN_BASES") == "" {
		t.Skip("AWAN_BASES is not set")
	}
	if err != nil || again != g {
		t.Fatalf("made again: %+v, %v", again, err)
	}
	if second, err := os.Stat(g.Initrd); err != nil || !second.ModTime().Equal(first.ModTime()) {
		t.Fatal("it was made twice", err)
	}
}
