package rest

import (
	"cmp"
	"net/http"

	"github.com/awancloud/awan/internal/dialect/openstack/token"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/fail"
)

// Codes are the HTTP statuses of the kinds of failure in which a service differs from Keystone.
type Codes map[fail.Kind]int

// Status is the status of a kind.
func (c Codes) Status(k fail.Kind) int {
	if k == fail.NoSpace {
		return cmp.Or(c[k], http.StatusConflict) // there is no valid host, or no address left
	}
	return cmp.Or(c[k], token.Status(k))
}

// Writer makes what writes a service's errors: form says how one looks there. What stands before the services, and asks who is calling, has
// Keystone's form in all of them.
func (c Codes) Writer(form func(w http.ResponseWriter, status int, e *fail.Error)) func(http.ResponseWriter, *http.Request, error) {
	return func(w http.ResponseWriter, _ *http.Request, err error) {
		if n, ok := err.(NotSpoken); ok {
			form(w, http.StatusNotAcceptable, fail.New(fail.Invalid, "%s", n.Message))
			return
		}
		e := fail.From(err)
		status := c.Status(e.Kind)
		if status == http.StatusUnauthorized {
			token.WriteError(w, err)
			return
		}
		form(w, status, e)
	}
}

// wrappers are the names under which Nova and Cinder put an error.
var wrappers = map[int]string{http.StatusBadRequest: "badRequest", http.StatusForbidden: "forbidden", http.StatusNotFound: "itemNotFound", http.StatusMethodNotAllowed: "badMethod",
	http.StatusConflict: "conflictingRequest", http.StatusRequestEntityTooLarge: "overLimit", http.StatusTooManyRequests: "overLimit", http.StatusUnsupportedMediaType: "badMediaType",
	http.StatusNotImplemented: "notImplemented", http.StatusServiceUnavailable: "serviceUnavailable"}

// Wrapped writes an error as Nova and Cinder do: {"itemNotFound": {"code": 404, "message": …}}.
func Wrapped(w http.ResponseWriter, status int, e *fail.Error) {
	wire.Write(w, status, map[string]any{cmp.Or(wrappers[status], "computeFault"): map[string]any{"code": status, "message": e.Public()}})
}
