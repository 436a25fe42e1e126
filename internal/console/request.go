package console

import (
	"encoding/json"
	"mime/multipart"
	"net/http"
	"slices"
	"strings"

	"github.com/awancloud/awan/internal/dialect/auth"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
)

// request is one request for a page, with who asks and in which project.
type request struct {
	*Console
	*http.Request
	w     http.ResponseWriter
	reqID string
	began bool // an answer is on its way

	token    string
	who      ident.Principal
	projects []project
	project  project

	first *multipart.Part   // the first file that a form brought
	parts *multipart.Reader // what comes after it

	names map[string]referred // of referenced rows, looked up once a page
}

// project is one the caller may work in.
type project struct {
	ID   id.ID
	Name string
}

// newCall fills in what every call of this request has.
func (q *request) newCall(k *kind.Def, verb, target string) *call.Call {
	c := &call.Call{Kind: k, Verb: verb, Target: target, Principal: q.who, Source: auth.Source(q.Request), Agent: q.UserAgent(),
		Dialect: "console", RequestID: q.reqID}
	if k == nil || k.Scope == kind.InProject {
		c.Project = string(q.project.ID)
	}
	return c
}

func (q *request) do(c *call.Call) (call.Reply, error) { return q.Door.Do(q.Context(), c) }

// get reads a row; q's own list of it is a document with the JSON names that fields have.
func (q *request) get(k *kind.Def, target string) (kind.AnyRow, error) {
	r, err := q.do(q.newCall(k, call.Get, target))
	return r.Row, err
}

// docOf gives part of a row as JSON values, numbers as they are written.
func docOf(v any) map[string]any {
	b, err := json.Marshal(v)
	if err != nil {
		return map[string]any{}
	}
	out := map[string]any{}
	d := json.NewDecoder(strings.NewReader(string(b)))
	d.UseNumber()
	if d.Decode(&out) != nil {
		return map[string]any{}
	}
	return out
}

// findProjects lists the projects in which the caller may do something, and takes the one its cookie names. It reads
// names only: asking the door for the list would leave a "denied" in the audit log at every page for those who are
// granted one project and not the list of all.
func (q *request) findProjects() error {
	err := q.Door.Store.View(q.Context(), func(tx store.Tx) error {
		if err := q.Door.Ident.MarkCloud(tx, &q.who); err != nil {
			return err
		}
		rows, err := q.Door.Ident.Kinds.Project.List(tx, string(q.who.Domain), kind.Filter{Limit: 1000})
		if err != nil {
			return err
		}
		for _, r := range rows {
			ok, err := q.mayEnter(tx, r.ID)
			if err != nil {
				return err
			}
			if ok {
				q.projects = append(q.projects, project{r.ID, r.Name})
			}
		}
		return nil
	})
	if err != nil || len(q.projects) == 0 {
		return err
	}
	q.project = q.projects[0]
	if c, err := q.Cookie(projectCookie); err == nil {
		for _, p := range q.projects {
			if string(p.ID) == c.Value {
				q.project = p
			}
		}
	}
	return nil
}

func (q *request) mayEnter(tx store.Tx, project id.ID) (bool, error) {
	for _, k := range q.Door.Kinds {
		if k.Scope != kind.InProject && k.FullName() != "identity/project" {
			continue
		}
		if q.Door.Ident.May(tx, q.who, k.Desc.Action(call.List), k.Resource(q.Door.Region, q.who.Domain, "*"), q.who.Domain, project) {
			return true, nil
		}
	}
	return false, nil
}

// action names something a page may offer.
type action struct{ service, name, verb string }

// may tells which of the actions the caller's policies allow, so that pages offer only those. The door decides again.
func (q *request) may(actions []action) map[action]bool {
	out := map[action]bool{}
	_ = q.Door.Store.View(q.Context(), func(tx store.Tx) error {
		for _, a := range actions {
			desc := kind.Desc{Service: a.service, Name: a.name}
			out[a] = q.Door.Ident.May(tx, q.who, desc.Action(a.verb), desc.Resource(q.Door.Region, q.who.Domain, "*"), q.who.Domain, q.project.ID)
		}
		return nil
	})
	return out
}

// kindOf is the kind a path names.
func (q *request) kindOf() (*kind.Def, error) {
	k := q.kinds[q.PathValue("service")+"/"+q.PathValue("plural")]
	if k == nil {
		return nil, fail.New(fail.NotFound, "there is no kind of resource called %s/%s", q.PathValue("service"), q.PathValue("plural")).Then("choose one in the menu")
	}
	return k, nil
}

// verbs tells what a kind offers at all.
func has(k *kind.Def, verb string) bool {
	return slices.ContainsFunc(call.Verbs(k), func(v call.Verb) bool { return v.Verb == verb })
}

// see sends the browser on after a post.
func (q *request) see(path string) error {
	q.began = true
	http.Redirect(q.w, q.Request, path, http.StatusSeeOther)
	return nil
}

func (q *request) live() bool { return q.Header.Get("HX-Request") == "true" }
