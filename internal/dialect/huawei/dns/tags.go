package dns

import (
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/service/dns"
)

type tag struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

func tagsView(tags map[string]string) []tag {
	out := []tag{}
	for _, k := range slices.Sorted(maps.Keys(tags)) {
		out = append(out, tag{k, tags[k]})
	}
	return out
}

// tagsAsked reads tags=key,value|key,value.
func tagsAsked(x *exchange) map[string]string {
	out := map[string]string{}
	for _, t := range strings.Split(x.Query("tags"), "|") {
		if k, v, _ := strings.Cut(t, ","); k != "" {
			out[k] = v
		}
	}
	return out
}

// tagRoutes are one set of paths for each type of resource.
func (a *API) tagRoutes() (out []route) {
	for _, t := range []struct {
		of, param string
		k         *kind.Def
	}{
		{"DNS-public_zone", "zone_id", a.dns.Zone.D}, {"DNS-private_zone", "zone_id", a.dns.Zone.D},
		{"DNS-public_recordset", "recordset_id", a.dns.Record.D}, {"DNS-private_recordset", "recordset_id", a.dns.Record.D},
	} {
		all := "/v2/{project_id}/" + t.of + "/{" + t.param + "}/tags"
		typ := dns.Public
		if strings.Contains(t.of, "private") {
			typ = dns.Private
		}
		at := func(do func(*exchange, *kind.Def, string) error) func(*exchange) error {
			return func(x *exchange) error {
				if err := of(x, t.k, x.Param(t.param), typ); err != nil {
					return err
				}
				return do(x, t.k, x.Param(t.param))
			}
		}
		out = append(out,
			route{Method: "GET", Path: all, Kind: t.k, Verb: call.Get, Do: at(showTags)},
			route{Method: "POST", Path: all, Kind: t.k, Verb: call.Update, Do: at(addTag)},
			route{Method: "POST", Path: all + "/action", Kind: t.k, Verb: call.Update, Do: at(changeTags)},
			route{Method: "DELETE", Path: all + "/{tag}", Kind: t.k, Verb: call.Update, Do: at(dropTag)})
	}
	return out
}

// of refuses a resource that is not of the type in the path.
func of(x *exchange, k *kind.Def, target, typ string) error {
	r, err := x.Do(k, call.Get, target, nil)
	if err != nil {
		return err
	}
	is := typ
	switch r := r.(type) {
	case *zoneRow:
		is = r.Spec.Type
	case *recordRow:
		is = r.Status.ZoneType
	}
	if is != typ {
		return fail.New(fail.NotFound, "there is no %s %s %s", typ, k.Name, target)
	}
	return nil
}

func showTags(x *exchange, k *kind.Def, target string) error {
	r, err := x.Do(k, call.Get, target, nil)
	if err != nil {
		return err
	}
	wire.Write(x.W, http.StatusOK, map[string]any{"tags": tagsView(r.M().Tags)})
	return nil
}

// retag changes a resource's tags from what they are now.
func retag(x *exchange, k *kind.Def, target string, edit func(map[string]string) error) error {
	r, err := x.Do(k, call.Get, target, nil)
	if err != nil {
		return err
	}
	c := x.Call
	if _, _, err := x.API.Door.Permit(x.R.Context(), &c, k, call.Update, r.M().Name); err != nil {
		return err
	}
	tags := maps.Clone(r.M().Tags)
	if tags == nil {
		tags = map[string]string{}
	}
	if err := edit(tags); err != nil {
		return err
	}
	if _, err := x.Do(k, call.Update, target, func(c *call.Call) { c.Tags, c.IfRevision = &tags, r.M().Revision }); err != nil {
		return err
	}
	return x.NoContent()
}

func addTag(x *exchange, k *kind.Def, target string) error {
	var b struct {
		Tag tag `json:"tag"`
	}
	if err := body(x, &b); err != nil {
		return err
	}
	return retag(x, k, target, func(tags map[string]string) error { tags[b.Tag.Key] = b.Tag.Value; return nil })
}

func changeTags(x *exchange, k *kind.Def, target string) error {
	var b struct {
		Action string `json:"action"`
		Tags   []tag  `json:"tags"`
	}
	if err := body(x, &b); err != nil {
		return err
	}
	return retag(x, k, target, func(tags map[string]string) error {
		for _, t := range b.Tags {
			if b.Action == "delete" {
				delete(tags, t.Key)
				continue
			}
			tags[t.Key] = t.Value
		}
		if b.Action != "create" && b.Action != "delete" {
			return fail.Field("action", "%q is neither create nor delete", b.Action)
		}
		return nil
	})
}

func dropTag(x *exchange, k *kind.Def, target string) error {
	return retag(x, k, target, func(tags map[string]string) error {
		if _, ok := tags[x.Param("tag")]; !ok {
			return fail.New(fail.NotFound, "there is no tag %q", x.Param("tag"))
		}
		delete(tags, x.Param("tag"))
		return nil
	})
}

// generalRoutes are what is about no zone.
func (a *API) generalRoutes() []route {
	k := a.dns.Zone.D
	return []route{
		{Method: "GET", Path: "/v2/nameservers", Do: a.nameServers},
		{Method: "GET", Path: "/v2.1/system-lines", Do: a.lines},
		{Method: "GET", Path: "/v2.1/zones/{zone_id}/lines", Kind: k, Verb: call.Get, Do: a.zoneLines},
		{Method: "GET", Path: "/v2/quotamg/dns/quotas", Kind: k, Verb: call.List, Do: a.quotas},
	}
}

func (a *API) nameServers(x *exchange) error {
	records := []any{}
	for i, n := range a.dns.NameServers {
		records = append(records, map[string]any{"hostname": n + ".", "priority": i + 1})
	}
	typ := x.Query("type")
	if typ != "" && typ != dns.Public && typ != dns.Private {
		return fail.Field("type", "%q is neither public nor private", typ)
	}
	region := x.Query("region")
	if region != "" && region != a.Region {
		return fail.Field("region", "there is no region %q", region).Then("this cloud has one, %s", a.Region)
	}
	items := []any{}
	if typ != dns.Public { // of a region clients want the resolvers, whose addresses they give to their subnets
		items = append(items, map[string]any{"type": dns.Private, "region": a.Region, "ns_records": []any{map[string]any{"address": dns.Resolver, "priority": 1}}})
	}
	if typ != dns.Private && region == "" {
		items = append(items, map[string]any{"type": dns.Public, "region": "", "ns_records": records})
	}
	wire.Write(x.W, http.StatusOK, map[string]any{"nameservers": items})
	return nil
}

func (a *API) lines(x *exchange) error {
	wire.Write(x.W, http.StatusOK, map[string]any{"lines": []any{map[string]any{"id": defaultLine, "name": "default", "father_id": ""}}, "metadata": map[string]int{"total_count": 1}})
	return nil
}

func (a *API) zoneLines(x *exchange) error {
	if _, err := a.zone(x); err != nil {
		return err
	}
	return a.lines(x)
}

// quotas tells the project's limits and what is used; zones of both types count together.
func (a *API) quotas(x *exchange) error {
	c := x.Call
	all, err := a.Door.Quotas(x.R.Context(), &c)
	if err != nil {
		return err
	}
	items := []any{}
	for _, q := range all {
		for _, key := range map[string][]string{"dns.zones": {"zone", "private_zone"}, "dns.record-sets": {"record_set"}}[string(q.Dim)] {
			items = append(items, map[string]any{"quota_key": key, "quota_limit": q.Limit, "used": q.Used, "unit": "count"})
		}
	}
	wire.Write(x.W, http.StatusOK, map[string]any{"quotas": items})
	return nil
}
