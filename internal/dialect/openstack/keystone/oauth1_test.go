package keystone_test

import (
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/oauth1"
)

// TestOAuth1: a consumer asks, alice grants one of her roles, and the consumer acts with it for a day, signing each log-in.
func TestOAuth1(t *testing.T) {
	a := start(t)
	const password = "correct-horse"
	alice := string(a.row("user", "", "alice", `{"password":"`+password+`"}`).Row.M().ID)
	a.row("grant", "", "", `{"policy":"read-only","user":"alice","project":"awan-1"}`)
	a.row("grant", "", "", `{"policy":"app-admin","user":"alice","project":"awan-1"}`)
	project := string(a.Admin.ProjectID)
	hers := a.logIn("alice", password, `,"scope":{"project":{"id":"`+project+`"}}`).Header().Get("X-Subject-Token")
	c := into[struct{ Consumer struct{ ID, Secret string } }](a, a.ask("POST", "/v3/OS-OAUTH1/consumers", `{"consumer":{"description":"robot"}}`), 201).Consumer
	if w := a.ask("GET", "/v3/OS-OAUTH1/consumers/"+c.ID, ""); strings.Contains(w.Body.String(), c.Secret) {
		t.Error("the secret is shown again")
	}
	const base = "https://cloud.test"
	now := a.Clock.Now
	type headers = map[string]string
	send := func(path, body string, h headers, err error) *httptest.ResponseRecorder {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		var pairs []string
		for k, v := range h {
			pairs = append(pairs, k, v)
		}
		return a.ask("POST", path, body, append(pairs, "X-Auth-Token", "")...)
	}
	form := func(w *httptest.ResponseRecorder) (id, secret string) {
		t.Helper()
		v, err := url.ParseQuery(w.Body.String())
		if err != nil || w.Code != 201 || w.Header().Get("Content-Type") != "application/x-www-form-urlencoded" || v.Get("oauth_expires_at") == "" {
			t.Fatalf("%d %s %v", w.Code, w.Body, err)
		}
		return v.Get("oauth_token"), v.Get("oauth_token_secret")
	}
	want := func(secret, nonce string, at time.Time) (headers, error) {
		return oauth1.RequestTokenOpts{OAuthConsumerKey: c.ID, OAuthConsumerSecret: secret, OAuthSignatureMethod: oauth1.HMACSHA1, RequestedProjectID: project,
			OAuthTimestamp: &at, OAuthNonce: nonce}.ToOAuth1RequestTokenHeaders("POST", base+"/v3/OS-OAUTH1/request_token")
	}
	h, err := want(c.Secret, "one", now())
	ask, askSecret := form(send("/v3/OS-OAUTH1/request_token", "", h, err))
	for what, made := range map[string]func() (headers, error){
		"the same request again": func() (headers, error) { return h, nil },
		"a wrong secret":         func() (headers, error) { return want("guess", "two", now()) },
		"an old one":             func() (headers, error) { return want(c.Secret, "three", now().Add(-time.Hour)) },
		"one of tomorrow":        func() (headers, error) { return want(c.Secret, "four", now().Add(24*time.Hour)) },
		"signed for elsewhere": func() (headers, error) {
			at := now()
			return oauth1.RequestTokenOpts{OAuthConsumerKey: c.ID, OAuthConsumerSecret: c.Secret, OAuthSignatureMethod: oauth1.HMACSHA1, RequestedProjectID: project,
				OAuthTimestamp: &at}.ToOAuth1RequestTokenHeaders("POST", "https://evil.test/v3/OS-OAUTH1/request_token")
		},
	} {
		h, err := made()
		if w := send("/v3/OS-OAUTH1/request_token", "", h, err); w.Code != 401 {
			t.Errorf("%s: %d %s", what, w.Code, w.Body)
		}
	}

	fetch := func(ask, secret, verifier string) *httptest.ResponseRecorder {
		at := now()
		h, err := oauth1.CreateAccessTokenOpts{OAuthConsumerKey: c.ID, OAuthConsumerSecret: c.Secret, OAuthToken: ask, OAuthTokenSecret: secret, OAuthVerifier: verifier,
			OAuthSignatureMethod: oauth1.HMACSHA1, OAuthTimestamp: &at}.ToOAuth1CreateAccessTokenHeaders("POST", base+"/v3/OS-OAUTH1/access_token")
		return send("/v3/OS-OAUTH1/access_token", "", h, err)
	}
	for what, roles := range map[string]string{"what she does not have": `[{"name":"full-access"}]`, "nothing": `[]`} {
		if w := a.ask("PUT", "/v3/OS-OAUTH1/authorize/"+ask, `{"roles":`+roles+`}`, "X-Auth-Token", hers); w.Code != 403 && w.Code != 400 {
			t.Errorf("she grants %s: %d %s", what, w.Code, w.Body)
		}
	}
	grant := func(ask string) string {
		t.Helper()
		return into[struct {
			Token struct {
				Verifier string `json:"oauth_verifier"`
			}
		}](a, a.ask("PUT", "/v3/OS-OAUTH1/authorize/"+ask, `{"roles":[{"name":"read-only"}]}`, "X-Auth-Token", hers), 200).Token.Verifier
	}
	verifier := grant(ask)
	access, secret := form(fetch(ask, askSecret, verifier))
	if w := fetch(ask, askSecret, verifier); w.Code != 404 {
		t.Errorf("a second time: %d %s", w.Code, w.Body)
	}
	h, err = want(c.Secret, "five", now())
	other, otherSecret := form(send("/v3/OS-OAUTH1/request_token", "", h, err))
	right := grant(other)
	if w := fetch(other, otherSecret, "guess"); w.Code != 401 {
		t.Errorf("a wrong verifier: %d %s", w.Code, w.Body)
	}
	if w := fetch(other, otherSecret, right); w.Code != 404 {
		t.Errorf("after a wrong one: %d %s", w.Code, w.Body)
	}

	logIn := func(method oauth1.SignatureMethod, secret string) *httptest.ResponseRecorder {
		at := now()
		h, err := oauth1.AuthOptions{OAuthConsumerKey: c.ID, OAuthConsumerSecret: c.Secret, OAuthToken: access, OAuthTokenSecret: secret, OAuthSignatureMethod: method,
			OAuthTimestamp: &at}.ToTokenV3HeadersMap(map[string]any{"method": "POST", "url": base + "/v3/auth/tokens"})
		return send("/v3/auth/tokens", `{"auth":{"identity":{"methods":["oauth1"],"oauth1":{}}}}`, h, err)
	}
	for _, m := range []oauth1.SignatureMethod{oauth1.HMACSHA1, oauth1.PLAINTEXT} {
		w := logIn(m, secret)
		v := into[struct {
			Token struct {
				User    struct{ ID string }
				Project struct{ ID string }
				Roles   []struct{ Name string }
				OAuth   struct {
					Access   string `json:"access_token_id"`
					Consumer string `json:"consumer_id"`
				} `json:"OS-OAUTH1"`
			}
		}](a, w, 201).Token
		if v.User.ID != alice || v.Project.ID != project || len(v.Roles) != 1 || v.Roles[0].Name != "read-only" || v.OAuth.Access != access || v.OAuth.Consumer != c.ID {
			t.Errorf("%s: %s", m, w.Body)
		}
		if logIn(m, "guess").Code != 401 {
			t.Errorf("%s: a wrong secret", m)
		}
	}
	token := logIn(oauth1.HMACSHA1, secret).Header().Get("X-Subject-Token")
	if w := a.ask("POST", "/v3/auth/tokens", `{"auth":{"identity":{"methods":["application_credential"],"application_credential":{"id":"`+access+`","secret":"`+secret+`"}}}}`); w.Code != 401 {
		t.Errorf("without the consumer's signature: %d", w.Code)
	}
	if w := a.ask("GET", "/v3/users/"+alice+"/application_credentials", "", "X-Auth-Token", hers); strings.Contains(w.Body.String(), access) {
		t.Errorf("it is no application credential to OpenStack's clients: %s", w.Body)
	}
	if w := a.ask("GET", "/v3/users/"+alice+"/OS-OAUTH1/access_tokens/"+access, "", "X-Auth-Token", hers); w.Code != 200 {
		t.Errorf("hers: %d %s", w.Code, w.Body)
	}
	if w := a.ask("DELETE", "/v3/OS-OAUTH1/consumers/"+c.ID, ""); w.Code != 204 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	if w := a.ask("GET", "/v3/auth/tokens", "", "X-Auth-Token", token, "X-Subject-Token", token); w.Code != 401 {
		t.Errorf("it ends with the consumer: %d %s", w.Code, w.Body)
	}
}
