package console

import (
	"encoding/json"
	"net/url"
	"strings"

	"github.com/awancloud/awan/internal/dialect/native"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/event"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/job"
	"github.com/awancloud/awan/internal/kernel/kind"
)

func pathEscape(s string) string { return url.PathEscape(s) }

// kindPage is a list of a kind's rows.
type kindPage struct {
	Kind       *kind.Desc
	Path, New  string
	Heads      []string
	Rows       []rowView
	Next       string // address of the next page
	First      string // address of the first page, when this is a later one
	Name, Tag  string
	State      string
	States     []kind.State
	Filtered   bool
	CanCreate  bool
	Trash      bool
	Command    string
	AnyTags    bool
	NeedsPlace bool // no project to look into
}

const pageSize = 50

func (q *request) kindList() error {
	k, err := q.kindOf()
	if err != nil {
		return err
	}
	form := q.URL.Query()
	p := kindPage{Kind: &k.Desc, Path: listPath(k), New: "/new/" + k.Service + "/" + k.Plural, Name: form.Get("name"), Tag: form.Get("tag"), State: form.Get("state"),
		States: []kind.State{kind.Active, kind.Creating, kind.Updating, kind.Deleting, kind.Failed}, Trash: k.Retention > 0, Command: "awan " + k.Name + " create"}
	p.Filtered = p.Name+p.Tag+p.State != ""
	p.CanCreate = has(k, call.Create) && q.may([]action{{k.Service, k.Name, call.Create}})[action{k.Service, k.Name, call.Create}]
	if p.Trash {
		p.States = append(p.States, kind.Trashed)
	}
	if !k.AnyName {
		p.Command += " NAME"
	}
	for _, f := range k.Spec {
		if f.Required && scalarType(f.Type) {
			p.Command += " --" + strings.ReplaceAll(f.Name, "_", "-") + " " + strings.ToUpper(f.Name)
		} else if f.Required {
			p.Command += " -f FILE.yaml"
			break
		}
	}
	if k.Scope == kind.InProject && q.project.ID == "" {
		p.NeedsPlace = true
		return q.render("list", label(k.Plural), p)
	}
	c := q.newCall(k, call.List, "")
	c.Filter = kind.Filter{Name: p.Name, State: kind.State(p.State), Limit: pageSize}
	if p.Tag != "" {
		key, v, _ := strings.Cut(p.Tag, "=")
		c.Filter.Tags = map[string]string{key: v}
	}
	if m := form.Get("marker"); m != "" {
		after, ok := id.Parse(m)
		if !ok {
			return fail.New(fail.Invalid, "the address names a page that cannot be").Then("go to the first page")
		}
		c.Filter.After = after
		form.Del("marker")
		p.First = p.Path + "?" + form.Encode()
	}
	r, err := q.do(c)
	if err != nil {
		return err
	}
	for _, path := range k.Columns {
		f, _ := column(k, path)
		p.Heads = append(p.Heads, label(f.Name))
	}
	for _, row := range r.Rows {
		m := row.M()
		p.AnyTags = p.AnyTags || len(m.Tags) > 0
		p.Rows = append(p.Rows, rowView{Path: rowPath(k, m), Name: q.rowName(k, row), ID: string(m.ID), State: m.State, Reason: m.Reason, Cells: q.cells(k, row), Created: m.Created, Tags: tagList(m.Tags)})
	}
	if r.Next != "" {
		form.Set("marker", string(r.Next))
		p.Next = p.Path + "?" + form.Encode()
	}
	return q.render("list", label(k.Plural), p)
}

// rowName is what a list calls a row: kinds whose rows have no names of their own show a short id.
func (q *request) rowName(k *kind.Def, row kind.AnyRow) string {
	m := row.M()
	if m.Name == "" || m.Name == string(m.ID) {
		return cut(string(m.ID), 13)
	}
	return m.Name
}

// rowPage is one row.
type rowPage struct {
	Kind          *kind.Desc
	Meta          *kind.Meta
	Name          string
	List, Path    string
	App           string // the app page, when the row is an app's component
	Tags          []string
	Spec, Status  []shown
	Tables        []shown // lists of objects, which need the page's whole width
	Events        []event.Event
	Job           *jobView
	JSON          string
	Actions       []actionView
	Streams       []actionView
	CanEdit       bool
	CanDelete     bool
	CanRestore    bool
	Keeps         string // how long the trash keeps it
	Project, Base string
	Text          string // the editor of a config's text
	Objects       string // the pages of a bucket
	Users         []usedBy
	Mountable     bool
	Rights        *rights
	API           string // of the explorer
	CSRF          string
	Extra         rowExtra
}

type actionView struct {
	Verb, Doc, Path string
	Form            form
}

func (q *request) kindShow() error {
	k, err := q.kindOf()
	if err != nil {
		return err
	}
	row, err := q.get(k, q.PathValue("id"))
	if err != nil {
		return err
	}
	p, err := q.rowPage(k, row)
	if err != nil {
		return err
	}
	if p.Extra, err = q.extraOf(k, row); err != nil {
		return err
	}
	return q.render("row", p.Name, p)
}

func (q *request) rowPage(k *kind.Def, row kind.AnyRow) (rowPage, error) {
	m := row.M()
	doc := docOf(row)
	p := rowPage{CSRF: q.csrf(), Kind: &k.Desc, Meta: m, Name: q.rowName(k, row), List: listPath(k), Path: rowPath(k, m), Tags: tagList(m.Tags),
		Spec: q.show(k.Spec, asMap(doc["spec"])), Status: q.show(k.Status, asMap(doc["status"])), Keeps: span(k.Retention), Project: q.project.Name}
	b, err := json.MarshalIndent(row, "", "  ")
	if err != nil {
		return p, err
	}
	p.JSON = string(b)
	if k.FullName() == componentKind && m.State != kind.Trashed {
		p.App = "/apps/" + pathEscape(m.Name)
	}
	p.Spec, p.Status = p.takeTables(p.Spec), p.takeTables(p.Status)
	asks := []action{{k.Service, k.Name, call.Update}, {k.Service, k.Name, call.Delete}, {k.Service, k.Name, call.Restore}, {k.Service, k.Name, call.Events}}
	for _, a := range k.Desc.Actions {
		asks = append(asks, action{k.Service, k.Name, a.Verb})
	}
	may := q.may(asks)
	can := func(verb string) bool { return has(k, verb) && may[action{k.Service, k.Name, verb}] }
	trashed := m.State == kind.Trashed
	p.CanEdit, p.CanDelete, p.CanRestore = can(call.Update) && !trashed, can(call.Delete), can(call.Restore) && trashed
	if can(call.Events) {
		c := q.newCall(k, call.Events, string(m.ID))
		c.Filter.Limit = 20
		r, err := q.do(c)
		if err != nil {
			return p, err
		}
		p.Events = r.Events
	}
	for _, a := range k.Desc.Actions {
		if a.Collection || trashed || !can(a.Verb) {
			continue
		}
		v := actionView{Verb: a.Verb, Doc: a.Doc, Path: p.Path + "/actions/" + a.Verb}
		if a.Stream {
			p.Streams = append(p.Streams, v)
			continue
		}
		v.Form = q.actionForm(v.Path, a, nil, nil, "")
		p.Actions = append(p.Actions, v)
	}
	p.Job = q.jobOf(m)
	p.API = "/explorer/" + k.Service + "/" + k.Plural
	p.Mountable = k.Service == "config" && (k.Name == "config" || k.Name == "secret" || k.Name == "config-group")
	if k.FullName() == bucketKind && q.Buckets != nil {
		p.Objects = bucketPath(m.Name)
	}
	if k.FullName() == configKind {
		p.Text = "/configs/" + string(m.ID)
	}
	if p.Users, err = q.mounted(k, row); err != nil {
		return p, err
	}
	p.Rights, err = q.rightsOf(k, row)
	return p, err
}

// takeTables moves the lists of objects out of the properties.
func (p *rowPage) takeTables(from []shown) []shown {
	var rest []shown
	for _, s := range from {
		if s.Table != nil {
			p.Tables = append(p.Tables, s)
		} else {
			rest = append(rest, s)
		}
	}
	return rest
}

// kindLive is the state line of a row that is busy.
func (q *request) kindLive() error {
	k, err := q.kindOf()
	if err != nil {
		return err
	}
	row, err := q.get(k, q.PathValue("id"))
	if err != nil {
		return err
	}
	if row.M().Job == "" {
		q.w.Header().Set("HX-Refresh", "true")
	}
	return q.fragment("row", "rowlive", rowPage{Kind: &k.Desc, Meta: row.M(), Path: rowPath(k, row.M()), Job: q.jobOf(row.M())})
}

// formPage is a create, edit or action form.
type formPage struct {
	Kind  *kind.Desc
	Title string
	Doc   string
	Back  string
	Form  form
	Edit  bool
}

var tagField = kind.Field{Name: "tags", Type: kind.MapOf, Doc: "free labels, for filters and policies", Item: &kind.Field{Type: kind.String}}

// rowForm is the form that creates a row or changes one: name, tags, then what the kind's fields say.
func (q *request) rowForm(k *kind.Def, row kind.AnyRow, name string, tags, spec map[string]any, err *fail.Error, more string) form {
	f := &former{suggest: q.suggest, err: err, more: more}
	out := form{CSRF: q.csrf(), Submit: "Create " + strings.ToLower(label(k.Name)), To: listPath(k), Cancel: listPath(k)}
	var current map[string]any
	if row != nil {
		current = asMap(docOf(row)["spec"])
		f.current = current
		out.Submit, out.To, out.Cancel = "Save", rowPath(k, row.M()), rowPath(k, row.M())
		out.Hidden = append(out.Hidden, [2]string{"revision", number0(row.M().Revision)})
	}
	in := &input{ID: "f-name", Name: "name", Label: "Name", Control: "text", Value: name, Required: !k.AnyName, Pattern: k.NamePat, Disabled: row != nil && k.NoRename}
	switch {
	case k.AnyName:
		in.Doc = "any text; may be left empty"
	case k.NamePat == kind.DefaultNamePat:
		in.Doc = "lower-case letters, digits and hyphens; begins with a letter"
	default:
		in.Doc = "unique"
	}
	if row != nil && k.NoRename {
		in.Doc = "part of the address, so it cannot change"
	}
	if err != nil && err.Field == "name" {
		in.Err, in.Next, f.taken = err.Message, err.Next, true
	}
	out.Inputs = append(out.Inputs, in)
	out.Inputs = append(out.Inputs, f.inputs(k.Spec, "spec", spec, current)...)
	t := f.input(tagField, "tags", tags, nil)
	out.Inputs = append(out.Inputs, t)
	if err != nil && !f.taken {
		out.Err = err
	}
	return out
}

// suggest lists the names of the rows a reference may hold.
func (q *request) suggest(ref string) []string {
	k := q.Door.KindOf(ref)
	if k == nil || !q.may([]action{{k.Service, k.Name, call.List}})[action{k.Service, k.Name, call.List}] {
		return nil
	}
	c := q.newCall(k, call.List, "")
	c.Filter.Limit = 100
	r, err := q.do(c)
	if err != nil {
		return nil // a suggestion, not an answer: the door checks what is sent
	}
	var out []string
	for _, row := range r.Rows {
		out = append(out, row.M().Name)
	}
	return out
}

func (q *request) kindNew() error {
	k, err := q.kindOf()
	if err != nil {
		return err
	}
	if !has(k, call.Create) {
		return fail.New(fail.NotFound, "%s are made by the cloud itself", k.Plural)
	}
	f := q.rowForm(k, nil, "", nil, nil, nil, "")
	f.Hidden = append(f.Hidden, [2]string{"once", string(id.New())})
	return q.render("edit", "New "+k.Name, formPage{Kind: &k.Desc, Title: "New " + strings.ToLower(label(k.Name)), Doc: k.Doc, Back: listPath(k), Form: f})
}

// once is the page that shows what is never shown again.
type oncePage struct {
	Kind    *kind.Desc
	Name    string
	Path    string
	List    string
	Values  []shown
	Repeat  bool
	Secrets []oneSecret
	Next    string // the address of what it was made for
}

type oneSecret struct{ ID, Label, Value string }

func (q *request) kindCreate() error {
	k, err := q.kindOf()
	if err != nil {
		return err
	}
	if !has(k, call.Create) {
		return fail.New(fail.NotFound, "%s are made by the cloud itself", k.Plural)
	}
	rd := &reader{sent: q.PostForm}
	spec := rd.object(k.Spec, "spec", nil)
	tags := asMap(rd.pairs(tagField, "tags", nil))
	name := strings.TrimSpace(q.PostForm.Get("name"))
	again := func(e *fail.Error, status int) error {
		f := q.rowForm(k, nil, name, tags, spec, e, q.PostForm.Get("_more"))
		f.Hidden = append(f.Hidden, [2]string{"once", q.PostForm.Get("once")})
		return q.renderStatus(status, "edit", "New "+k.Name, formPage{Kind: &k.Desc, Title: "New " + strings.ToLower(label(k.Name)), Doc: k.Doc, Back: listPath(k), Form: f})
	}
	if q.PostForm.Get("_more") != "" {
		return again(nil, 200)
	}
	if rd.err != nil {
		return again(rd.err, 400)
	}
	c := q.newCall(k, call.Create, "")
	c.Name, c.Tags, c.Idempotency = &name, texts(tags), q.PostForm.Get("once")
	if c.Spec, err = json.Marshal(spec); err != nil {
		return err
	}
	r, err := q.do(c)
	if err != nil {
		return formError(err, again)
	}
	if kind.HasSecret(k.Status) {
		return q.showOnce(k, r)
	}
	q.flash(label(k.Name) + " " + r.Row.M().Name + " is being created.")
	if r.Job == nil || r.Job.Done() {
		q.flash(label(k.Name) + " " + q.rowName(k, r.Row) + " was created.")
	}
	return q.see(rowPath(k, r.Row.M()))
}

// formError shows an error in the form when the user can mend it there.
func formError(err error, again func(*fail.Error, int) error) error {
	e := fail.From(err)
	switch e.Kind {
	case fail.Unauthenticated, fail.Internal, fail.NotFound:
		return err
	}
	if e.Field == ident.Unconfirmed {
		return err // answered by a page of its own
	}
	return again(e, native.StatusOf(err))
}

func (q *request) showOnce(k *kind.Def, r call.Reply) error {
	p := oncePage{Kind: &k.Desc, Name: q.rowName(k, r.Row), Path: rowPath(k, r.Row.M()), List: listPath(k), Repeat: r.Repeat}
	doc := asMap(docOf(r.Row)["status"])
	if k.FullName() == keypairKind && q.mayAsk(serverKind, call.Create) {
		p.Next = "/new/compute/servers"
	}
	for _, f := range k.Status {
		if f.Secret {
			p.Secrets = append(p.Secrets, oneSecret{"once-" + f.Name, label(f.Name), scalar(doc[f.Name])})
			continue
		}
		p.Secrets = append(p.Secrets, oneSecret{"once-" + f.Name, label(f.Name), scalar(doc[f.Name])})
	}
	return q.render("once", p.Name, p)
}

func texts(m map[string]any) *map[string]string {
	out := map[string]string{}
	for k, v := range m {
		out[k] = scalar(v)
	}
	return &out
}

func anys(m map[string]string) map[string]any {
	out := map[string]any{}
	for k, v := range m {
		out[k] = v
	}
	return out
}

func (q *request) kindEdit() error {
	k, err := q.kindOf()
	if err != nil {
		return err
	}
	row, err := q.get(k, q.PathValue("id"))
	if err != nil {
		return err
	}
	if !has(k, call.Update) {
		return fail.New(fail.NotFound, "%s are changed by the cloud itself", k.Plural)
	}
	f := q.rowForm(k, row, row.M().Name, anys(row.M().Tags), asMap(docOf(row)["spec"]), nil, "")
	return q.render("edit", "Edit "+row.M().Name, formPage{Kind: &k.Desc, Title: "Edit " + q.rowName(k, row), Back: rowPath(k, row.M()), Form: f, Edit: true})
}

func (q *request) kindUpdate() error {
	k, err := q.kindOf()
	if err != nil {
		return err
	}
	row, err := q.get(k, q.PathValue("id"))
	if err != nil {
		return err
	}
	current := asMap(docOf(row)["spec"])
	rd := &reader{sent: q.PostForm, editing: true}
	spec := rd.object(k.Spec, "spec", current)
	tags := asMap(rd.pairs(tagField, "tags", nil))
	name := strings.TrimSpace(q.PostForm.Get("name"))
	if k.NoRename || k.AnyName && name == "" {
		name = row.M().Name
	}
	again := func(e *fail.Error, status int) error {
		f := q.rowForm(k, row, name, tags, spec, e, q.PostForm.Get("_more"))
		return q.renderStatus(status, "edit", "Edit "+row.M().Name, formPage{Kind: &k.Desc, Title: "Edit " + q.rowName(k, row), Back: rowPath(k, row.M()), Form: f, Edit: true})
	}
	if q.PostForm.Get("_more") != "" {
		return again(nil, 200)
	}
	if rd.err != nil {
		return again(rd.err, 400)
	}
	c := q.newCall(k, call.Update, string(row.M().ID))
	c.Name, c.Tags, c.IfRevision = &name, texts(tags), revision(q.PostForm)
	if patch := patchOf(k.Spec, current, spec); len(patch) > 0 {
		if c.Spec, err = json.Marshal(patch); err != nil {
			return err
		}
	}
	if _, err := q.do(c); err != nil {
		return formError(err, again)
	}
	q.flash(label(k.Name) + " " + name + " was saved.")
	return q.see(rowPath(k, row.M()))
}

func (q *request) kindDelete() error {
	k, err := q.kindOf()
	if err != nil {
		return err
	}
	row, err := q.get(k, q.PathValue("id"))
	if err != nil {
		return err
	}
	m := row.M()
	if want := q.PostForm.Get("want"); want != "" && strings.TrimSpace(q.PostForm.Get("confirm")) != m.Name {
		return fail.New(fail.Invalid, "the name that you typed is not %q, so nothing was deleted", m.Name).Then("go back and type the name as it is shown")
	}
	c := q.newCall(k, call.Delete, string(m.ID))
	c.Purge = q.PostForm.Get("purge") == "true"
	if _, err := q.do(c); err != nil {
		return err
	}
	switch {
	case k.Retention > 0 && !c.Purge && m.State != kind.Trashed:
		q.flash(label(k.Name) + " " + m.Name + " is in the trash for " + span(k.Retention) + ".")
	default:
		q.flash(label(k.Name) + " " + m.Name + " was deleted.")
	}
	if q.PostForm.Get("from") == "trash" {
		return q.see("/trash")
	}
	return q.see(listPath(k))
}

func (q *request) kindRestore() error {
	k, err := q.kindOf()
	if err != nil {
		return err
	}
	r, err := q.do(q.newCall(k, call.Restore, q.PathValue("id")))
	if err != nil {
		return err
	}
	q.flash(label(k.Name) + " " + r.Row.M().Name + " is back from the trash.")
	return q.see(rowPath(k, r.Row.M()))
}

// actionForm is the form of a custom action's input.
func (q *request) actionForm(to string, a kind.ActionDesc, doc map[string]any, err *fail.Error, more string) form {
	f := &former{suggest: q.suggest, err: err, more: more}
	out := form{CSRF: q.csrf(), To: to, Submit: label(a.Verb), Inputs: f.inputs(a.In, "in", doc, nil)}
	if err != nil && !f.taken {
		out.Err = err
	}
	return out
}

func (q *request) actionOf() (*kind.Def, *kind.AnyAction, error) {
	k, err := q.kindOf()
	if err != nil {
		return nil, nil, err
	}
	a := k.ActionOf(q.PathValue("verb"))
	if a == nil || a.Stream || a.Collection {
		return nil, nil, fail.New(fail.NotFound, "%s has no form for %q", k.Name, q.PathValue("verb")).Then("see awan %s --help", k.Name)
	}
	return k, a, nil
}

func (q *request) kindActionPage() error {
	k, a, err := q.actionOf()
	if err != nil {
		return err
	}
	row, err := q.get(k, q.PathValue("id"))
	if err != nil {
		return err
	}
	f := q.actionForm(rowPath(k, row.M())+"/actions/"+a.Verb, a.ActionDesc, nil, nil, "")
	f.Cancel = rowPath(k, row.M())
	return q.render("edit", label(a.Verb), formPage{Kind: &k.Desc, Title: label(a.Verb) + " " + q.rowName(k, row), Doc: a.Doc, Back: rowPath(k, row.M()), Form: f})
}

func (q *request) kindAction() error {
	k, a, err := q.actionOf()
	if err != nil {
		return err
	}
	row, err := q.get(k, q.PathValue("id"))
	if err != nil {
		return err
	}
	back := rowPath(k, row.M())
	return q.runAction(k, a, row, back, back)
}

// runAction sends an action's form to the door and shows it again with what was wrong.
func (q *request) runAction(k *kind.Def, a *kind.AnyAction, row kind.AnyRow, back, next string) error {
	rd := &reader{sent: q.PostForm}
	in := rd.object(a.In, "in", nil)
	if q.PostForm.Get("in.rules#all") != "" && in["rules"] == nil {
		in["rules"] = []any{}
	}
	again := func(e *fail.Error, status int) error {
		if e != nil && e.Field != "" && !strings.HasPrefix(e.Field, "in.") {
			e = &fail.Error{Kind: e.Kind, Field: "in." + e.Field, Message: e.Message, Next: e.Next, Cause: e.Cause}
		}
		f := q.actionForm(listPath(k)+"/"+string(row.M().ID)+"/actions/"+a.Verb, a.ActionDesc, in, e, q.PostForm.Get("_more"))
		f.Cancel = back
		return q.renderStatus(status, "edit", label(a.Verb), formPage{Kind: &k.Desc, Title: label(a.Verb) + " " + q.rowName(k, row), Doc: a.Doc, Back: back, Form: f})
	}
	if q.PostForm.Get("_more") != "" {
		return again(nil, 200)
	}
	if rd.err != nil {
		return again(rd.err, 400)
	}
	c := q.newCall(k, a.Verb, string(row.M().ID))
	if len(a.In) > 0 {
		b, err := json.Marshal(in)
		if err != nil {
			return err
		}
		c.In = b
	}
	r, err := q.do(c)
	if err != nil {
		return formError(err, again)
	}
	if c, ok := r.Row.(*component); ok && strings.HasPrefix(a.Verb, "gray-") {
		q.flash(graySaid(a.Verb, c))
		return q.see(next)
	}
	q.flash(label(a.Verb) + " " + q.rowName(k, row) + ": done.")
	if r.Job != nil && !r.Job.Done() {
		q.flash(label(a.Verb) + " " + q.rowName(k, row) + ": started.")
	}
	return q.see(next)
}

// trashPage lists what can be brought back.
type trashPage struct{ Rows []rowView }

func (q *request) trash() error {
	var p trashPage
	var asks []action
	for _, k := range q.Door.Kinds {
		asks = append(asks, action{k.Service, k.Name, call.List})
	}
	may := q.may(asks)
	for _, k := range q.Door.Kinds {
		if k.Retention <= 0 || !may[action{k.Service, k.Name, call.List}] || k.Scope == kind.InProject && q.project.ID == "" {
			continue
		}
		c := q.newCall(k, call.List, "")
		c.Filter = kind.Filter{State: kind.Trashed, Limit: call.MaxPage}
		r, err := q.do(c)
		if err != nil {
			return err
		}
		for _, row := range r.Rows {
			m := row.M()
			p.Rows = append(p.Rows, rowView{Path: rowPath(k, m), Name: q.rowName(k, row), ID: string(m.ID), Kind: label(k.Name), Deleted: m.Deleted, Purge: m.Purge})
		}
	}
	return q.render("trash", "Trash", p)
}

// jobView is a running or ended operation.
type jobView struct {
	*job.Job
	Live bool
	Row  string // address of the row it changes
}

func (q *request) jobOf(m *kind.Meta) *jobView {
	if m.Job == "" {
		return nil
	}
	j, err := q.Door.Job(q.Context(), q.who, m.Job)
	if err != nil {
		return nil // it ended and was forgotten meanwhile
	}
	return q.viewJob(j)
}

func (q *request) viewJob(j *job.Job) *jobView {
	v := &jobView{Job: j, Live: !j.Done()}
	if k := q.Door.KindOf(j.Kind); k != nil {
		v.Row = listPath(k) + "/" + string(j.Row)
	}
	return v
}

func (q *request) readJob() (*jobView, error) {
	jobID, ok := id.Parse(q.PathValue("id"))
	if !ok {
		return nil, fail.New(fail.NotFound, "there is no such job")
	}
	j, err := q.Door.Job(q.Context(), q.who, jobID)
	if err != nil {
		return nil, err
	}
	return q.viewJob(j), nil
}

func (q *request) jobPage() error {
	j, err := q.readJob()
	if err != nil {
		return err
	}
	return q.render("job", label(j.Flow)+" "+j.Name, j)
}

func (q *request) jobLive() error {
	j, err := q.readJob()
	if err != nil {
		return err
	}
	if !j.Live {
		q.w.Header().Set("HX-Refresh", "true") // once: the page then shows the end and asks no more
	}
	return q.fragment("job", "job", j)
}
