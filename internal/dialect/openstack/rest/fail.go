package rest

import (
	"net/http"

	"github.com/awancloud/awan/internal/dialect/openstack/token"
	"github.com/awancloud/awan/internal/kernel/fail"
)

// Status is the HTTP status of an error kind in these services. A quota that is used up differs between them.
func Status(k fail.Kind, quota int) int {
	switch k {
	case fail.Quota:
		return quota
	case fail.NoSpace:
		return http.StatusConflict
	}
	return token.Status(k)
}

// Fault writes an error as Nova and Cinder do: {"itemNotFound": {"code": 404, "message": …}}. quota is the status of a
// quota that is used up.
func Fault(quota int) func(http.ResponseWriter, *http.Request, error) {
	return func(w http.ResponseWriter, _ *http.Request, err error) {
		if n, ok := err.(NotSpoken); ok {
			WriteFault(w, http.StatusNotAcceptable, n.Message)
			return
		}
		e := fail.From(err)
		status := Status(e.Kind, quota)
		if status == http.StatusUnauthorized { // not the service's own, but of what stands before it
			token.WriteError(w, err)
			return
		}
		WriteFault(w, status, e.Public())
	}
}

// WriteFault writes a status with its wrapper.
func WriteFault(w http.ResponseWriter, status int, message string) {
	token.Write(w, status, map[string]any{faultName(status): map[string]any{"code": status, "message": message}})
}

func faultName(status int) string {
	switch status {
	case http.StatusBadRequest:
		return "badRequest"
	case http.StatusForbidden:
		return "forbidden"
	case http.StatusNotFound:
		return "itemNotFound"
	case http.StatusMethodNotAllowed:
		return "badMethod"
	case http.StatusConflict:
		return "conflictingRequest"
	case http.StatusRequestEntityTooLarge, http.StatusTooManyRequests:
		return "overLimit"
	case http.StatusUnsupportedMediaType:
		return "badMediaType"
	case http.StatusNotImplemented:
		return "notImplemented"
	case http.StatusServiceUnavailable:
		return "serviceUnavailable"
	}
	return "computeFault"
}
