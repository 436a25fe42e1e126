// Package acme gets certificates from an authority that speaks ACME (RFC 8555), by TLS-ALPN on the cloud's own listener:
// no second port is needed. It implements service/access's Issuer with certmagic, which also renews. It may import that
// port, kernel/fail and its library.
package acme

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"sync"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3/acme"
	"go.uber.org/zap"

	"github.com/awancloud/awan/internal/kernel/fail"
)

// Options say where certificates come from. Directory and Dir must be set.
type Options struct {
	Directory string // the authority's directory URL
	Email     string // whom the authority writes to; may be empty
	Dir       string // accounts, keys and certificates, mode 0600
	Port      int    // that the cloud listens on: the authority must reach it as 443
	Roots     *x509.CertPool
	Logger    *slog.Logger
}

// Issuer gets and renews certificates in the background.
type Issuer struct {
	magic  *certmagic.Config
	cache  *certmagic.Cache
	log    *slog.Logger
	ctx    context.Context
	cancel context.CancelFunc

	mu    sync.Mutex
	names map[string]bool
	state map[string]string
}

// New makes the issuer. It speaks to the authority when the first name is managed.
func New(o Options) (*Issuer, error) {
	if o.Directory == "" || o.Dir == "" {
		return nil, fail.New(fail.Internal, "acme.New needs Directory and Dir")
	}
	i := &Issuer{log: o.Logger, names: map[string]bool{}, state: map[string]string{}}
	i.ctx, i.cancel = context.WithCancel(context.Background())
	quiet := zap.NewNop() // what happens is told by events, in our log
	i.cache = certmagic.NewCache(certmagic.CacheOptions{Logger: quiet,
		GetConfigForCert: func(certmagic.Certificate) (*certmagic.Config, error) { return i.magic, nil }})
	i.magic = certmagic.New(i.cache, certmagic.Config{Storage: &certmagic.FileStorage{Path: o.Dir}, Logger: quiet, OnEvent: i.event,
		OCSP: certmagic.OCSPConfig{DisableStapling: true}})
	i.magic.Issuers = []certmagic.Issuer{certmagic.NewACMEIssuer(i.magic, certmagic.ACMEIssuer{CA: o.Directory, TestCA: o.Directory, Email: o.Email, Agreed: true,
		DisableHTTPChallenge: true, AltTLSALPNPort: o.Port, TrustedRoots: o.Roots, Logger: quiet,
		NewAccountFunc: func(_ context.Context, _ *certmagic.ACMEIssuer, a acme.Account) (acme.Account, error) { return a, nil }})}
	return i, nil
}

// Close ends what is under way; it goes on at the next start.
func (i *Issuer) Close() {
	i.cancel()
	i.cache.Stop()
}

func (i *Issuer) event(_ context.Context, event string, data map[string]any) error {
	name, _ := data["identifier"].(string)
	say := map[string]string{"cert_obtaining": "being issued", "cert_obtained": "issued", "cert_failed": "not issued"}[event]
	if name == "" || say == "" {
		return nil
	}
	if err, ok := data["error"].(error); ok && event == "cert_failed" {
		say += ": " + err.Error()
		i.log.Warn("a certificate cannot be had; it is tried again", "name", name, "err", err)
	}
	i.mu.Lock()
	i.state[name] = say
	i.mu.Unlock()
	return nil
}

// Manage makes the names the ones to have certificates for.
func (i *Issuer) Manage(names []string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	now := map[string]bool{}
	var fresh, gone []string
	for _, n := range names {
		now[n] = true
		if !i.names[n] {
			fresh = append(fresh, n)
		}
	}
	for n := range i.names {
		if !now[n] {
			gone = append(gone, n)
			delete(i.state, n)
		}
	}
	i.names = now
	if len(gone) > 0 {
		subjects := make([]certmagic.SubjectIssuer, len(gone))
		for k, n := range gone {
			subjects[k] = certmagic.SubjectIssuer{Subject: n}
		}
		i.cache.RemoveManaged(subjects)
	}
	if len(fresh) > 0 {
		if err := i.magic.ManageAsync(i.ctx, fresh); err != nil {
			i.log.Error("certificates cannot be asked for", "names", fresh, "err", err)
		}
	}
}

// Certificate gives the one for a handshake, nil while there is none. It also answers the authority's own challenge.
func (i *Issuer) Certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	c, err := i.magic.GetCertificate(hello)
	for _, p := range hello.SupportedProtos {
		if p == "acme-tls/1" {
			return c, err
		}
	}
	if err != nil {
		return nil, nil // the cloud's own certificate stands in until there is one
	}
	return c, nil
}

// State tells in words how the certificate of a name is.
func (i *Issuer) State(name string) string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.state[name]
}
