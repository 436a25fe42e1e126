package kind_test

import (
	"strings"
	"testing"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kind"
)

type probe struct {
	Type     string    `json:"type" enum:"tcp,http" default:"tcp"`
	Interval kind.Span `json:"interval" default:"5s" min:"1" max:"300"`
}

type spec struct {
	Replicas int               `json:"replicas" default:"1" min:"0" max:"50"`
	Memory   int64             `json:"memory" default:"256" min:"16" unit:"MiB"`
	Name     string            `json:"name" required:"true" example:"web" pattern:"^[a-z]+$"`
	Public   bool              `json:"public" default:"true"`
	Probe    probe             `json:"probe"`
	Probes   []probe           `json:"probes" max:"2"`
	Secret   string            `json:"secret" secret:"true"`
	Secrets  map[string]string `json:"secrets" secret:"true"`
	Fixed    string            `json:"fixed" immutable:"true"`
}

func read(t *testing.T, doc string) (spec, error) {
	t.Helper()
	var s spec
	fields := kind.FieldsOf(s)
	kind.SetDefaults(&s, fields)
	if err := kind.DecodeStrict([]byte(doc), &s, "spec", fields); err != nil {
		return s, err
	}
	kind.FillDefaults(&s, fields)
	return s, kind.Validate(&s, "spec", fields)
}

func TestDefaultsFillWhatWasNotSaid(t *testing.T) {
	s, err := read(t, `{"name":"a","probes":[{}]}`)
	if err != nil || s.Replicas != 1 || s.Memory != 256 || !s.Public || s.Probe.Type != "tcp" || time.Duration(s.Probe.Interval) != 5*time.Second {
		t.Errorf("%+v %v", s, err)
	}
	if s.Probes[0].Type != "tcp" || s.Probes[0].Interval == 0 {
		t.Errorf("in a list: %+v", s.Probes)
	}
	s, err = read(t, `{"name":"a","replicas":0,"public":false,"probe":{"type":""}}`)
	if err != nil || s.Replicas != 0 || s.Public || s.Probe.Type != "tcp" {
		t.Errorf("a zero that was said: %+v %v", s, err)
	}
}

func TestRulesNameTheField(t *testing.T) {
	for doc, want := range map[string]string{
		`{}`:                                     "spec.name: is required; for example web",
		`{"name":"A"}`:                           "spec.name: \"A\" does not match",
		`{"name":"a","replicas":51}`:             "spec.replicas: 51 is too large; the most is 50",
		`{"name":"a","memory":1}`:                "spec.memory: 1 is too small; the least is 16 MiB",
		`{"name":"a","probe":{"type":"udp"}}`:    `spec.probe.type: "udp" is not one of tcp, http`,
		`{"name":"a","probe":{"interval":"1h"}}`: "spec.probe.interval: 3600 seconds are too many; the most is 300",
		`{"name":"a","probe":{"interval":"x"}}`:  "spec",
		`{"name":"a","probes":[{},{},{}]}`:       "spec.probes: 3 entries are too many; the most is 2",
		`{"name":"a","probes":[{"type":"x"}]}`:   "spec.probes[0].type",
		`{"name":"a","nam":1}`:                   "spec.nam: there is no such field; fields here: replicas, memory",
		`{"name":"a"} x`:                         "spec: ",
		`{"name":"a"`:                            "spec: the JSON document breaks off",
		`{"name":"a","secrets":{"":"x"}}`:        "spec.secrets: an empty key",
	} {
		_, err := read(t, doc)
		if !fail.Is(err, fail.Invalid) || !strings.HasPrefix(fail.From(err).Public(), want) {
			t.Errorf("%s\n  gives %v\n  want  %s", doc, err, want)
		}
	}
}

func TestSecretsAreFoundWhereverTheyAre(t *testing.T) {
	s := spec{Secret: "a", Secrets: map[string]string{"B": "b"}}
	var seen []string
	err := kind.EachSecret(&s, kind.FieldsOf(s), func(path, value string) (string, error) {
		seen = append(seen, path+"="+value)
		return kind.Mask, nil
	})
	if err != nil || strings.Join(seen, " ") != "secret=a secrets.B=b" || s.Secret != kind.Mask || s.Secrets["B"] != kind.Mask {
		t.Errorf("%v %v %+v", err, seen, s)
	}
}

func TestWhatIsFixedStaysSo(t *testing.T) {
	fields := kind.FieldsOf(spec{})
	if err := kind.CheckImmutable(&spec{Fixed: "a"}, &spec{Fixed: "a", Replicas: 3}, fields); err != nil {
		t.Error(err)
	}
	if err := kind.CheckImmutable(&spec{Fixed: "a"}, &spec{Fixed: "b"}, fields); !fail.Is(err, fail.Invalid) {
		t.Error(err)
	}
}
