package front

import (
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/awancloud/awan/internal/kernel/fail"
)

// Status is the HTTP status of an error kind, in every dialect that has no table of its own.
func Status(k fail.Kind) int {
	switch k {
	case fail.Invalid:
		return http.StatusBadRequest
	case fail.Unauthenticated:
		return http.StatusUnauthorized
	case fail.Denied:
		return http.StatusForbidden
	case fail.NotFound, fail.Gone:
		return http.StatusNotFound
	case fail.Exists, fail.Conflict:
		return http.StatusConflict
	case fail.Precondition:
		return http.StatusPreconditionFailed
	case fail.Quota:
		return http.StatusForbidden
	case fail.TooLarge:
		return http.StatusRequestEntityTooLarge
	case fail.RateLimited:
		return http.StatusTooManyRequests
	case fail.NoSpace:
		return http.StatusInsufficientStorage
	case fail.Unavailable:
		return http.StatusServiceUnavailable
	case fail.Timeout:
		return http.StatusGatewayTimeout
	case fail.Canceled:
		return 499 // nginx's; the client is gone and only the log sees it
	case fail.Unsupported:
		return http.StatusNotImplemented
	}
	return http.StatusInternalServerError
}

// answer is an error as Huawei's clients (error_code, error_msg), OpenStack's (error.code, .title, .message) and
// people can read it: before a service is known, the caller's dialect is not known either.
type answer struct {
	Error struct {
		Code    int       `json:"code"`
		Title   string    `json:"title"`
		Message string    `json:"message"`
		Kind    fail.Kind `json:"kind"`
		Field   string    `json:"field,omitempty"`
	} `json:"error"`
	ErrorCode string `json:"error_code"`
	ErrorMsg  string `json:"error_msg"`
	RequestID string `json:"request_id"`
}

// Fail writes err with status (0: its kind's). Nothing of err's cause is written.
func Fail(w http.ResponseWriter, r *http.Request, status int, err *fail.Error) {
	if status == 0 {
		status = Status(err.Kind)
	}
	var a answer
	a.Error.Code, a.Error.Title, a.Error.Kind, a.Error.Field = status, http.StatusText(status), err.Kind, err.Field
	a.Error.Message = err.Public()
	a.ErrorCode, a.ErrorMsg = "Awan."+string(err.Kind), err.Public()
	a.RequestID = From(r.Context()).RequestID
	body, e := json.Marshal(a)
	if e != nil {
		body = []byte(`{"error_code":"Awan.internal","error_msg":"the error could not be written"}`)
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(body)+1))
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(append(body, '\n')) // the client may be gone; the access log has the status
	}
}
