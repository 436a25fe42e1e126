package metric

import (
	"context"
	"time"

	"github.com/awancloud/awan/internal/kernel/id"
)

// Source tells what runs: what the measurements of instances are made from.
type Source interface {
	Components(ctx context.Context) ([]Component, error)
	// Usage tells what an instance uses now; false when it does not run.
	Usage(ctx context.Context, instance id.ID) (Usage, bool)
}

// Component is an app as it should run and does.
type Component struct {
	ID, Project, Domain id.ID
	Name                string
	Application         string
	Environment         string
	Replicas            int
	MilliCPU, MemoryMiB int64 // limits of one instance
	ScrapePath          string
	ScrapePort          int
	Instances           []Instance
}

// Instance is one running copy.
type Instance struct {
	ID       id.ID
	Release  int
	Lane     string
	Ready    bool
	Address  string
	Restarts int
}

// Usage is what an instance uses; counters are since it started.
type Usage struct {
	CPU          time.Duration
	MemoryBytes  int64
	StorageBytes int64 // -1: not known
	Pids         int64
	RxBytes      int64
	TxBytes      int64
}

// Observation is one answered request.
type Observation struct {
	Component id.ID
	Instance  id.ID // empty: no instance saw it
	Release   int
	Lane      string
	Method    string
	Status    int
	Duration  time.Duration
	Bytes     int64 // of the answer's body
}
