package console

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"

	"github.com/awancloud/awan/catalog"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
)

// Where an app may come from.
const (
	fromTemplate = "template"
	fromUpload   = "upload"
	fromGit      = "git"
	fromImage    = "image"
)

// deployPage is the page that deploys a new app, or the next version of one.
type deployPage struct {
	From, App, Name string
	Template        string
	Starters        []starter
	Once, CSRF      string
	NameInput       *input
	Inputs          []*input // where it comes from
	More            []*input // how it runs
	MoreOpen        bool
	Digest          string // of what was uploaded with the try before
	Err             *fail.Error
	UploadErr       string
	NoProject       bool
	CanUpload       bool
}

// starter is the beginning of an app.
type starter struct{ Stack, Title, Text, Name string }

var starterTexts = map[string][2]string{
	"go": {"Go", "a web server in one file, built into a small image"}, "java": {"Java", "the JDK's own web server"},
	"node": {"Node.js", "a server with no dependencies"}, "php": {"PHP", "pages in the folder public"},
	"python": {"Python", "a small WSGI app and its Procfile"}, "static": {"Static site", "HTML, served as it is"},
}

func starters() []starter {
	var out []starter
	for _, s := range catalog.Starters() {
		t := starterTexts[s]
		out = append(out, starter{Stack: s, Title: cmp.Or(t[0], label(s)), Text: t[1], Name: "hello-" + s})
	}
	return out
}

// The fields of a component that the page asks for.
func fieldsNamed(fields []kind.Field, names ...string) []kind.Field {
	var out []kind.Field
	for _, n := range names {
		for _, f := range fields {
			if f.Name == n {
				out = append(out, f)
			}
		}
	}
	return out
}

// deployForm is what a form about a component's source holds: the fields by the part of the spec they are in.
type deployForm struct {
	source, git, more, gray []kind.Field
}

func deployFields(k *kind.Def, from string, app *component) deployForm {
	var d deployForm
	source := fieldsNamed(k.Spec, "source")[0].Fields
	switch from {
	case fromGit:
		d.git, d.source = fieldsNamed(source, "git")[0].Fields, fieldsNamed(source, "credential", "dockerfile")
		d.git = slices.Clone(d.git)
		for i := range d.git {
			if d.git[i].Name == "url" {
				d.git[i].Required, d.git[i].Example = true, "https://github.com/team/shop.git"
			}
		}
	case fromImage:
		d.source = fieldsNamed(source, "image", "credential")
		d.source[0].Required, d.source[0].Example = true, "awan-1/shop:latest"
	case fromUpload:
		d.source = fieldsNamed(source, "stack", "dockerfile")
	}
	names := []string{"port", "replicas", "memory", "cpu"}
	if app != nil {
		names = []string{"strategy"}
		if g := fieldsNamed(k.Spec, "gray"); len(g) > 0 {
			d.gray = fieldsNamed(g[0].Fields, "weight")
		}
	}
	d.more = fieldsNamed(k.Spec, names...)
	return d
}

func (q *request) deployPage() error {
	v := q.URL.Query()
	p := deployPage{From: v.Get("from"), Template: v.Get("template"), Name: v.Get("name"), Once: string(id.New())}
	app, err := q.deployed(v.Get("app"))
	if err != nil {
		return err
	}
	var spec map[string]any
	if app != nil {
		spec = docOf(app.Spec)
		if p.From == "" {
			p.From = fromUpload
			if app.Spec.Source.Git.URL != "" {
				p.From = fromGit
			} else if app.Spec.Source.Image != "" {
				p.From = fromImage
			}
		}
	}
	return q.showDeploy(p, app, spec, nil, 200)
}

// deployed reads the app that gets a next version; nil: a new one is made.
func (q *request) deployed(name string) (*component, error) {
	k := q.Door.KindOf(componentKind)
	switch {
	case k == nil:
		return nil, fail.New(fail.NotFound, "this cloud has no app service")
	case name == "":
		return nil, nil
	}
	row, err := q.get(k, name)
	if err != nil {
		return nil, err
	}
	return row.(*component), nil
}

func (q *request) showDeploy(p deployPage, app *component, spec map[string]any, e *fail.Error, status int) error {
	k := q.Door.KindOf(componentKind)
	p.Starters, p.CSRF, p.NoProject = starters(), q.csrf(), q.project.ID == ""
	p.CanUpload = k.ActionOf(uploadVerb) != nil
	if p.From == "" || app != nil && p.From == fromTemplate {
		p.From = fromTemplate
	}
	title := "Deploy an app"
	if app != nil {
		p.App, p.Name = app.Name, app.Name
		title = "Deploy " + app.Name
	}
	if p.From == fromTemplate && p.Template != "" && p.Name == "" {
		p.Name = "hello-" + p.Template
	}
	f := &former{suggest: q.suggest, err: e}
	if app == nil {
		p.NameInput = &input{ID: "f-name", Name: "name", Label: "Name", Control: "text", Value: p.Name, Required: true, Pattern: k.NamePat,
			Doc: "lower-case letters, digits and hyphens; part of the app's address"}
		if e != nil && e.Field == "name" {
			p.NameInput.Err, p.NameInput.Next, f.taken = e.Message, e.Next, true
		}
	}
	d := deployFields(k, p.From, app)
	source := asMap(spec["source"])
	p.Inputs = append(f.inputs(d.git, "spec.source.git", asMap(source["git"]), nil), f.inputs(d.source, "spec.source", source, nil)...)
	var build []*input
	if p.From == fromUpload { // seldom needed: what was uploaded tells it
		build, p.Inputs = p.Inputs, nil
	}
	before := f.taken
	p.More = append(f.inputs(d.more, "spec", spec, nil), f.inputs(d.gray, "spec.gray", asMap(spec["gray"]), nil)...)
	p.More = append(p.More, build...)
	p.MoreOpen = app != nil || f.taken != before
	if e != nil && !f.taken {
		if e.Field == "upload" {
			p.UploadErr = e.Message
		} else {
			p.Err = e
		}
	}
	return q.renderStatus(status, "deploy", title, p)
}

// deploy makes the app, or gives it its next source.
func (q *request) deploy() error {
	f := q.PostForm
	p := deployPage{From: f.Get("from"), Template: f.Get("template"), Name: strings.TrimSpace(f.Get("name")), Once: f.Get("once"), Digest: f.Get("digest")}
	app, err := q.deployed(f.Get("app"))
	if err != nil {
		return err
	}
	k := q.Door.KindOf(componentKind)
	d := deployFields(k, p.From, app)
	rd := &reader{sent: f}
	spec := rd.object(d.more, "spec", nil)
	if len(d.gray) > 0 {
		spec["gray"] = rd.object(d.gray, "spec.gray", nil)
	}
	source := rd.object(d.source, "spec.source", nil)
	if len(d.git) > 0 {
		source["git"] = rd.object(d.git, "spec.source.git", nil)
	}
	spec["source"] = source
	again := func(e *fail.Error, status int) error { return q.showDeploy(p, app, spec, e, status) }
	if rd.err != nil {
		return again(rd.err, 400)
	}
	if app == nil { // before anything is uploaded
		if p.Name == "" {
			return again(fail.Field("name", "is empty").Then("choose one"), 400)
		}
		if row, err := q.get(k, p.Name); err == nil {
			return again(fail.Field("name", "%s is there already", row.M().Name).Then("choose another, or open %s and press Deploy", row.M().Name), 409)
		}
	}
	if p.From == fromTemplate || p.From == fromUpload {
		if p.Digest, err = q.sourceOf(&p); err != nil {
			return formError(err, again)
		}
		source["digest"] = p.Digest
	}
	name, err := q.release(k, app, p, spec)
	if err != nil {
		return formError(err, again)
	}
	if p.From == fromImage {
		return q.see("/apps/" + pathEscape(name) + "?new=1")
	}
	return q.see("/apps/" + pathEscape(name) + "/build?new=1")
}

// release creates the component or changes its source.
func (q *request) release(k *kind.Def, app *component, p deployPage, spec map[string]any) (string, error) {
	if app == nil {
		c := q.newCall(k, call.Create, "")
		c.Name, c.Idempotency, c.Spec = &p.Name, p.Once, mustJSON(spec)
		_, err := q.do(c)
		return p.Name, err
	}
	source := asMap(spec["source"])
	for _, other := range []string{"digest", "image", "stack", "dockerfile", "credential", "commit"} {
		if _, ok := source[other]; !ok {
			source[other] = nil
		}
	}
	if _, ok := source["git"]; !ok {
		source["git"] = nil
	}
	c := q.newCall(k, call.Update, string(app.ID))
	c.Spec = mustJSON(spec)
	r, err := q.do(c)
	if err == nil && r.Job == nil {
		q.flash("Nothing changed: " + app.Name + " runs this source already.")
	}
	return app.Name, err
}

// sourceOf uploads what the form brought, or a template's files, and gives its digest.
func (q *request) sourceOf(p *deployPage) (string, error) {
	if p.From == fromTemplate {
		files, err := catalog.Starter(p.Template, p.Name)
		if err != nil {
			return "", fail.Field("upload", "there is no template %q", p.Template).Then("choose one of %s", strings.Join(catalog.Starters(), ", "))
		}
		return q.uploadFiles(files)
	}
	digest, err := q.uploadParts()
	if err == nil && digest == "" {
		if p.Digest != "" {
			return p.Digest, nil // chosen with the try before
		}
		err = fail.Field("upload", "choose a folder or an archive")
	}
	return digest, err
}

// uploadVerb is the action that takes a source.
const uploadVerb = "upload"

// digestOf reads the answer of an upload.
func digestOf(v any) string {
	var up struct {
		Digest string `json:"digest"`
	}
	_ = json.Unmarshal(mustJSON(v), &up)
	return up.Digest
}
