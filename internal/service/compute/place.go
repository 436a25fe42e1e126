package compute

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
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

const loadKey = "compute/load"

func readLoad(tx store.Tx) (l load, err error) {
	b, ok, err := tx.Get(loadKey)
	if err == nil && ok {
		err = json.Unmarshal(b, &l)
	}
	return l, err
}

// takes is what a server takes of its machine: nothing while it is switched off.
func takes(row *serverRow) load {
	if row == nil || row.Spec.Stopped {
		return load{}
	}
	return load{row.Spec.CPUs, row.Spec.Memory}
}

// account keeps the load right; it runs in the transaction of every change of a server.
func (s *Service) account(_ context.Context, tx store.Tx, old, row *serverRow) error {
	was, is := takes(old), takes(row)
	if was == is {
		return nil
	}
	l, err := readLoad(tx)
	if err != nil {
		return err
	}
	l.CPUs, l.Memory = max(0, l.CPUs+is.CPUs-was.CPUs), max(0, l.Memory+is.Memory-was.Memory)
	b, err := json.Marshal(l)
	if err != nil {
		return err
	}
	return tx.Put(loadKey, b)
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
	used, err := readLoad(tx)
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
