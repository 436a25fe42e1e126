package metric

import (
	"slices"

	dto "github.com/prometheus/client_model/go"

	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/kind"
)

// Series gives reading a project's metrics its name in policies: metric:series:list.
var Series = kind.Kind[ident.None, ident.None]{Service: "metric", Name: "series", Plural: "series", Scope: kind.InProject, ReadOnly: true,
	Doc: "Measurements of a project's apps."}.Def()

// Cloud gives reading everybody's metrics, and the cloud's own, its name: metric:cloud:read.
var Cloud = kind.Kind[ident.None, ident.None]{Service: "metric", Name: "cloud", Plural: "cloud", Scope: kind.InCloud, ReadOnly: true,
	Doc: "Measurements of the whole cloud."}.Def()

// Meta describes a metric.
type Meta struct{ Name, Type, Help string }

// Metadata describes the metrics that the cloud makes itself; what apps tell about theirs is not kept.
func (s *Service) Metadata() []Meta {
	families, err := s.Registry.Gather()
	if err != nil {
		return nil
	}
	out := []Meta{{"awan_scrape_ok", "gauge", "1 when the instance's own metrics could be read."}}
	for _, f := range families {
		out = append(out, Meta{f.GetName(), types[f.GetType()], f.GetHelp()})
	}
	slices.SortFunc(out, func(a, b Meta) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	return out
}

var types = map[dto.MetricType]string{dto.MetricType_COUNTER: "counter", dto.MetricType_GAUGE: "gauge", dto.MetricType_HISTOGRAM: "histogram",
	dto.MetricType_SUMMARY: "summary", dto.MetricType_UNTYPED: "unknown"}
