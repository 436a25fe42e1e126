package git

import (
	"bytes"
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/awancloud/awan/internal/service/build"
)

// lies lists what there is of the project's repositories, when nobody uses one.
func (p *place) lies() string {
	p.t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		var names []string
		entries, _ := os.ReadDir(filepath.Join(p.o.Dir, string(project)))
		for _, e := range entries {
			names = append(names, e.Name())
		}
		all := strings.Join(names, " ")
		if !strings.Contains(all+" ", ".git ") && !strings.Contains(all, goneSuffix) && !strings.Contains(all, freshSuffix) || time.Now().After(end) {
			return all
		}
	}
}

// TestSealed: between uses nothing of a repository can be read on the disk; it comes back as it was, also after a crash
// between a push and its sealing; an archive that was changed is told, and what was pushed is not made up.
func TestSealed(t *testing.T) {
	p := open(t)
	p.refuse = func(context.Context, build.Push) error { return nil }
	dir := p.source()
	const branch = "the-price-of-tea-in-china"
	p.must(dir, "push", "-q", "awan", "main", "main:"+branch)
	if got := p.lies(); got != "shop.git.sealed" {
		t.Fatalf("after the push there is %s", got)
	}
	sealed := p.folder(project, "shop") + sealedSuffix
	_ = filepath.WalkDir(p.o.Dir, func(file string, d fs.DirEntry, _ error) error {
		if b, _ := os.ReadFile(file); bytes.Contains(b, []byte(branch)) {
			t.Errorf("%s says %s", file, branch)
		}
		return nil
	})
	head := func() string {
		out := p.must(dir, "ls-remote", "awan", branch)
		return strings.Fields(out)[0]
	}
	was, before := head(), p.lies()
	if now, _ := os.Stat(sealed); before != "shop.git.sealed" || now.Size() != p.used(project) {
		t.Errorf("after a look there is %s", before)
	}

	// A crash: the folder is newer than the archive, and something half made lies about.
	older, err := os.ReadFile(sealed)
	if err != nil {
		t.Fatal(err)
	}
	p.must(dir, "commit", "-q", "--allow-empty", "-m", "second")
	p.must(dir, "push", "-q", "awan", "main:"+branch)
	p.lies()
	own := build.Own{Project: project, Name: "shop", Branch: "main"}
	if _, _, err := p.use(own, false, false); err != nil { // and is never left
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{sealed: older, sealed + freshSuffix: older[:100]} {
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	o := p.o
	if p.Engine, err = New(o); err != nil {
		t.Fatal(err)
	}
	if got := p.lies(); got != "shop.git.sealed" {
		t.Errorf("after a crash there is %s", got)
	}
	if now := head(); now == was || now != strings.TrimSpace(p.must(dir, "rev-parse", "HEAD")) {
		t.Errorf("after a crash %s is %s", branch, now)
	}

	p.lies()
	b, _ := os.ReadFile(sealed)
	for what, damaged := range map[string][]byte{"changed": append(append(append([]byte{}, b[:200]...), b[200]^1), b[201:]...), "cut": b[:len(b)-10]} {
		if err := os.WriteFile(sealed, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := p.Advertise(t.Context(), own, "git-upload-pack", "", &bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), "cannot be unsealed") {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := os.WriteFile(sealed, b, 0o600); err != nil {
		t.Fatal(err)
	}
	p.must(dir, "ls-remote", "awan")
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if got := p.lies(); got != "shop.git.sealed" {
		t.Errorf("after the end there is %s", got)
	}
}
