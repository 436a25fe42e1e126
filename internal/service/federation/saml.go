package federation

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"math/big"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/crewjam/saml"
	"github.com/crewjam/saml/samlsp"
	dsig "github.com/russellhaering/goxmldsig"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/store"
)

func readMetadata(text string) (*saml.EntityDescriptor, error) {
	m, err := samlsp.ParseMetadata([]byte(text))
	if err != nil || len(m.IDPSSODescriptors) == 0 {
		return nil, fail.Field("spec.metadata", "is not the SAML 2.0 metadata of an identity provider").
			Then("give the XML document with EntityDescriptor and IDPSSODescriptor").Because(err)
	}
	return m, nil
}

// EntityID is what a provider calls itself in its metadata.
func EntityID(metadata string) (string, error) {
	m, err := readMetadata(metadata)
	if err != nil {
		return "", err
	}
	return m.EntityID, nil
}

// samlKey is what requests to SAML providers are signed with.
type samlKey struct {
	Key  string `json:"key"` // sealed
	Cert []byte `json:"cert"`
}

const samlKeyName = "federation/samlkey"

// signer reads the cloud's SAML key, or makes it.
func (s *Service) signer(ctx context.Context) (key *ecdsa.PrivateKey, cert *x509.Certificate, err error) {
	_, err = s.Store.Update(ctx, func(tx store.Tx) error {
		b, ok, err := tx.Get(samlKeyName)
		if err != nil {
			return err
		}
		var k samlKey
		if ok {
			err = json.Unmarshal(b, &k)
		} else if k, err = s.newSAMLKey(); err == nil {
			if b, err = json.Marshal(k); err == nil {
				err = tx.Put(samlKeyName, b)
			}
		}
		if err != nil {
			return err
		}
		plain, err := s.Ident.Unseal("cloud", "saml", "key", k.Key)
		if err != nil {
			return err
		}
		if key, err = x509.ParseECPrivateKey([]byte(plain)); err != nil {
			return err
		}
		cert, err = x509.ParseCertificate(k.Cert)
		return err
	})
	return key, cert, err
}

func (s *Service) newSAMLKey() (k samlKey, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return k, err
	}
	now := s.Now()
	t := &x509.Certificate{SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: "awan SAML"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(20, 0, 0), KeyUsage: x509.KeyUsageDigitalSignature}
	if k.Cert, err = x509.CreateCertificate(rand.Reader, t, t, key.Public(), key); err != nil {
		return k, err
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return k, err
	}
	k.Key, err = s.Ident.Seal("cloud", "saml", "key", string(der))
	return k, err
}

// used remembers assertions in the store, so that each is good once, on every node and after a restart.
type used struct {
	s   *Service
	ctx context.Context
}

func (u used) Consume(assertion string, until time.Time) error {
	if u.s.once(u.ctx, "saml "+assertion, until) != nil {
		return saml.ErrAssertionReplayed
	}
	return nil
}

// party is this cloud as the provider sees it; base is the address of the provider's pages here.
func (s *Service) party(ctx context.Context, p *Provider, base string) (*saml.ServiceProvider, error) {
	if p.Spec.Metadata == "" {
		return nil, fail.New(fail.Precondition, "identity provider %s lacks its metadata", p.Name).Then("an administrator of the domain sets it")
	}
	m, err := readMetadata(p.Spec.Metadata)
	if err != nil {
		return nil, err
	}
	if len(p.Spec.RemoteIDs) > 0 && !slices.Contains(p.Spec.RemoteIDs, m.EntityID) {
		return nil, fail.New(fail.Precondition, "entity %s is not among the remote_ids of identity provider %s", m.EntityID, p.Name)
	}
	sp, err := s.self(ctx, base)
	if err != nil {
		return nil, err
	}
	sp.IDPMetadata = m
	return sp, nil
}

func (s *Service) self(ctx context.Context, base string) (*saml.ServiceProvider, error) {
	key, cert, err := s.signer(ctx)
	if err != nil {
		return nil, err
	}
	metadata, err := url.Parse(base + "/metadata")
	if err != nil {
		return nil, err
	}
	acs, err := url.Parse(base + "/acs")
	if err != nil {
		return nil, err
	}
	return &saml.ServiceProvider{EntityID: metadata.String(), Key: key, Certificate: cert, MetadataURL: *metadata, AcsURL: *acs,
		SignatureMethod: dsig.ECDSASHA256SignatureMethod, AuthnNameIDFormat: saml.UnspecifiedNameIDFormat, ReplayCache: used{s, ctx}}, nil
}

// Metadata is what a SAML provider must know of this cloud.
func (s *Service) Metadata(ctx context.Context, base string) ([]byte, error) {
	sp, err := s.self(ctx, base)
	if err != nil {
		return nil, err
	}
	return xml.MarshalIndent(sp.Metadata(), "", "  ")
}

// BeginSAML gives the address at the provider to send a browser to, and the state it must bring back.
func (s *Service) BeginSAML(ctx context.Context, p *Provider, base, next string) (to, state string, err error) {
	sp, err := s.party(ctx, p, base)
	if err != nil {
		return "", "", err
	}
	at := sp.GetSSOBindingLocation(saml.HTTPRedirectBinding)
	if at == "" {
		return "", "", fail.New(fail.Precondition, "identity provider %s offers no log-in by HTTP redirect", p.Name).Then("its metadata must name a SingleSignOnService with that binding")
	}
	req, err := sp.MakeAuthenticationRequest(at, saml.HTTPRedirectBinding, saml.HTTPPostBinding)
	if err != nil {
		return "", "", fail.Wrap(err, fail.Internal, "the SAML request could not be made")
	}
	if state, err = s.leave(ctx, Way{Provider: p.ID, Request: req.ID, Next: next}); err != nil {
		return "", "", err
	}
	u, err := req.Redirect(state, sp)
	if err != nil {
		return "", "", fail.Wrap(err, fail.Internal, "the SAML request could not be made")
	}
	return u.String(), state, nil
}

// EndSAML reads the provider's answer: signed by it, for us, to the request of this way, now, and never seen before.
func (s *Service) EndSAML(ctx context.Context, p *Provider, w Way, base string, r *http.Request) (Known, error) {
	sp, err := s.party(ctx, p, base)
	if err != nil {
		return Known{}, err
	}
	raw, err := base64.StdEncoding.DecodeString(r.PostForm.Get("SAMLResponse"))
	if err != nil {
		return Known{}, fail.Field("SAMLResponse", "is not base64")
	}
	a, err := sp.ParseXMLResponse(raw, []string{w.Request}, sp.AcsURL)
	if err != nil {
		return Known{}, fail.New(fail.Unauthenticated, "the answer of identity provider %s is not valid here", p.Name).
			Then("begin again on the log-in page; its clock, certificate and the address it knows of this cloud must be right").Because(err)
	}
	k := Known{Provider: p, Words: Words{}}
	if a.Subject != nil && a.Subject.NameID != nil {
		k.Subject = a.Subject.NameID.Value
		k.Words["NameID"] = []string{k.Subject}
		k.Words["REMOTE_USER"] = []string{k.Subject}
	}
	for _, st := range a.AttributeStatements {
		for _, at := range st.Attributes {
			for _, v := range at.Values {
				k.Words[at.Name] = append(k.Words[at.Name], v.Value)
				if at.FriendlyName != "" && at.FriendlyName != at.Name {
					k.Words[at.FriendlyName] = append(k.Words[at.FriendlyName], v.Value)
				}
			}
		}
	}
	return k, nil
}
