package compute

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/machine"
)

// Overcommit is how much more is promised than there is.
type Overcommit struct {
	CPU    float64 // virtual processors for one real one
	Memory float64 // of the memory there is
}

// DefaultOvercommit promises eight processors for one, for most idle, and memory once: swapping would hurt everybody.
var DefaultOvercommit = Overcommit{CPU: 8, Memory: 1}

// capacity is what the machine has for servers, as it was read last.
type capacity struct {
	mu   sync.Mutex
	last machine.Capacity
	at   time.Time
}

func (c *capacity) read(ctx context.Context, e machine.Engine) error {
	now, err := e.Capacity(ctx)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last, c.at = now, time.Now()
	return nil
}

// load is what running servers take of the machine, kept in the store so that it is decided upon in the transaction.
type load struct {
	CPUs   int   `json:"cpus"`
	Memory int64 `json:"memory"`
}

// Keys: the sum, and what of it each server has.
const (
	loadKey   = "compute/load"
	loadOfKey = "compute/loadof/" // <server>
)

func readLoad(tx store.Tx, key string) (l load, err error) {
	b, ok, err := tx.Get(key)
	if err == nil && ok {
		err = json.Unmarshal(b, &l)
	}
	return l, err
}

func writeLoad(tx store.Tx, key string, l load) error {
	if l == (load{}) {
		return tx.Delete(key)
	}
	b, err := json.Marshal(l)
	if err != nil {
		return err
	}
	return tx.Put(key, b)
}

// takes is what a server takes of its machine: nothing while it is switched off, or when it could not be made.
func takes(row *serverRow) load {
	if row == nil || row.Spec.Stopped || row.State == kind.Failed {
		return load{}
	}
	return load{row.Spec.CPUs, row.Spec.Memory}
}

// changed keeps the sum right; it runs in the transaction of every change of a server.
func (s *Service) changed(_ context.Context, tx store.Tx, old, row *serverRow) error {
	if row == nil {
		return account(tx, old.ID, load{})
	}
	return account(tx, row.ID, takes(row))
}

// account notes what a server takes from now on.
func account(tx store.Tx, server id.ID, is load) error {
	was, err := readLoad(tx, loadOfKey+string(server))
	if err != nil || was == is {
		return err
	}
	sum, err := readLoad(tx, loadKey)
	if err != nil {
		return err
	}
	sum.CPUs, sum.Memory = sum.CPUs+is.CPUs-was.CPUs, sum.Memory+is.Memory-was.Memory
	if err := writeLoad(tx, loadKey, sum); err != nil {
		return err
	}
	return writeLoad(tx, loadOfKey+string(server), is)
}

// place refuses a server that does not fit beside those that run, and says what is missing.
func (s *Service) place(tx store.Tx, old, row *serverRow) error {
	was, is := takes(old), takes(row)
	if is.CPUs <= was.CPUs && is.Memory <= was.Memory {
		return nil
	}
	s.capacity.mu.Lock()
	has := s.capacity.last
	s.capacity.mu.Unlock()
	if has.MemoryMiB == 0 {
		return nil // not known: the engine will say
	}
	used, err := readLoad(tx, loadKey)
	if err != nil {
		return err
	}
	cpus, memory := int(float64(has.CPUs)*s.Overcommit.CPU), int64(float64(has.MemoryMiB)*s.Overcommit.Memory)
	if free := cpus - used.CPUs + was.CPUs; is.CPUs > free {
		return fail.New(fail.NoSpace, "no machine has room for %d virtual processors: %d of %d are free", is.CPUs, max(0, free), cpus).
			Then("choose a smaller flavour or stop other servers; the operator can add room or raise the overcommit of processors")
	}
	if free := memory - used.Memory + was.Memory; is.Memory > free {
		return fail.New(fail.NoSpace, "no machine has room for %d MiB of memory: %d of %d MiB are free", is.Memory, max(0, free), memory).
			Then("choose a smaller flavour or stop other servers; the operator can add room or raise the overcommit of memory")
	}
	return nil
}
