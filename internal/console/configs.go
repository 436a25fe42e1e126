package console

import (
	"cmp"
	"encoding/json"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aymanbagabas/go-udiff"

	"github.com/awancloud/awan/internal/dialect/native"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/service/config"
)

const (
	configKind  = "config/config"
	secretKind  = "config/secret"
	groupKind   = "config/config-group"
	versionKind = "config/config-version"
)

type (
	configRow  = kind.Row[config.Spec, config.Status]
	versionRow = kind.Row[config.VersionSpec, config.VersionStatus]
)

// configPage is a config: its text, its versions, who uses it.
type configPage struct {
	Row       *configRow
	Path      string
	Text      string
	Hidden    bool // it is sensitive, or the caller may not read it
	Lines     int
	CanEdit   bool
	CanBack   bool
	Versions  []configVersion
	Users     []usedBy
	From, To  int
	Diff      []diffLine // of two versions, or of the edit and the present one
	Compared  bool
	Reviewing bool // an edit is looked at before it is saved
	Same      bool
	Err       *fail.Error
	Revision  string
	Derived   string
}

type configVersion struct {
	Number   int
	By, Note string
	At       time.Time
	Present  bool
}

// usedBy is a component that has something mounted.
type usedBy struct{ Name, Path, How string }

// diffLine is one line of a unified diff.
type diffLine struct{ Class, Sign, Text string }

func diffLines(unified string) []diffLine {
	var out []diffLine
	for _, l := range strings.Split(strings.TrimSuffix(unified, "\n"), "\n") {
		switch {
		case l == "", strings.HasPrefix(l, "--- "), strings.HasPrefix(l, "+++ "), strings.HasPrefix(l, `\`):
		case l[0] == '@':
			out = append(out, diffLine{"at", "", l})
		case l[0] == '+':
			out = append(out, diffLine{"add", "+", l[1:]})
		case l[0] == '-':
			out = append(out, diffLine{"del", "−", l[1:]})
		default:
			out = append(out, diffLine{"", "", l[1:]})
		}
	}
	return out
}

// configPage reads a config with everything about it.
func (q *request) configPage() (*configPage, *kind.Def, error) {
	k := q.Door.KindOf(configKind)
	if k == nil {
		return nil, nil, fail.New(fail.NotFound, "this cloud keeps no configs")
	}
	row, err := q.get(k, q.PathValue("id"))
	if err != nil {
		return nil, nil, err
	}
	p := &configPage{Row: row.(*configRow), CanEdit: q.mayAsk(configKind, call.Update), CanBack: q.mayAsk(configKind, "rollback"), Derived: rowPath(k, row.M())}
	p.Path, p.Revision = "/configs/"+string(p.Row.ID), number0(p.Row.Revision)
	p.Hidden = p.Row.Spec.Sensitive || !q.mayAsk(configKind, "content")
	if !p.Hidden {
		var c config.ContentOut
		if err := q.ask(configKind, "content", string(p.Row.ID), config.ContentIn{}, &c); err != nil {
			return nil, nil, err
		}
		p.Text = c.Text
	}
	rows, err := q.rowsOf(versionKind, "config", string(p.Row.ID))
	if err != nil {
		return nil, nil, err
	}
	for _, r := range rows {
		v := r.(*versionRow)
		p.Versions = append(p.Versions, configVersion{Number: v.Spec.Number, By: v.Spec.By, Note: v.Spec.Note, At: v.Created, Present: v.Spec.Number == p.Row.Status.Version})
	}
	slices.SortFunc(p.Versions, func(a, b configVersion) int { return cmp.Compare(b.Number, a.Number) })
	p.Users, err = q.usersOf(func(m config.Mount) bool { return m.Config == p.Row.Name || m.Group == p.Row.Spec.Group })
	return p, k, err
}

// usersOf lists the components that mount what fits.
func (q *request) usersOf(fits func(config.Mount) bool) ([]usedBy, error) {
	rows, err := q.rowsOf(componentKind, "", "")
	var out []usedBy
	for _, r := range rows {
		c := r.(*component)
		for _, m := range c.Spec.Mounts {
			if fits(m) {
				out = append(out, usedBy{c.Name, appPath(c), mountWords(m)})
			}
		}
	}
	return out, err
}

func mountWords(m config.Mount) string {
	how := "as variables"
	if m.Variable != "" {
		how = "as variable " + m.Variable
	}
	if m.As != "variables" {
		how = "as file"
		if m.Path != "" {
			how += " " + m.Path
		}
	}
	if m.Group != "" {
		how += ", with group " + m.Group
	}
	if m.Version > 0 {
		how += ", version " + strconv.Itoa(m.Version)
	}
	return how
}

func (q *request) configShow() error {
	p, _, err := q.configPage()
	if err != nil {
		return err
	}
	v := q.URL.Query()
	p.From, _ = strconv.Atoi(v.Get("from")) // not a number: not asked
	p.To, _ = strconv.Atoi(v.Get("to"))
	if p.From > 0 && p.To > 0 && !p.Hidden {
		var d config.Compared
		if err := q.ask(configKind, "compare", string(p.Row.ID), config.CompareIn{From: p.From, To: p.To}, &d); err != nil {
			return err
		}
		p.Diff, p.Compared = diffLines(d.Text), true
	}
	if p.To == 0 {
		p.To, p.From = p.Row.Status.Version, max(1, p.Row.Status.Version-1)
	}
	return q.render("config", p.Row.Name, p.sized())
}

// sized makes the editor as high as its text.
func (p *configPage) sized() *configPage {
	p.Lines = min(30, max(8, strings.Count(p.Text, "\n")+2))
	return p
}

// configSave shows the difference that an edit makes, and saves it when that was seen.
func (q *request) configSave() error {
	p, k, err := q.configPage()
	if err != nil {
		return err
	}
	f := q.PostForm
	before := p.Text
	p.Text = strings.ReplaceAll(f.Get("text"), "\r\n", "\n")
	if strings.HasSuffix(before, "\n") && p.Text != "" && !strings.HasSuffix(p.Text, "\n") {
		p.Text += "\n" // browsers drop none, people do
	}
	p.Revision = f.Get("revision")
	p.From, p.To = max(1, p.Row.Status.Version-1), p.Row.Status.Version
	show := func(e *fail.Error, status int) error {
		p.Err = e
		if !p.Hidden {
			p.Diff, p.Reviewing = diffLines(udiff.Unified("now", "edited", before, p.Text)), true
		}
		p.Reviewing = p.Reviewing && f.Get("step") != "edit"
		p.Same = p.Text == before && !p.Hidden
		return q.renderStatus(status, "config", p.Row.Name, p.sized())
	}
	if f.Get("step") != "save" {
		c := q.newCall(k, call.Update, string(p.Row.ID)) // whether it would be taken is told now, at the text
		c.DryRun, c.IfRevision, c.Spec = true, revision(f), mustJSON(map[string]any{"content": p.Text})
		if _, err := q.do(c); err != nil && f.Get("step") == "diff" {
			return formError(err, show)
		}
		return show(nil, 200)
	}
	c := q.newCall(k, call.Update, string(p.Row.ID))
	c.IfRevision, c.Spec = revision(f), mustJSON(map[string]any{"content": p.Text})
	r, err := q.do(c)
	if err != nil {
		return formError(err, func(e *fail.Error, _ int) error { return show(e, native.StatusOf(err)) })
	}
	q.flash("Saved as version " + strconv.Itoa(r.Row.(*configRow).Status.Version) + "; what uses it gets it now.")
	return q.see(p.Path)
}

func (q *request) configRollback() error {
	k := q.Door.KindOf(configKind)
	if k == nil {
		return fail.New(fail.NotFound, "this cloud keeps no configs")
	}
	n, err := strconv.Atoi(q.PostForm.Get("version"))
	if err != nil {
		return fail.Field("version", "is not a number").Then("choose one in the list of versions")
	}
	c := q.newCall(k, "rollback", q.PathValue("id"))
	c.In = mustJSON(config.RollbackIn{Version: n})
	r, err := q.do(c)
	if err != nil {
		return err
	}
	q.flash("Version " + strconv.Itoa(r.Row.(*configRow).Status.Version) + " is what version " + strconv.Itoa(n) + " was; what uses it gets it now.")
	return q.see("/configs/" + url.PathEscape(string(r.Row.M().ID)))
}

// mounted tells who uses a config, a group or a secret, for its derived page; nil for what cannot be mounted.
func (q *request) mounted(k *kind.Def, row kind.AnyRow) ([]usedBy, error) {
	m := row.M()
	switch k.FullName() {
	case configKind:
		group := row.(*configRow).Spec.Group
		return q.usersOf(func(x config.Mount) bool { return x.Config == m.Name || x.Group == group })
	case groupKind:
		return q.usersOf(func(x config.Mount) bool { return x.Group == m.Name })
	case secretKind:
		return q.usersOf(func(x config.Mount) bool { return x.Secret == m.Name })
	}
	return nil, nil
}

// variable is one environment variable of an app, with where its value comes from.
type variable struct {
	Name, Value, From, Href string
	Secret                  bool
	Over                    []string // where values come from that it takes the place of
}

// layered puts the variables of all layers together, the weakest layer first.
type layered struct{ by map[string]*variable }

func (l *layered) set(name, value, from, href string, secret bool) {
	v := &variable{Name: name, Value: value, From: from, Href: href, Secret: secret}
	if was := l.by[name]; was != nil {
		v.Over = append(was.Over, was.From)
	}
	l.by[name] = v
}

// variables are those that the instances of an app get.
func (q *request) variables(p *appPage) ([]variable, error) {
	l := &layered{map[string]*variable{}}
	s := p.Row.Spec
	put := func(fullName, target, what string) error {
		k := q.Door.KindOf(fullName)
		if k == nil || target == "" || !q.mayAsk(fullName, call.Get) {
			return nil
		}
		row, err := q.get(k, target)
		if fail.Is(err, fail.NotFound) {
			return nil
		} else if err != nil {
			return err
		}
		for name, v := range asMap(asMap(docOf(row)["spec"])["variables"]) {
			l.set(name, scalar(v), what+" "+row.M().Name, rowPath(k, row.M()), false)
		}
		return nil
	}
	if err := put("app/environment", s.Environment, "environment"); err != nil {
		return nil, err
	}
	application, _ := q.refer("app/application", s.Application)
	environment, _ := q.refer("app/environment", s.Environment)
	own, err := q.rowsOf("app/configuration", "pair", application+"."+environment)
	if err != nil {
		return nil, err
	}
	for _, r := range own {
		if err := put("app/configuration", string(r.M().ID), "configuration"); err != nil {
			return nil, err
		}
	}
	for _, m := range s.Mounts {
		if err := q.mountVariables(l, m); err != nil {
			return nil, err
		}
	}
	for name, v := range s.Env {
		l.set(name, v, "this app", "", false)
	}
	l.set("PORT", strconv.Itoa(s.Port), "its port", p.Path+"/settings", false)
	for name := range s.Secrets {
		l.set(name, "", "this app's secrets", "", true)
	}
	out := make([]variable, 0, len(l.by))
	for _, v := range l.by {
		out = append(out, *v)
	}
	slices.SortFunc(out, func(a, b variable) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// mountVariables adds what a mount gives as variables.
func (q *request) mountVariables(l *layered, m config.Mount) error {
	if m.As != "variables" {
		return nil
	}
	if m.Secret != "" {
		if !q.mayAsk(secretKind, call.Get) {
			return nil
		}
		row, err := q.get(q.Door.KindOf(secretKind), m.Secret)
		if err != nil {
			return err
		}
		var st config.SecretStatus
		_ = json.Unmarshal(mustJSON(docOf(row)["status"]), &st)
		for _, key := range st.Keys {
			if m.Key == "" || m.Key == key {
				l.set(cmp.Or(m.Variable, key), "", "secret "+m.Secret, rowPath(q.Door.KindOf(secretKind), row.M()), true)
			}
		}
		return nil
	}
	var rows []kind.AnyRow
	var err error
	if m.Group != "" {
		rows, err = q.rowsOf(configKind, "group", m.Group)
	} else if q.mayAsk(configKind, call.Get) {
		var row kind.AnyRow
		if row, err = q.get(q.Door.KindOf(configKind), m.Config); err == nil {
			rows = append(rows, row)
		}
	}
	if err != nil {
		return err
	}
	for _, r := range rows {
		if err := q.configVariables(l, m, r.(*configRow)); err != nil {
			return err
		}
	}
	return nil
}

func (q *request) configVariables(l *layered, m config.Mount, row *configRow) error {
	from, href := "config "+row.Name, "/configs/"+string(row.ID)
	if row.Spec.Sensitive || !q.mayAsk(configKind, "content") {
		l.set(cmp.Or(m.Variable, "(those of "+row.Name+")"), "", from, href, true)
		return nil
	}
	var c config.ContentOut
	if err := q.ask(configKind, "content", string(row.ID), config.ContentIn{Version: m.Version}, &c); err != nil {
		return err
	}
	if m.Variable != "" {
		l.set(m.Variable, c.Text, from, href, false)
		return nil
	}
	all, err := config.Variables(c.Type, c.Text)
	if err != nil {
		return nil // the service refused it when it was mounted, or gives none of it
	}
	for name, v := range all {
		l.set(name, v, from, href, false)
	}
	return nil
}
