package console

import (
	"context"
	"io"
	"maps"
	"mime"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/service/bucket"
)

// objectPage is one object, or one version of it.
type objectPage struct {
	*bucketPage
	Key, Base  string // its name, and the last part of it
	Folder     string
	Crumbs     []crumb
	Object     *bucket.Object
	Gone       bool // a delete marker is in front
	Version    string
	Versions   []versionLine
	More       bool // versions that are not shown
	Preview    string
	Text       string
	Cut        bool
	Content    string // address of its bytes
	Properties [][2]string
	Tags       []pair
	Meta       []pair
	LockUntil  string
	Link       *sharedLink
	Err        *fail.Error
	Command    string
}

type versionLine struct {
	Version  string
	Path     string
	Size     int64
	Modified time.Time
	Marker   bool
	Latest   bool
	Shown    bool
	Lock     string
}

// sharedLink is a link that was just made. It is shown once.
type sharedLink struct {
	URL     string
	Expires time.Time
	By      string
}

// maxVersions is how many versions a page lists, maxPreview how much of a text it shows.
const (
	maxVersions = 200
	maxPreview  = 256 << 10
)

// what a preview of an object is, by its type; "" for what is not shown. HTML and SVG are shown as text and as a picture:
// never as a document of the console's own origin.
func previewOf(o *bucket.Object) string {
	typ, _, _ := mime.ParseMediaType(o.ContentType)
	if typ == "" || typ == "application/octet-stream" || typ == "binary/octet-stream" {
		typ, _, _ = mime.ParseMediaType(mime.TypeByExtension(path.Ext(o.Key)))
	}
	switch {
	case inline[typ] != "":
		return inline[typ]
	case typ == "image/svg+xml":
		return "picture"
	case strings.HasPrefix(typ, "text/"), slices.Contains([]string{"application/json", "application/xml", "application/javascript", "application/yaml", "application/x-yaml",
		"application/toml", "application/x-sh", "application/sql", "application/x-ndjson"}, typ), strings.HasSuffix(typ, "+json"), strings.HasSuffix(typ, "+xml"):
		return "text"
	case textual[strings.ToLower(path.Ext(o.Key))]:
		return "text"
	}
	return ""
}

var textual = map[string]bool{".md": true, ".txt": true, ".log": true, ".csv": true, ".yaml": true, ".yml": true, ".toml": true, ".go": true, ".py": true, ".ini": true,
	".conf": true, ".env": true, ".sh": true, ".sql": true, ".jsonl": true, ".ndjson": true, ".rs": true, ".ts": true, ".java": true, ".c": true, ".h": true, ".tf": true}

// objectPage reads the object that the query names.
func (q *request) objectPage() (*objectPage, bucket.API, error) {
	b, api, err := q.bucketPage("objects")
	if err != nil {
		return nil, nil, err
	}
	v := q.URL.Query()
	p := &objectPage{bucketPage: b, Key: v.Get("key"), Version: v.Get("version")}
	if p.Key == "" {
		return nil, nil, fail.New(fail.NotFound, "the address names no object").Then("choose one in the bucket")
	}
	p.Folder, p.Base = p.Key[:strings.LastIndexByte(strings.TrimSuffix(p.Key, "/"), '/')+1], path.Base(p.Key)
	p.Crumbs = crumbsOf(b.Path, p.Folder)
	got, err := api.Get(q.Context(), q.caller(), &bucket.GetInput{Bucket: b.Name, Key: p.Key, Version: p.Version, Head: true})
	if err != nil && got == nil {
		return nil, nil, err
	}
	p.Object = &got.Object
	p.Gone = got.Marker
	if got.Versioned {
		if err := q.versionsOf(p, api); err != nil {
			return nil, nil, err
		}
	}
	q.describe(p)
	return p, api, nil
}

func (q *request) versionsOf(p *objectPage, api bucket.API) error {
	out, err := api.List(q.Context(), q.caller(), &bucket.ListInput{Bucket: p.Name, Prefix: p.Key, Max: maxVersions, Versions: true})
	if fail.Is(err, fail.Denied) {
		return nil
	}
	if err != nil {
		return err
	}
	for i := range out.Objects {
		o := &out.Objects[i]
		if o.Key != p.Key {
			return nil
		}
		l := versionLine{Version: o.Version, Path: objectPath(p.Path, o.Key, o.Version), Size: o.Size, Modified: o.Modified, Marker: o.Marker, Latest: o.Latest, Shown: o.Version == p.Object.Version, Lock: lockText(o)}
		p.Versions = append(p.Versions, l)
	}
	p.More = out.Truncated
	return nil
}

func lockText(o *bucket.Object) string {
	var parts []string
	if o.Lock.Mode != "" {
		parts = append(parts, o.Lock.Mode+" lock until "+clockText(o.Lock.Until))
	}
	if o.Hold {
		parts = append(parts, "legal hold")
	}
	return strings.Join(parts, ", ")
}

// describe fills in what the page says of the object.
func (q *request) describe(p *objectPage) {
	o := p.Object
	v := url.Values{"key": {p.Key}}
	if p.Version != "" {
		v.Set("version", p.Version)
	}
	p.Content = p.Path + "/content?" + v.Encode()
	p.Command = "awan cp " + shellWord("awan://"+p.Name+"/"+p.Key) + " ."
	if o.Marker {
		return
	}
	add := func(name, value string) {
		if value != "" {
			p.Properties = append(p.Properties, [2]string{name, value})
		}
	}
	add("Type", o.ContentType)
	add("Storage class", o.Class)
	add("ETag", o.ETag)
	if o.Versioned {
		add("Version", o.Version)
	}
	add("Encryption", map[string]string{"AES256": "the project's key", "kms": "a key of the key service", "customer": "a key that only who uploaded it has"}[o.Protect.Algorithm])
	add("Owner", o.OwnerName)
	add("Cache control", o.CacheControl)
	add("Content encoding", o.ContentEncoding)
	add("Disposition", o.ContentDisposition)
	add("Redirect", o.Redirect)
	for _, k := range slices.Sorted(maps.Keys(o.Sums)) {
		add(strings.ToUpper(k), o.Sums[k])
	}
	if len(o.Parts) > 0 {
		add("Uploaded", "in "+plural(len(o.Parts), "part", "parts"))
	}
	add("Replication", strings.ToLower(o.Replication))
	if !o.Expires.IsZero() {
		add("Deleted by rule", o.ExpiresBy+" after "+clockText(o.Expires))
	}
	if o.Lock.Mode != "" {
		add("Lock", o.Lock.Mode+", until "+clockText(o.Lock.Until))
		p.LockUntil = o.Lock.Until.UTC().Format("2006-01-02T15:04")
	}
	for _, k := range slices.Sorted(maps.Keys(o.Tags)) {
		p.Tags = append(p.Tags, pair{Key: k, Value: o.Tags[k]})
	}
	for _, k := range slices.Sorted(maps.Keys(o.User)) {
		p.Meta = append(p.Meta, pair{Key: k, Value: o.User[k]})
	}
	p.Tags, p.Meta = append(p.Tags, pair{}, pair{}), append(p.Meta, pair{}, pair{})
}

func shellWord(s string) string {
	if strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-_./:@%+=", r)
	}) {
		return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
	}
	return s
}

func (q *request) objectShow() error {
	p, api, err := q.objectPage()
	if err != nil {
		return err
	}
	return q.showObject(p, api, 200)
}

func (q *request) showObject(p *objectPage, api bucket.API, status int) error {
	if !p.Gone && p.Object.Protect.Algorithm != "customer" && p.Object.Size > 0 {
		p.Preview = previewOf(p.Object)
	}
	if p.Preview == "text" {
		if err := q.previewText(p, api); err != nil {
			return err
		}
	}
	switch p.Preview { // nothing else of the console may be framed or play
	case "document":
		q.w.Header().Set("Content-Security-Policy", policy+"; frame-src 'self'; object-src 'self'")
	case "sound", "film":
		q.w.Header().Set("Content-Security-Policy", policy+"; media-src 'self'")
	}
	return q.renderStatus(status, "object", p.Base, p)
}

// previewText reads the beginning of a text; what is no text after all is not shown.
func (q *request) previewText(p *objectPage, api bucket.API) error {
	in := &bucket.GetInput{Bucket: p.Name, Key: p.Key, Version: p.Version, Range: &bucket.Range{From: 0, To: min(maxPreview, p.Object.Size) - 1}}
	got, err := api.Get(q.Context(), q.caller(), in)
	if fail.Is(err, fail.Denied) { // cold, or not to be read
		p.Preview = ""
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = got.Body.Close() }()
	b, err := io.ReadAll(got.Body)
	if err != nil {
		return err
	}
	p.Cut = p.Object.Size > int64(len(b))
	for cut := 0; p.Cut && cut < utf8.UTFMax && !utf8.Valid(b); cut++ { // the cut may lie within a letter
		b = b[:len(b)-1]
	}
	if !utf8.Valid(b) || strings.Contains(string(b), "\x00") {
		p.Preview = ""
		return nil
	}
	p.Text = string(b)
	return nil
}

// objectDo does what a form of an object's page asks for.
func (q *request) objectDo() error {
	api, err := q.store()
	if err != nil {
		return err
	}
	f := q.PostForm
	name, key, version := q.PathValue("name"), f.Get("key"), f.Get("version")
	base := bucketPath(name)
	ctx, c := q.Context(), q.caller()
	back, said := objectPath(base, key, version), "Saved."
	switch f.Get("do") {
	case "folder":
		back, said, err = q.newFolder(ctx, api, name)
	case "delete":
		var d bucket.Deleted
		d, err = api.Delete(ctx, c, &bucket.DeleteInput{Bucket: name, Key: key})
		back, said = folderOf(base, key), path.Base(key)+" was deleted for good."
		if d.MarkerVersion != "" {
			said = path.Base(key) + " was deleted; its versions are kept, and it can be brought back."
		}
	case "undelete", "purge":
		_, err = api.Delete(ctx, c, &bucket.DeleteInput{Bucket: name, Key: key, Version: version, Bypass: f.Get("bypass") != ""})
		back, said = objectPath(base, key, ""), path.Base(key)+" is back."
		if f.Get("do") == "purge" {
			said = "Version " + lastPart(version) + " of " + path.Base(key) + " was deleted for good."
			if _, gone := api.Get(ctx, q.caller(), &bucket.GetInput{Bucket: name, Key: key, Head: true}); gone != nil && bucket.CodeOf(gone) == "NoSuchKey" {
				back = folderOf(base, key)
			}
		}
	case "restore":
		_, err = api.Copy(ctx, c, &bucket.CopyInput{From: bucket.GetInput{Bucket: name, Key: key, Version: version}, To: bucket.PutInput{Bucket: name, Key: key}})
		back, said = objectPath(base, key, ""), "That version is the newest again, as a copy."
	case "rename":
		to := strings.TrimSpace(f.Get("to"))
		err = api.Rename(ctx, c, name, key, to)
		back, said = objectPath(base, to, ""), "It is called "+to+" now."
	case "tags":
		tags := pairsOf(f, "tags")
		_, err = api.Edit(ctx, c, &bucket.EditInput{Bucket: name, Key: key, Version: version, Tags: &tags})
	case "metadata":
		err = q.editAttributes(ctx, api, name, key)
		back = objectPath(base, key, "")
	case "lock":
		err = q.lockObject(ctx, api, name, key, version)
	case "hold":
		on := f.Get("hold") == "on"
		_, err = api.Edit(ctx, c, &bucket.EditInput{Bucket: name, Key: key, Version: version, Hold: &on})
		said = map[bool]string{true: "It is held: nobody can delete this version until the hold is lifted.", false: "The hold is lifted."}[on]
	case "thaw":
		_, err = api.Edit(ctx, c, &bucket.EditInput{Bucket: name, Key: key, Version: version, RestoreDays: 7})
		said = "It can be read for 7 days."
	case "share":
		return q.shareObject(name, key, version)
	case "selected":
		return q.deleteSelected(api, name)
	case "abort":
		err = api.Abort(ctx, c, name, key, f.Get("upload"))
		back, said = folderOf(base, key), "The parts of that upload are gone."
	default:
		return fail.New(fail.Invalid, "there is nothing called %q to do", f.Get("do"))
	}
	if err != nil {
		return q.objectError(api, err, key, version)
	}
	q.flash(said)
	return q.see(back)
}

// objectError shows what went wrong on the object's own page, where there is one.
func (q *request) objectError(api bucket.API, err error, key, version string) error {
	if key == "" {
		return err
	}
	return formError(err, func(e *fail.Error, status int) error {
		u := *q.URL
		u.RawQuery = url.Values{"key": {key}, "version": {version}}.Encode()
		q.URL = &u
		p, api, perr := q.objectPage()
		if perr != nil {
			return err
		}
		p.Err = e
		return q.showObject(p, api, status)
	})
}

func folderOf(base, key string) string {
	folder := key[:strings.LastIndexByte(strings.TrimSuffix(key, "/"), '/')+1]
	if folder == "" {
		return base
	}
	return folderPath(base, folder, false)
}

func pairsOf(f url.Values, name string) map[string]string {
	out := map[string]string{}
	keys, values, drop := f[name+"#k"], f[name+"#v"], f[name+"#drop"]
	for i, k := range keys {
		if k = strings.TrimSpace(k); k != "" && i < len(values) && !slices.Contains(drop, k) {
			out[k] = values[i]
		}
	}
	return out
}

// newFolder makes an empty object whose name ends in a slash: that is what a folder without objects is.
func (q *request) newFolder(ctx context.Context, api bucket.API, name string) (string, string, error) {
	prefix, folder := q.PostForm.Get("prefix"), strings.Trim(strings.TrimSpace(q.PostForm.Get("folder")), "/")
	base := bucketPath(name)
	if folder == "" {
		return base, "", fail.Field("folder", "a folder needs a name").Then("go back and write one")
	}
	key := prefix + folder + "/"
	_, err := api.Put(ctx, q.caller(), &bucket.PutInput{Bucket: name, Key: key, Body: strings.NewReader(""), Size: 0, Attributes: bucket.Attributes{ContentType: "application/x-directory"}})
	return folderPath(base, key, false), "Folder " + folder + " was made.", err
}

// editAttributes writes the newest version anew with other metadata, as S3 does it: by a copy onto itself.
func (q *request) editAttributes(ctx context.Context, api bucket.API, name, key string) error {
	f := q.PostForm
	now, err := api.Get(ctx, q.caller(), &bucket.GetInput{Bucket: name, Key: key, Head: true})
	if err != nil {
		return err
	}
	a := now.Attributes
	a.ContentType, a.CacheControl, a.ContentDisposition = strings.TrimSpace(f.Get("type")), strings.TrimSpace(f.Get("cache")), strings.TrimSpace(f.Get("disposition"))
	a.User = map[string]string{}
	for k, v := range pairsOf(f, "meta") {
		a.User[strings.ToLower(k)] = v
	}
	if now.Size > bucket.MaxPut {
		return fail.New(fail.TooLarge, "metadata of an object of more than 5 GiB is changed by uploading it again")
	}
	_, err = api.Copy(ctx, q.caller(), &bucket.CopyInput{From: bucket.GetInput{Bucket: name, Key: key}, Attrs: true, To: bucket.PutInput{Bucket: name, Key: key, Attributes: a, Class: now.Class}})
	return err
}

func (q *request) lockObject(ctx context.Context, api bucket.API, name, key, version string) error {
	f := q.PostForm
	l := bucket.Lock{Mode: f.Get("mode")}
	if l.Mode != "" {
		until, err := time.Parse("2006-01-02T15:04", f.Get("until"))
		if err != nil {
			return fail.Field("until", "%q is no time", f.Get("until")).Then("choose a day and a time; it is taken as UTC")
		}
		l.Until = until
	}
	_, err := api.Edit(ctx, q.caller(), &bucket.EditInput{Bucket: name, Key: key, Version: version, Lock: &l, Bypass: f.Get("bypass") != ""})
	return err
}

// deleteSelected deletes the objects and folders that were ticked.
func (q *request) deleteSelected(api bucket.API, name string) error {
	f := q.PostForm
	ctx, cancel := context.WithTimeout(q.Context(), emptyTime)
	defer cancel()
	done, kept, rest := 0, 0, false
	var in []bucket.DeleteInput
	for _, k := range f["keys"] {
		if strings.HasSuffix(k, "/") {
			d, s, r, err := q.sweep(ctx, api, name, k, false)
			if err != nil {
				return err
			}
			done, kept, rest = done+d, kept+s, rest || r
			continue
		}
		in = append(in, bucket.DeleteInput{Key: k})
	}
	if len(in) > 0 {
		out, err := api.DeleteMany(ctx, q.caller(), name, in)
		if err != nil {
			return err
		}
		for _, d := range out {
			if d.Err != nil {
				kept++
			} else {
				done++
			}
		}
	}
	back := bucketPath(name)
	if p := f.Get("prefix"); p != "" {
		back = folderPath(back, p, false)
	}
	if done+kept == 0 {
		q.flash("Nothing was chosen.")
	} else {
		q.flash(sweptText(done, kept, rest))
	}
	return q.see(back)
}
