package balancer

import (
	"time"

	"github.com/awancloud/awan/internal/kernel/kind"
)

// BalancerSpec describes a load balancer.
type BalancerSpec struct {
	Subnet      string `json:"subnet" doc:"subnet that its address is in; empty: the project's default one" ref:"network/subnet" immutable:"true"`
	Address     string `json:"address" doc:"its address; empty: a free one of the subnet is chosen" immutable:"true" example:"192.168.0.100"`
	PublicIP    string `json:"public_ip" doc:"public address that is to lead to it, by name, id or address" ref:"network/public-ip" immutable:"true"`
	PublicMbit  int    `json:"public_mbit" doc:"make a public address of this bandwidth for it" unit:"Mbit/s" max:"2000" immutable:"true"`
	L4Flavor    string `json:"l4_flavor" doc:"size for tcp, udp and tls; kept for clients, for there is one machine" max:"64"`
	L7Flavor    string `json:"l7_flavor" doc:"size for http and https; kept for clients" max:"64"`
	VPC         string `json:"vpc" doc:"VPC that its subnet must be in; empty: whichever it is in" ref:"network/vpc" immutable:"true"`
	Description string `json:"description" doc:"free text" max:"255"`
	Disabled    bool   `json:"disabled" doc:"nothing is answered at its address"`
}

// BalancerStatus is what came of it.
type BalancerStatus struct {
	Port       string          `json:"port" doc:"port that holds its address"`
	Subnet     string          `json:"subnet" doc:"id of its subnet"`
	VPC        string          `json:"vpc" doc:"id of its VPC"`
	IPv4Subnet string          `json:"ipv4_subnet,omitempty" doc:"id of its IPv4 subnet for OpenStack clients"`
	Address    string          `json:"address" doc:"its address in the VPC"`
	Address6   string          `json:"address6,omitempty" doc:"its IPv6 address in the VPC"`
	Public     []PublicAddress `json:"public,omitempty" doc:"public addresses that lead to it"`
	OwnPublic  string          `json:"own_public,omitempty" doc:"the public address that was made for it, and goes with it"`
	Operating  string          `json:"operating" doc:"online, offline (nothing is answered), or degraded (a listener's address cannot be had)"`
	Statistics *Statistics     `json:"statistics,omitempty" doc:"what went through it since the cloud started"`
}

// Statistics count what went through.
type Statistics struct {
	Active   int64 `json:"active" doc:"connections open now"`
	Total    int64 `json:"total" doc:"connections"`
	Refused  int64 `json:"refused" doc:"connections that the IP groups refused"`
	Failed   int64 `json:"failed" doc:"connections that no member took"`
	Requests int64 `json:"requests" doc:"requests"`
	Code2xx  int64 `json:"code_2xx" doc:"answers of success"`
	Code3xx  int64 `json:"code_3xx" doc:"redirects"`
	Code4xx  int64 `json:"code_4xx" doc:"answers that the client was at fault"`
	Code5xx  int64 `json:"code_5xx" doc:"answers that the server was at fault"`
	In       int64 `json:"in" doc:"from clients" unit:"bytes"`
	Out      int64 `json:"out" doc:"to clients" unit:"bytes"`
}

// ListenerSpec describes a port of a load balancer.
type ListenerSpec struct {
	Balancer     string    `json:"balancer" doc:"load balancer it is of" ref:"balancer/load-balancer" required:"true" immutable:"true"`
	Protocol     string    `json:"protocol" doc:"what is spoken; tls and https end TLS here" enum:"tcp,udp,tls,http,https" required:"true" immutable:"true"`
	Port         int       `json:"port" doc:"port it listens on" required:"true" min:"1" max:"65535" immutable:"true"`
	Pool         string    `json:"pool" doc:"pool that gets what no forwarding policy says otherwise; none: nobody does" ref:"balancer/pool"`
	Description  string    `json:"description" doc:"free text" max:"255"`
	Disabled     bool      `json:"disabled" doc:"nothing is answered"`
	Certificate  string    `json:"certificate" doc:"for tls and https: the certificate where no other fits the name" ref:"balancer/certificate"`
	Certificates []string  `json:"certificates" doc:"for tls and https: further certificates, chosen by the name that the client asks for (SNI)" ref:"balancer/certificate" max:"50"`
	ClientCA     string    `json:"client_ca" doc:"for tls and https: clients must show a certificate of this authority" ref:"balancer/certificate"`
	TLS          string    `json:"tls" doc:"oldest version of TLS" enum:"1.0,1.1,1.2,1.3" default:"1.2"`
	HTTP2        bool      `json:"http2" doc:"for https: offer HTTP/2" default:"true"`
	IPGroup      string    `json:"ip_group" doc:"addresses that may come, or may not" ref:"balancer/ip-group"`
	IPGroupDeny  bool      `json:"ip_group_deny" doc:"those of the IP group may not come; otherwise only they may"`
	IPGroupOff   bool      `json:"ip_group_off" doc:"the IP group does not count"`
	Idle         kind.Span `json:"idle_timeout" doc:"how long a connection may be silent; empty: 5 minutes, for http and https 1 minute between requests" min:"0" max:"4000"`
	Request      kind.Span `json:"request_timeout" doc:"for http and https: how long a request's header may take to come" default:"1m" min:"1" max:"300"`
	Response     kind.Span `json:"response_timeout" doc:"for http and https: how long a member may take to begin its answer" default:"1m" min:"1" max:"3600"`
	ForwardHost  bool      `json:"forward_host" doc:"for http and https: tell members the host in X-Forwarded-Host" default:"true"`
	ForwardProto bool      `json:"forward_proto" doc:"for http and https: tell members the protocol in X-Forwarded-Proto" default:"true"`
	ForwardPort  bool      `json:"forward_port" doc:"for http and https: tell members the listener's port in X-Forwarded-Port"`
	ClientPort   bool      `json:"forward_client_port" doc:"for http and https: tell members the client's port in X-Forwarded-For-Port"`
	RealIP       bool      `json:"real_ip" doc:"for http and https: tell members the client's address in X-Real-IP"`
	ProxyLine    bool      `json:"proxy_protocol" doc:"for tcp and tls: tell members the client's address by the PROXY protocol, version 1"`
	// Foreign is what clients of other APIs said and get back.
	Foreign map[string]string `json:"foreign,omitempty" form:"-" doc:"words of other APIs' clients, kept for them" max:"20"`
}

// ListenerStatus is what came of it.
type ListenerStatus struct {
	Listening  bool        `json:"listening" doc:"its address is open"`
	Statistics *Statistics `json:"statistics,omitempty" doc:"what went through it since the cloud started"`
}

// CertificateSpec describes a certificate with its key, or an authority that clients' certificates are of.
type CertificateSpec struct {
	Type        string   `json:"type" doc:"server: with its key, for listeners; client: an authority that clients' certificates are of" enum:"server,client" default:"server" immutable:"true"`
	Certificate string   `json:"certificate" doc:"the certificate and what it stands on, as PEM" required:"true" max:"65536"`
	Key         string   `json:"key" doc:"for server: its private key, as PEM" secret:"true" max:"16384"`
	Names       []string `json:"names" doc:"names that it is for; none: those in it" max:"100"`
	Description string   `json:"description" doc:"free text" max:"255"`
}

// CertificateStatus is what is in it.
type CertificateStatus struct {
	CommonName  string    `json:"common_name" doc:"the name of its owner"`
	Names       []string  `json:"names" doc:"names in it"`
	NotBefore   time.Time `json:"not_before,omitzero" doc:"when it begins"`
	NotAfter    time.Time `json:"not_after,omitzero" doc:"when it ends"`
	Fingerprint string    `json:"fingerprint" doc:"its SHA-1 fingerprint, in hex digits"`
}

// PoolSpec describes members that do the same.
type PoolSpec struct {
	Balancer     string    `json:"balancer" doc:"load balancer it is of; empty: give a VPC" ref:"balancer/load-balancer" immutable:"true"`
	VPC          string    `json:"vpc" doc:"VPC whose load balancers may use it, where it is of none" ref:"network/vpc" immutable:"true"`
	Protocol     string    `json:"protocol" doc:"what members speak" enum:"tcp,udp,http,https" required:"true" immutable:"true"`
	Algorithm    string    `json:"algorithm" doc:"how a member is chosen" enum:"round_robin,least_connections,source_ip" default:"round_robin"`
	Sticky       string    `json:"sticky" doc:"how clients stay with a member; empty: they do not" enum:"source_ip,cookie,app_cookie"`
	StickyCookie string    `json:"sticky_cookie" doc:"for app_cookie: name of the app's cookie" max:"64" pattern:"^[A-Za-z0-9_.-]*$"`
	StickyFor    kind.Span `json:"sticky_for" doc:"for cookie and app_cookie: how long they stay without asking" default:"24h" min:"60" max:"86400"`
	SlowStart    kind.Span `json:"slow_start" doc:"how long a member that has come up gets less than its share; empty: not at all" max:"1200"`
	Drain        kind.Span `json:"drain" doc:"how long connections to a member that was taken out may go on" default:"5m" max:"4000"`
	Description  string    `json:"description" doc:"free text" max:"255"`
	// Foreign is what clients of other APIs said and get back.
	Foreign map[string]string `json:"foreign,omitempty" form:"-" doc:"words of other APIs' clients, kept for them" max:"20"`
}

// PoolStatus tells where it is and how it is.
type PoolStatus struct {
	VPC     string `json:"vpc" doc:"id of its VPC"`
	Members int    `json:"members" doc:"how many members it has"`
	Online  int    `json:"online" doc:"how many of them get something"`
}

// MemberSpec describes one that does the work.
type MemberSpec struct {
	Pool    string `json:"pool" doc:"pool it is in" ref:"balancer/pool" required:"true" immutable:"true"`
	Address string `json:"address" doc:"its address in the VPC" required:"true" immutable:"true" example:"192.168.0.10"`
	Port    int    `json:"port" doc:"port it listens on" required:"true" min:"1" max:"65535" immutable:"true"`
	Weight  *int   `json:"weight" doc:"its share, beside the others; 0: it gets nothing new" default:"1" min:"0" max:"256"`
	Subnet  string `json:"subnet" doc:"subnet it is in, as clients say it" max:"64" immutable:"true"`
}

// MemberStatus is how it is.
type MemberStatus struct {
	Operating string `json:"operating" doc:"online, offline, unknown (not checked yet) or no_monitor"`
}

// MonitorSpec says how to find out whether a pool's members work.
type MonitorSpec struct {
	Pool     string    `json:"pool" doc:"pool whose members it checks; one monitor each" ref:"balancer/pool" required:"true" immutable:"true"`
	Type     string    `json:"type" doc:"how: a connection, a packet, or a request" enum:"tcp,udp,http,https" required:"true"`
	Delay    kind.Span `json:"delay" doc:"from one check to the next" default:"5s" min:"1" max:"50"`
	Timeout  kind.Span `json:"timeout" doc:"how long a check may take" default:"3s" min:"1" max:"50"`
	Up       int       `json:"up" doc:"checks in a row that must be good until a member is online again" default:"3" min:"1" max:"10"`
	Down     int       `json:"down" doc:"checks in a row that must fail until a member is offline" default:"3" min:"1" max:"10"`
	Port     int       `json:"port" doc:"port to check; empty: the member's" max:"65535"`
	Path     string    `json:"path" doc:"for http and https: what to ask for" default:"/" max:"255"`
	Method   string    `json:"method" doc:"for http and https: how to ask" enum:"GET,HEAD,POST,PUT,OPTIONS" default:"GET"`
	Host     string    `json:"host" doc:"for http and https: name to ask for; empty: the address" max:"255"`
	Codes    string    `json:"codes" doc:"for http and https: status codes that are good" default:"200" max:"64" example:"200,204 or 200-299"`
	Disabled bool      `json:"disabled" doc:"nothing is checked"`
}

// MonitorStatus is empty: members say how they are.
type MonitorStatus struct{}

// PolicySpec describes what becomes of requests that all its rules fit.
type PolicySpec struct {
	Listener    string `json:"listener" doc:"listener it is of: http or https" ref:"balancer/listener" required:"true" immutable:"true"`
	Action      string `json:"action" doc:"pool: to another pool; listener: to a https listener of the same load balancer; url: to another address; respond: answered here" enum:"pool,listener,url,respond" required:"true" immutable:"true"`
	Priority    int    `json:"priority" doc:"the lowest comes first; 0: behind the others, the more exact rule first" max:"10000"`
	Pool        string `json:"pool" doc:"for pool: which" ref:"balancer/pool"`
	To          string `json:"to_listener" doc:"for listener: which" ref:"balancer/listener"`
	Scheme      string `json:"scheme" doc:"for url: empty: as it was" enum:"http,https"`
	Host        string `json:"host" doc:"for url: empty: as it was" max:"128"`
	Port        int    `json:"port" doc:"for url: empty: as it was" max:"65535"`
	Path        string `json:"path" doc:"for url: empty: as it was" max:"128"`
	Query       string `json:"query" doc:"for url: empty: as it was" max:"128"`
	Status      int    `json:"status" doc:"for url 301, 302, 303, 307 or 308 (empty: 302); for respond any from 200 (empty: 200)" max:"599"`
	ContentType string `json:"content_type" doc:"for respond: type of the body" default:"text/plain" max:"64"`
	Body        string `json:"body" doc:"for respond: what to answer" max:"1024"`
	Description string `json:"description" doc:"free text" max:"255"`
	Disabled    bool   `json:"disabled" doc:"it does not count"`
}

// PolicyStatus is empty: a policy is what it says.
type PolicyStatus struct{}

// RuleSpec describes what a request must be like.
type RuleSpec struct {
	Policy  string   `json:"policy" doc:"forwarding policy it is of" ref:"balancer/forwarding-policy" required:"true" immutable:"true"`
	Of      string   `json:"of" doc:"what is looked at" enum:"host,path,method,header,query,cookie,source" required:"true" immutable:"true"`
	Key     string   `json:"key" doc:"for header, query and cookie: its name" max:"64"`
	Compare string   `json:"compare" doc:"how" enum:"equal,prefix,suffix,contains,regex" default:"equal"`
	Values  []string `json:"values" doc:"one of these fits; a host may begin with *., a source is an address or a network" required:"true" max:"20"`
	Invert  bool     `json:"invert" doc:"it fits when none of them does"`
	// Foreign is what clients of other APIs said and get back.
	Foreign map[string]string `json:"foreign,omitempty" form:"-" doc:"words of other APIs' clients, kept for them" max:"20"`
}

// RuleStatus is empty: a rule is what it says.
type RuleStatus struct{}

// GroupSpec describes addresses.
type GroupSpec struct {
	Addresses   []GroupAddress `json:"addresses" doc:"addresses and networks" max:"300"`
	Description string         `json:"description" doc:"free text" max:"255"`
}

// GroupAddress is one of them.
type GroupAddress struct {
	Address     string `json:"address" doc:"an address or a network" required:"true" example:"192.0.2.0/24"`
	Description string `json:"description" doc:"free text" max:"255"`
}

// GroupStatus is empty: a group is what it says.
type GroupStatus struct{}

type (
	balancerRow    = kind.Row[BalancerSpec, BalancerStatus]
	listenerRow    = kind.Row[ListenerSpec, ListenerStatus]
	certificateRow = kind.Row[CertificateSpec, CertificateStatus]
	poolRow        = kind.Row[PoolSpec, PoolStatus]
	memberRow      = kind.Row[MemberSpec, MemberStatus]
	monitorRow     = kind.Row[MonitorSpec, MonitorStatus]
	policyRow      = kind.Row[PolicySpec, PolicyStatus]
	ruleRow        = kind.Row[RuleSpec, RuleStatus]
	groupRow       = kind.Row[GroupSpec, GroupStatus]
)
