package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestSynced: what is copied into running instances, by the stack's name with its version as components bear it.
func TestSynced(t *testing.T) {
	dir := t.TempDir()
	for _, f := range []string{"index.html", "app.py", "requirements.txt"} {
		if err := os.WriteFile(filepath.Join(dir, f), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		stack, file string
		folder      string
		restart     bool
	}{
		{"static-1", "index.html", "/usr/share/nginx/html", false},
		{"static", "index.html", "/usr/share/nginx/html", false},
		{"static-1", "deleted.html", "", false},
		{"python-3.11", "app.py", "/home/app", true},
		{"python-3.11", "requirements.txt", "", false},
		{"node-22", "index.html", "/home/app", true},
		{"go-1.26", "index.html", "", false},
		{"static-of-mine", "index.html", "", false},
	} {
		folder, restart, ok := synced(c.stack, dir, []string{c.file})
		if folder != c.folder || restart != c.restart || ok != (c.folder != "") {
			t.Errorf("%s, %s: %q %v %v", c.stack, c.file, folder, restart, ok)
		}
	}
}

// TestFilesThatComeAndGo are no change: an editor's own file; a deleted one is.
func TestFilesThatComeAndGo(t *testing.T) {
	dir := t.TempDir()
	for _, f := range []string{"app.py", "new.py"} {
		if err := os.WriteFile(filepath.Join(dir, f), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got := lasting(dir, map[string]bool{"app.py": false, "new.py": true, "sedX1": true, "gone.py": false})
	if strings.Join(got, " ") != "app.py gone.py new.py" {
		t.Errorf("%v", got)
	}
}
