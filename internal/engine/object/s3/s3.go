// Package s3 keeps blobs in any S3 store: an object each, with a CRC32C of our own behind every object.Block, so that bytes
// that changed there are found. The format is in docs/object-engines.md.
//
// It may import kernel/fail and service/object.
package s3

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/store/gate"
	"github.com/awancloud/awan/internal/service/object"
)

// Options say which store. Everything under the prefix belongs to this engine.
type Options struct {
	Endpoint    string // https://s3.example.org
	Bucket      string // must exist
	Prefix      string // of the objects' keys: "blobs/"
	AccessKey   string
	SecretKey   string
	Region      string        // empty: asked of the store
	CA          []byte        // PEM of authorities to trust beside the system's
	VirtualHost bool          // the bucket is part of the host's name, not of the path
	Owner       string        // refused when the prefix is another's already; empty: not looked at
	Stale       time.Duration // uploads that began so long before the start are aborted then; 0: a day
	Log         *slog.Logger
}

// Engine is object.Blobs in an S3 store.
type Engine struct {
	opts   Options
	core   minio.Core
	log    *slog.Logger
	idle   *http.Transport
	stop   context.CancelFunc
	ending context.Context
	tasks  sync.WaitGroup

	gate gate.Gate // holds each operation that Close must wait for

	mu      sync.Mutex
	readers map[string]int // open readers, by key
	doomed  map[string]object.Ref
	counted bool
	blobs   int64
	live    int64
}

var _ object.Blobs = (*Engine)(nil)

// own marks the prefix as this owner's. Two that shared one would take each other's blobs for forgotten ones.
func (e *Engine) own(ctx context.Context) error {
	if e.opts.Owner == "" {
		return nil
	}
	key := e.opts.Prefix + "owner"
	body, _, _, err := e.core.GetObject(ctx, e.opts.Bucket, key, minio.GetObjectOptions{})
	if err == nil {
		b, err := io.ReadAll(io.LimitReader(body, 1<<10))
		_ = body.Close()
		if err != nil {
			return refuse(err, "reading "+key)
		}
		if string(b) != e.opts.Owner {
			return fail.New(fail.Precondition, "another cloud keeps its objects in %s/%s/%s", e.opts.Endpoint, e.opts.Bucket, e.opts.Prefix).Then("name another prefix")
		}
		return nil
	}
	if err = refuse(err, "reading "+key); !fail.Is(err, fail.NotFound) {
		return err
	}
	put := minio.PutObjectOptions{DisableContentSha256: true, DisableMultipart: true}
	put.SetMatchETagExcept("*") // of two that begin at once, one is first
	_, err = e.core.Client.PutObject(ctx, e.opts.Bucket, key, strings.NewReader(e.opts.Owner), int64(len(e.opts.Owner)), put)
	return refuse(err, "writing "+key)
}

// Open makes sure that the bucket is there, and begins to abort uploads that an earlier process left.
func Open(ctx context.Context, opts Options) (*Engine, error) {
	u, err := url.Parse(opts.Endpoint)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || strings.Trim(u.Path, "/") != "" {
		return nil, fail.Field("endpoint", "%q is not an address like https://s3.example.org", opts.Endpoint)
	}
	if opts.Bucket == "" {
		return nil, fail.Field("bucket", "a bucket is needed")
	}
	if opts.Stale <= 0 {
		opts.Stale = 24 * time.Hour
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	transport, err := transportFor(opts)
	if err != nil {
		return nil, err
	}
	lookup := minio.BucketLookupPath
	if opts.VirtualHost {
		lookup = minio.BucketLookupDNS
	}
	core, err := minio.NewCore(u.Host, &minio.Options{
		Creds: credentials.NewStaticV4(opts.AccessKey, opts.SecretKey, ""), Secure: u.Scheme == "https",
		Region: opts.Region, BucketLookup: lookup, Transport: transport, MaxRetries: 4,
	})
	if err != nil {
		return nil, fail.Wrap(err, fail.Invalid, "the S3 store cannot be used so")
	}
	e := &Engine{gate: gate.Gate{What: "the object engine"}, opts: opts, core: *core, log: opts.Log, idle: transport, readers: map[string]int{}, doomed: map[string]object.Ref{}}
	there, err := core.BucketExists(ctx, opts.Bucket)
	if err != nil {
		return nil, refuse(err, "asking for the bucket "+opts.Bucket)
	}
	if !there {
		return nil, fail.New(fail.Precondition, "the S3 store has no bucket %q", opts.Bucket).Then("create it there, or name another")
	}
	if err := e.own(ctx); err != nil {
		return nil, err
	}
	e.ending, e.stop = context.WithCancel(context.Background())
	e.tasks.Go(func() { e.sweep(e.ending, time.Now().Add(-opts.Stale)) })
	return e, nil
}

func transportFor(opts Options) (*http.Transport, error) {
	t := &http.Transport{
		Proxy: http.ProxyFromEnvironment, DialContext: (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		MaxIdleConnsPerHost: 64, IdleConnTimeout: 90 * time.Second, TLSHandshakeTimeout: 10 * time.Second, ResponseHeaderTimeout: time.Minute,
		DisableCompression: true, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12},
	}
	if len(opts.CA) > 0 {
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool()
		}
		if !pool.AppendCertsFromPEM(opts.CA) {
			return nil, fail.Field("ca", "no certificate in PEM form was found")
		}
		t.TLSClientConfig.RootCAs = pool
	}
	return t, nil
}

// refuse says in the product's terms what the store said.
func refuse(err error, doing string) error {
	var known *fail.Error
	if err == nil || errors.As(err, &known) {
		return err
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return fail.From(err)
	}
	e := minio.ToErrorResponse(err)
	switch {
	case e.Code == minio.NoSuchKey || e.StatusCode == http.StatusNotFound && e.Code != minio.NoSuchBucket && e.Code != "NoSuchUpload":
		return fail.New(fail.NotFound, "no such blob").Because(err)
	case e.StatusCode == http.StatusInsufficientStorage, e.Code == "QuotaExceeded", e.Code == "XMinioStorageFull", e.Code == "XMinioAdminBucketQuotaExceeded":
		return fail.New(fail.NoSpace, "the S3 store of the objects is full").Then("delete objects, or give it more room").Because(err)
	}
	return fail.New(fail.Unavailable, "the S3 store of the objects failed while %s", doing).
		Then("the operator finds the reason in the log").Because(err)
}

// Close waits for what is being written.
func (e *Engine) Close() error {
	if e.gate.Close() {
		e.stop()
		e.tasks.Wait()
		e.idle.CloseIdleConnections()
	}
	return nil
}

// sweep aborts uploads that nobody will complete: their parts cost space, and no listing of objects shows them.
func (e *Engine) sweep(ctx context.Context, before time.Time) {
	for u := range e.core.ListIncompleteUploads(ctx, e.opts.Bucket, e.opts.Prefix, true) {
		if u.Err != nil {
			if ctx.Err() == nil && minio.ToErrorResponse(u.Err).Code != "NoSuchUpload" { // some stores mean "none" by it
				e.log.Warn("the S3 store does not list its unfinished uploads", "cause", u.Err)
			}
			continue
		}
		if u.Initiated.After(before) || !strings.HasPrefix(u.Key, e.opts.Prefix) {
			continue
		}
		if err := e.core.AbortMultipartUpload(ctx, e.opts.Bucket, u.Key, u.UploadID); err != nil && ctx.Err() == nil {
			e.log.Warn("an unfinished upload could not be aborted", "key", u.Key, "cause", err)
		}
	}
}
