package containerd

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/containerd/containerd/v2/contrib/seccomp"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/workload"
)

// capabilities are what root inside keeps: enough to install files, drop to a user and bind port 80. Compared with
// Docker's set, MKNOD, NET_RAW, AUDIT_WRITE and SETFCAP are missing.
var capabilities = []string{"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID",
	"CAP_SETUID", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT"}

// containerOOMScore makes the kernel take a container before the cloud when the whole machine is out of memory. Raising
// one's own score needs no privilege.
const containerOOMScore = 500

// spec writes the container's OCI description. owner is the host's id for root inside.
func (e *Engine) spec(ctx context.Context, i id.ID, w workload.Want, img *image, root string, owner uint32) (*oci.Spec, error) {
	s, err := oci.GenerateSpec(ctx, nil, &containers.Container{ID: string(i)})
	if err != nil {
		return nil, err
	}
	s.Hostname = hostname(i, w)
	s.Root = &specs.Root{Path: root}
	p := s.Process
	if p.Args = arguments(w, img); len(p.Args) == 0 {
		return nil, fail.Field("command", "is needed: image %s has neither entry point nor command", w.Image)
	}
	p.Cwd = w.Dir
	if p.Cwd == "" {
		p.Cwd = img.config.WorkingDir
	}
	p.Cwd = path.Clean("/" + p.Cwd)
	roots, err := e.roots(w, root)
	if err != nil {
		return nil, err
	}
	p.Env = environment(w, img, s.Hostname, roots)
	if p.User, err = user(root, img.config.User); err != nil {
		return nil, err
	}
	p.NoNewPrivileges = true
	score := containerOOMScore
	p.OOMScoreAdj = &score
	p.Capabilities = &specs.LinuxCapabilities{Bounding: capabilities, Permitted: capabilities, Effective: capabilities}
	p.Rlimits = []specs.POSIXRlimit{limit("RLIMIT_NOFILE", unix.RLIMIT_NOFILE, 65536), limit("RLIMIT_CORE", unix.RLIMIT_CORE, 0)}

	l := s.Linux
	ids := []specs.LinuxIDMapping{{ContainerID: 0, HostID: owner, Size: idsPerTenant}}
	l.UIDMappings, l.GIDMappings = ids, ids
	l.Namespaces = append(l.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace}, specs.LinuxNamespace{Type: specs.CgroupNamespace})
	l.CgroupsPath = path.Join(e.cg.Parent, string(i))
	l.MaskedPaths = append(l.MaskedPaths, "/proc/interrupts", "/proc/kallsyms", "/sys/devices/system/cpu/vulnerabilities", "/sys/kernel")
	l.ReadonlyPaths = append(l.ReadonlyPaths, "/sys/fs/cgroup") // with version 1 a tmpfs that would be writable
	l.Sysctl = map[string]string{
		"net.ipv4.ip_unprivileged_port_start": "0",
		"net.ipv4.ping_group_range":           "0 65535", // ping without NET_RAW
		"net.ipv6.conf.all.disable_ipv6":      "1",
		"net.ipv6.conf.default.disable_ipv6":  "1",
	}
	if _, err := os.Stat("/proc/sys/net/ipv6"); err != nil {
		delete(l.Sysctl, "net.ipv6.conf.all.disable_ipv6")
		delete(l.Sysctl, "net.ipv6.conf.default.disable_ipv6")
	}
	e.resources(l.Resources, w)
	l.Seccomp = seccomp.DefaultProfile(s)
	// Only the machine's own kind of system calls: the 32-bit ones are a second, less watched door, and leaving them out
	// makes the filter a third of the size, which shows at every start.
	l.Seccomp.Architectures = l.Seccomp.Architectures[:min(1, len(l.Seccomp.Architectures))]

	s.Mounts = append(s.Mounts, specs.Mount{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup",
		Options: []string{"ro", "nosuid", "noexec", "nodev"}})
	for _, name := range []string{"hosts", "hostname", "resolv.conf"} {
		s.Mounts = append(s.Mounts, specs.Mount{Destination: "/etc/" + name, Type: "bind", Source: e.paths.file(i, name),
			Options: []string{"rbind", "rprivate", "ro", "nosuid", "noexec", "nodev"}})
	}
	s.Mounts = append(s.Mounts, roots.mounts()...)
	s.Mounts = append(s.Mounts, e.filesMounts(i, w.Files)...)
	return s, nil
}

// resources are the hard limits, as far as the machine has them (see probe). Without a wish about processes there is
// still a limit that keeps the machine alive.
func (e *Engine) resources(r *specs.LinuxResources, w workload.Want) {
	if w.MilliCPU > 0 && e.can("cpu limit") {
		const period = 100_000 // microseconds
		p, q := uint64(period), max(1000, w.MilliCPU*period/1000)
		shares := max(2, uint64(w.MilliCPU)*1024/1000)
		r.CPU = &specs.LinuxCPU{Period: &p, Quota: &q, Shares: &shares}
	}
	if w.MemoryMiB > 0 && e.can("memory limit") {
		m := w.MemoryMiB << 20
		r.Memory = &specs.LinuxMemory{Limit: &m}
		if e.can("swap limit") {
			r.Memory.Swap = &m // Swap is memory plus swap: none
		}
	}
	if !e.can("pids limit") {
		return
	}
	pids := w.Pids
	if pids <= 0 {
		pids = 4096
	}
	r.Pids = &specs.LinuxPids{Limit: pids}
}

// limit lowers a resource limit as far as wanted; what this process itself has not it cannot give (that needs
// CAP_SYS_RESOURCE).
func limit(name string, resource int, want uint64) specs.POSIXRlimit {
	var have unix.Rlimit
	if err := unix.Getrlimit(resource, &have); err == nil {
		want = min(want, have.Max)
	}
	return specs.POSIXRlimit{Type: name, Hard: want, Soft: want}
}

func hostname(i id.ID, w workload.Want) string {
	if w.Hostname != "" {
		return w.Hostname
	}
	return "i-" + string(i[max(0, len(i)-8):])
}

func arguments(w workload.Want, img *image) []string {
	if len(w.Command) > 0 {
		return w.Command
	}
	return append(slices.Clone(img.config.Entrypoint), img.config.Cmd...)
}

// environment is the image's, then ours, then the secrets: the later wins.
func environment(w workload.Want, img *image, host string, trust *trust) []string {
	env := map[string]string{"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOSTNAME": host}
	maps.Copy(env, trust.variables())
	for _, kv := range img.config.Env {
		if k, v, ok := strings.Cut(kv, "="); ok {
			env[k] = v
		}
	}
	maps.Copy(env, w.Env)
	maps.Copy(env, w.Secrets)
	var out []string
	for _, k := range slices.Sorted(maps.Keys(env)) {
		out = append(out, k+"="+env[k])
	}
	return out
}

// user turns an image's USER ("uid", "name", "uid:gid", "name:group") into ids, by the image's own files.
func user(root, name string) (specs.User, error) {
	u := specs.User{}
	if name == "" {
		return u, nil
	}
	who, group, hasGroup := strings.Cut(name, ":")
	fs, err := os.OpenRoot(root) // symbolic links of the image stay inside it
	if err != nil {
		return u, err
	}
	defer fs.Close()
	bad := func(what, value string) error {
		return fail.New(fail.Invalid, "the image asks for %s %q, which its own files do not know", what, value)
	}
	if n, err := strconv.ParseUint(who, 10, 16); err == nil {
		u.UID = uint32(n)
		if f := entry(fs, "etc/passwd", 2, who); f != nil {
			u.GID = id32(f[3])
		}
	} else if f := entry(fs, "etc/passwd", 0, who); f != nil {
		u.UID, u.GID = id32(f[2]), id32(f[3])
	} else {
		return u, bad("user", who)
	}
	if !hasGroup {
		return u, nil
	}
	if n, err := strconv.ParseUint(group, 10, 16); err == nil {
		u.GID = uint32(n)
	} else if f := entry(fs, "etc/group", 0, group); f != nil {
		u.GID = id32(f[2])
	} else {
		return u, bad("group", group)
	}
	return u, nil
}

func id32(s string) uint32 {
	n, _ := strconv.ParseUint(s, 10, 16)
	return uint32(n)
}

// entry finds the line of a passwd-like file whose field at equals value; it has at least four fields.
func entry(fs *os.Root, name string, at int, value string) []string {
	f, err := fs.Open(name)
	if err != nil {
		return nil
	}
	defer f.Close()
	for s := bufio.NewScanner(io.LimitReader(f, 1<<20)); s.Scan(); {
		if fields := strings.Split(s.Text(), ":"); len(fields) >= 4 && fields[at] == value {
			return fields
		}
	}
	return nil
}

// writeFiles makes the files of /etc that are about this instance's network.
func (e *Engine) writeFiles(i id.ID, rec *record) error {
	host := hostname(i, rec.Want)
	resolv := "# no name service: this instance has no egress\n"
	if rec.Want.Network.Egress == workload.EgressInternet {
		resolv = ""
		for _, a := range e.net.Resolvers() {
			resolv += "nameserver " + a.String() + "\n"
		}
		resolv += "options timeout:2 attempts:2\n"
	}
	for name, text := range map[string]string{"hosts": e.hostsText(i, rec), "hostname": host + "\n", "resolv.conf": resolv} {
		if err := os.WriteFile(e.paths.file(i, name), []byte(text), 0o644); err != nil {
			return fmt.Errorf("write /etc/%s: %w", name, err)
		}
	}
	return nil
}
