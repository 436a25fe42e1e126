package containerd

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/awancloud/awan/internal/engine/workload/containerd/network"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/workload"
)

// record is what the engine keeps about an instance on disk. Secrets are not in it: whoever calls Ensure brings them.
type record struct {
	Want     workload.Want  `json:"want"`
	Hash     string         `json:"hash"`
	Slot     uint32         `json:"slot"` // of the tenant: its network and its user ids
	Address  netip.Addr     `json:"address"`
	Started  time.Time      `json:"started,omitzero"` // of the newest start; zero: never
	Restarts int            `json:"restarts,omitempty"`
	Stopping bool           `json:"stopping,omitempty"` // Stop was asked for, so the coming exit is no failure
	Exit     *workload.Exit `json:"exit,omitempty"`
}

// running tells whether the newest start has no exit yet.
func (r *record) running() bool {
	return !r.Started.IsZero() && (r.Exit == nil || r.Exit.At.Before(r.Started))
}

func (r *record) port() network.Port {
	return network.Port{Address: r.Address, Tenant: r.Slot, Egress: r.Want.Network.Egress == workload.EgressInternet}
}

// instance is a record with what is alive of it. op orders Ensure, Stop and Destroy; mu guards the fields.
type instance struct {
	id id.ID
	op chan struct{}

	mu   sync.Mutex
	rec  *record       // nil: nothing on disk
	task *task         // nil: no shim
	done chan struct{} // closed when task's exit has been recorded
	oom  int64         // kills counted and told so far
	gone bool          // destroyed: callers that waited must look it up again
}

func (in *instance) snapshot() (record, *task, chan struct{}, bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.rec == nil {
		return record{}, nil, nil, false
	}
	return *in.rec, in.task, in.done, true
}

// hangUp closes the connection to the shim, which goes on.
func (in *instance) hangUp() {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.task != nil {
		in.task.close()
	}
}

// acquire gives the instance with its op lock held; with create, one that does not exist yet is made (in memory only).
// It returns nil when there is none.
func (e *Engine) acquire(ctx context.Context, i id.ID, create bool) (*instance, error) {
	for {
		e.mu.Lock()
		in := e.instances[i]
		if in == nil && create {
			in = &instance{id: i, op: make(chan struct{}, 1)}
			e.instances[i] = in
		}
		e.mu.Unlock()
		if in == nil {
			return nil, nil
		}
		select {
		case in.op <- struct{}{}:
		case <-ctx.Done():
			return nil, fail.Wrap(ctx.Err(), fail.Timeout, "the instance is busy")
		}
		in.mu.Lock()
		gone := in.gone
		in.mu.Unlock()
		if !gone {
			return in, nil
		}
		<-in.op
	}
}

func (e *Engine) release(in *instance) {
	in.mu.Lock()
	empty := in.rec == nil
	in.gone = in.gone || empty
	in.mu.Unlock()
	if empty {
		e.mu.Lock()
		if e.instances[in.id] == in {
			delete(e.instances, in.id)
		}
		e.mu.Unlock()
	}
	<-in.op
}

// change alters the record in memory and on disk.
func (e *Engine) change(in *instance, alter func(*record)) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.rec == nil {
		in.rec = &record{}
	}
	next := *in.rec
	alter(&next)
	if err := writeJSON(e.recordFile(in.id), &next); err != nil {
		return fail.Wrap(err, fail.NoSpace, "the instance's record cannot be written")
	}
	in.rec = &next
	return nil
}

func (e *Engine) recordFile(i id.ID) string {
	return filepath.Join(e.paths.records(), string(i)+".json")
}

func (e *Engine) loadRecords() error {
	entries, err := os.ReadDir(e.paths.records())
	if err != nil {
		return err
	}
	for _, f := range entries {
		name, ok := strings.CutSuffix(f.Name(), ".json")
		i, good := id.Parse(name)
		if !ok || !good || strings.HasPrefix(name, ".") {
			continue
		}
		rec := &record{}
		if err := readJSON(filepath.Join(e.paths.records(), f.Name()), rec); err != nil {
			return fmt.Errorf("read the record of instance %s: %w", i, err)
		}
		e.instances[i] = &instance{id: i, op: make(chan struct{}, 1), rec: rec}
		if rec.Address.IsValid() {
			e.used[rec.Address] = i
		}
	}
	if err := readJSON(e.hostsFile(), &e.hosts); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// ports lists the ports of all records: the packet rules are made from them.
func (e *Engine) ports() []network.Port {
	var out []network.Port
	for _, in := range e.instances {
		if in.rec.Address.IsValid() {
			out = append(out, in.rec.port())
		}
	}
	return out
}

// address takes a free address of the subnet. It goes on from the last one given out, so that an address that was just
// freed is not somebody else's at once.
func (e *Engine) address(i id.ID) (netip.Addr, error) {
	const first, last = 16, 1<<16 - 2
	e.mu.Lock()
	defer e.mu.Unlock()
	base := e.o.Subnet.Masked().Addr().As4()
	for range last {
		if e.hosts.Next > last {
			e.hosts.Next, e.hosts.Again = 0, true
		}
		h := max(first, e.hosts.Next)
		e.hosts.Next = h + 1
		a := netip.AddrFrom4([4]byte{base[0], base[1], byte(h >> 8), byte(h)})
		if _, taken := e.used[a]; taken {
			continue
		}
		if e.hosts.Again {
			e.forgetConnections(a)
		}
		e.used[a] = i
		return a, writeJSON(e.hostsFile(), e.hosts)
	}
	return netip.Addr{}, fail.New(fail.NoSpace, "all %d addresses of this machine are in use", last-first).Then("remove instances that are not needed")
}

// hosts remembers which address comes next, and whether all have been given out once.
type hosts struct {
	Next  uint32
	Again bool
}

func (e *Engine) hostsFile() string { return filepath.Join(e.paths.dir, "next-address.json") }

// forgetConnections is for an address that changes hands.
func (e *Engine) forgetConnections(a netip.Addr) {
	if err := e.net.Forget(a); err != nil {
		e.log.Warn("forget the connections of an address", "address", a, "err", err)
	}
}

// tenants gives every tenant a small number, from which its user ids and its network come.
type tenants struct {
	mu   sync.Mutex
	path string
	base uint32
	Slot map[string]uint32
}

const (
	idsPerTenant = 1 << 16
	firstID      = 0x20000000 // far above what a host gives to people and services
	slotsPerKey  = 1024
)

func loadTenants(path, key string) (*tenants, error) {
	h := fnv.New32a()
	_, _ = h.Write([]byte(key))
	t := &tenants{path: path, base: firstID + h.Sum32()%40*slotsPerKey*idsPerTenant, Slot: map[string]uint32{}}
	if err := readJSON(path, &t.Slot); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("read the list of tenants: %w", err)
	}
	return t, nil
}

func (t *tenants) slot(tenant string) (uint32, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s, ok := t.Slot[tenant]; ok {
		return s, nil
	}
	s := uint32(len(t.Slot)) + 1
	t.Slot[tenant] = s
	if err := writeJSON(t.path, t.Slot); err != nil {
		delete(t.Slot, tenant)
		return 0, err
	}
	return s, nil
}

// ids is the first of the tenant's user and group ids on the host.
func (t *tenants) ids(slot uint32) uint32 { return t.base + slot%slotsPerKey*idsPerTenant }
