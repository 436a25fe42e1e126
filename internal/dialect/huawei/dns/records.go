package dns

import (
	"net/http"
	"slices"
	"strings"

	"github.com/awancloud/awan/internal/dialect/huawei/rest"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/service/dns"
)

// defaultLine is the one resolution line that there is: everybody's.
const defaultLine = "default_view"

func (a *API) recordRoutes() (out []route) {
	k := a.dns.Record.D
	for _, v := range []string{"/v2", "/v2.1"} { // the same of both: v2.1 adds line and weight
		all := v + "/zones/{zone_id}/recordsets"
		one := all + "/{recordset_id}"
		out = append(out,
			route{Method: "POST", Path: all, Kind: k, Verb: call.Create, Do: a.createRecord},
			route{Method: "GET", Path: all, Kind: k, Verb: call.List, Do: a.listZoneRecords},
			route{Method: "GET", Path: one, Kind: k, Verb: call.Get, Do: a.showRecord},
			route{Method: "PUT", Path: one, Kind: k, Verb: call.Update, Do: a.updateRecord},
			route{Method: "DELETE", Path: one, Kind: k, Verb: call.Delete, Do: a.deleteRecord},
			route{Method: "GET", Path: v + "/recordsets", Kind: k, Verb: call.List, Do: a.listRecords})
	}
	return append(out, route{Method: "PUT", Path: "/v2.1/recordsets/{recordset_id}/statuses/set", Kind: k, Verb: call.Update, Do: a.setRecordStatus})
}

type recordBody struct {
	ID          string                         `json:"id"`
	Name        *string                        `json:"name"`
	Description *string                        `json:"description"`
	Type        *string                        `json:"type"`
	TTL         *int                           `json:"ttl"`
	Records     *[]string                      `json:"records"`
	Status      *string                        `json:"status"`
	Line        *string                        `json:"line"`
	Weight      *int                           `json:"weight"`
	Tags        *[]struct{ Key, Value string } `json:"tags"`
	HealthCheck *string                        `json:"health_check_id"`
	Alias       any                            `json:"alias_target"`
}

func recordView(r *recordRow) map[string]any {
	v := map[string]any{"id": r.ID, "name": r.Name + ".", "description": r.Spec.Description, "zone_id": r.Spec.Zone, "zone_name": r.Status.ZoneName + ".",
		"type": r.Spec.Type, "ttl": r.Spec.TTL, "records": r.Spec.Values, "status": stateOf(&r.Meta, r.Spec.Disabled), "default": r.Status.System,
		"project_id": r.Project, "created_at": stamp(r.Created), "updated_at": stamp(r.Updated), "tags": rest.Tags(r.Tags), "links": map[string]string{}}
	if r.Status.ZoneType == dns.Public {
		v["line"], v["line_name"], v["weight"] = defaultLine, defaultLine, r.Spec.Weight
	}
	return v
}

// apply puts what the client sent into a call; a record set's zone is told at its creation only.
func (b *recordBody) apply(c *call.Call, zone string) error {
	s := wire.Spec{}
	if zone != "" {
		s["zone"] = zone
	}
	wire.Set(s, "type", b.Type)
	wire.Set(s, "description", b.Description)
	wire.Set(s, "ttl", b.TTL)
	wire.Set(s, "values", b.Records)
	wire.Set(s, "weight", b.Weight)
	off, err := status(b.Status)
	if err != nil {
		return err
	}
	wire.Set(s, "disabled", off)
	if b.Line != nil && *b.Line != "" && *b.Line != defaultLine {
		return fail.Field("line", "there is no resolution line %q", *b.Line).Then("leave it out: this cloud answers everybody alike, %s", defaultLine)
	}
	if b.HealthCheck != nil && *b.HealthCheck != "" || b.Alias != nil {
		return fail.New(fail.Unsupported, "record sets have no health checks and no alias targets in this cloud").Then("leave health_check_id and alias_target out")
	}
	if b.Tags != nil {
		tags := map[string]string{}
		for _, t := range *b.Tags {
			tags[t.Key] = t.Value
		}
		c.Tags = &tags
	}
	c.Name, c.Spec = b.Name, s.JSON()
	return nil
}

// make creates a record set in the zone of the path.
func (a *API) make(x *exchange, b *recordBody) (*recordRow, error) {
	zone, err := a.zone(x)
	if err != nil {
		return nil, err
	}
	var wrong error
	r, err := do(x, a.dns.Record.D, call.Create, "", func(c *call.Call) { wrong = b.apply(c, string(zone.ID)); c.DryRun = wrong != nil })
	if wrong != nil && !fail.Is(err, fail.Denied) {
		return nil, wrong
	}
	if err != nil {
		return nil, err
	}
	return r.(*recordRow), nil
}

func (a *API) createRecord(x *exchange) error {
	var b recordBody
	if err := body(x, &b); err != nil {
		return err
	}
	r, err := a.make(x, &b)
	if err != nil {
		return err
	}
	wire.Write(x.W, http.StatusAccepted, recordView(r))
	return nil
}

// in reads a record set, which must lie in the zone of the path where that names one.
func (a *API) in(x *exchange, record string) (*recordRow, error) {
	r, err := wire.Get(x, a.dns.Record, record)
	if err != nil {
		return nil, err
	}
	if z := x.Param("zone_id"); z != "" && z != r.Spec.Zone {
		return nil, fail.New(fail.NotFound, "the zone %s has no record set %s", z, record)
	}
	return r, nil
}

func (a *API) showRecord(x *exchange) error {
	r, err := a.in(x, x.Param("recordset_id"))
	if err != nil {
		return err
	}
	wire.Write(x.W, http.StatusOK, recordView(r))
	return nil
}

func (a *API) edit(x *exchange, record string, b *recordBody) (*recordRow, error) {
	if _, err := a.in(x, record); err != nil {
		return nil, err
	}
	var wrong error
	r, err := do(x, a.dns.Record.D, call.Update, record, func(c *call.Call) { wrong = b.apply(c, ""); c.DryRun = wrong != nil })
	if wrong != nil && !fail.Is(err, fail.Denied) {
		return nil, wrong
	}
	if err != nil {
		return nil, err
	}
	return r.(*recordRow), nil
}

func (a *API) updateRecord(x *exchange) error {
	var b recordBody
	if err := body(x, &b); err != nil {
		return err
	}
	r, err := a.edit(x, x.Param("recordset_id"), &b)
	if err != nil {
		return err
	}
	wire.Write(x.W, http.StatusAccepted, recordView(r))
	return nil
}

func (a *API) setRecordStatus(x *exchange) error {
	var b recordBody
	if err := body(x, &b); err != nil {
		return err
	}
	r, err := a.edit(x, x.Param("recordset_id"), &recordBody{Status: b.Status})
	if err != nil {
		return err
	}
	wire.Write(x.W, http.StatusAccepted, recordView(r))
	return nil
}

func (a *API) deleteRecord(x *exchange) error {
	r, err := a.in(x, x.Param("recordset_id"))
	if err != nil {
		return err
	}
	if _, err := do(x, a.dns.Record.D, call.Delete, string(r.ID), nil); err != nil {
		return err
	}
	v := recordView(r)
	v["status"] = "PENDING_DELETE"
	wire.Write(x.W, http.StatusAccepted, v)
	return nil
}

func (a *API) listZoneRecords(x *exchange) error {
	zone, err := a.zone(x)
	if err != nil {
		return err
	}
	return a.records(x, kind.Filter{Index: "zone", Value: string(zone.ID)})
}

func (a *API) listRecords(x *exchange) error {
	f := kind.Filter{}
	if z := x.Query("zone_id"); z != "" {
		f.Index, f.Value = "zone", z
	}
	return a.records(x, f)
}

func (a *API) records(x *exchange, f kind.Filter) error {
	name, values := strings.TrimSuffix(x.Query("name"), "."), x.Query("records")
	f.Tags = tagsAsked(x)
	f.Where = func(r kind.AnyRow) bool {
		rec := r.(*recordRow)
		t, of := x.Query("type"), x.Query("zone_type")
		return matches(x, &rec.Meta, name, stateOf(&rec.Meta, rec.Spec.Disabled)) && (t == "" || slices.Contains(strings.Split(t, ","), rec.Spec.Type)) &&
			(of == "" || of == rec.Status.ZoneType) && (values == "" || slices.ContainsFunc(rec.Spec.Values, func(v string) bool { return strings.Contains(v, values) })) &&
			(x.Query("line_id") == "" || x.Query("line_id") == defaultLine)
	}
	rows, _, err := wire.Rows(x, a.dns.Record, "", f)
	if err != nil {
		return err
	}
	order(x, rows, func(r *recordRow) *kind.Meta { return &r.Meta })
	return page(x, "recordsets", rows, func(r *recordRow) string { return string(r.ID) }, func(r *recordRow) any { return recordView(r) })
}
