package bucket

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/object"
)

// Keys in the store. A bucket's own row is a kind's; BUCKET is its id, KEY an object's name as it is. Versions sort
// the newest first.
//
//	bucket/name/NAME                 project/id of the bucket that has the name
//	bucket/now/BUCKET/KEY            the current version, unless it is a delete marker
//	bucket/old/BUCKET/KEY\0VERSION   all other versions, and delete markers
//	bucket/upload/BUCKET/KEY\0ID     an upload in parts
//	bucket/part/ID/NUMBER            its parts
//	bucket/count/BUCKET              what it holds
//	bucket/blob/REF                  the bucket, for a blob that a version or part uses
//	bucket/free/REF                  a blob that nobody uses any more
//	bucket/domain/HOST               the bucket that is served under a name of its owner's
//
// What tasks keep lies under bucket/{want,sweep,event,copy,copies,inventory,scrub,damage}/: see their files.
const (
	nameKey   = "bucket/name/"
	nowKey    = "bucket/now/"
	oldKey    = "bucket/old/"
	uploadKey = "bucket/upload/"
	partKey   = "bucket/part/"
	countKey  = "bucket/count/"
	blobKey   = "bucket/blob/"
	freeKey   = "bucket/free/"
	domainKey = "bucket/domain/"
)

func nowAt(bucket id.ID, key string) string { return nowKey + string(bucket) + "/" + key }
func oldAt(bucket id.ID, key, version string) string {
	return oldKey + string(bucket) + "/" + key + "\x00" + version
}
func uploadAt(bucket id.ID, key, upload string) string {
	return uploadKey + string(bucket) + "/" + key + "\x00" + upload
}

// record is a stored version, or an upload on its way to one.
type record struct {
	Version   string            `cbor:"1,keyasint"`
	Null      bool              `cbor:"2,keyasint,omitempty"` // written without versioning
	Marker    bool              `cbor:"3,keyasint,omitempty"`
	At        int64             `cbor:"4,keyasint"` // Unix nanoseconds
	Size      int64             `cbor:"5,keyasint,omitempty"`
	ETag      string            `cbor:"6,keyasint,omitempty"`
	Segments  []segment         `cbor:"7,keyasint,omitempty"`
	Key       []byte            `cbor:"8,keyasint,omitempty"` // the data key, wrapped
	Attr      Attributes        `cbor:"9,keyasint"`
	Class     string            `cbor:"10,keyasint,omitempty"` // "" = standard
	Tags      map[string]string `cbor:"11,keyasint,omitempty"`
	Grants    []Grant           `cbor:"12,keyasint,omitempty"`
	Owner     string            `cbor:"13,keyasint,omitempty"` // domain id; "" = the bucket's
	OwnerName string            `cbor:"14,keyasint,omitempty"`
	Sums      map[string]string `cbor:"15,keyasint,omitempty"`
	Composite bool              `cbor:"16,keyasint,omitempty"`
	Multi     bool              `cbor:"17,keyasint,omitempty"` // uploaded in parts: each segment is one
	Lock      Lock              `cbor:"18,keyasint,omitzero"`
	Hold      bool              `cbor:"19,keyasint,omitempty"`
	SSE       sse               `cbor:"20,keyasint,omitzero"`
	Append    bool              `cbor:"21,keyasint,omitempty"`
	Repl      string            `cbor:"22,keyasint,omitempty"`
	Restored  int64             `cbor:"23,keyasint,omitempty"` // Unix seconds
	Algorithm string            `cbor:"24,keyasint,omitempty"` // of an upload: what its parts' sums are
	Canned    string            `cbor:"25,keyasint,omitempty"`
	Upload    string            `cbor:"26,keyasint,omitempty"` // it was completed from: to complete it again is success
	Emptied   bool              `cbor:"27,keyasint,omitempty"` // all grants were taken away
}

// segment is a run of bytes in one blob, encrypted with a key of its own.
type segment struct {
	Ref  object.Ref        `cbor:"1,keyasint"`
	Size int64             `cbor:"2,keyasint"` // of the plain bytes
	Salt []byte            `cbor:"3,keyasint"`
	Sums map[string]string `cbor:"4,keyasint,omitempty"` // of a part
}

// part is a stored part of an upload.
type part struct {
	segment
	ETag string `cbor:"5,keyasint"`
	At   int64  `cbor:"6,keyasint"`
}

// sse is how a version is encrypted, beyond that it is.
type sse struct {
	Algorithm string `cbor:"1,keyasint,omitempty"` // "" = AES256
	Key       string `cbor:"2,keyasint,omitempty"`
	Context   string `cbor:"3,keyasint,omitempty"`
	MD5       string `cbor:"4,keyasint,omitempty"` // base64, of a customer's key
}

func encode(v any) []byte {
	b, err := cbor.Marshal(v)
	if err != nil {
		panic(err) // only types that cannot be encoded fail
	}
	return b
}

func decode[T any](b []byte) (*T, error) {
	v := new(T)
	if err := cbor.Unmarshal(b, v); err != nil {
		return nil, fail.Wrap(err, fail.Internal, "a stored object cannot be read")
	}
	return v, nil
}

func read[T any](tx store.Tx, key string) (*T, error) {
	b, ok, err := tx.Get(key)
	if err != nil || !ok {
		return nil, err
	}
	return decode[T](b)
}

// newVersion makes a version id that sorts before those made earlier, and before the given one.
func newVersion(now time.Time, before string) string {
	t := ^uint64(now.UnixNano())
	if len(before) >= 16 {
		if b, err := hex.DecodeString(before[:16]); err == nil {
			t = min(t, binary.BigEndian.Uint64(b)-1)
		}
	}
	var b [12]byte
	binary.BigEndian.PutUint64(b[:], t)
	_, _ = rand.Read(b[8:])
	return hex.EncodeToString(b[:])
}

const nullVersion = "null"

// id is what clients call the version.
func (r *record) id() string {
	if r.Null {
		return nullVersion
	}
	return r.Version
}

func (r *record) class() string {
	if r.Class == "" {
		return Standard
	}
	return r.Class
}

// protect tells how the version is encrypted.
func (r *record) protect() Protect {
	return Protect{Algorithm: orElse(r.SSE.Algorithm, "AES256"), Key: r.SSE.Key, Context: r.SSE.Context}
}

// object shows a record to dialects.
func (b *bucket) object(key string, r *record, latest bool) *Object {
	o := &Object{Bucket: b.Name, Key: key, Version: r.id(), Latest: latest, Marker: r.Marker, Size: r.Size, ETag: r.ETag, Modified: time.Unix(0, r.At).UTC(),
		Attributes: r.Attr, Class: r.class(), Tags: r.Tags, ACL: ACL{Grants: r.Grants, Emptied: r.Emptied}, Owner: r.Owner, OwnerName: r.OwnerName, Sums: r.Sums, Composite: r.Composite,
		Lock: r.Lock, Hold: r.Hold, Protect: r.protect(), CustomerMD5: r.SSE.MD5,
		Appendable: r.Append, Next: r.Size, Replication: r.Repl, Versioned: b.Spec.Versioning != "off"}
	if o.Owner == "" {
		o.Owner, o.OwnerName = string(b.Domain), b.owner
	}
	if r.Restored != 0 {
		o.Restored = time.Unix(r.Restored, 0).UTC()
	}
	if r.Multi {
		o.Parts = make([]PartSize, len(r.Segments))
		for i, s := range r.Segments {
			o.Parts[i] = PartSize{s.Size, s.Sums}
		}
	}
	if !r.Marker {
		o.Expires, o.ExpiresBy = b.expiry(key, r, latest)
	}
	return o
}
