package cloud

import (
	"slices"
	"strings"
	"testing"

	"github.com/awancloud/awan/internal/kernel/kind"
)

// TestTheCatalogNamesWhatThereIs: a critical action that does not exist would protect nothing.
func TestTheCatalogNamesWhatThereIs(t *testing.T) {
	all := Describe()
	critical, err := catalogJSON[[]string]("critical.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, action := range critical {
		i := strings.LastIndexByte(action, ':')
		d := slices.IndexFunc(all, func(d kind.Desc) bool { return d.Action(action[i+1:]) == action })
		verbs := []string{"create", "update", "delete"}
		if d >= 0 {
			for _, a := range all[d].Actions {
				verbs = append(verbs, a.Verb)
			}
		}
		if d < 0 || !slices.Contains(verbs, action[i+1:]) {
			t.Errorf("critical.json: there is no action %s", action)
		}
	}
	services, err := catalogJSON[map[string]string]("services.json")
	if err != nil {
		t.Fatal(err)
	}
	for alias, service := range services {
		if !slices.ContainsFunc(all, func(d kind.Desc) bool { return d.Service == service }) {
			t.Errorf("services.json: %s is %s, which is no service", alias, service)
		}
	}
}
