package console

import (
	"slices"
	"testing"

	"github.com/awancloud/awan/internal/kernel/kind"
)

// TestSectionsHaveEveryKindOnce, also one that nobody thought of.
func TestSectionsHaveEveryKindOnce(t *testing.T) {
	def := func(service, name string) *kind.Def {
		return kind.Kind[struct{}, struct{}]{Service: service, Name: name, Scope: kind.InProject}.Def()
	}
	all := []*kind.Def{def("app", "component"), def("app", "deploy-token"), def("app", "novelty"), def("registry", "repository"), def("identity", "user"), def("identity", "novelty"),
		def("catalog", "region"), def("unheard", "of")}
	where := map[string][]string{}
	for _, s := range sections {
		for _, k := range s.of(all) {
			where[k.FullName()] = append(where[k.FullName()], s.key)
		}
	}
	for name, want := range map[string]string{"app/deploy-token": "delivery", "registry/repository": "delivery", "identity/user": "rights", "identity/novelty": "rights",
		"catalog/region": "cloud", "unheard/of": "cloud"} {
		if !slices.Equal(where[name], []string{want}) {
			t.Errorf("%s is in %v, want %s", name, where[name], want)
		}
	}
	for _, k := range all {
		if len(where[k.FullName()]) != 1 {
			t.Errorf("%s is in %v", k.FullName(), where[k.FullName()])
		}
	}
}
