package cloud

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"
)

// observeBuckets shows operators how the stored bytes are.
func (c *Cloud) observeBuckets() {
	gauge := func(name, help string, value func(ctx context.Context) (float64, error)) {
		c.Metrics.Registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 {
			v, err := value(context.Background())
			if err != nil {
				c.Log.Debug("object storage cannot be observed", "metric", name, "err", err)
			}
			return v
		}))
	}
	gauge("awan_objects_damaged_blobs", "Stored contents that are beyond repair: see the events of their buckets.", func(ctx context.Context) (float64, error) {
		h, err := c.Buckets.Health(ctx)
		return float64(h.Damaged), err
	})
	gauge("awan_objects_scrubbed_blobs", "Stored contents that the running scrub has checked.", func(ctx context.Context) (float64, error) {
		h, err := c.Buckets.Health(ctx)
		return float64(h.Checked), err
	})
}
