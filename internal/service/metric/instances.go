package metric

import (
	"context"
	"strconv"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/awancloud/awan/internal/kernel/id"
)

// instances tells what the instances of apps use, as it was at the newest measurement.
type instances struct{ s *Service }

var (
	instanceLabels  = []string{"project", "component", "instance", "release", "lane"}
	componentLabels = []string{"project", "component"}
)

func instanceDesc(name, help string) *prometheus.Desc {
	return prometheus.NewDesc("awan_instance_"+name, help, instanceLabels, nil)
}

func componentDesc(name, help string, more ...string) *prometheus.Desc {
	return prometheus.NewDesc("awan_component_"+name, help, append(componentLabels[:2:2], more...), nil)
}

var (
	cpuDesc         = instanceDesc("cpu_seconds_total", "CPU time used since the instance started.")
	cpuLimitDesc    = instanceDesc("cpu_limit_cores", "CPU limit.")
	memoryDesc      = instanceDesc("memory_bytes", "Memory in use: the working set.")
	memoryLimitDesc = instanceDesc("memory_limit_bytes", "Memory limit.")
	storageDesc     = instanceDesc("storage_bytes", "Bytes in the writable layer.")
	pidsDesc        = instanceDesc("pids", "Processes and threads.")
	rxDesc          = instanceDesc("network_receive_bytes_total", "Bytes received.")
	txDesc          = instanceDesc("network_transmit_bytes_total", "Bytes sent.")
	restartsDesc    = instanceDesc("restarts_total", "How often it was started again.")
	readyDesc       = instanceDesc("ready", "1 when it takes requests.")
	replicasDesc    = componentDesc("replicas", "Instances that should run.")
	readyCountDesc  = componentDesc("ready", "Instances that take requests.")
	infoDesc        = componentDesc("info", "What a component belongs to; always 1.", "component_id", "application", "environment")
)

// Describe is for prometheus.Collector.
func (c *instances) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{cpuDesc, cpuLimitDesc, memoryDesc, memoryLimitDesc, storageDesc, pidsDesc, rxDesc, txDesc, restartsDesc,
		readyDesc, replicasDesc, readyCountDesc, infoDesc} {
		ch <- d
	}
}

// Collect is for prometheus.Collector.
func (c *instances) Collect(ch chan<- prometheus.Metric) {
	c.s.mu.Lock()
	components, usage := c.s.components, c.s.usage
	c.s.mu.Unlock()
	gauge := func(d *prometheus.Desc, v float64, labels []string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	counter := func(d *prometheus.Desc, v float64, labels []string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, labels...)
	}
	for _, x := range components {
		of, ready := []string{string(x.Project), x.Name}, 0
		for _, in := range x.Instances {
			labels := append(of[:2:2], string(in.ID), strconv.Itoa(in.Release), in.Lane)
			up := 0.0
			if in.Ready {
				up, ready = 1, ready+1
			}
			gauge(readyDesc, up, labels)
			counter(restartsDesc, float64(in.Restarts), labels)
			u, ok := usage[string(in.ID)]
			if !ok {
				continue
			}
			counter(cpuDesc, u.CPU.Seconds(), labels)
			gauge(cpuLimitDesc, float64(x.MilliCPU)/1000, labels)
			gauge(memoryDesc, float64(u.MemoryBytes), labels)
			gauge(memoryLimitDesc, float64(x.MemoryMiB<<20), labels)
			if u.StorageBytes >= 0 {
				gauge(storageDesc, float64(u.StorageBytes), labels)
			}
			gauge(pidsDesc, float64(u.Pids), labels)
			counter(rxDesc, float64(u.RxBytes), labels)
			counter(txDesc, float64(u.TxBytes), labels)
		}
		gauge(replicasDesc, float64(x.Replicas), of)
		gauge(readyCountDesc, float64(ready), of)
		gauge(infoDesc, 1, append(of[:2:2], string(x.ID), x.Application, x.Environment))
	}
}

// look reads from the source what runs and what it uses.
func (s *Service) look(ctx context.Context) error {
	if s.Source == nil {
		return nil
	}
	components, err := s.Source.Components(ctx)
	if err != nil {
		return err
	}
	usage := map[string]Usage{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	slots := make(chan struct{}, 8)
	for _, c := range components {
		for _, in := range c.Instances {
			slots <- struct{}{}
			wg.Go(func() {
				defer func() { <-slots }()
				if u, ok := s.Source.Usage(ctx, in.ID); ok {
					mu.Lock()
					usage[string(in.ID)] = u
					mu.Unlock()
				}
			})
		}
	}
	wg.Wait()
	s.mu.Lock()
	s.components, s.usage = components, usage
	s.mu.Unlock()
	return nil
}

// known gives the components and instances of the newest measurement.
func (s *Service) known() (map[id.ID]Component, map[id.ID]bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	of, runs := make(map[id.ID]Component, len(s.components)), map[id.ID]bool{}
	for _, c := range s.components {
		of[c.ID] = c
		for _, in := range c.Instances {
			runs[in.ID] = true
		}
	}
	return of, runs
}
