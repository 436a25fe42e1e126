package s3

import (
	"encoding/xml"
	"errors"
	"net/http"
	"strconv"

	"github.com/awancloud/awan/internal/dialect/s3/sign"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/service/bucket"
)

func refuse(code string, kind fail.Kind, format string, args ...any) *sign.Refusal {
	return sign.Refuse(code, kind, format, args...)
}

// as gives an error that has no word of its own one.
type as struct {
	err  error
	code string
}

func (e *as) Error() string { return e.err.Error() }
func (e *as) Unwrap() error { return e.err }
func (e *as) Code() string  { return e.code }

// kinds is what each kind of failure is called where no better word is known, and its status.
var kinds = map[fail.Kind]struct {
	status int
	code   string
}{
	fail.Invalid:         {http.StatusBadRequest, "InvalidArgument"},
	fail.Unauthenticated: {http.StatusForbidden, "AccessDenied"},
	fail.Denied:          {http.StatusForbidden, "AccessDenied"},
	fail.NotFound:        {http.StatusNotFound, "NoSuchKey"},
	fail.Gone:            {http.StatusNotFound, "NoSuchKey"},
	fail.Exists:          {http.StatusConflict, "BucketAlreadyExists"},
	fail.Conflict:        {http.StatusConflict, "OperationAborted"},
	fail.Precondition:    {http.StatusPreconditionFailed, "PreconditionFailed"},
	fail.Quota:           {http.StatusForbidden, "QuotaExceeded"},
	fail.TooLarge:        {http.StatusBadRequest, "EntityTooLarge"},
	fail.RateLimited:     {http.StatusServiceUnavailable, "SlowDown"},
	fail.NoSpace:         {http.StatusInsufficientStorage, "InsufficientStorage"},
	fail.Unavailable:     {http.StatusServiceUnavailable, "ServiceUnavailable"},
	fail.Timeout:         {http.StatusServiceUnavailable, "ServiceUnavailable"},
	fail.Canceled:        {http.StatusBadRequest, "RequestTimeout"},
	fail.Unsupported:     {http.StatusNotImplemented, "NotImplemented"},
	fail.DataLoss:        {http.StatusInternalServerError, "InternalError"},
	fail.Internal:        {http.StatusInternalServerError, "InternalError"},
}

// statuses are those of words whose kind has another.
var statuses = map[string]int{
	"AccessDenied": http.StatusForbidden, "NotModified": http.StatusNotModified, "MethodNotAllowed": http.StatusMethodNotAllowed, "MissingContentLength": http.StatusLengthRequired,
	"InvalidRange": http.StatusRequestedRangeNotSatisfiable, "BucketNotEmpty": http.StatusConflict, "InvalidBucketState": http.StatusConflict,
	"BucketAlreadyOwnedByYou": http.StatusConflict, "BucketAlreadyExists": http.StatusConflict, "OperationAborted": http.StatusConflict,
	"PreconditionFailed": http.StatusPreconditionFailed, "InvalidObjectState": http.StatusForbidden, "RestoreAlreadyInProgress": http.StatusConflict,
	"InvalidPolicyDocument": http.StatusBadRequest, "EntityTooLarge": http.StatusBadRequest, "EntityTooSmall": http.StatusBadRequest,
	"InvalidRequest": http.StatusBadRequest, "InvalidToken": http.StatusBadRequest, "ObjectNotAppendable": http.StatusConflict,
	"PositionNotEqualToLength": http.StatusConflict, "ConditionalRequestConflict": http.StatusConflict,
	"InvalidLocationConstraint": http.StatusBadRequest, "AccessControlListNotSupported": http.StatusBadRequest,
	"InvalidBucketAclWithObjectOwnership": http.StatusBadRequest, "FsNotSupport": http.StatusMethodNotAllowed,
	"NoSuchObjectLockConfiguration": http.StatusNotFound, "ReplicationConfigurationNotFoundError": http.StatusNotFound,
	"ObjectLockConfigurationNotFoundError": http.StatusNotFound, "NoSuchTagSet": http.StatusNotFound,
	"InvalidRetentionPeriod": http.StatusBadRequest, "XAmzContentSHA256Mismatch": http.StatusBadRequest,
}

// wordOf gives the status and the word of an error.
func (r *request) wordOf(err error) (status int, code string, f *fail.Error) {
	f = fail.From(err)
	k, ok := kinds[f.Kind]
	if !ok {
		k = kinds[fail.Internal]
	}
	status, code = k.status, k.code
	if f.Kind == fail.NotFound && r.key == "" {
		code = "NoSuchBucket"
	}
	var own interface{ Code() string }
	if errors.As(err, &own) {
		code = own.Code()
	} else if word := bucket.CodeOf(err); word != "" {
		code = word
	}
	if s, ok := statuses[code]; ok {
		status = s
	}
	return status, code, f
}

type errorXML struct {
	XMLName    xml.Name `xml:"Error"`
	Code       string   `xml:"Code"`
	Message    string   `xml:"Message"`
	BucketName string   `xml:"BucketName,omitempty"`
	Key        string   `xml:"Key,omitempty"`
	Resource   string   `xml:"Resource,omitempty"`
	Method     string   `xml:"Method,omitempty"`
	RequestID  string   `xml:"RequestId"`
	HostID     string   `xml:"HostId"`
}

// fail answers with an error, as XML; a HEAD gets it in headers, as OBS's clients read it there.
func (r *request) fail(err error) {
	if r.wrote {
		panic(http.ErrAbortHandler) // half an answer must not look like a whole one
	}
	status, code, f := r.wordOf(err)
	if f.Kind == fail.Internal || f.Kind == fail.DataLoss {
		r.api.Logger.ErrorContext(r.Context(), "an object request failed", "request", r.id, "bucket", r.bucket, "error", err)
	}
	h := r.w.Header()
	for _, name := range []string{"Content-Length", "Content-Range", "Etag", "Last-Modified", "Cache-Control", "Content-Disposition", "Content-Encoding"} {
		h.Del(name)
	}
	r.wrote = true
	if status == http.StatusNotModified {
		r.w.WriteHeader(status)
		return
	}
	if r.Method == http.MethodHead {
		r.set("Error-Code", code)
		r.set("Error-Message", headerSafe(f.Public()))
		h.Set("Content-Type", "application/xml")
		r.w.WriteHeader(status)
		return
	}
	e := errorXML{Code: code, Message: f.Public(), BucketName: r.bucket, Key: r.key, Resource: "/" + r.bucket, RequestID: r.id, HostID: r.id}
	if r.key != "" {
		e.Resource += "/" + r.key
	}
	if code == "MethodNotAllowed" {
		e.Method = r.Method
	}
	body, bad := xml.Marshal(e)
	if bad != nil {
		body = []byte("<Error><Code>" + code + "</Code></Error>")
	}
	body = append([]byte(xml.Header), body...)
	h.Set("Content-Type", "application/xml")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	r.w.WriteHeader(status)
	_, _ = r.w.Write(body) // the client may be gone; the access log has the status
}

func headerSafe(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c < 0x20 || c > 0x7e {
			b[i] = '?'
		}
	}
	return string(b)
}

// coded tells whether an error brings a word of its own.
func coded(err error) bool {
	var own interface{ Code() string }
	return errors.As(err, &own)
}
