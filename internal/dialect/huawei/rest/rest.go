// Package rest is what Huawei Cloud's APIs of servers, disks, images and key pairs have in common: which project a request
// is about, how bodies are read, how changes are sent, and how ids, times, tags, pages, jobs and errors are written.
// It may import the kernel and dialect/{auth,front,wire}.
package rest

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/awancloud/awan/internal/dialect/auth"
	"github.com/awancloud/awan/internal/dialect/front"
	"github.com/awancloud/awan/internal/dialect/huawei/sign"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
)

// Exchange is one request on its way to the door.
type Exchange = wire.Exchange

// Route is a line of an API's table. Alias are the names that Huawei's documents give the action, which policies may say.
type Route struct {
	Method, Path string
	Kind         *kind.Def
	Verb         string
	Alias        string
	Do           func(*Exchange) error
}

// Style is how an API says its errors.
type Style struct {
	// Code gives the HTTP status and the code of a failure.
	Code func(e *fail.Error) (status int, code string)
	// Flat writes {"error_code", "error_msg"}; otherwise it is {"error": {"code", "message"}}.
	Flat bool
	// Words are our fields' names in this API.
	Words *strings.Replacer
}

// New makes an API of routes.
func New(door *call.Door, a *auth.Authenticator, region string, style Style, routes ...[]Route) *wire.API {
	api := wire.New(wire.Options{Door: door, Auth: a, Region: region, Dialect: "huawei", Fail: style.fail, Enter: Enter})
	for _, rs := range routes {
		for _, r := range rs {
			api.Add(wire.Route{Method: r.Method, Path: r.Path, Kind: r.Kind, Verb: r.Verb, Do: func(x *Exchange) error {
				x.Call.Alias = r.Alias
				return r.Do(x)
			}})
		}
	}
	return api
}

// Ours recognises the requests of Huawei's clients: signed, or sent by one that says so.
func Ours(r *http.Request) bool {
	return sign.Present(r) || strings.Contains(strings.ToLower(r.UserAgent()), "huaweicloud")
}

// Enter puts the request into the project that its path names, or its header: not all paths do.
func Enter(x *Exchange) error {
	h := x.R.Header
	if d := h.Get("X-Domain-Id"); d != "" && d != string(x.Who.Domain) {
		x.Call.Domain = d
	}
	x.Call.Project = x.Param("project_id")
	if x.Call.Project == "" {
		x.Call.Project = h.Get("X-Project-Id")
	}
	if x.Call.Project == "" && x.Who.Project == "" {
		x.Call.Project = x.API.Region // the project that is called like the region
	}
	return nil
}

func (s Style) fail(w http.ResponseWriter, r *http.Request, err error) {
	e := *fail.From(err)
	status, code := s.Code(&e)
	if s.Words != nil {
		e.Field = s.Words.Replace(e.Field)
	}
	request := front.From(r.Context()).RequestID
	if s.Flat {
		wire.Write(w, status, map[string]any{"error_code": code, "error_msg": e.Public(), "request_id": request})
		return
	}
	wire.Write(w, status, map[string]any{"error": map[string]any{"code": code, "message": e.Public()}, "request_id": request})
}

// Status is the HTTP status of a kind of failure, where an API's documents say nothing else.
func Status(k fail.Kind) int {
	switch k {
	case fail.Precondition, fail.Unsupported:
		return http.StatusBadRequest
	case fail.NoSpace:
		return http.StatusServiceUnavailable
	case fail.Canceled:
		return http.StatusGatewayTimeout
	}
	return front.Status(k)
}

// Body reads a request's body into v. Fields that v does not know are left alone, as these APIs do.
func Body(x *Exchange, v any) error {
	b, err := x.Bytes()
	if err != nil || len(b) == 0 {
		return err
	}
	if err := json.Unmarshal(b, v); err != nil {
		var wrong *json.UnmarshalTypeError
		if errors.As(err, &wrong) && wrong.Field != "" {
			return fail.Field(wrong.Field, "is a %s, want a %s", wrong.Value, wrong.Type).Because(err)
		}
		return fail.New(fail.Invalid, "the body is no JSON object").Because(err)
	}
	return nil
}

// May asks whether the caller may do something, before anything is told about what was sent.
func May(x *Exchange, k *kind.Def, verb, target string) error {
	c := x.Call
	_, _, err := x.API.Door.Permit(x.R.Context(), &c, k, verb, target)
	return err
}

// Refuse gives err to a caller who may do verb at all, and the refusal of that to one who may not.
func Refuse(x *Exchange, k *kind.Def, verb, target string, err error) error {
	if denied := May(x, k, verb, target); denied != nil {
		return denied
	}
	return err
}

// NotOffered answers requests for what this cloud has not.
func NotOffered(k *kind.Def, verb, why, next string) func(*Exchange) error {
	return func(x *Exchange) error {
		return Refuse(x, k, verb, "*", fail.New(fail.Unsupported, "%s", why).Then("%s", next))
	}
}

// OK answers 200 with v.
func OK(x *Exchange, v any) error {
	wire.Write(x.W, http.StatusOK, v)
	return nil
}

// ID prints an id of a resource: as a UUID, as these APIs do. Those of projects, domains and jobs are printed plain.
func ID[T ~string](s T) string {
	if i, ok := id.Parse(string(s)); ok {
		return i.Dashed()
	}
	return string(s)
}

// IDs prints ids.
func IDs(list []string) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = ID(s)
	}
	return out
}

// Stamp prints a time to the second; the zero time is "".
func Stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05Z")
}

// Fine prints a time as OpenStack's older APIs do, to the microsecond and without a zone.
func Fine(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05.000000")
}

// Enterprise is the enterprise project of a row; the default one is called 0.
func Enterprise(m *kind.Meta) string {
	if m.EnterpriseProject == "" {
		return "0"
	}
	return string(m.EnterpriseProject)
}

// EnterpriseAsked is the enterprise project whose rows a list is about; "" means all.
func EnterpriseAsked(x *Exchange) string {
	if ep := x.Query("enterprise_project_id"); ep != "all_granted_eps" {
		return ep
	}
	return ""
}

// NameOf is a row's name as a client gave it: rows without one are called by their id.
func NameOf(m *kind.Meta) string {
	if m.Name == string(m.ID) {
		return ""
	}
	return m.Name
}
