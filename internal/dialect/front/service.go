package front

import (
	"net/http"
	"strings"

	"github.com/awancloud/awan/internal/kernel/fail"
)

// Service is one API behind the listener.
//
// Its requests are recognised, in this order: by host name, {Name}.{region}.{domain} or {Name}.{domain}; by the first
// path segment, /{Name}/…, which is cut off (Info.Path keeps it); by Match; by Routes.
type Service struct {
	Name     string   // "vpc": a label of host names and a path prefix
	Aliases  []string // the same for other names
	Hosts    []string // labels of host names only
	Prefixes []string // path prefixes only
	HostOnly bool     // Name and Aliases are no path prefixes

	// Sub admits names before the service's: {bucket}.obs.{region}.{domain}; Info.Sub holds what stands there.
	Sub bool

	// Routes are "METHOD /path/{placeholder}" patterns by which requests without name or prefix find the service; the
	// rule between overlapping ones is package route's. Where services share a shape, the first in Options.Services
	// whose Prefer says yes gets it, else the first without a Prefer, else the first.
	Routes []string
	Prefer func(*http.Request) bool
	// Match recognises requests that no pattern describes (the OCI registry's names hold slashes).
	Match func(*http.Request) bool

	Handler http.Handler
	// MaxBody bounds request bodies in bytes: 0 means 8 MiB, below 0 no bound. BodyLimit, if set, decides by request.
	MaxBody   int64
	BodyLimit func(*http.Request) int64
	// Fail writes an error in the service's own form, for errors found before its handler is asked; nil: Fail of this
	// package. The status is http's; err is public but for its cause.
	Fail func(w http.ResponseWriter, r *http.Request, status int, err *fail.Error)
}

func (s *Service) limit(r *http.Request) int64 {
	switch {
	case s.BodyLimit != nil:
		return s.BodyLimit(r)
	case s.MaxBody == 0:
		return defaultBody
	}
	return s.MaxBody
}

func (s *Service) labels() []string {
	return append(append([]string{s.Name}, s.Aliases...), s.Hosts...)
}

func (s *Service) prefixes() []string {
	if s.HostOnly {
		return s.Prefixes
	}
	return append(append([]string{s.Name}, s.Aliases...), s.Prefixes...)
}

// OCI recognises the OCI distribution protocol by its paths: for the registry's Service.Match.
func OCI(r *http.Request) bool {
	rest, ok := strings.CutPrefix(r.URL.Path, "/v2/")
	if !ok {
		return false
	}
	if rest == "" || rest == "_catalog" || rest == "_token" {
		return true
	}
	if strings.HasPrefix(rest, "manage/") { // Huawei's management API; no organisation has that name
		return false
	}
	seg := strings.Split(strings.TrimSuffix(rest, "/"), "/")
	n := len(seg)
	switch {
	case n < 3:
		return false
	case seg[n-1] == "list" && seg[n-2] == "tags":
		return r.Method == http.MethodGet
	case seg[n-2] == "manifests", seg[n-2] == "blobs" && (seg[n-1] == "uploads" || strings.Contains(seg[n-1], ":")):
		return true
	case seg[n-2] == "referrers":
		return strings.Contains(seg[n-1], ":")
	}
	return n >= 4 && seg[n-2] == "uploads" && seg[n-3] == "blobs"
}
