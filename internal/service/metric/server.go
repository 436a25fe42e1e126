package metric

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/awancloud/awan/internal/kernel/id"
)

// ServerNames are the measurements of servers that people ask for by name, with their units.
var ServerNames = map[string]string{
	"cpu": "% of its processors", "memory": "MiB of this machine", "disk-read": "MiB per second", "disk-written": "MiB per second",
	"disk-reads": "operations per second", "disk-writes": "operations per second", "network-in": "Mbit per second", "network-out": "Mbit per second",
}

// ServerExpr gives a named measurement of a server as PromQL; "" when the name is unknown.
func ServerExpr(name string, server id.ID, window time.Duration) string {
	of, w := `{server=`+strconv.Quote(string(server))+`}`, fmt.Sprintf("[%ds]", int(window.Seconds()))
	rate := func(of1 string) string { return "sum(rate(awan_server_" + of1 + of + w + "))" }
	switch name {
	case "cpu":
		return "100*" + rate("cpu_seconds_total") + "/sum(awan_server_cpu_limit_cores" + of + ")"
	case "memory":
		return "sum(awan_server_memory_bytes" + of + ")/1048576"
	case "disk-read":
		return rate("disk_read_bytes_total") + "/1048576"
	case "disk-written":
		return rate("disk_written_bytes_total") + "/1048576"
	case "disk-reads":
		return rate("disk_reads_total")
	case "disk-writes":
		return rate("disk_writes_total")
	case "network-in":
		return "8*" + rate("network_receive_bytes_total") + "/1e6"
	case "network-out":
		return "8*" + rate("network_transmit_bytes_total") + "/1e6"
	}
	return ""
}

// Server measures a server over the last window, by the names of ServerNames. What was not measured is left out.
func (v View) Server(ctx context.Context, server id.ID, window time.Duration, at time.Time) (map[string]float64, error) {
	out := map[string]float64{}
	for name := range ServerNames {
		n, ok, err := v.Value(ctx, ServerExpr(name, server, window), at)
		if err != nil {
			return nil, err
		}
		if ok {
			out[name] = n
		}
	}
	return out, nil
}
