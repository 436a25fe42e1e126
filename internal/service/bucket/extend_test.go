package bucket_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/service/bucket"
)

// TestAppendModifyRename is what OBS does beyond S3.
func TestAppendModifyRename(t *testing.T) {
	w, ctx := start(t), t.Context()
	w.bucket("logs", bucket.BucketSpec{FileSystem: true})
	grow := func(body string, at int64, modify bool) (string, error) {
		o, err := w.Put(ctx, w.me, &bucket.PutInput{Bucket: "logs", Key: "log", Body: strings.NewReader(body), Size: int64(len(body)), Append: !modify, Modify: modify, At: at})
		if err != nil {
			return code(err), err
		}
		return fmt.Sprint(o.Next), nil
	}
	for _, step := range []struct {
		body   string
		at     int64
		modify bool
		want   string
	}{{"hello ", 0, false, "6"}, {"world", 6, false, "11"}, {"x", 3, false, "PositionNotEqualToLength"}, {"J", 0, true, "11"}, {"__", 5, true, "11"}, {"!!!", 10, true, "13"}} {
		if got, err := grow(step.body, step.at, step.modify); got != step.want {
			t.Errorf("%+v: %s, %v", step, got, err)
		}
	}
	if err := w.Truncate(ctx, w.me, "logs", "log", 12); err != nil {
		t.Error(err)
	}
	if err := w.Rename(ctx, w.me, "logs", "log", "old/log"); err != nil {
		t.Error(err)
	}
	if body, err := w.get(bucket.GetInput{Bucket: "logs", Key: "old/log"}); body != "Jello__orl!!" {
		t.Errorf("%q, %v", body, err)
	}
	if _, err := w.Delete(ctx, w.me, &bucket.DeleteInput{Bucket: "logs", Key: "old/log"}); err != nil {
		t.Error(err)
	}
	if err := w.DeleteBucket(ctx, w.me, "logs"); err != nil {
		t.Error(err)
	}
	w.nothingLeft()
}

// TestCounters: what a bucket says that it holds is what is in it, through whatever happened.
func TestCounters(t *testing.T) {
	w, ctx := start(t), t.Context()
	w.bucket("busy", bucket.BucketSpec{Versioning: "enabled", Quota: 10000})
	for i := range 200 {
		key := fmt.Sprint("k", rand.IntN(8))
		switch rand.IntN(5) {
		case 0:
			_, _ = w.Delete(ctx, w.me, &bucket.DeleteInput{Bucket: "busy", Key: key})
		case 1:
			l, err := w.List(ctx, w.me, &bucket.ListInput{Bucket: "busy", Versions: true, Max: 1000})
			if err != nil {
				t.Fatal(err)
			}
			if len(l.Objects) > 0 {
				o := l.Objects[rand.IntN(len(l.Objects))]
				if _, err := w.Delete(ctx, w.me, &bucket.DeleteInput{Bucket: "busy", Key: o.Key, Version: o.Version}); err != nil {
					t.Fatal(err)
				}
			}
		case 2:
			v := []string{"enabled", "suspended"}[rand.IntN(2)]
			_ = w.Change(ctx, w.me, "busy", "", func(r *bucket.Row) error { r.Spec.Versioning = v; return nil })
		default:
			_, err := w.Put(ctx, w.me, &bucket.PutInput{Bucket: "busy", Key: key, Body: strings.NewReader(strings.Repeat("x", i)), Size: int64(i)})
			if err != nil && code(err) != "InsufficientStorageSpace" {
				t.Fatal(err)
			}
		}
	}
	l, err := w.List(ctx, w.me, &bucket.ListInput{Bucket: "busy", Versions: true, Max: 1000})
	if err != nil {
		t.Fatal(err)
	}
	var want bucket.BucketStatus
	for _, o := range l.Objects {
		want.Versions++
		want.Bytes += o.Size
		if o.Latest && !o.Marker {
			want.Objects++
		}
	}
	r, err := w.Door.Do(ctx, &call.Call{Kind: w.Rows.D, Verb: call.Get, Target: "busy", Principal: w.Root})
	if err != nil {
		t.Fatal(err)
	}
	got := r.Row.(*bucket.Row).Status
	if got.Versions != want.Versions || got.Bytes != want.Bytes || got.Objects != want.Objects {
		t.Errorf("counted %+v, there are %+v", got, want)
	}
}
