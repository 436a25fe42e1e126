package iamv5

import (
	"net/http"

	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/kind"
)

// DeviceRow is a second factor.
type DeviceRow = kind.Row[ident.DeviceSpec, ident.DeviceStatus]

func mfaRoutes(a *wire.API) []wire.Route {
	k, all := a.Kinds.Device.D, "/v5/virtual-mfa-devices"
	return []wire.Route{
		{Method: "GET", Path: "/v5/mfa-devices", Kind: k, Verb: call.List, Do: listDevices},
		{Method: "POST", Path: all, Kind: k, Verb: call.Create, Do: createDevice},
		{Method: "DELETE", Path: all, Kind: k, Verb: call.Delete, Do: deleteDevice},
		{Method: "POST", Path: "/v5/mfa-devices/enable", Kind: k, Verb: "confirm", Do: enableDevice},
		{Method: "POST", Path: "/v5/mfa-devices/disable", Kind: k, Verb: call.Delete, Do: disableDevice},
	}
}

// Serial is the number of a device on the wire: clients read its name out of it.
func Serial(r *DeviceRow) string { return "iam:" + string(r.Domain) + ":mfa/" + r.Name }

// Own tells whether a user is the caller, who manages second factors of their own without a policy. Keys and agencies
// are not the person: what they may do, policies say.
func Own(x *wire.Exchange, user string) bool {
	p := x.Who
	return user == string(p.User) && (p.Method == ident.ByToken || p.Method == ident.ByPassword) && p.Whole()
}

// as lets the call be the caller's own business where it is.
func as(x *wire.Exchange, user string) func(*call.Call) {
	return func(c *call.Call) {
		if Own(x, user) {
			c.Principal, c.Domain = ident.OnBehalf(x.Who, "own second factor"), ""
		}
	}
}

// Devices lists the second factors of a user ("" = of everybody).
func Devices(x *wire.Exchange, user string) ([]*DeviceRow, error) {
	y := *x
	f := kind.Filter{}
	if user != "" {
		f.Index, f.Value = "user", user
		as(x, user)(&y.Call)
	}
	rows, _, err := wire.Rows(&y, x.API.Kinds.Device, "", f)
	return rows, err
}

// FindDevice finds a user's device by its serial number.
func FindDevice(x *wire.Exchange, verb, user, serial string) (*DeviceRow, error) {
	if err := must(x, x.API.Kinds.Device.D, verb, "", "user_id", user); err != nil {
		return nil, err
	}
	rows, err := Devices(x, user)
	if err != nil {
		return nil, err
	}
	for _, r := range rows {
		if Serial(r) == serial {
			return r, nil
		}
	}
	return nil, fail.New(fail.NotFound, "the user has no device %q", serial)
}

// CreateDevice makes a device; its answer is the only one that shows the secret.
func CreateDevice(x *wire.Exchange, user, name string) (map[string]any, error) {
	row, err := x.Do(x.API.Kinds.Device.D, call.Create, "", func(c *call.Call) {
		as(x, user)(c)
		c.Spec = wire.Spec{"user": user}.JSON()
		if name != "" {
			c.Name = &name
		}
	})
	if err != nil {
		return nil, wire.Named(err)
	}
	r := row.(*DeviceRow)
	x.W.Header().Set("Cache-Control", "no-store")
	return map[string]any{"serial_number": Serial(r), "base32_string_seed": r.Status.Secret}, nil
}

// ConfirmDevice makes a device work, by two codes that it shows one after the other.
func ConfirmDevice(x *wire.Exchange, user, serial, first, second string) error {
	r, err := FindDevice(x, "confirm", user, serial)
	if err != nil {
		return err
	}
	_, err = x.Do(x.API.Kinds.Device.D, "confirm", string(r.ID), func(c *call.Call) {
		as(x, user)(c)
		c.In = wire.Spec{"code": first, "next_code": second}.JSON()
	})
	return err
}

// RemoveDevice takes a device away.
func RemoveDevice(x *wire.Exchange, user, serial string) error {
	r, err := FindDevice(x, call.Delete, user, serial)
	if err != nil {
		return err
	}
	_, err = x.Do(x.API.Kinds.Device.D, call.Delete, string(r.ID), as(x, user))
	return err
}

func listDevices(x *wire.Exchange) error {
	rows, err := Devices(x, x.Query("user_id"))
	if err != nil {
		return err
	}
	var items []any
	for _, r := range rows {
		items = append(items, map[string]any{"serial_number": Serial(r), "user_id": r.Spec.User, "enabled": r.Status.Active})
	}
	return slice(x, "mfa_devices", items)
}

func createDevice(x *wire.Exchange) error {
	var b struct {
		Name string `json:"virtual_mfa_device_name"`
		User string `json:"user_id"`
	}
	if err := x.Plain(&b); err != nil {
		return err
	}
	v, err := CreateDevice(x, b.User, b.Name)
	if err != nil {
		return err
	}
	return x.One(http.StatusCreated, "virtual_mfa_device", v)
}

func deleteDevice(x *wire.Exchange) error {
	if err := RemoveDevice(x, x.Query("user_id"), x.Query("serial_number")); err != nil {
		return err
	}
	return x.NoContent()
}

func enableDevice(x *wire.Exchange) error {
	var b struct {
		User   string `json:"user_id"`
		Serial string `json:"serial_number"`
		First  string `json:"authentication_code_first"`
		Second string `json:"authentication_code_second"`
	}
	if err := x.Plain(&b); err != nil {
		return err
	}
	if err := ConfirmDevice(x, b.User, b.Serial, b.First, b.Second); err != nil {
		return err
	}
	return done(x)
}

// disableDevice takes the device away: one that is there and is not asked for would be of no use to anybody.
func disableDevice(x *wire.Exchange) error {
	var b struct {
		User   string `json:"user_id"`
		Serial string `json:"serial_number"`
	}
	if err := x.Plain(&b); err != nil {
		return err
	}
	if err := RemoveDevice(x, b.User, b.Serial); err != nil {
		return err
	}
	return done(x)
}
