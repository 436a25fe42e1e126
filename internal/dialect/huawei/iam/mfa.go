package iam

import (
	"net/http"

	"github.com/awancloud/awan/internal/dialect/huawei/iamv5"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
)

func mfaRoutes(a *wire.API) []wire.Route {
	k, all := a.Kinds.Device.D, "/v3.0/OS-MFA/virtual-mfa-devices"
	return []wire.Route{
		{Method: "GET", Path: all, Kind: k, Verb: call.List, Do: listDevices},
		{Method: "POST", Path: all, Kind: k, Verb: call.Create, Do: createDevice},
		{Method: "DELETE", Path: all, Kind: k, Verb: call.Delete, Do: deleteDevice},
		{Method: "GET", Path: "/v3.0/OS-MFA/users/{user_id}/virtual-mfa-device", Kind: k, Verb: call.List, Do: showDevice},
		{Method: "PUT", Path: "/v3.0/OS-MFA/mfa-devices/bind", Kind: k, Verb: "confirm", Do: bindDevice},
		{Method: "PUT", Path: "/v3.0/OS-MFA/mfa-devices/unbind", Kind: k, Verb: call.Delete, Do: unbindDevice},
	}
}

func deviceView(r *iamv5.DeviceRow) map[string]any {
	return map[string]any{"serial_number": iamv5.Serial(r), "user_id": r.Spec.User}
}

func listDevices(x *wire.Exchange) error {
	rows, err := iamv5.Devices(x, x.Query("user_id"))
	if err != nil {
		return err
	}
	items := make([]any, 0, len(rows))
	for _, r := range rows {
		items = append(items, deviceView(r))
	}
	wire.Write(x.W, http.StatusOK, map[string]any{"virtual_mfa_devices": items})
	return nil
}

// showDevice is the user's device; the first one where there are several.
func showDevice(x *wire.Exchange) error {
	user := x.Param("user_id")
	if !iamv5.Own(x, user) {
		if _, err := wire.Get(x, x.API.Kinds.User, user); err != nil {
			return err
		}
	}
	rows, err := iamv5.Devices(x, user)
	if err != nil {
		return err
	}
	if len(rows) == 0 {
		return fail.New(fail.NotFound, "the user has no virtual MFA device")
	}
	return x.One(http.StatusOK, "virtual_mfa_device", deviceView(rows[0]))
}

func createDevice(x *wire.Exchange) error {
	var b struct {
		Name string `json:"name"`
		User string `json:"user_id"`
	}
	if err := x.Body("virtual_mfa_device", &b); err != nil {
		return err
	}
	v, err := iamv5.CreateDevice(x, b.User, b.Name)
	if err != nil {
		return err
	}
	return x.One(http.StatusCreated, "virtual_mfa_device", v)
}

func deleteDevice(x *wire.Exchange) error {
	if err := iamv5.RemoveDevice(x, x.Query("user_id"), x.Query("serial_number")); err != nil {
		return err
	}
	return x.NoContent()
}

func bindDevice(x *wire.Exchange) error {
	var b struct {
		User   string `json:"user_id"`
		Serial string `json:"serial_number"`
		First  string `json:"authentication_code_first"`
		Second string `json:"authentication_code_second"`
	}
	if err := x.Plain(&b); err != nil {
		return err
	}
	if err := iamv5.ConfirmDevice(x, b.User, b.Serial, b.First, b.Second); err != nil {
		return err
	}
	return x.NoContent()
}

// unbindDevice takes the device away. The code that Huawei's console asks for is not: who may unbind a lost phone has
// no code of it, and who is the user has logged in with one.
func unbindDevice(x *wire.Exchange) error {
	var b struct {
		User   string `json:"user_id"`
		Code   string `json:"authentication_code"`
		Serial string `json:"serial_number"`
	}
	if err := x.Plain(&b); err != nil {
		return err
	}
	if err := iamv5.RemoveDevice(x, b.User, b.Serial); err != nil {
		return err
	}
	return x.NoContent()
}
