package console

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/event"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/service/app"
	"github.com/awancloud/awan/internal/service/metric"
)

const (
	componentKind = "app/component"
	releaseKind   = "app/release"
)

type component = kind.Row[app.ComponentSpec, app.ComponentStatus]

type release = kind.Row[app.ReleaseSpec, app.ReleaseStatus]

func appPath(r *component) string { return "/apps/" + pathEscape(r.Name) }

// appView is an app as lists show it.
type appView struct {
	Name, Path, URL string
	State           kind.State
	Reason          string
	Word            string // the state in one word for people
	Ready, Replicas int
	Release         int
	Stack           string
	Environment     string
	Updated         time.Time
}

func (q *request) viewApp(r *component) appView {
	v := appView{Name: r.Name, Path: appPath(r), URL: r.Status.URL, State: r.State, Reason: r.Reason, Ready: r.Status.Ready, Replicas: r.Spec.Replicas,
		Release: r.Status.Release, Stack: r.Status.Stack, Environment: r.Spec.Environment, Updated: r.Updated}
	v.Environment, _ = q.refer("app/environment", v.Environment)
	v.Word = stateWord(r)
	return v
}

// stateWord says how an app is: the row's state, refined by what runs.
func stateWord(r *component) string {
	switch {
	case r.State != kind.Active:
		return string(r.State)
	case r.Spec.Stopped:
		return "stopped"
	case r.Status.Ready >= r.Spec.Replicas && r.Spec.Replicas > 0:
		return "ready"
	case r.Status.Ready == 0 && len(r.Status.Instances) == 0 && r.Status.Release == 0:
		return "empty"
	}
	return "unready"
}

func (q *request) components(limit int, after id.ID) ([]*component, id.ID, error) {
	c := q.newCall(q.Door.KindOf(componentKind), call.List, "")
	c.Filter = kind.Filter{Limit: limit, After: after}
	r, err := q.do(c)
	if err != nil {
		return nil, "", err
	}
	out := make([]*component, len(r.Rows))
	for i, row := range r.Rows {
		out[i] = row.(*component)
	}
	return out, r.Next, nil
}

type appsPage struct {
	Apps      []appView
	Next      string
	NoProject bool
	CanDeploy bool
}

func (q *request) apps() error {
	p := appsPage{NoProject: q.project.ID == ""}
	create := action{"app", "component", call.Create}
	p.CanDeploy = q.may([]action{create})[create]
	if q.Door.KindOf(componentKind) == nil {
		return fail.New(fail.NotFound, "this cloud has no app service")
	}
	if p.NoProject {
		return q.render("apps", "Apps", p)
	}
	after, _ := id.Parse(q.URL.Query().Get("marker"))
	rows, next, err := q.components(pageSize, after)
	if err != nil {
		return err
	}
	for _, r := range rows {
		p.Apps = append(p.Apps, q.viewApp(r))
	}
	if next != "" {
		p.Next = "/apps?marker=" + string(next)
	}
	return q.render("apps", "Apps", p)
}

// appPage is what every tab of an app's page knows.
type appPage struct {
	appView
	Row        *component
	Tab        string
	Can        map[string]bool
	Kind       *kind.Def
	Job        *jobView
	Instances  []instanceView
	Events     []event.Event
	Releases   []releaseView
	Form       form
	Scale      form
	Next       string
	Purge      string
	CSRF       string
	ID         string
	Row2       string // the derived page of the row
	LogInstant string
	Gray       *grayView
	Variables  []variable
	New        bool // it was deployed from the browser just now
}

// instanceView is a running copy with what it uses.
type instanceView struct {
	app.Instance
	Short       string
	CPU         string // of its limit
	Memory      string
	MemoryUsed  int64 // MiB
	MemoryLimit int64
	HasUsage    bool
}

type releaseView struct {
	ID, Note, By, Image, Stack, State string
	Number                            int
	Created                           time.Time
	Live                              bool
	Back                              form
}

func (q *request) component() (*kind.Def, *component, error) {
	k := q.Door.KindOf(componentKind)
	if k == nil {
		return nil, nil, fail.New(fail.NotFound, "this cloud has no app service")
	}
	row, err := q.get(k, q.PathValue("name"))
	if err != nil {
		return nil, nil, err
	}
	return k, row.(*component), nil
}

// appPage reads an app for one of its tabs.
func (q *request) appPage(tab string) (*appPage, error) {
	k, row, err := q.component()
	if err != nil {
		return nil, err
	}
	if row.State == kind.Trashed {
		return nil, fail.New(fail.NotFound, "app %s is in the trash", row.Name).Then("restore it on the page Trash")
	}
	p := &appPage{appView: q.viewApp(row), Row: row, Tab: tab, Kind: k, CSRF: q.csrf(), ID: string(row.ID), Row2: rowPath(k, row.M()), Can: map[string]bool{}}
	var asks []action
	for _, v := range call.Verbs(k) {
		asks = append(asks, action{k.Service, k.Name, v.Verb})
	}
	series := action{metric.Series.Service, metric.Series.Name, call.List}
	asks = append(asks, action{"app", "release", call.List}, series)
	for a, ok := range q.may(asks) {
		if a == series {
			p.Can["series"] = ok && q.Metrics != nil
		} else if a.name == "release" {
			p.Can["releases"] = ok && q.Door.KindOf(releaseKind) != nil
		} else {
			p.Can[a.verb] = ok
		}
	}
	p.New = q.URL.Query().Get("new") != ""
	p.Job = q.jobOf(row.M())
	p.Purge = span(k.Retention)
	if k.Retention <= 0 {
		p.Purge = ""
	}
	return p, nil
}

func (q *request) appOverview() error {
	p, err := q.appPage("overview")
	if err != nil {
		return err
	}
	p.Instances = q.instances(p)
	p.Gray = q.gray(p)
	if p.Can[call.Events] {
		if p.Events, err = q.appEventList(p, 6); err != nil {
			return err
		}
	}
	if a := p.Kind.ActionOf("scale"); a != nil && p.Can["scale"] {
		p.Scale = q.actionForm(p.Path+"/actions/scale", a.ActionDesc, docOf(p.Row.Spec), nil, "")
	}
	return q.render("app_overview", p.Name, p)
}

// appArrived is how far an app is that was deployed from the browser: it ends with the button that opens it.
func (q *request) appArrived() error {
	p, err := q.appPage(q.URL.Query().Get("tab"))
	if err != nil {
		return err
	}
	return q.fragment("app_overview", "arrived", p)
}

// appLive is the instances' table, read again every two seconds.
func (q *request) appLive() error {
	p, err := q.appPage("overview")
	if err != nil {
		return err
	}
	p.Instances = q.instances(p)
	return q.fragment("app_overview", "instances", p)
}

// appState is the head of the page, apart from the table so that it is announced only when it changes.
func (q *request) appState() error {
	p, err := q.appPage(q.URL.Query().Get("tab"))
	if err != nil {
		return err
	}
	return q.fragment("app_overview", "appstate", p)
}

func (q *request) appEventList(p *appPage, n int) ([]event.Event, error) {
	c := q.newCall(p.Kind, call.Events, p.ID)
	c.Filter.Limit = n
	r, err := q.do(c)
	return r.Events, err
}

func (q *request) appEvents() error {
	p, err := q.appPage("events")
	if err != nil {
		return err
	}
	if p.Events, err = q.appEventList(p, event.Keep); err != nil {
		return err
	}
	return q.render("app_events", p.Name+" events", p)
}

func (q *request) appReleases() error {
	p, err := q.appPage("releases")
	if err != nil {
		return err
	}
	k := q.Door.KindOf(releaseKind)
	if k == nil {
		return fail.New(fail.NotFound, "this cloud keeps no releases")
	}
	var rows []*release
	c := q.newCall(k, call.List, "")
	c.Filter.Limit = call.MaxPage
	if slices.Contains(k.IndexBy, "component") {
		c.Filter.Index, c.Filter.Value = "component", p.ID
	} else {
		c.Filter.Where = func(r kind.AnyRow) bool { return r.(*release).Spec.Component == p.ID }
	}
	for {
		r, err := q.do(c)
		if err != nil {
			return err
		}
		for _, row := range r.Rows {
			rows = append(rows, row.(*release))
		}
		if r.Next == "" {
			break
		}
		c.Filter.After = r.Next
	}
	slices.SortFunc(rows, func(a, b *release) int { return b.Spec.Number - a.Spec.Number })
	for _, r := range rows {
		v := releaseView{ID: string(r.ID), Note: r.Spec.Note, By: r.Spec.By, Image: r.Spec.Image, Stack: r.Spec.Stack, State: r.Status.State, Number: r.Spec.Number, Created: r.Created}
		v.Live = r.Spec.Number == p.Row.Status.Release
		p.Releases = append(p.Releases, v)
	}
	return q.render("app_releases", p.Name+" releases", p)
}

// tab fields: what the two forms of an app edit.
func pick(fields []kind.Field, keep func(kind.Field) bool) []kind.Field {
	var out []kind.Field
	for _, f := range fields {
		if keep(f) {
			out = append(out, f)
		}
	}
	return out
}

func variableFields(k *kind.Def) []kind.Field {
	return pick(k.Spec, func(f kind.Field) bool { return f.Name == "env" || f.Name == "secrets" })
}

func settingFields(k *kind.Def) []kind.Field {
	return pick(k.Spec, func(f kind.Field) bool {
		return !f.Immutable && !slices.Contains([]string{"env", "secrets", "source", "stopped"}, f.Name)
	})
}

func (q *request) appVariables() error {
	return q.appForm("variables", "app_form", variableFields)
}

func (q *request) appSettings() error {
	return q.appForm("settings", "app_form", settingFields)
}

// appForm shows some of an app's fields and saves them.
func (q *request) appForm(tab, page string, fieldsOf func(*kind.Def) []kind.Field) error {
	p, err := q.appPage(tab)
	if err != nil {
		return err
	}
	fields := fieldsOf(p.Kind)
	current := docOf(p.Row.Spec)
	doc := current
	if tab == "variables" {
		if p.Variables, err = q.variables(p); err != nil {
			return err
		}
	}
	show := func(e *fail.Error, status int) error {
		f := &former{current: current, suggest: q.suggest, err: e, more: q.PostForm.Get("_more")}
		p.Form = form{CSRF: p.CSRF, To: p.Path + "/" + tab, Submit: "Save and roll out", Inputs: f.inputs(fields, "spec", doc, current),
			Hidden: [][2]string{{"revision", number0(p.Row.Revision)}}}
		if e != nil && !f.taken {
			p.Form.Err = e
		}
		return q.renderStatus(status, page, p.Name+" "+tab, p)
	}
	if q.Method != http.MethodPost {
		return show(nil, http.StatusOK)
	}
	rd := &reader{sent: q.PostForm, editing: true}
	doc = rd.object(fields, "spec", current)
	if q.PostForm.Get("_more") != "" {
		return show(nil, http.StatusOK)
	}
	if rd.err != nil {
		return show(rd.err, http.StatusBadRequest)
	}
	patch := patchOf(fields, current, doc)
	if len(patch) == 0 {
		q.flash("Nothing was changed.")
		return q.see(p.Path + "/" + tab)
	}
	c := q.newCall(p.Kind, call.Update, p.ID)
	c.IfRevision = 0 // an app's row changes with every probe; the patch holds only what was edited
	c.Spec = mustJSON(patch)
	if _, err := q.do(c); err != nil {
		return formError(err, show)
	}
	q.flash("Saved; the change is being rolled out.")
	return q.see(p.Path)
}

func (q *request) appAction() error {
	k, row, err := q.component()
	if err != nil {
		return err
	}
	a := k.ActionOf(q.PathValue("verb"))
	if a == nil || a.Stream || a.Collection {
		return fail.New(fail.NotFound, "an app has no action %q", q.PathValue("verb"))
	}
	if a.Verb == grayModify { // a form without rules takes them away; an API call without them keeps them
		q.PostForm.Set("in.rules#all", "true")
	}
	return q.runAction(k, a, row, appPath(row), appPath(row))
}

func (q *request) appDelete() error {
	k, row, err := q.component()
	if err != nil {
		return err
	}
	if strings.TrimSpace(q.PostForm.Get("confirm")) != row.Name {
		return fail.New(fail.Invalid, "the name that you typed is not %q, so nothing was deleted", row.Name).Then("go back and type the app's name")
	}
	if _, err := q.do(q.newCall(k, call.Delete, string(row.ID))); err != nil {
		return err
	}
	text := "App " + row.Name + " was deleted."
	if k.Retention > 0 {
		text = "App " + row.Name + " is in the trash until " + clockText(q.Now().Add(k.Retention)) + "."
	}
	q.flash(text)
	return q.see("/apps")
}

// imageName is an image by its name and the first of its digest.
func imageName(ref string) string {
	name, digest, ok := strings.Cut(ref, "@")
	name = name[strings.LastIndexByte(name, '/')+1:]
	if !ok {
		return name
	}
	return name + "@" + cut(strings.TrimPrefix(digest, "sha256:"), 9)
}

// rollbackInput is what the roll-back action is told.
func rollbackInput(r releaseView) map[string]any {
	return map[string]any{"in.release": r.Number}
}
