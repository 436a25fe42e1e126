package cli

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/aymanbagabas/go-udiff"

	"github.com/awancloud/awan/internal/cli/client"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kind"
	sources "github.com/awancloud/awan/internal/service/build"
)

// step is what a plan does with one resource.
type step struct {
	verb    string // create, update, delete; "" when it is as wanted
	want    *desired
	changes []fieldChange
	patch   map[string]any // of an update; the whole spec of a create
}

type fieldChange struct {
	field, from, to string
	text            string // of a text: what differs, as a unified diff
}

// plan compares a file with what there is.
type plan struct {
	s     *session
	c     *client.Client
	m     *manifest
	prune bool
	steps []*step
}

func (p *plan) path(k *kind.Desc, name string) string {
	return p.s.collection(p.c, k) + "/" + url.PathEscape(name)
}

func (p *plan) make(ctx context.Context) error {
	for _, name := range p.m.secrets {
		k := p.s.kindOf("config", "secret")
		if err := p.c.Do(ctx, client.Request{Method: "GET", Path: p.path(k, name)}, nil); fail.Is(err, fail.NotFound) {
			return fail.Field(p.m.at("secrets"), "there is no secret %s", name).Then("awan secret create %s --values KEY=-", name)
		} else if err != nil {
			return err
		}
	}
	for _, d := range p.m.wants {
		st, err := p.compare(ctx, d)
		if err != nil {
			return err
		}
		p.steps = append(p.steps, st)
	}
	if p.prune {
		return p.surplus(ctx)
	}
	return nil
}

// compare decides what one resource needs.
func (p *plan) compare(ctx context.Context, d *desired) (*step, error) {
	if err := p.digest(d); err != nil {
		return nil, err
	}
	var a answer
	err := p.c.Do(ctx, client.Request{Method: "GET", Path: p.path(d.kind, d.name)}, &a)
	if fail.Is(err, fail.NotFound) {
		return p.creation(d), nil
	}
	if err != nil {
		return nil, err
	}
	row, err := decode(a.Resource)
	if err != nil {
		return nil, err
	}
	if text(row["state"]) == string(kind.Trashed) {
		return nil, fail.Field(p.m.at(d.path), "%s %s is in the trash", d.kind.Name, d.name).
			Then("restore it (awan %s restore %s) or purge it (awan %s delete --purge %s)", d.kind.Name, d.name, d.kind.Name, d.name)
	}
	st := &step{want: d, patch: map[string]any{}}
	if d.keep {
		return st, nil
	}
	have := mapping(row["spec"])
	if d.kind.Name == "config" {
		if err := p.readContent(ctx, d, have); err != nil {
			return nil, err
		}
	}
	p.diff(st, d.kind.Spec, d.spec, have, "", st.patch)
	if len(st.changes) == 0 {
		return st, nil
	}
	st.verb = "update"
	return st, p.mayChange(d, st)
}

// mayChange finds fields that cannot change before anything is done.
func (p *plan) mayChange(d *desired, st *step) error {
	for _, f := range d.kind.Spec {
		i := slices.IndexFunc(st.changes, func(c fieldChange) bool { return c.field == f.Name || strings.HasPrefix(c.field, f.Name+".") })
		if !f.Immutable || i < 0 {
			continue
		}
		at := d.path + "." + st.changes[i].field
		if f.Name == "application" || f.Name == "environment" {
			return fail.Field(p.m.at(d.path), "%s %s is there already, with %s %s", d.kind.Name, d.name, f.Name, st.changes[i].from).Then("choose another name")
		}
		return fail.Field(p.m.at(at), "cannot change after creation").Then("give the %s another name, or delete it first: awan %s delete %s", d.kind.Name, d.kind.Name, d.name)
	}
	return nil
}

// readContent puts a config's present content where the comparison finds it.
func (p *plan) readContent(ctx context.Context, d *desired, have map[string]any) error {
	if sensitive, _ := have["sensitive"].(bool); sensitive {
		return fail.Field(p.m.at(d.path), "config %s is sensitive: it cannot be kept in a file", d.name)
	}
	return p.c.Lines(ctx, client.Request{Method: "POST", Path: p.path(d.kind, d.name) + "/actions/content", In: map[string]any{}}, func(line []byte) error {
		var out struct {
			Text string `json:"text"`
		}
		err := json.Unmarshal(line, &out)
		have["content"] = out.Text
		return err
	})
}

// digest packs the folder of a component to see whether it changed.
func (p *plan) digest(d *desired) error {
	if d.build == "" {
		return nil
	}
	h := sha256.New()
	packed, err := sources.Pack(d.build, h)
	if err != nil {
		return err
	}
	if packed.Files == 0 {
		return fail.Field(p.m.at(d.path+".build"), "%s holds no files", d.build)
	}
	d.digest = "sha256:" + hex.EncodeToString(h.Sum(nil))
	put(d.spec, []string{"source", "digest"}, d.digest)
	return nil
}

func (p *plan) creation(d *desired) *step {
	st := &step{verb: "create", want: d, patch: d.spec}
	p.diff(st, d.kind.Spec, d.spec, map[string]any{}, "", map[string]any{})
	return st
}

// diff notes every field that the file names and that is otherwise, and makes the patch. What the file does not name stays
// as it is; maps and lists are compared whole.
func (p *plan) diff(st *step, fields []kind.Field, want, have map[string]any, path string, patch map[string]any) {
	for _, key := range sortedKeys(want) {
		i := slices.IndexFunc(fields, func(f kind.Field) bool { return f.Name == key })
		if i < 0 {
			continue
		}
		f, w, h, at := fields[i], want[key], have[key], under(path, key)
		switch {
		case f.Type == kind.Object && w != nil:
			sub := map[string]any{}
			p.diff(st, f.Fields, mapping(w), mapping(h), at, sub)
			if len(sub) > 0 {
				patch[key] = sub
			}
		case f.Type == kind.MapOf && w != nil:
			if sub := diffMap(st, f, mapping(w), mapping(h), at); len(sub) > 0 {
				patch[key] = sub
			}
		default:
			if same(w, h, f) {
				continue
			}
			c := fieldChange{field: at, from: shown(h, f), to: shown(w, f)}
			if f.Secret && key == "content" && st.verb == "" {
				c.text = udiff.Unified("now", "in the file", text(h), text(w))
			}
			st.changes = append(st.changes, c)
			patch[key] = w
		}
	}
}

func diffMap(st *step, f kind.Field, want, have map[string]any, path string) map[string]any {
	patch := map[string]any{}
	for _, key := range sortedKeys(want) {
		if h, there := have[key]; !there || !same(want[key], h, *f.Item) {
			st.changes = append(st.changes, fieldChange{field: path + "." + key, from: shown(h, *f.Item), to: shown(want[key], *f.Item)})
			patch[key] = want[key]
		}
	}
	for _, key := range sortedKeys(have) {
		if _, wanted := want[key]; !wanted {
			st.changes = append(st.changes, fieldChange{field: path + "." + key, from: shown(have[key], *f.Item)})
			patch[key] = nil
		}
	}
	return patch
}

// same compares what a file says with what the cloud has.
func same(want, have any, f kind.Field) bool {
	if want == nil { // its default
		want = defaultOf(f)
	}
	if have == nil {
		have = defaultOf(f)
	}
	if f.Type == kind.Duration {
		a, err1 := durationOf(want)
		b, err2 := durationOf(have)
		return err1 == nil && err2 == nil && a == b || text(want) == text(have)
	}
	a, _ := json.Marshal(plain(want, f))
	b, _ := json.Marshal(plain(have, f))
	return string(a) == string(b)
}

// durationOf reads a duration; none is zero.
func durationOf(v any) (time.Duration, error) {
	if v == nil {
		return 0, nil
	}
	return time.ParseDuration(text(v))
}

func defaultOf(f kind.Field) any {
	if f.Default == "" {
		return nil
	}
	switch f.Type {
	case kind.Integer, kind.Number:
		return json.Number(f.Default)
	case kind.Boolean:
		return f.Default == "true"
	}
	return f.Default
}

// plain fills in the defaults of objects in lists and leaves out what is empty, so that equal things look equal.
func plain(v any, f kind.Field) any {
	switch x := v.(type) {
	case []any:
		if len(x) == 0 {
			return nil
		}
		out := make([]any, len(x))
		for i, e := range x {
			out[i] = plain(e, *f.Item)
		}
		return out
	case map[string]any:
		out := map[string]any{}
		for k, e := range x {
			out[k] = e
		}
		for _, sub := range f.Fields {
			e, ok := out[sub.Name]
			if !ok || e == "" {
				e = defaultOf(sub)
			}
			if e = plain(e, sub); e == nil {
				delete(out, sub.Name)
			} else {
				out[sub.Name] = e
			}
		}
		return out
	case string:
		if x == "" {
			return nil
		}
	case bool:
		if !x {
			return nil
		}
	case int64:
		if x == 0 {
			return nil
		}
		return json.Number(fmt.Sprint(x))
	case json.Number:
		if x == "0" {
			return nil
		}
	}
	return v
}

// shown is a value in a plan.
func shown(v any, f kind.Field) string {
	if f.Secret {
		if t := text(v); f.Name == "content" && t != "" && t != kind.Mask {
			sum := sha256.Sum256([]byte(t))
			return fmt.Sprintf("%d bytes (%s)", len(t), hex.EncodeToString(sum[:4]))
		}
		return ""
	}
	switch x := v.(type) {
	case nil:
		return f.Default
	case string:
		if strings.HasPrefix(x, "sha256:") {
			return x[:min(len(x), 19)]
		}
		if f.Type == kind.String && len(f.Enum) == 0 {
			return fmt.Sprintf("%q", x)
		}
		return x
	case []any, map[string]any:
		b, err := json.Marshal(plain(x, f))
		if err == nil {
			return string(b)
		}
	}
	return text(v)
}

// counts tells how many steps of each kind there are.
func (p *plan) counts() (create, update, remove int) {
	for _, st := range p.steps {
		switch st.verb {
		case "create":
			create++
		case "update":
			update++
		case "delete":
			remove++
		}
	}
	return
}

func (p *plan) empty() bool {
	a, b, c := p.counts()
	return a+b+c == 0
}

// print shows the plan.
func (p *plan) print(to io.Writer) {
	if p.empty() {
		fmt.Fprintf(to, "application %s in environment %s is as %s says: nothing to do\n", p.m.name, p.m.environment, p.m.file)
		return
	}
	sign := map[string]string{"create": "+", "update": "~", "delete": "-"}
	fmt.Fprintf(to, "Plan for application %s in environment %s:\n\n", p.m.name, p.m.environment)
	for _, st := range p.steps {
		if st.verb == "" {
			continue
		}
		fmt.Fprintf(to, "  %s %s %s %s\n", sign[st.verb], st.verb, st.want.kind.Name, st.want.name)
		if st.want.build != "" && slices.ContainsFunc(st.changes, func(c fieldChange) bool { return c.field == "source.digest" }) {
			fmt.Fprintf(to, "      %-24s %s\n", "build", clean(st.want.build))
		}
		for _, c := range st.changes {
			switch {
			case c.field == "application" || c.field == "environment" || c.field == "group":
			case c.text != "":
				for _, l := range strings.Split(strings.TrimRight(c.text, "\n"), "\n") {
					fmt.Fprintf(to, "      | %s\n", clean(l))
				}
			case st.verb == "create":
				fmt.Fprintf(to, "      %-24s %s\n", clean(c.field), clean(c.to))
			case c.to == "" && c.from != "":
				fmt.Fprintf(to, "      %-24s %s → (none)\n", clean(c.field), clean(c.from))
			default:
				fmt.Fprintf(to, "      %-24s %s → %s\n", clean(c.field), clean(orNone(c.from)), clean(c.to))
			}
		}
	}
	a, b, c := p.counts()
	fmt.Fprintf(to, "\n%d to create, %d to change, %d to delete.\n", a, b, c)
}

func orNone(s string) string {
	if s == "" {
		return "(none)"
	}
	return s
}
