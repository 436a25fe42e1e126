package ims

import (
	"encoding/json"
	"strings"

	"github.com/awancloud/awan/internal/dialect/huawei/rest"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/service/compute"
)

func (a *API) createRoutes() []route {
	k := a.Images.Images.D
	out := []route{}
	for _, v := range []string{"/v2", "/v2.1"} {
		out = append(out, route{Method: "POST", Path: v + "/cloudimages/action", Kind: k, Verb: call.Create, Alias: "ims:images:create ims:serverImages:create", Do: a.create},
			route{Method: "POST", Path: v + "/cloudimages/quickimport/action", Kind: k, Verb: call.Create, Alias: "ims:images:create ims:serverImages:create", Do: a.create})
	}
	return append(out, route{Method: "POST", Path: "/v1/cloudimages/dataimages/action", Kind: k, Verb: call.Create, Alias: "ims:images:create ims:dataImages:create", Do: a.createData},
		route{Method: "POST", Path: "/v2.1/cloudimages/dataimages/action", Kind: k, Verb: call.Create, Alias: "ims:images:create ims:dataImages:create", Do: a.createData})
}

// imageBody is an image as a client asks for it.
type imageBody struct {
	Name         string     `json:"name"`
	Description  string     `json:"description"`
	Instance     string     `json:"instance_id"`
	Volume       string     `json:"volume_id"`
	URL          string     `json:"image_url"` // bucket:object
	Type         string     `json:"type"`
	Data         []dataBody `json:"data_images"`
	OSVersion    string     `json:"os_version"`
	OSType       string     `json:"os_type"`
	MinDisk      int        `json:"min_disk"`
	MinRAM       int        `json:"min_ram"`
	MaxRAM       int        `json:"max_ram"`
	Architecture string     `json:"architecture"`
	Firmware     string     `json:"hw_firmware_type"`
	Enterprise   string     `json:"enterprise_project_id"`
	ImageTags    []rest.Tag `json:"image_tags"`
	Tags         []string   `json:"tags"` // "key.value"
}

type dataBody struct {
	Name        string     `json:"name"`
	Volume      string     `json:"volume_id"`
	Description string     `json:"description"`
	Tags        []string   `json:"tags"`
	ImageTags   []rest.Tag `json:"image_tags"`
}

func tagsOf(pairs []rest.Tag, words []string) map[string]string {
	out := rest.TagMap(pairs)
	for _, t := range words {
		k, v, ok := strings.Cut(t, ".")
		if !ok {
			k, v, _ = strings.Cut(t, "=")
		}
		out[k] = v
	}
	return out
}

// create makes an image of a server's disk, of a volume, or of a file in a bucket.
func (a *API) create(x *exchange) error {
	var b imageBody
	k := a.Images.Images.D
	if err := rest.Body(x, &b); err != nil {
		return rest.Refuse(x, k, call.Create, "*", err)
	}
	if b.Instance == "" && b.Volume == "" && b.URL == "" && len(b.Data) == 0 {
		return rest.Refuse(x, k, call.Create, "*", fail.New(fail.Invalid, "nothing is named to make the image of").Then("give instance_id, volume_id, image_url (BUCKET:OBJECT) or data_images"))
	}
	s := wire.Spec{"description": b.Description}
	props := map[string]string{}
	var err error
	switch {
	case b.Instance != "":
		err = a.ofServer(x, &b, s, props)
	case b.URL != "":
		err = ofObject(&b, s, props)
	case b.Volume != "":
		s["source"], props[origin] = map[string]string{"volume": b.Volume}, "volume,"+b.Volume
	}
	if err != nil {
		return rest.Refuse(x, k, call.Create, "*", err)
	}
	if b.Type == dataImage {
		props[imageKind] = dataImage
	}
	b.describe(s, props)
	var replies []call.Reply
	if _, ok := s["source"]; ok {
		r, err := a.send(x, b.Name, b.Enterprise, tagsOf(b.ImageTags, b.Tags), s, props)
		if err != nil {
			return err
		}
		replies = append(replies, r)
	}
	for _, d := range b.Data {
		r, err := a.send(x, d.Name, b.Enterprise, tagsOf(d.ImageTags, d.Tags), wire.Spec{"description": d.Description, "source": map[string]string{"volume": d.Volume}},
			map[string]string{origin: "volume," + d.Volume, imageKind: dataImage})
		if err != nil {
			return err
		}
		replies = append(replies, r)
	}
	return a.begun(x, replies...)
}

func (a *API) begun(x *exchange, replies ...call.Reply) error {
	facts := map[string]string{"image_name": replies[0].Row.M().Name, "image_id": rest.ID(replies[0].Row.M().ID)}
	job, err := rest.Begin(x, a.Images.Images.D, "imsCreateImage", facts, replies...)
	if err != nil {
		return err
	}
	return rest.OK(x, map[string]any{"job_id": job})
}

func (a *API) send(x *exchange, name, enterprise string, tags map[string]string, s wire.Spec, props map[string]string) (call.Reply, error) {
	s["properties"] = props
	return rest.Send(x, a.Images.Images.D, call.Create, "", func(c *call.Call) {
		c.Name, c.Tags, c.Spec = &name, &tags, s.JSON()
		if enterprise != "" {
			c.EnterpriseProject = &enterprise
		}
	})
}

// describe adds what the client knows of the image.
func (b *imageBody) describe(s wire.Spec, props map[string]string) {
	if b.OSVersion != "" {
		s["os_version"] = b.OSVersion
		os, _, _ := strings.Cut(b.OSVersion, " ")
		if _, ok := platforms()[strings.ToLower(os)]; ok {
			s["os"] = strings.ToLower(os)
		}
	}
	if b.OSType != "" {
		s["os_type"] = strings.ToLower(b.OSType)
	}
	if b.MinDisk > 0 {
		s["min_disk"] = b.MinDisk
	}
	if b.MinRAM > 0 {
		s["min_memory"] = b.MinRAM
	}
	if b.MaxRAM > 0 {
		props[maxRAM] = toText(b.MaxRAM)
	}
	if a := map[string]string{"x86": "x86_64", "arm": "aarch64"}[b.Architecture]; a != "" {
		s["architecture"] = a
	}
	if b.Firmware != "" {
		s["firmware"] = b.Firmware
	}
}

func toText(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return "" // numbers always encode
	}
	return string(b)
}

// ofServer makes an image of the disk that a server boots from, like the one that it was made of.
func (a *API) ofServer(x *exchange, b *imageBody, s wire.Spec, props map[string]string) error {
	r, err := wire.Get(x, a.Compute.Server, b.Instance)
	if err != nil {
		return err
	}
	var root *compute.Disk
	for i := range r.Status.Disks {
		if r.Status.Disks[i].Boot {
			root = &r.Status.Disks[i]
		}
	}
	if root == nil || root.Volume == "" {
		return fail.New(fail.Precondition, "server %s has no disk to boot from", r.Name).Then("wait until it is there")
	}
	s["source"], props[origin] = map[string]string{"volume": string(root.Volume)}, "instance,"+rest.ID(r.ID)
	if r.Status.Image == "" {
		return nil
	}
	if from, err := a.find(x, string(r.Status.Image)); err == nil {
		s["os"], s["os_version"], s["os_type"], s["user"], s["min_memory"] = from.Spec.OS, from.Spec.OSVersion, from.Spec.OSType, from.Spec.User, from.Spec.MinMemory
		s["architecture"], s["firmware"] = from.Spec.Architecture, from.Spec.Firmware
	}
	return nil
}

// ofObject makes an image of a file in a bucket.
func ofObject(b *imageBody, s wire.Spec, props map[string]string) error {
	bucket, object, ok := strings.Cut(b.URL, ":")
	if !ok || bucket == "" || object == "" {
		return fail.Field("image_url", "%q is not BUCKET:OBJECT", b.URL)
	}
	s["source"], props[origin] = map[string]string{"bucket": bucket, "object": object}, "file,"+b.URL
	return nil
}

// createData makes an image that does not boot, of a file in a bucket.
func (a *API) createData(x *exchange) error {
	var b imageBody
	k := a.Images.Images.D
	if err := rest.Body(x, &b); err != nil {
		return rest.Refuse(x, k, call.Create, "*", err)
	}
	s, props := wire.Spec{"description": b.Description}, map[string]string{imageKind: dataImage}
	if err := ofObject(&b, s, props); err != nil {
		return rest.Refuse(x, k, call.Create, "*", err)
	}
	b.describe(s, props)
	r, err := a.send(x, b.Name, b.Enterprise, tagsOf(b.ImageTags, b.Tags), s, props)
	if err != nil {
		return err
	}
	return a.begun(x, r)
}
