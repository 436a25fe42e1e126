package vpc

import (
	"net/http"

	"github.com/awancloud/awan/internal/dialect/huawei/networks"
	"github.com/awancloud/awan/internal/dialect/huawei/rest"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/service/network"
)

type peeringRow = kind.Row[network.PeeringSpec, network.PeeringStatus]

func (a *API) peeringRoutes() []wire.Route {
	k, p := a.n.Peering.D, "/v2.0/vpc/peerings"
	one := p + "/{peering_id}"
	return []wire.Route{
		{Method: "POST", Path: p, Kind: k, Verb: call.Create, Do: a.createPeering},
		{Method: "GET", Path: p, Kind: k, Verb: call.List, Do: a.listPeerings},
		{Method: "GET", Path: one, Kind: k, Verb: call.Get, Do: a.showPeering},
		{Method: "PUT", Path: one, Kind: k, Verb: call.Update, Do: a.updatePeering},
		{Method: "DELETE", Path: one, Kind: k, Verb: call.Delete, Do: a.deletePeering},
		{Method: "PUT", Path: one + "/accept", Kind: k, Verb: "accept", Do: a.answerPeering("accept")},
		{Method: "PUT", Path: one + "/reject", Kind: k, Verb: "reject", Do: a.answerPeering("reject")},
	}
}

// peering finds a peering by the id that both sides know it by.
func (a *API) peering(x *wire.Exchange) (*peeringRow, error) {
	r, err := wire.Get(x, a.n.Peering, x.Param("peering_id"))
	if !fail.Is(err, fail.NotFound) {
		return r, err
	}
	shared, ok := id.Parse(x.Param("peering_id"))
	if !ok {
		return nil, err
	}
	rows, _, lerr := wire.Rows(x, a.n.Peering, "", kind.Filter{Index: "shared", Value: string(shared), Limit: 1})
	if lerr != nil || len(rows) == 0 {
		return nil, err
	}
	return rows[0], nil
}

var peeringStates = map[string]string{network.PeeringPending: "PENDING_ACCEPTANCE", network.PeeringActive: "ACTIVE", network.PeeringRejected: "REJECTED"}

func peeringView(r *peeringRow) map[string]any {
	asks := map[string]any{"vpc_id": rest.ID(r.Spec.VPC), "tenant_id": r.Project}
	accepts := map[string]any{"vpc_id": rest.ID(r.Spec.Peer), "tenant_id": r.Spec.PeerProject}
	if r.Status.Asked {
		asks, accepts = accepts, asks
	}
	return map[string]any{"id": rest.ID(r.Status.Shared), "name": rest.NameOf(&r.Meta), "description": r.Spec.Description, "status": peeringStates[r.Status.State],
		"request_vpc_info": asks, "accept_vpc_info": accepts, "created_at": networks.PlainT(r.Created), "updated_at": networks.PlainT(r.Updated)}
}

func (a *API) createPeering(x *wire.Exchange) error {
	type side struct {
		VPC     string `json:"vpc_id"`
		Project string `json:"tenant_id"`
	}
	var b struct {
		Name        string `json:"name"`
		Description string `json:"description"`
		Asks        side   `json:"request_vpc_info"`
		Accepts     side   `json:"accept_vpc_info"`
	}
	if err := networks.Body(x, "peering", &b); err != nil {
		return err
	}
	r, err := networks.Create(x, a.n.Peering.D, b.Name, "", wire.Spec{"vpc": b.Asks.VPC, "peer": b.Accepts.VPC, "peer_project": b.Accepts.Project, "description": b.Description})
	if err != nil {
		return err
	}
	return networks.One(x, http.StatusCreated, "peering", peeringView(r.(*peeringRow)))
}

func (a *API) listPeerings(x *wire.Exchange) error {
	return networks.List(x, a.n.Peering, "peerings", kind.Filter{}, func(r *peeringRow) bool {
		return networks.Same(x, "status", peeringStates[r.Status.State]) && (networks.Same(x, "vpc_id", r.Spec.VPC) || networks.Same(x, "vpc_id", r.Spec.Peer))
	}, func(r *peeringRow) any { return peeringView(r) })
}

func (a *API) showPeering(x *wire.Exchange) error {
	r, err := a.peering(x)
	if err != nil {
		return err
	}
	return networks.One(x, http.StatusOK, "peering", peeringView(r))
}

func (a *API) updatePeering(x *wire.Exchange) error {
	var b struct {
		Name        *string `json:"name"`
		Description *string `json:"description"`
	}
	if err := networks.Body(x, "peering", &b); err != nil {
		return err
	}
	r, err := a.peering(x)
	if err != nil {
		return err
	}
	s := wire.Spec{}
	wire.Set(s, "description", b.Description)
	now, err := networks.Update(x, a.n.Peering.D, string(r.ID), b.Name, s)
	if err != nil {
		return err
	}
	return networks.One(x, http.StatusOK, "peering", peeringView(now.(*peeringRow)))
}

func (a *API) deletePeering(x *wire.Exchange) error {
	r, err := a.peering(x)
	if err != nil {
		return err
	}
	return networks.Delete(x, a.n.Peering.D, string(r.ID))
}

// answerPeering accepts or rejects; the answer is not wrapped.
func (a *API) answerPeering(verb string) func(*wire.Exchange) error {
	return func(x *wire.Exchange) error {
		r, err := a.peering(x)
		if err != nil {
			return err
		}
		now, err := x.Do(a.n.Peering.D, verb, string(r.ID), nil)
		if err != nil {
			return err
		}
		wire.Write(x.W, http.StatusOK, peeringView(now.(*peeringRow)))
		return nil
	}
}
