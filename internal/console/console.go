// Package console is the web console: pages rendered on the server from the same kinds that every other dialect serves.
// Pages work without scripts; htmx and a few lines of our own add what only a script can do (live refresh, log streams).
// It may import the kernel, dialect/{auth,federation,native,oidc} and the exported spec types of services; every call goes through the door.
package console

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"strings"
	"time"

	"github.com/awancloud/awan/internal/dialect/login"
	"github.com/awancloud/awan/internal/dialect/native"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/service/bucket"
	"github.com/awancloud/awan/internal/service/fabric/reach"
	"github.com/awancloud/awan/internal/service/federation"
	"github.com/awancloud/awan/internal/service/metric"
)

// Options are what a console stands on.
type Options struct {
	Door    *call.Door
	Now     func() time.Time // time.Now when nil
	Version string
	URL     string // where the cloud answers, for the commands that pages show: "https://host:port"

	// Metrics is what was measured; nil: nothing is. Reading it asks the door each time.
	Metrics *metric.Service
	// API is the native API, which the explorer's calls go to with the session's token; nil: they cannot be run.
	API http.Handler

	// Federation is other ways to log in, and apps that ask who somebody is; nil: the cloud has none.
	Federation *federation.Service
	// Buckets is object storage; nil: there is none.
	Buckets bucket.API
	// World is what a VPC's rows let pass; nil: pages do not draw networks.
	World func(ctx context.Context, vpc id.ID) (reach.World, error)
	// Account is the domain whose identity providers the log-in page offers before another is named.
	Account string
}

// Console serves the pages.
type Console struct {
	Options
	mux    *http.ServeMux
	pages  *pages
	origin *http.CrossOriginProtection
	kinds  map[string]*kind.Def // by "service/plural", as in paths

	readings readings
}

// New makes the console's handler.
func New(o Options) http.Handler {
	if o.Now == nil {
		o.Now = time.Now
	}
	c := &Console{Options: o, mux: http.NewServeMux(), origin: http.NewCrossOriginProtection(), kinds: map[string]*kind.Def{}}
	c.pages = loadPages(c)
	for _, k := range o.Door.Kinds {
		c.kinds[k.Service+"/"+k.Plural] = k
	}
	c.routes()
	return c
}

// MaxForm bounds a posted form.
const MaxForm = 2 << 20

type handler func(q *request) error

func (c *Console) routes() {
	c.mux.HandleFunc("GET /static/{file}", c.pages.assets.serve)
	public := map[string]handler{
		"GET /login": (*request).loginPage, "POST /login": (*request).login, "POST /theme": (*request).setTheme,
		"GET /complete": (*request).completePage, "POST /complete/device": (*request).completeDevice,
		"POST /login/passkey": (*request).loginPasskey, "POST /complete/passkey": (*request).completePasskey,
		"POST /complete/passkey/confirm": (*request).completePasskeyConfirm,
		"POST /complete/confirm":         (*request).completeConfirm, "POST /complete/password": (*request).completePassword,
	}
	private := map[string]handler{
		"GET /{$}": (*request).dashboard, "GET /deploy": (*request).deployPage, "POST /deploy": (*request).deploy,
		"GET /account": (*request).accountPage, "POST /account/remove": (*request).accountRemove,
		"POST /logout": (*request).logout, "POST /project": (*request).chooseProject,
		"GET /jobs/{id}": (*request).jobPage, "GET /jobs/{id}/live": (*request).jobLive,
		"GET /audit": (*request).audit, "GET /usage": (*request).usage,
		"GET /quota": (*request).quota, "POST /quota": (*request).setQuota, "GET /trash": (*request).trash,

		"GET /k/{service}/{plural}": (*request).kindList, "POST /k/{service}/{plural}": (*request).kindCreate,
		"GET /new/{service}/{plural}":    (*request).kindNew,
		"GET /k/{service}/{plural}/{id}": (*request).kindShow, "POST /k/{service}/{plural}/{id}": (*request).kindUpdate,
		"GET /k/{service}/{plural}/{id}/edit":            (*request).kindEdit,
		"GET /k/{service}/{plural}/{id}/live":            (*request).kindLive,
		"POST /k/{service}/{plural}/{id}/delete":         (*request).kindDelete,
		"POST /k/{service}/{plural}/{id}/restore":        (*request).kindRestore,
		"GET /k/{service}/{plural}/{id}/actions/{verb}":  (*request).kindActionPage,
		"POST /k/{service}/{plural}/{id}/actions/{verb}": (*request).kindAction,

		"GET /configs/{id}": (*request).configShow, "POST /configs/{id}": (*request).configSave, "POST /configs/{id}/rollback": (*request).configRollback,
		"GET /simulate": (*request).simulate, "GET /unused": (*request).unused, "GET /audit/{id}/why": (*request).why, "GET /audit/verify": (*request).verifyAudit,
		"GET /explorer": (*request).explorer, "GET /explorer/{service}/{plural}": (*request).explorer, "POST /explorer/{service}/{plural}": (*request).explorerRun,

		"GET /apps": (*request).apps, "GET /apps/{name}": (*request).appOverview,
		"GET /apps/{name}/metrics": (*request).appMetrics, "GET /apps/{name}/metrics/live": (*request).appMetricsLive,
		"GET /apps/{name}/gray":    (*request).appGray,
		"GET /apps/{name}/arrived": (*request).appArrived, "GET /apps/{name}/live": (*request).appLive, "GET /apps/{name}/state": (*request).appState,
		"GET /apps/{name}/logs": (*request).appLogs, "GET /apps/{name}/log": (*request).appLogStream,
		"GET /apps/{name}/log.txt": (*request).appLogText, "GET /apps/{name}/build": (*request).appBuild,
		"GET /apps/{name}/build-log": (*request).appBuildStream, "GET /apps/{name}/build-log.txt": (*request).appBuildText,
		"GET /apps/{name}/releases": (*request).appReleases, "GET /apps/{name}/events": (*request).appEvents,
		"GET /apps/{name}/variables": (*request).appVariables, "POST /apps/{name}/variables": (*request).appVariables,
		"GET /apps/{name}/settings": (*request).appSettings, "POST /apps/{name}/settings": (*request).appSettings,
		"GET /apps/{name}/exec": (*request).appExec, "POST /apps/{name}/exec": (*request).appExec,
		"POST /apps/{name}/actions/{verb}": (*request).appAction, "POST /apps/{name}/delete": (*request).appDelete,
	}
	maps.Copy(private, bucketRoutes)
	maps.Copy(private, machineRoutes)
	if c.Federation != nil {
		private["GET /consent"], private["POST /consent"] = (*request).consentPage, (*request).consent
	}
	for pattern, h := range public {
		c.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { c.serve(w, r, h, false) })
	}
	for pattern, h := range private {
		c.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { c.serve(w, r, h, true) })
	}
	c.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		c.serve(w, r, func(q *request) error {
			return fail.New(fail.NotFound, "there is no page %s", q.URL.Path).Then("the dashboard shows what there is")
		}, true)
	})
}

// policy allows what the pages use and nothing else: no inline script or style, nothing from elsewhere.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
	"font-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"

// ServeHTTP answers a request for a page.
func (c *Console) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), microphone=(), geolocation=(), payment=(), usb=()")
	h.Set("Cache-Control", "no-store")
	c.mux.ServeHTTP(w, r)
}

// serve finds out who asks, refuses forged posts, runs the page and shows its error when it has one.
func (c *Console) serve(w http.ResponseWriter, r *http.Request, h handler, private bool) {
	q := &request{Console: c, w: w, Request: r, reqID: r.Header.Get("X-Request-Id")}
	if q.reqID == "" {
		q.reqID = string(id.New())
	}
	err := q.identify()
	if err == nil && private && q.who.Nobody() {
		err = fail.New(fail.Unauthenticated, "this needs a log-in")
	}
	if err == nil && private && q.who.Restricted != "" && r.URL.Path != "/logout" {
		http.Redirect(w, r, "/complete", http.StatusSeeOther)
		return
	}
	if err == nil && r.Method != http.MethodGet && r.Method != http.MethodHead {
		err = q.checkPost()
	}
	if err == nil && !q.who.Nobody() {
		err = q.findProjects()
	}
	if err == nil && q.PostForm.Has(codeField) {
		err = login.Verify(r.Context(), q.Door, q.who, q.PostForm.Get(codeField), q.from())
		if err == nil {
			err = q.identify() // the session is another now
		}
	}
	if err == nil {
		err = h(q)
	}
	if err != nil {
		q.showError(err)
	}
}

// errorPage is what an error page shows.
type errorPage struct {
	Status  int
	Heading string
	Err     *fail.Error
	Request string
}

var headings = map[fail.Kind]string{
	fail.NotFound: "Not found", fail.Denied: "Not allowed", fail.Unauthenticated: "Please log in", fail.Internal: "Something went wrong",
	fail.Unavailable: "Not available now", fail.Conflict: "Changed meanwhile", fail.Invalid: "That cannot be done",
	fail.TooLarge: "Too large", fail.RateLimited: "Too many requests", fail.Precondition: "Something must be done first", fail.Quota: "Quota reached",
}

func (q *request) showError(err error) {
	e := fail.From(err)
	if e.Kind == fail.Internal {
		q.Door.Log.Error("console: a page failed", "request", q.reqID, "path", q.URL.Path, "err", err)
	}
	if e.Kind == fail.Canceled || q.began {
		return
	}
	if q.scripted() {
		q.w.Header().Set("Content-Type", "application/json")
		q.w.WriteHeader(native.StatusOf(err))
		_ = json.NewEncoder(q.w).Encode(map[string]any{"kind": e.Kind, "field": e.Field, "message": e.Message, "next": e.Next})
		return
	}
	if e.Kind == fail.Unauthenticated && q.URL.Path != "/login" {
		q.toLogin()
		return
	}
	if q.confirmable(e) && q.askConfirmation(e) == nil {
		return
	}
	p := errorPage{Status: native.StatusOf(err), Heading: headings[e.Kind], Err: e, Request: q.reqID}
	if p.Heading == "" {
		p.Heading = "That did not work"
	}
	if rerr := q.renderStatus(p.Status, "error", p.Heading, p); rerr != nil {
		q.Door.Log.Error("console: the error page failed", "err", errors.Join(err, rerr))
	}
}

// ownPath gives back p when it is a path of this console, and "/" when it could lead elsewhere.
func ownPath(p string) string {
	if !strings.HasPrefix(p, "/") || strings.HasPrefix(p, "//") || strings.ContainsAny(p, "\\\r\n\t\x00") {
		return "/"
	}
	return p
}
