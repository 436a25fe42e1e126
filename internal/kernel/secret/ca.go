package secret

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
)

const (
	rootLife  = 10 * 365 * 24 * time.Hour
	leafLife  = 90 * 24 * time.Hour
	clockSkew = time.Hour // certificates begin this much earlier, for clients whose clock is behind
	maxLeaves = 2048      // leaves kept in memory; more are made anew when asked for
)

// CA is the cloud's certificate authority. Its methods are safe for concurrent use.
type CA struct {
	now  func() time.Time
	key  *ecdsa.PrivateKey
	root *x509.Certificate
	pem  []byte

	mu     sync.Mutex
	leaves map[string]*leaf
}

// OpenCA opens the authority kept in dir, or makes it there at the first start: an ECDSA P-256 key in ca.key (0600) and
// its certificate in ca.crt, ten years long, which may sign leaves only. A certificate past two thirds of its life is
// renewed under the same key, so that clients which trust the older one go on.
func OpenCA(dir string, now func() time.Time) (*CA, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fail.Wrap(err, fail.Unavailable, "the certificate authority's directory %s cannot be made", dir)
	}
	ca := &CA{now: now, leaves: map[string]*leaf{}}
	var err error
	if ca.key, err = openKey(filepath.Join(dir, "ca.key")); err != nil {
		return nil, err
	}
	crt := filepath.Join(dir, "ca.crt")
	ca.pem, err = os.ReadFile(crt)
	if err != nil && !absent(err) {
		return nil, fail.Wrap(err, fail.Unavailable, "the certificate %s cannot be read", crt)
	}
	if err == nil {
		if ca.root, err = readRoot(ca.pem, ca.key); err != nil {
			return nil, fail.Wrap(err, fail.Precondition, "%s does not belong to ca.key beside it", crt).
				Then("restore both from one backup, or move both away: the cloud then makes new ones, which clients must trust anew")
		}
		if !due(ca.root, now()) {
			return ca, nil
		}
	}
	if ca.root, err = ca.makeRoot(); err != nil {
		return nil, fail.Wrap(err, fail.Internal, "the cloud's root certificate cannot be made")
	}
	ca.pem = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.root.Raw})
	if err := writeDurable(crt, ca.pem, 0o644); err != nil {
		return nil, fail.Wrap(err, fail.Unavailable, "the certificate %s cannot be written", crt)
	}
	return ca, nil
}

// Certificate gives the root certificate in PEM form: what a client must trust.
func (ca *CA) Certificate() []byte { return append([]byte(nil), ca.pem...) }

// Pool gives a certificate pool that holds just this root.
func (ca *CA) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(ca.root)
	return pool
}

// Fingerprint gives the SHA-256 of the root certificate in hex, for a user to compare by eye.
func (ca *CA) Fingerprint() string {
	sum := sha256.Sum256(ca.root.Raw)
	return hex.EncodeToString(sum[:])
}

func openKey(path string) (*ecdsa.PrivateKey, error) {
	data, err := readPrivate(path)
	switch {
	case absent(err):
		return makeKey(path)
	case err != nil:
		return nil, fail.Wrap(err, fail.Unavailable, "the certificate authority's key %s cannot be used", path)
	}
	block, _ := pem.Decode(data)
	if block != nil {
		if key, err := x509.ParsePKCS8PrivateKey(block.Bytes); err == nil {
			if key, ok := key.(*ecdsa.PrivateKey); ok && key.Curve == elliptic.P256() {
				return key, nil
			}
		}
	}
	return nil, fail.New(fail.Precondition, "%s is not an ECDSA P-256 key", path).Then("restore it from a backup")
}

func makeKey(path string) (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fail.Wrap(err, fail.Internal, "the certificate authority's key cannot be made")
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fail.Wrap(err, fail.Internal, "the certificate authority's key cannot be written")
	}
	data := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	if err := writeDurable(path, data, 0o600); err != nil {
		return nil, fail.Wrap(err, fail.Unavailable, "the certificate authority's key %s cannot be written", path)
	}
	return key, nil
}

func readRoot(data []byte, key *ecdsa.PrivateKey) (*x509.Certificate, error) {
	block, _ := pem.Decode(data)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, fail.New(fail.Precondition, "it holds no certificate")
	}
	root, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, err
	}
	if public, ok := root.PublicKey.(*ecdsa.PublicKey); !ok || !public.Equal(key.Public()) || !root.IsCA {
		return nil, fail.New(fail.Precondition, "it is another key's certificate")
	}
	return root, nil
}

func (ca *CA) makeRoot() (*x509.Certificate, error) {
	public, err := x509.MarshalPKIXPublicKey(ca.key.Public())
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(public)
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	now := ca.now()
	der, err := sign(&x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: "Awan CA " + hex.EncodeToString(sum[:4])},
		SubjectKeyId:          sum[:20],
		NotBefore:             now.Add(-clockSkew),
		NotAfter:              now.Add(rootLife),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	}, nil, ca.key.Public(), ca.key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// sign makes a certificate signed by parent, or by itself when parent is nil.
func sign(template, parent *x509.Certificate, public any, key *ecdsa.PrivateKey) ([]byte, error) {
	if parent == nil {
		parent = template
	}
	return x509.CreateCertificate(rand.Reader, template, parent, public, key)
}

func newSerial() (*big.Int, error) {
	return rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 126)) // positive and at most 20 octets (RFC 5280 §4.1.2.2)
}

// due tells whether two thirds of a certificate's life are over: time to renew it.
func due(c *x509.Certificate, now time.Time) bool {
	return now.After(c.NotBefore.Add(c.NotAfter.Sub(c.NotBefore) * 2 / 3))
}
