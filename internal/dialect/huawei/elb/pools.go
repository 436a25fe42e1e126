package elb

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/awancloud/awan/internal/dialect/front"
	"github.com/awancloud/awan/internal/dialect/huawei/rest"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kind"
)

type poolBody struct {
	words
	Balancer  *string      `json:"loadbalancer_id"`
	Listener  *string      `json:"listener_id"`
	Protocol  *string      `json:"protocol"`
	Algorithm *string      `json:"lb_algorithm"`
	Sticky    *persistence `json:"session_persistence"`
	SlowStart *timed       `json:"slow_start"`
	Drain     *timed       `json:"connection_drain"`
	Type      *string      `json:"type"`
	VPC       *string      `json:"vpc_id"`
	IPVersion *string      `json:"ip_version"`
	AnyPort   *bool        `json:"any_port_enable"`
	Protected string       `json:"protection_status"`
	Affinity  any          `json:"az_affinity"`
}

type persistence struct {
	Type    string `json:"type"`
	Cookie  string `json:"cookie_name,omitempty"`
	Minutes int    `json:"persistence_timeout,omitempty"`
}

type timed struct {
	Enable   bool `json:"enable"`
	Duration int  `json:"duration"`
	Timeout  int  `json:"timeout"`
}

func (a *API) pools() *resource {
	return &resource{d: a.b.Pool.D, path: "/pools", param: "pool_id", singular: "pool", plural: "pools", write: a.writePool, made: a.poolMade, leave: a.poolLeaves, view: a.poolView}
}

func stickies() map[string]string {
	return map[string]string{"SOURCE_IP": "source_ip", "HTTP_COOKIE": "cookie", "APP_COOKIE": "app_cookie"}
}

func (a *API) writePool(x *exchange, raw json.RawMessage, row kind.AnyRow, c *call.Call) error {
	var b poolBody
	if err := decode(raw, &b); err != nil {
		return err
	}
	if err := first(refuse("any_port_enable", on(b.AnyPort)), refuse("protection_status", b.Protected == "consoleProtection"), refuse("az_affinity", b.Affinity != nil)); err != nil {
		return err
	}
	s, foreign := wire.Spec{}, map[string]string{}
	b.apply(c, s)
	delete(s, "disabled")
	if row == nil {
		wire.Set(s, "vpc", b.VPC)
		wire.Set(s, "balancer", b.Balancer)
		if b.Listener != nil && *b.Listener != "" {
			l, err := get(x, a.b.Listener.D, *b.Listener)
			if err != nil {
				return fail.Field("listener_id", "there is no listener %q", *b.Listener)
			}
			s["balancer"] = l.(*listenerRow).Spec.Balancer
		}
		if b.Protocol != nil {
			p := strings.ToLower(*b.Protocol)
			if p == "quic" || p == "grpc" || p == "ip" || p == "tls" {
				return fail.New(fail.Unsupported, "protocol: there are no pools of %s in this cloud", *b.Protocol).Then("use TCP, UDP, HTTP or HTTPS")
			}
			s["protocol"] = p
		}
	}
	if b.Algorithm != nil {
		s["algorithm"] = strings.ToLower(*b.Algorithm)
	}
	if p := b.Sticky; p != nil {
		s["sticky"], s["sticky_cookie"] = stickies()[p.Type], p.Cookie
		if p.Type != "" && s["sticky"] == "" {
			return fail.Field("session_persistence.type", "%q is not one of SOURCE_IP, HTTP_COOKIE and APP_COOKIE", p.Type)
		}
		if p.Minutes > 0 {
			s["sticky_for"] = (time.Duration(p.Minutes) * time.Minute).String()
		}
	}
	if t := b.SlowStart; t != nil {
		s["slow_start"] = "0s"
		if t.Enable {
			s["slow_start"] = (time.Duration(max(t.Duration, 1)) * time.Second).String()
		}
	}
	if t := b.Drain; t != nil {
		s["drain"] = "0s"
		if t.Enable {
			s["drain"] = (time.Duration(t.Timeout) * time.Second).String()
		}
	}
	for name, v := range map[string]*string{"type": b.Type, "ip_version": b.IPVersion} {
		if v != nil && *v != "" {
			foreign[name] = *v
		}
	}
	if len(foreign) > 0 {
		s["foreign"] = foreign
	}
	c.Spec = s.JSON()
	return nil
}

// poolMade makes the new pool the listener's, where it was created for one.
func (a *API) poolMade(x *exchange, raw json.RawMessage, row kind.AnyRow) error {
	var b poolBody
	if err := decode(raw, &b); err != nil || b.Listener == nil || *b.Listener == "" {
		return err
	}
	_, err := do(x, a.b.Listener.D, call.Update, *b.Listener, func(c *call.Call) error {
		c.Spec = wire.Spec{"pool": row.M().ID}.JSON()
		return nil
	})
	return err
}

// poolLeaves takes a pool that is to go from the listeners whose default it is, as clients expect that made it for one.
func (a *API) poolLeaves(x *exchange, row kind.AnyRow) error {
	for _, k := range []*kind.Def{a.b.Member.D, a.b.Monitor.D, a.b.Policy.D} {
		if found, err := rows(x, k, kind.Filter{Index: "pool", Value: string(row.M().ID)}); err != nil || len(found) > 0 {
			return err // it is not going to go, and says why
		}
	}
	listeners, err := rows(x, a.b.Listener.D, kind.Filter{Index: "pool", Value: string(row.M().ID)})
	if err != nil {
		return err
	}
	for _, l := range listeners {
		_, err := do(x, a.b.Listener.D, call.Update, string(l.M().ID), func(c *call.Call) error {
			c.Spec = wire.Spec{"pool": ""}.JSON()
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (a *API) poolView(x *exchange, row kind.AnyRow) (map[string]any, error) {
	r := row.(*poolRow)
	v, sp := common(r), &r.Spec
	members, err := under(x, a.b.Member.D, "pool", string(r.ID))
	if err != nil {
		return nil, err
	}
	listeners, err := under(x, a.b.Listener.D, "pool", string(r.ID))
	if err != nil {
		return nil, err
	}
	monitors, err := rows(x, a.b.Monitor.D, kind.Filter{Index: "pool", Value: string(r.ID)})
	if err != nil {
		return nil, err
	}
	balancers, monitor := []any{}, ""
	if sp.Balancer != "" {
		balancers = append(balancers, map[string]any{"id": sp.Balancer})
	}
	if len(monitors) > 0 {
		monitor = string(monitors[0].M().ID)
	}
	slow, drain := int(time.Duration(sp.SlowStart)/time.Second), int(time.Duration(sp.Drain)/time.Second)
	for name, value := range map[string]any{"description": sp.Description, "protocol": strings.ToUpper(sp.Protocol), "lb_algorithm": strings.ToUpper(sp.Algorithm), "members": members,
		"listeners": listeners, "loadbalancers": balancers, "loadbalancer_id": sp.Balancer, "healthmonitor_id": monitor, "vpc_id": rest.ID(r.Status.VPC), "type": sp.Foreign["type"],
		"slow_start": map[string]any{"enable": slow > 0, "duration": max(slow, 30)}, "connection_drain": map[string]any{"enable": drain > 0, "timeout": drain},
		"member_deletion_protection_enable": false, "any_port_enable": false, "protection_status": "nonProtection", "ip_version": "v4", "public_border_group": "center",
		"pool_health": map[string]any{"minimum_healthy_member_count": 0}} {
		v[name] = value
	}
	if w := sp.Foreign["ip_version"]; w != "" {
		v["ip_version"] = w
	}
	for word, is := range stickies() {
		if is == sp.Sticky {
			v["session_persistence"] = persistence{Type: word, Cookie: sp.StickyCookie, Minutes: int(time.Duration(sp.StickyFor) / time.Minute)}
		}
	}
	return v, nil
}

type memberBody struct {
	words
	ID      string  `json:"id"`
	Address *string `json:"address"`
	Port    *int    `json:"protocol_port"`
	Weight  *int    `json:"weight"`
	Subnet  *string `json:"subnet_cidr_id"`
}

func (a *API) members() *resource {
	return &resource{d: a.b.Member.D, path: "/pools/{pool_id}/members", param: "member_id", singular: "member", plural: "members", write: a.writeMember,
		in: func(x *exchange, r kind.AnyRow) bool { return r.(*memberRow).Spec.Pool == x.Param("pool_id") },
		within: func(x *exchange) (kind.Filter, error) {
			p, err := get(x, a.b.Pool.D, x.Param("pool_id"))
			if err != nil {
				return kind.Filter{}, err
			}
			return kind.Filter{Index: "pool", Value: string(p.M().ID)}, nil
		},
		view: func(_ *exchange, r kind.AnyRow) (map[string]any, error) { return memberView(r.(*memberRow)), nil }}
}

func (a *API) writeMember(x *exchange, raw json.RawMessage, row kind.AnyRow, c *call.Call) error {
	var b memberBody
	if err := decode(raw, &b); err != nil {
		return err
	}
	b.put(c, row == nil, x.Param("pool_id"))
	return nil
}

func (b *memberBody) put(c *call.Call, fresh bool, pool string) {
	s := wire.Spec{}
	b.apply(c, s)
	delete(s, "disabled")
	delete(s, "description")
	if fresh {
		s["pool"] = pool
		wire.Set(s, "address", b.Address)
		wire.Set(s, "port", b.Port)
		wire.Set(s, "subnet", b.Subnet)
	}
	wire.Set(s, "weight", b.Weight)
	c.Spec = s.JSON()
}

func memberState(r *memberRow) string {
	switch r.Status.Operating {
	case "online":
		return "ONLINE"
	case "offline":
		return "OFFLINE"
	case "no_monitor":
		return "NO_MONITOR"
	}
	return "INITIAL"
}

func memberView(r *memberRow) map[string]any {
	v := common(r)
	version := "v4"
	if strings.Contains(r.Spec.Address, ":") {
		version = "v6"
	}
	for name, value := range map[string]any{"address": r.Spec.Address, "protocol_port": r.Spec.Port, "weight": *r.Spec.Weight, "subnet_cidr_id": r.Spec.Subnet,
		"operating_status": memberState(r), "status": []any{}, "ip_version": version, "member_type": "ip", "instance_id": "", "pool_id": r.Spec.Pool} {
		v[name] = value
	}
	return v
}

// batch reads {members: […]} for a pool of the path.
func (a *API) batch(x *exchange, verb string) ([]memberBody, error) {
	if _, err := get(x, a.b.Pool.D, x.Param("pool_id")); err != nil {
		return nil, err
	}
	raw, err := body(x, "members")
	if err != nil {
		return nil, err
	}
	var all []memberBody
	if err := json.Unmarshal(raw, &all); err != nil || len(all) == 0 || len(all) > 200 {
		c := x.Call
		if _, _, err := a.Door.Permit(x.R.Context(), &c, a.b.Member.D, verb, "*"); err != nil {
			return nil, err
		}
		return nil, fail.Field("members", "is no list of 1 to 200 members")
	}
	return all, nil
}

func (a *API) many(x *exchange, status int, verb string, edit func(b *memberBody, c *call.Call)) error {
	all, err := a.batch(x, verb)
	if err != nil {
		return err
	}
	items := []any{}
	for i := range all {
		if verb != call.Create {
			r, err := get(x, a.b.Member.D, all[i].ID)
			if err != nil {
				return err
			}
			if r.(*memberRow).Spec.Pool != x.Param("pool_id") {
				return fail.New(fail.NotFound, "the pool has no member %s", all[i].ID)
			}
		}
		r, err := do(x, a.b.Member.D, verb, all[i].ID, func(c *call.Call) error {
			if edit != nil {
				edit(&all[i], c)
			}
			return nil
		})
		if err != nil {
			return err
		}
		v := map[string]any{"id": all[i].ID, "ret_status": "successful"}
		if r != nil && verb != call.Delete {
			v = memberView(r.(*memberRow))
			v["ret_status"] = "successful"
		}
		items = append(items, v)
	}
	wire.Write(x.W, status, map[string]any{"members": items, "request_id": front.From(x.R.Context()).RequestID})
	return nil
}

func (a *API) addMembers(x *exchange) error {
	return a.many(x, http.StatusCreated, call.Create, func(b *memberBody, c *call.Call) { b.put(c, true, x.Param("pool_id")) })
}

func (a *API) changeMembers(x *exchange) error {
	return a.many(x, http.StatusOK, call.Update, func(b *memberBody, c *call.Call) { b.put(c, false, "") })
}

func (a *API) dropMembers(x *exchange) error { return a.many(x, http.StatusOK, call.Delete, nil) }

func (a *API) allMembers(x *exchange) error {
	r := a.members()
	r.within = nil
	return r.list(x)
}
