package metric

import (
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/awancloud/awan/internal/kernel/id"
)

// Traffic counts the requests of apps. Observe is called for each of them, so it takes no lock that two requests share.
type Traffic struct {
	s      *Service
	series sync.Map   // trafficKey -> *traffic
	mu     sync.Mutex // guards gone: several may collect at once
	gone   map[trafficKey]time.Time
}

// trafficKey tells what is counted apart.
type trafficKey struct {
	component, instance id.ID
	release             int
	lane                string
}

// bounds are the upper bounds of the latency histogram, in seconds.
var bounds = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}

type traffic struct {
	buckets [14]atomic.Uint64 // one for each bound, and one for what is beyond
	nanos   atomic.Int64
	bytes   atomic.Int64
	codes   sync.Map // codeKey -> *atomic.Uint64
}

type codeKey struct {
	method string
	status int
}

// keepGone is how long the series of an instance that is gone are still told, so that its last requests are not lost.
const keepGone = time.Minute

func newTraffic(s *Service) *Traffic { return &Traffic{s: s, gone: map[trafficKey]time.Time{}} }

var methods = map[string]string{"GET": "GET", "HEAD": "HEAD", "POST": "POST", "PUT": "PUT", "PATCH": "PATCH", "DELETE": "DELETE", "OPTIONS": "OPTIONS"}

// Observe counts one answered request.
func (t *Traffic) Observe(o Observation) {
	k := trafficKey{o.Component, o.Instance, o.Release, o.Lane}
	v, ok := t.series.Load(k)
	if !ok {
		v, _ = t.series.LoadOrStore(k, new(traffic))
	}
	x := v.(*traffic)
	i, seconds := 0, o.Duration.Seconds()
	for i < len(bounds) && seconds > bounds[i] {
		i++
	}
	x.buckets[i].Add(1)
	x.nanos.Add(int64(o.Duration))
	x.bytes.Add(o.Bytes)
	method := methods[o.Method]
	if method == "" {
		method = "other" // what clients make up must not make series
	}
	if o.Status < 100 || o.Status > 599 {
		o.Status = 0
	}
	c, ok := x.codes.Load(codeKey{method, o.Status})
	if !ok {
		c, _ = x.codes.LoadOrStore(codeKey{method, o.Status}, new(atomic.Uint64))
	}
	c.(*atomic.Uint64).Add(1)
}

var (
	trafficLabels = []string{"project", "component", "instance", "release", "lane"}
	requestsDesc  = prometheus.NewDesc("awan_http_requests_total", "Requests that the ingress answered for an app.", append(trafficLabels, "method", "code"), nil)
	durationDesc  = prometheus.NewDesc("awan_http_request_duration_seconds", "Time from a request's arrival to the end of its answer.", trafficLabels, nil)
	bytesDesc     = prometheus.NewDesc("awan_http_response_bytes_total", "Bytes of answers' bodies.", trafficLabels, nil)
)

// Describe is for prometheus.Collector.
func (t *Traffic) Describe(ch chan<- *prometheus.Desc) {
	ch <- requestsDesc
	ch <- durationDesc
	ch <- bytesDesc
}

// Collect tells the counts, and forgets those of instances that are gone.
func (t *Traffic) Collect(ch chan<- prometheus.Metric) {
	of, runs := t.s.known()
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.series.Range(func(k, v any) bool {
		key, x := k.(trafficKey), v.(*traffic)
		c, there := of[key.component]
		if !there || key.instance != "" && !runs[key.instance] {
			since, noted := t.gone[key]
			if !noted {
				t.gone[key] = now
			} else if now.Sub(since) > keepGone {
				t.series.Delete(key)
				delete(t.gone, key)
				return true
			}
		} else {
			delete(t.gone, key)
		}
		if !there {
			return true
		}
		release := ""
		if key.release != 0 {
			release = strconv.Itoa(key.release)
		}
		labels := []string{string(c.Project), c.Name, string(key.instance), release, key.lane}
		x.tell(ch, labels)
		return true
	})
}

func (x *traffic) tell(ch chan<- prometheus.Metric, labels []string) {
	var count uint64
	buckets := make(map[float64]uint64, len(bounds))
	for i, b := range bounds {
		count += x.buckets[i].Load()
		buckets[b] = count
	}
	count += x.buckets[len(bounds)].Load()
	ch <- prometheus.MustNewConstHistogram(durationDesc, count, float64(x.nanos.Load())/1e9, buckets, labels...)
	ch <- prometheus.MustNewConstMetric(bytesDesc, prometheus.CounterValue, float64(x.bytes.Load()), labels...)
	x.codes.Range(func(k, v any) bool {
		c := k.(codeKey)
		ch <- prometheus.MustNewConstMetric(requestsDesc, prometheus.CounterValue, float64(v.(*atomic.Uint64).Load()),
			append(labels[:len(labels):len(labels)], c.method, strconv.Itoa(c.status))...)
		return true
	})
}
