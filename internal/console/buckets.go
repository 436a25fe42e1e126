package console

import (
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/awancloud/awan/internal/dialect/auth"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/service/bucket"
)

const bucketKind = "bucket/bucket"

// bucketRoutes are the pages of buckets, and what their scripts ask.
var bucketRoutes = map[string]handler{
	"GET /buckets": (*request).buckets, "POST /buckets": (*request).bucketCreate, "GET /buckets/{name}": (*request).bucketObjects,
	"GET /buckets/{name}/settings": (*request).bucketSettings, "POST /buckets/{name}/settings": (*request).bucketSettings,
	"GET /buckets/{name}/access": (*request).bucketAccess, "POST /buckets/{name}/access": (*request).bucketAccess,
	"GET /buckets/{name}/usage": (*request).bucketUsage, "POST /buckets/{name}/empty": (*request).bucketEmpty, "POST /buckets/{name}/delete": (*request).bucketDelete,
	"GET /buckets/{name}/object": (*request).objectShow, "POST /buckets/{name}/do": (*request).objectDo, "GET /buckets/{name}/content": (*request).objectContent,
	"PUT /buckets/{name}/put": (*request).uploadPut, "POST /buckets/{name}/upload": (*request).uploadBegin, "PUT /buckets/{name}/part": (*request).uploadPart,
	"GET /buckets/{name}/parts": (*request).uploadedParts, "POST /buckets/{name}/complete": (*request).uploadComplete, "POST /buckets/{name}/abort": (*request).uploadAbort,
}

// bucketPage is what every page of a bucket has.
type bucketPage struct {
	Row    *bucket.Row
	Kind   *kind.Def
	Name   string
	Path   string
	Tab    string
	CSRF   string
	Can    map[string]bool
	Public bool

	*listingPage
	Settings []settingGroup
	Access   *accessPage
	Usage    *bucketUsage
}

// listingPage is a folder of a bucket.
type listingPage struct {
	Prefix, Filter string
	Deleted        bool // shows what was deleted and can be brought back
	Crumbs         []crumb
	Folders        []crumb
	Objects        []objectLine
	Next, First    string
	Uploads        []bucket.Upload
	Locked         bool // the caller may not list
	Command        string
}

type crumb struct{ Name, Path, Prefix string }

type objectLine struct {
	Key, Name, Path string
	Size            int64
	Modified        time.Time
	Class           string
	Marks           []string
	Deleted         bool
	Version         string
}

// listPageSize is how many objects and folders a page shows.
const listPageSize = 100

// buckets is everything about buckets; those that run without object storage have none.
func (q *request) store() (bucket.API, error) {
	if q.Buckets == nil || q.Door.KindOf(bucketKind) == nil {
		return nil, fail.New(fail.NotFound, "this cloud has no object storage")
	}
	return q.Buckets, nil
}

// caller is who asks, in the terms of object storage.
func (q *request) caller() *bucket.Caller {
	return &bucket.Caller{Principal: q.who, Source: auth.Source(q.Request), Agent: q.UserAgent(), Dialect: "console", RequestID: q.reqID,
		Project: string(q.project.ID), Facts: map[string][]string{"SecureTransport": {"true"}}}
}

func bucketPath(name string) string { return "/buckets/" + url.PathEscape(name) }

type bucketsPage struct {
	Rows      []*bucket.Row
	Name      string
	NoProject bool
	CanCreate bool
	Next      string
	First     string
	Form      bucketForm
}

// bucketForm is the short form that makes a bucket.
type bucketForm struct {
	Name, Keep string
	Lock, FS   bool
	Err        *fail.Error
}

func (q *request) bucketsPage(f bucketForm, status int) error {
	if _, err := q.store(); err != nil {
		return err
	}
	k := q.Door.KindOf(bucketKind)
	v := q.URL.Query()
	p := bucketsPage{Name: v.Get("name"), NoProject: q.project.ID == "", CanCreate: q.mayAsk(bucketKind, call.Create), Form: f}
	if !p.NoProject {
		c := q.newCall(k, call.List, "")
		c.Filter = kind.Filter{Limit: pageSize}
		if m := v.Get("marker"); m != "" {
			after, ok := id.Parse(m)
			if !ok {
				return fail.New(fail.Invalid, "the address names a page that cannot be").Then("go to the first page")
			}
			c.Filter.After = after
		}
		if p.Name != "" {
			c.Filter.Where = func(r kind.AnyRow) bool { return strings.Contains(r.M().Name, p.Name) }
		}
		r, err := q.do(c)
		if err != nil {
			return err
		}
		for _, row := range r.Rows {
			p.Rows = append(p.Rows, row.(*bucket.Row))
		}
		slices.SortFunc(p.Rows, func(a, b *bucket.Row) int { return strings.Compare(a.Name, b.Name) })
		if v.Get("marker") != "" {
			p.First = "/buckets"
		}
		if r.Next != "" {
			v.Set("marker", string(r.Next))
			p.Next = "/buckets?" + v.Encode()
		}
	}
	return q.renderStatus(status, "buckets", "Buckets", p)
}

func (q *request) buckets() error { return q.bucketsPage(bucketForm{}, http.StatusOK) }

func (q *request) bucketCreate() error {
	api, err := q.store()
	if err != nil {
		return err
	}
	in := q.PostForm
	f := bucketForm{Name: strings.TrimSpace(in.Get("name")), Keep: in.Get("versioning"), Lock: in.Get("lock") != "", FS: in.Get("file_system") != ""}
	spec := bucket.BucketSpec{Versioning: "off", ObjectLock: f.Lock, FileSystem: f.FS}
	if f.Keep != "" || f.Lock {
		spec.Versioning = "enabled"
	}
	row, err := api.Create(q.Context(), q.caller(), f.Name, spec, "", nil)
	if err != nil {
		return formError(err, func(e *fail.Error, status int) error {
			f.Err = e
			return q.bucketsPage(f, status)
		})
	}
	q.flash("Bucket " + row.Name + " was made.")
	return q.see(bucketPath(row.Name))
}

// bucket reads the bucket a path names, for somebody who may do action.
func (q *request) bucketPage(tab string) (*bucketPage, bucket.API, error) {
	api, err := q.store()
	if err != nil {
		return nil, nil, err
	}
	k := q.Door.KindOf(bucketKind)
	row, err := api.Bucket(q.Context(), q.caller(), q.PathValue("name"), "obs:bucket:HeadBucket")
	if err != nil {
		return nil, nil, err
	}
	p := &bucketPage{Row: row, Kind: k, Name: row.Name, Path: bucketPath(row.Name), Tab: tab, CSRF: q.csrf()}
	var asks []action
	for _, verb := range []string{call.Update, call.Delete, call.Get} {
		asks = append(asks, action{k.Service, k.Name, verb})
	}
	may := q.may(asks)
	p.Can = map[string]bool{}
	for a, ok := range may {
		p.Can[a.verb] = ok && row.Project == q.project.ID
	}
	if p.Can[call.Get] { // with what the counters say
		c := q.newCall(k, call.Get, string(row.ID))
		if r, err := q.do(c); err == nil {
			p.Row = r.Row.(*bucket.Row)
		}
	}
	p.Public = p.Row.Status.Public
	return p, api, nil
}

func (q *request) bucketObjects() error {
	p, api, err := q.bucketPage("objects")
	if err != nil {
		return err
	}
	v := q.URL.Query()
	l := &listingPage{Prefix: v.Get("prefix"), Filter: v.Get("filter"), Deleted: v.Get("deleted") != "" && p.Row.Spec.Versioning != "off"}
	p.listingPage = l
	if l.Prefix != "" && !strings.HasSuffix(l.Prefix, "/") {
		l.Filter, l.Prefix = path.Base(l.Prefix)+l.Filter, l.Prefix[:strings.LastIndexByte(l.Prefix, '/')+1]
	}
	l.Crumbs = crumbsOf(p.Path, l.Prefix)
	in := &bucket.ListInput{Bucket: p.Name, Prefix: l.Prefix + l.Filter, Delimiter: "/", After: v.Get("after"), AfterVersion: v.Get("version"), Max: listPageSize, Versions: l.Deleted}
	c := q.caller()
	c.Facts["prefix"], c.Facts["delimiter"] = []string{in.Prefix}, []string{"/"}
	out, err := api.List(q.Context(), c, in)
	if fail.Is(err, fail.Denied) {
		l.Locked, err, out = true, nil, &bucket.Listing{}
	}
	if err != nil {
		return err
	}
	for _, f := range out.Prefixes {
		l.Folders = append(l.Folders, crumb{strings.TrimPrefix(f, l.Prefix), folderPath(p.Path, f, l.Deleted), f})
	}
	for i := range out.Objects {
		if o := &out.Objects[i]; !l.Deleted || o.Marker && o.Latest {
			if o.Key != l.Prefix { // the folder's own marker
				l.Objects = append(l.Objects, lineOf(p.Path, l.Prefix, o))
			}
		}
	}
	if out.Truncated {
		v.Set("after", out.Next)
		v.Set("version", out.NextVersion)
		l.Next = p.Path + "?" + v.Encode()
	}
	if in.After != "" {
		v.Del("after")
		v.Del("version")
		l.First = p.Path + "?" + v.Encode()
	}
	if !l.Locked && in.After == "" && !l.Deleted && p.Row.Status.Uploads > 0 {
		if l.Uploads, _, _, err = api.Uploads(q.Context(), q.caller(), &bucket.ListInput{Bucket: p.Name, Prefix: l.Prefix, Max: 20}); fail.Is(err, fail.Denied) {
			err = nil
		}
	}
	if err != nil {
		return err
	}
	return q.render("bucket_objects", p.Name, p)
}

func folderPath(base, prefix string, deleted bool) string {
	v := url.Values{"prefix": {prefix}}
	if deleted {
		v.Set("deleted", "1")
	}
	return base + "?" + v.Encode()
}

func crumbsOf(base, prefix string) []crumb {
	var out []crumb
	at := ""
	for _, part := range strings.SplitAfter(prefix, "/") {
		if part == "" {
			continue
		}
		at += part
		out = append(out, crumb{strings.TrimSuffix(part, "/"), folderPath(base, at, false), at})
	}
	return out
}

func objectPath(base, key, version string) string {
	v := url.Values{"key": {key}}
	if version != "" {
		v.Set("version", version)
	}
	return base + "/object?" + v.Encode()
}

func lineOf(base, prefix string, o *bucket.Object) objectLine {
	l := objectLine{Key: o.Key, Name: strings.TrimPrefix(o.Key, prefix), Path: objectPath(base, o.Key, ""), Size: o.Size, Modified: o.Modified, Class: o.Class,
		Deleted: o.Marker, Version: o.Version}
	if o.Lock.Mode != "" && o.Lock.Until.After(time.Now()) {
		l.Marks = append(l.Marks, "locked")
	}
	if o.Hold {
		l.Marks = append(l.Marks, "hold")
	}
	return l
}

// sizeText prints bytes as people read them.
func sizeText(n int64) string {
	if n < 1024 {
		return number(n) + " B"
	}
	v, unit := float64(n), 0
	for v >= 1024 && unit < 5 {
		v, unit = v/1024, unit+1
	}
	digits := 1
	if v >= 100 {
		digits = 0
	}
	return strconv.FormatFloat(v, 'f', digits, 64) + " " + []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB"}[unit]
}

// either chooses between two texts in a template.
func either(first bool, a, b string) string {
	if first {
		return a
	}
	return b
}

// lastPart is what tells versions apart: they begin with the time, which is much the same for all.
func lastPart(version string) string {
	if len(version) <= 12 {
		return version
	}
	return "…" + version[len(version)-10:]
}
