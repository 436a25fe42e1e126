package iam

import (
	"net/http"
	"regexp"
	"strings"

	"github.com/awancloud/awan/internal/dialect/front"
	"github.com/awancloud/awan/internal/dialect/huawei/iamv5"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/fail"
)

// answer is the status and code of a kind of failure.
type answer struct {
	status int
	code   string
}

// answers is the one table from kinds of failure to IAM's codes
// (https://support.huaweicloud.com/intl/en-us/api-iam/iam_02_0006.html); where IAM has none, the code is ours.
func answers() map[fail.Kind]answer {
	return map[fail.Kind]answer{
		fail.Invalid:         {http.StatusBadRequest, "IAM.0007"},
		fail.Unauthenticated: {http.StatusUnauthorized, "IAM.0001"},
		fail.Denied:          {http.StatusForbidden, "IAM.0003"},
		fail.NotFound:        {http.StatusNotFound, "IAM.0004"},
		fail.Gone:            {http.StatusNotFound, "IAM.0004"},
		fail.Exists:          {http.StatusConflict, "IAM.0005"},
		fail.Conflict:        {http.StatusConflict, "IAM.0005"},
		fail.Precondition:    {http.StatusConflict, "IAM.0005"},
		fail.Quota:           {http.StatusForbidden, "Awan.quota"},
		fail.TooLarge:        {http.StatusRequestEntityTooLarge, "Awan.too_large"},
		fail.RateLimited:     {http.StatusTooManyRequests, "APIGW.0308"},
		fail.Unsupported:     {http.StatusNotImplemented, "Awan.unsupported"},
		fail.NoSpace:         {http.StatusServiceUnavailable, "Awan.no_space"},
		fail.Unavailable:     {http.StatusServiceUnavailable, "Awan.unavailable"},
		fail.Timeout:         {http.StatusGatewayTimeout, "Awan.timeout"},
		fail.Canceled:        {http.StatusGatewayTimeout, "Awan.canceled"},
		fail.DataLoss:        {http.StatusInternalServerError, "Awan.data_loss"},
		fail.Internal:        {http.StatusInternalServerError, "IAM.0006"},
	}
}

// versions is the path of a policy's versions.
var versions = regexp.MustCompile(`^/v5/policies/[^/]+/versions/?$`)

// Fail writes an error in Huawei's form; on the paths shared with Keystone also in Keystone's.
func Fail(w http.ResponseWriter, r *http.Request, err error) {
	e := fail.From(err)
	a, ok := answers()[e.Kind]
	if !ok {
		a = answers()[fail.Internal]
	}
	if e.Kind == fail.Quota && versions.MatchString(r.URL.Path) { // by which clients know what to do
		a = answer{http.StatusConflict, iamv5.TooMany}
	}
	body := map[string]any{"error_code": a.code, "error_msg": e.Public(), "request_id": front.From(r.Context()).RequestID}
	if r.URL.Path == "/v3" || strings.HasPrefix(r.URL.Path, "/v3/") {
		body["error"] = map[string]any{"code": a.status, "message": e.Public(), "title": http.StatusText(a.status)}
	}
	wire.Write(w, a.status, body)
}
