package s3

import (
	"net/http"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/service/bucket"
)

// setting is a sub-resource of a bucket that is read, written and removed as one document.
type setting struct {
	sub  string
	name string // as in S3's operations: "BucketCors"

	get, put, del string // the actions in OBS's words
	read          func(*request, *bucket.Row) (any, error)
	write         func(*request) (func(*bucket.Row) error, error)
	clear         func(*request, *bucket.Row) error
	wrote         int    // status of a write; 0: 200
	invalid       string // the word for a document that the bucket refuses; "": InvalidArgument
}

func (s setting) ops() []op {
	var list []op
	if s.read != nil {
		list = append(list, op{"Get" + s.name, "GET", onBucket, s.sub, func(r *request) error {
			row, err := r.api.Buckets.Bucket(r.Context(), r.caller, r.bucket, s.get)
			if err != nil {
				return err
			}
			v, err := s.read(r, row)
			if err != nil || r.wrote {
				return err
			}
			return r.answer(http.StatusOK, v)
		}})
	}
	if s.write != nil {
		list = append(list, op{"Put" + s.name, "PUT", onBucket, s.sub, func(r *request) error {
			edit, err := s.write(r)
			if err != nil {
				return err
			}
			return s.change(r, s.put, edit, max(s.wrote, http.StatusOK))
		}})
	}
	if s.clear != nil {
		list = append(list, op{"Delete" + s.name, "DELETE", onBucket, s.sub, func(r *request) error {
			return s.change(r, s.del, func(row *bucket.Row) error { return s.clear(r, row) }, http.StatusNoContent)
		}})
	}
	return list
}

func (s setting) change(r *request, action string, edit func(*bucket.Row) error, status int) error {
	err := r.api.Buckets.Change(r.Context(), r.caller, r.bucket, action, edit)
	if s.invalid != "" && fail.Is(err, fail.Invalid) && bucket.CodeOf(err) == "" && !coded(err) {
		err = &as{err, s.invalid}
	}
	if err != nil {
		return err
	}
	return r.ok(status)
}

func missing(code, format string, args ...any) error {
	return refuse(code, fail.NotFound, format, args...)
}

// settings is the table of them.
func settings() []setting {
	return []setting{
		{sub: "acl", name: "BucketAcl", get: "obs:bucket:GetBucketAcl", put: "obs:bucket:PutBucketAcl", read: readACL, write: writeACL},
		{sub: "versioning", name: "BucketVersioning", get: "obs:bucket:GetBucketVersioning", put: "obs:bucket:PutBucketVersioning", read: readVersioning, write: writeVersioning},
		{sub: "policy", name: "BucketPolicy", get: "obs:bucket:GetBucketPolicy", put: "obs:bucket:PutBucketPolicy", del: "obs:bucket:DeleteBucketPolicy",
			read: readPolicy, write: writePolicy, clear: func(_ *request, row *bucket.Row) error { row.Spec.Policy = ""; return nil }, wrote: http.StatusNoContent, invalid: "MalformedPolicy"},
		{sub: "publicAccessBlock", name: "PublicAccessBlock", get: "obs:bucket:GetBucketPublicAccessBlock", put: "obs:bucket:PutBucketPublicAccessBlock", del: "obs:bucket:DeleteBucketPublicAccessBlock",
			read: readBlock, write: writeBlock, clear: func(_ *request, row *bucket.Row) error { row.Spec.PublicAccess = open; return nil }},
		{sub: "ownershipControls", name: "BucketOwnershipControls", get: "obs:bucket:GetBucketOwnershipControls", put: "obs:bucket:PutBucketOwnershipControls", del: "obs:bucket:DeleteBucketOwnershipControls",
			read: readOwnership, write: writeOwnership, clear: func(_ *request, row *bucket.Row) error { row.Spec.Ownership = "preferred"; return nil }},
		{sub: "lifecycle", name: "BucketLifecycleConfiguration", get: "obs:bucket:GetLifecycleConfiguration", put: "obs:bucket:PutLifecycleConfiguration", del: "obs:bucket:PutLifecycleConfiguration",
			read: readLifecycle, write: writeLifecycle, clear: func(_ *request, row *bucket.Row) error { row.Spec.Lifecycle = nil; return nil }},
		{sub: "cors", name: "BucketCors", get: "obs:bucket:GetBucketCORS", put: "obs:bucket:PutBucketCORS", del: "obs:bucket:PutBucketCORS",
			read: readCORS, write: writeCORS, clear: func(_ *request, row *bucket.Row) error { row.Spec.CORS = nil; return nil }},
		{sub: "website", name: "BucketWebsite", get: "obs:bucket:GetBucketWebsite", put: "obs:bucket:PutBucketWebsite", del: "obs:bucket:DeleteBucketWebsite",
			read: readWebsite, write: writeWebsite, clear: func(_ *request, row *bucket.Row) error { row.Spec.Website = nil; return nil }},
		{sub: "logging", name: "BucketLogging", get: "obs:bucket:GetBucketLogging", put: "obs:bucket:PutBucketLogging", read: readLogging, write: writeLogging},
		{sub: "notification", name: "BucketNotificationConfiguration", get: "obs:bucket:GetBucketNotification", put: "obs:bucket:PutBucketNotification", read: readNotification, write: writeNotification},
		{sub: "inventory", name: "BucketInventoryConfiguration", get: "obs:bucket:GetBucketInventoryConfiguration", put: "obs:bucket:PutBucketInventoryConfiguration", del: "obs:bucket:DeleteBucketInventoryConfiguration",
			read: readInventory, write: writeInventory, clear: clearInventory},
		{sub: "replication", name: "BucketReplication", get: "obs:bucket:GetReplicationConfiguration", put: "obs:bucket:PutReplicationConfiguration", del: "obs:bucket:DeleteReplicationConfiguration",
			read: readReplication, write: writeReplication, clear: func(_ *request, row *bucket.Row) error { row.Spec.Replication = nil; return nil }},
		{sub: "encryption", name: "BucketEncryption", get: "obs:bucket:GetEncryptionConfiguration", put: "obs:bucket:PutEncryptionConfiguration", del: "obs:bucket:PutEncryptionConfiguration",
			read: readEncryption, write: writeEncryption, clear: func(_ *request, row *bucket.Row) error {
				row.Spec.Encryption = bucket.Encryption{Algorithm: "AES256"}
				return nil
			}},
		{sub: "object-lock", name: "ObjectLockConfiguration", get: "obs:bucket:GetBucketObjectLockConfiguration", put: "obs:bucket:PutBucketObjectLockConfiguration", read: readLock, write: writeLock},
		{sub: "tagging", name: "BucketTagging", get: "obs:bucket:GetBucketTagging", put: "obs:bucket:PutBucketTagging", del: "obs:bucket:DeleteBucketTagging",
			read: readTags, write: writeTags, clear: func(_ *request, row *bucket.Row) error { row.Tags = nil; return nil }, wrote: http.StatusNoContent},
		{sub: "requestPayment", name: "BucketRequestPayment", get: "obs:bucket:GetBucketRequestPayment", put: "obs:bucket:PutBucketRequestPayment", read: readPayment, write: writePayment},
		{sub: "accelerate", name: "BucketAccelerateConfiguration", get: "obs:bucket:GetAccelerateConfiguration", put: "obs:bucket:PutAccelerateConfiguration", read: readAccelerate, write: writeAccelerate},
		// OBS's own
		{sub: "quota", name: "BucketQuota", get: "obs:bucket:GetBucketQuota", put: "obs:bucket:PutBucketQuota", read: readQuota, write: writeQuota},
		{sub: "storageClass", name: "BucketStorageClass", get: "obs:bucket:GetBucketStoragePolicy", put: "obs:bucket:PutBucketStoragePolicy", read: readClass, write: writeClass},
		{sub: "storagePolicy", name: "BucketStoragePolicy", get: "obs:bucket:GetBucketStoragePolicy", put: "obs:bucket:PutBucketStoragePolicy", read: readStoragePolicy, write: writeStoragePolicy},
		{sub: "customdomain", name: "BucketCustomDomain", get: "obs:bucket:GetBucketCustomDomainConfiguration", put: "obs:bucket:PutBucketCustomDomainConfiguration",
			del: "obs:bucket:DeleteBucketCustomDomainConfiguration", read: readDomains, write: writeDomain, clear: clearDomain},
		{sub: "mirrorBackToSource", name: "BucketMirrorBackToSource", get: "obs:bucket:GetBucketMirrorBackToSource", put: "obs:bucket:PutBucketMirrorBackToSource",
			del: "obs:bucket:DeleteBucketMirrorBackToSource", read: readMirror, write: writeMirror, clear: func(_ *request, row *bucket.Row) error { row.Spec.Mirror = nil; return nil }},
	}
}
