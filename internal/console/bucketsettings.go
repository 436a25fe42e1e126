package console

import (
	"net/http"
	"slices"
	"strings"

	"github.com/awancloud/awan/internal/dialect/native"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/service/bucket"
)

// settingGroup is a part of a bucket's settings with a form of its own.
type settingGroup struct {
	Key, Title, Doc string
	Form            form
	Now             string // what is set, in a few words
	Open            bool
	Said            []shown // the same in full, for those who may not change it
}

var settingGroups = []struct {
	key, title, doc string
	fields          []string
}{
	{"versions", "Versions and locks", "Versions keep what is overwritten or deleted. Locks keep versions from being deleted until their time comes.", []string{"versioning", "object_lock", "retention"}},
	{"space", "Space", "", []string{"class", "quota"}},
	{"encryption", "Encryption", "Everything is encrypted, whatever stands here.", []string{"encryption", "md5"}},
	{"lifecycle", "Lifecycle", "What becomes of objects as they age.", []string{"lifecycle"}},
	{"web", "Web", "", []string{"cors", "website", "domains"}},
	{"events", "Notifications and logs", "", []string{"notifications", "logging", "inventory"}},
	{"copies", "Replication, mirrors and fetching", "", []string{"replication", "mirror", "fetch"}},
}

func (p *bucketPage) fieldsOf(names []string) []kind.Field {
	return pick(p.Kind.Spec, func(f kind.Field) bool { return slices.Contains(names, f.Name) })
}

func (q *request) bucketSettings() error {
	p, _, err := q.bucketPage("settings")
	if err != nil {
		return err
	}
	current := docOf(p.Row.Spec)
	group := q.PostForm.Get("group")
	show := func(doc map[string]any, e *fail.Error, status int) error {
		for _, g := range settingGroups {
			d, f := current, &former{current: current, suggest: q.suggest}
			s := settingGroup{Key: g.key, Title: g.title, Doc: g.doc, Now: settingNow(g.key, &p.Row.Spec)}
			if g.key == group {
				s.Open, d, f.err, f.more = true, doc, e, q.PostForm.Get("_more")
			}
			fields := p.fieldsOf(g.fields)
			s.Form = form{CSRF: p.CSRF, To: p.Path + "/settings#" + g.key, Submit: "Save", Inputs: f.inputs(fields, "spec", d, current),
				Hidden: [][2]string{{"group", g.key}, {"revision", number0(p.Row.Revision)}}}
			if s.Open && e != nil && !f.taken {
				s.Form.Err = e
			}
			s.Said = q.show(fields, current)
			p.Settings = append(p.Settings, s)
		}
		return q.renderStatus(status, "bucket_settings", p.Name+" settings", p)
	}
	if q.Method != http.MethodPost {
		return show(current, nil, http.StatusOK)
	}
	var fields []kind.Field
	for _, g := range settingGroups {
		if g.key == group {
			fields = p.fieldsOf(g.fields)
		}
	}
	if fields == nil {
		return fail.New(fail.Invalid, "there are no settings %q", group)
	}
	rd := &reader{sent: q.PostForm, editing: true}
	doc := rd.object(fields, "spec", current)
	switch {
	case q.PostForm.Get("_more") != "":
		return show(doc, nil, http.StatusOK)
	case rd.err != nil:
		return show(doc, rd.err, http.StatusBadRequest)
	}
	patch := patchOf(fields, current, doc)
	if len(patch) == 0 {
		q.flash("Nothing was changed.")
		return q.see(p.Path + "/settings")
	}
	c := q.newCall(p.Kind, call.Update, string(p.Row.ID))
	c.Spec = mustJSON(patch) // it holds only what was edited: the counters change the row all the time
	if _, err := q.do(c); err != nil {
		return formError(err, func(e *fail.Error, _ int) error { return show(doc, e, native.StatusOf(err)) })
	}
	q.flash("Saved.")
	return q.see(p.Path + "/settings#" + group)
}

// settingNow says in a few words what a group of settings is set to.
func settingNow(group string, sp *bucket.BucketSpec) string {
	var out []string
	add := func(yes bool, text string) {
		if yes {
			out = append(out, text)
		}
	}
	count := func(n int, one, many string) { add(n > 0, plural(n, one, many)) }
	switch group {
	case "versions":
		out = append(out, sp.Versioning)
		add(sp.ObjectLock, "objects can be locked")
		add(sp.Retention.Days > 0, "for "+plural(sp.Retention.Days, "day", "days")+" by themselves")
		add(sp.Retention.Years > 0, "for "+plural(sp.Retention.Years, "year", "years")+" by themselves")
	case "space":
		out = append(out, "class "+sp.Class)
		add(sp.Quota > 0, "at most "+sizeText(sp.Quota))
	case "encryption":
		out = append(out, either(sp.Encryption.Algorithm == "kms", "a key of the key service", "the project's key"))
	case "lifecycle":
		count(len(sp.Lifecycle), "rule", "rules")
	case "web":
		count(len(sp.CORS), "CORS rule", "CORS rules")
		add(sp.Website != nil, "website")
		count(len(sp.Domains), "name of its own", "names of its own")
	case "events":
		count(len(sp.Notifications), "notification", "notifications")
		add(sp.Logging != nil, "logged")
		count(len(sp.Inventory), "inventory", "inventories")
	case "copies":
		count(len(sp.Replication), "replication", "replications")
		count(len(sp.Mirror), "mirror", "mirrors")
		add(sp.Fetch.Open, "fetches on demand")
	}
	if len(out) == 0 {
		return "none"
	}
	return strings.Join(out, ", ")
}
