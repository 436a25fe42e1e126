package ecs

import (
	"strings"

	"github.com/awancloud/awan/internal/dialect/huawei/rest"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
)

func (a *API) powerRoutes() []route {
	return []route{{Method: "POST", Path: all + "/action", Kind: a.Compute.Server.D, Verb: "stop",
		Alias: "ecs:cloudServers:start ecs:cloudServers:stop ecs:cloudServers:reboot", Do: a.power}}
}

// onMany is an action on several servers.
type onMany struct {
	Servers []idBody `json:"servers"`
	Type    string   `json:"type"` // SOFT or HARD
}

// power starts, stops or reboots servers.
func (a *API) power(x *exchange) error {
	var b struct {
		Start  *onMany `json:"os-start"`
		Stop   *onMany `json:"os-stop"`
		Reboot *onMany `json:"reboot"`
	}
	k := a.Compute.Server.D
	if err := rest.Body(x, &b); err != nil {
		return rest.Refuse(x, k, "stop", "*", err)
	}
	var in wire.Spec
	verb, typ, on := "", "", (*onMany)(nil)
	switch {
	case b.Start != nil:
		verb, typ, on = "start", "startServer", b.Start
	case b.Stop != nil:
		verb, typ, on = "stop", "stopServer", b.Stop
	case b.Reboot != nil:
		verb, typ, on = "reboot", "rebootServer", b.Reboot
	default:
		return rest.Refuse(x, k, "stop", "*", fail.New(fail.Invalid, "the action is missing").Then(`send {"os-start" | "os-stop" | "reboot": {"servers": [{"id": …}]}}`))
	}
	x.Call.Alias = "ecs:cloudServers:" + verb + " ecs:cloudServers:batch" + strings.ToUpper(verb[:1]) + verb[1:] + "Servers"
	switch hard := strings.ToUpper(on.Type); {
	case hard != "" && hard != "SOFT" && hard != "HARD", hard == "" && verb == "reboot":
		return rest.Refuse(x, k, verb, "*", fail.Field(verb+".type", "%q is neither SOFT nor HARD", on.Type))
	case verb != "start":
		in = wire.Spec{"hard": hard == "HARD"}
	}
	rows, err := a.servers(x, verb, ids(on.Servers), 1000)
	if err != nil {
		return err
	}
	var replies []call.Reply
	for _, r := range rows {
		reply, err := rest.Send(x, k, verb, string(r.ID), func(c *call.Call) {
			if in != nil {
				c.In = in.JSON()
			}
		})
		if err != nil {
			return err
		}
		replies = append(replies, reply)
	}
	return a.begun(x, typ, nil, replies...)
}
