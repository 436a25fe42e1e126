package bucket

import (
	"io"
	"time"

	"github.com/awancloud/awan/internal/kernel/ident"
)

// Caller is who asks, and how the request came.
type Caller struct {
	Principal ident.Principal // nobody: anonymous
	Source    string          // address
	Agent     string
	Dialect   string
	RequestID string
	Project   string              // id or name, for what is not about one bucket; "" = the credential's own
	Facts     map[string][]string // more for conditions: "SecureTransport", "Referer", "prefix", "max-keys" …
}

// Storage classes.
const (
	Standard    = "standard"
	Warm        = "warm"
	Cold        = "cold"
	Deep        = "deep"
	Intelligent = "intelligent"
)

// Lock is a version's retention.
type Lock struct {
	Mode  string    `json:"m,omitempty"` // "governance", "compliance", "" = none
	Until time.Time `json:"u,omitzero"`
}

// Attributes are what the uploader says of an object; a copy may take or replace them.
type Attributes struct {
	ContentType        string            `json:"ct,omitempty"`
	ContentEncoding    string            `json:"ce,omitempty"`
	ContentDisposition string            `json:"cd,omitempty"`
	ContentLanguage    string            `json:"cl,omitempty"`
	CacheControl       string            `json:"cc,omitempty"`
	Expires            string            `json:"ex,omitempty"`
	Redirect           string            `json:"wr,omitempty"` // website redirect location
	User               map[string]string `json:"um,omitempty"` // user metadata, names in lower case without any prefix
}

// Protect says how to encrypt. The zero value: as the bucket says.
type Protect struct {
	Algorithm string // "AES256", "kms", "customer"
	Key       string // kms: key id
	Context   string // kms: encryption context, kept as sent
	Customer  []byte // customer: the 32 bytes
}

// Sum is a checksum. Kind is one of "md5", "crc32", "crc32c", "crc64nvme", "sha1", "sha256".
type Sum struct {
	Kind  string
	Value []byte
}

// Conditions of a request. ETags come without quotes; "*" stands for any.
type Conditions struct {
	IfMatch, IfNoneMatch               []string
	IfModifiedSince, IfUnmodifiedSince time.Time
	IfSize                             *int64 // deletes: only when it is this large
}

// Range is a byte range as asked: From <= To, both counted; From < 0: the last -From bytes; To < 0: to the end.
type Range struct{ From, To int64 }

// PutInput is an upload in one piece.
type PutInput struct {
	Bucket, Key string
	Body        io.Reader
	Size        int64 // -1: unknown
	Attributes
	Class   string
	Tags    map[string]string
	ACL     *ACL
	Canned  string // of an ACL: "private", "public-read" …
	Protect Protect
	Lock    Lock
	Hold    bool
	// Sums the content must have; what of them S3 stores is stored. Compute adds one that the client did not give.
	Sums    []Sum
	Compute string
	MD5     bool // the client compares the ETag with the content's MD5
	// Trailer gives sums that came behind the body; called once, after its end.
	Trailer func() []Sum
	If      Conditions
	// Append puts the content behind what is there, which must be At bytes long (0: the object is made).
	// Modify overwrites from At on, in buckets with FileSystem.
	Append, Modify bool
	At             int64
}

// Object is one version.
type Object struct {
	Bucket, Key string
	Version     string // "null" for one written without versioning
	Latest      bool
	Marker      bool // a delete marker: nothing of what follows but Modified and Owner is set
	Size        int64
	ETag        string // without quotes
	Modified    time.Time
	Attributes
	Class     string
	Tags      map[string]string
	ACL       ACL
	Owner     string // domain id
	OwnerName string
	Sums      map[string]string // kind to base64; of an upload in parts with "-N" behind a composite one
	Composite bool              // Sums are over the parts' sums
	Parts     []PartSize        // of an upload in parts
	Lock      Lock
	Hold      bool
	Protect   Protect // Customer is not kept; CustomerMD5 is
	// CustomerMD5 is the base64 MD5 of a customer's key.
	CustomerMD5 string
	Appendable  bool      // made by append
	Next        int64     // where the next append goes
	Replication string    // "PENDING", "COMPLETED", "FAILED", "REPLICA"
	Restored    time.Time // a cold object is readable until then
	Restoring   bool
	Expires     time.Time // by a lifecycle rule
	ExpiresBy   string    // its id
	Versioned   bool      // the bucket has versions: the version is told to clients
}

// PartSize is a part of a completed upload.
type PartSize struct {
	Size int64             `json:"s"`
	Sums map[string]string `json:"c,omitempty"`
}

// GetInput asks for an object.
type GetInput struct {
	Bucket, Key, Version string
	Head                 bool // no content is read
	Range                *Range
	Part                 int // 1 … : only this part
	If                   Conditions
	Customer             []byte // the customer's key
	As                   string // the action that is asked for: "" = GetObject
	fetched              bool   // what was not there was fetched by a mirror rule
}

// Content is an answer to GetInput. Close it.
type Content struct {
	Object
	Body        io.ReadCloser // nil with Head; its first bytes are read and verified already
	From, To    int64         // the bytes it gives, both counted, when Partial
	Partial     bool
	Count       int64 // bytes in Body
	NotModified bool  // If says that the client has it: no Body
	PartCount   int
}

// DeleteInput deletes an object or one version.
type DeleteInput struct {
	Bucket, Key, Version string
	Bypass               bool // of governance locks, by those who may
	If                   Conditions
}

// Deleted says what a delete did.
type Deleted struct {
	Key, Version  string // the version that went
	Marker        bool   // what went was, or what was made is, a delete marker
	MarkerVersion string // of the marker made
	Err           error  // of a delete of many
}

// CopyInput copies an object on the server.
type CopyInput struct {
	From   GetInput // with its conditions and customer key
	To     PutInput // Body is not used
	Attrs  bool     // To's attributes replace the source's
	NoTags bool     // To's tags replace the source's
}

// ListInput asks for a page of a bucket.
type ListInput struct {
	Bucket       string
	Prefix       string
	Delimiter    string
	After        string // names behind this one; a common prefix counts as a name
	AfterVersion string // with After: versions of that name behind this one
	Max          int    // objects and common prefixes together
	Versions     bool
	Owner        bool
}

// Listing is a page.
type Listing struct {
	Objects     []Object
	Prefixes    []string
	Truncated   bool
	Next        string // the After of the next page
	NextVersion string
}

// UploadInput begins an upload in parts; Body, Size and Sums of PutInput are not used.
type UploadInput struct {
	PutInput
	Algorithm string // of the checksums: a Sum's kind; "" none
	Composite bool   // over the parts' sums; else over the whole
}

// Upload is an upload in parts that is not completed.
type Upload struct {
	Bucket, Key, ID string
	Begun           time.Time
	Class           string
	Owner           string
	OwnerName       string
	Algorithm       string
	Composite       bool
	Protect         Protect
	CustomerMD5     string
}

// PartInput uploads a part; with From set it is copied instead.
type PartInput struct {
	Bucket, Key, Upload string
	Number              int
	Body                io.Reader
	Size                int64
	Sums                []Sum
	Trailer             func() []Sum
	MD5                 bool // the client compares the ETag with the content's MD5
	Customer            []byte
	From                *GetInput
}

// Part is a stored part.
type Part struct {
	Number   int
	Size     int64
	ETag     string
	Modified time.Time
	Sums     map[string]string

	Protect     Protect // of the upload; only when the part was just stored
	CustomerMD5 string
}

// CompleteInput ends an upload in parts.
type CompleteInput struct {
	Bucket, Key, Upload string
	Parts               []Part // number, ETag, and sums where the client gave them
	Sums                []Sum  // of the whole
	Size                int64  // -1: not said
	If                  Conditions
	Customer            []byte
}

// Usage is what a bucket holds (OBS storageinfo).
type Usage struct {
	Bytes, Objects                     int64
	StandardBytes, WarmBytes, ColdByte int64
}
