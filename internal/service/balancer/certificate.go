package balancer

import (
	"context"
	"crypto/sha1" //nolint:gosec // a fingerprint for people, as clients show it
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"strings"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/balancer/proxy"
)

func (s *Service) checkCertificate(_ context.Context, _ store.Tx, old, r *certificateRow) error {
	leaf, err := s.leaf(old, r)
	if err != nil {
		return err
	}
	if s.Now().After(leaf.NotAfter) {
		return fail.Field("spec.certificate", "the certificate ended on %s", leaf.NotAfter.UTC().Format("2006-01-02"))
	}
	for i, n := range r.Spec.Names {
		r.Spec.Names[i] = strings.ToLower(n)
	}
	sum := sha1.Sum(leaf.Raw)
	names := append([]string{}, leaf.DNSNames...)
	for _, ip := range leaf.IPAddresses {
		names = append(names, ip.String())
	}
	r.Status = CertificateStatus{CommonName: leaf.Subject.CommonName, Names: names, NotBefore: leaf.NotBefore.UTC(), NotAfter: leaf.NotAfter.UTC(), Fingerprint: hex.EncodeToString(sum[:])}
	return nil
}

// leaf reads the certificate, and for a server's makes sure that the key is its own.
func (s *Service) leaf(old, r *certificateRow) (*x509.Certificate, error) {
	spec := &r.Spec
	if spec.Type == "client" {
		if spec.Key != "" {
			return nil, fail.Field("spec.key", "an authority's key is not for a load balancer").Then("leave it out")
		}
		block, _ := pem.Decode([]byte(spec.Certificate))
		if block == nil {
			return nil, fail.Field("spec.certificate", "is not PEM").Then("paste the file that begins with -----BEGIN CERTIFICATE-----")
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fail.Field("spec.certificate", "cannot be read: %v", err)
		}
		return c, nil
	}
	if spec.Key == "" {
		return nil, fail.Field("spec.key", "is required for a certificate of type server")
	}
	key := spec.Key
	if old != nil && key == old.Spec.Key {
		plain, err := s.Host.Unseal(&r.Meta, "spec", "key", key)
		if err != nil {
			return nil, err
		}
		key = plain
	}
	pair, err := tls.X509KeyPair([]byte(spec.Certificate), []byte(key))
	if err != nil {
		return nil, fail.Field("spec.certificate", "certificate and key do not belong together: %v", err)
	}
	return x509.ParseCertificate(pair.Certificate[0])
}

func (s *Service) certificateUnused(_ context.Context, tx store.Tx, r *certificateRow) error {
	return unused(tx, s.Listener, &r.Meta, "certificate")
}

// pair is a certificate ready for handshakes, or an authority.
type pair struct {
	revision int64
	server   *proxy.Certificate
	client   *x509.CertPool
}

// ready reads a row, unless that was done at this revision of it.
func (s *Service) ready(r *certificateRow) (pair, error) {
	if p, ok := s.pairs[r.ID]; ok && p.revision == r.Revision {
		return p, nil
	}
	p := pair{revision: r.Revision}
	if r.Spec.Type == "client" {
		p.client = x509.NewCertPool()
		p.client.AppendCertsFromPEM([]byte(r.Spec.Certificate))
	} else {
		key, err := s.Host.Unseal(&r.Meta, "spec", "key", r.Spec.Key)
		if err != nil {
			return p, err
		}
		pair, err := tls.X509KeyPair([]byte(r.Spec.Certificate), []byte(key))
		if err != nil {
			return p, err
		}
		names := r.Spec.Names
		if len(names) == 0 {
			for _, n := range r.Status.Names {
				names = append(names, strings.ToLower(n))
			}
		}
		p.server = &proxy.Certificate{Certificate: pair, Names: names}
	}
	s.pairs[r.ID] = p
	return p, nil
}
