package secret_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/secret"
)

// clock is a time that the test moves.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.t }

func (c *clock) add(d time.Duration) { c.mu.Lock(); defer c.mu.Unlock(); c.t = c.t.Add(d) }

func open(t *testing.T, dir string, now func() time.Time) *secret.CA {
	t.Helper()
	ca, err := secret.OpenCA(dir, now)
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func parse(t *testing.T, data []byte) *x509.Certificate {
	t.Helper()
	block, _ := pem.Decode(data)
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func TestRootSurvivesRestarts(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "ca")
	first := open(t, dir, time.Now)
	again := open(t, dir, time.Now)
	if !bytes.Equal(first.Certificate(), again.Certificate()) {
		t.Fatal("a restart made another root")
	}
	root := parse(t, first.Certificate())
	if !strings.HasPrefix(root.Subject.CommonName, "Awan CA ") || !root.IsCA || root.MaxPathLen != 0 || !root.MaxPathLenZero {
		t.Errorf("root is %q, CA %v, path length %d", root.Subject.CommonName, root.IsCA, root.MaxPathLen)
	}
	if years := root.NotAfter.Sub(root.NotBefore).Hours() / 24 / 365; years < 9.9 || years > 10.1 {
		t.Errorf("the root lives %.1f years", years)
	}
	info, err := os.Stat(filepath.Join(dir, "ca.key"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("key file: %v, %v", info.Mode(), err)
	}
	if other := open(t, t.TempDir(), time.Now); other.Fingerprint() == first.Fingerprint() {
		t.Error("two clouds share a root")
	}
}

func TestRootKeyOfOthersIsRefused(t *testing.T) {
	dir := t.TempDir()
	open(t, dir, time.Now)
	if err := os.Chmod(filepath.Join(dir, "ca.key"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := secret.OpenCA(dir, time.Now); !fail.Is(err, fail.Precondition) || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("a key that all can read was taken: %v", err)
	}
	mixed := t.TempDir()
	open(t, mixed, time.Now)
	if err := os.Remove(filepath.Join(mixed, "ca.key")); err != nil {
		t.Fatal(err)
	}
	if _, err := secret.OpenCA(mixed, time.Now); !fail.Is(err, fail.Precondition) {
		t.Errorf("a certificate of a lost key was taken: %v", err)
	}
}

func TestRootIsRenewedUnderItsKey(t *testing.T) {
	dir := t.TempDir()
	c := &clock{t: time.Now()}
	old := open(t, dir, c.now)
	c.add(7 * 365 * 24 * time.Hour)
	renewed := open(t, dir, c.now)
	if bytes.Equal(old.Certificate(), renewed.Certificate()) {
		t.Fatal("the root was not renewed at two thirds of its life")
	}
	leaf, err := renewed.Leaf([]string{"a.example"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := leaf.Leaf.Verify(x509.VerifyOptions{Roots: old.Pool(), CurrentTime: c.now(), DNSName: "a.example"}); err != nil {
		t.Errorf("who trusts the old root no longer trusts the cloud: %v", err)
	}
}

func TestLeafIsCachedAndRenewedAtTwoThirds(t *testing.T) {
	c := &clock{t: time.Now()}
	ca := open(t, t.TempDir(), c.now)
	ips := []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("::1")}
	get := func() *tls.Certificate {
		cert, err := ca.Leaf([]string{"b.example", "a.example"}, ips)
		if err != nil {
			t.Fatal(err)
		}
		return cert
	}
	first := get()
	for _, name := range []string{"a.example", "b.example", "127.0.0.1", "::1"} {
		if _, err := first.Leaf.Verify(x509.VerifyOptions{Roots: ca.Pool(), CurrentTime: c.now()}); err != nil {
			t.Error(err)
		}
		if err := first.Leaf.VerifyHostname(name); err != nil {
			t.Error(err)
		}
	}
	if days := first.Leaf.NotAfter.Sub(c.now()).Hours() / 24; days < 89 || days > 91 {
		t.Errorf("a leaf lives %.0f days", days)
	}
	c.add(59 * 24 * time.Hour)
	if get() != first {
		t.Error("renewed before two thirds of its life")
	}
	c.add(2 * 24 * time.Hour)
	if get() == first {
		t.Error("not renewed after two thirds of its life")
	}
}

func TestTLSConfigServesNamesAndAddresses(t *testing.T) {
	ca := open(t, t.TempDir(), time.Now)
	config := ca.TLSConfig(func(name string, local netip.Addr) bool {
		return name == "awan.example" || name == "" && local == netip.MustParseAddr("127.0.0.1")
	})
	ln, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go func() { defer conn.Close(); _ = conn.(*tls.Conn).Handshake() }()
		}
	}()
	for name, want := range map[string]bool{"awan.example": true, "AWAN.example": true, "127.0.0.1": true, "evil.example": false} {
		conn, err := tls.Dial("tcp", ln.Addr().String(), &tls.Config{ServerName: name, RootCAs: ca.Pool(), NextProtos: []string{"h2"}})
		if (err == nil) != want {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil {
			if s := conn.ConnectionState(); s.Version != tls.VersionTLS13 || s.NegotiatedProtocol != "h2" {
				t.Errorf("%s: version %x, protocol %q", name, s.Version, s.NegotiatedProtocol)
			}
			conn.Close()
		}
	}
}

func BenchmarkLeafIssue(b *testing.B) {
	ca, err := secret.OpenCA(b.TempDir(), time.Now)
	if err != nil {
		b.Fatal(err)
	}
	for i := 0; b.Loop(); i++ {
		ip := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		if _, err := ca.Leaf(nil, []netip.Addr{ip}); err != nil {
			b.Fatal(err)
		}
	}
}
