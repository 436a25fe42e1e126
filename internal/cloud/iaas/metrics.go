package iaas

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/compute"
	"github.com/awancloud/awan/internal/service/machine"
)

// Metrics tells what servers use, as their machines' control groups, disks and taps count it.
func (i *IaaS) Metrics() prometheus.Collector { return serverMetrics{i} }

type serverMetrics struct{ *IaaS }

func serverDesc(name, help string) *prometheus.Desc {
	return prometheus.NewDesc("awan_server_"+name, help, []string{"project", "server", "name"}, nil)
}

var (
	serverCPU      = serverDesc("cpu_seconds_total", "CPU time used since the server was started.")
	serverCPUs     = serverDesc("cpu_limit_cores", "Processors that it may use.")
	serverMemory   = serverDesc("memory_bytes", "Memory of this machine that it takes, its emulator's included.")
	serverRead     = serverDesc("disk_read_bytes_total", "Bytes read from its disks since it was started.")
	serverWritten  = serverDesc("disk_written_bytes_total", "Bytes written to its disks since it was started.")
	serverReads    = serverDesc("disk_reads_total", "Reads of its disks since it was started.")
	serverWrites   = serverDesc("disk_writes_total", "Writes to its disks since it was started.")
	serverReceive  = serverDesc("network_receive_bytes_total", "Bytes that came to its network cards.")
	serverTransmit = serverDesc("network_transmit_bytes_total", "Bytes that its network cards sent.")
	serverDropped  = serverDesc("network_dropped_packets_total", "Packets to it or from it that security groups did not let pass.")
)

// Describe is for prometheus.Collector.
func (s serverMetrics) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{serverCPU, serverCPUs, serverMemory, serverRead, serverWritten, serverReads, serverWrites, serverReceive, serverTransmit, serverDropped} {
		ch <- d
	}
}

// serverMeasureTime bounds one look at all servers: machines that do not answer are left out of it.
const serverMeasureTime = 5 * time.Second

// Collect is for prometheus.Collector.
func (s serverMetrics) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), serverMeasureTime)
	defer cancel()
	var rows []*compute.Row
	cores := map[id.ID]float64{}
	err := s.Store.View(ctx, func(tx store.Tx) (err error) {
		rows, err = s.Servers.Server.List(tx, "", kind.Filter{Shared: true, Where: func(r kind.AnyRow) bool {
			return !r.SpecPtr().(*compute.ServerSpec).Stopped
		}})
		for _, r := range rows {
			if err == nil {
				cores[r.ID], err = s.Servers.Cores(tx, r)
			}
		}
		return err
	})
	if err != nil {
		s.Log.Warn("servers cannot be measured", "err", err)
		return
	}
	var wg sync.WaitGroup
	slots := make(chan struct{}, 8)
	for _, r := range rows {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			if seen, err := s.Machine.Observe(ctx, r.ID); err == nil && seen.Phase != machine.PhaseStopped {
				s.tell(ctx, ch, r, seen, cores[r.ID])
			}
		})
	}
	wg.Wait()
}

func (s serverMetrics) tell(ctx context.Context, ch chan<- prometheus.Metric, r *compute.Row, seen machine.Seen, cores float64) {
	of := []string{string(r.Project), string(r.ID), r.Name}
	put := func(d *prometheus.Desc, t prometheus.ValueType, v float64) {
		ch <- prometheus.MustNewConstMetric(d, t, v, of...)
	}
	u := seen.Usage
	put(serverCPU, prometheus.CounterValue, u.CPU.Seconds())
	put(serverCPUs, prometheus.GaugeValue, cores)
	put(serverMemory, prometheus.GaugeValue, float64(u.MemoryBytes))
	put(serverRead, prometheus.CounterValue, float64(u.ReadBytes))
	put(serverWritten, prometheus.CounterValue, float64(u.WriteBytes))
	put(serverReads, prometheus.CounterValue, float64(u.ReadOps))
	put(serverWrites, prometheus.CounterValue, float64(u.WriteOps))
	var in, out, dropped uint64
	for _, n := range r.Status.Cards {
		if p, err := s.Fabric.ObservePort(ctx, n.Port); err == nil {
			in, out, dropped = in+p.Counters.InBytes, out+p.Counters.OutBytes, dropped+p.Counters.Dropped
		}
	}
	put(serverReceive, prometheus.CounterValue, float64(in))
	put(serverTransmit, prometheus.CounterValue, float64(out))
	put(serverDropped, prometheus.CounterValue, float64(dropped))
}
