package ident

import (
	"regexp"
	"slices"
	"strings"

	"github.com/awancloud/awan/internal/kernel/fail"
)

var oneAction = regexp.MustCompile(`^[A-Za-z0-9_.-]+(:[A-Za-z0-9_.-]*){1,3}$`)

// checkAction refuses what is no action that could be asked about. Names that other clouds have for actions begin with a
// service that is none of this cloud's: those are not looked up.
func (k *Kinds) checkAction(action string) error {
	switch {
	case strings.ContainsAny(action, ", \t\n"):
		return fail.Field("actions", "%q are several", action).Then("give each one by itself")
	case !oneAction.MatchString(action):
		return fail.Field("actions", "%q is not one action", action).Then("write it whole, as app:component:create")
	}
	service, rest, _ := strings.Cut(strings.ToLower(action), ":")
	name, _, _ := strings.Cut(rest, ":")
	var ours bool
	var kinds, near []string
	for _, d := range k.others {
		if d.Service != service {
			continue
		}
		ours = true
		kinds = append(kinds, d.Name)
		for _, verb := range verbsOf(d) {
			a := strings.ToLower(d.Action(verb))
			if a == strings.ToLower(action) {
				return nil
			}
			if d.Name == name {
				near = append(near, verb)
			}
		}
	}
	switch {
	case !ours:
		return nil
	case near != nil:
		return fail.Field("actions", "there is no action %q", action).Then("of %s:%s there are: %s", service, name, strings.Join(near, ", "))
	}
	slices.Sort(kinds)
	return fail.Field("actions", "there is no action %q", action).Then("in %s there are: %s", service, strings.Join(kinds, ", "))
}
