package kps

import (
	"net/http"

	"github.com/awancloud/awan/internal/dialect/huawei/rest"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/service/keypair"
)

// NovaRoutes are Nova's paths of key pairs (https://docs.openstack.org/api-ref/compute/#keypairs-keypairs), for Huawei's API of
// servers.
func NovaRoutes(k *kind.Def) []route {
	const base = "/v2.1/{project_id}/os-keypairs"
	a := &API{Options: Options{KeyPair: k}}
	return []route{
		{Method: "POST", Path: base, Kind: k, Verb: call.Create, Alias: "ecs:serverKeypairs:create ecs:keypairs:create", Do: a.novaCreate},
		{Method: "GET", Path: base, Kind: k, Verb: call.List, Alias: "ecs:serverKeypairs:list ecs:keypairs:list", Do: a.novaList},
		{Method: "GET", Path: base + "/{keypair_name}", Kind: k, Verb: call.Get, Alias: "ecs:serverKeypairs:get ecs:keypairs:get", Do: a.novaShow},
		{Method: "DELETE", Path: base + "/{keypair_name}", Kind: k, Verb: call.Delete, Alias: "ecs:serverKeypairs:delete ecs:keypairs:delete", Do: a.novaRemove},
	}
}

func (a *API) novaCreate(x *exchange) error {
	var b struct {
		KeyPair body `json:"keypair"`
	}
	if err := rest.Body(x, &b); err != nil {
		return rest.Refuse(x, a.KeyPair, call.Create, "*", err)
	}
	r, err := b.KeyPair.make(x, a.KeyPair)
	if err != nil {
		return err
	}
	return x.One(http.StatusOK, "keypair", created(r))
}

func (a *API) novaList(x *exchange) error {
	rows, _, err := wire.Rows(x, kind.TableOf[keypair.Spec, keypair.Status](a.KeyPair), "", kind.Filter{})
	if err != nil {
		return err
	}
	out := []any{}
	for _, r := range rows {
		v := created(r)
		delete(v, "private_key")
		delete(v, "user_id")
		out = append(out, map[string]any{"keypair": v})
	}
	return rest.OK(x, map[string]any{"keypairs": out})
}

func (a *API) novaShow(x *exchange) error {
	r, err := a.find(x)
	if err != nil {
		return err
	}
	v := a.view(r)
	return x.One(http.StatusOK, "keypair", map[string]any{"name": r.Name, "type": "ssh", "public_key": v["public_key"], "fingerprint": v["fingerprint"], "user_id": r.CreatedBy,
		"id": v["id"], "deleted": false, "created_at": rest.Fine(r.Created), "updated_at": nil, "deleted_at": nil})
}

func (a *API) novaRemove(x *exchange) error {
	if _, err := x.Do(a.KeyPair, call.Delete, x.Param("keypair_name"), nil); err != nil {
		return err
	}
	x.W.WriteHeader(http.StatusAccepted)
	return nil
}
