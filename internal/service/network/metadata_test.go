package network_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"github.com/awancloud/awan/internal/kernel/secret"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/service/network"
)

// ask sends a request to the metadata service from an address of a network.
func (l *land) ask(e *ear, vpc id.ID, from, method, path string, header ...string) (int, string) {
	l.Helper()
	c := http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		return e.from(l.T, vpc, from, netip.AddrPortFrom(network.OwnAddress, 80)), nil
	}}}
	defer c.CloseIdleConnections()
	r, err := http.NewRequestWithContext(l.Context(), method, "http://169.254.169.254"+path, nil)
	if err != nil {
		l.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := c.Do(r)
	if err != nil {
		l.Fatal(err)
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b)
}

func TestMetadataKnowsWhoAsks(t *testing.T) {
	l, e := told(t)
	server := id.New()
	l.do("port", call.Create, "web-1", `{"addresses":["192.168.0.10"],"device":"`+string(server)+`","device_owner":"compute:awan-1a"}`)
	l.do("port", call.Create, "other", `{"addresses":["192.168.0.11"]}`)
	l.plug("web-1")
	vpc := l.id("vpc", "vpc-default")
	l.s.Instance = func(_ context.Context, i id.ID) (*network.Instance, error) {
		if i != server {
			return nil, fail.New(fail.NotFound, "no such server")
		}
		return &network.Instance{ID: server, Project: l.Root.Project, Name: "web-1", Hostname: "web-1", Flavor: "s6.small.1", Zone: "awan-1a", Keys: map[string]string{"me": "ssh-ed25519 AAAA me"},
			UserData: []byte("#cloud-config\n"), Agency: "helpers", Created: time.Now()}, nil
	}
	l.s.Credentials = func(context.Context, *network.Instance) (ident.Temporary, error) {
		return ident.Temporary{Access: "TMPKEY", Secret: "s", Token: "t", Expires: time.Now().Add(time.Hour)}, nil
	}
	ca, err := secret.OpenCA(t.TempDir(), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	l.s.Identity = func() (*tls.Certificate, error) { return ca.Leaf([]string{"instance-identity.test"}, nil) }
	for path, want := range map[string]string{
		"/openstack/latest/meta_data.json":                   `"uuid":"` + server.Dashed() + `"`,
		"/openstack/latest/user_data":                        "#cloud-config",
		"/openstack/latest/network_data.json":                `"ipv4_dhcp"`,
		"/openstack/latest/vendor_data.json":                 "{}",
		"/openstack/latest/securitykey":                      `"access":"TMPKEY"`,
		"/openstack/":                                        "latest",
		"/latest/meta-data/":                                 "instance-id\n",
		"/latest/meta-data/instance-id":                      server.Dashed(),
		"/latest/meta-data/local-ipv4":                       "192.168.0.10",
		"/latest/meta-data/security-groups":                  "default",
		"/latest/meta-data/placement/availability-zone":      "awan-1a",
		"/2009-04-04/meta-data/public-keys/":                 "0=me",
		"/2009-04-04/meta-data/public-keys/0/openssh-key":    "ssh-ed25519 AAAA me",
		"/latest/meta-data/iam/security-credentials/":        "helpers",
		"/latest/meta-data/iam/security-credentials/helpers": `"AccessKeyId":"TMPKEY"`,
		"/latest/dynamic/instance-identity/document":         `"instanceType": "s6.small.1"`,
		"/latest/user-data":                                  "#cloud-config",
		"/latest/meta-data/network/interfaces/macs/":         "fa:16:3e",
	} {
		if code, body := l.ask(e, vpc, "192.168.0.10", "GET", path); code != 200 || !strings.Contains(body, want) {
			t.Errorf("%s: %d %s, want %s", path, code, body, want)
		}
	}
	proof := map[string]string{}
	for _, what := range []string{"document", "signature", "certificate"} {
		_, proof[what] = l.ask(e, vpc, "192.168.0.10", "GET", "/latest/dynamic/instance-identity/"+what)
	}
	block, _ := pem.Decode([]byte(proof["certificate"]))
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cert.Verify(x509.VerifyOptions{Roots: ca.Pool()}); err != nil {
		t.Error("the certificate of identity documents:", err)
	}
	sig, _ := base64.StdEncoding.DecodeString(proof["signature"])
	if err := cert.CheckSignature(x509.ECDSAWithSHA256, []byte(proof["document"]), sig); err != nil {
		t.Error("the signature of an identity document:", err)
	}
	if err := cert.CheckSignature(x509.ECDSAWithSHA256, []byte(proof["document"]+" "), sig); err == nil {
		t.Error("a changed identity document passes")
	}
	if code, _ := l.ask(e, vpc, "192.168.0.11", "GET", "/openstack/latest/meta_data.json"); code != 404 {
		t.Error("a port without a server:", code)
	}
	if code, _ := l.ask(e, vpc, "192.168.0.99", "GET", "/latest/user-data"); code != 404 {
		t.Error("nobody's address:", code)
	}
	if code, _ := l.ask(e, vpc, "192.168.0.10", "GET", "/latest/meta-data/", "X-Forwarded-For", "10.0.0.1"); code != 403 {
		t.Error("relayed:", code)
	}
	_, token := l.ask(e, vpc, "192.168.0.10", "PUT", "/latest/api/token", "X-aws-ec2-metadata-token-ttl-seconds", "60")
	if code, body := l.ask(e, vpc, "192.168.0.10", "GET", "/latest/meta-data/instance-id", "X-aws-ec2-metadata-token", token); code != 200 {
		t.Error(code, body)
	}
	if code, _ := l.ask(e, vpc, "192.168.0.10", "GET", "/latest/meta-data/instance-id", "X-aws-ec2-metadata-token", token+"x"); code != 401 {
		t.Error("a wrong token:", code)
	}
	// Whoever else may send from the address may not get the server's keys.
	l.do("port", call.Update, "other", `{"allowed_pairs":[{"address":"192.168.0.0/24"}]}`)
	if code, _ := l.ask(e, vpc, "192.168.0.10", "GET", "/openstack/latest/securitykey"); code != 403 {
		t.Error("keys although it is not sure who asks:", code)
	}
}

// name asks the resolver of a network.
func (l *land) name(e *ear, vpc id.ID, from, name string, typ uint16) *dns.Msg {
	l.Helper()
	conn := &dns.Conn{Conn: e.from(l.T, vpc, from, netip.AddrPortFrom(network.OwnAddress, 53))}
	defer conn.Close()
	q := new(dns.Msg)
	q.SetQuestion(dns.Fqdn(name), typ)
	c := dns.Client{Net: "tcp", Timeout: 5 * time.Second}
	in, _, err := c.ExchangeWithConn(q, conn)
	if err != nil {
		l.Fatal(err)
	}
	return in
}

func TestNamesOfPortsAreKnown(t *testing.T) {
	up := dns.Server{Net: "udp", Addr: "127.0.0.1:0", Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		a := new(dns.Msg)
		a.SetReply(q)
		rr, _ := dns.NewRR(q.Question[0].Name + " 60 IN A 203.0.113.9")
		a.Answer = append(a.Answer, rr)
		_ = w.WriteMsg(a)
	})}
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	up.PacketConn = pc
	go func() { _ = up.ActivateAndServe() }()
	t.Cleanup(func() { _ = up.Shutdown() })
	l, e := told(t)
	l.s.Resolvers = []netip.AddrPort{netip.MustParseAddrPort(pc.LocalAddr().String())}
	l.do("port", call.Create, "", `{"addresses":["192.168.0.10"],"hostname":"db"}`)
	l.do("port", call.Create, "web", `{"addresses":["192.168.0.11"]}`)
	l.plug("web")
	vpc := l.id("vpc", "vpc-default")
	ask := func(name string, typ uint16) *dns.Msg { return l.name(e, vpc, "192.168.0.11", name, typ) }
	for _, n := range []string{"db", "db.internal", "DB.INTERNAL"} {
		if a := ask(n, dns.TypeA); len(a.Answer) != 1 || a.Answer[0].(*dns.A).A.String() != "192.168.0.10" {
			t.Errorf("%s: %v", n, a)
		}
	}
	if a := ask("11.0.168.192.in-addr.arpa", dns.TypePTR); len(a.Answer) != 1 || a.Answer[0].(*dns.PTR).Ptr != "web.internal." {
		t.Error(a)
	}
	if a := ask("nobody.internal", dns.TypeA); a.Rcode != dns.RcodeNameError {
		t.Error(a)
	}
	if a := ask("example.org", dns.TypeA); a.Rcode != dns.RcodeRefused {
		t.Error("a network that does not reach out:", a)
	}
	l.do("vpc", call.Update, "vpc-default", `{"internet":true}`)
	if a := ask("example.org", dns.TypeA); len(a.Answer) != 1 {
		t.Error(a)
	}
}
