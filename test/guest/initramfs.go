package guest

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"debug/elf"
	_ "embed"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

//go:embed init
var initScript []byte

//go:embed agent
var agentScript []byte

//go:embed dhcp
var dhcpScript []byte

// version changes with what the guest is made of.
func version() string {
	h := sha256.New()
	for _, b := range [][]byte{initScript, agentScript, dhcpScript, []byte(strings.Join(modules, " "))} {
		h.Write(b)
		h.Write([]byte{0})
	}
	return hex.EncodeToString(h.Sum(nil))[:12]
}

// initramfs writes the guest's file system: busybox, the modules in the order of their needs, and the scripts.
func initramfs(to string, busybox []byte, root string) error {
	applets, err := exec.Command("/bin/busybox", "--list").Output()
	if err != nil {
		return err
	}
	var a archive
	for _, d := range []string{"bin", "dev", "proc", "sys", "etc", "tmp", "www", "mnt", "modules"} {
		a.add(d, 0o40755, nil)
	}
	a.add("init", 0o100755, initScript)
	a.add("bin/agent", 0o100755, agentScript)
	a.add("bin/dhcp", 0o100755, dhcpScript)
	a.add("www/index.html", 0o100644, []byte("hello from the guest\n"))
	a.add("etc/passwd", 0o100644, []byte("root:x:0:0:root:/:/bin/sh\n"))
	a.add("bin/busybox", 0o100755, busybox)
	for _, name := range strings.Fields(string(applets)) {
		if name != "busybox" {
			a.add("bin/"+name, 0o120777, []byte("busybox"))
		}
	}
	order, err := ordered(root)
	if err != nil {
		return err
	}
	for i, path := range order {
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		a.add(fmt.Sprintf("modules/%02d-%s", i, filepath.Base(path)), 0o100644, b)
	}
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	if _, err := w.Write(a.end()); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	return os.WriteFile(to, z.Bytes(), 0o644)
}

// ordered lists the files of modules, each after those it needs, as its own header says.
func ordered(root string) ([]string, error) {
	var out []string
	var visit func(string) error
	visit = func(name string) error {
		path, err := find(root, name)
		if err != nil || slices.Contains(out, path) {
			return err
		}
		f, err := elf.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		info, err := f.Section(".modinfo").Data()
		if err != nil {
			return err
		}
		for _, line := range strings.Split(string(info), "\x00") {
			needs, ok := strings.CutPrefix(line, "depends=")
			if !ok || needs == "" {
				continue
			}
			for _, n := range strings.Split(needs, ",") {
				if err := visit(n); err != nil {
					return err
				}
			}
		}
		out = append(out, path)
		return nil
	}
	for _, m := range modules {
		if err := visit(m); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// archive is a cpio archive in the kernel's format ("newc", Documentation/driver-api/early-userspace/buffer-format.rst).
type archive struct {
	b     bytes.Buffer
	inode int
}

func (a *archive) add(name string, mode int, body []byte) {
	a.inode++
	fmt.Fprintf(&a.b, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x", a.inode, mode, 0, 0, 1, 0, len(body), 0, 0, 0, 0, len(name)+1, 0)
	a.b.WriteString(name + "\x00")
	a.pad()
	a.b.Write(body)
	a.pad()
}

func (a *archive) pad() {
	for a.b.Len()%4 != 0 {
		a.b.WriteByte(0)
	}
}

func (a *archive) end() []byte {
	a.add("TRAILER!!!", 0, nil)
	return a.b.Bytes()
}
