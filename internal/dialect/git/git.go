// Package git speaks git's smart HTTP protocol in front of components' own repositories, and takes webhooks and calls
// that deploy a component. It may import the kernel, dialect/auth and service/app.
package git

import (
	"compress/gzip"
	"context"
	"crypto/subtle"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/awancloud/awan/internal/dialect/auth"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/app"
)

// Verbs are how policies and the audit log name what git does; they are actions of app/component.
const (
	Fetch = "git-fetch"
	Push  = "git-push"
)

// Handler answers under /{project}/{component}.git and /{project}/{component}/hook.
type Handler struct {
	Door    *call.Door
	Ident   *ident.Service
	App     *app.Service
	Account string // the domain of users who name none
}

// Route is one line of the handler's table, for the coverage test.
type Route struct{ Method, Path, Verb string }

// Routes lists what there is. The hook has no verb: it needs a deploy token.
func Routes() []Route {
	return []Route{
		{"GET", "/git/{project}/{component}.git/info/refs?service=git-upload-pack", Fetch},
		{"POST", "/git/{project}/{component}.git/git-upload-pack", Fetch},
		{"GET", "/git/{project}/{component}.git/info/refs?service=git-receive-pack", Push},
		{"POST", "/git/{project}/{component}.git/git-receive-pack", Push},
		{"POST", "/git/{project}/{component}/hook", ""},
	}
}

// ServeHTTP answers a request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	project, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	name, what, _ := strings.Cut(rest, "/")
	bare, isGit := strings.CutSuffix(name, ".git")
	var err error
	switch {
	case isGit && what == "info/refs" && r.Method == http.MethodGet:
		err = h.refs(w, r, project, bare)
	case isGit && r.Method == http.MethodPost && what == "git-upload-pack":
		err = h.exchange(w, r, project, bare, Fetch)
	case isGit && r.Method == http.MethodPost && what == "git-receive-pack":
		err = h.exchange(w, r, project, bare, Push)
	case what == "hook" && r.Method == http.MethodPost:
		err = h.hook(w, r, project, name)
	default:
		err = fail.New(fail.NotFound, "there is no %s %s", r.Method, r.URL.Path).Then("the address of a repository is /git/PROJECT/COMPONENT.git")
	}
	if err != nil {
		h.fail(w, err)
	}
}

var statuses = map[fail.Kind]int{fail.Invalid: 400, fail.Unauthenticated: 401, fail.Denied: 403, fail.NotFound: 404, fail.Exists: 409, fail.Conflict: 409,
	fail.Precondition: 412, fail.Quota: 403, fail.TooLarge: 413, fail.RateLimited: 429, fail.NoSpace: 507, fail.DataLoss: 500, fail.Unavailable: 503, fail.Timeout: 504,
	fail.Canceled: 499, fail.Gone: 404, fail.Unsupported: 501, fail.Internal: 500}

// fail writes an error as plain text, which git shows to who uses it.
func (h *Handler) fail(w http.ResponseWriter, err error) {
	e := fail.From(err)
	if e.Kind == fail.Unauthenticated {
		w.Header().Set("WWW-Authenticate", `Basic realm="awan"`)
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(statuses[e.Kind])
	_, _ = fmt.Fprintln(w, e.Public()) // a client that is gone needs no answer
}

// permit finds out who asks, and whether they may.
func (h *Handler) permit(r *http.Request, project, name, verb string) (app.Pushing, error) {
	c := call.Call{Project: project, Source: auth.Source(r), Agent: r.UserAgent(), Dialect: "git", RequestID: r.Header.Get("X-Request-Id")}
	user, password, ok := r.BasicAuth()
	if !ok {
		return app.Pushing{}, fail.New(fail.Unauthenticated, "this needs a log-in").
			Then("use an access key and its secret, the word token and a token, a user's name and password, or a deploy token as password")
	}
	if strings.HasPrefix(password, app.TokenPrefix) {
		p, row, err := h.App.Deployer(r.Context(), h.projectOf(r.Context(), user, project), name, app.SameToken(password))
		if err != nil {
			return app.Pushing{}, err
		}
		c.Principal, c.Project = p, string(row.Project)
		return app.Pushing{Project: row.Project, Name: row.Name, From: c}, nil
	}
	var err error
	if c.Principal, err = h.who(r, user, password); err != nil {
		return app.Pushing{}, err
	}
	ask := c
	_, pid, err := h.Door.Permit(r.Context(), &ask, h.App.Component.D, verb, name)
	if err != nil {
		return app.Pushing{}, err
	}
	return app.Pushing{Project: pid, Name: name, From: c}, nil
}

// who reads Basic credentials like the registry does.
func (h *Handler) who(r *http.Request, user, password string) (ident.Principal, error) {
	if user == "token" {
		p, _, err := h.Ident.ByToken(r.Context(), password)
		return p, err
	}
	p, key, err := h.Ident.ByKey(r.Context(), user)
	if err == nil {
		if subtle.ConstantTimeCompare([]byte(key), []byte(password)) != 1 {
			return ident.Principal{}, fail.New(fail.Unauthenticated, "the secret of access key %s is wrong", user)
		}
		return p, nil
	}
	domain, name, two := strings.Cut(user, "/")
	if !two {
		domain, name = h.Account, user
	}
	return h.Ident.ByPassword(r.Context(), domain, name, password, auth.Source(r))
}

// projectOf gives the id of a project that is named: of the domain in DOMAIN/ANYTHING, as users write it, else of the
// domain of users who name none. What is not found stays as it is.
func (h *Handler) projectOf(ctx context.Context, user, project string) string {
	domain, _, two := strings.Cut(user, "/")
	if !two {
		domain = h.Account
	}
	_ = h.Door.Store.View(ctx, func(tx store.Tx) error { // who finds nothing is told so by the look-up that follows
		d, err := h.Ident.Kinds.Domain.Find(tx, "-", domain)
		if err != nil || d == nil {
			return err
		}
		if p, err := h.Ident.Kinds.Project.Find(tx, string(d.ID), project); err == nil && p != nil {
			project = string(p.ID)
		}
		return err
	})
	return project
}

func (h *Handler) refs(w http.ResponseWriter, r *http.Request, project, name string) error {
	service := r.URL.Query().Get("service")
	verb := map[string]string{"git-upload-pack": Fetch, "git-receive-pack": Push}[service]
	if verb == "" {
		return fail.New(fail.Unsupported, "only git's smart protocol is spoken here").Then("use a git of this century")
	}
	p, err := h.permit(r, project, name, verb)
	if err != nil {
		return err
	}
	protocol := r.Header.Get("Git-Protocol")
	out := &late{w: w, contentType: "application/x-" + service + "-advertisement"}
	if !strings.Contains(protocol, "version=2") || service == "git-receive-pack" {
		line := "# service=" + service + "\n"
		out.before = fmt.Sprintf("%04x%s0000", len(line)+4, line)
	}
	return out.end(h.App.Advertise(r.Context(), p, service, protocol, out))
}

func (h *Handler) exchange(w http.ResponseWriter, r *http.Request, project, name, verb string) error {
	p, err := h.permit(r, project, name, verb)
	if err != nil {
		return err
	}
	service := map[string]string{Fetch: "git-upload-pack", Push: "git-receive-pack"}[verb]
	body := io.Reader(r.Body)
	if r.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(body)
		if err != nil {
			return fail.New(fail.Invalid, "the request is damaged").Because(err)
		}
		body = z
	}
	out := &late{w: w, contentType: "application/x-" + service + "-result"}
	if verb == Push {
		return out.end(h.App.Receive(r.Context(), p, body, out))
	}
	return out.end(h.App.Upload(r.Context(), p, r.Header.Get("Git-Protocol"), body, out))
}

// late begins the answer with its first byte, so that what fails before is told as an error; each part goes out at once.
type late struct {
	w                   http.ResponseWriter
	contentType, before string
	began               bool
}

func (l *late) Write(p []byte) (int, error) {
	if !l.began {
		l.began = true
		l.w.Header().Set("Content-Type", l.contentType)
		l.w.Header().Set("Cache-Control", "no-cache")
		if _, err := io.WriteString(l.w, l.before); err != nil {
			return 0, err
		}
	}
	n, err := l.w.Write(p)
	if err == nil {
		err = http.NewResponseController(l.w).Flush()
	}
	return n, err
}

// end passes an error on when nothing was written yet; later ones git has told itself.
func (l *late) end(err error) error {
	if err == nil && !l.began {
		_, err = l.Write(nil)
	}
	if l.began {
		return nil
	}
	return err
}
