package metric

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/awancloud/awan/internal/kernel/id"
)

// Bounds of what apps tell about themselves. What is beyond is left out, and awan_scrape_ok is 0.
const (
	scrapeTime     = 3 * time.Second
	scrapeBytes    = 2 << 20
	scrapeSamples  = 2000  // of one instance
	projectSamples = 20000 // of one project
)

func scrapeClient() *http.Client {
	return &http.Client{Timeout: scrapeTime, Transport: &http.Transport{Proxy: nil, MaxIdleConnsPerHost: 1, IdleConnTimeout: time.Minute},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

type page struct {
	families map[string]*dto.MetricFamily
	err      error
}

// scrape reads the metrics of the instances whose component says where they are told.
func (s *Service) scrape(ctx context.Context, w *writer) {
	s.mu.Lock()
	components := s.components
	s.mu.Unlock()
	pages := map[id.ID]*page{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	slots := make(chan struct{}, 16)
	for _, c := range components {
		if c.ScrapePath == "" {
			continue
		}
		for _, in := range c.Instances {
			if !in.Ready || in.Address == "" {
				continue
			}
			slots <- struct{}{}
			wg.Go(func() {
				defer func() { <-slots }()
				p := s.read(ctx, "http://"+net.JoinHostPort(in.Address, strconv.Itoa(c.ScrapePort))+c.ScrapePath)
				mu.Lock()
				defer mu.Unlock()
				pages[in.ID] = p
			})
		}
	}
	wg.Wait()
	room := map[id.ID]int{}
	for _, c := range components {
		for _, in := range c.Instances {
			if p := pages[in.ID]; p != nil {
				s.take(w, c, in, p, room)
			}
		}
	}
}

// take stores what one instance told, under labels that it cannot choose.
func (s *Service) take(w *writer, c Component, in Instance, p *page, room map[id.ID]int) {
	force := map[string]string{"project": string(c.Project), "component": c.Name, "instance": string(in.ID), "release": strconv.Itoa(in.Release), "lane": in.Lane}
	ok := 1.0
	if p.err == nil {
		total := 0
		for _, f := range p.families {
			total += len(f.GetMetric()) * samplesOf(f)
		}
		if total > scrapeSamples || room[c.Project]+total > projectSamples {
			p.err = fmt.Errorf("it tells %d samples; the most is %d of an instance and %d of a project", total, scrapeSamples, projectSamples)
		}
		room[c.Project] += total
	}
	if p.err != nil {
		ok = 0
		s.Log.Debug("an app's metrics cannot be read", "component", c.Name, "instance", in.ID, "err", p.err)
	} else {
		for _, name := range slices.Sorted(maps.Keys(p.families)) {
			if !strings.HasPrefix(name, "awan_") { // those are the cloud's own
				w.family(p.families[name], force)
			}
		}
	}
	w.one("awan_scrape_ok", nil, force, "", "", ok)
}

func samplesOf(f *dto.MetricFamily) int {
	n := 1
	for _, m := range f.GetMetric() {
		switch {
		case m.Histogram != nil:
			n = max(n, len(m.Histogram.GetBucket())+3)
		case m.Summary != nil:
			n = max(n, len(m.Summary.GetQuantile())+2)
		}
	}
	return n
}

func (s *Service) read(ctx context.Context, url string) *page {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return &page{err: err}
	}
	req.Header.Set("Accept", string(expfmt.NewFormat(expfmt.TypeTextPlain)))
	req.Header.Set("User-Agent", "awan-metrics")
	resp, err := s.client.Do(req)
	if err != nil {
		return &page{err: err}
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return &page{err: fmt.Errorf("answered %s", resp.Status)}
	}
	p := expfmt.NewTextParser(model.UTF8Validation)
	families, err := p.TextToMetricFamilies(io.LimitReader(resp.Body, scrapeBytes))
	return &page{families, err}
}
