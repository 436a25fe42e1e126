package security_test

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"slices"
	"strings"
	"testing"

	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/asbuilt"
	"github.com/awancloud/awan/internal/service/machine"
)

// report makes a report, checks its signature as an outsider would, and gives what it says.
func (e *estate) report(t *testing.T, name string) (asbuilt.Status, asbuilt.Document) {
	t.Helper()
	e.make(e.token, "/audit/as-built", name, `{}`)
	var row struct {
		Resource struct{ Status asbuilt.Status }
	}
	e.native(e.token, "GET", "/audit/as-built/"+name, nil, &row)
	st := row.Resource.Status
	a := e.ask("POST", "/awan/v1/audit/as-built/"+name+"/actions/document", "{}", "X-Auth-Token", e.token)
	if a.status != 200 {
		t.Fatalf("the document: %d %s", a.status, a.body)
	}
	sum := sha256.Sum256([]byte(a.body))
	if st.SHA256 != hex.EncodeToString(sum[:]) {
		t.Error("the row's digest is not the document's")
	}
	block, _ := pem.Decode([]byte(st.Certificate))
	if block == nil {
		t.Fatalf("no certificate in %+v", st)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cert.Verify(x509.VerifyOptions{Roots: e.CA.Pool()}); err != nil {
		t.Error("the certificate is not of the cloud's CA:", err)
	}
	sig, err := base64.StdEncoding.DecodeString(st.Signature)
	if err != nil {
		t.Fatal(err)
	}
	if err := cert.CheckSignature(x509.ECDSAWithSHA256, []byte(a.body), sig); err != nil {
		t.Error("the signature:", err)
	}
	if err := cert.CheckSignature(x509.ECDSAWithSHA256, []byte(strings.Replace(a.body, "web", "wed", 1)), sig); err == nil {
		t.Error("a changed document passes")
	}
	var doc asbuilt.Document
	if err := json.Unmarshal([]byte(a.body), &doc); err != nil {
		t.Fatal(err)
	}
	if len(doc.Unseen) != 0 {
		t.Errorf("not looked at: %v", doc.Unseen)
	}
	return st, doc
}

// proveS14: the report is what runs, and equals the model where nothing drifted.
func proveS14(t *testing.T) {
	e := openEstate(t)
	st, doc := e.report(t, "first")
	if st.Differences != 0 || st.DesignSHA256 != st.ActualSHA256 {
		t.Errorf("a fresh estate differs from its design: %v", st.First)
	}
	count := map[string]int{}
	for _, th := range doc.Things {
		count[th.Kind]++
	}
	if count["compute/server"] != 4 || count["volume/volume"] != 4 || count["network/port"] != 4 {
		t.Errorf("the report has %v", count)
	}
	if a := e.ask("DELETE", "/awan/v1/audit/as-built/first", "", "X-Auth-Token", e.token); a.status != 409 && a.status != 412 {
		t.Errorf("a report was deleted: %d %s", a.status, a.body)
	}
}

// proveS13: what somebody changes on the machine behind the cloud's back is named.
func proveS13(t *testing.T) {
	e := openEstate(t)
	e.make(e.token, e.at+"volume/volumes", "papers", `{"size":1}`)
	var volume struct{ Resource struct{ ID id.ID } }
	e.native(e.token, "GET", e.at+"volume/volumes/papers", nil, &volume)
	if err := e.Engines.Disk.Destroy(t.Context(), volume.Resource.ID); err != nil {
		t.Fatal(err)
	}
	stranger := id.New()
	if _, err := e.Engines.Machine.Ensure(t.Context(), stranger, machine.Want{Name: "stranger", CPUs: 1, MemoryMiB: 64, Running: true}); err != nil {
		t.Fatal(err)
	}
	e.AsBuilt.Found(t.Context(), asbuilt.Drift{Kind: "network/port", ID: e.ports["web"], Detail: "a rule that nobody wrote lets tcp 22 in", Repaired: true})
	st, doc := e.report(t, "second")
	want := []string{"volume/volume papers: it is not there", "compute/server " + string(stranger) + ": nobody asked for it"}
	for _, w := range want {
		if !slices.Contains(st.First, w) {
			t.Errorf("the report does not say %q: %v", w, st.First)
		}
	}
	if st.Differences != len(want) || st.DesignSHA256 == st.ActualSHA256 {
		t.Errorf("%d differences, digests %s and %s: %v", st.Differences, st.DesignSHA256, st.ActualSHA256, st.First)
	}
	if len(doc.Drift) != 1 || doc.Drift[0].Detail != "a rule that nobody wrote lets tcp 22 in" {
		t.Errorf("what a watch repaired is not told: %+v", doc.Drift)
	}
	if _, next := e.report(t, "third"); len(next.Drift) != 0 || !next.Since.Equal(doc.Made) {
		t.Errorf("the next report tells it again: %+v since %s", next.Drift, next.Since)
	}
}
