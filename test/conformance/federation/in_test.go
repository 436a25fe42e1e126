package federation_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"log"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/crewjam/saml"
	"golang.org/x/oauth2"

	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/federation"
	"github.com/awancloud/awan/test/conformance/cloudtest"
)

// quoted is text as JSON.
func quoted(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}

// welcomes tells whether the browser is in the console, and as whom.
func welcomes(b *browser, p page, user string) {
	b.t.Helper()
	if p.status != 200 || p.url.Path != "/" || !strings.Contains(p.body, user) {
		b.t.Fatalf("not the dashboard of %s: %d %s\n%s", user, p.status, p.url, p.body)
	}
}

// sessions lists who is logged in through providers.
func sessions(t *testing.T, c *cloudtest.Cloud) (out []*federation.Session) {
	t.Helper()
	err := c.Store.View(t.Context(), func(tx store.Tx) (err error) {
		out, err = c.Federation.Sessions.List(tx, string(c.Admin.DomainID), kind.Filter{})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestOneCloudTrustsAnother: the second cloud's identity provider is the first.
func TestOneCloudTrustsAnother(t *testing.T) {
	home, c := cloudtest.Start(t), cloudtest.Start(t)
	home.URL = strings.Replace(home.URL, "127.0.0.1", "localhost", 1) // cookies know hosts, not ports
	people(t, home)
	create(t, c, c.Ident.Kinds.Group.D, "crew", `{}`)
	create(t, c, c.Ident.Kinds.Grant.D, "", `{"policy":"read-only","group":"crew"}`)
	create(t, c, c.Federation.Mappings.D, "staff", `{"rules":[{"local":[{"user":{"name":"{0}","email":"{1}"},"groups":"{2}"}],
		"remote":[{"type":"preferred_username"},{"type":"email"},{"type":"groups","whitelist":["crew"]}]}]}`)
	p := create(t, c, c.Federation.Providers.D, "home", `{"title":"Log in at home","protocol":"oidc","mapping":"staff","issuer":"`+home.URL+`/oidc","client_id":"x","ca":`+quoted(string(home.CA.Certificate()))+`,"scopes":["profile","email","groups"]}`).(*federation.Provider)
	client := create(t, home, home.Federation.Clients.D, "neighbour", fmt.Sprintf(`{"redirect_uris":[%q]}`, c.URL+"/federation/"+string(p.ID)+"/callback")).(*federation.Client)
	if _, err := send(t, c, c.Federation.Providers.D, call.Update, "home", "", fmt.Sprintf(`{"client_id":%q,"client_secret":%q}`, client.ID, client.Status.Secret)); err != nil {
		t.Fatal(err)
	}
	b := open(t, trust(t, home, c))
	login := b.get(c.URL + "/login")
	m := regexp.MustCompile(`href="(/federation/[^"]+)">Log in at home`).FindStringSubmatch(login.body)
	if m == nil {
		t.Fatalf("the log-in page has no button:\n%s", login.body)
	}
	welcomes(b, b.agree(b.logIn(b.get(c.URL+m[1]), "alice", "correct-horse")), "alice@home")

	if ss := sessions(t, c); len(ss) != 1 || !strings.HasPrefix(ss[0].Name, "home: ") {
		t.Errorf("sessions: %+v", ss)
	}
	es := audited(t, c, "identity:token:create")
	if len(es) == 0 || es[0].Actor != "user alice@home" || !strings.Contains(es[0].Reason, "identity provider home, subject ") {
		t.Errorf("audit: %+v", es)
	}
	t.Run("by API, with a token of the provider", func(t *testing.T) {
		a := startApp(t, home, false)
		b.agree(b.get(a.authorize()))
		other, err := a.exchange()
		if err != nil {
			t.Fatal(err)
		}
		config := oauth2.Config{ClientID: string(client.ID), ClientSecret: client.Status.Secret, Endpoint: a.config.Endpoint, RedirectURL: client.Spec.RedirectURIs[0],
			Scopes: []string{"openid", "profile", "email", "groups"}}
		b.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
			if strings.HasPrefix(r.URL.String(), config.RedirectURL) {
				return http.ErrUseLastResponse
			}
			return nil
		}
		page := b.get(config.AuthCodeURL("s"))
		b.CheckRedirect = nil
		to, err := url.Parse(location(t, page))
		if err != nil {
			t.Fatal(err)
		}
		mine, err := config.Exchange(a.ctx, to.Query().Get("code"))
		if err != nil {
			t.Fatal(err)
		}
		id, _ := mine.Extra("id_token").(string)
		foreign, _ := other.Extra("id_token").(string)
		at := c.URL + "/v3/OS-FEDERATION/identity_providers/home/protocols/oidc/auth"
		for name, tc := range map[string]struct {
			token string
			want  int
		}{"ID token": {id, 201}, "access token": {mine.AccessToken, 201}, "ID token for another app": {foreign, 401}, "access token for another app": {other.AccessToken, 401},
			"nonsense": {"nonsense", 401}, "none": {"", 401}} {
			req, _ := http.NewRequest("POST", at, nil)
			if tc.token != "" {
				req.Header.Set("Authorization", "Bearer "+tc.token)
			}
			resp, err := open(t, trust(t, c)).Do(req)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			if resp.StatusCode != tc.want {
				t.Errorf("%s: %d, want %d: %s", name, resp.StatusCode, tc.want, body)
			}
			if tc.want == 201 && (!strings.Contains(string(body), `"OS-FEDERATION":{"identity_provider":{"id":"home"},"protocol":{"id":"oidc"}`) || resp.Header.Get("X-Subject-Token") == "") {
				t.Errorf("%s: %s", name, body)
			}
		}
	})
	t.Run("a session that is ended, and its user", func(t *testing.T) {
		if _, err := send(t, c, c.Federation.Sessions.D, "end", string(sessions(t, c)[0].ID), "", ""); err != nil {
			t.Fatal(err)
		}
		if p := b.get(c.URL + "/"); p.url.Path != "/login" {
			t.Errorf("still in: %s", p.url)
		}
		if _, err := send(t, c, c.Ident.Kinds.User.D, call.Get, "alice@home", "", ""); err == nil {
			t.Error("the user is still there")
		}
	})
	t.Run("a provider that is disabled", func(t *testing.T) {
		welcomes(b, b.get(c.URL+m[1]), "alice@home") // still logged in at home, and agreed
		if _, err := send(t, c, c.Federation.Providers.D, call.Update, "home", "", `{"disabled":true}`); err != nil {
			t.Fatal(err)
		}
		if p := b.get(c.URL + "/"); p.url.Path != "/login" || strings.Contains(p.body, "Log in at home") {
			t.Errorf("still in, or still offered: %s", p.url)
		}
		if p := b.get(c.URL + m[1]); p.status != 401 {
			t.Errorf("%d %s", p.status, p.body)
		}
	})
	t.Run("an answer that another browser brings", func(t *testing.T) {
		if _, err := send(t, c, c.Federation.Providers.D, call.Update, "home", "", `{"disabled":false}`); err != nil {
			t.Fatal(err)
		}
		if p := open(t, trust(t, home, c)).get(c.URL + "/federation/" + string(p.ID) + "/callback?code=x&state=y"); p.status != 403 {
			t.Errorf("%d %s", p.status, p.body)
		}
	})
	t.Run("users go with their time", func(t *testing.T) {
		welcomes(b, b.get(c.URL+m[1]), "alice@home")
		c.Clock.Add(9 * time.Hour)
		c.Door.Wake(c.Federation.Sessions.D.FullName())
		for deadline := time.Now().Add(20 * time.Second); len(sessions(t, c)) > 0; {
			if time.Now().After(deadline) {
				t.Fatal("the session is still there")
			}
			time.Sleep(10 * time.Millisecond)
		}
		if _, err := send(t, c, c.Ident.Kinds.User.D, call.Get, "alice@home", "", ""); err == nil {
			t.Error("the user is still there")
		}
	})
}

// location is where a browser that stopped short of the callback was sent to.
func location(t *testing.T, p page) string {
	t.Helper()
	m := regexp.MustCompile(`href="([^"]+/callback\?[^"]+)"`).FindStringSubmatch(p.body)
	if m != nil {
		return strings.ReplaceAll(m[1], "&amp;", "&")
	}
	t.Fatalf("no address to go on to: %d %s\n%s", p.status, p.url, p.body)
	return ""
}

// idp is crewjam/saml's identity provider with one person in it.
type idp struct {
	saml.IdentityProvider
	party *saml.EntityDescriptor
	who   saml.Session
}

func (i *idp) GetServiceProvider(*http.Request, string) (*saml.EntityDescriptor, error) {
	return i.party, nil
}
func (i *idp) GetSession(http.ResponseWriter, *http.Request, *saml.IdpAuthnRequest) *saml.Session {
	return &i.who
}

func startIDP(t *testing.T) *idp {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "idp"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(48 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	i := &idp{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { i.ServeSSO(w, r) }))
	t.Cleanup(s.Close)
	at, _ := url.Parse(s.URL)
	i.IdentityProvider = saml.IdentityProvider{Signer: key, Certificate: cert, Logger: log.New(io.Discard, "", 0), MetadataURL: *at.JoinPath("metadata"), SSOURL: *at.JoinPath("sso"),
		ServiceProviderProvider: i, SessionProvider: i, SignatureMethod: "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256"}
	now := time.Now()
	i.who = saml.Session{ID: "1", CreateTime: now, ExpireTime: now.Add(time.Hour), Index: "1", NameID: "u-17", UserName: "carol", UserEmail: "carol@corp.example", Groups: []string{"crew", "others"}}
	return i
}

func TestSAMLProvider(t *testing.T) {
	c := cloudtest.Start(t)
	create(t, c, c.Ident.Kinds.Group.D, "crew", `{}`)
	create(t, c, c.Ident.Kinds.Grant.D, "", `{"policy":"auditor","group":"crew"}`)
	create(t, c, c.Federation.Mappings.D, "corp", `{"rules":[{"local":[{"user":{"name":"{0}"}},{"group":{"name":"crew"}}],
		"remote":[{"type":"uid"},{"type":"eduPersonAffiliation","any_one_of":["^crew$"],"regex":true}]}]}`)
	i := startIDP(t)
	metadata, err := xml.Marshal(i.Metadata())
	if err != nil {
		t.Fatal(err)
	}
	p := create(t, c, c.Federation.Providers.D, "corp", `{"protocol":"saml","mapping":"corp","metadata":`+quoted(string(metadata))+`}`).(*federation.Provider)
	b := open(t, trust(t, c))
	at := c.URL + "/federation/" + string(p.ID)
	ours := b.get(at + "/metadata")
	i.party = new(saml.EntityDescriptor)
	if err := xml.Unmarshal([]byte(ours.body), i.party); err != nil {
		t.Fatalf("%v in %s", err, ours.body)
	}
	form := b.get(at + "/login?next=/audit")
	if m := action.FindStringSubmatch(form.body); m == nil && !strings.Contains(form.body, "SAMLResponse") {
		t.Fatalf("the provider answers with no form: %d %s\n%s", form.status, form.url, form.body)
	}
	to := regexp.MustCompile(`action="([^"]+)"`).FindStringSubmatch(form.body)
	in := b.submit(form, to[1], nil)
	if in.status != 200 || in.url.Path != "/audit" || !strings.Contains(in.body, "carol@corp") {
		t.Fatalf("%d %s\n%s", in.status, in.url, in.body)
	}
	es := audited(t, c, "identity:token:create")
	if len(es) != 1 || es[0].Reason != "identity provider corp, subject u-17" {
		t.Errorf("audit: %+v", es)
	}
	for name, change := range map[string]func(page, map[string]string){
		"the same answer again":      func(page, map[string]string) {},
		"an answer that was changed": func(_ page, f map[string]string) { f["SAMLResponse"] = strings.Replace(f["SAMLResponse"], "A", "B", 1) },
	} {
		t.Run(name, func(t *testing.T) {
			fresh := open(t, trust(t, c))
			f := fresh.get(at + "/login")
			fields := map[string]string{}
			for _, m := range hidden.FindAllStringSubmatch(f.body, -1) {
				fields[m[1]] = m[2]
			}
			if name == "the same answer again" {
				for _, m := range hidden.FindAllStringSubmatch(form.body, -1) {
					if m[1] == "SAMLResponse" {
						fields[m[1]] = m[2]
					}
				}
			}
			change(f, fields)
			if p := fresh.submit(f, to[1], fields); p.status != 401 && p.status != 400 {
				t.Errorf("%d %s\n%s", p.status, p.url, p.body)
			}
		})
	}
	t.Run("somebody whom no rule fits", func(t *testing.T) {
		i.who.Groups = []string{"others"}
		fresh := open(t, trust(t, c))
		f := fresh.get(at + "/login")
		if p := fresh.submit(f, to[1], nil); p.status != 403 || !strings.Contains(p.body, "no rule of the mapping") {
			t.Errorf("%d %s\n%s", p.status, p.url, p.body)
		}
	})
}
