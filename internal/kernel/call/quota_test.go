package call_test

import (
	"testing"

	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/kerneltest"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/ledger"
)

// TestOperatorsSetQuotasOfAnyProject with a token of their own project; with nothing lent, and for nothing else of that project.
func TestOperatorsSetQuotasOfAnyProject(t *testing.T) {
	fails := ""
	def := boxes(&fails)
	k := kerneltest.Start(t, limits, def)
	if _, err := k.Door.Do(t.Context(), &call.Call{Kind: k.Ident.Kinds.Project.D, Verb: call.Create, Name: ptr("other"), Principal: k.Root}); err != nil {
		t.Fatal(err)
	}
	token := k.Root
	token.Method, token.Project = ident.ByToken, k.Admin.ProjectID
	lent := token
	lent.Application = "x"
	in := func(p ident.Principal, k *kind.Def, verb string) *call.Call {
		return &call.Call{Kind: k, Verb: verb, Principal: p, Project: "other"}
	}
	set := func(p ident.Principal, limits map[ledger.Dim]int64) error {
		return k.Door.SetQuotas(t.Context(), in(p, nil, ""), limits)
	}
	size := func() (n int64) {
		all, err := k.Door.Quotas(t.Context(), in(token, nil, ""))
		for _, q := range all {
			if q.Dim == "test.size" {
				n = q.Limit
			}
		}
		if err != nil {
			t.Error(err)
		}
		return n
	}
	if err := set(token, map[ledger.Dim]int64{"test.size": 3, "test.boxes": 1}); err != nil || size() != 3 {
		t.Errorf("%v, %d: want 3", err, size())
	}
	if err := set(token, map[ledger.Dim]int64{"test.size": 7, "test.hats": 1}); !fail.Is(err, fail.Invalid) || size() != 3 {
		t.Errorf("%v, %d: one is unknown, so none is set", err, size())
	}
	if err := set(lent, map[ledger.Dim]int64{"test.size": 9}); !fail.Is(err, fail.NotFound) || size() != 3 {
		t.Errorf("%v, %d: what was lent stays in its project", err, size())
	}
	if _, err := k.Door.Do(t.Context(), in(token, def, call.List)); !fail.Is(err, fail.NotFound) {
		t.Errorf("%v: what the project holds is not reached", err)
	}
}
