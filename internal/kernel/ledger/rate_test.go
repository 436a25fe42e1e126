package ledger_test

import (
	"strings"
	"testing"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/ledger"
)

func TestRates(t *testing.T) {
	known := []ledger.Dim{"compute.cpus", "compute.memory", "network.public-out"}
	r, err := ledger.ReadRates([]byte(`{"currency":"EUR","prices":{"compute.cpus":{"price":0.02},"compute.memory":{"price":0.004,"per":1024},"network.public-out":{"price":0.05,"per":1000000000}}}`), known)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		u    ledger.Usage
		want float64
	}{{ledger.Usage{Dim: "compute.cpus", Hours: 2}, 0.04}, {ledger.Usage{Dim: "compute.memory", Hours: 2048}, 0.008}, {ledger.Usage{Dim: "network.public-out", Passed: 2e9}, 0.1}} {
		if c := r.Cost(tc.u); c == nil || *c < tc.want*0.999 || *c > tc.want*1.001 {
			t.Errorf("%+v costs %v, want %g", tc.u, c, tc.want)
		}
	}
	if c := r.Cost(ledger.Usage{Dim: "dns.zones", Hours: 1}); c != nil {
		t.Errorf("what has no price costs %g", *c)
	}
	for text, why := range map[string]string{`{}`: "currency", `{"currency":"EUR","prices":{"compute.cpu":{"price":1}}}`: "nothing is metered", `{"currency":"EUR","prices":{"compute.cpus":{"price":-1}}}`: "below 0", `{"currency":"EUR","price":{}}`: "unknown field"} {
		if _, err := ledger.ReadRates([]byte(text), known); err == nil || !strings.Contains(fail.From(err).Public(), why) {
			t.Errorf("%s: %v, want %q", text, err, why)
		}
	}
}
