package acme

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http/httptest"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/letsencrypt/pebble/v2/ca"
	"github.com/letsencrypt/pebble/v2/db"
	"github.com/letsencrypt/pebble/v2/va"
	"github.com/letsencrypt/pebble/v2/wfe"
	"golang.org/x/net/dns/dnsmessage"

	"github.com/awancloud/awan/internal/service/access"
)

var _ access.Issuer = (*Issuer)(nil)

// resolver answers every question for an address with 127.0.0.1: the authority finds our listener under any name.
func resolver(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = c.Close() }()
				for resolve(c) == nil {
				}
			}()
		}
	}()
	return ln.Addr().String()
}

// resolve answers one question of a TCP connection: two bytes of length, then the message.
func resolve(c net.Conn) error {
	var length [2]byte
	if _, err := io.ReadFull(c, length[:]); err != nil {
		return err
	}
	question := make([]byte, binary.BigEndian.Uint16(length[:]))
	if _, err := io.ReadFull(c, question); err != nil {
		return err
	}
	var m dnsmessage.Message
	if err := m.Unpack(question); err != nil {
		return err
	}
	m.Response, m.Additionals = true, nil
	for _, q := range m.Questions {
		if q.Type == dnsmessage.TypeA {
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class},
				Body: &dnsmessage.AResource{A: [4]byte{127, 0, 0, 1}}})
		}
	}
	out, err := m.Pack()
	if err != nil {
		return err
	}
	_, err = c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(out))), out...))
	return err
}

// TestACertificateFromAnAuthority: Let's Encrypt's own test server checks that the name leads here, and issues.
func TestACertificateFromAnAuthority(t *testing.T) {
	if err := os.Setenv("PEBBLE_VA_NOSLEEP", "1"); err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := ln.Addr().(*net.TCPAddr).Port
	quiet := log.New(io.Discard, "", 0)
	mem := db.NewMemoryStore()
	authority := ca.New(quiet, mem, "", "ecdsa", 0, 1, map[string]ca.Profile{"default": {Description: "default"}})
	front := wfe.New(quiet, mem, va.New(quiet, 1, port, false, resolver(t), mem), authority, []string{"test"}, false, false, 0, 0)
	server := httptest.NewTLSServer(front.Handler())
	t.Cleanup(server.Close)
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())

	dir := t.TempDir()
	open := func() *Issuer {
		i, err := New(Options{Directory: server.URL + "/dir", Dir: dir, Port: port, Roots: roots, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		return i
	}
	i := open()
	var now atomic.Pointer[Issuer]
	now.Store(i)
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				_ = tls.Server(c, &tls.Config{NextProtos: []string{"h2", "http/1.1", "acme-tls/1"}, GetCertificate: now.Load().Certificate}).Handshake()
				_ = c.Close()
			}()
		}
	}()
	t.Cleanup(func() { _ = ln.Close() })
	ask := func() *x509.Certificate {
		c, err := tls.Dial("tcp", ln.Addr().String(), &tls.Config{ServerName: "shop.example.org", InsecureSkipVerify: true}) // it is looked at below
		if err != nil {
			return nil
		}
		defer func() { _ = c.Close() }()
		return c.ConnectionState().PeerCertificates[0]
	}
	if ask() != nil {
		t.Error("there is a certificate before there can be one")
	}
	i.Manage([]string{"shop.example.org"})
	deadline := time.Now().Add(60 * time.Second)
	var got *x509.Certificate
	for got == nil {
		if time.Now().After(deadline) {
			t.Fatalf("no certificate: %s", i.State("shop.example.org"))
		}
		time.Sleep(20 * time.Millisecond)
		got = ask()
	}
	if err := got.VerifyHostname("shop.example.org"); err != nil {
		t.Error(err)
	}
	serial := got.SerialNumber
	i.Close()

	i = open()
	now.Store(i) // what was issued is there after a restart, and nothing is asked for again
	t.Cleanup(i.Close)
	i.Manage([]string{"shop.example.org"})
	for got = nil; got == nil; got = ask() {
		if time.Now().After(deadline) {
			t.Fatal("the certificate is lost after a restart")
		}
		time.Sleep(20 * time.Millisecond)
	}
	if got.SerialNumber.Cmp(serial) != 0 {
		t.Error("a restart asked for another certificate")
	}
	i.Manage(nil)
	if ask() != nil {
		t.Error("a name that is no longer managed still has its certificate")
	}
}
