package native_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/awancloud/awan/internal/dialect/auth"
	"github.com/awancloud/awan/internal/dialect/native"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kerneltest"
	"github.com/awancloud/awan/internal/kernel/ledger"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/keypair"
)

const pairs = "/projects/-/keypair/keypairs"

type world struct {
	*kerneltest.Kernel
	t     *testing.T
	url   string
	token string
}

func start(t *testing.T) *world {
	limits := func(d ledger.Dim) (int64, bool) { return 3, d == "keypair.keypairs" }
	k := kerneltest.Start(t, limits, keypair.Kind())
	s := httptest.NewServer(native.New(k.Door, &auth.Authenticator{Ident: k.Ident, Now: k.Clock.Now}, "test"))
	t.Cleanup(s.Close)
	w := &world{Kernel: k, t: t, url: s.URL + native.Base}
	var session native.Session
	w.want(201, w.do("POST", "/login", fmt.Sprintf(`{"domain":"awan","user":"admin","password":%q,"project":"awan-1"}`, k.Admin.Password)), &session)
	w.token = session.Token
	return w
}

type answer struct {
	status int
	body   string
	header http.Header
}

func (w *world) do(method, path, body string, headers ...string) answer {
	w.t.Helper()
	r, _ := http.NewRequestWithContext(w.t.Context(), method, w.url+path, strings.NewReader(body))
	if w.token != "" {
		r.Header.Set("X-Auth-Token", w.token)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, _ := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, string(b), resp.Header}
}

func (w *world) want(status int, a answer, into any) {
	w.t.Helper()
	if a.status != status {
		w.t.Fatalf("%d %s, want %d", a.status, a.body, status)
	}
	if into != nil {
		if err := json.Unmarshal([]byte(a.body), into); err != nil {
			w.t.Fatalf("%v in %s", err, a.body)
		}
	}
}

type resource struct {
	Resource struct {
		ID, Name, State string
		Revision        int
		Status          keypair.Status
	}
}

// TestOneDescriptionIsEnough: service/keypair is one description; everything below comes from it.
func TestOneDescriptionIsEnough(t *testing.T) {
	w := start(t)
	var made, got resource
	w.want(201, w.do("POST", pairs, `{"name":"laptop","tags":{"team":"red"}}`), &made)
	if !strings.Contains(made.Resource.Status.PrivateKey, "OPENSSH PRIVATE KEY") {
		t.Error("the private key is not shown at creation")
	}
	w.want(200, w.do("GET", pairs+"/laptop", ""), &got)
	if got.Resource.Status.PrivateKey != "********" || got.Resource.Status.Fingerprint != made.Resource.Status.Fingerprint {
		t.Errorf("read again: %+v", got)
	}
	w.want(200, w.do("PATCH", pairs+"/laptop", `{"name":"notebook"}`), &got)
	w.want(404, w.do("GET", pairs+"/laptop", ""), nil)

	var quota struct{ Items []ledger.Quota }
	w.want(200, w.do("GET", "/projects/-/quota", ""), &quota)
	if len(quota.Items) != 1 || quota.Items[0].Used != 1 || quota.Items[0].Limit != 3 {
		t.Errorf("quota %+v", quota)
	}
	var audit struct{ Items []ledger.Entry }
	w.want(200, w.do("GET", "/domains/-/audit?action=keypair:keypair:*", ""), &audit)
	if len(audit.Items) != 2 || audit.Items[0].Action != "keypair:keypair:update" || audit.Items[1].Outcome != ledger.Succeeded {
		t.Errorf("audit %+v", audit)
	}
	if strings.Contains(fmt.Sprint(audit), "PRIVATE KEY") {
		t.Error("the audit log holds the private key")
	}
	var api struct {
		OpenAPI    string
		Paths      map[string]map[string]struct{ OperationID string }
		Components struct{ Schemas map[string]any }
	}
	w.want(200, w.do("GET", "/openapi.json", ""), &api)
	path := api.Paths["/awan/v1/projects/{project}/keypair/keypairs"]
	if api.OpenAPI != "3.1.0" || path["post"].OperationID != "keypair:keypair:create" || api.Components.Schemas["keypair.keypair"] == nil {
		t.Errorf("OpenAPI %s: %+v", api.OpenAPI, path)
	}
	w.want(200, w.do("DELETE", pairs+"/notebook", ""), nil)
	w.want(200, w.do("GET", "/projects/-/quota", ""), &quota)
	if quota.Items[0].Used != 0 {
		t.Errorf("after the delete the quota holds %d", quota.Items[0].Used)
	}
}

func TestErrorsNameTheFieldTheReasonAndTheNextStep(t *testing.T) {
	w := start(t)
	w.want(201, w.do("POST", pairs, `{"name":"there"}`), nil)
	for _, c := range []struct {
		method, path, body string
		status             int
		kind               fail.Kind
		field, text        string
	}{
		{"POST", pairs, `{"name":"there"}`, 409, fail.Exists, "name", "there already"},
		{"POST", pairs, `{}`, 400, fail.Invalid, "name", "is required"},
		{"POST", pairs, `{"name":"/bad"}`, 400, fail.Invalid, "name", "must match"},
		{"POST", pairs, `{"name":"a","spec":{"public_key":"junk"}}`, 400, fail.Invalid, "spec.public_key", "paste the content"},
		{"POST", pairs, `{"name":"a","spec":{"public_kee":"x"}}`, 400, fail.Invalid, "spec.public_kee", "fields here: public_key"},
		{"POST", pairs, `{"name":"a","spec":{"public_key":7}}`, 400, fail.Invalid, "spec.public_key", "expected a string"},
		{"POST", pairs, `{"name":"a","tags":{"a=b":"x"}}`, 400, fail.Invalid, "tags", "not a valid key"},
		{"POST", pairs, `{"name":`, 400, fail.Invalid, "", "JSON"},
		{"POST", pairs, `{"nam":"a"}`, 400, fail.Invalid, "nam", "name, tags, spec"},
		{"PATCH", pairs + "/there", `{"spec":{"public_key":"x"}}`, 400, fail.Invalid, "spec.public_key", "cannot change"},
		{"PATCH", pairs + "/there", `{"name":"x","if_revision":99}`, 409, fail.Conflict, "", "read it again"},
		{"GET", pairs + "/absent", "", 404, fail.NotFound, "", "no keypair"},
		{"GET", pairs + "?limit=0x", "", 400, fail.Invalid, "limit", "whole number"},
		{"GET", pairs + "?limit=5000", "", 400, fail.Invalid, "limit", "the most is 1000"},
		{"GET", pairs + "?colour=red", "", 400, fail.Invalid, "colour", "known: limit"},
		{"GET", pairs + "?marker=x", "", 400, fail.Invalid, "marker", "page before"},
		{"GET", "/projects/nowhere/keypair/keypairs", "", 404, fail.NotFound, "", "no project"},
		{"GET", "/nothing", "", 404, fail.NotFound, "", "openapi.json"},
		{"GET", "/jobs/123", "", 404, fail.NotFound, "", "no job"},
		{"POST", "/login", `{"domain":"awan","user":"admin","password":"wrong"}`, 401, fail.Unauthenticated, "", "check all three"},
		{"POST", "/login", `{"domain":"awan"}`, 400, fail.Invalid, "user", "is required"},
		{"PUT", "/projects/-/quota", `{"name":"keypair.keypears","limit":1}`, 400, fail.Invalid, "name", "no quota"},
	} {
		t.Run(c.method+" "+c.path+" "+c.body, func(t *testing.T) {
			a := w.do(c.method, c.path, c.body)
			var e native.ErrorBody
			if err := json.Unmarshal([]byte(a.body), &e); err != nil || a.status != c.status || e.Error.Kind != c.kind || e.Error.Field != c.field ||
				!strings.Contains(e.Error.Message+" "+e.Error.Next, c.text) {
				t.Errorf("%d %s", a.status, a.body)
			}
		})
	}
	w.want(201, w.do("POST", pairs, `{"name":"b"}`), nil)
	w.want(201, w.do("POST", pairs, `{"name":"c"}`), nil)
	if a := w.do("POST", pairs, `{"name":"d"}`); a.status != 403 || !strings.Contains(a.body, "3 of 3 in use") {
		t.Errorf("over the quota: %d %s", a.status, a.body)
	}
	for _, k := range fail.Kinds() {
		if native.StatusOf(fail.New(k, "x")) == 0 {
			t.Errorf("fail.%s has no HTTP status", k)
		}
	}
}

// TestOperatorsReachProjectsOfOtherAccounts by the account's name and the project's.
func TestOperatorsReachProjectsOfOtherAccounts(t *testing.T) {
	w := start(t)
	w.want(201, w.do("POST", "/identity/domains", `{"name":"acme"}`), nil)
	w.want(201, w.do("POST", "/domains/acme/identity/projects", `{"name":"shop"}`), nil)
	var quota struct{ Items []ledger.Quota }
	w.want(200, w.do("PUT", "/projects/acme:shop/quota", `{"name":"keypair.keypairs","limit":7}`), &quota)
	if len(quota.Items) != 1 || quota.Items[0].Limit != 7 {
		t.Errorf("%+v", quota)
	}
	if a := w.do("GET", "/projects/acme:shop/keypair/keypairs", ""); a.status != 404 || !strings.Contains(a.body, "for this token, which is for another") {
		t.Errorf("what is in it, with a token of another project: %d %s", a.status, a.body)
	}
	w.want(404, w.do("GET", "/projects/shop/quota", ""), nil)
	w.want(404, w.do("GET", "/projects/nobody:shop/quota", ""), nil)
	w.want(200, w.do("GET", "/projects/awan:awan-1/quota", ""), nil)
}

func TestTheSameKeyCreatesOnce(t *testing.T) {
	w := start(t)
	var a, b resource
	w.want(201, w.do("POST", pairs, `{"name":"once"}`, "Idempotency-Key", "k1"), &a)
	w.want(200, w.do("POST", pairs, `{"name":"once"}`, "Idempotency-Key", "k1"), &b)
	if a.Resource.ID != b.Resource.ID || b.Resource.Status.PrivateKey != "********" {
		t.Errorf("%+v %+v", a, b)
	}
	w.want(400, w.do("POST", pairs, `{"name":"other"}`, "Idempotency-Key", "k1"), nil)
	w.want(201, w.do("POST", pairs+"?dry_run=true", `{"name":"dry"}`), nil)
	w.want(404, w.do("GET", pairs+"/dry", ""), nil)
}

func TestListsPageAndFilter(t *testing.T) {
	w := start(t)
	w.want(200, w.do("PUT", "/projects/-/quota", `{"name":"keypair.keypairs","limit":100}`), nil)
	for i := range 25 {
		w.want(201, w.do("POST", pairs, fmt.Sprintf(`{"name":"k%02d","tags":{"parity":"%d"}}`, i, i%2)), nil)
	}
	var page struct {
		Items []struct{ Name string }
		Next  string
	}
	seen, pages := "", 0
	for next := ""; ; next = page.Next {
		path := pairs + "?limit=10"
		if next != "" {
			path += "&marker=" + next
		}
		page.Items, page.Next = nil, ""
		w.want(200, w.do("GET", path, ""), &page)
		for _, i := range page.Items {
			seen += i.Name
		}
		if pages++; page.Next == "" {
			break
		}
	}
	if pages != 3 || len(seen) != 25*3 {
		t.Errorf("%d pages with %s", pages, seen)
	}
	for query, n := range map[string]int{"?tag=parity=1": 12, "?tag=parity": 25, "?name=k1": 10, "?state=trashed": 0, "?name=k1&tag=parity=0": 5} {
		w.want(200, w.do("GET", pairs+query, ""), &page)
		if len(page.Items) != n {
			t.Errorf("%s gives %d, want %d", query, len(page.Items), n)
		}
	}
}

func TestWatchTellsWhatIsAndWhatChanges(t *testing.T) {
	w := start(t)
	w.want(201, w.do("POST", pairs, `{"name":"first"}`), nil)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	r, _ := http.NewRequestWithContext(ctx, "GET", w.url+pairs+"/actions/watch", nil)
	r.Header.Set("X-Auth-Token", w.token)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	lines := bufio.NewScanner(resp.Body)
	next := func() string {
		if !lines.Scan() {
			t.Fatal(lines.Err())
		}
		return lines.Text()
	}
	if l := next(); !strings.Contains(l, `"first"`) {
		t.Error(l)
	}
	w.want(201, w.do("POST", pairs, `{"name":"second"}`), nil)
	if l := next(); !strings.Contains(l, `"second"`) || strings.Contains(l, "PRIVATE") {
		t.Error(l)
	}
	w.want(200, w.do("DELETE", pairs+"/first", ""), nil)
	if l := next(); !strings.Contains(l, `"deleted"`) {
		t.Error(l)
	}
}

func TestNothingIsDoneThatCannotBeAudited(t *testing.T) {
	w := start(t)
	w.Door.Store = deaf{w.Store}
	a := w.do("POST", pairs, `{"name":"unheard"}`)
	w.Door.Store = w.Store
	if a.status < 500 {
		t.Errorf("%d %s", a.status, a.body)
	}
	w.want(404, w.do("GET", pairs+"/unheard", ""), nil)
}

// deaf refuses to store audit entries.
type deaf struct{ store.Store }

func (d deaf) Update(ctx context.Context, fn func(store.Tx) error) (store.Rev, error) {
	return d.Store.Update(ctx, func(tx store.Tx) error { return fn(deafTx{tx}) })
}

type deafTx struct{ store.Tx }

func (t deafTx) Put(k store.Key, v []byte) error {
	if strings.HasPrefix(k, "audit/") {
		return fail.New(fail.NoSpace, "no room for audit entries")
	}
	return t.Tx.Put(k, v)
}

func BenchmarkGetWithAToken(b *testing.B) {
	k := kerneltest.Start(b, nil, keypair.Kind())
	def := k.Door.KindOf("keypair/keypair")
	name := "k"
	if _, err := k.Door.Do(b.Context(), &call.Call{Kind: def, Verb: call.Create, Name: &name, Principal: k.Root}); err != nil {
		b.Fatal(err)
	}
	text, _, err := k.Ident.IssueToken(b.Context(), kerneltest.Token(k), 0)
	if err != nil {
		b.Fatal(err)
	}
	api := native.New(k.Door, &auth.Authenticator{Ident: k.Ident, Now: k.Clock.Now}, "test")
	for b.Loop() {
		r := httptest.NewRequest("GET", native.Base+pairs+"/k", bytes.NewReader(nil))
		r.Header.Set("X-Auth-Token", text)
		w := httptest.NewRecorder()
		if api.ServeHTTP(w, r); w.Code != 200 {
			b.Fatal(w.Body)
		}
	}
}
