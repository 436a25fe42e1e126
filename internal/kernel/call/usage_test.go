package call_test

import (
	"testing"
	"time"

	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/kerneltest"
)

// TestTimeToComeIsNotBilled asks for the usage until next year: what exists has been held for moments only.
func TestTimeToComeIsNotBilled(t *testing.T) {
	fails := ""
	def := boxes(&fails)
	k := kerneltest.Start(t, limits, def)
	r, err := k.Door.Do(t.Context(), &call.Call{Kind: def, Verb: call.Create, Name: ptr("a"), Principal: k.Root})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.Door.WaitJob(t.Context(), r.Job.ID); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	all, err := k.Door.Usage(t.Context(), &call.Call{Principal: k.Root}, now.Add(-time.Hour), now.Add(365*24*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 1 || all[0].Now != 5 || all[0].Hours > 5*0.5 {
		t.Errorf("%+v: a box of 5, held for less than half an hour", all)
	}
}
