package cli

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/awancloud/awan/internal/cli/client"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kind"
)

// metricsCmd shows what was measured of an app, for people.
func (s *session) metricsCmd() *cobra.Command {
	var output string
	var window time.Duration
	cmd := &cobra.Command{Use: "metrics APP|SERVER", Aliases: []string{"top"}, Short: "requests, latency, errors, CPU and memory of an app; or what a server uses",
		Long: "Show what was measured of an app over the last minute, or another time: of all its instances together, then of each.\n" +
			"A name that no app has may be a server's: then its processors, memory, disks and network.\n" +
			"For pictures and alarms see awan alarm --help, and the Prometheus API at …/metrics/projects/PROJECT.",
		Example: examples("awan metrics guestbook", "awan metrics guestbook --window 1h", "awan metrics web", "awan metrics guestbook -o json"),
		Args:    cobra.ExactArgs(1), ValidArgsFunction: s.names(s.component(), 1)}
	outputFlag(cmd, &output)
	cmd.Flags().DurationVar(&window, "window", time.Minute, "the `TIME` that rates and percentiles are over, 30s to 24h")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		k := s.component()
		if err := needs(k, "component"); err != nil {
			return err
		}
		c, err := s.client()
		if err != nil {
			return err
		}
		ask := func(k *kind.Desc, show func([]byte) error) error {
			q := client.Request{Method: "POST", Path: s.collection(c, k) + "/" + url.PathEscape(args[0]) + "/actions/metrics", In: map[string]any{"window": window.String()}}
			return c.Lines(cmd.Context(), q, func(line []byte) error {
				if output != "table" {
					return s.document(output, line)
				}
				return show(line)
			})
		}
		err = ask(k, s.measured)
		if server := s.serverKind(); server != nil && fail.Is(err, fail.NotFound) {
			if of := ask(server, s.measuredServer); !fail.Is(of, fail.NotFound) {
				return of
			}
		}
		return err
	}
	return cmd
}

// measured prints the table of a summary.
func (s *session) measured(doc []byte) error {
	var in struct {
		Items []struct {
			Instance    string  `json:"instance"`
			Release     int     `json:"release"`
			Lane        string  `json:"lane"`
			Requests    float64 `json:"requests_per_second"`
			Errors      float64 `json:"errors_percent"`
			P50         float64 `json:"latency_p50_ms"`
			P95         float64 `json:"latency_p95_ms"`
			P99         float64 `json:"latency_p99_ms"`
			CPU         float64 `json:"cpu_percent"`
			Memory      float64 `json:"memory_percent"`
			MemoryBytes float64 `json:"memory_bytes"`
			Restarts    float64 `json:"restarts"`
		} `json:"items"`
	}
	if err := json.Unmarshal(doc, &in); err != nil {
		return fail.Wrap(err, fail.Internal, "the answer cannot be read")
	}
	var rows [][]string
	for _, l := range in.Items {
		name, release := "all", ""
		if l.Instance != "" {
			name, release = l.Instance[max(0, len(l.Instance)-6):], strconv.Itoa(l.Release)
			if l.Lane != "" {
				release += " " + l.Lane
			}
		}
		f := func(v float64, unit string) string { return fmt.Sprintf("%.3g%s", v, unit) }
		percent := func(v float64) string { return strconv.FormatFloat(v, 'f', 1, 64) + "%" }
		rows = append(rows, []string{name, release, f(l.Requests, "/s"), percent(l.Errors), f(l.P50, "ms"), f(l.P95, "ms"), f(l.P99, "ms"),
			percent(l.CPU), bytesOf(int64(l.MemoryBytes)), percent(l.Memory), strconv.FormatFloat(l.Restarts, 'f', 0, 64)})
	}
	return s.table([]string{"INSTANCE", "RELEASE", "REQUESTS", "ERRORS", "P50", "P95", "P99", "CPU", "MEMORY", "OF LIMIT", "RESTARTS"}, rows)
}

// measuredServer prints what a server uses.
func (s *session) measuredServer(doc []byte) error {
	var in struct {
		Item map[string]float64 `json:"item"`
	}
	if err := json.Unmarshal(doc, &in); err != nil {
		return fail.Wrap(err, fail.Internal, "the answer cannot be read")
	}
	f := func(name, unit string) string {
		v, ok := in.Item[name]
		if !ok {
			return "–"
		}
		return fmt.Sprintf("%.3g%s", v, unit)
	}
	return s.table([]string{"CPU", "MEMORY", "READ", "WRITTEN", "READS", "WRITES", "NETWORK IN", "NETWORK OUT"},
		[][]string{{f("cpu", "%"), f("memory", " MiB"), f("disk-read", " MiB/s"), f("disk-written", " MiB/s"), f("disk-reads", "/s"), f("disk-writes", "/s"),
			f("network-in", " Mbit/s"), f("network-out", " Mbit/s")}})
}
