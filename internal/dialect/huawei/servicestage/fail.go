package servicestage

import (
	"net/http"
	"strings"

	"github.com/awancloud/awan/internal/dialect/front"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/fail"
)

// statuses is the one table from kinds of failure to HTTP; the code is ServiceStage's, SVCSTG.00100 and the status.
func statuses() map[fail.Kind]int {
	return map[fail.Kind]int{
		fail.Invalid:         http.StatusBadRequest,
		fail.Unauthenticated: http.StatusUnauthorized,
		fail.Denied:          http.StatusForbidden,
		fail.NotFound:        http.StatusNotFound,
		fail.Gone:            http.StatusNotFound,
		fail.Exists:          http.StatusConflict,
		fail.Conflict:        http.StatusConflict,
		fail.Precondition:    http.StatusConflict,
		fail.Quota:           http.StatusForbidden,
		fail.TooLarge:        http.StatusRequestEntityTooLarge,
		fail.RateLimited:     http.StatusTooManyRequests,
		fail.Unsupported:     http.StatusBadRequest,
		fail.NoSpace:         http.StatusServiceUnavailable,
		fail.Unavailable:     http.StatusServiceUnavailable,
		fail.Timeout:         http.StatusGatewayTimeout,
		fail.Canceled:        http.StatusGatewayTimeout,
		fail.DataLoss:        http.StatusInternalServerError,
		fail.Internal:        http.StatusInternalServerError,
	}
}

// words are our fields' names in this API.
func words() *strings.Replacer {
	return strings.NewReplacer("spec.parameters", "spec.parameters", "spec.sdk", "spec.sdk", "spec.base", "spec.parameters."+baseImage,
		"spec.mounts", "storages", "spec.metrics", "custom_metric", "spec.cpu", "limit_cpu", "spec.memory", "limit_memory", "spec.replicas", "replica", "spec.env", "envs",
		"spec.probe", "readiness_probe", "spec.port", "external_accesses.forward_port", "spec.", "")
}

// Fail writes an error in ServiceStage's form.
func Fail(w http.ResponseWriter, r *http.Request, err error) {
	e := *fail.From(err)
	status, ok := statuses()[e.Kind]
	if !ok {
		status = http.StatusInternalServerError
	}
	e.Field = words().Replace(e.Field)
	code := "SVCSTG.00100" + itoa(status)
	wire.Write(w, status, map[string]any{"error_code": code, "error_msg": e.Public(), "request_id": front.From(r.Context()).RequestID})
}
