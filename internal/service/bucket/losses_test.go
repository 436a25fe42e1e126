package bucket_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/awancloud/awan/internal/kernel/ledger"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/bucket"
)

// TestMassChange: the owner of a bucket without versions is told when most of it is overwritten or deleted at once, once;
// not when that takes long, nor where versions are kept.
func TestMassChange(t *testing.T) {
	w, ctx := start(t), t.Context()
	for name, v := range map[string]string{"slow": "off", "kept": "enabled", "prey": "off"} {
		w.bucket(name, bucket.BucketSpec{Versioning: v})
		for i := range 200 {
			w.put(name, fmt.Sprint("k", i), "x")
		}
	}
	for i := range 150 {
		for _, name := range []string{"slow", "kept"} {
			w.put(name, fmt.Sprint("k", i), "y")
		}
		w.Clock.Add(15 * time.Second)
	}
	for i := range 70 {
		w.put("prey", fmt.Sprint("k", i), "encrypted")
		if _, err := w.Delete(ctx, w.me, &bucket.DeleteInput{Bucket: "prey", Key: fmt.Sprint("k", 100+i)}); err != nil {
			t.Fatal(err)
		}
	}
	w.event("prey", "MassChange", "of 200 objects were overwritten or deleted within 1 minutes")
	if w.told("slow", "MassChange") || w.told("kept", "MassChange") {
		t.Error("others were told of")
	}
	audited := 0
	_ = w.Kernel.Store.View(ctx, func(tx store.Tx) error {
		found, _, err := ledger.Search(tx, ledger.Query{Domain: w.Admin.DomainID, Action: "bucket:bucket:warn", Limit: 10})
		audited = len(found)
		return err
	})
	if audited != 1 {
		t.Errorf("%d audit entries", audited)
	}
}
