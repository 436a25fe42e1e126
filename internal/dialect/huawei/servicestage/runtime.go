package servicestage

import (
	"strings"

	"github.com/awancloud/awan/internal/kernel/fail"
)

// stackFor chooses what a source is built with: a stack by its name, else the version of a type, else whichever version
// of that type the source asks for. "" leaves it to detection.
func (a *API) stackFor(x *exchange, st *stack, sourceKind string) (string, error) {
	if st == nil || st.Type == "" && st.Name == "" || strings.EqualFold(st.Type, "Docker") {
		return "", nil
	}
	rows, err := a.stacks(x)
	if err != nil {
		return "", err
	}
	for _, r := range rows {
		if r.Name != st.Name {
			continue
		}
		if st.Version != "" && st.Version != r.Spec.Version && st.Version != r.Spec.Release {
			return "", fail.Field("runtime_stack.version", "stack %s is version %s", r.Name, r.Spec.Version).Then("leave the version out, or name another stack")
		}
		return r.Name, nil
	}
	recipe := recipeOf(st.Type)
	if sourceKind == "package" && recipe == "java" {
		recipe = "jar" // a built package of that language is another recipe than its source
	}
	var versions []string
	for _, r := range rows {
		if r.Spec.Type != recipe {
			continue
		}
		if versions = append(versions, r.Name+" ("+r.Spec.Version+")"); st.Version == r.Spec.Version {
			return r.Name, nil
		}
	}
	switch {
	case len(versions) == 0:
		return "", fail.Field("runtime_stack.type", "there is no stack of type %q", st.Type).Then("see GET …/cas/runtimestacks, or bring a Dockerfile and type Docker")
	case st.Version != "":
		return "", fail.Field("runtime_stack.version", "there is no %s %s", st.Type, st.Version).Then("there are %s", strings.Join(versions, ", "))
	}
	return recipe, nil
}
