package console

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"html/template"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/kind"
)

//go:embed templates/*.html
var templateFiles embed.FS

//go:embed assets
var assetFiles embed.FS

// pages are the templates: one set a page, each with the layout and the parts. A page's is made when it is first asked
// for: all of them together are the most that a cloud at rest would keep in memory.
type pages struct {
	sets   map[string]func() *template.Template
	assets *assets
}

func loadPages(c *Console) *pages {
	p := &pages{sets: map[string]func() *template.Template{}, assets: loadAssets()}
	funcs := template.FuncMap{
		"asset": p.assets.path, "icon": icon, "age": c.age, "ago": c.ago, "in": c.in, "clock": clockText, "iso": isoText, "label": label, "dict": dict,
		"tone": tone, "plural": plural, "number": number, "percent": percent, "lower": strings.ToLower, "join": strings.Join, "imageName": imageName, "cores": cores, "rollbackInput": rollbackInput, "size": sizeText, "when": either, "short": lastPart, "clip": cut,
	}
	common := template.Must(template.New("").Funcs(funcs).ParseFS(templateFiles, "templates/layout.html", "templates/parts.html", "templates/form.html", "templates/app.html", "templates/bucket.html", "templates/rowparts.html", "templates/charts.html"))
	files, _ := fs.Glob(templateFiles, "templates/*.html")
	for _, f := range files {
		name := strings.TrimSuffix(path.Base(f), ".html")
		if name == "layout" || name == "parts" || name == "form" || name == "app" || name == "bucket" || name == "rowparts" || name == "charts" {
			continue
		}
		p.sets[name] = sync.OnceValue(func() *template.Template {
			return template.Must(template.Must(common.Clone()).ParseFS(templateFiles, f))
		})
	}
	return p
}

// view is what every page knows.
type view struct {
	Title, Path   string
	LoggedIn      bool
	User, Domain  string
	UserID        string
	Project       project
	Projects      []project
	Nav           []navGroup
	Theme, CSRF   string
	Flash         string
	Version, URL  string
	Data          any
	CanSeeOwnUser bool
	CanSeeKeys    bool
}

func (q *request) render(page, title string, data any) error {
	return q.renderStatus(http.StatusOK, page, title, data)
}

func (q *request) renderStatus(status int, page, title string, data any) error {
	v := view{Title: title, Path: q.URL.RequestURI(), Theme: q.theme(), CSRF: q.csrf(), Flash: q.takeFlash(), Version: q.Version, URL: q.Console.URL, Data: data,
		LoggedIn: !q.who.Nobody() && q.who.Restricted == "", User: q.who.UserName, UserID: string(q.who.User), Domain: q.who.DomainName, Project: q.project, Projects: q.projects}
	if q.Method != http.MethodGet {
		v.Path = q.URL.Path
	}
	if v.LoggedIn {
		own, keys := action{"identity", "user", call.Get}, action{"identity", "access-key", call.List}
		may := q.may([]action{own, keys})
		v.CanSeeOwnUser, v.CanSeeKeys = may[own], may[keys]
		v.Nav = q.nav()
	}
	return q.write(status, page, "layout", v)
}

// fragment answers a live refresh: nothing (204) when what the browser shows is still right, so that nothing jumps,
// nothing is announced again and the focus stays.
func (q *request) fragment(page, name string, data any) error {
	var b bytes.Buffer
	if err := q.pages.sets[page]().ExecuteTemplate(&b, name, data); err != nil {
		return err
	}
	sum := sha256.Sum256(b.Bytes())
	tag := hex.EncodeToString(sum[:8])
	q.began = true
	if q.URL.Query().Get("v") == tag {
		q.w.WriteHeader(http.StatusNoContent)
		return nil
	}
	q.w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, err := q.w.Write(bytes.ReplaceAll(b.Bytes(), []byte("__TAG__"), []byte(tag)))
	return err
}

func (q *request) write(status int, page, name string, data any) error {
	var b bytes.Buffer // so that a template that fails half way shows an error page, not half a page
	if err := q.pages.sets[page]().ExecuteTemplate(&b, name, data); err != nil {
		return err
	}
	q.began = true
	q.w.Header().Set("Content-Type", "text/html; charset=utf-8")
	q.w.WriteHeader(status)
	_, err := q.w.Write(b.Bytes())
	return err
}

func listPath(k *kind.Def) string { return "/k/" + k.Service + "/" + k.Plural }

func rowPath(k *kind.Def, m *kind.Meta) string { return listPath(k) + "/" + string(m.ID) }

// assets are the static files under names that change with their content, so that browsers may keep them for good.
type assets struct {
	byName map[string]asset // "app.css"
	byPath map[string]asset // "app.1f2e3d.css"
}

type asset struct {
	path, mime string
	body       []byte
}

func loadAssets() *assets {
	a := &assets{map[string]asset{}, map[string]asset{}}
	files, _ := fs.Glob(assetFiles, "assets/*")
	for _, f := range files {
		b, _ := assetFiles.ReadFile(f)
		name, ext := path.Base(f), path.Ext(f)
		typ := mime.TypeByExtension(ext)
		switch ext {
		case "":
			typ = "text/plain; charset=utf-8"
		case ".js":
			typ = "text/javascript; charset=utf-8"
		}
		sum := sha256.Sum256(b)
		hashed := strings.TrimSuffix(name, ext) + "." + base64.RawURLEncoding.EncodeToString(sum[:9]) + ext
		s := asset{hashed, typ, b}
		a.byName[name], a.byPath[hashed] = s, s
	}
	return a
}

// path gives the address of an asset; a template that names one that is not there fails.
func (a *assets) path(name string) (string, error) {
	s, ok := a.byName[name]
	if !ok {
		return "", fmt.Errorf("no asset %s", name)
	}
	return "/static/" + s.path, nil
}

func (a *assets) serve(w http.ResponseWriter, r *http.Request) {
	s, ok := a.byPath[r.PathValue("file")]
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", s.mime)
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(s.body))
}
