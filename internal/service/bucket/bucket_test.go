package bucket_test

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/awancloud/awan/internal/engine/object/mem"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kerneltest"
	"github.com/awancloud/awan/internal/kernel/secret"
	"github.com/awancloud/awan/internal/kernel/store"
	memstore "github.com/awancloud/awan/internal/kernel/store/mem"
	"github.com/awancloud/awan/internal/service/bucket"
	"github.com/awancloud/awan/internal/service/object"
)

// world is a kernel with object storage and a bucket.
type world struct {
	*kerneltest.Kernel
	*bucket.Service
	t     testing.TB
	blobs *faulty
	me    *bucket.Caller
}

func start(t testing.TB) *world { t.Helper(); return startOn(t, memstore.New(), mem.New()) }

func startOn(t testing.TB, on store.Store, blobs object.Blobs) *world {
	t.Helper()
	s := bucket.New(bucket.Deps{})
	w := &world{Service: s, t: t, blobs: &faulty{Blobs: blobs}}
	w.Kernel = kerneltest.StartOn(t, on, nil, s.Kinds()...)
	sealer, err := secret.OpenSealer(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	s.Deps = bucket.Deps{Store: w.Kernel.Store, Blobs: w.blobs, Sealer: sealer, Now: w.Clock.Now, Log: slog.New(slog.DiscardHandler),
		DomainName: func(store.Tx, id.ID) (string, error) { return "awan", nil }, Outward: outside}
	w.Door.Own = s.Own
	s.Serve(w.Door)
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	w.me = &bucket.Caller{Principal: w.Root}
	return w
}

func (w *world) bucket(name string, spec bucket.BucketSpec) {
	w.t.Helper()
	if _, err := w.Create(context.Background(), w.me, name, spec, "", nil); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) put(name, key, body string) *bucket.Object {
	w.t.Helper()
	o, err := w.Put(context.Background(), w.me, &bucket.PutInput{Bucket: name, Key: key, Body: strings.NewReader(body), Size: int64(len(body))})
	if err != nil {
		w.t.Fatal(err)
	}
	return o
}

func (w *world) get(in bucket.GetInput) (string, error) {
	c, err := w.Get(context.Background(), w.me, &in)
	if err != nil {
		return "", err
	}
	defer func() { _ = c.Body.Close() }()
	b, err := io.ReadAll(c.Body)
	return string(b), err
}

func code(err error) string {
	if err == nil {
		return ""
	}
	if c := bucket.CodeOf(err); c != "" {
		return c
	}
	return string(fail.KindOf(err))
}

// TestVersions tells what becomes of an object as it is written, overwritten and deleted, in each state of versioning.
func TestVersions(t *testing.T) {
	w, ctx := start(t), t.Context()
	w.bucket("photos", bucket.BucketSpec{})
	w.put("photos", "cat", "v0")
	setVersioning := func(v string) {
		t.Helper()
		if err := w.Change(ctx, w.me, "photos", "obs:bucket:PutBucketVersioning", func(r *bucket.Row) error { r.Spec.Versioning = v; return nil }); err != nil {
			t.Fatal(err)
		}
	}
	setVersioning("enabled")
	v1 := w.put("photos", "cat", "v1").Version
	v2 := w.put("photos", "cat", "v2").Version
	del, err := w.Delete(ctx, w.me, &bucket.DeleteInput{Bucket: "photos", Key: "cat"})
	if err != nil || !del.Marker || del.MarkerVersion == "" {
		t.Fatalf("%+v, %v", del, err)
	}
	expect := func(want string, versions ...string) {
		t.Helper()
		l, err := w.List(ctx, w.me, &bucket.ListInput{Bucket: "photos", Versions: true, Max: 100})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for i, o := range l.Objects {
			got = append(got, o.Version)
			if o.Latest != (i == 0) {
				t.Errorf("%s is latest: %v", o.Version, o.Latest)
			}
		}
		if !slices.Equal(got, versions) {
			t.Errorf("versions %v, want %v", got, versions)
		}
		body, err := w.get(bucket.GetInput{Bucket: "photos", Key: "cat"})
		if body != want || (want == "") != (code(err) == "NoSuchKey") {
			t.Errorf("current: %q, %v", body, err)
		}
	}
	expect("", del.MarkerVersion, v2, v1, "null")
	for version, want := range map[string]string{v1: "v1", v2: "v2", "null": "v0"} {
		if body, err := w.get(bucket.GetInput{Bucket: "photos", Key: "cat", Version: version}); body != want {
			t.Errorf("%s: %q, %v", version, body, err)
		}
	}
	if _, err := w.get(bucket.GetInput{Bucket: "photos", Key: "cat", Version: del.MarkerVersion}); code(err) != "MethodNotAllowed" {
		t.Errorf("the marker: %v", err)
	}
	drop := func(version string) {
		t.Helper()
		if _, err := w.Delete(ctx, w.me, &bucket.DeleteInput{Bucket: "photos", Key: "cat", Version: version}); err != nil {
			t.Fatal(err)
		}
	}
	drop(del.MarkerVersion) // brings the object back
	expect("v2", v2, v1, "null")
	drop(v2)
	expect("v1", v1, "null")
	setVersioning("suspended")
	w.put("photos", "cat", "v3") // takes the null version's place
	expect("v3", "null", v1)
	drop("null")
	expect("v1", v1)
	if err := w.DeleteBucket(ctx, w.me, "photos"); code(err) != "BucketNotEmpty" {
		t.Errorf("delete: %v", err)
	}
	drop(v1)
	if err := w.DeleteBucket(ctx, w.me, "photos"); err != nil {
		t.Error(err)
	}
	w.nothingLeft()
}

// nothingLeft checks that an emptied cloud holds no bytes and no keys of objects.
func (w *world) nothingLeft() {
	w.t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		left := 0
		for range w.blobs.List(context.Background()) {
			left++
		}
		var keys []string
		_ = w.Kernel.Store.View(context.Background(), func(tx store.Tx) error {
			for k := range tx.Scan("bucket/", "") {
				if k != "bucket/lock-clock" && k != "bucket/scrub" {
					keys = append(keys, k)
				}
			}
			return nil
		})
		if left == 0 && len(keys) == 0 {
			return
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("%d blobs and %q are left", left, keys)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// TestRanges reads every kind of range over block and part borders, against the bytes that were written.
func TestRanges(t *testing.T) {
	w, ctx := start(t), t.Context()
	w.bucket("data", bucket.BucketSpec{})
	content := make([]byte, 300<<10+7)
	for i := range content {
		content[i] = byte(rand.Uint32())
	}
	w.put("data", "one", string(content))
	up, err := w.Begin(ctx, w.me, &bucket.UploadInput{PutInput: bucket.PutInput{Bucket: "data", Key: "many"}, Algorithm: "crc32c"})
	if err != nil {
		t.Fatal(err)
	}
	large := bytes.Repeat(content, 40)
	var parts []bucket.Part
	for i, cut := 0, bucket.MinPart+1; i*cut < len(large); i++ {
		body := large[i*cut : min(len(large), (i+1)*cut)]
		p, err := w.PutPart(ctx, w.me, &bucket.PartInput{Bucket: "data", Key: "many", Upload: up.ID, Number: i*3 + 1, Body: bytes.NewReader(body), Size: int64(len(body))})
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, *p)
	}
	o, err := w.Complete(ctx, w.me, &bucket.CompleteInput{Bucket: "data", Key: "many", Upload: up.ID, Parts: parts, Size: -1})
	if err != nil || o.Size != int64(len(large)) || !strings.HasSuffix(o.ETag, fmt.Sprintf("-%d", len(parts))) {
		t.Fatalf("%+v, %v", o, err)
	}
	if again, err := w.Complete(ctx, w.me, &bucket.CompleteInput{Bucket: "data", Key: "many", Upload: up.ID, Parts: parts, Size: -1}); err != nil || again.ETag != o.ETag {
		t.Errorf("completed again: %+v, %v", again, err)
	}
	whole, err := w.Put(ctx, w.me, &bucket.PutInput{Bucket: "data", Key: "whole", Body: bytes.NewReader(large), Size: -1, Compute: "crc32c"})
	if err != nil || whole.Sums["crc32c"] != o.Sums["crc32c"] {
		t.Errorf("the checksum over the parts is %v, of the whole %v, %v", o.Sums, whole.Sums, err)
	}
	for key, want := range map[string][]byte{"one": content, "many": large} {
		n := int64(len(want))
		for _, r := range []bucket.Range{{0, 0}, {0, -1}, {1, 1}, {65535, 65536}, {65536, 65536}, {131071, 200000}, {n - 1, n + 10}, {-5, 0}, {-n - 9, 0}, {5<<20 - 3, 5<<20 + 3}} {
			from, to := r.From, r.To
			if from < 0 {
				from, to = max(0, n+from), n-1
			} else if to < 0 || to >= n {
				to = n - 1
			}
			got, err := w.get(bucket.GetInput{Bucket: "data", Key: key, Range: &r})
			if from > to {
				if code(err) != "InvalidRange" {
					t.Errorf("%s %v: %v", key, r, err)
				}
				continue
			}
			if err != nil || got != string(want[from:to+1]) {
				t.Errorf("%s %v: %d bytes, %v", key, r, len(got), err)
			}
		}
	}
	for n, p := range parts {
		c, err := w.Get(ctx, w.me, &bucket.GetInput{Bucket: "data", Key: "many", Part: n + 1, Head: true})
		if err != nil || c.Count != p.Size || c.PartCount != len(parts) {
			t.Errorf("part %d: %+v, %v", n+1, c, err)
		}
	}
}

// TestWhatAClientSendsIsChecked: checksums and sizes that do not fit leave nothing behind.
func TestWhatAClientSendsIsChecked(t *testing.T) {
	w, ctx := start(t), t.Context()
	w.bucket("data", bucket.BucketSpec{})
	sum := md5.Sum([]byte("hello"))
	wrong := md5.Sum([]byte("hullo"))
	for name, tc := range map[string]struct {
		in   bucket.PutInput
		want string
	}{
		"right MD5":      {bucket.PutInput{Size: 5, Sums: []bucket.Sum{{Kind: "md5", Value: sum[:]}}}, ""},
		"wrong MD5":      {bucket.PutInput{Size: 5, Sums: []bucket.Sum{{Kind: "md5", Value: wrong[:]}}}, "BadDigest"},
		"wrong trailer":  {bucket.PutInput{Size: 5, Compute: "crc32", Trailer: func() []bucket.Sum { return []bucket.Sum{{Kind: "crc32", Value: []byte("nope")}} }}, "BadDigest"},
		"too short":      {bucket.PutInput{Size: 6}, "IncompleteBody"},
		"broken off":     {bucket.PutInput{Size: -1, Body: io.MultiReader(strings.NewReader("hel"), iotest.ErrReader(io.ErrUnexpectedEOF))}, "IncompleteBody"},
		"there already":  {bucket.PutInput{Size: 5, If: bucket.Conditions{IfNoneMatch: []string{"*"}}}, "PreconditionFailed"},
		"another there":  {bucket.PutInput{Size: 5, If: bucket.Conditions{IfMatch: []string{"other"}}}, "PreconditionFailed"},
		"unknown KMS":    {bucket.PutInput{Size: 5, Protect: bucket.Protect{Algorithm: "kms", Key: "mine"}}, "KMS.NotFoundException"},
		"lock, no locks": {bucket.PutInput{Size: 5, Hold: true}, "InvalidRequest"},
		"a zero byte":    {bucket.PutInput{Size: 5, Key: "a\x00b"}, "InvalidURI"},
		"a long name":    {bucket.PutInput{Size: 5, Key: strings.Repeat("k", 1025)}, "KeyTooLongError"},
		"no bucket":      {bucket.PutInput{Size: 5, Bucket: "other"}, "NoSuchBucket"},
	} {
		in := tc.in
		if in.Body == nil {
			in.Body = strings.NewReader("hello")
		}
		if in.Key == "" {
			in.Key = "greeting"
		}
		if in.Bucket == "" {
			in.Bucket = "data"
		}
		if name != "right MD5" {
			w.put("data", "greeting", "hello")
		}
		o, err := w.Put(ctx, w.me, &in)
		if code(err) != tc.want {
			t.Errorf("%s: %v, want %q", name, err, tc.want)
		}
		if tc.want == "" && o.ETag != hex.EncodeToString(sum[:]) {
			t.Errorf("ETag %s", o.ETag)
		}
	}
	if body, err := w.get(bucket.GetInput{Bucket: "data", Key: "greeting"}); body != "hello" {
		t.Errorf("%q, %v", body, err)
	}
}

// TestTheBytesThatLieThereAreNotTheContent: what an engine holds is encrypted, also with a key of the customer's.
func TestTheBytesThatLieThereAreNotTheContent(t *testing.T) {
	w, ctx := start(t), t.Context()
	w.bucket("vault", bucket.BucketSpec{})
	secretText := strings.Repeat("attack at dawn ", 20000)
	key, other := bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2}, 32)
	w.put("vault", "plain", secretText)
	if _, err := w.Put(ctx, w.me, &bucket.PutInput{Bucket: "vault", Key: "mine", Body: strings.NewReader(secretText), Size: int64(len(secretText)),
		Protect: bucket.Protect{Algorithm: "customer", Customer: key}}); err != nil {
		t.Fatal(err)
	}
	for info, err := range w.blobs.List(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		r, err := w.blobs.Open(ctx, info.Ref)
		if err != nil {
			t.Fatal(err)
		}
		raw := make([]byte, r.Size())
		_, _ = r.ReadAt(raw, 0)
		if bytes.Contains(raw, []byte("dawn")) {
			t.Error("the content lies open")
		}
		_ = r.Close()
	}
	for name, tc := range map[string]struct {
		customer []byte
		want     string
	}{"right": {key, ""}, "wrong": {other, "AccessDenied"}, "none": {nil, "InvalidRequest"}} {
		body, err := w.get(bucket.GetInput{Bucket: "vault", Key: "mine", Customer: tc.customer})
		if code(err) != tc.want || tc.want == "" && body != secretText {
			t.Errorf("%s key: %v", name, err)
		}
	}
}

// TestLocks: as root of the cloud, nothing that is locked goes, whatever is tried.
func TestLocks(t *testing.T) {
	w, ctx := start(t), t.Context()
	w.bucket("ledger", bucket.BucketSpec{ObjectLock: true, Retention: bucket.Retention{Mode: "compliance", Days: 30}})
	v := w.put("ledger", "book", "2026").Version
	lock := func(l bucket.Lock, bypass bool) error {
		_, err := w.Edit(ctx, w.me, &bucket.EditInput{Bucket: "ledger", Key: "book", Version: v, Lock: &l, Bypass: bypass})
		return err
	}
	soon := w.Clock.Now().Add(time.Hour)
	for name, try := range map[string]func() error{
		"delete the version": func() error {
			_, err := w.Delete(ctx, w.me, &bucket.DeleteInput{Bucket: "ledger", Key: "book", Version: v, Bypass: true})
			return err
		},
		"delete many": func() error {
			out, err := w.DeleteMany(ctx, w.me, "ledger", []bucket.DeleteInput{{Key: "book", Version: v, Bypass: true}})
			if err != nil {
				return err
			}
			return out[0].Err
		},
		"shorten": func() error { return lock(bucket.Lock{Mode: "compliance", Until: soon}, true) },
		"weaken": func() error {
			return lock(bucket.Lock{Mode: "governance", Until: w.Clock.Now().AddDate(1, 0, 0)}, true)
		},
		"take away":     func() error { return lock(bucket.Lock{}, true) },
		"rename":        func() error { return w.Rename(ctx, w.me, "ledger", "book", "other") },
		"delete bucket": func() error { return w.DeleteBucket(ctx, w.me, "ledger") },
		"suspend": func() error {
			return w.Change(ctx, w.me, "ledger", "", func(r *bucket.Row) error { r.Spec.Versioning = "suspended"; return nil })
		},
		"switch off lock": func() error {
			return w.Change(ctx, w.me, "ledger", "", func(r *bucket.Row) error { r.Spec.ObjectLock = false; return nil })
		},
		"purge by the native way": func() error {
			_, err := w.Door.Do(ctx, &call.Call{Kind: w.Rows.D, Verb: call.Delete, Target: "ledger", Purge: true, Principal: w.Root})
			return err
		},
	} {
		if err := try(); err == nil {
			t.Errorf("%s: it was done", name)
		}
	}
	if err := lock(bucket.Lock{Mode: "compliance", Until: w.Clock.Now().AddDate(1, 0, 0)}, false); err != nil {
		t.Errorf("longer: %v", err)
	}
	w.Clock.Add(20 * 365 * 24 * time.Hour) // somebody sets the machine's clock
	if _, err := w.Delete(ctx, w.me, &bucket.DeleteInput{Bucket: "ledger", Key: "book", Version: v, Bypass: true}); code(err) != "AccessDenied" {
		t.Errorf("with the clock set forward: %v", err)
	}
	if body, err := w.get(bucket.GetInput{Bucket: "ledger", Key: "book", Version: v}); body != "2026" {
		t.Errorf("%q, %v", body, err)
	}
	// A governance lock gives way to those who may bypass it and say so; a hold to nobody, until it is taken away.
	o, err := w.Put(ctx, w.me, &bucket.PutInput{Bucket: "ledger", Key: "draft", Body: strings.NewReader("x"), Size: 1, Lock: bucket.Lock{Mode: "governance", Until: w.Clock.Now().Add(time.Hour)}, Hold: true})
	if err != nil {
		t.Fatal(err)
	}
	in := &bucket.DeleteInput{Bucket: "ledger", Key: "draft", Version: o.Version, Bypass: true}
	if _, err := w.Delete(ctx, w.me, in); code(err) != "AccessDenied" {
		t.Errorf("held: %v", err)
	}
	off := false
	if _, err := w.Edit(ctx, w.me, &bucket.EditInput{Bucket: "ledger", Key: "draft", Version: o.Version, Hold: &off}); err != nil {
		t.Fatal(err)
	}
	in.Bypass = false
	if _, err := w.Delete(ctx, w.me, in); code(err) != "AccessDenied" {
		t.Errorf("without bypass: %v", err)
	}
	in.Bypass = true
	if _, err := w.Delete(ctx, w.me, in); err != nil {
		t.Errorf("bypassed: %v", err)
	}
}

// TestPages lists a bucket with folders page by page, against what a list in memory says.
func TestPages(t *testing.T) {
	w, ctx := start(t), t.Context()
	w.bucket("tree", bucket.BucketSpec{Versioning: "enabled"})
	var keys []string
	for _, k := range []string{"a", "a/", "a/b", "a/b/c", "a0", "b/1", "b/2", "b/3/4", "c", "ü/x", "ü/y", "z"} {
		w.put("tree", k, k)
		w.put("tree", k, k+"2")
		keys = append(keys, k)
	}
	for _, tc := range []struct{ prefix, delimiter string }{{"", ""}, {"", "/"}, {"a", "/"}, {"a/", "/"}, {"b/", "/"}, {"ü", "/"}, {"nothing", "/"}, {"", "b"}} {
		var want []string
		for _, k := range keys {
			if !strings.HasPrefix(k, tc.prefix) {
				continue
			}
			if i := strings.Index(k[len(tc.prefix):], tc.delimiter); tc.delimiter != "" && i >= 0 {
				k = k[:len(tc.prefix)+i+len(tc.delimiter)] + "*"
				if slices.Contains(want, k) {
					continue
				}
			}
			want = append(want, k)
		}
		for _, size := range []int{1, 2, 3, 100} {
			for _, versions := range []bool{false, true} {
				var got []string
				in := &bucket.ListInput{Bucket: "tree", Prefix: tc.prefix, Delimiter: tc.delimiter, Max: size, Versions: versions}
				for pages := 0; ; pages++ {
					l, err := w.List(ctx, w.me, in)
					if err != nil || pages > 50 {
						t.Fatal(err, pages)
					}
					var page []string
					for _, o := range l.Objects {
						page = append(page, o.Key)
					}
					for _, p := range l.Prefixes {
						page = append(page, p+"*")
					}
					if len(page) > size {
						t.Errorf("a page of %d", len(page))
					}
					got = append(got, page...)
					if !l.Truncated {
						break
					}
					in.After, in.AfterVersion = l.Next, l.NextVersion
				}
				expect := slices.Clone(want)
				if versions {
					for _, k := range want {
						if !strings.HasSuffix(k, "*") {
							expect = append(expect, k)
						}
					}
				}
				slices.Sort(got)
				slices.Sort(expect)
				if !slices.Equal(got, expect) {
					t.Errorf("%+v by %d, versions %v:\n got %q\nwant %q", tc, size, versions, got, expect)
				}
			}
		}
	}
}

func ptr[T any](v T) *T { return &v }
