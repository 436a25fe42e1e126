package evs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/awancloud/awan/internal/dialect/huawei/rest"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/service/volume"
)

func (a *API) volumeRoutes() []route {
	k := a.Volumes.Volumes.D
	const get, list, put = "evs:volumes:get", "evs:volumes:list", "evs:volumes:update"
	return []route{
		{Method: "POST", Path: all, Kind: k, Verb: call.Create, Alias: "evs:volumes:create", Do: a.create},
		{Method: "POST", Path: "/v2.1/{project_id}/cloudvolumes", Kind: k, Verb: call.Create, Alias: "evs:volumes:create", Do: a.create},
		{Method: "GET", Path: all, Kind: k, Verb: call.List, Alias: list, Do: a.list},
		{Method: "GET", Path: all + "/detail", Kind: k, Verb: call.List, Alias: list, Do: a.list},
		{Method: "GET", Path: one, Kind: k, Verb: call.Get, Alias: get, Do: a.show},
		{Method: "PUT", Path: one, Kind: k, Verb: call.Update, Alias: put, Do: a.update},
		{Method: "DELETE", Path: one, Kind: k, Verb: call.Delete, Alias: "evs:volumes:delete", Do: a.remove},
		{Method: "POST", Path: one + "/action", Kind: k, Verb: "extend", Alias: "evs:volumes:use evs:volumes:extend", Do: a.extend},
		{Method: "POST", Path: "/v2.1/{project_id}/cloudvolumes/{volume_id}/action", Kind: k, Verb: "extend", Alias: "evs:volumes:use evs:volumes:extend", Do: a.extend},
		{Method: "POST", Path: "/v2/{project_id}/volumes/{volume_id}/retype", Kind: k, Verb: "retype", Alias: "evs:volumes:use evs:volumes:retype", Do: a.retype},
		{Method: "PUT", Path: "/v5/{project_id}/cloudvolumes/{volume_id}/qos", Kind: k, Verb: call.Update, Alias: "evs:volumes:modifyQos", Do: a.qos},
		{Method: "GET", Path: one + "/tags", Kind: k, Verb: call.Get, Alias: "evs:volumeTags:list evs:volumes:listTags", Do: rest.ShowTags(k, "volume_id")},
		{Method: "POST", Path: one + "/tags/action", Kind: k, Verb: call.Update, Alias: "evs:volumeTags:create evs:volumes:setTags", Do: rest.ActOnTags(k, "volume_id")},
		{Method: "GET", Path: all + "/tags", Kind: k, Verb: call.List, Alias: "evs:volumeTags:list evs:volumes:listTags", Do: rest.ProjectTags(a.Volumes.Volumes)},
		{Method: "POST", Path: all + "/resource_instances/action", Kind: k, Verb: call.List, Alias: "evs:volumeTags:getById evs:volumes:listByTags",
			Do: rest.SearchByTags(a.Volumes.Volumes, func(x *exchange, r *volume.Row) any { return a.view(x, r) })},
	}
}

// volumeBody is a volume as a client asks for it.
type volumeBody struct {
	Zone        string            `json:"availability_zone"`
	Type        string            `json:"volume_type"`
	Name        string            `json:"name"`
	Description string            `json:"description"`
	Size        int               `json:"size"`
	Count       int               `json:"count"`
	Backup      string            `json:"backup_id"`
	Snapshot    string            `json:"snapshot_id"`
	Image       string            `json:"imageRef"`
	MultiAttach bool              `json:"multiattach"`
	Metadata    map[string]string `json:"metadata"`
	Tags        map[string]string `json:"tags"`
	Enterprise  string            `json:"enterprise_project_id"`
	IOPS        int               `json:"iops"`
	Throughput  int               `json:"throughput"`
}

// refuse says what cannot be had here and would be missed.
func (b *volumeBody) refuse() error {
	switch {
	case b.Backup != "":
		return fail.Field("volume.backup_id", "there are no backups of disks here").Then("make it from a snapshot: snapshot_id")
	case b.MultiAttach:
		return fail.Field("volume.multiattach", "a disk is in one server at a time here").Then("leave it out")
	case b.Count < 0 || b.Count > 100:
		return fail.Field("volume.count", "%d is not a number from 1 to 100", b.Count)
	}
	return nil
}

func (b *volumeBody) spec() wire.Spec {
	source := map[string]string{}
	if b.Image != "" {
		source["image"] = b.Image
	}
	if b.Snapshot != "" {
		source["snapshot"] = b.Snapshot
	}
	s := wire.Spec{"size": b.Size, "type": b.Type, "availability_zone": b.Zone, "description": b.Description, "source": source, "metadata": b.Metadata,
		"scsi": b.Metadata[passthrough] == "true"}
	if b.IOPS > 0 {
		s["iops"] = b.IOPS
	}
	if b.Throughput > 0 {
		s["throughput"] = b.Throughput
	}
	if b.Metadata == nil {
		delete(s, "metadata")
	}
	return s
}

// create makes one volume or several of a kind: all of them are accepted, or none.
func (a *API) create(x *exchange) error {
	var b struct {
		Volume volumeBody `json:"volume"`
		Server string     `json:"server_id"`
		Bss    *struct {
			Mode string `json:"chargingMode"`
		} `json:"bssParam"`
	}
	k := a.Volumes.Volumes.D
	if err := rest.Body(x, &b); err != nil {
		return rest.Refuse(x, k, call.Create, "*", err)
	}
	err := b.Volume.refuse()
	switch {
	case err != nil:
	case b.Server != "":
		err = fail.Field("server_id", "a disk is attached when it is there").Then("POST /v1/{project_id}/cloudservers/{server_id}/attachvolume")
	case b.Bss != nil && b.Bss.Mode == "prePaid":
		err = fail.Field("bssParam.chargingMode", "this cloud charges by use; there are no orders").Then("leave bssParam out")
	}
	if err != nil {
		return rest.Refuse(x, k, call.Create, "*", err)
	}
	count := max(1, b.Volume.Count)
	var made []call.Reply
	ids := []string{}
	for i := range count {
		r, err := rest.Send(x, k, call.Create, "", func(c *call.Call) {
			name := b.Volume.Name
			if count > 1 {
				name = fmt.Sprintf("%s-%04d", name, i+1)
			}
			c.Name, c.Spec = &name, b.Volume.spec().JSON()
			if b.Volume.Tags != nil {
				c.Tags = &b.Volume.Tags
			}
			if b.Volume.Enterprise != "" {
				c.EnterpriseProject = &b.Volume.Enterprise
			}
		})
		if err != nil {
			return errors.Join(err, a.undo(x, made))
		}
		made, ids = append(made, r), append(ids, rest.ID(r.Row.M().ID))
	}
	job, err := rest.Begin(x, k, "createVolume", nil, made...)
	if err != nil {
		return err
	}
	wire.Write(x.W, http.StatusAccepted, map[string]any{"job_id": job, "volume_ids": ids})
	return nil
}

// undo deletes volumes whose siblings could not be made.
func (a *API) undo(x *exchange, made []call.Reply) error {
	var errs []error
	for _, r := range made {
		c := x.Call
		c.Kind, c.Verb, c.Target, c.Purge = a.Volumes.Volumes.D, call.Delete, string(r.Row.M().ID), true
		_, err := a.Door.Do(context.WithoutCancel(x.R.Context()), &c)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// volume gives the path's volume; one in the trash is none here.
func (a *API) volume(x *exchange) (*volume.Row, error) {
	r, err := wire.Get(x, a.Volumes.Volumes, x.Param("volume_id"))
	if err == nil && r.State == kind.Trashed {
		err = fail.New(fail.NotFound, "there is no volume %q", x.Param("volume_id"))
	}
	return r, err
}

func (a *API) show(x *exchange) error {
	r, err := a.volume(x)
	if err != nil {
		return err
	}
	return x.One(http.StatusOK, "volume", a.view(x, r))
}

func (a *API) list(x *exchange) error {
	l, err := rest.Listed(x, a.Volumes.Volumes.D, 1000, 1000)
	if err != nil {
		return err
	}
	f, offset, count := l.Filter, l.Offset, 0
	if slices.ContainsFunc(narrowing, func(name string) bool { return x.Query(name) != "" }) {
		f.Where = func(r kind.AnyRow) bool { return a.fits(x, r.(*volume.Row)) }
	}
	if x.Query("sort_key") == "" && x.Query("sort_dir") != "desc" && l.Count > 0 { // in the order of their creation: only the page is read
		f.Limit, f.Skip, f.Total, offset = l.Count, offset, &count, 0
	}
	rows, _, err := wire.Rows(x, a.Volumes.Volumes, "", f)
	if err != nil {
		return err
	}
	if err := rest.Sort(x, rows, orders); err != nil {
		return err
	}
	if f.Total == nil {
		count = len(rows)
	}
	out := []any{}
	for _, r := range rest.Cut(rows, offset, l.Count) {
		out = append(out, a.view(x, r))
	}
	return rest.OK(x, map[string]any{"volumes": out, "count": count, "volumes_links": []any{}})
}

var orders = map[string]func(l, r *volume.Row) int{
	"": nil, "created_at": func(l, r *volume.Row) int { return l.Created.Compare(r.Created) }, "updated_at": func(l, r *volume.Row) int { return l.Updated.Compare(r.Updated) },
	"id": func(l, r *volume.Row) int { return cmp.Compare(l.ID, r.ID) }, "name": func(l, r *volume.Row) int { return cmp.Compare(l.Name, r.Name) },
	"size": func(l, r *volume.Row) int { return cmp.Compare(l.Spec.Size, r.Spec.Size) }, "status": func(l, r *volume.Row) int { return cmp.Compare(l.State, r.State) }}

func same(row id.ID, want string) bool {
	w, ok := id.Parse(strings.TrimSpace(want))
	return ok && w == row
}

// fits says whether the query lets a volume through.
// narrowing are the parameters that fits reads.
var narrowing = []string{"status", "availability_zone", "multiattach", "service_type", "id", "ids", "server_id", "dedicated_storage_id", "dedicated_storage_name",
	"volume_type_id", "metadata"}

func (a *API) fits(x *exchange, r *volume.Row) bool {
	q := x.Queries()
	is := func(name, has string) bool { return q.Get(name) == "" || strings.EqualFold(q.Get(name), has) }
	if !is("status", a.status(x, r)) || !is("availability_zone", r.Spec.Zone) || !is("multiattach", "false") || !is("service_type", "EVS") {
		return false
	}
	if w := q.Get("id"); w != "" && !same(r.ID, w) {
		return false
	}
	if w := q.Get("ids"); w != "" && !slices.ContainsFunc(strings.FieldsFunc(w, func(c rune) bool { return strings.ContainsRune(`[]', "`, c) }), func(one string) bool { return same(r.ID, one) }) {
		return false
	}
	if w := q.Get("server_id"); w != "" && !slices.ContainsFunc(r.Status.Attachments, func(at volume.Attachment) bool { return same(at.Server, w) }) {
		return false
	}
	if w := q.Get("dedicated_storage_id") + q.Get("dedicated_storage_name"); w != "" {
		return false // there is none
	}
	if w := q.Get("volume_type_id"); w != "" && !strings.EqualFold(w, r.Spec.Type) && w != a.typeID(x, r.Spec.Type) {
		return false
	}
	if w := q.Get("metadata"); w != "" {
		k, v := pair(w)
		return r.Spec.Metadata[k] == v
	}
	return true
}

// pair reads {"key":"value"}, as this API's filter has it.
func pair(s string) (string, string) {
	k, v, _ := strings.Cut(strings.Trim(s, "{}"), ":")
	if strings.Count(s, ":") > 1 { // the key has one too: "hw:passthrough"
		i := strings.LastIndex(strings.Trim(s, "{}"), ":")
		k, v = strings.Trim(s, "{}")[:i], strings.Trim(s, "{}")[i+1:]
	}
	return strings.Trim(k, ` "'`), strings.Trim(v, ` "'`)
}

func (a *API) update(x *exchange) error {
	var b struct {
		Volume struct {
			Name        *string `json:"name"`
			Description *string `json:"description"`
		} `json:"volume"`
	}
	k, target := a.Volumes.Volumes.D, x.Param("volume_id")
	if err := rest.Body(x, &b); err != nil {
		return rest.Refuse(x, k, call.Update, target, err)
	}
	s := wire.Spec{}
	wire.Set(s, "description", b.Volume.Description)
	r, err := rest.Send(x, k, call.Update, target, func(c *call.Call) { c.Name, c.Spec = b.Volume.Name, s.JSON() })
	if err == nil {
		err = rest.Settle(x, r) // clients go on with the volume, a snapshot say, as soon as this is answered
	}
	if err != nil {
		return err
	}
	return x.One(http.StatusOK, "volume", a.view(x, r.Row.(*volume.Row)))
}

// remove deletes a volume for good; with cascade its snapshots too.
func (a *API) remove(x *exchange) error {
	k := a.Volumes.Volumes.D
	if x.Query("cascade") == "true" {
		r, err := a.volume(x)
		if err != nil {
			return err
		}
		snaps, _, err := wire.Rows(x, a.Volumes.Snapshots, "", kind.Filter{Index: "volume", Value: string(r.ID)})
		if err != nil {
			return err
		}
		for _, s := range snaps {
			gone, err := rest.Send(x, a.Volumes.Snapshots.D, call.Delete, string(s.ID), nil)
			if err == nil {
				err = rest.Settle(x, gone)
			}
			if err != nil {
				return err
			}
		}
	}
	r, err := rest.Send(x, k, call.Delete, x.Param("volume_id"), func(c *call.Call) { c.Purge = true })
	if err != nil {
		return err
	}
	return a.begun(x, http.StatusOK, "deleteVolume", x.Param("volume_id"), r)
}

func (a *API) begun(x *exchange, status int, typ, target string, r call.Reply) error {
	job, err := rest.Begin(x, a.Volumes.Volumes.D, typ, map[string]string{"volume_id": target}, r)
	if err != nil {
		return err
	}
	wire.Write(x.W, status, map[string]any{"job_id": job})
	return nil
}

func (a *API) extend(x *exchange) error {
	var b struct {
		Extend *struct {
			Size int `json:"new_size"`
		} `json:"os-extend"`
	}
	k, target := a.Volumes.Volumes.D, x.Param("volume_id")
	if err := rest.Body(x, &b); err != nil {
		return rest.Refuse(x, k, "extend", target, err)
	}
	if b.Extend == nil {
		return rest.Refuse(x, k, "extend", target, fail.New(fail.Invalid, "the action is missing").Then(`send {"os-extend": {"new_size": 100}}`))
	}
	r, err := rest.Send(x, k, "extend", target, func(c *call.Call) { c.In = wire.Spec{"size": b.Extend.Size}.JSON() })
	if err != nil {
		return err
	}
	return a.begun(x, http.StatusAccepted, "extendVolume", target, r)
}

func (a *API) retype(x *exchange) error {
	var b struct {
		Retype struct {
			Type       string `json:"new_type"`
			IOPS       int    `json:"iops"`
			Throughput int    `json:"throughput"`
		} `json:"os-retype"`
	}
	k, target := a.Volumes.Volumes.D, x.Param("volume_id")
	if err := rest.Body(x, &b); err != nil {
		return rest.Refuse(x, k, "retype", target, err)
	}
	r, err := rest.Send(x, k, "retype", target, func(c *call.Call) {
		c.In = wire.Spec{"type": b.Retype.Type, "iops": b.Retype.IOPS, "throughput": b.Retype.Throughput}.JSON()
	})
	if err != nil {
		return err
	}
	return a.begun(x, http.StatusAccepted, "retypeVolume", target, r)
}

func (a *API) qos(x *exchange) error {
	var b struct {
		QoS struct {
			IOPS       *int `json:"iops"`
			Throughput *int `json:"throughput"`
		} `json:"qos_modify"`
	}
	k, target := a.Volumes.Volumes.D, x.Param("volume_id")
	if err := rest.Body(x, &b); err != nil {
		return rest.Refuse(x, k, call.Update, target, err)
	}
	s := wire.Spec{}
	wire.Set(s, "iops", b.QoS.IOPS)
	if t := b.QoS.Throughput; t != nil && *t > 0 {
		s["throughput"] = *t
	}
	r, err := rest.Send(x, k, call.Update, target, func(c *call.Call) { c.Spec = s.JSON() })
	if err != nil {
		return err
	}
	return a.begun(x, http.StatusOK, "modifyVolumeQoS", target, r)
}
