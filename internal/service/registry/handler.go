package registry

import (
	"encoding/json"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/distribution/reference"

	"github.com/awancloud/awan/internal/kernel/fail"
)

// ServeHTTP answers clients from outside (docker, podman, skopeo, crane) under /v2/: who they are and what they may do
// is asked first, then distribution serves.
func (r *Registry) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	if q.URL.Path == TokenPath && r.token != nil {
		r.token.ServeHTTP(w, q)
		return
	}
	repository, actions, ok := scope(q.Method, q.URL.Path)
	if !ok {
		writeError(w, http.StatusNotFound, "NAME_INVALID", "this address is not part of the registry")
		return
	}
	who, err := r.authorize(q, repository, actions)
	if err != nil {
		r.refuse(w, q, err)
		return
	}
	// A mount takes a blob out of another repository without sending it: whoever may not read that one sends the blob.
	if from := q.URL.Query().Get("from"); from != "" {
		if _, err := reference.WithName(from); err != nil {
			q = withoutMount(q)
		} else if _, err := r.authorize(q, from, []string{Pull}); err != nil {
			q = withoutMount(q)
		}
	}
	c := change{who: who, source: q.RemoteAddr, agent: q.UserAgent(), rid: q.Header.Get("X-Request-Id")}
	if host, _, err := net.SplitHostPort(q.RemoteAddr); err == nil {
		c.source = host
	}
	r.serve(w, q, repository, c)
}

// scope says which repository a request is about and what it does to it; ok is false for an address the protocol
// does not know. The names are checked here so that what is authorised is exactly what is served.
func scope(method, path string) (repository string, actions []string, ok bool) {
	rest, found := strings.CutPrefix(path, "/v2/")
	switch {
	case path == "/v2" || found && rest == "":
		return "", nil, true
	case !found:
		return "", nil, false
	case rest == "_catalog":
		return "", []string{List}, true
	}
	switch method {
	case http.MethodGet, http.MethodHead:
		actions = []string{Pull}
	case http.MethodPut, http.MethodPost, http.MethodPatch:
		actions = []string{Pull, Push}
	case http.MethodDelete:
		actions = []string{Delete}
	default:
		return "", nil, false
	}
	// A repository's name may itself contain "blobs" as a part: the last marker is the one that counts.
	cut := -1
	for _, marker := range []string{"/manifests/", "/blobs/", "/tags/list", "/referrers/"} {
		cut = max(cut, strings.LastIndex(rest, marker))
	}
	if cut <= 0 {
		return "", nil, false
	}
	repository = rest[:cut]
	if _, err := reference.WithName(repository); err != nil || repository != strings.ToLower(repository) {
		return "", nil, false
	}
	if method == http.MethodDelete && strings.Contains(rest[cut:], "/uploads/") {
		actions = []string{Pull, Push} // gives up one's own upload
	}
	return repository, actions, true
}

// withoutMount turns a mount into an ordinary upload, as the specification wants from a registry that cannot mount.
func withoutMount(q *http.Request) *http.Request {
	values := q.URL.Query()
	values.Del("mount")
	values.Del("from")
	c := q.Clone(q.Context())
	u := *q.URL
	u.RawQuery = values.Encode()
	c.URL = &u
	c.RequestURI = u.RequestURI()
	c.Form = url.Values(nil)
	return c
}

// Refuse answers with an error in the registry's form.
func (r *Registry) Refuse(w http.ResponseWriter, q *http.Request, err error) { r.refuse(w, q, err) }

// refuse turns a failure of the identity into the error the specification has for it.
func (r *Registry) refuse(w http.ResponseWriter, q *http.Request, err error) {
	e := fail.From(err)
	switch e.Kind {
	case fail.Unauthenticated:
		if r.token != nil {
			w.Header().Add("WWW-Authenticate", `Bearer realm="https://`+q.Host+TokenPath+`",service="`+q.Host+`"`)
		}
		w.Header().Add("WWW-Authenticate", `Basic realm="registry", charset="UTF-8"`)
		writeError(w, http.StatusUnauthorized, "UNAUTHORIZED", e.Public())
	case fail.Denied, fail.Quota, fail.Precondition:
		writeError(w, http.StatusForbidden, "DENIED", e.Public())
	case fail.NotFound:
		writeError(w, http.StatusNotFound, "NAME_UNKNOWN", e.Public())
	case fail.RateLimited:
		writeError(w, http.StatusTooManyRequests, "TOOMANYREQUESTS", e.Public())
	case fail.Invalid:
		writeError(w, http.StatusBadRequest, "NAME_INVALID", e.Public())
	case fail.TooLarge:
		writeError(w, http.StatusRequestEntityTooLarge, "SIZE_INVALID", e.Public())
	case fail.Conflict:
		writeError(w, http.StatusConflict, "DENIED", e.Public())
	default:
		r.log.Error("registry could not authorise", "path", q.URL.Path, "error", err)
		writeError(w, http.StatusServiceUnavailable, "UNAVAILABLE", e.Public())
	}
}

// writeError writes the error body of the OCI distribution specification.
func writeError(w http.ResponseWriter, status int, code, message string) {
	type item struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string][]item{"errors": {{Code: code, Message: message}}})
}
