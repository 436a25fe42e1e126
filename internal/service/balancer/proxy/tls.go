package proxy

import (
	"crypto/tls"
	"log"
	"log/slog"
	"strings"
)

// serverTLS makes net/http speak HTTP/2 with those that agree on it.
func serverTLS() *tls.Config { return &tls.Config{NextProtos: []string{"h2", "http/1.1"}} }

// tls is what a handshake goes by: the configuration of its moment.
func (l *listener) tls() *tls.Config {
	cfg := l.cfg.Load()
	c := &tls.Config{MinVersion: max(cfg.MinTLS, tls.VersionTLS12), GetCertificate: cfg.certificate}
	if cfg.MinTLS != 0 {
		c.MinVersion = cfg.MinTLS
	}
	if cfg.ClientCAs != nil {
		c.ClientAuth, c.ClientCAs = tls.RequireAndVerifyClientCert, cfg.ClientCAs
	}
	if cfg.Protocol == HTTPS {
		c.NextProtos = []string{"http/1.1"}
		if cfg.HTTP2 {
			c.NextProtos = []string{"h2", "http/1.1"}
		}
	}
	return c
}

// certificate chooses by the name that the client asks for: the name itself, then its wildcard, then the first.
func (c *Listener) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	name := strings.TrimSuffix(strings.ToLower(hello.ServerName), ".")
	_, parent, _ := strings.Cut(name, ".")
	for _, want := range []string{name, "*." + parent} {
		for _, x := range c.Certificates {
			for _, n := range x.Names {
				if n == want && name != "" {
					return &x.Certificate, nil
				}
			}
		}
	}
	if len(c.Certificates) == 0 {
		return nil, errNoCertificate
	}
	return &c.Certificates[0].Certificate, nil
}

func quiet(l *slog.Logger) *log.Logger { return slog.NewLogLogger(l.Handler(), slog.LevelDebug) }
