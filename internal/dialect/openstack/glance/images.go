package glance

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"

	"github.com/awancloud/awan/internal/dialect/openstack/rest"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/service/image"
)

func (a *API) imageRoutes() []route {
	d := a.o.Images.Images.D
	return []route{
		{"GET", "/images", d, call.List, listImages},
		{"POST", "/images", d, call.Create, createImage},
		{"GET", "/images/{image_id}", d, call.Get, showImage},
		{"PATCH", "/images/{image_id}", d, call.Update, patchImage},
		{"DELETE", "/images/{image_id}", d, call.Delete, deleteImage},
		{"PUT", "/images/{image_id}/tags/{tag}", d, call.Update, func(x *exchange) error { return tag(x, true) }},
		{"DELETE", "/images/{image_id}/tags/{tag}", d, call.Update, func(x *exchange) error { return tag(x, false) }},
		{"POST", "/images/{image_id}/actions/deactivate", d, "deactivate", func(x *exchange) error { return activate(x, "deactivate") }},
		{"POST", "/images/{image_id}/actions/reactivate", d, "reactivate", func(x *exchange) error { return activate(x, "reactivate") }},
		{"GET", "/schemas/{schema}", nil, "", schema},
		{"GET", "/info/import", nil, "", imports},
	}
}

// draft is what a client says of an image.
type draft struct {
	name  *string
	tags  *map[string]string
	spec  rest.Spec
	props map[string]any // null takes one away
}

// visibilities that may be said of a project's image.
const visibilities = "private and shared, and public for operators when they create one"

// set takes one field over. drop takes it away.
func (d *draft) set(name string, raw json.RawMessage, drop bool) error {
	wrong := func(want string) error { return fail.Field(name, "expected %s", want) }
	var text *string
	var n rest.Int
	var yes bool
	switch name {
	case "name":
		if !drop && json.Unmarshal(raw, &text) != nil {
			return wrong("a text")
		}
		if text == nil {
			text = new(string)
		}
		d.name = text
	case "tags":
		var tags []string
		if !drop && json.Unmarshal(raw, &tags) != nil {
			return wrong("a list of texts")
		}
		m := rest.TagMap(tags)
		d.tags = &m
	case "protected", "os_hidden":
		if !drop && json.Unmarshal(raw, &yes) != nil {
			return wrong("true or false")
		}
		d.spec[map[string]string{"protected": "protected", "os_hidden": "hidden"}[name]] = yes
	case "min_disk", "min_ram":
		if !drop && json.Unmarshal(raw, &n) != nil || n < 0 {
			return wrong("a whole number of 0 or more")
		}
		d.spec[map[string]string{"min_disk": "min_disk", "min_ram": "min_memory"}[name]] = n
	case "id", "status", "created_at", "updated_at", "checksum", "size", "virtual_size", "self", "file", "schema", "locations", "os_hash_algo", "os_hash_value", "direct_url":
		return fail.New(fail.Denied, "Attribute '%s' is read-only.", name)
	case "owner":
		if json.Unmarshal(raw, &text) != nil || text == nil {
			return wrong("a text")
		}
		d.props[kept+"owner"] = *text
	default:
		if !drop && json.Unmarshal(raw, &text) != nil {
			return wrong("a text")
		}
		return d.property(name, text)
	}
	return nil
}

// property takes over what is a text.
func (d *draft) property(name string, text *string) error {
	if strings.HasPrefix(name, kept) || name == "" || len(name) > 255 {
		return fail.Field(name, "a property cannot be called so")
	}
	value := any(nil)
	if text != nil {
		value = *text
	}
	switch f := fields()[name]; {
	case f != "":
		d.props[keptWithout+name] = nil
		if value == nil {
			d.props[keptWithout+name] = "true"
			value = map[string]string{"os_type": "linux", "architecture": "x86_64", "hw_firmware_type": "bios"}[name]
		}
		d.spec[f] = value
	case name == "visibility":
		if value != "private" && value != "shared" && value != "public" {
			return fail.Field("visibility", "%v is not offered", value).Then("this cloud has %s", visibilities)
		}
		d.props[keptVisibility] = value
	case name == "disk_format":
		if text != nil && !strings.Contains(",qcow2,raw,vmdk,vhd,vhdx,vdi,iso,ami,ari,aki,ploop,", ","+*text+",") {
			return fail.Field("disk_format", "%q is not a format", *text)
		}
		d.props[keptDisk] = value
	case name == "container_format":
		if text != nil && !strings.Contains(",bare,ovf,ova,docker,aki,ari,ami,compressed,", ","+*text+",") {
			return fail.Field("container_format", "%q is not a format", *text)
		}
		d.props[keptContainer] = value
	default:
		d.props[name] = value
	}
	return nil
}

func newDraft() *draft { return &draft{spec: rest.Spec{}, props: map[string]any{}} }

func createImage(x *exchange) error {
	o, err := rest.Read(x.Exchange)
	if err != nil {
		return err
	}
	d := newDraft()
	for name, raw := range o {
		if name == "id" {
			return fail.Field("id", "an image's id is the cloud's choice here").Then("leave it out")
		}
		if err := d.set(name, raw, string(raw) == "null"); err != nil {
			return err
		}
	}
	if owner := d.props[kept+"owner"]; owner != nil && owner != string(x.Who.Project) {
		return fail.New(fail.Denied, "You are not permitted to create images owned by '%v'.", owner)
	}
	delete(d.props, kept+"owner")
	if f, ok := d.props[keptDisk].(string); ok && strings.Contains(",qcow2,raw,vmdk,vhd,vhdx,vdi,iso,", ","+f+",") {
		d.spec["format"] = f // it is checked when the content comes
	}
	of := x.api.o.Images.Images.D
	if d.props[keptVisibility] == "public" {
		of = x.api.o.Images.Public.D
		delete(d.props, keptVisibility)
	}
	d.spec["properties"] = withoutNull(d.props)
	row, err := x.Do(of, call.Create, "", func(c *call.Call) { c.Name, c.Tags, c.Spec = d.name, d.tags, d.spec.JSON() })
	if err != nil {
		return err
	}
	f := found{Row: row.(*image.Row), of: of}
	if rest.Settled(x.Exchange, of, string(f.Row.ID), x.R.Context()) { // its content may come at once
		if f.Row, err = x.send(f, call.Get, nil); err != nil {
			return err
		}
	}
	x.W.Header().Set("Location", x.API.Base(x.R)+"/v2/images/"+f.Row.ID.Dashed())
	wire.Write(x.W, http.StatusCreated, f.view())
	return nil
}

func withoutNull(m map[string]any) map[string]any {
	for k, v := range m {
		if v == nil {
			delete(m, k)
		}
	}
	return m
}

func showImage(x *exchange) error {
	f, err := x.image()
	if err != nil {
		return err
	}
	wire.Write(x.W, http.StatusOK, f.view())
	return nil
}

// patchImage takes a JSON patch (RFC 6902) of one level, as Glance does.
func patchImage(x *exchange) error {
	var ops []struct {
		Op    string          `json:"op"`
		Path  string          `json:"path"`
		Value json.RawMessage `json:"value"`
	}
	if ct := x.R.Header.Get("Content-Type"); !strings.HasPrefix(ct, "application/openstack-images-v2.") {
		if _, err := x.image(); err != nil {
			return err
		}
		if err := rest.Permitted(x.Exchange, x.api.o.Images.Images.D, call.Update); err != nil {
			return err
		}
		wire.Write(x.W, http.StatusUnsupportedMediaType, map[string]any{"message": "send application/openstack-images-v2.1-json-patch", "code": "415 Unsupported Media Type", "title": "Unsupported Media Type"})
		return nil
	}
	if err := json.NewDecoder(http.MaxBytesReader(x.W, x.R.Body, wire.MaxBody)).Decode(&ops); err != nil && err != io.EOF {
		return fail.New(fail.Invalid, "the body is not a list of changes: {op, path, value}")
	}
	f, err := x.own()
	if err != nil {
		return err
	}
	d := newDraft()
	now := f.view()
	for _, op := range ops {
		name := strings.NewReplacer("~1", "/", "~0", "~").Replace(strings.TrimPrefix(op.Path, "/"))
		_, there := now[name]
		switch {
		case op.Op != "add" && op.Op != "replace" && op.Op != "remove":
			return fail.Field("op", "%q is none of add, replace and remove", op.Op)
		case op.Op != "add" && !there:
			return fail.New(fail.Conflict, "the image has no %q", name)
		}
		if err := d.set(name, op.Value, op.Op == "remove" || string(op.Value) == "null"); err != nil {
			return err
		}
	}
	if err := d.fits(f); err != nil {
		return err
	}
	if len(d.props) > 0 {
		d.spec["properties"] = d.props
	}
	row, err := rest.Change(x.Exchange, f.of, call.Update, string(f.Row.ID), func(c *call.Call) { c.Name, c.Tags, c.Spec = d.name, d.tags, d.spec.JSON() })
	if err != nil {
		return err
	}
	wire.Write(x.W, http.StatusOK, found{Row: row.(*image.Row), of: f.of}.view())
	return nil
}

// fits refuses what cannot change of an image that is there.
func (d *draft) fits(f found) error {
	if v, said := d.props[keptVisibility]; said {
		if v == f.visibility() || f.public() {
			delete(d.props, keptVisibility)
		}
		if (v == "public") != f.public() {
			return fail.New(fail.Denied, "an image does not move between a project and the cloud").Then("create it anew as %v", v)
		}
	}
	if v, said := d.props[keptDisk]; said {
		if v == f.diskFormat() {
			delete(d.props, keptDisk)
		} else if f.Spec.Format != "" || f.Status.Phase != image.Queued {
			return fail.New(fail.Denied, "Attribute disk_format can be only replaced for a queued image that was created without one.")
		}
	}
	if owner := d.props[kept+"owner"]; owner != nil && owner != string(f.Project) {
		return fail.New(fail.Denied, "an image stays with its project").Then("share it with another: members")
	}
	delete(d.props, kept+"owner")
	return nil
}

func deleteImage(x *exchange) error {
	f, err := x.own()
	if err != nil {
		return err
	}
	if _, err := x.send(f, call.Delete, nil); err != nil {
		return err
	}
	return x.NoContent()
}

func tag(x *exchange, add bool) error {
	f, err := x.own()
	if err != nil {
		return err
	}
	k, v, _ := strings.Cut(x.Param("tag"), "=")
	_, has := f.Tags[k]
	if !add && !has {
		return fail.New(fail.NotFound, "the image has no tag %q", x.Param("tag"))
	}
	tags := map[string]string{}
	for k, v := range f.Tags {
		tags[k] = v
	}
	if delete(tags, k); add {
		tags[k] = v
	}
	if _, err := rest.Change(x.Exchange, f.of, call.Update, string(f.Row.ID), func(c *call.Call) { c.Tags = &tags }); err != nil {
		return err
	}
	return x.NoContent()
}

func activate(x *exchange, verb string) error {
	f, err := x.own()
	if err != nil {
		return err
	}
	if _, err := x.send(f, verb, nil); err != nil {
		return err
	}
	return x.NoContent()
}

// imports: content is uploaded, in no other way.
func imports(x *exchange) error {
	return rest.Write(x.Exchange, http.StatusOK, "import-methods", map[string]any{"description": "Import methods available.", "type": "array", "value": []string{}})
}

func schema(x *exchange) error {
	name := x.Param("schema")
	text := map[string]any{"type": []string{"null", "string"}}
	object := map[string]any{"name": "image", "properties": map[string]any{
		"id": map[string]any{"type": "string"}, "name": text, "status": map[string]any{"type": "string", "readOnly": true}, "visibility": map[string]any{"type": "string", "enum": []string{"public", "private", "shared"}},
		"protected": map[string]any{"type": "boolean"}, "os_hidden": map[string]any{"type": "boolean"}, "checksum": text, "os_hash_algo": text, "os_hash_value": text, "owner": text,
		"size": map[string]any{"type": []string{"null", "integer"}}, "virtual_size": map[string]any{"type": []string{"null", "integer"}}, "container_format": text, "disk_format": text,
		"created_at": map[string]any{"type": "string"}, "updated_at": map[string]any{"type": "string"}, "tags": map[string]any{"type": "array", "items": map[string]any{"type": "string"}},
		"self": map[string]any{"type": "string"}, "file": map[string]any{"type": "string"}, "schema": map[string]any{"type": "string"},
		"min_ram": map[string]any{"type": "integer"}, "min_disk": map[string]any{"type": "integer"}}, "additionalProperties": map[string]any{"type": "string"},
		"links": []any{map[string]string{"rel": "self", "href": "{self}"}, map[string]string{"rel": "enclosure", "href": "{file}"}, map[string]string{"rel": "describedby", "href": "{schema}"}}}
	member := map[string]any{"name": "member", "properties": map[string]any{"member_id": map[string]any{"type": "string"}, "image_id": map[string]any{"type": "string"},
		"created_at": map[string]any{"type": "string"}, "updated_at": map[string]any{"type": "string"}, "schema": map[string]any{"type": "string"},
		"status": map[string]any{"type": "string", "enum": []string{"pending", "accepted", "rejected"}}}}
	many := func(one map[string]any, plural string) map[string]any {
		return map[string]any{"name": plural, "properties": map[string]any{plural: map[string]any{"type": "array", "items": one}, "schema": map[string]any{"type": "string"},
			"first": map[string]any{"type": "string"}, "next": map[string]any{"type": "string"}}}
	}
	out := map[string]map[string]any{"image": object, "member": member, "images": many(object, "images"), "members": many(member, "members")}[name]
	if out == nil {
		return fail.New(fail.NotFound, "there is no schema %s", name).Then("there are image, images, member and members")
	}
	wire.Write(x.W, http.StatusOK, out)
	return nil
}
