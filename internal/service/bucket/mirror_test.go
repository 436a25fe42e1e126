package bucket_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/awancloud/awan/internal/service/bucket"
)

// TestMirror fetches what is not there, once, for those who may read it; what was deleted stays deleted.
func TestMirror(t *testing.T) {
	w, ctx := start(t), t.Context()
	var asked atomic.Int64
	origin := httptest.NewTLSServer(http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
		asked.Add(1)
		switch req.URL.EscapedPath() {
		case "/site/a/logo%20%3F.png":
			rw.Header().Set("Content-Type", "image/png")
			_, _ = io.WriteString(rw, "logo")
		case "/site/large":
			rw.Header().Set("Content-Length", fmt.Sprint(bucket.MaxMirror+1))
		case "/site/broken":
			rw.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(rw, "short")
		case "/site/chunked": // breaks off, without having said how long it is
			_, _ = io.WriteString(rw, "short")
			rw.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		default:
			http.NotFound(rw, req)
		}
	}))
	t.Cleanup(origin.Close)
	w.bucket("cdn", bucket.BucketSpec{Versioning: "enabled", Mirror: []bucket.Mirror{{ID: "m", Prefix: "img/", URL: origin.URL + "/site/"}}})
	key := "img/a/logo ?.png"
	nobody := &bucket.Caller{}
	if _, err := w.Get(ctx, nobody, &bucket.GetInput{Bucket: "cdn", Key: key}); code(err) != "AccessDenied" || asked.Load() != 0 {
		t.Errorf("nobody: %v, asked %d times", err, asked.Load())
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if body, err := w.get(bucket.GetInput{Bucket: "cdn", Key: key}); body != "logo" {
				t.Errorf("%q, %v", body, err)
			}
		})
	}
	wg.Wait()
	if n := asked.Load(); n != 1 {
		t.Errorf("asked %d times", n)
	}
	c, err := w.Get(ctx, w.me, &bucket.GetInput{Bucket: "cdn", Key: key, Head: true})
	if err != nil || c.ContentType != "image/png" {
		t.Errorf("%+v, %v", c, err)
	}
	if _, err := w.Delete(ctx, w.me, &bucket.DeleteInput{Bucket: "cdn", Key: key}); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{key: "NoSuchKey", "img/none": "NoSuchKey", "img/../etc": "NoSuchKey", "other": "NoSuchKey", "img/large": "MirrorFailed", "img/broken": "MirrorFailed", "img/chunked": "MirrorFailed"} {
		if _, err := w.get(bucket.GetInput{Bucket: "cdn", Key: key}); code(err) != want {
			t.Errorf("%s: %v, want %s", key, err, want)
		}
	}
	origin.Close()
	if _, err := w.get(bucket.GetInput{Bucket: "cdn", Key: "img/later"}); code(err) != "MirrorFailed" || !strings.Contains(err.Error(), "refused the connection") {
		t.Errorf("%v", err)
	}
	if err := w.Change(ctx, w.me, "cdn", "", func(r *bucket.Row) error { r.Spec.Mirror[0].URL = "http://example.org/"; return nil }); code(err) != "InvalidArgument" {
		t.Errorf("%v", err)
	}
}
