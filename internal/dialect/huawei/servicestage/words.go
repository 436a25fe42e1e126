package servicestage

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strconv"

	"github.com/awancloud/awan/internal/kernel/kind"
)

// remember encodes what a client said for a row's field "foreign".
func remember(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return "" // plain values always encode
	}
	return string(b)
}

// recall reads it back. What another dialect wrote there reads as nothing.
func recall(s string, v any) { _ = json.Unmarshal([]byte(s), v) }

// enterpriseOf is the enterprise project of a row; the default one is called 0.
func enterpriseOf(m *kind.Meta) string { return cmp.Or(string(m.EnterpriseProject), "0") }

// enterpriseAsked is the enterprise project whose rows a list is about; "" means all.
func enterpriseAsked(x *exchange) string {
	if ep := x.Query("enterprise_project_id"); ep != "all_granted_eps" {
		return ep
	}
	return ""
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func itoa(n int) string { return strconv.Itoa(n) }

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// may asks whether the caller may do this at all, before anything is told about what was sent.
func (a *API) may(x *exchange, k *kind.Def, verb, target string) error {
	c := x.Call
	_, _, err := a.Door.Permit(x.R.Context(), &c, k, verb, target)
	return err
}
