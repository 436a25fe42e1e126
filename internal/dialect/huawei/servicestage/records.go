package servicestage

import (
	"slices"
	"time"

	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kind"
)

func (a *API) recordRoutes() []route {
	return []route{{Method: "GET", Path: base + "/applications/{application_id}/components/{component_id}/records", Kind: a.App.Component.D,
		Verb: call.Get, Do: a.listRecords}}
}

// releases are a component's, the newest first.
func (a *API) releases(x *exchange, r *componentRow) ([]*releaseRow, error) {
	rows, _, err := wire.Rows(x, a.App.Release, "", kind.Filter{Index: "component", Value: string(r.ID)})
	slices.SortFunc(rows, func(a, b *releaseRow) int { return b.Spec.Number - a.Spec.Number })
	return rows, err
}

// versionOf is the version a release was deployed as: the client's word for it, else one made of its number.
func versionOf(r *releaseRow) string {
	var w struct {
		Version string `json:"version"`
	}
	recall(r.Spec.Foreign, &w)
	if w.Version != "" {
		return w.Version
	}
	return "1.0." + itoa(r.Spec.Number)
}

// releaseOf finds the newest release of a version; "" = none named.
func (a *API) releaseOf(x *exchange, r *componentRow, version string) (int, error) {
	if version == "" {
		return 0, nil
	}
	rows, err := a.releases(x, r)
	if err != nil {
		return 0, err
	}
	for _, rel := range rows {
		if versionOf(rel) == version && rel.Status.State != "live" && rel.Status.State != "failed" {
			return rel.Spec.Number, nil
		}
	}
	return 0, fail.Field("parameters.version", "%s has no earlier release of version %q", r.Name, version).Then("see GET …/records")
}

func (a *API) listRecords(x *exchange) error {
	r, _, err := a.component(x)
	if err != nil {
		return err
	}
	rows, err := a.releases(x, r)
	if err != nil {
		return err
	}
	items := make([]map[string]any, len(rows))
	for i, rel := range rows {
		status := map[string]string{"live": "SUCCEEDED", "superseded": "SUCCEEDED", "failed": "FAILED"}[rel.Status.State]
		if status == "" {
			status = "RUNNING"
		}
		items[i] = map[string]any{"version": versionOf(rel), "instance_id": rel.ID, "begin_time": rel.Created.UTC().Format(time.RFC3339), "current_used": rel.Status.State == "live",
			"status": status, "deploy_type": rel.Spec.Note, "description": map[string]any{"image": rel.Spec.Image, "by": rel.Spec.By, "number": rel.Spec.Number}, "jobs": []any{}}
		if !rel.Status.Live.IsZero() {
			items[i]["end_time"] = rel.Status.Live.UTC().Format(time.RFC3339)
		}
	}
	return answer(x, "records", items)
}
