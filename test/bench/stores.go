package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/awancloud/awan/internal/adminenv"
	"github.com/awancloud/awan/test/cloudtest"
)

// store is an object store under measurement, over one of the ways to it.
type store struct {
	name string
	pid  int
	cl   *minio.Client
}

// ways are how clients speak to stores. What a store itself costs shows in clear text; TLS adds the same to each.
var ways = []struct {
	name string
	tls  bool
}{{"clear text", false}, {"TLS", true}}

// storePeers are the stores that are measured beside ours where their programs are at hand. certs is a folder with
// public.crt and private.key, "" for clear text.
var storePeers = []struct {
	name string
	args func(dir, addr, certs string) []string
	env  []string
}{
	{"minio", func(dir, addr, certs string) []string {
		args := []string{"server", dir, "--address", addr, "--quiet"}
		if certs != "" {
			args = append(args, "--certs-dir", certs)
		}
		return args
	}, []string{"MINIO_ROOT_USER=benchbench", "MINIO_ROOT_PASSWORD=benchbench", "MINIO_BROWSER=off"}},
	{"versitygw", func(dir, addr, certs string) []string {
		args := []string{"--port", addr, "--access", "benchbench", "--secret", "benchbench"}
		if certs != "" {
			args = append(args, "--cert", filepath.Join(certs, "public.crt"), "--key", filepath.Join(certs, "private.key"))
		}
		return append(args, "posix", dir)
	}, nil},
}

// ours is the cloud's own store. Without TLS it is reached as its loopback clients do: the cloud is the proxy to its own
// names, which costs no second hop.
func (b *bench) ours(p *cloudtest.Process, overTLS bool) store {
	env, err := adminenv.Read(filepath.Join(p.Data, adminenv.File))
	if err != nil {
		b.Fatalf("%v", err)
	}
	access, secret := env["AWAN_ACCESS_KEY"], env["AWAN_SECRET_KEY"]
	if overTLS {
		return store{"awan", p.Pid(), b.client(p.Addr(), access, secret, p.HTTPClient(64).Transport, true)}
	}
	proxy := &url.URL{Scheme: "http", Host: p.Addr()}
	tr := &http.Transport{Proxy: http.ProxyURL(proxy), MaxIdleConnsPerHost: 64, DisableCompression: true}
	b.Cleanup(tr.CloseIdleConnections)
	return store{"awan", p.Pid(), b.client("s3.awan-1.awan.localhost", access, secret, tr, false)}
}

// client speaks to a store; tr is nil for the client's own.
func (b *bench) client(addr, access, secret string, tr http.RoundTripper, overTLS bool) *minio.Client {
	o := &minio.Options{Creds: credentials.NewStaticV4(access, secret, ""), Region: "us-east-1", BucketLookup: minio.BucketLookupPath, Secure: overTLS, Transport: tr}
	cl, err := minio.New(addr, o)
	if err != nil {
		b.Fatalf("%v", err)
	}
	return cl
}

// peers starts the other stores, each in a folder of its own.
func (b *bench) peers(overTLS bool) (out []store) {
	for _, peer := range storePeers {
		program, err := exec.LookPath(peer.name)
		if err != nil {
			b.Logf("bench: %s is not beside us: the program is not installed", peer.name)
			continue
		}
		dir, err := os.MkdirTemp(b.dir, peer.name+"-")
		if err != nil {
			b.Fatalf("%v", err)
		}
		b.Cleanup(func() { _ = os.RemoveAll(dir) })
		addr := "127.0.0.1:" + freePort(b)
		certs, tr := "", &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true}
		if overTLS {
			if certs, err = os.MkdirTemp(b.dir, "certs-"); err != nil {
				b.Fatalf("%v", err)
			}
			tr.TLSClientConfig = &tls.Config{RootCAs: b.certificate(certs)}
		}
		cmd := exec.Command(program, peer.args(dir, addr, certs)...)
		cmd.Env = append(os.Environ(), peer.env...)
		if err := cmd.Start(); err != nil {
			b.Fatalf("%s: %v", peer.name, err)
		}
		b.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
		s := store{peer.name, cmd.Process.Pid, b.client(addr, "benchbench", "benchbench", tr, overTLS)}
		for range 100 {
			if _, err = s.cl.ListBuckets(context.Background()); err == nil {
				break
			}
			time.Sleep(100 * time.Millisecond)
		}
		if err != nil {
			b.Fatalf("%s: %v", peer.name, err)
		}
		out = append(out, s)
	}
	return out
}

// certificate writes a key and a certificate of this machine's address, of the kind that the cloud's own CA makes.
func (b *bench) certificate(dir string) *x509.CertPool {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatalf("%v", err)
	}
	about := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(24 * time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	der, err := x509.CreateCertificate(rand.Reader, about, about, &key.PublicKey, key)
	if err != nil {
		b.Fatalf("%v", err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		b.Fatalf("%v", err)
	}
	public := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(public)
	for name, text := range map[string][]byte{"public.crt": public, "private.key": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			b.Fatalf("%v", err)
		}
	}
	return pool
}
