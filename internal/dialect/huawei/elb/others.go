package elb

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/kind"
)

type monitorBody struct {
	words
	Pool    *string `json:"pool_id"`
	Type    *string `json:"type"`
	Delay   *int    `json:"delay"`
	Timeout *int    `json:"timeout"`
	Up      *int    `json:"max_retries"`
	Down    *int    `json:"max_retries_down"`
	Path    *string `json:"url_path"`
	Host    *string `json:"domain_name"`
	Codes   *string `json:"expected_codes"`
	Port    *int    `json:"monitor_port"`
	Method  *string `json:"http_method"`
	State   *bool   `json:"admin_state_up"`
}

func (a *API) monitors() *resource {
	return &resource{d: a.b.Monitor.D, path: "/healthmonitors", param: "healthmonitor_id", singular: "healthmonitor", plural: "healthmonitors", write: writeMonitor,
		view: func(_ *exchange, r kind.AnyRow) (map[string]any, error) { return monitorView(r.(*monitorRow)), nil }}
}

func writeMonitor(_ *exchange, raw json.RawMessage, row kind.AnyRow, c *call.Call) error {
	var b monitorBody
	if err := decode(raw, &b); err != nil {
		return err
	}
	s := wire.Spec{}
	b.apply(c, s)
	delete(s, "description")
	wire.Not(s, "disabled", b.State)
	if row == nil {
		wire.Set(s, "pool", b.Pool)
	}
	if b.Type != nil {
		s["type"] = strings.TrimSuffix(strings.ToLower(*b.Type), "_connect")
	}
	seconds(s, "delay", b.Delay)
	seconds(s, "timeout", b.Timeout)
	wire.Set(s, "up", b.Up)
	wire.Set(s, "down", b.Down)
	wire.Set(s, "port", b.Port)
	for name, v := range map[string]*string{"path": b.Path, "host": b.Host, "codes": b.Codes, "method": b.Method} {
		if v != nil && (*v != "" || name == "host") {
			s[name] = *v
		}
	}
	c.Spec = s.JSON()
	return nil
}

func monitorView(r *monitorRow) map[string]any {
	v, sp := common(r), &r.Spec
	typ := strings.ToUpper(sp.Type)
	if typ == "UDP" {
		typ = "UDP_CONNECT"
	}
	for name, value := range map[string]any{"admin_state_up": !sp.Disabled, "pools": []any{map[string]any{"id": sp.Pool}}, "type": typ,
		"delay": int(time.Duration(sp.Delay) / time.Second), "timeout": int(time.Duration(sp.Timeout) / time.Second), "max_retries": sp.Up, "max_retries_down": sp.Down,
		"url_path": sp.Path, "domain_name": sp.Host, "expected_codes": sp.Codes, "http_method": sp.Method, "monitor_port": nil} {
		v[name] = value
	}
	if sp.Port != 0 {
		v["monitor_port"] = sp.Port
	}
	return v
}

type certificateBody struct {
	words
	Type        *string `json:"type"`
	Domain      *string `json:"domain"`
	Key         *string `json:"private_key"`
	Certificate *string `json:"certificate"`
	SCM         string  `json:"scm_certificate_id"`
	Enc         string  `json:"enc_certificate"`
}

func (a *API) certificates() *resource {
	return &resource{d: a.b.Certificate.D, path: "/certificates", param: "certificate_id", singular: "certificate", plural: "certificates", write: writeCertificate,
		view: func(_ *exchange, r kind.AnyRow) (map[string]any, error) {
			return certificateView(r.(*certificateRow)), nil
		}}
}

func writeCertificate(_ *exchange, raw json.RawMessage, row kind.AnyRow, c *call.Call) error {
	var b certificateBody
	if err := decode(raw, &b); err != nil {
		return err
	}
	if err := first(refuse("scm_certificate_id", b.SCM != ""), refuse("enc_certificate", b.Enc != "")); err != nil {
		return err
	}
	s := wire.Spec{}
	b.apply(c, s)
	delete(s, "disabled")
	if row == nil {
		wire.Set(s, "type", b.Type)
	}
	wire.Set(s, "certificate", b.Certificate)
	wire.Set(s, "key", b.Key)
	if b.Domain != nil {
		names := []string{}
		for _, n := range strings.Split(*b.Domain, ",") {
			if n = strings.TrimSpace(n); n != "" {
				names = append(names, n)
			}
		}
		s["names"] = names
	}
	c.Spec = s.JSON()
	return nil
}

func certificateView(r *certificateRow) map[string]any {
	v := common(r)
	for name, value := range map[string]any{"description": r.Spec.Description, "type": r.Spec.Type, "domain": strings.Join(r.Spec.Names, ","), "certificate": r.Spec.Certificate,
		"private_key": nil, "expire_time": stamp(r.Status.NotAfter), "create_time": stamp(r.Created), "update_time": stamp(r.Updated), "common_name": r.Status.CommonName,
		"fingerprint": r.Status.Fingerprint, "subject_alternative_names": append([]string{}, r.Status.Names...), "source": ""} {
		v[name] = value
	}
	return v
}

type groupBody struct {
	words
	List *[]groupEntry `json:"ip_list"`
}

type groupEntry struct {
	IP          string `json:"ip"`
	Description string `json:"description"`
}

func (a *API) groups() *resource {
	return &resource{d: a.b.Group.D, path: "/ipgroups", param: "ipgroup_id", singular: "ipgroup", plural: "ipgroups", write: writeGroup, view: a.groupView}
}

func writeGroup(_ *exchange, raw json.RawMessage, _ kind.AnyRow, c *call.Call) error {
	var b groupBody
	if err := decode(raw, &b); err != nil {
		return err
	}
	s := wire.Spec{}
	b.apply(c, s)
	delete(s, "disabled")
	if b.List != nil {
		list := []any{}
		for _, e := range *b.List {
			list = append(list, map[string]any{"address": e.IP, "description": e.Description})
		}
		s["addresses"] = list
	}
	c.Spec = s.JSON()
	return nil
}

func (a *API) groupView(x *exchange, row kind.AnyRow) (map[string]any, error) {
	r := row.(*groupRow)
	v := common(r)
	listeners, err := under(x, a.b.Listener.D, "group", string(r.ID))
	list := []groupEntry{}
	for _, e := range r.Spec.Addresses {
		list = append(list, groupEntry{e.Address, e.Description})
	}
	v["description"], v["ip_list"], v["listeners"] = r.Spec.Description, list, listeners
	return v, err
}
