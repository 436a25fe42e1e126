package s3

import (
	"slices"
	"strings"
)

// level is what a request is about.
type level string

const (
	onService level = "service"
	onBucket  level = "bucket"
	onObject  level = "object"

	onExtension level = "extension" // OBS's fetch policies and jobs, whose sub is their name
)

// op is one operation of the protocol. Which one a request is for, its method, what it is about, and one parameter of
// its query (the sub-resource) say.
type op struct {
	name   string // S3's name for it, or OBS's
	method string
	level  level
	sub    string
	serve  func(*request) error
}

type opKey struct {
	method string
	level  level
	sub    string
}

// operations is the table.
func operations() []op {
	list := []op{
		{"ListBuckets", "GET", onService, "", (*request).listBuckets},

		{"CreateBucket", "PUT", onBucket, "", (*request).createBucket},
		{"DeleteBucket", "DELETE", onBucket, "", (*request).deleteBucket},
		{"HeadBucket", "HEAD", onBucket, "", (*request).headBucket},
		{"GetBucketLocation", "GET", onBucket, "location", (*request).bucketLocation},
		{"ListObjects", "GET", onBucket, "", (*request).listObjects},
		{"ListObjectsV2", "GET", onBucket, "list-type", (*request).listObjectsV2},
		{"ListObjectVersions", "GET", onBucket, "versions", (*request).listVersions},
		{"ListMultipartUploads", "GET", onBucket, "uploads", (*request).listUploads},
		{"DeleteObjects", "POST", onBucket, "delete", (*request).deleteObjects},
		{"PostObject", "POST", onBucket, "", (*request).postObject},
		{"GetBucketPolicyStatus", "GET", onBucket, "policyStatus", (*request).policyStatus},
		{"GetBucketStatus", "GET", onBucket, "bucketStatus", (*request).bucketStatus},
		{"GetBucketStorageInfo", "GET", onBucket, "storageinfo", (*request).storageInfo},

		{"GetObject", "GET", onObject, "", (*request).getObject},
		{"HeadObject", "HEAD", onObject, "", (*request).getObject},
		{"GetObjectAttributes", "GET", onObject, "attributes", (*request).objectAttributes},
		{"PutObject", "PUT", onObject, "", (*request).putObject},
		{"DeleteObject", "DELETE", onObject, "", (*request).deleteObject},
		{"GetObjectAcl", "GET", onObject, "acl", (*request).getObjectACL},
		{"PutObjectAcl", "PUT", onObject, "acl", (*request).putObjectACL},
		{"GetObjectTagging", "GET", onObject, "tagging", (*request).getObjectTags},
		{"PutObjectTagging", "PUT", onObject, "tagging", (*request).putObjectTags},
		{"DeleteObjectTagging", "DELETE", onObject, "tagging", (*request).deleteObjectTags},
		{"GetObjectRetention", "GET", onObject, "retention", (*request).getRetention},
		{"PutObjectRetention", "PUT", onObject, "retention", (*request).putRetention},
		{"GetObjectLegalHold", "GET", onObject, "legal-hold", (*request).getLegalHold},
		{"PutObjectLegalHold", "PUT", onObject, "legal-hold", (*request).putLegalHold},
		{"RestoreObject", "POST", onObject, "restore", (*request).restoreObject},

		{"CreateMultipartUpload", "POST", onObject, "uploads", (*request).beginUpload},
		{"UploadPart", "PUT", onObject, "uploadId", (*request).putPart},
		{"CompleteMultipartUpload", "POST", onObject, "uploadId", (*request).completeUpload},
		{"AbortMultipartUpload", "DELETE", onObject, "uploadId", (*request).abortUpload},
		{"ListParts", "GET", onObject, "uploadId", (*request).listParts},

		{"AppendObject", "POST", onObject, "append", (*request).appendObject},
		{"ModifyObject", "PUT", onObject, "modify", (*request).modifyObject},
		{"TruncateObject", "PUT", onObject, "truncate", (*request).truncateObject},
		{"RenameObject", "POST", onObject, "rename", (*request).renameObject},
		{"SetObjectMetadata", "PUT", onObject, "metadata", (*request).setMetadata},
	}
	for _, s := range settings() {
		list = append(list, s.ops()...)
	}
	return append(list, fetchOps()...)
}

// elsewhere are sub-resources that clients know and this protocol layer does not have: without this list a DELETE with
// one would delete the bucket.
var elsewhere = strings.Fields(`analytics metrics intelligent-tiering torrent select session metadataTable
	metadataConfiguration abac backtosource directcoldaccess x-obs-accesslabel cdnNotifyConfiguration deletebucket
	x-image-process obscompresspolicy renameObject`)

func table() map[opKey]*op {
	list := operations()
	m := make(map[opKey]*op, len(list))
	for i := range list {
		o := &list[i]
		m[opKey{o.method, o.level, o.sub}] = o
	}
	for i := range list {
		m[opKey{"", "", list[i].sub}] = &op{} // a known sub-resource
	}
	for _, sub := range elsewhere {
		m[opKey{"", "", sub}] = &op{}
	}
	return m
}

// find gives the operation a request asks for; nil: none.
func (a *API) find(r *request) *op {
	at := onObject
	switch {
	case r.extension():
		return a.ops[opKey{r.Method, onExtension, extensionOf(r.key)}]
	case r.bucket == "":
		at = onService
	case r.key == "":
		at = onBucket
	}
	known := false
	for name := range r.q {
		if o := a.ops[opKey{r.Method, at, name}]; o != nil && name != "" {
			return o
		}
		known = known || name != "" && a.ops[opKey{"", "", name}] != nil
	}
	if known {
		return nil
	}
	return a.ops[opKey{r.Method, at, ""}]
}

// Operations lists the names, for the table in the docs.
func Operations() []string {
	var names []string
	for _, o := range operations() {
		names = append(names, o.name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}
