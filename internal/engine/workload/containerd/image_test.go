package containerd_test

import (
	"archive/tar"
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/awancloud/awan/internal/engine/workload/containerd"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/workload"
)

// An image of several layers is seen as one: later layers hide, replace and remove; owners and the image's user hold.
func TestLayersOwnersAndUser(t *testing.T) {
	o, _ := options(t)
	var second, third layer
	second.add(tar.Header{Name: "home/", Typeflag: tar.TypeDir, Mode: 0o755, Uid: 1000, Gid: 1000}, nil)
	second.add(tar.Header{Name: "home/mine", Typeflag: tar.TypeReg, Mode: 0o600, Uid: 1000, Gid: 1000}, []byte("private\n"))
	second.add(tar.Header{Name: "etc/old", Typeflag: tar.TypeReg, Mode: 0o644}, []byte("old\n"))
	second.add(tar.Header{Name: "opt/", Typeflag: tar.TypeDir, Mode: 0o755}, nil)
	second.add(tar.Header{Name: "opt/a", Typeflag: tar.TypeReg, Mode: 0o644}, []byte("a\n"))
	third.add(tar.Header{Name: "etc/.wh.old", Typeflag: tar.TypeReg, Mode: 0o644}, nil)
	third.add(tar.Header{Name: "opt/", Typeflag: tar.TypeDir, Mode: 0o755}, nil)
	third.add(tar.Header{Name: "opt/.wh..wh..opq", Typeflag: tar.TypeReg, Mode: 0o644}, nil)
	third.add(tar.Header{Name: "opt/b", Typeflag: tar.TypeReg, Mode: 0o644}, []byte("b\n"))
	img := configure(t, third.on(t, second.on(t, busybox(t))), v1.Config{User: "web", WorkingDir: "/home", Env: []string{"A=b"},
		Entrypoint: []string{"sh", "-c"}, Cmd: []string{"id -u; pwd; cat mine; touch new && echo wrote; ls /etc/old 2>&1; ls /opt; touch /opt/c 2>&1; echo $A; sleep 600"}})
	ref := push(t, o.Registry, img)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	e, err := containerd.Open(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Purge(context.Background()); leftovers(t, o) })
	i := id.New()
	secret := "s3cr3t-" + string(id.New())
	if _, err := e.Ensure(ctx, i, workload.Want{Image: ref, StorageMiB: 32, Network: workload.Network{Tenant: "t"}, Secrets: map[string]string{"PASS": secret}}); err != nil {
		t.Fatal(err)
	}
	var got []string
	for l, err := range e.Logs(ctx, i, workload.LogQuery{Follow: true}) {
		if err != nil {
			t.Fatal(err)
		}
		if got = append(got, l.Text); l.Text == "b" && len(got) > 6 {
			break
		}
	}
	want := "1000|/home|private|wrote|ls: /etc/old: No such file or directory|b|touch: /opt/c: Permission denied|b"
	if strings.Join(got, "|") != want {
		t.Errorf("log is %q\nwant %q", strings.Join(got, "|"), want)
	}
	var out bytes.Buffer
	if code, err := e.Exec(ctx, i, workload.Exec{Command: []string{"sh", "-c", "id -u; echo $PASS"}, Stdout: &out}); err != nil || code != 0 || out.String() != "1000\n"+secret+"\n" {
		t.Errorf("exec gives %d, %v, %q", code, err, out.String())
	}
	// The secret is on no disk: not in the record, the metadata, the layers or the log.
	if found := run(t, "sh", "-c", "grep -rl "+secret+" "+o.Dir+" || true"); found != "" {
		t.Errorf("the secret is in %s", found)
	}
}
