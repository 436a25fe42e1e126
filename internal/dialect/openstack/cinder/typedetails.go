package cinder

import (
	"encoding/json"
	"net/http"
	"slices"

	"github.com/awancloud/awan/internal/dialect/openstack/rest"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/service/volume"
)

// What a type says beside its name, and whom it is for.
func (a *API) typeDetailRoutes() []route {
	d := a.o.Volumes.Types.D
	return []route{
		{"GET", "/types/{type_id}/extra_specs", d, call.Get, showSpecs},
		{"POST", "/types/{type_id}/extra_specs", d, call.Update, setSpecs},
		{"GET", "/types/{type_id}/extra_specs/{key}", d, call.Get, showSpec},
		{"PUT", "/types/{type_id}/extra_specs/{key}", d, call.Update, setSpec},
		{"DELETE", "/types/{type_id}/extra_specs/{key}", d, call.Update, dropSpec},
		{"GET", "/types/{type_id}/os-volume-type-access", d, call.Update, listAccess},
		{"POST", "/types/{type_id}/action", d, call.Update, changeAccess},
	}
}

func showSpecs(x *exchange) error {
	t, like, err := x.withDefault()
	if err != nil {
		return err
	}
	return x.One(http.StatusOK, "extra_specs", extraOf(t, like))
}

// respec changes extra specs.
func (x *exchange) respec(extra map[string]*string) error {
	like, err := x.defaultType()
	if err != nil {
		return err
	}
	spec, err := specOf(extra, like)
	if err != nil {
		return err
	}
	_, err = x.editType(func(c *call.Call) { c.Spec = spec.JSON() })
	return err
}

func setSpecs(x *exchange) error {
	var in map[string]*string
	if err := rest.Body(x.Exchange, "extra_specs", &in); err != nil {
		return err
	}
	if err := x.respec(in); err != nil {
		return err
	}
	return x.One(http.StatusOK, "extra_specs", in)
}

func noSpec(t *volume.Type, key string) error {
	return fail.New(fail.NotFound, "Volume Type %s has no extra specs with key %s", t.ID.Dashed(), key)
}

func showSpec(x *exchange) error {
	t, like, err := x.withDefault()
	if err != nil {
		return err
	}
	key := x.Param("key")
	v, ok := extraOf(t, like)[key]
	if !ok {
		return noSpec(t, key)
	}
	wire.Write(x.W, http.StatusOK, map[string]string{key: v})
	return nil
}

func setSpec(x *exchange) error {
	o, err := rest.Read(x.Exchange)
	if err != nil {
		return err
	}
	key, v := x.Param("key"), ""
	if len(o) != 1 || json.Unmarshal(o[key], &v) != nil {
		return fail.New(fail.Invalid, "the body must hold %q, a text, and no other", key)
	}
	if err := x.respec(map[string]*string{key: &v}); err != nil {
		return err
	}
	wire.Write(x.W, http.StatusOK, map[string]string{key: v})
	return nil
}

func dropSpec(x *exchange) error {
	if err := rest.Operators(x.Exchange); err != nil {
		return err
	}
	t, like, err := x.withDefault()
	if err != nil {
		return err
	}
	key := x.Param("key")
	if _, ok := extraOf(t, like)[key]; !ok {
		return noSpec(t, key)
	}
	if err := x.respec(map[string]*string{key: nil}); err != nil {
		return err
	}
	return rest.Accepted(x.Exchange)
}

func listAccess(x *exchange) error {
	if err := rest.Operators(x.Exchange); err != nil {
		return err
	}
	t, err := x.theType()
	if err != nil {
		return err
	}
	if !t.Spec.Private {
		return fail.New(fail.NotFound, "Access list not available for public volume types.")
	}
	items := []any{}
	for _, p := range t.Spec.Projects {
		items = append(items, map[string]string{"volume_type_id": t.ID.Dashed(), "project_id": p})
	}
	return x.One(http.StatusOK, "volume_type_access", items)
}

// changeAccess lets a project have a private type, or no longer.
func changeAccess(x *exchange) error {
	o, err := rest.Read(x.Exchange)
	if err != nil {
		return err
	}
	actions := rest.Actions[*exchange]{}
	for name, add := range map[string]bool{"addProjectAccess": true, "removeProjectAccess": false} {
		actions[name] = func(x *exchange, in json.RawMessage) error { return x.access(name, in, add) }
	}
	return actions.Do(x, o, func() error { _, err := x.theType(); return err }, "")
}

func (x *exchange) access(name string, in json.RawMessage, add bool) error {
	var p struct {
		Project string `json:"project"`
	}
	if err := rest.Decode(in, name, &p); err != nil {
		return err
	}
	if err := rest.Operators(x.Exchange); err != nil {
		return err
	}
	t, err := x.theType()
	if err != nil {
		return err
	}
	has, projects := slices.Contains(t.Spec.Projects, p.Project), slices.Clone(t.Spec.Projects)
	switch {
	case !t.Spec.Private:
		return fail.New(fail.Conflict, "the volume type %s is for everybody", t.Name)
	case p.Project == "":
		return fail.Field(name+".project", "is required")
	case add && has:
		return fail.New(fail.Conflict, "Volume type access for %s / %s combination already exists.", t.ID.Dashed(), p.Project)
	case !add && !has:
		return fail.New(fail.NotFound, "Volume type access not found for %s / %s combination.", t.ID.Dashed(), p.Project)
	case add:
		projects = append(projects, p.Project)
	default:
		projects = slices.DeleteFunc(projects, func(s string) bool { return s == p.Project })
	}
	if _, err := x.editType(func(c *call.Call) { c.Spec = rest.Spec{"projects": projects}.JSON() }); err != nil {
		return err
	}
	return rest.Accepted(x.Exchange)
}
