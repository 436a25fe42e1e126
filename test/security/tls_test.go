package security_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/awancloud/awan/internal/dialect/front"
	"github.com/awancloud/awan/internal/kernel/secret"
)

// listener starts the platform's listener as a fresh install has it, on every address of the machine.
func listener(t *testing.T) (at netip.AddrPort, ca *secret.CA) {
	t.Helper()
	ca, err := secret.OpenCA(t.TempDir(), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	reached := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !front.From(r.Context()).Secure {
			t.Errorf("a handler was reached in clear text from %s", front.From(r.Context()).Peer)
		}
		fmt.Fprint(w, "served")
	})
	f, err := front.New(front.Options{
		Listen: "0.0.0.0:0", CA: ca, Names: front.Names{Domain: "awan.localhost", Region: "awan-1"},
		Logger:   slog.New(slog.DiscardHandler),
		Services: []front.Service{{Name: "iam", Handler: reached}},
		Console:  &front.Service{Name: "console", Handler: reached},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := f.Shutdown(ctx); err != nil {
			t.Error(err)
		}
	})
	return netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), f.Addr().Port()), ca
}

// weakOffers are what a scanner offers, each alone: whatever is accepted is a finding.
func weakOffers() map[string]*tls.Config {
	offers := map[string]*tls.Config{}
	for name, version := range map[string]uint16{"TLS 1.0": tls.VersionTLS10, "TLS 1.1": tls.VersionTLS11} {
		offers[name] = &tls.Config{MinVersion: version, MaxVersion: version}
	}
	weak := map[string]uint16{}
	for _, s := range tls.InsecureCipherSuites() { // RC4, 3DES, static RSA, CBC with SHA-256
		weak[s.Name] = s.ID
	}
	for _, s := range tls.CipherSuites() {
		if strings.HasSuffix(s.Name, "_SHA") || strings.Contains(s.Name, "_CBC_") { // CBC with SHA-1
			weak[s.Name] = s.ID
		}
	}
	for name, id := range weak {
		offers[name] = &tls.Config{MinVersion: tls.VersionTLS12, MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{id}}
	}
	return offers
}

// accepts tells whether a handshake with the offer succeeds. Certificates are not looked at: only the negotiation is.
func accepts(at netip.AddrPort, offer *tls.Config) (tls.ConnectionState, error) {
	offer = offer.Clone()
	offer.InsecureSkipVerify = true //nolint:gosec // a scanner
	conn, err := tls.DialWithDialer(&net.Dialer{Timeout: 10 * time.Second}, "tcp", at.String(), offer)
	if err != nil {
		return tls.ConnectionState{}, err
	}
	defer conn.Close()
	return conn.ConnectionState(), nil
}

func proveS01(t *testing.T) {
	at, ca := listener(t)
	offers := weakOffers()
	if len(offers) < 10 {
		t.Fatalf("the scanner only knows %d weak offers", len(offers))
	}
	for name, offer := range offers {
		if s, err := accepts(at, offer); err == nil {
			t.Errorf("the listener accepts %s (%s)", name, tls.CipherSuiteName(s.CipherSuite))
		}
	}
	s, err := accepts(at, &tls.Config{})
	if err != nil || s.Version != tls.VersionTLS13 {
		t.Errorf("TLS 1.3 is not preferred: %x, %v", s.Version, err)
	}
	s, err = accepts(at, &tls.Config{MaxVersion: tls.VersionTLS12})
	if err != nil || s.Version != tls.VersionTLS12 || !strings.Contains(tls.CipherSuiteName(s.CipherSuite), "ECDHE_ECDSA") {
		t.Errorf("sound TLS 1.2 is not possible: %s, %v", tls.CipherSuiteName(s.CipherSuite), err)
	}
	strong, err := accepts(at, &tls.Config{RootCAs: ca.Pool(), ServerName: "iam.awan-1.awan.localhost"})
	if err != nil {
		t.Fatal(err)
	}
	if leaf := strong.PeerCertificates[0]; leaf.SignatureAlgorithm != x509.ECDSAWithSHA256 {
		t.Errorf("the certificate is signed with %s", leaf.SignatureAlgorithm)
	}
}

// TestScannerFindsWeakness keeps S01 honest: against a server that accepts them, the same scan must find weak offers.
func TestScannerFindsWeakness(t *testing.T) {
	at, ca := listener(t)
	_ = at
	leaf, err := ca.Leaf(nil, []netip.Addr{netip.MustParseAddr("127.0.0.1")})
	if err != nil {
		t.Fatal(err)
	}
	ln, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{ //nolint:gosec // weak on purpose
		Certificates: []tls.Certificate{*leaf}, MinVersion: tls.VersionTLS10,
		CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA, tls.TLS_ECDHE_ECDSA_WITH_RC4_128_SHA},
	})
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	defer serving.Wait()
	defer ln.Close()
	serving.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { defer conn.Close(); _ = conn.(*tls.Conn).Handshake() })
		}
	})
	weak := netip.MustParseAddrPort(ln.Addr().String())
	for _, name := range []string{"TLS 1.0", "TLS 1.1", "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA", "TLS_ECDHE_ECDSA_WITH_RC4_128_SHA"} {
		if _, err := accepts(weak, weakOffers()[name]); err != nil {
			t.Errorf("the scanner does not find %s: %v", name, err)
		}
	}
}

func proveS04(t *testing.T) {
	at, _ := listener(t)
	port := at.Port()
	peers := []netip.Addr{at.Addr()}
	interfaces, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range interfaces {
		if strings.HasPrefix(i.Name, "aw") {
			continue // a cloud's own bridge, which may go while this runs
		}
		addrs, err := i.Addrs()
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range addrs {
			if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() && !p.Addr().IsLoopback() {
				peers = append(peers, p.Addr())
			}
		}
	}
	for _, peer := range peers {
		for _, request := range []string{
			"GET / HTTP/1.1\r\nHost: awan.localhost\r\n\r\n",
			"GET / HTTP/1.0\r\n\r\n",
			"POST /login HTTP/1.1\r\nHost: awan.localhost\r\nContent-Length: 3\r\n\r\na=b",
			"GET /iam/v3/projects HTTP/1.1\r\nHost: awan.localhost\r\nX-Auth-Token: t\r\n\r\n",
			"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		} {
			if status := clear(t, netip.AddrPortFrom(peer, port), request); status < 300 {
				t.Errorf("%s answers %q with %d", peer, request, status)
			}
		}
		if peer.IsLoopback() {
			continue // this machine may use the proxy way in without TLS: nothing leaves it
		}
		for _, request := range []string{
			"GET http://iam.awan.localhost/ HTTP/1.1\r\nHost: iam.awan.localhost\r\nX-Auth-Token: t\r\n\r\n",
			"CONNECT iam.awan.localhost:80 HTTP/1.1\r\nHost: iam.awan.localhost:80\r\n\r\nGET / HTTP/1.1\r\nHost: iam.awan.localhost\r\nX-Auth-Token: t\r\n\r\n",
		} {
			if status := clear(t, netip.AddrPortFrom(peer, port), request); status < 300 {
				t.Errorf("from %s, %q is answered with %d", peer, request, status)
			}
		}
	}
}

// clear sends a request in clear text and gives the status of the last answer (a tunnel's own 200 is not the last).
func clear(t *testing.T, at netip.AddrPort, request string) (status int) {
	t.Helper()
	conn, err := net.DialTimeout("tcp", at.String(), 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(conn, request)
	br := bufio.NewReader(conn)
	method, _, _ := strings.Cut(request, " ")
	for n := strings.Count(request, "HTTP/1"); n >= 0; n-- {
		res, err := http.ReadResponse(br, &http.Request{Method: method})
		if err != nil {
			break
		}
		status, method = res.StatusCode, "GET"
		if res.StatusCode != http.StatusOK {
			return status
		}
	}
	if status == 0 {
		return 999 // the connection was closed without a word: refused
	}
	return status
}

func proveS08(t *testing.T) {
	now := time.Now()
	ca, err := secret.OpenCA(t.TempDir(), func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	config := ca.TLSConfig(func(string, netip.Addr) bool { return true })
	shown := func() *x509.Certificate {
		ours, theirs := net.Pipe()
		defer ours.Close()
		defer theirs.Close()
		cert, err := config.GetCertificate(&tls.ClientHelloInfo{ServerName: "iam.awan.localhost", Conn: ours})
		if err != nil {
			t.Fatal(err)
		}
		return cert.Leaf
	}
	first := shown()
	life := first.NotAfter.Sub(first.NotBefore)
	for range 20 { // two thirds of a life each: many rotations, no gap
		now = now.Add(life * 2 / 3)
		if c := shown(); now.After(c.NotAfter) || now.Before(c.NotBefore) {
			t.Fatalf("at %s a certificate of %s to %s is shown", now, c.NotBefore, c.NotAfter)
		}
	}
	if shown().SerialNumber.Cmp(first.SerialNumber) == 0 {
		t.Error("the certificate was never rotated")
	}
}
