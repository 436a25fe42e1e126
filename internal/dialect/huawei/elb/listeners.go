package elb

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/awancloud/awan/internal/dialect/huawei/rest"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kind"
)

type listenerBody struct {
	words
	Balancer     *string        `json:"loadbalancer_id"`
	Protocol     *string        `json:"protocol"`
	Port         *int           `json:"protocol_port"`
	Pool         *string        `json:"default_pool_id"`
	Certificate  *string        `json:"default_tls_container_ref"`
	Certificates *[]string      `json:"sni_container_refs"`
	ClientCA     *string        `json:"client_ca_tls_container_ref"`
	Ciphers      *string        `json:"tls_ciphers_policy"`
	HTTP2        *bool          `json:"http2_enable"`
	Idle         *int           `json:"keepalive_timeout"`
	Request      *int           `json:"client_timeout"`
	Response     *int           `json:"member_timeout"`
	Headers      *insertHeaders `json:"insert_headers"`
	Group        *ipGroup       `json:"ipgroup"`
	Enhanced     *bool          `json:"enhance_l7policy_enable"`
	Proxy        *bool          `json:"proxy_protocol_enable"`
	Transparent  *bool          `json:"transparent_client_ip_enable"`
	Gzip         *bool          `json:"gzip_enable"`
	NAT64        *bool          `json:"nat64_enable"`
	EarlyData    *bool          `json:"ssl_early_data_enable"`
	QUIC         any            `json:"quic_config"`
	Security     *string        `json:"security_policy_id"`
	Protected    string         `json:"protection_status"`
	PortRanges   []any          `json:"port_ranges"`
	Connections  int            `json:"connection"`
	CPS          int            `json:"cps"`
}

type insertHeaders struct {
	BalancerIP *bool `json:"X-Forwarded-ELB-IP,omitempty"`
	Port       *bool `json:"X-Forwarded-Port,omitempty"`
	ClientPort *bool `json:"X-Forwarded-For-Port,omitempty"`
	Host       *bool `json:"X-Forwarded-Host,omitempty"`
	Proto      *bool `json:"X-Forwarded-Proto,omitempty"`
	RealIP     *bool `json:"X-Real-IP,omitempty"`
	BalancerID *bool `json:"X-Forwarded-ELB-ID,omitempty"`
	TLSCert    *bool `json:"X-Forwarded-TLS-Certificate-ID,omitempty"`
	TLSCipher  *bool `json:"X-Forwarded-TLS-Cipher,omitempty"`
	TLSProto   *bool `json:"X-Forwarded-TLS-Protocol,omitempty"`
}

type ipGroup struct {
	ID   *string `json:"ipgroup_id"`
	On   *bool   `json:"enable_ipgroup"`
	Type *string `json:"type"`
}

func (a *API) listeners() *resource {
	return &resource{d: a.b.Listener.D, path: "/listeners", param: "listener_id", singular: "listener", plural: "listeners",
		write: writeListener, view: func(_ *exchange, r kind.AnyRow) (map[string]any, error) { return listenerView(r.(*listenerRow)), nil }}
}

// ciphers are ELB's names of what TLS a listener speaks.
func ciphers() map[string]string {
	return map[string]string{"tls-1-0": "1.0", "tls-1-1": "1.1", "tls-1-2": "1.2"}
}

func writeListener(_ *exchange, raw json.RawMessage, row kind.AnyRow, c *call.Call) error {
	var b listenerBody
	if err := decode(raw, &b); err != nil {
		return err
	}
	h := insertHeaders{}
	if b.Headers != nil {
		h = *b.Headers
	}
	if err := first(refuse("transparent_client_ip_enable", on(b.Transparent)), refuse("gzip_enable", on(b.Gzip)), refuse("nat64_enable", on(b.NAT64)),
		refuse("ssl_early_data_enable", on(b.EarlyData)), refuse("security_policy_id", b.Security != nil && *b.Security != ""),
		refuse("protection_status", b.Protected == "consoleProtection"), refuse("port_ranges", len(b.PortRanges) > 0), refuse("connection", b.Connections > 0), refuse("cps", b.CPS > 0),
		refuse("insert_headers.X-Forwarded-ELB-IP", on(h.BalancerIP)), refuse("insert_headers.X-Forwarded-ELB-ID", on(h.BalancerID)), refuse("insert_headers.X-Forwarded-TLS-Certificate-ID", on(h.TLSCert)),
		refuse("insert_headers.X-Forwarded-TLS-Cipher", on(h.TLSCipher)), refuse("insert_headers.X-Forwarded-TLS-Protocol", on(h.TLSProto))); err != nil {
		return err
	}
	s, foreign := wire.Spec{}, map[string]string{}
	b.apply(c, s)
	if row == nil {
		wire.Set(s, "balancer", b.Balancer)
		wire.Set(s, "port", b.Port)
		if b.Protocol != nil {
			p := strings.TrimPrefix(strings.ToLower(*b.Protocol), "terminated_")
			if p == "quic" || p == "ip" {
				return fail.New(fail.Unsupported, "protocol: there are no listeners of %s in this cloud", *b.Protocol).Then("use TCP, UDP, TLS, HTTP or HTTPS")
			}
			s["protocol"] = p
		}
	}
	wire.Set(s, "pool", b.Pool)
	wire.Set(s, "certificate", b.Certificate)
	wire.Set(s, "certificates", b.Certificates)
	wire.Set(s, "client_ca", b.ClientCA)
	wire.Set(s, "http2", b.HTTP2)
	wire.Set(s, "proxy_protocol", b.Proxy)
	seconds(s, "idle_timeout", b.Idle)
	seconds(s, "request_timeout", b.Request)
	seconds(s, "response_timeout", b.Response)
	wire.Set(s, "forward_host", h.Host)
	wire.Set(s, "forward_port", h.Port)
	wire.Set(s, "forward_client_port", h.ClientPort)
	wire.Set(s, "real_ip", h.RealIP)
	wire.Set(s, "forward_proto", h.Proto)
	if b.Ciphers != nil && *b.Ciphers != "" {
		v := ciphers()[*b.Ciphers]
		if v == "" {
			return fail.Field("tls_ciphers_policy", "there is no policy %q", *b.Ciphers).Then("use tls-1-0, tls-1-1 or tls-1-2: the oldest version that is spoken")
		}
		s["tls"] = v
	}
	if g := b.Group; g != nil {
		wire.Set(s, "ip_group", g.ID)
		wire.Not(s, "ip_group_off", g.On)
		if g.Type != nil {
			s["ip_group_deny"] = *g.Type == "black"
		}
	}
	if b.Enhanced != nil {
		foreign["enhance_l7policy_enable"] = map[bool]string{true: "true", false: "false"}[*b.Enhanced]
	}
	if len(foreign) > 0 {
		s["foreign"] = foreign
	}
	c.Spec = s.JSON()
	return nil
}

func listenerView(r *listenerRow) map[string]any {
	sp := &r.Spec
	v := common(r)
	http := sp.Protocol == "http" || sp.Protocol == "https"
	idle := int(time.Duration(sp.Idle) / time.Second)
	if idle == 0 && http {
		idle = 60
	} else if idle == 0 {
		idle = 300
	}
	for name, value := range map[string]any{"description": sp.Description, "admin_state_up": !sp.Disabled, "loadbalancers": []any{map[string]any{"id": sp.Balancer}},
		"loadbalancer_id": sp.Balancer, "protocol": strings.ToUpper(sp.Protocol), "protocol_port": sp.Port, "default_pool_id": sp.Pool, "default_tls_container_ref": sp.Certificate,
		"sni_container_refs": append([]string{}, sp.Certificates...), "client_ca_tls_container_ref": sp.ClientCA, "http2_enable": sp.Protocol == "https" && sp.HTTP2,
		"keepalive_timeout": idle, "tags": rest.Tags(r.Tags), "connection_limit": -1, "enhance_l7policy_enable": sp.Foreign["enhance_l7policy_enable"] == "true",
		"proxy_protocol_enable": sp.ProxyLine, "transparent_client_ip_enable": false, "gzip_enable": false, "ssl_early_data_enable": false, "nat64_enable": false,
		"enable_member_retry": true, "protection_status": "nonProtection", "sni_match_algo": "wildcard", "connection": 0, "cps": 0,
		"insert_headers": map[string]bool{"X-Forwarded-Host": sp.ForwardHost, "X-Forwarded-Port": sp.ForwardPort, "X-Forwarded-For-Port": sp.ClientPort, "X-Real-IP": sp.RealIP,
			"X-Forwarded-Proto": http && sp.ForwardProto}} {
		v[name] = value
	}
	if http {
		v["client_timeout"], v["member_timeout"] = int(time.Duration(sp.Request)/time.Second), int(time.Duration(sp.Response)/time.Second)
	}
	if sp.Protocol == "https" || sp.Protocol == "tls" {
		for name, version := range ciphers() {
			if version == sp.TLS {
				v["tls_ciphers_policy"] = name
			}
		}
	}
	if sp.IPGroup != "" {
		v["ipgroup"] = map[string]any{"ipgroup_id": sp.IPGroup, "enable_ipgroup": !sp.IPGroupOff, "type": map[bool]string{true: "black", false: "white"}[sp.IPGroupDeny]}
	}
	return v
}
