package bucket

import (
	"time"

	"github.com/awancloud/awan/internal/kernel/kind"
)

// BucketSpec describes a bucket.
type BucketSpec struct {
	Versioning    string         `json:"versioning" doc:"whether objects that are overwritten or deleted stay as versions" enum:"off,enabled,suspended" default:"off"`
	ObjectLock    bool           `json:"object_lock" doc:"objects can be locked against deletion; needs versioning and can never be switched off"`
	Retention     Retention      `json:"retention" doc:"how long new objects are locked when the upload does not say"`
	Class         string         `json:"class" doc:"storage class of objects whose upload does not say: standard, warm or cold" enum:"standard,warm,cold,deep,intelligent" default:"standard"`
	Quota         int64          `json:"quota" doc:"the most that it may hold; 0: no limit of its own" unit:"bytes" min:"0"`
	Encryption    Encryption     `json:"encryption" doc:"how objects are encrypted whose upload does not say; they always are"`
	ACL           ACL            `json:"acl" doc:"who else may use the bucket, in the words of S3 and OBS; policies say more"`
	Ownership     string         `json:"ownership" doc:"writer: an object belongs to who uploaded it; preferred: to the bucket's owner when the upload says bucket-owner-full-control; enforced: always to the bucket's owner, and no ACL counts" enum:"writer,preferred,enforced" default:"preferred"`
	Policy        string         `json:"policy" doc:"who may do what with the bucket and its objects: a policy document of S3 or OBS with principals" max:"20480"`
	PublicAccess  PublicAccess   `json:"public_access" doc:"what may make it public; nothing, unless it was created public"`
	Lifecycle     []Rule         `json:"lifecycle" doc:"what becomes of objects as they age" max:"1000"`
	CORS          []CORS         `json:"cors" doc:"which web pages of other origins may use it from a browser" max:"100"`
	Website       *Website       `json:"website,omitempty" doc:"serves it as a static web site"`
	Logging       *Logging       `json:"logging,omitempty" doc:"writes a line for every request into another bucket"`
	Notifications []Notification `json:"notifications" doc:"whom to tell of new and deleted objects" max:"100"`
	Inventory     []Inventory    `json:"inventory" doc:"lists of the objects, written regularly" max:"30"`
	Replication   []Replication  `json:"replication" doc:"where new objects are copied to" max:"10"`
	Domains       []string       `json:"domains" doc:"names of your own under which it is served" max:"20"`
	Mirror        []Mirror       `json:"mirror" doc:"where objects that are not there are fetched from" max:"10"`
	Fetch         Fetch          `json:"fetch" doc:"whether objects may be fetched from addresses on demand, by OBS's fetch jobs"`
	RequesterPays bool           `json:"requester_pays" doc:"who asks pays; others must send that they know"`
	MD5           bool           `json:"md5" doc:"the ETag of every object uploaded in one piece is its MD5, which costs more than everything else of an upload; else only of small ones and where the client sent it"`
	FileSystem    bool           `json:"file_system" doc:"objects may be appended to, changed in the middle, truncated and renamed; needs versioning off" immutable:"true"`
}

// Retention is a lock's length: Days or Years, not both.
type Retention struct {
	Mode  string `json:"mode,omitempty" doc:"governance: those with the right may lift it; compliance: nobody can" enum:",governance,compliance"`
	Days  int    `json:"days,omitempty" doc:"how long" unit:"days" min:"0" max:"36500"`
	Years int    `json:"years,omitempty" doc:"how long" unit:"years" min:"0" max:"100"`
}

// Encryption says with which key.
type Encryption struct {
	Algorithm string `json:"algorithm" doc:"AES256: the project's key; kms: a key of the key service" enum:"AES256,kms" default:"AES256"`
	Key       string `json:"key,omitempty" doc:"the key's id, with kms"`
	BucketKey bool   `json:"bucket_key,omitempty" doc:"one data key for many objects; kept as the client said, it changes nothing here"`
	Said      bool   `json:"said,omitempty" doc:"a client asked for it; clients of OBS hear only of what was asked for"`
}

// ACL grants rights by name. Canned and Grants exclude each other when set; stored is what Canned stands for.
type ACL struct {
	Grants  []Grant `json:"grants,omitempty" doc:"who may do what" max:"100"`
	Emptied bool    `json:"emptied,omitempty" doc:"it has no grant because somebody took all of them away; without this an ACL that has none gives its owner everything"`
}

// Grant is one line of an ACL.
type Grant struct {
	To         string `json:"to" doc:"a domain's id, or a group: everyone, users (whoever is logged in), logs" required:"true"`
	Permission string `json:"permission" doc:"what" enum:"read,write,read-acp,write-acp,full" required:"true"`
	Delivered  bool   `json:"delivered,omitempty" doc:"the bucket's grant holds for its objects too (OBS)"`
}

// Groups that a Grant may name.
const (
	Everyone = "everyone"
	Users    = "users"
	LogGroup = "logs"
)

// PublicAccess is what S3 calls the public access block, turned round: what is not allowed here is blocked.
type PublicAccess struct {
	AllowACLs   bool `json:"allow_acls,omitempty" doc:"ACLs that make something public may be set"`
	HonorACLs   bool `json:"honor_acls,omitempty" doc:"public grants of ACLs count"`
	AllowPolicy bool `json:"allow_policy,omitempty" doc:"a policy that makes it public may be set"`
	HonorPolicy bool `json:"honor_policy,omitempty" doc:"what a public policy allows counts for others than the owner's domain"`
}

// Rule is a lifecycle rule.
type Rule struct {
	ID       string            `json:"id" doc:"its name" max:"255"`
	Disabled bool              `json:"disabled,omitempty" doc:"does not run"`
	Prefix   string            `json:"prefix,omitempty" doc:"only objects whose names begin so"`
	Tags     map[string]string `json:"tags,omitempty" doc:"only objects with all of these tags"`
	Larger   int64             `json:"larger,omitempty" doc:"only larger objects" unit:"bytes"`
	Smaller  int64             `json:"smaller,omitempty" doc:"only smaller objects" unit:"bytes"`
	Filter   string            `json:"filter,omitempty" doc:"how the client wrote the filter, so that it reads what it wrote" enum:",filter,prefix,tag,and,size-more,size-less"`

	Expire        int          `json:"expire,omitempty" doc:"deletes objects this long after they were made" unit:"days" min:"0"`
	ExpireAt      time.Time    `json:"expire_at,omitzero" doc:"deletes objects from this day on"`
	ExpireMarkers bool         `json:"expire_markers,omitempty" doc:"removes delete markers that no version is behind"`
	Old           int          `json:"old,omitempty" doc:"deletes versions this long after they were replaced" unit:"days" min:"0"`
	KeepOld       int          `json:"keep_old,omitempty" doc:"but keeps this many of the newest of them" min:"0"`
	Abort         int          `json:"abort,omitempty" doc:"removes parts of uploads that were begun this long ago and never completed" unit:"days" min:"0"`
	Move          []Transition `json:"move,omitempty" doc:"changes the storage class: its price, and whether objects must be restored before they are read; the bytes stay where they lie"`
	MoveOld       []Transition `json:"move_old,omitempty" doc:"changes the storage class of replaced versions"`
}

// Transition moves to a class.
type Transition struct {
	Class string    `json:"class" doc:"the new class" enum:"warm,cold,deep,intelligent" required:"true"`
	Days  int       `json:"days,omitempty" doc:"after" unit:"days"`
	At    time.Time `json:"at,omitzero" doc:"from this day on"`
	Keep  int       `json:"keep,omitempty" doc:"but not this many of the newest"`
}

// CORS is a rule for browsers.
type CORS struct {
	ID      string   `json:"id,omitempty" doc:"its name"`
	Origins []string `json:"origins" doc:"origins, * as wildcard" required:"true"`
	Methods []string `json:"methods" doc:"GET, PUT, POST, DELETE, HEAD" required:"true"`
	Headers []string `json:"headers,omitempty" doc:"request headers, * as wildcard"`
	Expose  []string `json:"expose,omitempty" doc:"response headers a page may read"`
	MaxAge  int      `json:"max_age,omitempty" doc:"how long the browser may remember the answer" unit:"s"`
}

// Website serves a bucket's objects as pages.
type Website struct {
	Index       string         `json:"index,omitempty" doc:"what is served for a folder: index.html"`
	Error       string         `json:"error,omitempty" doc:"what is served when something is not there"`
	RedirectAll string         `json:"redirect_all,omitempty" doc:"a host that every request is sent to"`
	Protocol    string         `json:"protocol,omitempty" doc:"for that host" enum:",http,https"`
	Routes      []WebsiteRoute `json:"routes,omitempty" doc:"redirects, the first that fits counts" max:"50"`
}

// WebsiteRoute is a redirect.
type WebsiteRoute struct {
	Prefix        string `json:"prefix,omitempty" doc:"when the name begins so"`
	Status        int    `json:"status,omitempty" doc:"when the answer would be this"`
	Protocol      string `json:"protocol,omitempty" doc:"to http or https"`
	Host          string `json:"host,omitempty" doc:"to this host"`
	ReplacePrefix string `json:"replace_prefix,omitempty" doc:"with the prefix replaced by this"`
	ReplaceKey    string `json:"replace_key,omitempty" doc:"with the whole name replaced by this"`
	Code          int    `json:"code,omitempty" doc:"status of the redirect: 301 when empty"`
}

// Logging names where the lines go.
type Logging struct {
	Bucket string  `json:"bucket" doc:"a bucket of the same project" required:"true"`
	Prefix string  `json:"prefix" doc:"what the names of the logs begin with"`
	Agency string  `json:"agency,omitempty" doc:"kept as the client said (OBS)"`
	Grants []Grant `json:"grants,omitempty" doc:"who else may read the logs"`
}

// Notification tells a web hook.
type Notification struct {
	ID     string   `json:"id,omitempty" doc:"its name"`
	URL    string   `json:"url" doc:"https address that gets the event by POST; a topic, queue or function of S3 and OBS is one here" required:"true"`
	As     string   `json:"as,omitempty" doc:"what the client called it" enum:",topic,queue,function"`
	Events []string `json:"events" doc:"ObjectCreated:*, ObjectRemoved:*, ObjectCreated:Put and so on" required:"true"`
	Prefix string   `json:"prefix,omitempty" doc:"only names that begin so"`
	Suffix string   `json:"suffix,omitempty" doc:"only names that end so"`
	Secret string   `json:"secret,omitempty" doc:"key of the HMAC-SHA256 in X-Awan-Signature" secret:"true" min:"0" max:"255"`
}

// Inventory is a list written regularly.
type Inventory struct {
	ID       string   `json:"id" doc:"its name" required:"true"`
	Disabled bool     `json:"disabled,omitempty" doc:"is not written"`
	Bucket   string   `json:"bucket" doc:"where it goes, a bucket of the same project" required:"true"`
	To       string   `json:"to,omitempty" doc:"prefix of the names there"`
	Prefix   string   `json:"prefix,omitempty" doc:"only names that begin so"`
	Weekly   bool     `json:"weekly,omitempty" doc:"every week instead of every day"`
	Versions bool     `json:"versions,omitempty" doc:"all versions"`
	Fields   []string `json:"fields,omitempty" doc:"beside name, version, size and time"`
}

// Replication copies new objects elsewhere.
type Replication struct {
	ID        string `json:"id,omitempty" doc:"its name"`
	Disabled  bool   `json:"disabled,omitempty" doc:"does not run"`
	Prefix    string `json:"prefix,omitempty" doc:"only names that begin so"`
	Bucket    string `json:"bucket" doc:"the bucket there" required:"true"`
	Endpoint  string `json:"endpoint,omitempty" doc:"https address of another S3 store; empty: a bucket of this cloud"`
	AccessKey string `json:"access_key,omitempty" doc:"key there"`
	SecretKey string `json:"secret_key,omitempty" doc:"its secret" secret:"true"`
	Class     string `json:"class,omitempty" doc:"storage class there" enum:",standard,warm,cold"`
	Deletes   bool   `json:"deletes,omitempty" doc:"delete markers too"`
	Agency    string `json:"agency,omitempty" doc:"kept as the client said"`
	Priority  int    `json:"priority,omitempty" doc:"kept as the client said"`
}

// Mirror fetches what is not there.
type Mirror struct {
	ID     string `json:"id" doc:"its name" required:"true"`
	Prefix string `json:"prefix,omitempty" doc:"only names that begin so"`
	URL    string `json:"url" doc:"https address that the rest of the name is put behind" required:"true"`
}

// Fetch is OBS's fetch policy.
type Fetch struct {
	Open   bool   `json:"open,omitempty" doc:"who may store an object may have the cloud fetch it from an address"`
	Agency string `json:"agency,omitempty" doc:"kept as the client said (OBS)"`
}

// BucketStatus is what it holds.
type BucketStatus struct {
	Objects  int64     `json:"objects" doc:"objects, without versions that were replaced"`
	Bytes    int64     `json:"bytes" doc:"what all versions and parts take" unit:"bytes"`
	Versions int64     `json:"versions" doc:"all versions, with delete markers"`
	Uploads  int64     `json:"uploads" doc:"uploads in parts that are not completed"`
	Warm     int64     `json:"warm,omitempty" doc:"of bytes, in class warm" unit:"bytes"`
	Cold     int64     `json:"cold,omitempty" doc:"of bytes, in class cold and deep" unit:"bytes"`
	Public   bool      `json:"public" doc:"its policy or ACL lets everyone in"`
	Waiting  int64     `json:"waiting,omitempty" doc:"copies that are still to be made elsewhere, counted up to 10000"`
	Swept    time.Time `json:"swept,omitzero" doc:"when the lifecycle rules ran last"`
}

// Row is a stored bucket.
type Row = kind.Row[BucketSpec, BucketStatus]
