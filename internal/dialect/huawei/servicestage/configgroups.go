package servicestage

import (
	"net/http"

	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/kind"
)

func (a *API) groupRoutes() []route {
	k, all := a.Config.Group.D, base+"/config-groups"
	one := all + "/{config_group_id}"
	return []route{
		{Method: "POST", Path: all, Kind: k, Verb: call.Create, Do: a.createGroup},
		{Method: "GET", Path: all, Kind: k, Verb: call.List, Do: a.listGroups},
		{Method: "GET", Path: one, Kind: k, Verb: call.Get, Do: a.showGroup},
		{Method: "DELETE", Path: one, Kind: k, Verb: call.Delete, Do: a.deleteGroup},
	}
}

func groupView(r *groupRow) map[string]any {
	return map[string]any{"id": r.ID, "name": r.Name, "description": r.Spec.Description, "creator": r.CreatedBy, "create_time": stamp(r.Created),
		"update_time": stamp(r.Updated)}
}

func (a *API) createGroup(x *exchange) error {
	var b struct {
		Name        *string `json:"name"`
		Description *string `json:"description"`
	}
	if err := body(x, &b); err != nil {
		return err
	}
	row, err := x.Do(a.Config.Group.D, call.Create, "", func(c *call.Call) {
		s := wire.Spec{}
		wire.Set(s, "description", b.Description)
		c.Name, c.Spec = b.Name, s.JSON()
	})
	if err != nil {
		return err
	}
	wire.Write(x.W, http.StatusOK, groupView(row.(*groupRow)))
	return nil
}

func (a *API) listGroups(x *exchange) error {
	rows, _, err := wire.Rows(x, a.Config.Group, "", kind.Filter{Exact: x.Query("name")})
	if err != nil {
		return err
	}
	items := make([]map[string]any, len(rows))
	for i, r := range rows {
		items[i] = groupView(r)
	}
	return answer(x, "config_groups", items)
}

func (a *API) showGroup(x *exchange) error {
	r, err := wire.Get(x, a.Config.Group, x.Param("config_group_id"))
	if err != nil {
		return err
	}
	wire.Write(x.W, http.StatusOK, groupView(r))
	return nil
}

func (a *API) deleteGroup(x *exchange) error {
	if _, err := x.Do(a.Config.Group.D, call.Delete, x.Param("config_group_id"), nil); err != nil {
		return err
	}
	return x.NoContent()
}
