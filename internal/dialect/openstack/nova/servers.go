package nova

import (
	"cmp"
	"encoding/json"
	"net/http"
	"regexp"
	"strings"

	"github.com/awancloud/awan/internal/dialect/openstack/rest"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/compute"
)

func (a *API) serverRoutes() []route {
	d := a.o.Compute.Server.D
	return []route{
		{"GET", "/servers", d, call.List, func(x *exchange) error { return listServers(x, false) }},
		{"GET", "/servers/detail", d, call.List, func(x *exchange) error { return listServers(x, true) }},
		{"POST", "/servers", d, call.Create, createServers},
		{"POST", "/os-volumes_boot", d, call.Create, createServers},
		{"GET", "/servers/{server_id}", d, call.Get, showServer},
		{"PUT", "/servers/{server_id}", d, call.Update, updateServer},
		{"DELETE", "/servers/{server_id}", d, call.Delete, deleteServer},
		{"GET", "/servers/{server_id}/tags", d, call.Get, showTags},
		{"PUT", "/servers/{server_id}/tags", d, call.Update, putTags},
		{"DELETE", "/servers/{server_id}/tags", d, call.Update, deleteTags},
		{"GET", "/servers/{server_id}/tags/{tag}", d, call.Get, hasTag},
		{"PUT", "/servers/{server_id}/tags/{tag}", d, call.Update, putTag},
		{"DELETE", "/servers/{server_id}/tags/{tag}", d, call.Update, deleteTag},
		{"GET", "/servers/{server_id}/ips", d, call.Get, showAddresses},
		{"GET", "/servers/{server_id}/ips/{network}", d, call.Get, showNetwork},
	}
}

func invalidTime(name, s string) error {
	return fail.Field(name, "%q is not a time", s).Then("give it as 2026-01-31T12:00:00Z")
}

// get reads the server that the path names.
func (x *exchange) get() (*serverRow, error) {
	return rest.Get(x.Exchange, x.api.o.Compute.Server, x.Param("server_id"))
}

func showServer(x *exchange) error {
	r, err := x.get()
	if err != nil {
		return err
	}
	return x.One(http.StatusOK, "server", x.server(r))
}

func serverSorts() map[string]func(a, b *serverRow) int {
	by := func(f func(r *serverRow) string) func(a, b *serverRow) int {
		return func(a, b *serverRow) int { return cmp.Compare(f(a), f(b)) }
	}
	return map[string]func(a, b *serverRow) int{
		"created_at":        func(a, b *serverRow) int { return a.Created.Compare(b.Created) },
		"updated_at":        func(a, b *serverRow) int { return a.Updated.Compare(b.Updated) },
		"launched_at":       func(a, b *serverRow) int { return a.Status.Launched.Compare(b.Status.Launched) },
		"uuid":              by(func(r *serverRow) string { return string(r.ID) }),
		"display_name":      by(func(r *serverRow) string { return r.Name }),
		"project_id":        by(func(r *serverRow) string { return string(r.Project) }),
		"user_id":           by(func(r *serverRow) string { return r.CreatedBy }),
		"key_name":          by(func(r *serverRow) string { return r.Spec.KeyPair }),
		"image_ref":         by(func(r *serverRow) string { return string(r.Status.Image) }),
		"instance_type_id":  by(func(r *serverRow) string { return r.Spec.Flavor }),
		"availability_zone": by(func(r *serverRow) string { return r.Spec.Zone }),
		"host":              by(func(r *serverRow) string { return r.Status.Host }),
		"vm_state":          by(func(r *serverRow) string { _, _, vm := state(r); return vm }),
		"task_state":        by(func(r *serverRow) string { _, task, _ := state(r); return task }),
		"power_state":       func(a, b *serverRow) int { return cmp.Compare(powerState(a), powerState(b)) },
	}
}

func listServers(x *exchange, detail bool) error {
	match, err := serverFilter(x)
	if err != nil {
		return err
	}
	q := rest.Query[compute.ServerSpec, compute.ServerStatus]{Match: match, Sorts: serverSorts()}
	if q.Everywhere, _, err = rest.Flag(x.Exchange, "all_tenants"); err != nil {
		return err
	}
	if p := x.Query("project_id"); p != "" && q.Everywhere {
		x.Call.Project, q.Everywhere = p, false
	}
	if img, ok := id.Parse(x.Query("image")); ok {
		q.Filter.Index, q.Filter.Value = "image", string(img)
	}
	rows, more, err := rest.Part(x.Exchange, x.api.o.Compute.Server, q)
	if err != nil {
		return err
	}
	items, last := make([]any, 0, len(rows)), ""
	for _, r := range rows {
		last = r.ID.Dashed()
		if detail {
			items = append(items, x.server(r))
		} else {
			items = append(items, map[string]any{"id": last, "name": r.Name, "links": x.links("/servers/" + last)})
		}
	}
	return x.List("servers", items, more, last)
}

// serverFilter reads the filters of the query.
func serverFilter(x *exchange) (func(*serverRow) bool, error) {
	q := x.Queries()
	var name, ip *regexp.Regexp
	for key, at := range map[string]**regexp.Regexp{"name": &name, "ip": &ip, "ip6": &ip} {
		if s := q.Get(key); s != "" {
			re, err := regexp.Compile(s)
			if err != nil {
				return nil, fail.Field(key, "%q is not a regular expression", s)
			}
			*at = re
		}
	}
	changed, err := updatedSince(x, "changes-since")
	if err != nil {
		return nil, err
	}
	before, err := updatedSince(x, "changes-before")
	if err != nil {
		return nil, err
	}
	locked, byLock, err := rest.Flag(x.Exchange, "locked")
	if err != nil {
		return nil, err
	}
	if gone, _, err := rest.Flag(x.Exchange, "deleted"); err != nil || gone {
		return func(*serverRow) bool { return false }, err // what is deleted is gone
	}
	flavor := q.Get("flavor")
	if f := x.flavorByID(flavor); f != nil {
		flavor = f.Name
	}
	return func(r *serverRow) bool {
		status, task, vm := state(r)
		switch {
		case name != nil && !name.MatchString(r.Name), flavor != "" && r.Spec.Flavor != flavor:
		case q.Has("status") && !containsFold(q["status"], status), !rest.Same(q, "vm_state", vm), !rest.Same(q, "task_state", task):
		case !rest.Same(q, "host", r.Status.Host), !rest.Same(q, "availability_zone", r.Spec.Zone), !rest.Same(q, "key_name", r.Spec.KeyPair):
		case q.Has("uuid") && !rest.IsID(q.Get("uuid"), r.ID), q.Has("reservation_id") && q.Get("reservation_id") != r.Spec.Foreign[keptReservation]:
		case !changed.IsZero() && r.Updated.Before(changed), !before.IsZero() && r.Updated.After(before), byLock && locked != r.Spec.Locked:
		case ip != nil && !matchAny(ip, r.Status.Addresses), !tagsFit(q.Get("tags"), r, true), !tagsFit(q.Get("tags-any"), r, false):
		case q.Has("not-tags") && tagsFit(q.Get("not-tags"), r, true), q.Has("not-tags-any") && tagsFit(q.Get("not-tags-any"), r, false):
		case q.Has("user_id") && q.Get("user_id") != x.User(&r.Meta):
		default:
			return true
		}
		return false
	}, nil
}

func containsFold(all []string, s string) bool {
	for _, a := range all {
		for _, one := range strings.Split(a, ",") {
			if strings.EqualFold(one, s) {
				return true
			}
		}
	}
	return false
}

func matchAny(re *regexp.Regexp, all []string) bool {
	for _, a := range all {
		if re.MatchString(a) {
			return true
		}
	}
	return false
}

// tagsFit tells whether a server has all, or any, of some tags.
func tagsFit(list string, r *serverRow, all bool) bool {
	if list == "" {
		return true
	}
	for _, t := range strings.Split(list, ",") {
		k, v, valued := strings.Cut(t, "=")
		got, ok := r.Tags[k]
		if has := ok && (!valued || got == v); has != all {
			return has
		}
	}
	return all
}

func updateServer(x *exchange) error {
	var in struct {
		Name        *string `json:"name"`
		AccessIPv4  *string `json:"accessIPv4"`
		AccessIPv6  *string `json:"accessIPv6"`
		DiskConfig  *string `json:"OS-DCF:diskConfig"`
		Description *string `json:"description"`
		Hostname    *string `json:"hostname"`
	}
	o, err := rest.Read(x.Exchange)
	if err != nil {
		return err
	}
	if err := o.Into("server", &in); err != nil {
		return err
	}
	spec, kept := rest.Spec{}, map[string]string{}
	for key, v := range map[string]*string{keptAccessIPv4: in.AccessIPv4, keptAccessIPv6: in.AccessIPv6, keptDiskConfig: in.DiskConfig} {
		if v != nil {
			kept[key] = *v
		}
	}
	if len(kept) > 0 {
		spec["foreign"] = kept
	}
	var whole map[string]json.RawMessage
	_ = json.Unmarshal(o["server"], &whole)
	if _, said := whole["description"]; said {
		spec["description"] = ""
		if in.Description != nil {
			spec["description"] = *in.Description
		}
	}
	if in.Hostname != nil {
		spec["hostname"] = *in.Hostname
	}
	row, err := x.change(call.Update, func(c *call.Call) { c.Name, c.Spec = in.Name, spec.JSON() })
	if err != nil {
		return err
	}
	return x.One(http.StatusOK, "server", x.server(row))
}

// change sends a change of the server and waits until it is done.
func (x *exchange) change(verb string, edit func(*call.Call)) (*serverRow, error) {
	r, err := rest.Change(x.Exchange, x.api.o.Compute.Server.D, verb, x.Param("server_id"), edit)
	if err != nil {
		return nil, err
	}
	return r.(*serverRow), nil
}

func deleteServer(x *exchange) error {
	if _, err := rest.Do(x.Exchange, x.api.o.Compute.Server.D, call.Delete, x.Param("server_id"), nil); err != nil {
		return err
	}
	return x.NoContent()
}

func showAddresses(x *exchange) error {
	r, err := x.get()
	if err != nil {
		return err
	}
	return x.One(http.StatusOK, "addresses", plain(x.addresses(r)))
}

func showNetwork(x *exchange) error {
	r, err := x.get()
	if err != nil {
		return err
	}
	all, name := plain(x.addresses(r)), x.Param("network")
	if all[name] == nil {
		return fail.New(fail.NotFound, "Network %s not found", name)
	}
	return x.One(http.StatusOK, name, all[name])
}

// plain leaves the addresses' extensions out.
func plain(all map[string][]any) map[string][]any {
	for _, list := range all {
		for _, a := range list {
			m := a.(map[string]any)
			delete(m, "OS-EXT-IPS:type")
			delete(m, "OS-EXT-IPS-MAC:mac_addr")
		}
	}
	return all
}
