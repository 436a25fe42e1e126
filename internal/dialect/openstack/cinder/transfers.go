package cinder

import (
	"encoding/json"
	"net/http"

	"github.com/awancloud/awan/internal/dialect/openstack/rest"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/service/volume"
)

// Transfers have two paths: the newer one came with 3.55.
func (a *API) transferRoutes() []route {
	d := a.o.Volumes.Transfers.D
	var out []route
	for _, at := range []string{"/os-volume-transfer", "/volume-transfers"} {
		out = append(out,
			route{"GET", at, d, call.List, func(x *exchange) error { return listTransfers(x, false) }},
			route{"GET", at + "/detail", d, call.List, func(x *exchange) error { return listTransfers(x, true) }},
			route{"POST", at, d, call.Create, createTransfer},
			route{"GET", at + "/{transfer_id}", d, call.Get, showTransfer},
			route{"DELETE", at + "/{transfer_id}", d, call.Delete, deleteTransfer},
			route{"POST", at + "/{transfer_id}/accept", d, "accept", acceptTransfer})
	}
	return out
}

func (x *exchange) transfer(r *volume.Transfer, detail bool) map[string]any {
	v := map[string]any{"id": r.ID.Dashed(), "name": rest.NameOf(&r.Meta), "volume_id": dashed(r.Spec.Volume), "links": x.links("/volume-transfers/" + r.ID.Dashed())}
	if detail {
		v["created_at"] = rest.Micro(r.Created)
		if x.Since(57) {
			v["source_project_id"], v["destination_project_id"], v["accepted"] = string(r.Project), nil, false
		}
		if x.Since(55) {
			v["no_snapshots"] = false
		}
	}
	return v
}

func listTransfers(x *exchange, detail bool) error {
	rows, more, err := rest.Part(x.Exchange, x.api.o.Volumes.Transfers, rest.Query[volume.TransferSpec, volume.TransferStatus]{})
	if err != nil {
		return err
	}
	items, last := []any{}, ""
	for _, r := range rows {
		items, last = append(items, x.transfer(r, detail)), r.ID.Dashed()
	}
	return x.List("transfers", items, more, last)
}

func createTransfer(x *exchange) error {
	var in struct {
		Volume string    `json:"volume_id"`
		Name   *string   `json:"name"`
		Bare   rest.Bool `json:"no_snapshots"`
	}
	if err := rest.Body(x.Exchange, "transfer", &in); err != nil {
		return err
	}
	v, err := rest.Get(x.Exchange, x.api.o.Volumes.Volumes, in.Volume)
	if err != nil {
		return err
	}
	row, err := x.Do(x.api.o.Volumes.Transfers.D, call.Create, "", func(c *call.Call) { c.Name, c.Spec = in.Name, rest.Spec{"volume": string(v.ID)}.JSON() })
	if fail.Is(err, fail.Precondition) {
		return fail.New(fail.Invalid, "Invalid volume: %s", fail.From(err).Public()).Because(err)
	}
	if err != nil {
		return err
	}
	r := row.(*volume.Transfer)
	out := x.transfer(r, true)
	out["auth_key"] = r.Status.AuthKey
	return x.One(http.StatusAccepted, "transfer", out)
}

func showTransfer(x *exchange) error {
	r, err := rest.Get(x.Exchange, x.api.o.Volumes.Transfers, x.Param("transfer_id"))
	if err != nil {
		return err
	}
	return x.One(http.StatusOK, "transfer", x.transfer(r, true))
}

func deleteTransfer(x *exchange) error {
	if _, err := rest.Do(x.Exchange, x.api.o.Volumes.Transfers.D, call.Delete, x.Param("transfer_id"), nil); err != nil {
		return err
	}
	return rest.Accepted(x.Exchange)
}

// acceptTransfer takes a volume that another project offers: the offer is not the caller's, so it is not looked for here.
func acceptTransfer(x *exchange) error {
	var in struct {
		Key string `json:"auth_key"`
	}
	if err := rest.Body(x.Exchange, "accept", &in); err != nil {
		return err
	}
	b, err := json.Marshal(volume.AcceptIn{Transfer: x.Param("transfer_id"), AuthKey: in.Key})
	if err != nil {
		return err
	}
	var taken kind.AnyRow
	c := x.Call
	c.Kind, c.Verb, c.In = x.api.o.Volumes.Transfers.D, "accept", b
	c.Stream.Emit = func(v any) error {
		taken, _ = v.(kind.AnyRow)
		return nil
	}
	if _, err := x.API.Door.Do(x.R.Context(), &c); err != nil {
		return err
	}
	out := map[string]any{"id": x.Param("transfer_id"), "name": "", "links": x.links("/volume-transfers/" + x.Param("transfer_id"))}
	if taken != nil {
		out["volume_id"] = taken.M().ID.Dashed()
	}
	return x.One(http.StatusAccepted, "transfer", out)
}
