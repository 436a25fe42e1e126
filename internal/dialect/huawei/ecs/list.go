package ecs

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/awancloud/awan/internal/dialect/huawei/rest"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
)

func (a *API) listRoutes() []route {
	k := a.Compute.Server.D
	const list, get = "ecs:cloudServers:list ecs:cloudServers:listServersDetails", "ecs:cloudServers:get ecs:cloudServers:showServer"
	return []route{
		{Method: "GET", Path: all + "/detail", Kind: k, Verb: call.List, Alias: list, Do: a.list},
		{Method: "GET", Path: "/v1.1/{project_id}/cloudservers/detail", Kind: k, Verb: call.List, Alias: list, Do: a.listByMarker},
		{Method: "GET", Path: one, Kind: k, Verb: call.Get, Alias: get, Do: a.show},
		{Method: "POST", Path: all + "/resource_instances/action", Kind: k, Verb: call.List, Alias: list,
			Do: rest.SearchByTags(a.Compute.Server, func(x *exchange, r *serverRow) any { return a.view(x, r) })},
	}
}

func (a *API) show(x *exchange) error {
	r, err := a.server(x)
	if err != nil {
		return err
	}
	return x.One(http.StatusOK, "server", a.view(x, r))
}

// list answers page offset, from 1, of limit servers, and how many there are in all.
func (a *API) list(x *exchange) error {
	l, err := a.listed(x, 25, 1000)
	if err != nil {
		return err
	}
	f, limit := l.Filter, l.Count
	var count int
	f.Limit, f.Skip, f.Total = max(limit, 1), (max(l.Offset, 1)-1)*limit, &count
	rows, _, err := wire.Rows(x, a.Compute.Server, "", f)
	if err != nil {
		return err
	}
	if rows = rest.Cut(rows, 0, limit); f.After != "" { // of all, not of those behind the marker
		f.After, f.Limit = "", 1
		if _, _, err = wire.Rows(x, a.Compute.Server, "", f); err != nil {
			return err
		}
	}
	out := make([]any, len(rows))
	for i, r := range rows {
		out[i] = a.view(x, r)
	}
	return rest.OK(x, map[string]any{"servers": out, "count": count})
}

// listByMarker answers the servers after the marker, with fewer fields, and where the next page is.
func (a *API) listByMarker(x *exchange) error {
	l, err := a.listed(x, 10, 100)
	if err != nil {
		return err
	}
	l.Limit = max(l.Count, 1)
	rows, more, err := wire.Rows(x, a.Compute.Server, "", l.Filter)
	if err != nil {
		return err
	}
	out := []any{}
	for _, r := range rows {
		out = append(out, a.brief(x, r))
	}
	v := map[string]any{"servers": out, "request_id": x.Call.RequestID, "servers_links": []any{}}
	if more {
		q := x.R.URL.Query()
		q.Set("marker", rest.ID(rows[len(rows)-1].ID))
		v["servers_links"] = []any{map[string]string{"rel": "next", "href": wire.BaseOf(x.R) + x.R.URL.Path + "?" + q.Encode()}}
	}
	wire.Write(x.W, http.StatusOK, v)
	return nil
}

// brief is a server in the list of v1.1: what is not named in expect-fields is left out.
func (a *API) brief(x *exchange, r *serverRow) map[string]any {
	full := a.view(x, r)
	v := map[string]any{"id": full["id"], "name": r.Name, "status": full["status"], "tenant_id": r.Project, "user_id": r.CreatedBy,
		"availability_zone": r.Spec.Zone, "vm_state": full["OS-EXT-STS:vm_state"], "task_state": full["OS-EXT-STS:task_state"], "power_state": full["OS-EXT-STS:power_state"],
		"created": full["created"], "updated": full["updated"], "in_recycle_bin": false, "spod_id": "", "fault": full["fault"],
		"flavor": map[string]any{"id": r.Spec.Flavor, "name": r.Spec.Flavor, "vcpus": r.Spec.CPUs, "ram": r.Spec.Memory, "disk": 0, "gpus": []any{}, "asic_accelerators": []any{}}}
	var want []string
	for _, e := range x.Queries()["expect-fields"] {
		want = append(want, strings.Split(e, ",")...)
	}
	for name, field := range map[string]string{"launched_at": "OS-SRV-USG:launched_at", "key_name": "key_name", "locked": "locked", "root_device_name": "OS-EXT-SRV-ATTR:root_device_name",
		"enterprise_project_id": "enterprise_project_id", "metadata": "metadata", "tags": "tags", "security_groups": "security_groups", "image": "image", "description": "description"} {
		if slices.Contains(want, name) {
			v[name] = full[field]
		}
	}
	if slices.Contains(want, "addresses") {
		v["addresses"] = numbered(addresses(r))
	}
	if slices.Contains(want, "volumes_attached") { // and flags are flags
		var out []any
		for _, d := range present(r) {
			disk := diskView(r, d)
			out = append(out, map[string]any{"id": disk["id"], "delete_on_termination": d.Delete, "device": disk["device"], "size": d.Size, "bootIndex": map[bool]string{true: "0", false: "-1"}[d.Boot]})
		}
		v["volumes_attached"] = out
	}
	return v
}

// numbered gives addresses whose versions are numbers, as some answers have them.
func numbered(all map[string][]any) map[string][]any {
	for _, of := range all {
		for _, one := range of {
			if a, ok := one.(map[string]any); ok {
				a["version"] = map[any]int{"4": 4, "6": 6}[a["version"]]
			}
		}
	}
	return all
}

// listed reads what the lists of both versions are asked for.
func (a *API) listed(x *exchange, count, most int) (rest.Listing, error) {
	k := a.Compute.Server.D
	l, err := rest.Listed(x, k, count, most)
	if err != nil {
		return l, err
	}
	tests, err := tests(x.Queries())
	if err != nil {
		return l, rest.Refuse(x, k, call.List, "*", err)
	}
	if len(tests) > 0 {
		l.Where = func(r kind.AnyRow) bool {
			s := r.(*serverRow)
			return !slices.ContainsFunc(tests, func(fits func(*serverRow) bool) bool { return !fits(s) })
		}
	}
	return l, nil
}

type test = func(*serverRow) bool

func tests(q url.Values) (out []test, err error) {
	add := func(name string, fits func(r *serverRow, want string) bool) {
		if want := q.Get(name); want != "" {
			out = append(out, func(r *serverRow) bool { return fits(r, want) })
		}
	}
	add("flavor", func(r *serverRow, w string) bool { return r.Spec.Flavor == w })
	add("flavor_name", func(r *serverRow, w string) bool { return r.Spec.Flavor == w })
	add("status", func(r *serverRow, w string) bool { return strings.EqualFold(Status(r), w) })
	add("key_name", func(r *serverRow, w string) bool { return r.Spec.KeyPair == w })
	add("availability_zone", func(r *serverRow, w string) bool { return strings.Contains(r.Spec.Zone, w) })
	add("availability_zone_eq", func(r *serverRow, w string) bool { return r.Spec.Zone == w })
	add("reservation_id", func(r *serverRow, w string) bool { return reservation(r) == w })
	add("in_recycle_bin", func(_ *serverRow, w string) bool { return w != "true" }) // there is none
	add("charging_mode", func(_ *serverRow, w string) bool { return w == "0" || strings.EqualFold(w, "postPaid") })
	add("ip", func(r *serverRow, w string) bool {
		return has(r, func(a string) bool { return strings.Contains(a, w) })
	})
	add("ip_eq", func(r *serverRow, w string) bool { return has(r, func(a string) bool { return a == w }) })
	add("image_id", func(r *serverRow, w string) bool { return same(r.Status.Image, w) })
	add("id", func(r *serverRow, w string) bool { return same(r.ID, w) })
	add("server_id", func(r *serverRow, w string) bool {
		return slices.ContainsFunc(strings.Split(w, ","), func(one string) bool { return same(r.ID, one) })
	})
	add("metadata", func(r *serverRow, w string) bool {
		k, v, _ := strings.Cut(w, "=")
		return metadata(r)[k] == v
	})
	add("metadata-key", func(r *serverRow, w string) bool {
		_, ok := metadata(r)[w]
		return ok
	})
	for _, name := range []string{"tags", "not-tags"} {
		var want []string
		for _, t := range q[name] {
			want = append(want, strings.Split(t, ",")...)
		}
		if len(want) > 0 {
			out = append(out, func(r *serverRow) bool { return tagged(r, want) == (name == "tags") })
		}
	}
	if s := q.Get("launched_since"); s != "" {
		since, err := time.Parse(time.RFC3339, s)
		if err != nil {
			return nil, fail.Field("launched_since", "%q is not a time like 2013-06-09T06:42:18Z", s)
		}
		out = append(out, func(r *serverRow) bool { return r.Status.Launched.After(since) })
	}
	return out, nil
}

func same(row id.ID, want string) bool {
	w, ok := id.Parse(strings.TrimSpace(want))
	return ok && w == row
}

func has(r *serverRow, fits func(string) bool) bool {
	return slices.ContainsFunc(append(slices.Clone(r.Status.Addresses), r.Status.PublicIP), func(a string) bool { return a != "" && fits(a) })
}

// tagged says whether a server has all of the tags: "key" or "key=value".
func tagged(r *serverRow, want []string) bool {
	for _, t := range want {
		k, v, valued := strings.Cut(t, "=")
		if got, ok := r.Tags[k]; !ok || valued && got != v {
			return false
		}
	}
	return true
}
