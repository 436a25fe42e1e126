package security_test

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/awancloud/awan/internal/kernel/ledger"
	"github.com/awancloud/awan/internal/kernel/store"
)

// proveS27 keeps a checkpoint of the audit log, has the cloud go on and start anew, checks all of the log from what the API gives
// out, and then changes one byte of an entry where it lies: which is named.
func proveS27(t *testing.T) {
	dir := t.TempDir()
	w := boot(t, dir)
	root := w.root()
	type head struct {
		ledger.Checkpoint
		Key     string
		Waiting int
	}
	const log = "/awan/v1/domains/-/audit"
	read := func(path string, into any) {
		t.Helper()
		a := w.ask("GET", path, "", "X-Auth-Token", root)
		if a.status != 200 {
			t.Fatalf("GET %s: %d %s", path, a.status, a.body)
		}
		if err := json.Unmarshal([]byte(a.body), into); err != nil {
			t.Fatal(err)
		}
	}
	sealed := func() (h head) {
		t.Helper()
		for began := time.Now(); h.Size == 0 || h.Waiting > 0; time.Sleep(20 * time.Millisecond) {
			if read(log+"/checkpoint", &h); time.Since(began) > 30*time.Second {
				t.Fatalf("not sealed: %+v", h)
			}
		}
		return h
	}
	w.make(root, "/domains/-/identity/groups", "before", `{}`)
	kept := sealed()
	if err := w.Cloud.Close(); err != nil {
		t.Fatal(err)
	}
	w = boot(t, dir)
	root = w.root()
	w.make(root, "/domains/-/identity/groups", "after", `{}`)
	h := sealed()
	if h.Size <= kept.Size || h.Key != kept.Key {
		t.Fatalf("after a restart: %+v, before: %+v", h, kept)
	}

	var v ledger.Verifier
	var page struct{ Items []ledger.Leaf }
	read(log+"/leaves", &page)
	for _, l := range page.Items {
		v.Add(l)
	}
	if r, err := v.Close(kept.Key, h.Checkpoint, &kept.Checkpoint); err != nil || len(r.Problems) > 0 {
		t.Fatalf("an honest log: %v %+v", err, r.Problems)
	}

	victim := page.Items[0].Entry
	_, err := w.Store.Update(t.Context(), func(tx store.Tx) error {
		for key, b := range tx.Scan("audit/", "") {
			if strings.HasSuffix(key, string(victim)) {
				return tx.Put(key, []byte(strings.Replace(string(b), `"source":"1`, `"source":"2`, 1)))
			}
		}
		return tx.ScanErr()
	})
	if err != nil {
		t.Fatal(err)
	}
	var r ledger.Report
	read(log+"/verify?kept="+url.QueryEscape(kept.Note), &r)
	if len(r.Problems) != 1 || r.Problems[0].Entry != victim {
		t.Errorf("one byte was changed in %s, and the check says %+v", victim, r.Problems)
	}
}
