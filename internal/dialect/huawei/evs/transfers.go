package evs

import (
	"net/http"

	"github.com/awancloud/awan/internal/dialect/huawei/rest"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/service/volume"
)

func (a *API) transferRoutes() []route {
	k := a.Volumes.Transfers.D
	const base = "/v2/{project_id}/os-volume-transfer"
	on := base + "/{transfer_id}"
	return []route{
		{Method: "POST", Path: base, Kind: k, Verb: call.Create, Alias: "evs:transfers:create", Do: a.createTransfer},
		{Method: "GET", Path: base, Kind: k, Verb: call.List, Alias: "evs:transfers:list", Do: a.listTransfers},
		{Method: "GET", Path: base + "/detail", Kind: k, Verb: call.List, Alias: "evs:transfers:list", Do: a.listTransfers},
		{Method: "GET", Path: on, Kind: k, Verb: call.Get, Alias: "evs:transfers:get", Do: a.showTransfer},
		{Method: "DELETE", Path: on, Kind: k, Verb: call.Delete, Alias: "evs:transfers:delete", Do: a.deleteTransfer},
		{Method: "POST", Path: on + "/accept", Kind: k, Verb: "accept", Alias: "evs:transfers:accept", Do: a.acceptTransfer},
	}
}

func transferView(r *volume.Transfer) map[string]any {
	v := map[string]any{"id": rest.ID(r.ID), "name": r.Name, "volume_id": dashed(r.Spec.Volume), "created_at": rest.Fine(r.Created), "links": []any{}}
	if k := r.Status.AuthKey; k != "" && k != kind.Mask {
		v["auth_key"] = k
	}
	return v
}

func (a *API) createTransfer(x *exchange) error {
	var b struct {
		Transfer struct {
			Name   string `json:"name"`
			Volume string `json:"volume_id"`
		} `json:"transfer"`
	}
	k := a.Volumes.Transfers.D
	if err := rest.Body(x, &b); err != nil {
		return rest.Refuse(x, k, call.Create, "*", err)
	}
	r, err := rest.Send(x, k, call.Create, "", func(c *call.Call) {
		c.Name, c.Spec = &b.Transfer.Name, wire.Spec{"volume": b.Transfer.Volume}.JSON()
	})
	if err != nil {
		return err
	}
	return x.One(http.StatusAccepted, "transfer", transferView(r.Row.(*volume.Transfer)))
}

func (a *API) listTransfers(x *exchange) error {
	l, err := rest.Listed(x, a.Volumes.Transfers.D, 1000, 1000)
	if err != nil {
		return err
	}
	rows, _, err := wire.Rows(x, a.Volumes.Transfers, "", l.Filter)
	if err != nil {
		return err
	}
	out := []any{}
	for _, r := range rest.Cut(rows, l.Offset, l.Count) {
		out = append(out, transferView(r))
	}
	return rest.OK(x, map[string]any{"transfers": out})
}

func (a *API) showTransfer(x *exchange) error {
	r, err := wire.Get(x, a.Volumes.Transfers, x.Param("transfer_id"))
	if err != nil {
		return err
	}
	return x.One(http.StatusOK, "transfer", transferView(r))
}

func (a *API) deleteTransfer(x *exchange) error {
	if _, err := rest.Send(x, a.Volumes.Transfers.D, call.Delete, x.Param("transfer_id"), nil); err != nil {
		return err
	}
	wire.Write(x.W, http.StatusAccepted, struct{}{})
	return nil
}

// acceptTransfer takes a volume that another project offers.
func (a *API) acceptTransfer(x *exchange) error {
	var b struct {
		Accept struct {
			Key string `json:"auth_key"`
		} `json:"accept"`
	}
	k := a.Volumes.Transfers.D
	if err := rest.Body(x, &b); err != nil {
		return rest.Refuse(x, k, "accept", "*", err)
	}
	c := x.Call
	c.Kind, c.Verb, c.In = k, "accept", wire.Spec{"transfer": x.Param("transfer_id"), "auth_key": b.Accept.Key}.JSON()
	taken := ""
	c.Stream = kind.Stream{Emit: func(v any) error {
		if r, ok := v.(kind.AnyRow); ok {
			taken = rest.ID(r.M().ID)
		}
		return nil
	}}
	if _, err := a.Door.Do(x.R.Context(), &c); err != nil {
		return err
	}
	return x.One(http.StatusAccepted, "transfer", map[string]any{"id": x.Param("transfer_id"), "name": "", "volume_id": taken, "links": []any{}})
}
