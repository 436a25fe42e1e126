package cinder

import (
	"encoding/json"
	"net/http"

	"github.com/awancloud/awan/internal/dialect/openstack/rest"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/service/image"
	"github.com/awancloud/awan/internal/service/volume"
)

func (a *API) actionRoutes() []route {
	return []route{{"POST", "/volumes/{volume_id}/action", a.o.Volumes.Volumes.D, call.Get, act}} // each action asks the door for its own verb
}

func actions() rest.Actions[*exchange] {
	return rest.Actions[*exchange]{
		"os-extend": extend, "os-retype": retype, "os-volume_upload_image": upload, "os-set_bootable": setBootable, "os-force_delete": forceDelete,
		"revert": revert, "os-show_image_metadata": showImageMetadata, "os-update_readonly_flag": readOnly,
	}
}

func act(x *exchange) error {
	o, err := rest.Read(x.Exchange)
	if err != nil {
		return err
	}
	there := func() error {
		_, err := rest.Get(x.Exchange, x.api.o.Volumes.Volumes, x.Param("volume_id"))
		return err
	}
	return actions().Do(x, o, there, "; servers attach volumes, and nobody sets a state by hand")
}

func (x *exchange) send(verb string, in any) (*volume.Row, error) {
	b, err := json.Marshal(in)
	if err != nil {
		return nil, err
	}
	r, err := rest.Do(x.Exchange, x.api.o.Volumes.Volumes.D, verb, x.Param("volume_id"), func(c *call.Call) { c.In = b })
	if err != nil {
		return nil, err
	}
	return r.Row.(*volume.Row), nil
}

func extend(x *exchange, in json.RawMessage) error {
	var e struct {
		Size rest.Int `json:"new_size"`
	}
	if err := rest.Decode(in, "os-extend", &e); err != nil {
		return err
	}
	if _, err := x.send("extend", map[string]any{"size": e.Size}); err != nil {
		return err
	}
	return rest.Accepted(x.Exchange)
}

func retype(x *exchange, in json.RawMessage) error {
	var r struct {
		Type   string `json:"new_type"`
		Policy string `json:"migration_policy"`
	}
	if err := rest.Decode(in, "os-retype", &r); err != nil {
		return err
	}
	if _, err := x.send("retype", map[string]any{"type": x.typeName(r.Type)}); err != nil {
		return err
	}
	return rest.Accepted(x.Exchange)
}

func setBootable(x *exchange, in json.RawMessage) error {
	var b struct {
		Bootable rest.Bool `json:"bootable"`
	}
	if err := rest.Decode(in, "os-set_bootable", &b); err != nil {
		return err
	}
	_, err := rest.Change(x.Exchange, x.api.o.Volumes.Volumes.D, call.Update, x.Param("volume_id"), func(c *call.Call) {
		c.Spec = rest.Spec{"bootable": bool(b.Bootable)}.JSON()
	})
	if err != nil {
		return err
	}
	x.W.WriteHeader(http.StatusOK)
	return nil
}

// readOnly: every volume can be written to.
func readOnly(x *exchange, in json.RawMessage) error {
	var r struct {
		ReadOnly rest.Bool `json:"readonly"`
	}
	if err := rest.Decode(in, "os-update_readonly_flag", &r); err != nil {
		return err
	}
	if _, err := rest.Get(x.Exchange, x.api.o.Volumes.Volumes, x.Param("volume_id")); err != nil {
		return err
	}
	if r.ReadOnly {
		return fail.Field("os-update_readonly_flag.readonly", "volumes are not made read-only here").Then("take a snapshot of it instead")
	}
	return rest.Accepted(x.Exchange)
}

func forceDelete(x *exchange, _ json.RawMessage) error {
	if err := x.remove(false, true); err != nil {
		return err
	}
	return rest.Accepted(x.Exchange)
}

func revert(x *exchange, in json.RawMessage) error {
	var r struct {
		Snapshot string `json:"snapshot_id"`
	}
	if err := rest.Decode(in, "revert", &r); err != nil {
		return err
	}
	if _, err := x.send("revert", map[string]string{"snapshot": r.Snapshot}); err != nil {
		return err
	}
	return rest.Accepted(x.Exchange)
}

func showImageMetadata(x *exchange, _ json.RawMessage) error {
	r, err := rest.Get(x.Exchange, x.api.o.Volumes.Volumes, x.Param("volume_id"))
	if err != nil {
		return err
	}
	m := map[string]string{}
	if r.Status.Image != nil {
		m = imageMetadata(r.Status.Image)
	}
	return x.One(http.StatusOK, "metadata", m)
}

// upload makes an image of what the volume holds now.
func upload(x *exchange, in json.RawMessage) error {
	var u struct {
		Name       string     `json:"image_name"`
		Force      rest.Bool  `json:"force"`
		Disk       string     `json:"disk_format"`
		Container  string     `json:"container_format"`
		Visibility string     `json:"visibility"`
		Protected  *rest.Bool `json:"protected"`
	}
	if err := rest.Decode(in, "os-volume_upload_image", &u); err != nil {
		return err
	}
	if u.Visibility != "" && u.Visibility != "private" && u.Visibility != "shared" {
		return fail.Field("os-volume_upload_image.visibility", "%q is not offered for an image of a volume", u.Visibility).Then("say private or shared")
	}
	r, err := rest.Get(x.Exchange, x.api.o.Volumes.Volumes, x.Param("volume_id"))
	if err != nil {
		return err
	}
	if len(r.Status.Attachments) > 0 && !bool(u.Force) {
		return fail.New(fail.Invalid, "Invalid volume: Volume %s status must be available", r.ID.Dashed()).Then("say force: it is then taken as at one moment")
	}
	var made *image.Row
	_, err = rest.Do(x.Exchange, x.api.o.Volumes.Volumes.D, "image", x.Param("volume_id"), func(c *call.Call) {
		c.In, _ = json.Marshal(volume.ImageIn{Name: u.Name}) // plain values always encode
		c.Stream.Emit = func(v any) error {
			made, _ = v.(*image.Row)
			return nil
		}
	})
	if err != nil {
		return err
	}
	if made == nil {
		return fail.New(fail.Internal, "the image is not known")
	}
	return x.One(http.StatusAccepted, "os-volume_upload_image", map[string]any{"id": r.ID.Dashed(), "updated_at": rest.Micro(r.Updated), "status": "uploading",
		"display_description": r.Spec.Description, "size": r.Spec.Size, "volume_type": map[string]any{"name": r.Spec.Type}, "container_format": "bare", "disk_format": "qcow2",
		"image_id": made.ID.Dashed(), "image_name": made.Name, "visibility": "shared", "protected": false})
}
