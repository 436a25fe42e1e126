package containerd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
)

// Names implements workload.Engine.
func (e *Engine) Names(_ context.Context, tenant string, names map[string]netip.Addr) error {
	for name := range names {
		if strings.ContainsAny(name, " \n\t") {
			return fail.Field("names", "%q is not a host name", name)
		}
	}
	e.mu.Lock()
	old, known := e.names[tenant]
	e.names[tenant] = maps.Clone(names)
	var of []*instance
	for _, in := range e.instances {
		of = append(of, in)
	}
	e.mu.Unlock()
	if known && maps.Equal(old, names) {
		return nil
	}
	var errs []error
	for _, in := range of {
		if rec, t, _, ok := in.snapshot(); ok && t != nil && rec.Want.Network.Tenant == tenant {
			errs = append(errs, e.renew(in.id, &rec))
		}
	}
	return errors.Join(errs...)
}

// renew writes the hosts file of a running instance. It is mounted there, so it stays the same file; a reader may see old
// lines behind the new ones, never none.
func (e *Engine) renew(i id.ID, rec *record) error {
	f, err := os.OpenFile(e.paths.file(i, "hosts"), os.O_WRONLY, 0)
	if errors.Is(err, fs.ErrNotExist) { // it is being removed
		return nil
	}
	if err != nil {
		return err
	}
	text := []byte(e.hostsText(i, rec))
	_, err = f.WriteAt(text, 0)
	if err == nil {
		err = f.Truncate(int64(len(text)))
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write /etc/hosts of instance %s: %w", i, err)
	}
	return nil
}

// hostsText is the content of an instance's /etc/hosts.
func (e *Engine) hostsText(i id.ID, rec *record) string {
	e.mu.Lock()
	names := maps.Clone(e.names[rec.Want.Network.Tenant])
	e.mu.Unlock()
	if names == nil {
		names = map[string]netip.Addr{}
	}
	maps.Copy(names, rec.Want.Network.HostAliases)
	var b strings.Builder
	fmt.Fprintf(&b, "127.0.0.1\tlocalhost\n%s\t%s\n", rec.Address, hostname(i, rec.Want))
	for _, name := range slices.Sorted(maps.Keys(names)) {
		fmt.Fprintf(&b, "%s\t%s\n", names[name], name)
	}
	return b.String()
}

// Whose implements workload.Engine.
func (e *Engine) Whose(addr netip.Addr) (instance id.ID, tenant string, ok bool) {
	e.mu.Lock()
	in := e.instances[e.used[addr]] // a guest has an address and is no instance
	e.mu.Unlock()
	if in == nil {
		return "", "", false
	}
	rec, _, _, known := in.snapshot()
	return in.id, rec.Want.Network.Tenant, known
}
