package elb

import (
	"crypto/md5" //nolint:gosec // ids that are always the same, not secrets
	"encoding/hex"
	"net/http"

	"github.com/awancloud/awan/internal/dialect/front"
	"github.com/awancloud/awan/internal/dialect/huawei/rest"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kind"
)

// flavor is a size that clients choose; here there is one machine behind all of them.
type flavor struct {
	Name, Type             string
	Connection, CPS, Mbit  int
	HTTPSCPS, Requests, LC int
}

func flavors() []flavor {
	return []flavor{
		{"L4_flavor.elb.s1.small", "L4", 500_000, 10_000, 50, 0, 0, 10},
		{"L4_flavor.elb.s2.small", "L4", 2_000_000, 40_000, 200, 0, 0, 40},
		{"L7_flavor.elb.s1.small", "L7", 200_000, 2_000, 50, 200, 4_000, 10},
		{"L7_flavor.elb.s2.small", "L7", 800_000, 8_000, 200, 800, 16_000, 40},
	}
}

// id is always the same for a name.
func (f flavor) id() string {
	sum := md5.Sum([]byte(f.Name))
	h := hex.EncodeToString(sum[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

func (f flavor) view() map[string]any {
	return map[string]any{"id": f.id(), "name": f.Name, "type": f.Type, "shared": true, "flavor_sold_out": false, "public_border_group": "center", "category": 0,
		"info": map[string]any{"flavor_type": "share", "connection": f.Connection, "cps": f.CPS, "bandwidth": f.Mbit * 1000, "https_cps": f.HTTPSCPS, "qps": f.Requests, "lcu": f.LC}}
}

// flavor refuses one that there is not.
func (a *API) flavor(field string, asked *string, typ string) error {
	if asked == nil || *asked == "" {
		return nil
	}
	for _, f := range flavors() {
		if f.id() == *asked && f.Type == typ {
			return nil
		}
	}
	return fail.Field(field, "there is no flavor %q of type %s", *asked, typ).Then("see GET …/elb/flavors")
}

// chosen is what a client chose, null where it chose nothing.
func chosen(set string) any {
	if set == "" {
		return nil
	}
	return set
}

func (a *API) flavorRoutes() []route {
	return []route{
		{Method: "GET", Path: base + "/flavors", Do: a.listFlavors},
		{Method: "GET", Path: base + "/flavors/{flavor_id}", Do: a.showFlavor},
		{Method: "GET", Path: base + "/availability-zones", Do: a.zones},
		{Method: "GET", Path: base + "/quotas", Kind: a.b.Balancer.D, Verb: call.List, Do: a.quotas},
	}
}

func (a *API) listFlavors(x *exchange) error {
	items, marker := []any{}, x.Query("marker") // clients page on until a page is empty
	for _, f := range flavors() {
		if marker != "" {
			if f.id() == marker {
				marker = ""
			}
			continue
		}
		if v := f.view(); matches(v, x.R.URL.Query()) {
			items = append(items, v)
		}
	}
	wire.Write(x.W, http.StatusOK, map[string]any{"flavors": items, "page_info": map[string]any{"current_count": len(items)}, "request_id": front.From(x.R.Context()).RequestID})
	return nil
}

func (a *API) showFlavor(x *exchange) error {
	for _, f := range flavors() {
		if f.id() == x.Param("flavor_id") {
			wire.Write(x.W, http.StatusOK, map[string]any{"flavor": f.view()})
			return nil
		}
	}
	return fail.New(fail.NotFound, "there is no flavor %s", x.Param("flavor_id"))
}

func (a *API) zones(x *exchange) error {
	one := map[string]any{"code": a.zone(), "state": "ACTIVE", "protocol": []string{"L4", "L7"}, "public_border_group": "center", "category": 0}
	wire.Write(x.W, http.StatusOK, map[string]any{"availability_zones": []any{[]any{one}}})
	return nil
}

// quotas tells the project's limits in ELB's words.
func (a *API) quotas(x *exchange) error {
	c := x.Call
	all, err := a.Door.Quotas(x.R.Context(), &c)
	if err != nil {
		return err
	}
	words := map[string]string{"balancer.load-balancers": "loadbalancer", "balancer.certificates": "certificate", "balancer.listeners": "listener",
		"balancer.forwarding-policies": "l7policy", "balancer.pools": "pool", "balancer.members": "member", "balancer.ip-groups": "ipgroup", "balancer.forwarding-rules": "condition"}
	v := map[string]any{"project_id": x.Param("project_id"), "healthmonitor": -1, "security_policy": 0, "members_per_pool": -1}
	for _, q := range all {
		if w := words[string(q.Dim)]; w != "" {
			v[w] = q.Limit
		}
	}
	wire.Write(x.W, http.StatusOK, map[string]any{"quota": v})
	return nil
}

// tagRoutes are those of v3, and of v2 which the provider uses.
func (a *API) tagRoutes() (out []route) {
	for _, t := range []struct {
		path, param string
		k           *kind.Def
	}{{"loadbalancers", "loadbalancer_id", a.b.Balancer.D}, {"listeners", "listener_id", a.b.Listener.D}} {
		for _, version := range []string{"/v3", "/v2.0"} {
			all := version + "/{project_id}/" + t.path + "/{" + t.param + "}/tags"
			out = append(out,
				route{Method: "GET", Path: all, Kind: t.k, Verb: call.Get, Do: rest.ShowTags(t.k, t.param)},
				route{Method: "POST", Path: all + "/action", Kind: t.k, Verb: call.Update, Do: rest.ActOnTags(t.k, t.param)})
		}
	}
	return out
}
