package picture_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/awancloud/awan/catalog"
	"github.com/awancloud/awan/internal/engine/base/picture"
)

// TestParser holds the seed program's YAML against what people write in cloud-config.
func TestParser(t *testing.T) {
	perl, err := exec.LookPath("perl")
	if err != nil {
		t.Skip("this needs perl")
	}
	text, err := catalog.Files().Open("machines/debian-small/root/usr/lib/awan/seed")
	if err != nil {
		t.Fatal(err)
	}
	program, err := io.ReadAll(text)
	if err != nil {
		t.Fatal(err)
	}
	seed := filepath.Join(t.TempDir(), "seed")
	if err := os.WriteFile(seed, program, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ in, want string }{
		{"a: 1\nb: two words # a comment\nc:\n", `{"a":"1","b":"two words","c":null}`},
		{"#cloud-config\nusers:\n  - default\n  - name: ann\n    sudo: ALL=(ALL) NOPASSWD:ALL\n    groups: [sudo, \"adm\"]\n", `{"users":["default",{"groups":["sudo","adm"],"name":"ann","sudo":"ALL=(ALL) NOPASSWD:ALL"}]}`},
		{"runcmd:\n- [ls, -l, '/a b']\n- echo hi > /tmp/x\n- |\n  if a; then\n    b\n  fi\n", `{"runcmd":[["ls","-l","/a b"],"echo hi > /tmp/x","if a; then\n  b\nfi\n"]}`},
		{"write_files:\n- path: /etc/x\n  content: |\n    k: v\n\n    # kept\n  permissions: '0644'\n- path: /etc/y\n  content: >-\n    one\n    line\n", `{"write_files":[{"content":"k: v\n\n# kept\n","path":"/etc/x","permissions":"0644"},{"content":"one line","path":"/etc/y"}]}`},
		{"{\n  \"a\": [\"x\", {\"b\": \"c\\nd\"}],\n  \"e\": {}\n}\n", `{"a":["x",{"b":"c\nd"}],"e":{}}`},
		{"version: 2\nethernets:\n  eth0:\n    match: {macaddress: \"fa:16:3e:00:00:01\"}\n    set-name: eth0\n    dhcp4: true\n    dhcp4-overrides: {use-routes: false, use-dns: false}\n", `{"ethernets":{"eth0":{"dhcp4":"true","dhcp4-overrides":{"use-dns":"false","use-routes":"false"},"match":{"macaddress":"fa:16:3e:00:00:01"},"set-name":"eth0"}},"version":"2"}`},
		{"url: http://host:80/path\nkey: 'it''s'\nlong: some\n  more\n", `{"key":"it's","long":"some more","url":"http://host:80/path"}`},
		{"- a: 1\n  b: 2\n-\n  c: 3\n- - x\n  - y\n", `[{"a":"1","b":"2"},{"c":"3"},["x","y"]]`},
		{"a:\n  b:\n    - c\nd: ~\n", `{"a":{"b":["c"]},"d":null}`},
	} {
		cmd := exec.Command(perl, seed, "--parse")
		cmd.Stdin = strings.NewReader(c.in)
		out, err := cmd.CombinedOutput()
		got := strings.ReplaceAll(strings.TrimSpace(string(out)), `\n`, "\n")
		if want := strings.ReplaceAll(c.want, `\n`, "\n"); err != nil || got != want {
			t.Errorf("of %q it reads\n%s\nnot\n%s (%v)", c.in, got, want, err)
		}
	}
}

// TestRecipes reads the catalogue.
func TestRecipes(t *testing.T) {
	m, err := picture.New(picture.Options{Dir: t.TempDir(), Catalog: catalog.Files()})
	if err != nil || len(m.Recipes()) == 0 {
		t.Fatalf("recipes: %v (%v)", m.Recipes(), err)
	}
	if _, err := m.Make(t.Context(), "plan9", func(string) {}); err == nil {
		t.Fatal("an unknown recipe was made")
	}
}

// TestBoot makes the images for real, boots each without KVM, and logs in with a key that its seed names. AWAN_BASES keeps
// images between runs.
func TestBoot(t *testing.T) {
	dir := os.Getenv("AWAN_BASES")
	if os.Getenv("AWAN_LONG") == "" {
		t.Skip("making and booting images takes minutes: AWAN_LONG=1 runs it; AWAN_BASES names a folder that keeps them")
	}
	if os.Geteuid() != 0 {
		t.Skip("making images needs root")
	}
	if dir == "" {
		dir = t.TempDir()
	}
	m, err := picture.New(picture.Options{Dir: filepath.Join(dir, "machines"), Catalog: catalog.Files()})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range m.Recipes() {
		if only := os.Getenv("AWAN_RECIPE"); only != "" && only != name {
			continue
		}
		t.Run(name, func(t *testing.T) { boots(t, m, name) })
	}
}

func boots(t *testing.T, m *picture.Maker, name string) {
	began := time.Now()
	r, err := m.Make(t.Context(), name, func(s string) { t.Logf("%5.1f s  %s", time.Since(began).Seconds(), s) })
	if err != nil {
		t.Fatal(err)
	}
	image, ok := r.(*os.File)
	if !ok {
		t.Fatalf("it is a %T", r)
	}
	defer image.Close()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	seed := t.TempDir()
	for file, text := range map[string]string{"meta-data": "instance-id: i-1\nlocal-hostname: web\n",
		"user-data": "#cloud-config\nssh_authorized_keys:\n  - " + strings.TrimSpace(string(ssh.MarshalAuthorizedKey(signer.PublicKey()))) +
			"\nwrite_files:\n- path: /etc/motto\n  content: |\n    small is quick\nruncmd:\n- [sh, -c, 'echo ran > /run/ran']\n"} {
		if err := os.WriteFile(filepath.Join(seed, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	_ = l.Close()
	console := filepath.Join(t.TempDir(), "console")
	grown := filepath.Join(t.TempDir(), "disk.qcow2")
	if out, err := exec.Command("qemu-img", "create", "-q", "-f", "qcow2", "-b", image.Name(), "-F", "qcow2", grown, "5G").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 9*time.Minute)
	defer cancel()
	began = time.Now()
	cmd := exec.CommandContext(ctx, "qemu-system-x86_64", "-M", "pc", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "512", "-display", "none", "-monitor", "none",
		"-nic", "user,model=virtio-net-pci,hostfwd=tcp:"+addr+"-:22", "-drive", "file="+grown+",if=virtio", "-drive", "driver=vvfat,dir="+seed+",label=cidata,if=virtio,read-only=on",
		"-serial", "file:"+console)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { cancel(); _ = cmd.Wait() }()
	log := func() string { b, _ := os.ReadFile(console); return string(b) }
	var prompt, in time.Duration
	config := &ssh.ClientConfig{User: "debian", Auth: []ssh.AuthMethod{ssh.PublicKeys(signer)}, HostKeyCallback: ssh.InsecureIgnoreHostKey(), Timeout: 10 * time.Second}
	var client *ssh.Client
	for client == nil {
		if prompt == 0 && strings.Contains(log(), "web login:") {
			prompt = time.Since(began)
		}
		if client, err = ssh.Dial("tcp", addr, config); err != nil {
			client = nil
			select {
			case <-ctx.Done():
				t.Fatalf("nobody can log in (%v). Its console says:\n%s", err, log())
			case <-time.After(300 * time.Millisecond):
			}
		}
	}
	defer client.Close()
	in = time.Since(began)
	say := func(command string) string {
		s, err := client.NewSession()
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		out, err := s.CombinedOutput(command) // one buffer for both streams loses what one of them writes
		if err != nil {
			t.Errorf("%s: %v: %s", command, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	t.Logf("%s: log-in prompt after %.1f s, logged in by ssh after %.1f s", name, prompt.Seconds(), in.Seconds())
	for command, want := range map[string]string{"hostname": "web", "cat /etc/motto": "small is quick", "sudo -n id -u": "0",
		"for i in $(seq 300); do [ -e /run/ran ] && break; sleep 0.2; done; cat /run/ran": "ran"} {
		if got := say(command); got != want {
			t.Errorf("%s: %q, not %q", command, got, want)
		}
	}
	var size int
	if _, err := fmt.Sscan(say("df --output=size -BM / | tail -1 | tr -d M"), &size); err != nil || size < 4500 {
		t.Errorf("the file system did not grow with its disk: %d MiB", size)
	}
	_ = say("sync; (sleep 0.2; sudo poweroff) >/dev/null 2>&1 &")
	if err := cmd.Wait(); err != nil && ctx.Err() == nil {
		t.Errorf("it did not power off: %v", err)
	}
}
