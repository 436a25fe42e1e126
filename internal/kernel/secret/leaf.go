package secret

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"github.com/awancloud/awan/internal/kernel/fail"
)

// leaf is one cached certificate; its lock makes those who ask for the same names wait for one issuing.
type leaf struct {
	mu   sync.Mutex
	cert *tls.Certificate
}

// Leaf gives a server certificate for names and addresses, valid for 90 days. It is kept in memory and made anew when
// two thirds of its life are over, so a caller asks for it at each handshake and never renews by itself.
func (ca *CA) Leaf(names []string, ips []netip.Addr) (*tls.Certificate, error) {
	if len(names)+len(ips) == 0 {
		return nil, fail.New(fail.Invalid, "a certificate needs a name or an address")
	}
	names, ips = slices.Clone(names), slices.Clone(ips)
	slices.Sort(names)
	slices.SortFunc(ips, netip.Addr.Compare)
	key := strings.Join(names, ",")
	for _, ip := range ips {
		key += "/" + ip.String()
	}
	l := ca.slot(key)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cert != nil && !due(l.cert.Leaf, ca.now()) {
		return l.cert, nil
	}
	cert, err := ca.issue(names, ips)
	if err != nil {
		return nil, fail.Wrap(err, fail.Internal, "no certificate can be made for %s", key)
	}
	l.cert = cert
	return cert, nil
}

func (ca *CA) slot(key string) *leaf {
	ca.mu.Lock()
	defer ca.mu.Unlock()
	if l := ca.leaves[key]; l != nil {
		return l
	}
	if len(ca.leaves) >= maxLeaves {
		for k := range ca.leaves { // any one: making it again costs less than a handshake
			delete(ca.leaves, k)
			break
		}
	}
	l := &leaf{}
	ca.leaves[key] = l
	return l
}

func (ca *CA) issue(names []string, ips []netip.Addr) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	now := ca.now()
	template := &x509.Certificate{
		SerialNumber: serial,
		NotBefore:    now.Add(-clockSkew),
		NotAfter:     now.Add(leafLife),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:     names,
	}
	if len(names) > 0 && len(names[0]) <= 64 { // RFC 5280's bound on a common name; clients read the names list anyway
		template.Subject = pkix.Name{CommonName: names[0]}
	}
	for _, ip := range ips {
		template.IPAddresses = append(template.IPAddresses, net.IP(ip.Unmap().AsSlice()))
	}
	der, err := sign(template, ca.root, key.Public(), ca.key)
	if err != nil {
		return nil, err
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: parsed}, nil
}

// TLSConfig gives a server's configuration: TLS 1.2 or newer, forward secrecy and authenticated encryption only, HTTP/2
// offered. The certificate is for the name the client asks for, or, when it names none, for the address of ours it
// connected to. allow decides which names and addresses are ours: a handshake for any other is refused.
func (ca *CA) TLSConfig(allow func(serverName string, local netip.Addr) bool) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		CipherSuites: []uint16{ // of TLS 1.2; those of TLS 1.3 are all sound and not configurable
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
		},
		NextProtos: []string{"h2", "http/1.1"},
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			name := strings.TrimSuffix(strings.ToLower(hello.ServerName), ".")
			local := addressOf(hello.Conn.LocalAddr())
			if !allow(name, local) {
				return nil, fail.New(fail.NotFound, "no certificate for %q at %s: not a name of this cloud", name, local)
			}
			if name != "" {
				return ca.Leaf([]string{name}, nil)
			}
			return ca.Leaf(nil, []netip.Addr{local})
		},
	}
}

func addressOf(a net.Addr) netip.Addr {
	at, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.Addr{}
	}
	return at.Addr().Unmap().WithZone("")
}
