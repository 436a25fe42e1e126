package bucket_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/awancloud/awan/internal/service/bucket"
)

// logs waits until so many lines are written, and gives them with the names of their objects.
func (w *world) logs(name string, lines int) (keys []string, text string) {
	w.t.Helper()
	waitFor(w.t, fmt.Sprint(lines, " lines"), func() (any, bool) {
		keys, text = nil, ""
		l, err := w.List(w.t.Context(), w.me, &bucket.ListInput{Bucket: name, Max: 1000})
		if err != nil {
			w.t.Fatal(err)
		}
		for _, o := range l.Objects {
			body, err := w.get(bucket.GetInput{Bucket: name, Key: o.Key})
			if err != nil {
				w.t.Fatal(err)
			}
			keys, text = append(keys, o.Key), text+body
		}
		return len(text), strings.Count(text, "\n") == lines
	})
	return keys, text
}

// TestAccessLogs: requests of a bucket that has a log are in it, a line each, in S3's format.
func TestAccessLogs(t *testing.T) {
	w, ctx := start(t), t.Context()
	w.bucket("logs", bucket.BucketSpec{})
	w.bucket("shop", bucket.BucketSpec{Logging: &bucket.Logging{Bucket: "logs", Prefix: "shop/"}})
	w.bucket("quiet", bucket.BucketSpec{})
	at := time.Date(2026, 5, 6, 7, 8, 9, 0, time.UTC)
	for _, name := range []string{"shop", "quiet", "no-such"} {
		w.LogAccess(&bucket.Access{At: at, Bucket: name, Key: "a b/ü", Source: "192.0.2.3", Requester: "user alice", RequestID: "R1", Operation: "REST.GET.OBJECT", URI: `GET /shop/a%20b HTTP/1.1`,
			Status: 404, Error: "NoSuchKey", Sent: 5, Total: 70 * time.Millisecond, Agent: "evil\" 200 -\nline", Signature: "SigV4", Cipher: "TLS_AES_128_GCM_SHA256", Auth: "AuthHeader", Host: "shop.example", TLS: "TLSv1.3"})
	}
	waitFor(t, "the line to be gathered", func() (any, bool) { // before the clock goes on
		w.Clock.Add(time.Minute)
		l, err := w.List(ctx, w.me, &bucket.ListInput{Bucket: "logs", Max: 10})
		return l, err == nil && len(l.Objects) > 0
	})
	keys, text := w.logs("logs", 1)
	want := string(w.Admin.DomainID) + ` shop [06/May/2026:07:08:09 +0000] 192.0.2.3 user+alice R1 REST.GET.OBJECT a%20b/%C3%BC "GET /shop/a%20b HTTP/1.1" 404 NoSuchKey 5 - 70 - "-" "evil' 200 -'line" - - SigV4 TLS_AES_128_GCM_SHA256 AuthHeader shop.example TLSv1.3 - -` + "\n"
	if text != want {
		t.Errorf("got  %swant %s", text, want)
	}
	if !regexp.MustCompile(`^shop/\d{4}-\d\d-\d\d-\d\d-\d\d-\d\d-[0-9A-F]{16}$`).MatchString(keys[0]) {
		t.Errorf("called %q", keys[0])
	}
	for range 6000 { // as many as make one object, and some
		w.LogAccess(&bucket.Access{At: at, Bucket: "shop", Key: strings.Repeat("k", 150), RequestID: "R2", Operation: "REST.PUT.OBJECT"})
	}
	waitFor(t, "an object of one MiB", func() (any, bool) {
		l, err := w.List(ctx, w.me, &bucket.ListInput{Bucket: "logs", Max: 10})
		return l, err == nil && len(l.Objects) == 2 && l.Objects[1].Size >= 1<<20 || len(l.Objects) == 2 && l.Objects[0].Size >= 1<<20
	})
	w.Service.Close() // writes what is left
	w.logs("logs", 6001)
}
