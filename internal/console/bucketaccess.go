package console

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/awancloud/awan/internal/dialect/native"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/ledger"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/bucket"
)

// accessPage is who may use a bucket, and the editor of its policy.
type accessPage struct {
	Text      string
	Meanings  []bucket.Meaning
	Explained bool // the text that is edited, not the stored one
	Public    bool // what is edited lets everybody in
	Blocked   bool // but the bucket blocks that
	Err       *fail.Error
	Place     []sourceLine
	Lines     int
	Template  string
	Folder    string
	Domain    string
	ACLForm   form
}

const (
	templatePublic = "public"
	templateDomain = "domain"
)

// template writes the policy that a template stands for.
func (a *accessPage) template(name string) error {
	folder := strings.Trim(strings.TrimSpace(a.Folder), "/")
	objects := name + "/*"
	if folder != "" {
		objects = name + "/" + folder + "/*"
	}
	var st map[string]any
	switch a.Template {
	case templatePublic:
		st = map[string]any{"Sid": "public-read", "Effect": "Allow", "Principal": "*", "Action": []string{"s3:GetObject"}, "Resource": []string{"arn:aws:s3:::" + objects}}
	case templateDomain:
		if a.Domain = strings.TrimSpace(a.Domain); a.Domain == "" {
			return fail.Field("domain", "which domain may read?").Then("write its name")
		}
		st = map[string]any{"Sid": "read-by-" + a.Domain, "Effect": "Allow", "Principal": map[string]any{"AWS": []string{"arn:aws:iam::" + a.Domain + ":root"}},
			"Action": []string{"s3:GetObject", "s3:ListBucket"}, "Resource": []string{"arn:aws:s3:::" + name, "arn:aws:s3:::" + objects}}
	default:
		return fail.Field("template", "there is no template %q", a.Template)
	}
	doc := map[string]any{"Version": "2012-10-17", "Statement": []any{}}
	if strings.TrimSpace(a.Text) != "" {
		if json.Unmarshal([]byte(a.Text), &doc) != nil {
			return fail.Field("policy", "what stands there is no JSON, so nothing can be added").Then("correct it, or clear the text first")
		}
	}
	list, ok := doc["Statement"].([]any)
	if !ok {
		list = []any{doc["Statement"]}
	}
	doc["Statement"] = append(list, st)
	b, err := json.MarshalIndent(doc, "", "  ")
	a.Text = string(b)
	return err
}

// explain says what the text means, or what is wrong with it and where.
func (a *accessPage) explain(name string) {
	a.Meanings, a.Public, a.Place = nil, false, nil
	if strings.TrimSpace(a.Text) != "" {
		if e := badJSON("policy", a.Text); e != nil {
			a.Err, a.Place = e, snippet(a.Text, lineOfSyntax(a.Text))
			return
		}
	}
	m, err := bucket.Explain(name, a.Text)
	if err != nil {
		a.Err = fail.From(err)
		a.Place = snippet(a.Text, lineOfPath(a.Text, a.Err.Field))
		return
	}
	a.Meanings = m
	for _, one := range m {
		a.Public = a.Public || one.Public
	}
}

var accessFields = []string{"acl", "ownership", "public_access"}

func (q *request) bucketAccess() error {
	p, _, err := q.bucketPage("access")
	if err != nil {
		return err
	}
	if !p.Can[call.Get] {
		return fail.New(fail.Denied, "you may not see who may use bucket %s", p.Name).Then("ask for the right bucket:bucket:get")
	}
	a := &accessPage{Text: prettyJSON(p.Row.Spec.Policy)}
	p.Access = a
	current := docOf(p.Row.Spec)
	doc := current
	show := func(e *fail.Error, status int) error {
		if e != nil && a.Err == nil {
			a.Err = e
		}
		if a.Err == nil || len(a.Meanings) > 0 {
			before := a.Err
			if a.explain(p.Name); a.Err == nil {
				a.Err = before
			}
		}
		a.Blocked = a.Public && !(p.Row.Spec.PublicAccess.AllowPolicy && p.Row.Spec.PublicAccess.HonorPolicy)
		a.Lines = min(34, max(10, strings.Count(a.Text, "\n")+2))
		f := &former{current: current, more: q.PostForm.Get("_more")}
		if q.PostForm.Get("step") == "" && q.Method == http.MethodPost {
			f.err = e
		}
		a.ACLForm = form{CSRF: p.CSRF, To: p.Path + "/access#acl", Submit: "Save", Inputs: f.inputs(p.fieldsOf(accessFields), "spec", doc, current)}
		if f.err != nil {
			a.Err = nil
			if !f.taken {
				a.ACLForm.Err = e
			}
		}
		return q.renderStatus(status, "bucket_access", p.Name+" access", p)
	}
	if q.Method != http.MethodPost {
		return show(nil, http.StatusOK)
	}
	in := q.PostForm
	if step := in.Get("step"); step != "" {
		a.Text = strings.ReplaceAll(in.Get("policy"), "\r\n", "\n")
		a.Folder, a.Domain, a.Template, a.Explained = in.Get("folder"), in.Get("domain"), in.Get("template"), true
		if step == "template" {
			if err := a.template(p.Name); err != nil {
				return show(fail.From(err), http.StatusBadRequest)
			}
			return show(nil, http.StatusOK)
		}
		a.explain(p.Name)
		if a.Err != nil {
			return show(a.Err, http.StatusBadRequest)
		}
		if step == "explain" {
			return show(nil, http.StatusOK)
		}
		return q.savePolicy(p, in.Get("public") != "", show)
	}
	rd := &reader{sent: in, editing: true}
	fields := p.fieldsOf(accessFields)
	doc = rd.object(fields, "spec", current)
	if in.Get("_more") != "" {
		return show(nil, http.StatusOK)
	}
	if rd.err != nil {
		return show(rd.err, http.StatusBadRequest)
	}
	return q.saveBucket(p, patchOf(fields, current, doc), "/access#acl", show)
}

// savePolicy stores a policy. One that makes the bucket public is stored when that was confirmed: the block is then lifted
// with it.
func (q *request) savePolicy(p *bucketPage, public bool, show func(*fail.Error, int) error) error {
	patch := map[string]any{"policy": p.Access.Text}
	was := p.Row.Spec.PublicAccess
	if p.Access.Public && !(was.AllowPolicy && was.HonorPolicy) {
		if !public {
			return show(fail.New(fail.Precondition, "this policy lets everybody in, so nothing was saved").Then("read the warning, tick its box, and save again"), http.StatusPreconditionFailed)
		}
		patch["public_access"] = map[string]any{"allow_policy": true, "honor_policy": true}
	}
	return q.saveBucket(p, patch, "/access", show)
}

func (q *request) saveBucket(p *bucketPage, patch map[string]any, to string, show func(*fail.Error, int) error) error {
	if len(patch) == 0 {
		q.flash("Nothing was changed.")
		return q.see(p.Path + to)
	}
	c := q.newCall(p.Kind, call.Update, string(p.Row.ID))
	c.Spec = mustJSON(patch)
	if _, err := q.do(c); err != nil {
		return formError(err, func(e *fail.Error, _ int) error { return show(e, native.StatusOf(err)) })
	}
	q.flash("Saved; it holds from now on.")
	return q.see(p.Path + to)
}

func prettyJSON(text string) string {
	var v any
	if text == "" || json.Unmarshal([]byte(text), &v) != nil {
		return text
	}
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return text
	}
	return string(b)
}

// bucketUsage is what a bucket holds, and what it held.
type bucketUsage struct {
	bucket.Usage
	Versions, Uploads int64
	Quota             int64
	Classes           []classShare
	Chart             chart
	Billing           bool
}

type classShare struct {
	Name  string
	Class string
	Bytes int64
	X, W  string
}

func (q *request) bucketUsage() error {
	p, api, err := q.bucketPage("usage")
	if err != nil {
		return err
	}
	u, err := api.Usage(q.Context(), q.caller(), p.Name)
	if err != nil {
		return err
	}
	p.Usage = &bucketUsage{Usage: u, Versions: p.Row.Status.Versions, Uploads: p.Row.Status.Uploads, Quota: p.Row.Spec.Quota}
	x := 0.0
	for i, c := range []classShare{{Name: "standard", Bytes: u.StandardBytes}, {Name: "warm", Bytes: u.WarmBytes}, {Name: "cold", Bytes: u.ColdByte}} {
		if c.Bytes > 0 {
			w := 100 * float64(c.Bytes) / float64(u.Bytes)
			c.X, c.W, c.Class = coordinate(x), coordinate(w), fmt.Sprintf("s%d", i+1)
			x += w
			p.Usage.Classes = append(p.Usage.Classes, c)
		}
	}
	if q.may([]action{{"billing", "usage", call.List}})[action{"billing", "usage", call.List}] && p.Row.Project == q.project.ID {
		if err := q.storageChart(p); err != nil {
			return err
		}
	}
	return q.render("bucket_usage", p.Name+" usage", p)
}

// storageChart draws what the meter of the bucket's storage saw: the same that is billed. A young bucket's days are drawn
// from when it was made.
func (q *request) storageChart(p *bucketPage) error {
	u := p.Usage
	u.Billing = true
	to := q.Now()
	from := to.Add(-14 * 24 * time.Hour)
	if p.Row.Created.After(from) {
		from = p.Row.Created.Add(-time.Minute)
	}
	if _, err := q.Door.Usage(q.Context(), q.newCall(nil, "", ""), to, to); err != nil { // asks the door
		return err
	}
	var held []ledger.Sample
	err := q.Door.Store.View(q.Context(), func(tx store.Tx) (err error) {
		held, err = ledger.History(tx, p.Row.Project, p.Row.ID, bucket.Storage, from)
		return err
	})
	if err != nil {
		return err
	}
	long := to.Sub(from)
	u.Chart = chart{Title: "Stored", Unit: "MiB, versions and parts included", From: from, To: to, tick: tickOf(long)}
	l := line{Name: "stored"}
	step, next := long/200, 0
	for at := from; !at.After(to); at = at.Add(step) {
		for next < len(held) && !held[next].To.IsZero() && !held[next].To.After(at) {
			next++
		}
		amount := 0.0
		if next < len(held) && !held[next].From.After(at) {
			amount = float64(held[next].Amount)
		}
		l.points = append(l.points, point{at, amount})
	}
	u.Chart.Lines = []line{l}
	u.Chart.draw(step)
	return nil
}

// tickOf is how far the marks of a chart that is so long lie apart.
func tickOf(long time.Duration) time.Duration {
	for _, t := range []time.Duration{time.Minute, 5 * time.Minute, 15 * time.Minute, time.Hour, 3 * time.Hour, 12 * time.Hour, 24 * time.Hour} {
		if long/t <= 7 {
			return t
		}
	}
	return 48 * time.Hour
}
