package workloadtest

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/workload"
)

func (k *kit) cat(i id.ID, path string) string {
	k.Helper()
	code, out := k.exec(i, "cat", path)
	if code != 0 {
		return fmt.Sprintf("(cat ended with %d)", code)
	}
	return out
}

func configured(k *kit, plain, live string) workload.Want {
	w := k.want(Program{Forever: true})
	w.Files = []workload.File{{Path: "/etc/shop/settings.yaml", Content: []byte(plain), Mode: 0o444},
		{Path: "/var/secret/token", Content: []byte(live), Mode: 0o400, Live: true},
		{Path: "/run/secrets/deep/key", Content: []byte("k"), Mode: 0o400}}
	return w
}

func filesAreThere(t *testing.T, k *kit) {
	w := configured(k, "color: red\n", "hush")
	i, _ := k.start(w)
	if got := k.cat(i, "/etc/shop/settings.yaml"); got != "color: red\n" {
		t.Errorf("the file holds %q", got)
	}
	if got := k.cat(i, "/var/secret/token"); got != "hush" {
		t.Errorf("the secret holds %q", got)
	}
	if got := k.cat(i, "/run/secrets/deep/key"); got != "k" {
		t.Errorf("the file under /run holds %q", got)
	}
	if k.Real {
		if _, out := k.exec(i, "stat", "-L", "-c", "%a %u", "/var/secret/token"); strings.TrimSpace(out) != "400 0" {
			t.Errorf("mode and owner of the secret are %q", out)
		}
		if _, out := k.exec(i, "stat", "-L", "-f", "-c", "%T", "/var/secret/token"); strings.TrimSpace(out) != "tmpfs" {
			t.Errorf("the secret lies on %q", out)
		}
		if code, _ := k.exec(i, "sh", "-c", "echo x > /var/secret/token"); code == 0 {
			t.Error("the file can be written from inside")
		}
	}
	// It ends and is started again: whoever calls Ensure brings the content.
	if err := k.Engine.Stop(k.ctx, i, 0); err != nil {
		t.Fatal(err)
	}
	k.untilExited(i)
	k.ensure(i, w)
	if got := k.cat(i, "/var/secret/token"); got != "hush" {
		t.Errorf("after a restart the secret holds %q", got)
	}
	for name, files := range map[string][]workload.File{
		"relative":   {{Path: "etc/x"}},
		"climbing":   {{Path: "/etc/../x"}},
		"twice":      {{Path: "/a"}, {Path: "/a"}},
		"file above": {{Path: "/a"}, {Path: "/a/b"}},
		"proc":       {{Path: "/proc/x"}},
		"in run":     {{Path: "/run/x"}},
		"set-uid":    {{Path: "/a", Mode: 0o4755}},
	} {
		bad := w
		bad.Files = files
		if _, err := k.Engine.Ensure(k.ctx, id.New(), bad); !fail.Is(err, fail.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func filesAreReplaced(t *testing.T, k *kit) {
	w := configured(k, "color: red\n", "old")
	if k.Real {
		w.Command = []string{"sh", "-c", "trap 'echo signal HUP' HUP; trap 'exit 0' TERM; echo up; while :; do sleep 0.1; done"}
	}
	i, first := k.start(w)
	if k.Real {
		k.untilLine(i, "up")
	}
	next := configured(k, "color: green\n", "new")
	if w.Hash() == next.Hash() {
		t.Error("the content of a file that is not live does not count for the hash")
	}
	next.Command = w.Command
	if err := k.Engine.Replace(k.ctx, i, next.Files, "HUP"); err != nil {
		t.Fatal(err)
	}
	if got := k.cat(i, "/var/secret/token"); got != "new" {
		t.Errorf("the live file holds %q", got)
	}
	if got := k.cat(i, "/etc/shop/settings.yaml"); got != "color: red\n" {
		t.Errorf("the file that is not live holds %q", got)
	}
	k.untilLine(i, "signal HUP")
	// A live file's content is no reason to replace an instance.
	live := configured(k, "color: red\n", "newer")
	live.Command = w.Command
	if s := k.ensure(i, live); s.Pid != first.Pid {
		t.Error("another content of a live file replaced the instance")
	}
	unknown := []workload.File{{Path: "/etc/other", Content: []byte("x"), Mode: 0o444}}
	k.wantKind(k.Engine.Replace(k.ctx, i, unknown, ""), fail.Invalid)
	k.wantKind(k.Engine.Replace(k.ctx, i, next.Files, "NONSENSE"), fail.Invalid)
	k.wantKind(k.Engine.Replace(k.ctx, id.New(), nil, ""), fail.Gone)
	if err := k.Engine.Stop(k.ctx, i, 0); err != nil {
		t.Fatal(err)
	}
	k.untilExited(i)
	k.wantKind(k.Engine.Replace(k.ctx, i, next.Files, ""), fail.Precondition)
}

func filesOverReopen(t *testing.T, k *kit) {
	if k.Reopen == nil {
		t.Skip("the engine cannot be opened again")
	}
	w := configured(k, "color: red\n", "old")
	i, first := k.start(w)
	k.Harness = k.Reopen(t)
	if got := k.cat(i, "/var/secret/token"); got != "old" {
		t.Errorf("the secret holds %q", got)
	}
	if err := k.Engine.Replace(k.ctx, i, configured(k, "", "new").Files, ""); err != nil {
		t.Fatal(err)
	}
	if got := k.cat(i, "/var/secret/token"); got != "new" {
		t.Errorf("the secret holds %q", got)
	}
	if s := k.observe(i); s.Pid != first.Pid {
		t.Error("the instance was replaced")
	}
}

func tarOf(t *testing.T, files map[string]string) io.Reader {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for name, text := range files {
		h := &tar.Header{Name: name, Mode: 0o755, Size: int64(len(text)), Typeflag: tar.TypeReg}
		if target, ok := strings.CutPrefix(text, "->"); ok {
			h.Typeflag, h.Linkname, h.Size, text = tar.TypeSymlink, target, 0, ""
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, text); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return &b
}

func untar(t *testing.T, r io.Reader) map[string]string {
	out := map[string]string{}
	for a := tar.NewReader(r); ; {
		h, err := a.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			b, _ := io.ReadAll(a)
			out[h.Name] = string(b)
		}
	}
}

func copies(t *testing.T, k *kit) {
	i, _ := k.start(k.want(Program{Forever: true}))
	if err := k.Engine.CopyIn(k.ctx, i, "/srv/app", tarOf(t, map[string]string{"main.py": "print(1)", "lib/a.py": "a = 1"})); err != nil {
		t.Fatal(err)
	}
	if got := k.cat(i, "/srv/app/lib/a.py"); got != "a = 1" {
		t.Errorf("the file holds %q", got)
	}
	var back bytes.Buffer
	if err := k.Engine.CopyOut(k.ctx, i, "/srv/app", &back); err != nil {
		t.Fatal(err)
	}
	if got := untar(t, &back); got["app/main.py"] != "print(1)" || got["app/lib/a.py"] != "a = 1" {
		t.Errorf("copied back: %v", got)
	}
	k.wantKind(k.Engine.CopyOut(k.ctx, i, "/nowhere", io.Discard), fail.NotFound)
	k.wantKind(k.Engine.CopyIn(k.ctx, i, "srv", tarOf(t, nil)), fail.Invalid)
	k.wantKind(k.Engine.CopyIn(k.ctx, id.New(), "/srv", tarOf(t, nil)), fail.Gone)
	if !k.Real {
		return
	}
	if _, out := k.exec(i, "stat", "-c", "%a %u", "/srv/app/main.py"); strings.TrimSpace(out) != "755 0" {
		t.Errorf("mode and owner are %q", out)
	}
	// No way out of the instance: neither up nor through a link.
	if err := k.Engine.CopyIn(k.ctx, i, "/srv", tarOf(t, map[string]string{"../../../../tmp/awan-escape": "x"})); err != nil {
		t.Fatal(err)
	}
	if got := k.cat(i, "/srv/tmp/awan-escape"); got != "x" {
		t.Errorf("a climbing name landed elsewhere: %q", got)
	}
	if code, out := k.exec(i, "ln", "-s", "/proc/1/root/etc", "/srv/out"); code != 0 {
		t.Fatal(out)
	}
	if err := k.Engine.CopyIn(k.ctx, i, "/srv/out", tarOf(t, map[string]string{"x": "x"})); err == nil {
		t.Error("a link led out of the instance")
	}
	if err := k.Engine.CopyOut(k.ctx, i, "/srv/out/hostname", io.Discard); err == nil {
		t.Error("a link led out of the instance")
	}
}
