package ecs

import (
	"crypto/sha1"
	"encoding/base64"
	"encoding/hex"
	"net/http"

	"github.com/awancloud/awan/internal/dialect/huawei/rest"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kind"
)

func (a *API) changeRoutes() []route {
	k := a.Compute.Server.D
	const put = "ecs:cloudServers:put ecs:cloudServers:updateServer"
	const resize = "ecs:cloudServers:resize ecs:cloudServers:resizeServer"
	const rebuild, changeos = "ecs:cloudServers:rebuild ecs:cloudServers:reinstallServer", "ecs:cloudServers:changeOS ecs:cloudServers:changeServerOs"
	return []route{
		{Method: "PUT", Path: one, Kind: k, Verb: call.Update, Alias: put, Do: a.update},
		{Method: "PUT", Path: all + "/server-name", Kind: k, Verb: call.Update, Alias: put, Do: a.rename},
		{Method: "POST", Path: one + "/resize", Kind: k, Verb: "resize", Alias: resize, Do: a.resize},
		{Method: "POST", Path: "/v1.1/{project_id}/cloudservers/{server_id}/resize", Kind: k, Verb: "resize", Alias: resize, Do: a.resize},
		{Method: "POST", Path: one + "/changeos", Kind: k, Verb: "rebuild", Alias: changeos, Do: a.changeOS},
		{Method: "POST", Path: "/v2/{project_id}/cloudservers/{server_id}/changeos", Kind: k, Verb: "rebuild", Alias: changeos, Do: a.changeOS},
		{Method: "POST", Path: one + "/reinstallos", Kind: k, Verb: "rebuild", Alias: rebuild, Do: a.reinstallOS},
		{Method: "POST", Path: "/v2/{project_id}/cloudservers/{server_id}/reinstallos", Kind: k, Verb: "rebuild", Alias: rebuild, Do: a.reinstallOS},
		{Method: "PUT", Path: one + "/os-reset-password", Kind: k, Verb: "set-password", Alias: "ecs:cloudServers:resetServerPwd ecs:cloudServers:resetServerPassword", Do: a.resetPassword},
		{Method: "PUT", Path: all + "/os-reset-passwords", Kind: k, Verb: "set-password", Alias: "ecs:cloudServers:batchResetServersPassword", Do: a.resetPasswords},
		{Method: "GET", Path: one + "/os-resetpwd-flag", Kind: k, Verb: call.Get, Alias: "ecs:cloudServers:showResetPasswordFlag ecs:servers:get", Do: a.passwordFlag},
		{Method: "GET", Path: one + "/os-server-password", Kind: k, Verb: call.Get, Alias: "ecs:serverPasswords:get", Do: a.noPassword},
		{Method: "GET", Path: one + "/autorecovery", Kind: k, Verb: call.Get, Alias: "ecs:cloudServers:getAutoRecovery", Do: a.recovery},
		{Method: "PUT", Path: one + "/autorecovery", Kind: k, Verb: call.Update, Alias: "ecs:cloudServers:setAutoRecovery", Do: a.setRecovery},
	}
}

func (a *API) update(x *exchange) error {
	var b struct {
		Server struct {
			Name        *string `json:"name"`
			Description *string `json:"description"`
			Hostname    *string `json:"hostname"`
			UserData    *string `json:"user_data"` // base64
		} `json:"server"`
	}
	k, target := a.Compute.Server.D, x.Param("server_id")
	if err := rest.Body(x, &b); err != nil {
		return rest.Refuse(x, k, call.Update, target, err)
	}
	s := wire.Spec{}
	wire.Set(s, "description", b.Server.Description)
	wire.Set(s, "hostname", b.Server.Hostname)
	if u := b.Server.UserData; u != nil && *u != "" {
		old, err := a.server(x)
		if err != nil {
			return err
		}
		if !stays(old.Spec.UserData, *u) {
			return rest.Refuse(x, k, call.Update, target, fail.Field("server.user_data", "is run at the first start, which is over").Then("rebuild the server with other user data: changeos or reinstallos"))
		}
	}
	name := b.Server.Name
	if name != nil && *name == "" {
		name = nil
	}
	r, err := rest.Send(x, k, call.Update, target, func(c *call.Call) { c.Name, c.Spec = name, s.JSON() })
	if err != nil {
		return err
	}
	row := r.Row.(*serverRow)
	v := a.view(x, row) // in the form of this answer, which is Nova's older one
	v["addresses"], v["image"], v["flavor"], v["links"] = numbered(addresses(row)), dashed(row.Status.Image), map[string]any{"id": row.Spec.Flavor, "links": []any{}}, []any{}
	return x.One(http.StatusOK, "server", v)
}

// stays tells whether what a client sends as user data is what the server has: in base64, or, as Terraform's provider sends
// it with every change, the SHA-1 sum that its state keeps instead.
func stays(has, sent string) bool {
	sum := sha1.Sum([]byte(has))
	return sent == base64.StdEncoding.EncodeToString([]byte(has)) || sent == hex.EncodeToString(sum[:])
}

// rename gives several servers one name.
func (a *API) rename(x *exchange) error {
	var b struct {
		Name    string   `json:"name"`
		DryRun  bool     `json:"dry_run"`
		Servers []idBody `json:"servers"`
	}
	k := a.Compute.Server.D
	if err := rest.Body(x, &b); err != nil {
		return rest.Refuse(x, k, call.Update, "*", err)
	}
	rows, err := a.servers(x, call.Update, ids(b.Servers), 1000)
	if err != nil {
		return err
	}
	if b.Name == "" {
		return rest.Refuse(x, k, call.Update, "*", fail.Field("name", "is required"))
	}
	done := []any{}
	for _, r := range rows {
		if _, err := rest.Send(x, k, call.Update, string(r.ID), func(c *call.Call) { c.Name, c.DryRun = &b.Name, b.DryRun }); err != nil {
			return err
		}
		done = append(done, map[string]any{"id": rest.ID(r.ID)})
	}
	return rest.OK(x, map[string]any{"response": done})
}

// act sends an action of the path's server and answers with its job.
func (a *API) act(x *exchange, verb, typ string, in wire.Spec) error {
	r, err := rest.Send(x, a.Compute.Server.D, verb, x.Param("server_id"), func(c *call.Call) {
		if in != nil {
			c.In = in.JSON()
		}
	})
	if err != nil {
		return err
	}
	return a.begun(x, typ, nil, r)
}

// begun answers with the id of what was begun.
func (a *API) begun(x *exchange, typ string, facts map[string]string, replies ...call.Reply) error {
	job, err := rest.Begin(x, a.Compute.Server.D, typ, facts, replies...)
	if err != nil {
		return err
	}
	return rest.OK(x, map[string]any{"job_id": job})
}

func (a *API) resize(x *exchange) error {
	var b struct {
		Resize struct {
			Flavor string `json:"flavorRef"`
		} `json:"resize"`
		DryRun bool `json:"dry_run"`
	}
	if err := rest.Body(x, &b); err != nil {
		return rest.Refuse(x, a.Compute.Server.D, "resize", x.Param("server_id"), err)
	}
	if b.DryRun {
		_, err := rest.Send(x, a.Compute.Server.D, "resize", x.Param("server_id"), func(c *call.Call) {
			c.In, c.DryRun = wire.Spec{"flavor": b.Resize.Flavor}.JSON(), true
		})
		if err == nil {
			wire.Write(x.W, http.StatusAccepted, struct{}{})
		}
		return err
	}
	return a.act(x, "resize", "resizeServer", wire.Spec{"flavor": b.Resize.Flavor})
}

type osBody struct {
	Password string `json:"adminpass"`
	Key      string `json:"keyname"`
	Image    string `json:"imageid"`
	Metadata struct {
		UserData string `json:"user_data"`
	} `json:"metadata"`
}

func (a *API) changeOS(x *exchange) error {
	var b struct {
		OS osBody `json:"os-change"`
	}
	if err := rest.Body(x, &b); err != nil {
		return rest.Refuse(x, a.Compute.Server.D, "rebuild", x.Param("server_id"), err)
	}
	if b.OS.Image == "" {
		return rest.Refuse(x, a.Compute.Server.D, "rebuild", x.Param("server_id"), fail.Field("os-change.imageid", "is required").Then("GET /v2/cloudimages lists images"))
	}
	return a.rebuild(x, "changeOS", "os-change", &b.OS)
}

func (a *API) reinstallOS(x *exchange) error {
	var b struct {
		OS osBody `json:"os-reinstall"`
	}
	if err := rest.Body(x, &b); err != nil {
		return rest.Refuse(x, a.Compute.Server.D, "rebuild", x.Param("server_id"), err)
	}
	b.OS.Image = "" // the one it has
	return a.rebuild(x, "reinstallOS", "os-reinstall", &b.OS)
}

func (a *API) rebuild(x *exchange, typ, field string, b *osBody) error {
	user, err := decoded(field+".metadata.user_data", b.Metadata.UserData)
	if err != nil {
		return rest.Refuse(x, a.Compute.Server.D, "rebuild", x.Param("server_id"), err)
	}
	s := wire.Spec{"image": b.Image, "key_pair": b.Key}
	put(s, "password", b.Password)
	put(s, "user_data", user)
	return a.act(x, "rebuild", typ, s)
}

func (a *API) resetPassword(x *exchange) error {
	var b struct {
		Reset struct {
			Password string `json:"new_password"`
		} `json:"reset-password"`
	}
	if err := rest.Body(x, &b); err != nil {
		return rest.Refuse(x, a.Compute.Server.D, "set-password", x.Param("server_id"), err)
	}
	if err := a.setPassword(x, x.Param("server_id"), b.Reset.Password); err != nil {
		return err
	}
	return x.NoContent()
}

// setPassword asks the agent inside; its one line of answer says nothing that this API's does.
func (a *API) setPassword(x *exchange, target, password string) error {
	c := x.Call
	c.Kind, c.Verb, c.Target = a.Compute.Server.D, "set-password", target
	c.In = wire.Spec{"password": password}.JSON()
	c.Stream = kind.Stream{Emit: func(any) error { return nil }}
	_, err := a.Door.Do(x.R.Context(), &c)
	return err
}

func (a *API) resetPasswords(x *exchange) error {
	var b struct {
		Password string   `json:"new_password"`
		Servers  []idBody `json:"servers"`
	}
	if err := rest.Body(x, &b); err != nil {
		return rest.Refuse(x, a.Compute.Server.D, "set-password", "*", err)
	}
	rows, err := a.servers(x, "set-password", ids(b.Servers), 1000)
	if err != nil {
		return err
	}
	done := []any{}
	for _, r := range rows {
		if err := a.setPassword(x, string(r.ID), b.Password); err != nil {
			return err
		}
		done = append(done, map[string]any{"id": rest.ID(r.ID)})
	}
	return rest.OK(x, map[string]any{"response": done})
}

// passwordFlag tells whether the agent inside could set a password.
func (a *API) passwordFlag(x *exchange) error {
	r, err := a.server(x)
	if err != nil {
		return err
	}
	u, err := a.Compute.Measure(x.R.Context(), r)
	if err != nil {
		return err
	}
	flag := "False"
	if u.Agent {
		flag = "True"
	}
	return rest.OK(x, map[string]any{"resetpwd_flag": flag})
}

// noPassword answers where Windows servers tell their first password: there are none here.
func (a *API) noPassword(x *exchange) error {
	if _, err := a.server(x); err != nil {
		return err
	}
	return rest.OK(x, map[string]any{"password": ""})
}

// recovery tells whether the server is started again when its machine ended by itself: it always is.
func (a *API) recovery(x *exchange) error {
	if _, err := a.server(x); err != nil {
		return err
	}
	return rest.OK(x, map[string]any{"support_auto_recovery": "true"})
}

func (a *API) setRecovery(x *exchange) error {
	var b struct {
		Recovery any `json:"support_auto_recovery"`
	}
	k, target := a.Compute.Server.D, x.Param("server_id")
	if err := rest.Body(x, &b); err != nil {
		return rest.Refuse(x, k, call.Update, target, err)
	}
	r, err := a.server(x)
	if err != nil {
		return err
	}
	switch b.Recovery {
	case true, "true":
		if err := rest.May(x, k, call.Update, r.Name); err != nil {
			return err
		}
		return x.NoContent()
	}
	return rest.Refuse(x, k, call.Update, r.Name, fail.New(fail.Unsupported, "a server whose machine ended by itself is always started again here").Then("stop it instead: os-stop"))
}
