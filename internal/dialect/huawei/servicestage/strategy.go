package servicestage

import (
	"cmp"
	"net/http"
	"strconv"
	"strings"

	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/service/app"
)

// strategy is how a change is rolled out.
type strategy struct {
	Type    string   `json:"type"`
	Rolling *rolling `json:"rolling_release"`
	Gray    *gray    `json:"gray_release"`
	// MaxSurge is of an update_strategy: a number of instances, or a share of them ("30%").
	MaxSurge any `json:"max_surge"`
}

type rolling struct {
	Batches int `json:"batches"`
}

type gray struct {
	Type       string `json:"type"`               // weight, content
	Weight     int    `json:"first_batch_weight"` // percent
	Replica    int    `json:"first_batch_replica"`
	Remaining  int    `json:"remaining_batch"` // steps after the first
	Conditions []rule `json:"conditions"`
	Match      string `json:"match"`
}

// rule is a condition on a request.
type rule struct {
	Type  string `json:"type"` // header, cookie, query, address
	Key   string `json:"key"`
	Op    string `json:"operation"` // exact, prefix, regex
	Value string `json:"value"`
}

// strategies reads how a change is to be rolled out. Where both fields speak, the one that the API calls newer counts.
func (b *componentBody) strategies(s wire.Spec) error {
	if err := b.DeployStrategy.spec("deploy_strategy", s); err != nil {
		return err
	}
	return b.UpdateStrategy.spec("update_strategy", s)
}

func (st *strategy) spec(field string, s wire.Spec) error {
	if st == nil {
		return nil
	}
	switch st.Type {
	case "":
	case "OneBatchRelease", "Recreate":
		s["strategy"] = "recreate"
	case "RollingRelease", "RollingUpdate":
		s["strategy"] = "rolling"
		pace := wire.Spec{}
		if st.Rolling != nil && st.Rolling.Batches > 0 {
			pace["batches"] = st.Rolling.Batches
		}
		if n, ok := st.MaxSurge.(float64); ok && n > 0 { // a share is what the app service chooses by itself: a quarter
			pace["surge"] = int(n)
		}
		s["rolling"] = pace
	case "GrayRelease":
		s["strategy"] = "gray"
		if st.Gray != nil {
			s["gray"] = st.Gray.spec()
		}
	default:
		return fail.Field(field+".type", "%q is none of OneBatchRelease, RollingRelease and GrayRelease", st.Type)
	}
	return nil
}

func (g *gray) spec() wire.Spec {
	s := wire.Spec{"weight": g.Weight, "instances": g.Replica, "rules": rulesOf(g.Conditions), "match": cmp.Or(strings.ToLower(g.Match), "all")}
	var steps []int
	for i := 1; i < g.Remaining; i++ {
		steps = append(steps, g.Weight+(100-g.Weight)*i/g.Remaining)
	}
	s["steps"] = steps
	return s
}

func rulesOf(rules []rule) []app.Rule {
	out := []app.Rule{}
	for _, r := range rules {
		out = append(out, app.Rule{Source: cmp.Or(strings.ToLower(r.Type), "header"), Name: r.Key, Op: cmp.Or(strings.ToLower(r.Op), "exact"), Value: r.Value})
	}
	return out
}

// grayAction gives the app service's verb and input for an action on a gray release.
func grayAction(action string, p *actionParameters) (verb string, in wire.Spec, err error) {
	in = wire.Spec{}
	switch action {
	case "continue_deploy":
		if p.Weight != nil {
			in["weight"] = *p.Weight
		}
		return "gray-continue", in, nil
	case "rollback_current":
		return "gray-rollback", in, nil
	}
	if p.Weight == nil && p.Conditions == nil {
		return "", nil, fail.Field("parameters.weight", "a rule needs a weight or conditions").Then(`send {"action": "modify_gray_rule", "parameters": {"weight": 30}}`)
	}
	if p.Weight != nil {
		in["weight"] = *p.Weight
	}
	if p.Conditions != nil {
		in["rules"], in["match"] = rulesOf(*p.Conditions), cmp.Or(strings.ToLower(p.Match), "all")
	}
	return "gray-modify", in, nil
}

// checkGray answers with how the gray release does: the app service's own view of it.
func (a *API) checkGray(x *exchange, r *componentRow) error {
	c := x.Call
	c.Kind, c.Verb, c.Target = a.App.Component.D, "gray-check", string(r.ID)
	c.Stream.Emit = func(v any) error {
		wire.Write(x.W, http.StatusOK, map[string]any{"component_id": r.ID, "gray_release": v})
		return nil
	}
	_, err := a.Door.Do(x.R.Context(), &c)
	return err
}

// shares are what a component's traffic is divided into, for its view.
func shares(r *componentRow) map[string]any {
	g := r.Status.Gray
	if g == nil {
		return nil
	}
	return map[string]any{"gray_version": strconv.Itoa(g.Release), "base_version": strconv.Itoa(r.Status.Release), "weight": g.Weight, "instances": g.Instances}
}
