package s3_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/awancloud/awan/internal/engine/object/s3"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/service/object"
	"github.com/awancloud/awan/internal/service/object/objecttest"
)

// store is where tests write: what AWAN_S3_ENDPOINT, _BUCKET, _ACCESS_KEY and _SECRET_KEY say, or a server in this process.
func store(t testing.TB) s3.Options {
	t.Helper()
	prefix := "test-" + strings.ToLower(rand.Text()) + "/"
	if endpoint := os.Getenv("AWAN_S3_ENDPOINT"); endpoint != "" {
		return s3.Options{Endpoint: endpoint, Bucket: os.Getenv("AWAN_S3_BUCKET"), Prefix: prefix, Region: os.Getenv("AWAN_S3_REGION"),
			AccessKey: os.Getenv("AWAN_S3_ACCESS_KEY"), SecretKey: os.Getenv("AWAN_S3_SECRET_KEY")}
	}
	fake := gofakes3.New(s3mem.New(), gofakes3.WithAutoBucket(true), gofakes3.WithLogger(gofakes3.DiscardLog()))
	server := httptest.NewServer(fake.Server())
	t.Cleanup(server.Close)
	opts := s3.Options{Endpoint: server.URL, Bucket: "blobs", Prefix: prefix, Region: "us-east-1", AccessKey: "key", SecretKey: "secret"}
	if err := client(t, opts).MakeBucket(context.Background(), opts.Bucket, minio.MakeBucketOptions{}); err != nil {
		t.Fatal(err)
	}
	return opts
}

func client(t testing.TB, opts s3.Options) *minio.Client {
	t.Helper()
	scheme, host, _ := strings.Cut(opts.Endpoint, "://")
	c, err := minio.New(host, &minio.Options{Creds: credentials.NewStaticV4(opts.AccessKey, opts.SecretKey, ""), Region: opts.Region,
		BucketLookup: minio.BucketLookupPath, Secure: scheme == "https"})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func open(t testing.TB, opts s3.Options) *s3.Engine {
	t.Helper()
	opts.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
	e, err := s3.Open(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestBlobs(t *testing.T) {
	objecttest.Suite{
		Open:      func(t testing.TB) object.Blobs { return open(t, store(t)) },
		InMemory:  os.Getenv("AWAN_S3_ENDPOINT") == "", // the server's memory is this process's
		LargeSize: 12<<20 + 12345,                      // three parts
	}.Run(t)
}

func put(t *testing.T, e *s3.Engine, size int) (object.Ref, []byte) {
	t.Helper()
	c := objecttest.Content(1, size)
	ref, err := objecttest.Put(t.Context(), e, c, -1, 100_000)
	if err != nil {
		t.Fatal(err)
	}
	return ref, c
}

// TestDamage changes objects in the store: bits, ends, and whose they are.
func TestDamage(t *testing.T) {
	opts := store(t)
	e := open(t, opts)
	c := client(t, opts)
	ref, content := put(t, e, 3*object.Block+100)
	other, _ := put(t, e, 3*object.Block+100)
	key := func(ref object.Ref) string { return opts.Prefix + string(ref[:32]) }
	read := func(ref object.Ref) []byte {
		o, err := c.GetObject(t.Context(), opts.Bucket, key(ref), minio.GetObjectOptions{})
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(o)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	right := read(ref)
	write := func(b []byte) {
		if _, err := c.PutObject(t.Context(), opts.Bucket, key(ref), strings.NewReader(string(b)), int64(len(b)), minio.PutObjectOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	for name, wrong := range map[string][]byte{
		"a bit":       append(append(append([]byte{}, right[:70000]...), right[70000]^4), right[70001:]...),
		"cut":         right[:len(right)-1],
		"cut a block": right[:2*(object.Block+4)],
		"longer":      append(right[:len(right):len(right)], 0),
		"another's":   read(other),
	} {
		write(wrong)
		got, err := objecttest.Get(t.Context(), e, ref)
		if !fail.Is(err, fail.DataLoss) {
			t.Errorf("%s: read %d bytes, %v", name, len(got), err)
		}
		if _, err := e.Verify(t.Context(), ref); !fail.Is(err, fail.DataLoss) {
			t.Errorf("%s: verify: %v", name, err)
		}
	}
	write(right)
	if got, err := objecttest.Get(t.Context(), e, ref); err != nil || string(got) != string(content) {
		t.Errorf("put right again: %d bytes, %v", len(got), err)
	}
	write(append(append(append([]byte{}, right[:70000]...), right[70000]^4), right[70001:]...))
	r, err := e.Open(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	p := make([]byte, 100)
	if _, err := r.ReadAt(p, 10); err != nil || string(p) != string(content[10:110]) {
		t.Errorf("the block before the damage: %v", err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
}

// TestLeftovers leaves no upload behind: neither by Abort, nor for good by a process that died.
func TestLeftovers(t *testing.T) {
	opts := store(t)
	e := open(t, opts)
	uploads := func() (n int) {
		for u := range client(t, opts).ListIncompleteUploads(t.Context(), opts.Bucket, opts.Prefix, true) {
			if u.Err != nil {
				t.Fatal(u.Err)
			}
			n++
		}
		return n
	}
	begin := func() object.Writer {
		w, err := e.Create(t.Context(), -1)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(objecttest.Content(1, 7<<20)); err != nil {
			t.Fatal(err)
		}
		return w
	}
	w := begin()
	if n := uploads(); n != 1 {
		t.Fatalf("%d uploads after a part, want 1", n)
	}
	w.Abort()
	if n := uploads(); n != 0 {
		t.Errorf("%d uploads after the abort", n)
	}
	_ = begin() // and the process dies
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	e = open(t, opts)
	if n := uploads(); n != 1 {
		t.Errorf("%d uploads: a start shortly afterwards leaves what another may be writing", n)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	opts.Stale = time.Nanosecond
	time.Sleep(1100 * time.Millisecond) // the store tells whole seconds
	e = open(t, opts)
	for deadline := time.Now().Add(10 * time.Second); uploads() != 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the upload of the dead process stays")
		}
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestOpen says what is wrong with the options, and with the store.
func TestOpen(t *testing.T) {
	good := store(t)
	failing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		_, _ = fmt.Fprint(w, `<Error><Code>AccessDenied</Code><Message>no</Message></Error>`)
	}))
	t.Cleanup(failing.Close)
	for name, c := range map[string]struct {
		change func(*s3.Options)
		kind   fail.Kind
	}{
		"no scheme": {func(o *s3.Options) { o.Endpoint = "s3.example.org" }, fail.Invalid},
		"a path":    {func(o *s3.Options) { o.Endpoint += "/path" }, fail.Invalid},
		"no bucket": {func(o *s3.Options) { o.Bucket = "" }, fail.Invalid},
		"bad CA":    {func(o *s3.Options) { o.CA = []byte("nothing") }, fail.Invalid},
		"denied":    {func(o *s3.Options) { o.Endpoint = failing.URL }, fail.Unavailable},
	} {
		opts := good
		c.change(&opts)
		if _, err := s3.Open(t.Context(), opts); !fail.Is(err, c.kind) {
			t.Errorf("%s: %v, want %s", name, err, c.kind)
		}
	}
	if os.Getenv("AWAN_S3_ENDPOINT") != "" {
		good.Bucket = "awan-absent-" + strings.ToLower(rand.Text())
		if _, err := s3.Open(t.Context(), good); !fail.Is(err, fail.Precondition) {
			t.Errorf("an absent bucket: %v", err)
		}
	}
}

// TestFullStore turns the store's answers into ours.
func TestFullStore(t *testing.T) {
	full := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			w.WriteHeader(http.StatusInsufficientStorage)
			_, _ = fmt.Fprint(w, `<Error><Code>XMinioStorageFull</Code><Message>full</Message></Error>`)
		}
	}))
	t.Cleanup(full.Close)
	e := open(t, s3.Options{Endpoint: full.URL, Bucket: "blobs", Region: "us-east-1", AccessKey: "k", SecretKey: "s"})
	if _, err := objecttest.Put(t.Context(), e, []byte("x"), 1, 1); !fail.Is(err, fail.NoSpace) {
		t.Errorf("a full store: %v", err)
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
}
