package nova

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/awancloud/awan/internal/dialect/openstack/rest"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/image"
)

// action is one of POST /servers/{id}/action. In is what stands under its name, null where nothing does.
type action func(x *exchange, in json.RawMessage) error

func (a *API) actionRoutes() []route {
	d := a.o.Compute.Server.D
	return []route{
		{"POST", "/servers/{server_id}/action", d, call.Get, act}, // each action asks the door for its own verb
		{"POST", "/servers/{server_id}/remote-consoles", d, "vnc", remoteConsole},
		{"GET", "/servers/{server_id}/diagnostics", d, "measure", diagnostics},
		{"GET", "/servers/{server_id}/os-server-password", d, call.Get, noPassword},
		{"DELETE", "/servers/{server_id}/os-server-password", d, call.Get, clearPassword},
	}
}

func actions() rest.Actions[*exchange] {
	return rest.Actions[*exchange]{
		"os-start": simply("start"), "os-stop": simply("stop"), "confirmResize": confirm, "revertResize": simply("revert-resize"),
		"pause": simply("pause"), "unpause": simply("unpause"), "unlock": simply("unlock"), "lock": lock, "reboot": reboot, "rebuild": rebuild,
		"resize": resize, "os-getConsoleOutput": consoleOutput, "changePassword": changePassword, "createImage": createImage,
		"os-getVNCConsole": vncConsole, "os-getSerialConsole": serialConsole, "addSecurityGroup": addGroup, "removeSecurityGroup": removeGroup,
		"forceDelete": forceDelete, "os-resetState": resetState,
	}
}

func act(x *exchange) error {
	o, err := rest.Read(x.Exchange)
	if err != nil {
		return err
	}
	return actions().Do(x, o, func() error { _, err := x.get(); return err }, "")
}

// send sends an action of the server's through the door.
func (x *exchange) send(verb string, in any) (call.Reply, error) {
	return rest.Do(x.Exchange, x.api.o.Compute.Server.D, verb, x.Param("server_id"), func(c *call.Call) {
		if in != nil {
			c.In, _ = json.Marshal(in) // plain values always encode
		}
		c.Stream.Emit = func(any) error { return nil }
	})
}

func simply(verb string) action {
	return func(x *exchange, _ json.RawMessage) error {
		if verb == "start" || verb == "stop" || verb == "pause" || verb == "unpause" {
			if err := x.fits(verb); err != nil {
				return err
			}
		}
		if _, err := x.send(verb, nil); err != nil {
			return err
		}
		return rest.Accepted(x.Exchange)
	}
}

// fits refuses what Nova refuses: starting what runs, stopping what does not.
func (x *exchange) fits(verb string) error {
	r, err := x.get()
	if err != nil {
		return err
	}
	status, _, vm := state(r)
	ok := map[string][]string{"start": {"SHUTOFF", "ERROR"}, "stop": {"ACTIVE", "ERROR", "PAUSED"}, "pause": {"ACTIVE"}, "unpause": {"PAUSED"}}[verb]
	if !slices.Contains(ok, status) {
		return fail.New(fail.Conflict, "Cannot '%s' instance %s while it is in vm_state %s", verb, r.ID.Dashed(), vm)
	}
	return nil
}

func confirm(x *exchange, _ json.RawMessage) error {
	if _, err := x.send("confirm-resize", nil); err != nil {
		return err
	}
	return x.NoContent()
}

func lock(x *exchange, in json.RawMessage) error {
	var l struct {
		Reason string `json:"locked_reason"`
	}
	if err := rest.Decode(in, "lock", &l); err != nil {
		return err
	}
	if l.Reason != "" {
		if !x.Since(73) {
			return fail.Field("lock", "locked_reason needs microversion 2.73")
		}
		if _, err := x.change(call.Update, func(c *call.Call) {
			c.Spec = rest.Spec{"foreign": map[string]string{keptLockReason: l.Reason}}.JSON()
		}); err != nil {
			return err
		}
	}
	if _, err := x.send("lock", nil); err != nil {
		return err
	}
	return rest.Accepted(x.Exchange)
}

func reboot(x *exchange, in json.RawMessage) error {
	var r struct {
		Type string `json:"type"`
	}
	if err := rest.Decode(in, "reboot", &r); err != nil {
		return err
	}
	how := strings.ToUpper(r.Type)
	if how != "SOFT" && how != "HARD" {
		return fail.Field("reboot.type", "%q is neither SOFT nor HARD", r.Type)
	}
	if _, err := x.send("reboot", map[string]bool{"hard": how == "HARD"}); err != nil {
		return err
	}
	return rest.Accepted(x.Exchange)
}

func resize(x *exchange, in json.RawMessage) error {
	var r struct {
		Flavor     string `json:"flavorRef"`
		DiskConfig string `json:"OS-DCF:diskConfig"`
	}
	if err := rest.Decode(in, "resize", &r); err != nil {
		return err
	}
	f := x.flavorByID(lastPart(r.Flavor))
	if f == nil {
		return fail.Field("resize.flavorRef", "Flavor %s could not be found", r.Flavor)
	}
	if _, err := x.send("resize", map[string]any{"flavor": f.Name, "confirm": true}); err != nil {
		return err
	}
	return rest.Accepted(x.Exchange)
}

func rebuild(x *exchange, in json.RawMessage) error {
	var r struct {
		Image       string            `json:"imageRef"`
		Name        *string           `json:"name"`
		AdminPass   string            `json:"adminPass"`
		Metadata    map[string]string `json:"metadata"`
		DiskConfig  *string           `json:"OS-DCF:diskConfig"`
		AccessIPv4  *string           `json:"accessIPv4"`
		AccessIPv6  *string           `json:"accessIPv6"`
		Description *string           `json:"description"`
		Hostname    *string           `json:"hostname"`
		KeyName     *string           `json:"key_name"`
		UserData    *string           `json:"user_data"`
		Keep        bool              `json:"preserve_ephemeral"`
		Files       []json.RawMessage `json:"personality"`
		Trusted     []string          `json:"trusted_image_certificates"`
	}
	if err := rest.Decode(in, "rebuild", &r); err != nil {
		return err
	}
	if len(r.Files) > 0 || len(r.Trusted) > 0 {
		return fail.Field("rebuild", "personality and trusted_image_certificates are not offered")
	}
	now, err := x.get()
	if err != nil {
		return err
	}
	spec, foreign := rest.Spec{}, map[string]string{}
	for k, v := range map[string]*string{keptDiskConfig: r.DiskConfig, keptAccessIPv4: r.AccessIPv4, keptAccessIPv6: r.AccessIPv6} {
		if v != nil {
			foreign[k] = *v
		}
	}
	if len(foreign) > 0 {
		spec["foreign"] = foreign
	}
	if r.Metadata != nil {
		spec["metadata"] = rest.Patch(now.Spec.Metadata, r.Metadata, true)
	}
	if r.Description != nil {
		spec["description"] = *r.Description
	}
	if r.Name != nil || len(spec) > 0 {
		if _, err := x.change(call.Update, func(c *call.Call) { c.Name, c.Spec = r.Name, spec.JSON() }); err != nil {
			return err
		}
	}
	out := map[string]any{"image": lastPart(r.Image), "password": r.AdminPass}
	if r.KeyName != nil {
		out["key_pair"] = *r.KeyName
	}
	if r.UserData != nil {
		b, err := base64.StdEncoding.DecodeString(*r.UserData)
		if err != nil || !utf8.Valid(b) {
			return fail.Field("rebuild.user_data", "it is not base64 of text")
		}
		out["user_data"] = string(b)
	}
	reply, err := x.send("rebuild", out)
	if err != nil {
		return err
	}
	v := x.server(reply.Row.(*serverRow))
	if r.AdminPass != "" {
		v["adminPass"] = r.AdminPass
	}
	x.W.Header().Set("Location", x.links("/servers/" + x.Param("server_id"))[0].Href)
	return x.One(http.StatusAccepted, "server", v)
}

func changePassword(x *exchange, in json.RawMessage) error {
	var p struct {
		AdminPass string `json:"adminPass"`
	}
	if err := rest.Decode(in, "changePassword", &p); err != nil {
		return err
	}
	if _, err := x.send("set-password", map[string]string{"password": p.AdminPass}); err != nil {
		return err
	}
	return rest.Accepted(x.Exchange)
}

func consoleOutput(x *exchange, in json.RawMessage) error {
	var o struct {
		Length *rest.Int `json:"length"`
	}
	if err := rest.Decode(in, "os-getConsoleOutput", &o); err != nil {
		return err
	}
	lines := 0
	if o.Length != nil && *o.Length > 0 {
		lines = int(*o.Length)
	}
	var b bytes.Buffer
	_, err := rest.Do(x.Exchange, x.api.o.Compute.Server.D, "console-log", x.Param("server_id"), func(c *call.Call) {
		c.In, _ = json.Marshal(map[string]int{"lines": lines})
		c.Stream.Raw = func(string) (io.Writer, error) { return &b, nil }
	})
	if err != nil {
		return err
	}
	wire.Write(x.W, http.StatusOK, map[string]string{"output": strings.ToValidUTF8(b.String(), "�")})
	return nil
}

func createImage(x *exchange, in json.RawMessage) error {
	var i struct {
		Name     string            `json:"name"`
		Metadata map[string]string `json:"metadata"`
	}
	if err := rest.Decode(in, "createImage", &i); err != nil {
		return err
	}
	r, err := x.get()
	if err != nil {
		return err
	}
	if x.api.o.Images == nil {
		return fail.New(fail.Unsupported, "images are not made here")
	}
	var root id.ID
	for _, d := range r.Status.Disks {
		if d.Boot {
			root = d.Volume
		}
	}
	if root == "" {
		return fail.New(fail.Conflict, "the server has no disk yet")
	}
	spec := rest.Spec{"source": image.Source{Volume: string(root)}, "properties": i.Metadata, "user": r.Status.User}
	row, err := x.Do(x.api.o.Images.Images.D, call.Create, "", func(c *call.Call) { c.Name, c.Spec = &i.Name, spec.JSON() })
	if err != nil {
		return err
	}
	img := row.M().ID
	x.W.Header().Set("Location", x.API.Base(x.R)+"/images/"+img.Dashed())
	if x.Since(45) {
		wire.Write(x.W, http.StatusAccepted, map[string]string{"image_id": img.Dashed()})
		return nil
	}
	return rest.Accepted(x.Exchange)
}

func forceDelete(x *exchange, _ json.RawMessage) error {
	if _, err := rest.Do(x.Exchange, x.api.o.Compute.Server.D, call.Delete, x.Param("server_id"), nil); err != nil {
		return err
	}
	return rest.Accepted(x.Exchange)
}

// resetState exists for operators of clouds whose records and machines drift apart. Here the loop sees to that.
func resetState(x *exchange, _ json.RawMessage) error {
	if err := rest.Operators(x.Exchange); err != nil {
		return err
	}
	return fail.New(fail.Unsupported, "a server's state follows from its machine and is not set by hand").Then("reboot it, or delete it")
}

// consoleAt answers with the address of a console.
func (x *exchange) consoleAt(protocol string) (string, error) {
	r, err := x.get()
	if err != nil {
		return "", err
	}
	if status, _, vm := state(r); status != "ACTIVE" {
		return "", fail.New(fail.Conflict, "Instance %s is not ready: it is in vm_state %s", r.ID.Dashed(), vm)
	}
	if x.api.o.Console == nil {
		return "", fail.New(fail.Unsupported, "this cloud has no page for a console").Then("use awan console %s", r.ID)
	}
	return x.api.o.Console(r.Project, r.ID, protocol), nil
}

func vncConsole(x *exchange, in json.RawMessage) error {
	return oldConsole(x, in, "vnc", "novnc")
}

func serialConsole(x *exchange, in json.RawMessage) error {
	return oldConsole(x, in, "serial", "serial")
}

func oldConsole(x *exchange, in json.RawMessage, protocol, typ string) error {
	var c struct {
		Type string `json:"type"`
	}
	if err := rest.Decode(in, "os-getVNCConsole", &c); err != nil {
		return err
	}
	if c.Type != typ {
		return fail.Field("type", "%q is not offered", c.Type).Then("say %s", typ)
	}
	at, err := x.consoleAt(protocol)
	if err != nil {
		return err
	}
	return x.One(http.StatusOK, "console", map[string]string{"type": typ, "url": at})
}

func remoteConsole(x *exchange) error {
	var c struct {
		Protocol string `json:"protocol"`
		Type     string `json:"type"`
	}
	if err := rest.Body(x.Exchange, "remote_console", &c); err != nil {
		return err
	}
	if c.Protocol+"/"+c.Type != "vnc/novnc" && c.Protocol+"/"+c.Type != "serial/serial" {
		return fail.Field("remote_console", "%s/%s is not offered", c.Protocol, c.Type).Then("say vnc and novnc, or serial and serial")
	}
	at, err := x.consoleAt(c.Protocol)
	if err != nil {
		return err
	}
	return x.One(http.StatusOK, "remote_console", map[string]string{"protocol": c.Protocol, "type": c.Type, "url": at})
}

// noPassword answers as Nova does for servers whose password nobody stored encrypted.
func noPassword(x *exchange) error {
	if _, err := x.get(); err != nil {
		return err
	}
	return x.One(http.StatusOK, "password", "")
}

func clearPassword(x *exchange) error {
	if _, err := x.get(); err != nil {
		return err
	}
	return x.NoContent()
}
