package bucket_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/bucket"
)

// outside reaches the test's own servers, whose certificates nobody vouches for.
var outside = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}}

// receiver is a web hook that notes what it gets, and fails when told to.
type receiver struct {
	*httptest.Server
	mu    sync.Mutex
	fails bool
	got   []string
	bad   []string
}

type events struct {
	Records []struct {
		EventName string
		AwsRegion string
		S3        struct {
			Bucket struct{ Name, Arn string }
			Object struct {
				Key, ETag, VersionID, Sequencer string
				Size                            int64
			}
		}
	}
}

func listen(t testing.TB, secret string) *receiver {
	r := &receiver{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.fails {
			rw.WriteHeader(http.StatusInternalServerError)
			return
		}
		at, sum, _ := strings.Cut(strings.TrimPrefix(req.Header.Get(bucket.Signature), "t="), ",v1=")
		mac := hmac.New(sha256.New, []byte(secret))
		_, _ = fmt.Fprintf(mac, "%s.%s", at, body)
		if secret != "" && sum != hex.EncodeToString(mac.Sum(nil)) {
			r.bad = append(r.bad, "signature "+sum)
		}
		var e events
		if err := json.Unmarshal(body, &e); err != nil {
			r.bad = append(r.bad, err.Error())
		}
		for _, rec := range e.Records {
			r.got = append(r.got, rec.EventName+" "+rec.S3.Bucket.Name+"/"+rec.S3.Object.Key+" "+fmt.Sprint(rec.S3.Object.Size))
			if rec.AwsRegion != "awan-1" || rec.S3.Object.Sequencer == "" || rec.S3.Bucket.Arn != "arn:aws:s3:::"+rec.S3.Bucket.Name {
				r.bad = append(r.bad, string(body))
			}
		}
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) set(fails bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fails = fails
}

func (r *receiver) expect(t testing.TB, want ...string) {
	t.Helper()
	waitFor(t, "the events", func() ([]string, bool) {
		r.mu.Lock()
		defer r.mu.Unlock()
		return slices.Clone(r.got), slices.Equal(r.got, want)
	})
	if len(r.bad) > 0 {
		t.Errorf("%q", r.bad)
	}
}

// TestNotifications: who asked is told, in order, signed, again when it fails; one that is down holds nobody else up.
func TestNotifications(t *testing.T) {
	w, ctx := start(t), t.Context()
	up, down := listen(t, "hush"), listen(t, "")
	down.set(true)
	w.bucket("mail", bucket.BucketSpec{Versioning: "enabled", Notifications: []bucket.Notification{
		{ID: "all", URL: up.URL + "/hook", Secret: "hush", Events: []string{"s3:ObjectCreated:*", "ObjectRemoved:*"}},
		{ID: "inbox", URL: down.URL, Events: []string{"ObjectCreated:Put"}, Prefix: "in/", Suffix: ".eml"}}})
	w.put("mail", "in/1 ä.eml", "hello")
	w.put("mail", "out/2.eml", "hi")
	if _, err := w.Delete(ctx, w.me, &bucket.DeleteInput{Bucket: "mail", Key: "out/2.eml"}); err != nil {
		t.Fatal(err)
	}
	w.put("mail", "in/3.eml", "x")
	up.expect(t, "ObjectCreated:Put mail/in%2F1+%C3%A4.eml 5", "ObjectCreated:Put mail/out%2F2.eml 2", "ObjectRemoved:DeleteMarkerCreated mail/out%2F2.eml 0", "ObjectCreated:Put mail/in%2F3.eml 1")
	waitFor(t, "more tries", func() (any, bool) { w.Clock.Add(time.Minute); return nil, w.told("mail", "NotificationsWait") })
	down.set(false)
	w.Clock.Add(day / 24)
	down.expect(t, "ObjectCreated:Put mail/in%2F1+%C3%A4.eml 5", "ObjectCreated:Put mail/in%2F3.eml 1")

	down.set(true)
	w.put("mail", "in/lost.eml", "x")
	waitFor(t, "the end of the day", func() (any, bool) { w.Clock.Add(day / 24); return nil, w.told("mail", "NotificationsDropped") })
	down.set(false)
	w.put("mail", "in/4.eml", "x")
	down.expect(t, "ObjectCreated:Put mail/in%2F1+%C3%A4.eml 5", "ObjectCreated:Put mail/in%2F3.eml 1", "ObjectCreated:Put mail/in%2F4.eml 1")
	waitFor(t, "an empty outbox", func() ([]string, bool) { k := w.keys("bucket/event/"); return k, len(k) == 0 })

	for _, bad := range []bucket.Notification{{URL: "arn:aws:sns:topic", Events: []string{"ObjectCreated:*"}}, {URL: "https://u:p@host/", Events: []string{"ObjectCreated:*"}}} {
		err := w.Change(ctx, w.me, "mail", "", func(r *bucket.Row) error { r.Spec.Notifications = []bucket.Notification{bad}; return nil })
		if code(err) != "InvalidArgument" {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

// told tells whether a bucket has an event of a type.
func (w *world) told(name, typ string) bool {
	for _, e := range w.events(name) {
		if e.Type == typ {
			return true
		}
	}
	return false
}

// keys lists what the store has.
func (w *world) keys(prefix string) (out []string) {
	_ = w.Kernel.Store.View(w.t.Context(), func(tx store.Tx) error {
		for k := range tx.Scan(prefix, "") {
			out = append(out, k)
		}
		return nil
	})
	return out
}
