package servicestage

import (
	"maps"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
)

// affinity says near what, or apart from what, instances are to run. All run on this one machine: what is required is
// looked at when a component is made or changed, and refused where it cannot be so; what is preferred is what it says.
type affinity struct {
	Kind      string  `json:"kind"`      // node, pod
	Condition string  `json:"condition"` // required, preferred
	Weight    int     `json:"weight"`
	Match     []match `json:"match_expressions"`
}

type match struct {
	Key       string  `json:"key"`
	Operation string  `json:"operation"`
	Value     *string `json:"value"`
}

// holds compares labels as Kubernetes' selectors do. A label that is not there has no value, so NotIn holds.
func (m match) holds(labels map[string]string) bool {
	is, there := labels[m.Key]
	values := strings.FieldsFunc(text(m.Value), func(r rune) bool { return r == ',' || r == ' ' })
	switch m.Operation {
	case "In":
		return there && slices.Contains(values, is)
	case "NotIn":
		return !there || !slices.Contains(values, is)
	case "Exists":
		return there
	case "DoesNotExist":
		return !there
	}
	have, err := strconv.Atoi(is)
	limit, err2 := strconv.Atoi(strings.Join(values, ""))
	return there && err == nil && err2 == nil && (m.Operation == "Gt" && have > limit || m.Operation == "Lt" && have < limit)
}

func (f affinity) holds(labels map[string]string) bool {
	return !slices.ContainsFunc(f.Match, func(m match) bool { return !m.holds(labels) })
}

func (f affinity) check(field string) error {
	if f.Kind != "node" && f.Kind != "pod" {
		return fail.Field(field+".kind", "%q is neither node nor pod", f.Kind)
	}
	if f.Condition != "required" && f.Condition != "preferred" {
		return fail.Field(field+".condition", "%q is neither required nor preferred", f.Condition)
	}
	if f.Weight < 0 || f.Weight > 100 {
		return fail.Field(field+".weight", "%d is not a number from 0 to 100", f.Weight)
	}
	for i, m := range f.Match {
		if m.Key == "" {
			return fail.Field(field+".match_expressions["+itoa(i)+"].key", "is required")
		}
		if !slices.Contains([]string{"In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"}, m.Operation) {
			return fail.Field(field+".match_expressions["+itoa(i)+"].operation", "%q is none of In, NotIn, Exists, DoesNotExist, Gt, Lt", m.Operation)
		}
	}
	return nil
}

// machine is how Kubernetes would label the one node that there is.
func (a *API) machine() map[string]string {
	return map[string]string{"kubernetes.io/os": "linux", "kubernetes.io/arch": runtime.GOARCH, "topology.kubernetes.io/region": a.Region,
		"topology.kubernetes.io/zone": a.Region + "a"}
}

// placed is a component as far as its place depends on it.
type placed struct {
	id                id.ID // empty: not made yet
	name, environment string
	labels            map[string]string
	replicas          int
}

// pods are the labels of its instances.
func (p placed) pods() map[string]string {
	l := maps.Clone(p.labels)
	if l == nil {
		l = map[string]string{}
	}
	l["app"] = p.name
	return l
}

// place refuses what a component requires of its place where this machine cannot give it.
func (a *API) place(x *exchange, words componentWords, p placed) error {
	for _, field := range []string{"affinity", "anti_affinity"} {
		var rules []affinity
		if raw := words[field]; len(raw) > 0 {
			if err := decode([]byte(`{"rules":`+string(raw)+`}`), &struct {
				Rules *[]affinity `json:"rules"`
			}{&rules}); err != nil {
				return fail.Field(field, "is not a list of rules").Because(err)
			}
		}
		for i, f := range rules {
			at := field + "[" + itoa(i) + "]"
			if err := f.check(at); err != nil {
				return err
			}
			if f.Condition != "required" || len(f.Match) == 0 {
				continue
			}
			var err error
			switch {
			case f.Kind == "node" && f.holds(a.machine()) == (field == "anti_affinity"):
				err = fail.Field(at, "the one machine that there is cannot be so: its labels are %s", labelled(a.machine()))
			case f.Kind == "pod" && field == "anti_affinity": // together all are already
				err = a.apart(x, at, f, p)
			}
			if err != nil {
				if e := fail.From(err); e.Next == "" && e.Kind == fail.Invalid {
					return e.Then(`leave the rule out, or make its condition "preferred"`)
				}
				return err
			}
		}
	}
	return nil
}

// apart refuses to run apart from what runs on this machine too.
func (a *API) apart(x *exchange, at string, f affinity, p placed) error {
	if p.replicas > 1 && f.holds(p.pods()) {
		return fail.Field(at, "%d instances of %s cannot run apart from each other: there is one machine", p.replicas, p.name)
	}
	rows, _, err := wire.Rows(x, a.App.Component, "", kind.Filter{Index: "environment", Value: p.environment})
	if err != nil {
		return err
	}
	for _, r := range rows {
		if r.ID != p.id && r.State != kind.Trashed && f.holds(placed{name: r.Name, labels: r.Tags}.pods()) {
			return fail.Field(at, "%s cannot run apart from %s: there is one machine", p.name, r.Name)
		}
	}
	return nil
}

func labelled(labels map[string]string) string {
	out := make([]string, 0, len(labels))
	for _, k := range sorted(labels) {
		out = append(out, k+"="+labels[k])
	}
	return strings.Join(out, ", ")
}
