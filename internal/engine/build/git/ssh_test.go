package git

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/build"
)

// sshHost is an OpenSSH server of the test's own that lets one key in.
type sshHost struct {
	address, knownHosts, key string
}

func openSSH(t *testing.T) *sshHost {
	t.Helper()
	if os.Getenv("AWAN_LONG") == "" {
		t.Skip("needs an SSH server: AWAN_LONG=1 runs it")
	}
	sshd, err := exec.LookPath("/usr/sbin/sshd")
	if err != nil {
		t.Skip("sshd is not installed (openssh-server)")
	}
	dir := t.TempDir()
	run := func(name string, args ...string) {
		if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v %s", name, err, out)
		}
	}
	for _, k := range []string{"host", "user"} {
		run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", filepath.Join(dir, k))
	}
	read := func(name string) string {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	_ = l.Close()
	_, port, _ := net.SplitHostPort(address)
	config := fmt.Sprintf("ListenAddress 127.0.0.1\nPort %s\nHostKey %s/host\nAuthorizedKeysFile %s/user.pub\nStrictModes no\nUsePAM no\nPasswordAuthentication no\nPermitRootLogin prohibit-password\nPidFile none\n", port, dir, dir)
	if err := os.WriteFile(filepath.Join(dir, "config"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	c := exec.Command(sshd, "-D", "-e", "-f", filepath.Join(dir, "config"))
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait() })
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if conn, err := net.Dial("tcp", address); err == nil {
			_ = conn.Close()
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("sshd does not listen")
		}
	}
	return &sshHost{address, "[127.0.0.1]:" + port + " " + strings.Join(strings.Fields(read("host.pub"))[:2], " ") + "\n", read("user")}
}

// TestFetchOverSSH with a deploy key, from a host whose key is known, and from no other.
func TestFetchOverSSH(t *testing.T) {
	p, host := open(t), openSSH(t)
	p.Engine.o.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		if address != host.address {
			return nil, fail.New(fail.Denied, "%s is not public", address)
		}
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}
	from := build.Repository{URL: "ssh://root@" + host.address + p.source(), Ref: "main", Path: "site",
		Credential: &build.Access{PrivateKey: host.key, KnownHosts: host.knownHosts}}
	file := filepath.Join(t.TempDir(), "source.tar")
	c, err := p.Fetch(t.Context(), id.New(), from, file, func(l string) { t.Log(l) })
	if err != nil || !strings.Contains(c.String(), "first words") {
		t.Fatalf("%v %v", c, err)
	}
	if got := names(t, file); got != "index.html" {
		t.Errorf("it holds %s", got)
	}
	stranger := openSSH(t)
	for what, a := range map[string]*build.Access{"another host's key": {PrivateKey: host.key, KnownHosts: stranger.knownHosts},
		"another user's key": {PrivateKey: stranger.key, KnownHosts: host.knownHosts}, "no key": {KnownHosts: host.knownHosts}} {
		from.Credential = a
		if _, err := p.Fetch(t.Context(), id.New(), from, file, func(string) {}); err == nil {
			t.Errorf("%s is let in", what)
		} else {
			t.Logf("%s: %v", what, fail.From(err).Public())
		}
	}
}
