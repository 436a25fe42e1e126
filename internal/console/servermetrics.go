package console

import (
	"github.com/awancloud/awan/internal/service/metric"
)

// serverMetrics are the pictures on a server's page.
type serverMetrics struct {
	Path   string
	Range  metricRange
	Ranges []metricRange
	By     string // always "": the template that it shares with apps asks
	Charts []chart
	Off    bool // nothing is measured here, or the caller may not see it
}

var serverPictures = []picture{
	{"Processors", "% of what it may use", []string{"cpu"}, map[string]string{"cpu": "in use"}},
	{"Memory", "MiB of this machine", []string{"memory"}, map[string]string{"memory": "in use"}},
	{"Disks", "MiB per second", []string{"disk-read", "disk-written"}, map[string]string{"disk-read": "read", "disk-written": "written"}},
	{"Disk operations", "per second", []string{"disk-reads", "disk-writes"}, map[string]string{"disk-reads": "reads", "disk-writes": "writes"}},
	{"Network", "Mbit per second", []string{"network-in", "network-out"}, map[string]string{"network-in": "in", "network-out": "out"}},
}

// serverPicturesLive gives the pictures anew: the page asks for them every ten seconds.
func (q *request) serverPicturesLive() error {
	_, row, err := q.server()
	if err != nil {
		return err
	}
	return q.fragment("server", "charts", q.serverMetrics(row))
}

func (q *request) serverMetrics(row *server) serverMetrics {
	m := serverMetrics{Path: listPath(q.Door.KindOf(serverKind)) + "/" + string(row.ID), Range: q.metricRange(), Ranges: metricRanges, Off: q.Metrics == nil}
	if m.Off {
		return m
	}
	view, err := q.measured()
	if err == nil {
		m.Charts, err = q.charts(view, m.Range, serverPictures, "", func(name string, _ ...string) string {
			return metric.ServerExpr(name, row.ID, m.Range.window)
		})
	}
	m.Off = err != nil
	return m
}
