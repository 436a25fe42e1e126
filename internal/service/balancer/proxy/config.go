// Package proxy carries what load balancers carry: connections, requests and packets that come to an address inside a VPC and
// go on to members there. It is told what is wanted as a whole (Config), again and again; a change cuts nothing that goes on.
// It knows no rows. It may import kernel/id.
package proxy

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/netip"
	"regexp"
	"time"

	"github.com/awancloud/awan/internal/kernel/id"
)

// Network is the cloud's own ends inside VPCs, as service/fabric has them.
type Network interface {
	Listen(ctx context.Context, vpc id.ID, addr netip.AddrPort) (net.Listener, error)
	ListenPacket(ctx context.Context, vpc id.ID, addr netip.AddrPort) (net.PacketConn, error)
	// DialFrom dials from a port of the cloud's own, and reaches what the receiver's groups let it.
	DialFrom(ctx context.Context, port id.ID, network string, addr netip.AddrPort) (net.Conn, error)
}

// Config is everything that is wanted.
type Config struct {
	Listeners []*Listener
	Pools     []*Pool
}

// The protocols of listeners and pools.
const (
	TCP   = "tcp"
	UDP   = "udp"
	TLS   = "tls" // of listeners: TLS ends here, what is inside goes on as TCP
	HTTP  = "http"
	HTTPS = "https"
)

// Listener is an address that is answered.
type Listener struct {
	ID       id.ID
	Balancer id.ID
	VPC      id.ID
	At       netip.AddrPort
	Protocol string
	Pool     id.ID    // where no policy says otherwise; "": none
	Policies []Policy // the first that fits counts

	Certificates []*Certificate // for tls and https: the first where no name fits
	ClientCAs    *x509.CertPool // set: clients must show a certificate of one of these
	MinTLS       uint16
	HTTP2        bool

	Addresses []netip.Prefix // with Allow: only these may come; else these may not; nil: everybody may
	Allow     bool

	Idle     time.Duration // how long a connection may be silent between requests, or at all for tcp and udp
	Request  time.Duration // how long a request may take to come
	Response time.Duration // how long a member may take to begin its answer

	ForwardedHost, ForwardedPort, ForwardedFor, ForwardedProto, RealIP bool // headers beside X-Forwarded-For
	ProxyProtocol                                                      bool // tcp and tls: members are told the client's address by a line before the data
}

// Certificate is one with the names that it is for.
type Certificate struct {
	tls.Certificate
	Names []string // lower case; "*.example.com" for one label
}

// The actions of policies.
const (
	ToPool  = "pool"
	ToURL   = "url"
	Respond = "respond"
)

// Policy decides about requests that all its rules fit.
type Policy struct {
	Rules  []Rule
	Action string
	Pool   id.ID
	// Scheme, Host, Port, Path and Query of where to send the client; empty: as the request has it.
	Scheme, Host, Port, Path, Query string
	Status                          int
	ContentType, Body               string
}

// Rule fits a request that has one of the values, or with Invert none of them.
type Rule struct {
	Of      string // host, path, method, header, query, cookie, source
	Key     string // of header, query, cookie
	Compare string // equal, prefix, suffix, contains, regex
	Values  []string
	Regexes []*regexp.Regexp // for regex, instead of Values
	Nets    []netip.Prefix   // for source, instead of Values
	Invert  bool
}

// The ways in which a pool chooses a member.
const (
	RoundRobin       = "round_robin"
	LeastConnections = "least_connections"
	SourceIP         = "source_ip"
)

// The ways in which clients stay with a member.
const (
	StickSource    = "source_ip"
	StickCookie    = "cookie"
	StickAppCookie = "app_cookie"
)

// Pool is members that do the same.
type Pool struct {
	ID        id.ID
	From      id.ID // the port from which members are dialled; "": no load balancer leads here, and nothing is dialled
	Protocol  string
	Algorithm string
	Sticky    string // "": clients stay with nobody
	Cookie    string // name of the app's cookie
	StickFor  time.Duration
	SlowStart time.Duration // how long a member that has come up gets less than its share
	Drain     time.Duration // how long connections to a member that was taken out may go on
	Members   []Member
	Monitor   *Monitor
}

// Member is one that does the work.
type Member struct {
	ID     id.ID
	At     netip.AddrPort
	Weight int // 0: it gets nothing new
}

// Monitor says how to find out whether members work.
type Monitor struct {
	Type           string // tcp, udp, http, https
	Delay, Timeout time.Duration
	Up, Down       int // how many checks in a row change the state
	Port           uint16
	Method, Path   string
	Host           string
	Codes          []CodeRange
}

// CodeRange is status codes from the first to the last, both included.
type CodeRange struct{ First, Last int }
