package dns

import (
	"net/http"

	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
)

// maxBatch is how many record sets one request changes.
const maxBatch = 100

func (a *API) batchRoutes() []route {
	k, all := a.dns.Record.D, "/v2.1/zones/{zone_id}/recordsets"
	return []route{
		{Method: "DELETE", Path: all, Kind: k, Verb: call.Delete, Do: a.deleteRecords},
		{Method: "PUT", Path: all, Kind: k, Verb: call.Update, Do: a.updateRecords},
		{Method: "POST", Path: all + "/batch/lines", Kind: k, Verb: call.Create, Do: a.createLines},
	}
}

// bounded refuses batches of nothing or of too much, to who may do this at all.
func (a *API) bounded(x *exchange, verb, field string, n int) error {
	if _, err := a.zone(x); err != nil || n > 0 && n <= maxBatch {
		return err
	}
	c := x.Call
	if _, _, err := a.Door.Permit(x.R.Context(), &c, a.dns.Record.D, verb, "*"); err != nil {
		return err
	}
	return fail.Field(field, "%d entries; give 1 to %d", n, maxBatch)
}

func (a *API) deleteRecords(x *exchange) error {
	var b struct {
		IDs []string `json:"recordset_ids"`
	}
	if err := body(x, &b); err != nil {
		return err
	}
	if err := a.bounded(x, call.Delete, "recordset_ids", len(b.IDs)); err != nil {
		return err
	}
	var rows []*recordRow // all of them are there before the first goes
	for _, id := range b.IDs {
		r, err := a.in(x, id)
		if err != nil {
			return err
		}
		rows = append(rows, r)
	}
	items := []any{}
	for _, r := range rows {
		if _, err := do(x, a.dns.Record.D, call.Delete, string(r.ID), nil); err != nil {
			return err
		}
		v := recordView(r)
		v["status"] = "PENDING_DELETE"
		items = append(items, v)
	}
	wire.Write(x.W, http.StatusOK, map[string]any{"recordsets": items, "metadata": map[string]int{"total_count": len(items)}, "links": map[string]string{}})
	return nil
}

func (a *API) updateRecords(x *exchange) error {
	var b struct {
		Records []recordBody `json:"recordsets"`
	}
	if err := body(x, &b); err != nil {
		return err
	}
	if err := a.bounded(x, call.Update, "recordsets", len(b.Records)); err != nil {
		return err
	}
	items := []any{}
	for i := range b.Records {
		r, err := a.edit(x, b.Records[i].ID, &b.Records[i])
		if err != nil {
			return err
		}
		items = append(items, recordView(r))
	}
	wire.Write(x.W, http.StatusOK, map[string]any{"recordsets": items, "metadata": map[string]int{"total_count": len(items)}})
	return nil
}

// createLines makes a name's record sets for several lines at once; of lines there is one.
func (a *API) createLines(x *exchange) error {
	var b struct {
		recordBody
		Lines []recordBody `json:"lines"`
	}
	if err := body(x, &b); err != nil {
		return err
	}
	if err := a.bounded(x, call.Create, "lines", len(b.Lines)); err != nil {
		return err
	}
	items := []any{}
	for _, l := range b.Lines {
		l.Name, l.Description, l.Type = b.Name, b.Description, b.Type
		r, err := a.make(x, &l)
		if err != nil {
			return err
		}
		items = append(items, recordView(r))
	}
	wire.Write(x.W, http.StatusAccepted, map[string]any{"recordsets": items, "metadata": map[string]int{"total_count": len(items)}})
	return nil
}
