package prometheus

import (
	"math"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/service/metric"
)

// result is the data of a query.
type result struct {
	Type  parser.ValueType `json:"resultType"`
	Value parser.Value     `json:"result"`
}

func answer(a metric.Answer, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	return warned{result{a.Value.Type(), a.Value}, a.Warnings, a.Infos}, nil
}

func (a *API) query(x *exchange) (any, error) {
	at, err := moment(x.r.FormValue("time"), "time", a.Metrics.Now())
	if err != nil {
		return nil, err
	}
	return answer(x.view.Query(x.r.Context(), x.r.FormValue("query"), at))
}

func (a *API) queryRange(x *exchange) (any, error) {
	var zero time.Time
	from, err := moment(x.r.FormValue("start"), "start", zero)
	if err != nil {
		return nil, err
	}
	to, err := moment(x.r.FormValue("end"), "end", zero)
	if err != nil {
		return nil, err
	}
	for name, t := range map[string]time.Time{"start": from, "end": to} {
		if t.IsZero() {
			return nil, fail.Field(name, "is required")
		}
	}
	step, err := duration(x.r.FormValue("step"))
	if err != nil {
		return nil, err
	}
	return answer(x.view.Range(x.r.Context(), x.r.FormValue("query"), from, to, step))
}

// span reads start and end; without them it is all that is kept.
func (a *API) span(x *exchange) (from, to time.Time, err error) {
	now := a.Metrics.Now()
	if from, err = moment(x.r.FormValue("start"), "start", now.Add(-a.Metrics.Retention)); err == nil {
		to, err = moment(x.r.FormValue("end"), "end", now)
	}
	return from, to, err
}

func (a *API) series(x *exchange) (any, error) {
	match := x.r.Form["match[]"]
	if len(match) == 0 {
		return nil, fail.Field("match[]", "is required").Then(`match[]=awan_http_requests_total, say`)
	}
	from, to, err := a.span(x)
	if err != nil {
		return nil, err
	}
	most, err := limit(x)
	if err != nil {
		return nil, err
	}
	return x.view.Series(x.r.Context(), match, from, to, most)
}

func (a *API) labels(x *exchange) (any, error) {
	name := x.arg("name")
	if name != "" && !model.UTF8Validation.IsValidLabelName(name) {
		return nil, fail.Field("name", "%q is not a label's name", name)
	}
	from, to, err := a.span(x)
	if err != nil {
		return nil, err
	}
	most, err := limit(x)
	if err != nil {
		return nil, err
	}
	out, err := x.view.Labels(x.r.Context(), name, x.r.Form["match[]"], from, to)
	if most > 0 && len(out) > most {
		out = out[:most]
	}
	return out, err
}

func limit(x *exchange) (int, error) {
	s := x.r.FormValue("limit")
	if s == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 {
		return 0, fail.Field("limit", "%q is not a whole number", s)
	}
	return n, nil
}

func (a *API) metadata(x *exchange) (any, error) {
	most, err := limit(x)
	if err != nil {
		return nil, err
	}
	type entry struct {
		Type string `json:"type"`
		Help string `json:"help"`
		Unit string `json:"unit"`
	}
	out := map[string][]entry{}
	for _, m := range a.Metrics.Metadata() {
		if want := x.r.FormValue("metric"); want != "" && want != m.Name || most > 0 && len(out) == most {
			continue
		}
		out[m.Name] = []entry{{m.Type, m.Help, ""}}
	}
	return out, nil
}

// library is the module whose engine answers; its versions 0.3xx are Prometheus 3.xx.
const library = "github.com/prometheus/prometheus"

// buildInfo tells Grafana which functions it may offer: those of the engine that is linked in.
func buildInfo(*exchange) (any, error) {
	version := "3.0.0"
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, d := range info.Deps {
			if rest, found := strings.CutPrefix(d.Version, "v0.3"); found && d.Path == library {
				minor, patch, _ := strings.Cut(rest, ".")
				if n, err := strconv.Atoi(minor); err == nil {
					version = "3." + strconv.Itoa(n) + "." + patch
				}
			}
		}
	}
	return map[string]string{"version": version, "revision": "", "branch": "", "buildUser": "", "buildDate": "", "goVersion": ""}, nil
}

// exemplars: none are kept.
func exemplars(*exchange) (any, error) { return []struct{}{}, nil }

// moment reads a time in seconds since 1970 or as RFC 3339.
func moment(s, field string, missing time.Time) (time.Time, error) {
	if s == "" {
		return missing, nil
	}
	if f, err := strconv.ParseFloat(s, 64); err == nil {
		if math.IsNaN(f) || math.Abs(f) > 1<<33 {
			return time.Time{}, fail.Field(field, "%q is not a time", s)
		}
		sec, frac := math.Modf(f)
		return time.Unix(int64(sec), int64(math.Round(frac*1000))*int64(time.Millisecond)).UTC(), nil
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return t, fail.Field(field, "%q is not a time", s).Then("use seconds since 1970, or RFC 3339")
	}
	return t, nil
}

// duration reads a step in seconds, or in Prometheus' form.
func duration(s string) (time.Duration, error) {
	if s == "" {
		return 0, fail.Field("step", "is required").Then("15s or 60, say")
	}
	if f, err := strconv.ParseFloat(s, 64); err == nil && f > 0 && f < 1e9 {
		return time.Duration(f * float64(time.Second)), nil
	}
	if d, err := model.ParseDuration(s); err == nil && d > 0 {
		return time.Duration(d), nil
	}
	return 0, fail.Field("step", "%q is not a duration", s).Then("15s or 60, say")
}
