package ecs

import (
	"net/http"

	"github.com/awancloud/awan/internal/dialect/huawei/rest"
	"github.com/awancloud/awan/internal/kernel/fail"
)

func (a *API) consoleRoutes() []route {
	k := a.Compute.Server.D
	return []route{
		{Method: "POST", Path: one + "/remote_console", Kind: k, Verb: "vnc", Alias: "ecs:cloudServers:vnc ecs:cloudServers:showServerRemoteConsole", Do: a.remoteConsole},
		{Method: "POST", Path: one + "/action", Kind: k, Verb: "console-log", Alias: "ecs:cloudServers:getConsoleOutput ecs:servers:getConsoleOutput", Do: a.consoleOutput},
	}
}

// remoteConsole gives the address of the page that shows the server's screen.
func (a *API) remoteConsole(x *exchange) error {
	var b struct {
		Console struct {
			Protocol string `json:"protocol"`
			Type     string `json:"type"`
		} `json:"remote_console"`
	}
	k := a.Compute.Server.D
	if err := rest.Body(x, &b); err != nil {
		return rest.Refuse(x, k, "vnc", x.Param("server_id"), err)
	}
	r, err := a.server(x)
	if err != nil {
		return err
	}
	if err := rest.May(x, k, "vnc", r.Name); err != nil {
		return err
	}
	if b.Console.Protocol != "vnc" || b.Console.Type != "novnc" {
		return fail.Field("remote_console", "%s by %s is not offered", b.Console.Type, b.Console.Protocol).Then(`send {"remote_console": {"protocol": "vnc", "type": "novnc"}}`)
	}
	if Status(r) != "ACTIVE" {
		return fail.New(fail.Precondition, "server %s does not run", r.Name).Then("start it first: os-start")
	}
	return x.One(http.StatusOK, "remote_console", map[string]any{"protocol": "vnc", "type": "novnc", "url": a.Console(x.R, string(r.Project), string(r.ID))})
}

// consoleOutput answers Nova's os-getConsoleOutput, which Huawei's API has at this path.
func (a *API) consoleOutput(x *exchange) error {
	var b struct {
		Output *struct {
			Length *int `json:"length"`
		} `json:"os-getConsoleOutput"`
	}
	k := a.Compute.Server.D
	if err := rest.Body(x, &b); err != nil {
		return rest.Refuse(x, k, "console-log", x.Param("server_id"), err)
	}
	r, err := a.server(x)
	if err != nil {
		return err
	}
	if err := rest.May(x, k, "console-log", r.Name); err != nil {
		return err
	}
	if b.Output == nil {
		return fail.New(fail.Invalid, "the action is missing").Then(`send {"os-getConsoleOutput": {"length": 50}}`)
	}
	lines := 0
	if n := b.Output.Length; n != nil && *n > 0 {
		lines = *n
	}
	text, err := a.Compute.ConsoleLog(x.R.Context(), r, lines)
	if err != nil {
		return err
	}
	return rest.OK(x, map[string]any{"output": string(text)})
}
