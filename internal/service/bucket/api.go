package bucket

import "context"

// API is what dialects use of buckets and objects. Every method asks the one door whether the caller may, and records
// what it has to. CodeOf gives the word that S3 has for an error (NoSuchKey).
//
// The settings of a bucket are its row's spec: Bucket reads and Change edits them, for a caller that may do the action
// that OBS has for it ("obs:bucket:PutBucketVersioning").
type API interface {
	// Bucket finds a bucket for a caller that may do action ("obs:bucket:HeadBucket"); no action: whoever.
	Bucket(ctx context.Context, c *Caller, name, action string) (*Row, error)
	Create(ctx context.Context, c *Caller, name string, spec BucketSpec, canned string, enterprise *string) (*Row, error)
	// Change edits the spec (and tags) for a caller that may do action.
	Change(ctx context.Context, c *Caller, name, action string, edit func(*Row) error) error
	DeleteBucket(ctx context.Context, c *Caller, name string) error
	Buckets(ctx context.Context, c *Caller) ([]*Row, error) // of the caller's domain, that it may list
	Usage(ctx context.Context, c *Caller, name string) (Usage, error)

	Put(ctx context.Context, c *Caller, in *PutInput) (*Object, error)
	Get(ctx context.Context, c *Caller, in *GetInput) (*Content, error)
	Delete(ctx context.Context, c *Caller, in *DeleteInput) (Deleted, error)
	DeleteMany(ctx context.Context, c *Caller, bucket string, in []DeleteInput) ([]Deleted, error)
	Copy(ctx context.Context, c *Caller, in *CopyInput) (*Object, error)
	Rename(ctx context.Context, c *Caller, bucket, from, to string) error
	Truncate(ctx context.Context, c *Caller, bucket, key string, size int64) error
	List(ctx context.Context, c *Caller, in *ListInput) (*Listing, error)

	// Edit changes what may change of a stored version (tags, ACL, attributes, lock, hold, class, restore).
	Edit(ctx context.Context, c *Caller, in *EditInput) (*Object, error)

	Begin(ctx context.Context, c *Caller, in *UploadInput) (*Upload, error)
	PutPart(ctx context.Context, c *Caller, in *PartInput) (*Part, error)
	Complete(ctx context.Context, c *Caller, in *CompleteInput) (*Object, error)
	Abort(ctx context.Context, c *Caller, bucket, key, upload string) error
	Parts(ctx context.Context, c *Caller, bucket, key, upload string, after, max int) (*Upload, []Part, bool, error)
	Uploads(ctx context.Context, c *Caller, in *ListInput) ([]Upload, []string, bool, error) // After: key, AfterVersion: upload id

	// Callback asks the server that an upload named, once its object is stored.
	Callback(ctx context.Context, cb *Callback, o *Object) (*Answer, error)
	// BeginFetch has an object fetched behind the request; it gives the job, and how many wait before it.
	BeginFetch(ctx context.Context, c *Caller, bucket string, j FetchJob) (*FetchJob, int, error)
	FetchJob(ctx context.Context, c *Caller, bucket, job string) (*FetchJob, error)

	// ByDomain gives the bucket behind a name of its owner's; "" when there is none.
	ByDomain(ctx context.Context, host string) (string, error)
}

var _ API = (*Service)(nil)

// EditInput changes a stored version; nil fields stay.
type EditInput struct {
	Bucket, Key, Version string
	Tags                 *map[string]string
	ACL                  *ACL
	Canned               string
	Attributes           *Attributes
	Class                string
	Lock                 *Lock
	Bypass               bool // of a governance lock
	Hold                 *bool
	RestoreDays          int
}
