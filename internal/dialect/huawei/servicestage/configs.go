package servicestage

import (
	"net/http"
	"slices"

	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/service/config"
)

type (
	groupRow   = kind.Row[config.GroupSpec, config.GroupStatus]
	configRow  = kind.Row[config.Spec, config.Status]
	versionRow = kind.Row[config.VersionSpec, config.VersionStatus]
)

func (a *API) configRoutes() []route {
	k, all := a.Config.Config.D, base+"/configs"
	one := all + "/{config_id}"
	return []route{
		{Method: "POST", Path: all, Kind: k, Verb: call.Create, Do: a.createConfig},
		{Method: "GET", Path: all, Kind: k, Verb: call.List, Do: a.listConfigs},
		{Method: "GET", Path: one, Kind: k, Verb: call.Get, Do: a.showConfig},
		{Method: "PUT", Path: one, Kind: k, Verb: call.Update, Do: a.updateConfig},
		{Method: "DELETE", Path: one, Kind: k, Verb: call.Delete, Do: a.deleteConfig},
		{Method: "GET", Path: one + "/histories", Kind: k, Verb: call.Get, Do: a.listHistories},
		{Method: "GET", Path: one + "/histories/{config_history_id}", Kind: k, Verb: call.Get, Do: a.showHistory},
	}
}

type configBody struct {
	GroupID     *string `json:"config_group_id"`
	Name        *string `json:"name"`
	Content     *string `json:"content"`
	Type        *string `json:"type"` // yaml, properties; text here too
	Sensitive   *bool   `json:"sensitive"`
	Description *string `json:"description"`
}

func (b *configBody) spec() wire.Spec {
	s := wire.Spec{}
	wire.Set(s, "content", b.Content)
	wire.Set(s, "type", b.Type)
	wire.Set(s, "sensitive", b.Sensitive)
	wire.Set(s, "description", b.Description)
	return s
}

// content is a config's text in a version (0 is the present one); a sensitive one's is never shown.
func (a *API) content(x *exchange, r *configRow, version int) (out string, err error) {
	if r.Spec.Sensitive {
		return "", nil
	}
	c := x.Call
	c.Kind, c.Verb, c.Target, c.In = a.Config.Config.D, "content", string(r.ID), wire.Spec{}.JSON()
	if version != 0 {
		c.In = wire.Spec{"version": version}.JSON()
	}
	c.Stream.Emit = func(v any) error {
		out = v.(config.ContentOut).Text
		return nil
	}
	_, err = a.Door.Do(x.R.Context(), &c)
	return out, err
}

// mounting are the components that have a config, by name or with its whole group.
func (a *API) mounting(x *exchange, r *configRow) ([]map[string]any, error) {
	n, err := a.names(x)
	if err != nil {
		return nil, err
	}
	rows, _, err := wire.Rows(x, a.App.Component, "", kind.Filter{})
	out := []map[string]any{}
	for _, c := range rows {
		if slices.ContainsFunc(c.Spec.Mounts, func(m config.Mount) bool { return m.Config == r.Name || m.Group != "" && m.Group == r.Spec.Group }) {
			out = append(out, map[string]any{"component_id": c.ID, "component_name": c.Name, "application_id": n.application[c.Spec.Application],
				"environment_id": n.environment[c.Spec.Environment]})
		}
	}
	return out, err
}

// groupID is the id of the group that a config names.
func (a *API) groupID(x *exchange, name string) (string, error) {
	g, err := wire.Get(x, a.Config.Group, name)
	if err != nil {
		return "", err
	}
	return string(g.ID), nil
}

func (a *API) configView(x *exchange, r *configRow) (map[string]any, error) {
	group, err := a.groupID(x, r.Spec.Group)
	if err != nil {
		return nil, err
	}
	content, err := a.content(x, r, 0)
	if err != nil {
		return nil, err
	}
	components, err := a.mounting(x, r)
	return map[string]any{"id": r.ID, "config_group_id": group, "name": r.Name, "content": content, "type": r.Spec.Type, "sensitive": r.Spec.Sensitive,
		"description": r.Spec.Description, "components": components, "version": "v" + itoa(r.Status.Version), "creator": r.CreatedBy,
		"create_time": stamp(r.Created), "update_time": stamp(r.Updated)}, err
}

func (a *API) answerConfig(x *exchange, row kind.AnyRow) error {
	v, err := a.configView(x, row.(*configRow))
	if err != nil {
		return err
	}
	wire.Write(x.W, http.StatusOK, v)
	return nil
}

func (a *API) createConfig(x *exchange) error {
	if err := a.may(x, a.Config.Config.D, call.Create, "*"); err != nil {
		return err
	}
	var b configBody
	if err := body(x, &b); err != nil {
		return err
	}
	if text(b.GroupID) == "" {
		return fail.Field("config_group_id", "is required").Then("create a group first: POST …/cas/config-groups")
	}
	group, err := wire.Get(x, a.Config.Group, *b.GroupID)
	if err != nil {
		return err
	}
	s := b.spec()
	s["group"] = group.Name
	row, err := x.Do(a.Config.Config.D, call.Create, "", func(c *call.Call) { c.Name, c.Spec = b.Name, s.JSON() })
	if err != nil {
		return err
	}
	return a.answerConfig(x, row)
}

// updateConfig changes what may change: a config stays in its group and keeps its name.
func (a *API) updateConfig(x *exchange) error {
	target := x.Param("config_id")
	if err := a.may(x, a.Config.Config.D, call.Update, target); err != nil {
		return err
	}
	old, err := wire.Get(x, a.Config.Config, target)
	if err != nil {
		return err
	}
	var b configBody
	if err := body(x, &b); err != nil {
		return err
	}
	s := b.spec()
	if text(b.GroupID) != "" {
		group, err := wire.Get(x, a.Config.Group, *b.GroupID)
		if err != nil {
			return err
		}
		s["group"] = group.Name // the service refuses another
	}
	row, err := x.Do(a.Config.Config.D, call.Update, string(old.ID), func(c *call.Call) { c.Name, c.Spec = b.Name, s.JSON() })
	if err != nil {
		return err
	}
	return a.answerConfig(x, row)
}

func (a *API) showConfig(x *exchange) error {
	r, err := wire.Get(x, a.Config.Config, x.Param("config_id"))
	if err != nil {
		return err
	}
	return a.answerConfig(x, r)
}

func (a *API) listConfigs(x *exchange) error {
	f := kind.Filter{Exact: x.Query("name")}
	if id := x.Query("config_group_id"); id != "" {
		g, err := wire.Get(x, a.Config.Group, id)
		if err != nil {
			return err
		}
		f.Index, f.Value = "group", g.Name
	}
	rows, _, err := wire.Rows(x, a.Config.Config, "", f)
	if err != nil {
		return err
	}
	items := make([]map[string]any, len(rows))
	for i, r := range rows {
		if items[i], err = a.configView(x, r); err != nil {
			return err
		}
	}
	return answer(x, "configs", items)
}

func (a *API) deleteConfig(x *exchange) error {
	if _, err := x.Do(a.Config.Config.D, call.Delete, x.Param("config_id"), nil); err != nil {
		return err
	}
	return x.NoContent()
}

// versions are a config's, the newest first.
func (a *API) versions(x *exchange) (*configRow, []*versionRow, error) {
	r, err := wire.Get(x, a.Config.Config, x.Param("config_id"))
	if err != nil {
		return nil, nil, err
	}
	rows, _, err := wire.Rows(x, a.Config.Version, "", kind.Filter{Index: "config", Value: string(r.ID)})
	slices.SortFunc(rows, func(a, b *versionRow) int { return b.Spec.Number - a.Spec.Number })
	return r, rows, err
}

func (a *API) historyView(x *exchange, r *configRow, v *versionRow) (map[string]any, error) {
	group, err := a.groupID(x, r.Spec.Group)
	if err != nil {
		return nil, err
	}
	content, err := a.content(x, r, v.Spec.Number)
	return map[string]any{"config_history_id": v.ID, "config_id": r.ID, "config_name": r.Name, "group_id": group, "content": content, "version": "v" + itoa(v.Spec.Number),
		"type": v.Spec.Type, "sensitive": v.Spec.Sensitive, "description": v.Spec.Note, "creator": v.Spec.By, "create_time": stamp(v.Created)}, err
}

func (a *API) listHistories(x *exchange) error {
	r, rows, err := a.versions(x)
	if err != nil {
		return err
	}
	items := make([]map[string]any, len(rows))
	for i, v := range rows {
		if items[i], err = a.historyView(x, r, v); err != nil {
			return err
		}
	}
	return answer(x, "histories", items)
}

func (a *API) showHistory(x *exchange) error {
	r, rows, err := a.versions(x)
	if err != nil {
		return err
	}
	for _, v := range rows {
		if string(v.ID) != x.Param("config_history_id") {
			continue
		}
		out, err := a.historyView(x, r, v)
		if err != nil {
			return err
		}
		if out["components"], err = a.mounting(x, r); err != nil {
			return err
		}
		wire.Write(x.W, http.StatusOK, out)
		return nil
	}
	return fail.New(fail.NotFound, "config %s has no record %q", r.Name, x.Param("config_history_id"))
}
