// Package kps serves Huawei Cloud's key pairs: those of its Data Encryption Workshop, v3
// (https://support.huaweicloud.com/intl/en-us/api-dew/), and Nova's, which its servers' API has too. It may import the
// kernel, service/keypair and dialect/{auth,front,huawei/rest,wire}.
package kps

import (
	"hash/fnv"
	"net/http"
	"strconv"

	"golang.org/x/crypto/ssh"

	"github.com/awancloud/awan/internal/dialect/auth"
	"github.com/awancloud/awan/internal/dialect/front"
	"github.com/awancloud/awan/internal/dialect/huawei/rest"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/service/keypair"
)

// Options are what the API stands on.
type Options struct {
	Door    *call.Door
	Auth    *auth.Authenticator
	Region  string
	KeyPair *kind.Def // keypair.Kind
}

// API is the API.
type API struct {
	Options
	rest *wire.API
}

type (
	exchange = rest.Exchange
	route    = rest.Route
	row      = kind.Row[keypair.Spec, keypair.Status]
)

// New makes the API.
func New(o Options) *API {
	a := &API{Options: o}
	a.rest = rest.New(o.Door, o.Auth, o.Region, rest.Style{Code: Code, Flat: true}, a.routes())
	return a
}

// Routes lists what it serves.
func (a *API) Routes() []wire.Route { return a.rest.Routes() }

// Service is the API behind the listener. Terraform's provider asks for it where it asks for keys, "kms".
func (a *API) Service() front.Service {
	s := a.rest.ServiceNamed("kps")
	s.Aliases = []string{"kms"}
	return s
}

// Code gives the codes of failures: KPS. and the status. Those of Huawei's documents tell causes apart that are none here.
func Code(e *fail.Error) (int, string) {
	s := rest.Status(e.Kind)
	return s, "KPS." + strconv.Itoa(s)
}

const (
	all = "/v3/{project_id}/keypairs"
	one = all + "/{keypair_name}"
)

func (a *API) routes() []route {
	k := a.KeyPair
	const why, next = "key pairs are put into servers when they are made or rebuilt", "rebuild the server with the other pair: POST …/cloudservers/{server_id}/changeos"
	const kept, keep = "private keys are not kept here: a pair that is made here shows its private key once", "keep it yourself"
	out := []route{
		{Method: "POST", Path: all, Kind: k, Verb: call.Create, Alias: "kps:domainKeypairs:create kps:SSHKeyPair:createKeypair", Do: a.create},
		{Method: "GET", Path: all, Kind: k, Verb: call.List, Alias: "kps:domainKeypairs:list kps:SSHKeyPair:listKeypairs", Do: a.list},
		{Method: "GET", Path: one, Kind: k, Verb: call.Get, Alias: "kps:domainKeypairs:get kps:SSHKeyPair:getKeypair", Do: a.show},
		{Method: "PUT", Path: one, Kind: k, Verb: call.Update, Alias: "kps:domainKeypairs:update kps:SSHKeyPair:updateKeypair", Do: a.update},
		{Method: "DELETE", Path: one, Kind: k, Verb: call.Delete, Alias: "kps:domainKeypairs:delete kps:SSHKeyPair:deleteKeypair", Do: a.remove},
		{Method: "GET", Path: "/v3/{project_id}/failed-tasks", Kind: k, Verb: call.List, Do: a.noTasks},
		{Method: "GET", Path: "/v3/{project_id}/running-tasks", Kind: k, Verb: call.List, Do: a.noTasks},
	}
	for _, p := range []string{"associate", "batch-associate", "disassociate"} {
		out = append(out, route{Method: "POST", Path: all + "/" + p, Kind: k, Verb: call.Update, Do: rest.NotOffered(k, call.Update, why, next)})
	}
	for _, p := range []string{"import", "export", "batch-export"} {
		out = append(out, route{Method: "POST", Path: all + "/private-key/" + p, Kind: k, Verb: call.Update, Do: rest.NotOffered(k, call.Update, kept, keep)})
	}
	return append(out, route{Method: "DELETE", Path: one + "/private-key", Kind: k, Verb: call.Update, Do: rest.NotOffered(k, call.Update, kept, keep)},
		route{Method: "POST", Path: all + "/batch-import", Kind: k, Verb: call.Create, Do: a.createMany})
}

// body is a key pair as a client asks for it.
type body struct {
	Name       *string `json:"name"`
	Type       string  `json:"type"`
	PublicKey  string  `json:"public_key"`
	Protection *struct {
		PrivateKey string `json:"private_key"`
	} `json:"key_protection"`
}

func (b *body) refuse() error {
	if b.Type != "" && b.Type != "ssh" {
		return fail.Field("keypair.type", "%q is not offered: pairs are ssh's", b.Type)
	}
	if b.Protection != nil {
		return fail.Field("keypair.key_protection", "private keys are not kept here").Then("leave it out and keep the private key yourself")
	}
	return nil
}

// make creates a key pair; the answer's row shows a generated private key, this once.
func (b *body) make(x *exchange, k *kind.Def) (*row, error) {
	if err := b.refuse(); err != nil {
		return nil, rest.Refuse(x, k, call.Create, "*", err)
	}
	r, err := x.Do(k, call.Create, "", func(c *call.Call) {
		c.Name, c.Spec = b.Name, wire.Spec{"public_key": b.PublicKey}.JSON()
	})
	if err != nil {
		return nil, err
	}
	return r.(*row), nil
}

// Fingerprint is the MD5 sum that these APIs tell keys by.
func Fingerprint(public string) string {
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(public))
	if err != nil {
		return "" // rows hold keys that were read once
	}
	return ssh.FingerprintLegacyMD5(key)
}

func (a *API) create(x *exchange) error {
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

func created(r *row) map[string]any {
	v := map[string]any{"name": r.Name, "type": "ssh", "public_key": r.Spec.PublicKey, "fingerprint": Fingerprint(r.Spec.PublicKey), "user_id": r.CreatedBy}
	if r.Status.PrivateKey != "" {
		v["private_key"] = r.Status.PrivateKey
	}
	return v
}

// createMany imports several; what became of each is said apart.
func (a *API) createMany(x *exchange) error {
	var bs []struct {
		KeyPair body `json:"keypair"`
	}
	if err := rest.Body(x, &bs); err != nil {
		return rest.Refuse(x, a.KeyPair, call.Create, "*", err)
	}
	if len(bs) == 0 || len(bs) > 10 {
		return rest.Refuse(x, a.KeyPair, call.Create, "*", fail.New(fail.Invalid, "%d key pairs are given; want 1 to 10", len(bs)))
	}
	ok, failed := []any{}, []any{}
	for i := range bs {
		r, err := bs[i].KeyPair.make(x, a.KeyPair)
		switch {
		case fail.Is(err, fail.Denied):
			return err
		case err != nil:
			name := ""
			if n := bs[i].KeyPair.Name; n != nil {
				name = *n
			}
			failed = append(failed, map[string]any{"keypair_name": name, "failed_reason": fail.From(err).Public()})
		default:
			ok = append(ok, created(r))
		}
	}
	return rest.OK(x, map[string]any{"succeeded_keypairs": ok, "failed_keypairs": failed})
}

func (a *API) view(r *row) map[string]any {
	h := fnv.New32a()
	_, _ = h.Write([]byte(r.ID))
	return map[string]any{"name": r.Name, "id": int64(h.Sum32()), "type": "ssh", "scope": "user", "public_key": r.Spec.PublicKey,
		"fingerprint": Fingerprint(r.Spec.PublicKey), "is_key_protection": false, "is_managed": false, "deleted": false, "description": r.Spec.Description,
		"user_id": r.CreatedBy, "create_time": r.Created.UnixMilli(), "update_time": r.Updated.UnixMilli(), "delete_time": nil, "frozen_state": 0}
}

func (a *API) find(x *exchange) (*row, error) {
	r, err := x.Do(a.KeyPair, call.Get, x.Param("keypair_name"), nil)
	if err != nil {
		return nil, err
	}
	return r.(*row), nil
}

func (a *API) show(x *exchange) error {
	r, err := a.find(x)
	if err != nil {
		return err
	}
	return x.One(http.StatusOK, "keypair", a.view(r))
}

// list answers a page: after the pair that marker names, at most limit.
func (a *API) list(x *exchange) error {
	limit, err := x.Number("limit", 1000, 0, 1000)
	if err != nil {
		return rest.Refuse(x, a.KeyPair, call.List, "*", err)
	}
	f := kind.Filter{Limit: limit}
	if m := x.Query("marker"); m != "" {
		r, err := x.Do(a.KeyPair, call.Get, m, nil)
		if err != nil {
			return err
		}
		f.After = r.M().ID
	}
	rows, more, err := wire.Rows(x, kind.TableOf[keypair.Spec, keypair.Status](a.KeyPair), "", f)
	if err != nil {
		return err
	}
	out := []any{}
	for _, r := range rows {
		v := a.view(r)
		v["frozen_state"] = "0" // a text here, a number where one pair is shown
		out = append(out, map[string]any{"keypair": v})
	}
	page := map[string]any{"current_count": len(out)}
	if more {
		page["next_marker"] = rows[len(rows)-1].Name
	}
	return rest.OK(x, map[string]any{"keypairs": out, "page_info": page})
}

func (a *API) update(x *exchange) error {
	var b struct {
		KeyPair struct {
			Description *string `json:"description"`
		} `json:"keypair"`
	}
	if err := rest.Body(x, &b); err != nil {
		return rest.Refuse(x, a.KeyPair, call.Update, x.Param("keypair_name"), err)
	}
	s := wire.Spec{}
	wire.Set(s, "description", b.KeyPair.Description)
	if _, err := x.Do(a.KeyPair, call.Update, x.Param("keypair_name"), func(c *call.Call) { c.Spec = s.JSON() }); err != nil {
		return err
	}
	return rest.OK(x, struct{}{})
}

func (a *API) remove(x *exchange) error {
	if _, err := x.Do(a.KeyPair, call.Delete, x.Param("keypair_name"), nil); err != nil {
		return err
	}
	return x.NoContent()
}

// noTasks answers that nothing runs and nothing failed: key pairs are made at once.
func (a *API) noTasks(x *exchange) error {
	if err := rest.May(x, a.KeyPair, call.List, "*"); err != nil {
		return err
	}
	return rest.OK(x, map[string]any{"total": 0, "tasks": []any{}})
}
