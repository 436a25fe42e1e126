// Package federation_test proves log-ins between clouds, and by clients and providers that we did not write: coreos/go-oidc
// with golang.org/x/oauth2 as an app, crewjam/saml as a SAML provider.
package federation_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/ledger"
	"github.com/awancloud/awan/test/conformance/cloudtest"
)

// create makes a row as the administrator.
func create(t *testing.T, c *cloudtest.Cloud, k *kind.Def, name, spec string) kind.AnyRow {
	t.Helper()
	row, err := send(t, c, k, call.Create, "", name, spec)
	if err != nil {
		t.Fatal(err)
	}
	return row
}

func send(t *testing.T, c *cloudtest.Cloud, k *kind.Def, verb, target, name, spec string) (kind.AnyRow, error) {
	t.Helper()
	cl := &call.Call{Kind: k, Verb: verb, Target: target, Principal: c.Root, Spec: json.RawMessage(spec)}
	if name != "" {
		cl.Name = &name
	}
	r, err := c.Door.Do(t.Context(), cl)
	return r.Row, err
}

// browser follows redirects, meta refreshes and forms that post themselves, keeps cookies, and trusts the clouds' CAs.
type browser struct {
	*http.Client
	t *testing.T
}

func open(t *testing.T, roots *x509.CertPool) *browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &browser{&http.Client{Jar: jar, Transport: html5{&http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}}, t}
}

// html5 says what a browser says it takes.
type html5 struct{ http.RoundTripper }

func (h html5) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Accept", "text/html,application/json")
	return h.RoundTripper.RoundTrip(r)
}

func trust(t *testing.T, clouds ...*cloudtest.Cloud) *x509.CertPool {
	roots := x509.NewCertPool()
	for _, c := range clouds {
		if !roots.AppendCertsFromPEM(c.CA.Certificate()) {
			t.Fatal("a cloud without a certificate")
		}
	}
	return roots
}

// page is what the browser shows.
type page struct {
	url    *url.URL
	status int
	body   string
}

var (
	refresh = regexp.MustCompile(`http-equiv="refresh" content="0; url=([^"]+)"`)
	hidden  = regexp.MustCompile(`<input type="hidden" name="([^"]+)" value="([^"]*)"`)
	action  = regexp.MustCompile(`<form method="post" action="([^"]+)"`)
)

func (b *browser) get(to string) page {
	b.t.Helper()
	return b.read(b.Get(to))
}

func (b *browser) read(resp *http.Response, err error) page {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err != nil {
		b.t.Fatal(err)
	}
	p := page{resp.Request.URL, resp.StatusCode, string(body)}
	to := ""
	if m := refresh.FindStringSubmatch(p.body); m != nil {
		to = html.UnescapeString(m[1])
	}
	if h := resp.Header.Get("Refresh"); h != "" {
		to = strings.TrimPrefix(h, "0; url=")
	}
	if to == "" {
		return p
	}
	next, err := p.url.Parse(to)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.get(next.String())
}

// submit posts the page's form with these fields beside its hidden ones.
func (b *browser) submit(p page, path string, fields map[string]string) page {
	b.t.Helper()
	v := url.Values{}
	for _, m := range hidden.FindAllStringSubmatch(p.body, -1) {
		v.Set(m[1], html.UnescapeString(m[2]))
	}
	for k, f := range fields {
		v.Set(k, f)
	}
	to, err := p.url.Parse(path)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.read(b.PostForm(to.String(), v))
}

// logIn fills in the log-in page.
func (b *browser) logIn(p page, user, password string) page {
	b.t.Helper()
	if p.url.Path != "/login" {
		b.t.Fatalf("not the log-in page: %d %s\n%s", p.status, p.url, p.body)
	}
	return b.submit(p, "/login", map[string]string{"domain": "awan", "user": user, "password": password, "next": p.url.Query().Get("next")})
}

// agree says yes on the consent page.
func (b *browser) agree(p page) page {
	b.t.Helper()
	if p.url.Path != "/consent" || !strings.Contains(p.body, "wants to know who you are") {
		b.t.Fatalf("not the consent page: %d %s\n%s", p.status, p.url, p.body)
	}
	return b.submit(p, "/consent", map[string]string{"answer": "yes"})
}

// audited gives the newest audit entries of an action.
func audited(t *testing.T, c *cloudtest.Cloud, action string) []ledger.Entry {
	t.Helper()
	out, _, err := c.Door.Audit(t.Context(), &call.Call{Principal: c.Root}, ledger.Query{Action: action, Limit: 50})
	if err != nil {
		t.Fatal(err)
	}
	return out
}
