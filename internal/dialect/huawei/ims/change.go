package ims

import (
	"encoding/json"
	"strconv"
	"strings"

	"github.com/awancloud/awan/internal/dialect/huawei/rest"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
)

func (a *API) changeRoutes() []route {
	k := a.Images.Images.D
	return []route{
		{Method: "PATCH", Path: all + "/{image_id}", Kind: k, Verb: call.Update, Alias: "ims:images:update", Do: a.patch},
		{Method: "PATCH", Path: "/v2/images/{image_id}", Kind: k, Verb: call.Update, Alias: "ims:images:update", Do: a.patch},
		{Method: "DELETE", Path: "/v2/images/{image_id}", Kind: k, Verb: call.Delete, Alias: "ims:images:delete", Do: a.remove},
	}
}

// change is one line of a patch: {"op": "replace", "path": "/name", "value": …}.
type change struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value"`
}

// patch changes an image's name, what it needs, and what is kept with it.
func (a *API) patch(x *exchange) error {
	var changes []change
	k, target := a.Images.Images.D, x.Param("image_id")
	raw, err := x.Bytes()
	if err == nil && len(raw) > 0 {
		err = json.Unmarshal(raw, &changes)
	}
	if err != nil || len(changes) == 0 {
		return rest.Refuse(x, k, call.Update, target, fail.New(fail.Invalid, "the body is no list of changes").Then(`send [{"op": "replace", "path": "/name", "value": "new"}]`))
	}
	s, props := wire.Spec{}, map[string]any{}
	var name *string
	for _, c := range changes {
		if err := c.apply(s, props, &name); err != nil {
			return rest.Refuse(x, k, call.Update, target, err)
		}
	}
	if len(props) > 0 {
		s["properties"] = props
	}
	r, err := rest.Send(x, k, call.Update, target, func(c *call.Call) { c.Name, c.Spec = name, s.JSON() })
	if err != nil {
		return err
	}
	return rest.OK(x, a.view(r.Row.(*row), r.Row.M().Project))
}

func (c *change) apply(s wire.Spec, props map[string]any, name **string) error {
	field := strings.TrimPrefix(c.Path, "/")
	if c.Op != "add" && c.Op != "replace" && c.Op != "remove" {
		return fail.Field("op", "%q is none of add, replace and remove", c.Op)
	}
	if field == "" || strings.Contains(field, "/") {
		return fail.Field("path", "%q is not the path of a field", c.Path)
	}
	text, _ := c.Value.(string)
	if n, ok := c.Value.(float64); ok {
		text = strconv.FormatFloat(n, 'f', -1, 64)
	}
	if b, ok := c.Value.(bool); ok {
		text = strconv.FormatBool(b)
	}
	number := func(to string) error {
		n, err := strconv.Atoi(text)
		if err != nil {
			return fail.Field(field, "%q is not a number", text)
		}
		s[to] = n
		return nil
	}
	switch field {
	case "name":
		*name = &text
	case "__description":
		s["description"] = text
	case "__os_version":
		s["os_version"] = text
	case "hw_firmware_type":
		s["firmware"] = text
	case "protected":
		s["protected"] = text == "true"
	case "min_disk":
		return number("min_disk")
	case "min_ram":
		return number("min_memory")
	case "id", "status", "owner", "size", "checksum", "visibility", "__imagetype", "created_at", "updated_at":
		return fail.Field(field, "cannot be changed")
	default:
		if props[field] = any(text); c.Op == "remove" {
			props[field] = nil
		}
	}
	return nil
}

func (a *API) remove(x *exchange) error {
	if _, err := rest.Send(x, a.Images.Images.D, call.Delete, x.Param("image_id"), nil); err != nil {
		return err
	}
	return x.NoContent()
}
