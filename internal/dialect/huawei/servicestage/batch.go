package servicestage

import (
	"net/http"

	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kind"
)

// mostAtOnce is how many components one request may start, stop or restart.
const mostAtOnce = 100

// actOnMany starts, stops or restarts several components of an application. All of them are looked up and permitted before
// the first is touched; each then goes its own way, as the API says nothing of a job here.
func (a *API) actOnMany(x *exchange) error {
	if err := a.may(x, a.App.Component.D, call.Update, "*"); err != nil {
		return err
	}
	application, err := wire.Get(x, a.App.Application, x.Param("application_id"))
	if err != nil {
		return err
	}
	var b struct {
		Action     string `json:"action"`
		Parameters struct {
			Components []struct {
				ID string `json:"id"`
			} `json:"components"`
		} `json:"parameters"`
	}
	if err := body(x, &b); err != nil {
		return err
	}
	if b.Action != "start" && b.Action != "stop" && b.Action != "restart" {
		return fail.Field("action", "%q is none of start, stop and restart", b.Action)
	}
	given := b.Parameters.Components
	if len(given) == 0 || len(given) > mostAtOnce {
		return fail.Field("parameters.components", "%d components are given; want 1 to %d", len(given), mostAtOnce)
	}
	rows := make([]*componentRow, len(given))
	for i, c := range given {
		if rows[i], err = wire.Get(x, a.App.Component, c.ID); err != nil {
			return err
		}
		if rows[i].Spec.Application != application.Name || rows[i].State == kind.Trashed {
			return fail.Field("parameters.components["+itoa(i)+"].id", "application %s has no component %q", application.Name, c.ID)
		}
		if err := a.may(x, a.App.Component.D, b.Action, string(rows[i].ID)); err != nil {
			return err
		}
	}
	for _, r := range rows {
		if _, err := a.send(x, b.Action, r.ID, func(*call.Call) {}); err != nil {
			return err
		}
	}
	return x.NoContent()
}

// actOnComponents answers with how several components are now, of whichever applications. To bring what is shown up to date
// is the same: there is no second copy.
func (a *API) actOnComponents(x *exchange) error {
	if err := a.may(x, a.App.Component.D, call.Update, "*"); err != nil {
		return err
	}
	var b struct {
		Action     string `json:"action"`
		Components []struct {
			ID          string `json:"id"`
			Application string `json:"application_id"`
		} `json:"components"`
	}
	if err := body(x, &b); err != nil {
		return err
	}
	if b.Action != "query" && b.Action != "sync_workload" {
		return fail.Field("action", "%q is neither query nor sync_workload", b.Action)
	}
	if len(b.Components) == 0 || len(b.Components) > mostAtOnce {
		return fail.Field("components", "%d components are given; want 1 to %d", len(b.Components), mostAtOnce)
	}
	n, err := a.names(x)
	if err != nil {
		return err
	}
	items := []map[string]any{}
	for i, c := range b.Components {
		r, err := wire.Get(x, a.App.Component, c.ID)
		if err != nil {
			return err
		}
		if r.State == kind.Trashed || c.Application != "" && n.application[r.Spec.Application] != c.Application {
			return fail.Field("components["+itoa(i)+"].id", "application %s has no component %q", c.Application, c.ID)
		}
		items = append(items, map[string]any{"id": r.ID, "name": r.Name, "application_id": n.application[r.Spec.Application], "status": a.statusOf(r)})
	}
	wire.Write(x.W, http.StatusOK, map[string]any{"components": items})
	return nil
}
