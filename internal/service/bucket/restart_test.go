package bucket_test

import (
	"fmt"
	"testing"

	"github.com/awancloud/awan/internal/service/bucket"
)

// restart ends what runs beside requests, wherever it is, and begins it anew on the same store, knowing nothing.
func (w *world) restart(between func()) {
	w.t.Helper()
	w.Service.Close()
	between()
	s := bucket.New(w.Service.Deps)
	s.Serve(w.Door)
	if err := s.Start(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(s.Close)
	w.Service = s
}

// TestTasksGoOn: a sweep that is cut short goes on where it was; what was to be sent and copied is.
func TestTasksGoOn(t *testing.T) {
	w := start(t)
	hook := listen(t, "")
	hook.set(true)
	w.bucket("copy", bucket.BucketSpec{})
	w.bucket("many", bucket.BucketSpec{Notifications: []bucket.Notification{{URL: hook.URL, Events: []string{"ObjectCreated:*"}, Prefix: "told"}},
		Replication: []bucket.Replication{{Bucket: "copy", Prefix: "told"}}})
	for i := range 3000 {
		w.put("many", fmt.Sprintf("k%04d", i), "x")
	}
	w.rules("many", bucket.Rule{ID: "all", Prefix: "k", Expire: 1})
	w.Clock.Add(3 * day)
	w.do("many", "sweep")
	waitFor(t, "the sweep's beginning", func() (any, bool) { k := w.keys("bucket/sweep/"); return k, len(k) == 1 })
	w.restart(func() {
		w.put("many", "told", "hello")
		if n := len(w.keys("bucket/now/")); n < 2 || n > 3000 {
			t.Fatalf("%d objects are left: the sweep was not cut short", n)
		}
		if n := len(w.keys("bucket/event/")) + len(w.keys("bucket/copy/")); n != 2 {
			t.Fatalf("%d wait", n)
		}
		hook.set(false)
	})
	w.event("many", "Swept", "3000 objects expired")
	hook.expect(t, "ObjectCreated:Put many/told 5")
	w.replicated("many", "told", "COMPLETED")
	w.has("many", "told")
	w.has("copy", "told")
}
