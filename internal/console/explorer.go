package console

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"

	"github.com/awancloud/awan/internal/dialect/native"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kind"
)

// explorerPage shows the native API: which resources there are, and the operations of one.
type explorerPage struct {
	Groups     []explorerGroup
	Kind       *kind.Desc
	Operations []operation
	Run        *ranCall
	Project    string
}

type explorerGroup struct {
	Title string
	Kinds []explorerKind
}

type explorerKind struct {
	Title, Path, Doc string
	Active           bool
}

// operation is one route with what it takes and an example that fits this project.
type operation struct {
	ID, Verb, Doc, Method, Path string
	Fields                      []apiField
	Query                       []apiField
	Curl, Awan                  string
	At, Body                    string // where the example goes, and what it sends
	Reads, Runs                 bool
	Open                        bool
}

type apiField struct {
	Name, Type, Doc, Default string
	Required                 bool
}

// ranCall is an example that was run, with the answer.
type ranCall struct {
	Verb, Method, At, Body string
	Status                 int
	StatusText, Answer     string
	Cut, Confirm           bool
	Err                    *fail.Error
}

func (q *request) explorer() error {
	return q.explorerShow(nil, 200)
}

func (q *request) explorerShow(ran *ranCall, status int) error {
	p := explorerPage{Project: q.project.Name, Run: ran}
	at := map[string]int{}
	want := q.PathValue("service") + "/" + q.PathValue("plural")
	for _, k := range q.Door.Kinds {
		i, ok := at[k.Service]
		if !ok {
			i = len(p.Groups)
			at[k.Service] = i
			p.Groups = append(p.Groups, explorerGroup{Title: label(k.Service)})
		}
		e := explorerKind{Title: label(k.Plural), Path: "/explorer/" + k.Service + "/" + k.Plural, Doc: k.Doc, Active: want == k.Service+"/"+k.Plural}
		p.Groups[i].Kinds = append(p.Groups[i].Kinds, e)
		if e.Active {
			p.Kind = &k.Desc
			p.Operations = q.operations(k, ran)
		}
	}
	if want != "/" && p.Kind == nil {
		return fail.New(fail.NotFound, "there is no kind of resource called %s", want).Then("choose one in the list")
	}
	title := "API explorer"
	if p.Kind != nil {
		title = label(p.Kind.Plural) + " API"
	}
	return q.renderStatus(status, "explorer", title, p)
}

// operations lists the routes of a kind, as openapi.json does, with examples.
func (q *request) operations(k *kind.Def, ran *ranCall) []operation {
	row := "NAME"
	var verbs []action
	for _, v := range call.Verbs(k) {
		verbs = append(verbs, action{k.Service, k.Name, v.Verb})
	}
	may := q.may(verbs)
	if has(k, call.List) && may[action{k.Service, k.Name, call.List}] && (k.Scope != kind.InProject || q.project.ID != "") {
		c := q.newCall(k, call.List, "")
		c.Filter.Limit = 1
		if r, err := q.do(c); err == nil && len(r.Rows) == 1 {
			if row = r.Rows[0].M().Name; row == "" || k.AnyName {
				row = string(r.Rows[0].M().ID)
			}
		}
	}
	var out []operation
	for _, r := range native.Routes([]*kind.Def{k}) {
		o := operation{ID: k.Desc.Action(r.Verb), Verb: r.Verb, Doc: r.Doc, Method: r.Method, Path: r.Path, Reads: r.Method == http.MethodGet}
		o.At = strings.NewReplacer("{project}", pathEscape(q.project.Name), "{domain}", pathEscape(q.who.DomainName), "{id}", pathEscape(row)).Replace(r.Path)
		a := k.ActionOf(r.Verb)
		switch {
		case r.Verb == call.Create:
			o.Fields = apiFields(k.Spec, "spec.")
			o.Body = createBody(k)
		case r.Verb == call.Update:
			o.Fields = apiFields(k.Spec, "spec.")
			o.Body = exampleBody(map[string]any{"tags": map[string]string{"team": "web"}})
		case r.Verb == call.List:
			o.Query = []apiField{{"limit", "integer", "rows of a page, at most 1000", "", false}, {"marker", "string", "the next field of the page before", "", false},
				{"name", "string", "part of the name", "", false}, {"state", "string", "only this state", "", false}, {"tag", "string", "key or key=value", "", false}}
			o.At += "?limit=5"
		case a != nil:
			o.Fields = apiFields(a.In, "")
			o.Reads = o.Reads || a.Level == kind.Read
			if len(a.In) > 0 {
				o.Body = exampleBody(exampleOf(a.In))
			}
		}
		o.Curl, o.Awan = q.curl(o), awanLine(k, r.Verb, a, row)
		// what streams without end, or both ways, is for the command line
		streams := r.Verb == call.Watch || a != nil && a.Stream && slices.Contains([]string{"exec", "port-forward", "copy-in", "copy-out", "upload", "archive"}, r.Verb)
		o.Runs = q.API != nil && !streams && may[action{k.Service, k.Name, r.Verb}]
		if ran != nil && ran.Verb == o.Verb {
			o.Open = true
			o.At, o.Body = ran.At, ran.Body
		}
		out = append(out, o)
	}
	return out
}

func apiFields(fields []kind.Field, prefix string) []apiField {
	var out []apiField
	for _, f := range fields {
		typ := string(f.Type)
		if f.Item != nil {
			typ += " of " + string(f.Item.Type)
		}
		if len(f.Enum) > 0 {
			typ = strings.Join(f.Enum, " | ")
		}
		doc := f.Doc
		if f.Unit != "" {
			doc += " (" + f.Unit + ")"
		}
		out = append(out, apiField{prefix + f.Name, typ, doc, f.Default, f.Required})
		if f.Type == kind.Object {
			out = append(out, apiFields(f.Fields, prefix+f.Name+".")...)
		}
	}
	return out
}

func createBody(k *kind.Def) string {
	spec := any(exampleOf(k.Spec))
	if len(k.Example) > 2 {
		var doc map[string]any
		if json.Unmarshal(k.Example, &doc) == nil {
			for name, v := range doc {
				if blank(v) || v == 0.0 {
					delete(doc, name)
				}
			}
			spec = doc
		}
	}
	return exampleBody(map[string]any{"name": "example", "spec": spec})
}

// exampleOf fills in the fields that must be there.
func exampleOf(fields []kind.Field) map[string]any {
	out := map[string]any{}
	for _, f := range fields {
		if !f.Required {
			continue
		}
		var v any = f.Name
		switch {
		case f.Example != "" && (f.Type == kind.Integer || f.Type == kind.Number):
			v = json.Number(f.Example)
		case f.Example != "":
			v = f.Example
		case len(f.Enum) > 0:
			v = f.Enum[0]
		case f.Type == kind.Integer || f.Type == kind.Number:
			v = 1
		case f.Type == kind.Boolean:
			v = true
		case f.Type == kind.Object:
			v = exampleOf(f.Fields)
		}
		if f.Type == kind.ListOf {
			v = []any{v}
		} else if f.Type == kind.MapOf || f.Type == kind.JSON {
			v = map[string]any{}
		}
		out[f.Name] = v
	}
	return out
}

func exampleBody(v any) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	_ = e.Encode(v) // plain data into memory
	return strings.TrimSpace(b.String())
}

func (q *request) curl(o operation) string {
	out := "curl --cacert ca.pem -H \"Authorization: Bearer $TOKEN\" "
	if o.Method != http.MethodGet {
		out += "-X " + o.Method + " "
	}
	if o.Body != "" {
		var small bytes.Buffer
		if json.Compact(&small, []byte(o.Body)) == nil {
			out += "-H 'Content-Type: application/json' -d '" + strings.ReplaceAll(small.String(), "'", `'\''`) + "' "
		}
	}
	return out + "'" + q.Console.URL + o.At + "'"
}

// awanLine is the same on the command line.
func awanLine(k *kind.Def, verb string, a *kind.AnyAction, row string) string {
	out := "awan " + k.Name + " "
	fields := func(in []kind.Field) (flags string) {
		for _, f := range in {
			if !f.Required || !scalarType(f.Type) && f.Type != kind.ListOf {
				continue
			}
			v := exampleOf([]kind.Field{f})[f.Name]
			if list, ok := v.([]any); ok {
				v = list[0]
			}
			flags += " --" + strings.ReplaceAll(f.Name, "_", "-") + " " + scalar(v)
		}
		return flags
	}
	switch {
	case verb == call.List || verb == call.Watch:
		return out + verb
	case verb == call.Get:
		return out + "show " + row
	case verb == call.Create:
		if k.AnyName {
			return out + "create" + fields(k.Spec)
		}
		return out + "create example" + fields(k.Spec)
	case a != nil && a.Collection:
		return out + verb + fields(a.In)
	case a != nil:
		return out + verb + " " + row + fields(a.In)
	}
	return out + verb + " " + row
}

// runBytes bounds what of an answer is shown.
const runBytes = 64 << 10

// explorerRun sends an example to the API with this session's token: as any client does, so that policies, validation,
// quota and audit hold. What changes something is sent only when it was confirmed.
func (q *request) explorerRun() error {
	f := q.PostForm
	ran := &ranCall{Verb: f.Get("verb"), Body: strings.TrimSpace(f.Get("body")), At: strings.TrimSpace(f.Get("at"))}
	k := q.kinds[q.PathValue("service")+"/"+q.PathValue("plural")]
	if k == nil || q.API == nil {
		return fail.New(fail.NotFound, "there is no such operation")
	}
	for _, o := range q.operations(k, nil) {
		if o.Verb == ran.Verb && o.Runs {
			ran.Method = o.Method
			ran.Confirm = !o.Reads && f.Get("confirmed") != "yes"
		}
	}
	to, err := url.Parse(ran.At)
	switch {
	case ran.Method == "":
		return fail.New(fail.NotFound, "there is no operation %q that can be run here", ran.Verb).Then("choose one in the list")
	case err != nil || to.Host != "" || !strings.HasPrefix(to.Path, native.Base+"/") || !matches(k, ran.Verb, to.EscapedPath()):
		ran.Confirm = false
		ran.Err = fail.Field("path", "is not an address of this operation").Then("it begins as the example does")
		return q.explorerShow(ran, 400)
	case ran.Confirm:
		return q.explorerShow(ran, 200)
	}
	r, err := http.NewRequestWithContext(q.Context(), ran.Method, ran.At, strings.NewReader(ran.Body))
	if err != nil {
		return err
	}
	r.RequestURI, r.RemoteAddr, r.TLS, r.Host = ran.At, q.RemoteAddr, q.TLS, q.Host
	r.Header.Set("Authorization", "Bearer "+q.token)
	r.Header.Set("User-Agent", q.UserAgent())
	r.Header.Set("X-Request-Id", q.reqID)
	if ran.Body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	w := httptest.NewRecorder()
	q.API.ServeHTTP(w, r)
	ran.Status, ran.StatusText = w.Code, http.StatusText(w.Code)
	b, _ := io.ReadAll(io.LimitReader(w.Body, runBytes+1))
	if ran.Cut = len(b) > runBytes; ran.Cut {
		b = b[:runBytes]
	}
	if ran.Answer = string(b); !ran.Cut {
		ran.Answer = indented(b)
	}
	return q.explorerShow(ran, 200)
}

// matches tells whether a path is one of the operation's.
func matches(k *kind.Def, verb, path string) bool {
	for _, r := range native.Routes([]*kind.Def{k}) {
		want, got := strings.Split(r.Path, "/"), strings.Split(path, "/")
		if r.Verb != verb || len(want) != len(got) {
			continue
		}
		same := true
		for i := range want {
			free := strings.HasPrefix(want[i], "{") && got[i] != "" && got[i] != "." && got[i] != ".."
			same = same && (free || want[i] == got[i])
		}
		if same {
			return true
		}
	}
	return false
}
