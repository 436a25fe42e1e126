package client

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
)

// Untrusted tells whether err is about a CA that is not known here.
func Untrusted(err error) bool {
	var unknown x509.UnknownAuthorityError
	return errors.As(err, &unknown)
}

// FetchCA asks a cloud that is not trusted yet for its CA, and checks that the CA really signed the certificate the
// cloud showed. Whether it is the right cloud only a person can tell, by the fingerprint.
func FetchCA(ctx context.Context, url string) (pemText, fingerprint string, err error) {
	c, err := New(Target{URL: url}, "login")
	if err != nil {
		return "", "", err
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	// InsecureSkipVerify: nothing is sent but the question for the CA, and the answer is checked below and by a person
	tr := &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: true}}
	defer tr.CloseIdleConnections()
	resp, err := c.send(ctx, &http.Client{Transport: tr}, Request{Method: "GET", Path: "/ca", Public: true})
	if err != nil {
		return "", "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return "", "", c.unreachable(ctx, err)
	}
	fingerprint, err = Fingerprint(b)
	if err != nil || resp.TLS == nil {
		return "", "", fail.New(fail.Unavailable, "what answers at %s does not tell its CA", url).Then("give the CA's file: awan login %s --ca FILE", url)
	}
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	roots.AppendCertsFromPEM(b)
	for _, cert := range resp.TLS.PeerCertificates[1:] {
		between.AddCert(cert)
	}
	if _, err := resp.TLS.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: between}); err != nil {
		return "", "", fail.New(fail.Denied, "the certificate of %s is not signed by the CA it names", url).Because(err).
			Then("somebody may be in between: get the CA's file another way and use --ca FILE")
	}
	return string(b), fingerprint, nil
}

// Fingerprint is the SHA-256 of the first certificate of a PEM text, for people to compare.
func Fingerprint(pemText []byte) (string, error) {
	block, _ := pem.Decode(pemText)
	if block == nil || block.Type != "CERTIFICATE" {
		return "", fail.New(fail.Invalid, "this is no certificate in PEM form")
	}
	sum := sha256.Sum256(block.Bytes)
	return hex.EncodeToString(sum[:]), nil
}

// Grouped prints a fingerprint in groups of four, which are easier to compare.
func Grouped(fingerprint string) string {
	var b strings.Builder
	for i := 0; i < len(fingerprint); i += 4 {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(fingerprint[i:min(i+4, len(fingerprint))])
	}
	return b.String()
}
