package servers

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/netip"
	"testing"

	machinesim "github.com/awancloud/awan/internal/engine/machine/sim"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
)

// A program in a server gets keys of the server's agency, and may do with them what the agency may, and no more.
func TestAServerActsThroughItsAgency(t *testing.T) {
	w := newWorld(t, machinesim.Options{})
	w.refused(server, call.Create, "web", `{"flavor":"t6.nano.1","image":"Debian 12 small","agency":"reader"}`, `there is no agency "reader"`)
	w.do("identity/agency", call.Create, "build", `{"trust_service":"app"}`)
	w.refused(server, call.Create, "web", `{"flavor":"t6.nano.1","image":"Debian 12 small","agency":"build"}`, "does not trust the service compute")
	w.do("identity/agency", call.Create, "reader", `{"trust_service":"ecs"}`)
	w.do("identity/policy", call.Create, "servers", `{"document":{"Version":"1.1","Statement":[{"Effect":"Allow","Action":["compute:server:get","compute:server:list"]}]}}`)
	w.do("identity/grant", call.Create, "readers", `{"policy":"servers","agency":"reader"}`)
	web := w.small("web", `,"agency":"reader"`)
	other := w.small("other", "")

	type keys struct {
		AccessKeyID     string `json:"AccessKeyId"`
		SecretAccessKey string
		Token           string
	}
	ask := func(port id.ID, path string) (int, []byte) {
		c := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return w.fabric.DialFrom(ctx, port, "tcp", netip.MustParseAddrPort("169.254.169.254:80"))
		}}}
		defer c.CloseIdleConnections()
		resp, err := c.Get("http://169.254.169.254" + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, b
	}
	code, b := ask(web.Status.Cards[0].Port, "/latest/meta-data/iam/security-credentials/reader")
	var k keys
	if err := json.Unmarshal(b, &k); err != nil || code != 200 {
		t.Fatalf("%d %s", code, b)
	}
	if code, b := ask(other.Status.Cards[0].Port, "/latest/meta-data/iam/security-credentials/reader"); code != 404 {
		t.Errorf("a server without an agency got %d %s", code, b)
	}
	if _, again := ask(web.Status.Cards[0].Port, "/latest/meta-data/iam/security-credentials/reader"); string(again) == "" || !json.Valid(again) {
		t.Errorf("%s", again)
	} else if next := (keys{}); json.Unmarshal(again, &next) != nil || next.AccessKeyID != k.AccessKeyID {
		t.Errorf("each question makes a key of its own: %s, then %s", k.AccessKeyID, next.AccessKeyID)
	}

	p, _, err := w.Kernel.Ident.ByTemporary(t.Context(), k.AccessKeyID, k.Token)
	if err != nil {
		t.Fatal(err)
	}
	d := w.Kernel.Door
	r, err := d.Do(t.Context(), &call.Call{Kind: d.KindOf(server), Verb: call.List, Principal: p})
	if err != nil || len(r.Rows) != 2 {
		t.Errorf("the agency may list servers: %d, %v", len(r.Rows), err)
	}
	if _, err := d.Do(t.Context(), &call.Call{Kind: d.KindOf(server), Verb: call.Delete, Target: "other", Principal: p}); !fail.Is(err, fail.Denied) {
		t.Errorf("the agency may not delete servers: %v", err)
	}
	// Who may make servers, but not hand on the agency, does not get at its rights through a server.
	w.do("identity/policy", call.Create, "makers", `{"document":{"Version":"1.1","Statement":[{"Effect":"Allow","Action":["compute:*:*","network:*:*","volume:*:*","image:*:*"]}]}}`)
	w.do("identity/grant", call.Create, "also", `{"policy":"makers","agency":"reader"}`)
	name := "sneaky"
	if _, err := d.Do(t.Context(), &call.Call{Kind: d.KindOf(server), Verb: call.Create, Name: &name, Principal: p,
		Spec: json.RawMessage(`{"flavor":"t6.nano.1","image":"Debian 12 small","agency":"reader"}`)}); !fail.Is(err, fail.Denied) {
		t.Errorf("an agency handed on without the right to: %v", err)
	}
	w.do("identity/agency", call.Delete, "reader", "")
	if _, _, err := w.Kernel.Ident.ByTemporary(t.Context(), k.AccessKeyID, k.Token); err == nil {
		t.Error("the keys outlive the agency")
	}
	if code, b := ask(web.Status.Cards[0].Port, "/openstack/latest/securitykey"); code != 403 {
		t.Errorf("after the agency is gone: %d %s", code, b)
	}
}
