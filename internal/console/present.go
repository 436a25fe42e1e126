package console

import (
	"encoding/json"
	"fmt"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
)

// shown is a value as a page shows it.
type shown struct {
	Label, Doc string
	Text, Href string
	Mono       bool
	At         time.Time
	Secret     bool
	Pairs      []pair
	Kids       []shown
	Table      *table
	Lines      []string
}

type table struct {
	Heads []string
	Rows  [][]shown
}

// show presents the fields of an object.
func (q *request) show(fields []kind.Field, doc map[string]any) []shown {
	var out []shown
	for _, f := range fields {
		if f.Unasked && blank(doc[f.Name]) {
			continue
		}
		s := q.showOne(f, doc[f.Name])
		s.Label, s.Doc = label(f.Name), f.Doc
		out = append(out, s)
	}
	return out
}

func (q *request) showOne(f kind.Field, v any) shown {
	var s shown
	switch {
	case v == nil || v == "":
		return s
	case f.Type == kind.Object:
		s.Kids = q.show(f.Fields, asMap(v))
	case f.Type == kind.MapOf:
		m := asMap(v)
		for k, x := range m {
			s.Pairs = append(s.Pairs, pair{Key: k, Value: scalar(x), Set: f.Secret})
		}
		sort.Slice(s.Pairs, func(i, j int) bool { return s.Pairs[i].Key < s.Pairs[j].Key })
	case f.Secret:
		s.Secret = true
	case f.Type == kind.ListOf && f.Item.Type == kind.Object:
		list, _ := v.([]any)
		if len(list) == 0 {
			return s
		}
		s.Table = &table{}
		for _, sub := range f.Item.Fields {
			s.Table.Heads = append(s.Table.Heads, label(sub.Name))
		}
		for _, x := range list {
			s.Table.Rows = append(s.Table.Rows, q.show(f.Item.Fields, asMap(x)))
		}
	case f.Type == kind.ListOf:
		list, _ := v.([]any)
		for _, x := range list {
			e := q.showOne(*f.Item, x)
			if f.Ref != "" {
				e.Text, e.Href = q.refer(f.Ref, scalar(x))
				s.Kids = append(s.Kids, shown{Text: e.Text, Href: e.Href})
				continue
			}
			s.Lines = append(s.Lines, e.Text)
		}
	case f.Type == kind.Time:
		s.At, _ = time.Parse(time.RFC3339Nano, scalar(v))
		if s.At.Year() <= 1 {
			s.At = time.Time{}
		}
	case f.Type == kind.Boolean:
		s.Text = "no"
		if v == true {
			s.Text = "yes"
		}
	case f.Type == kind.Integer:
		s.Text = scalar(v)
		if n, err := strconv.ParseInt(s.Text, 10, 64); err == nil {
			s.Text = number(n)
		}
		if f.Unit != "" {
			s.Text += " " + f.Unit
		}
	case f.Type == kind.JSON:
		b, _ := json.MarshalIndent(v, "", "  ")
		s.Text, s.Mono = string(b), true
	case f.Ref != "":
		s.Text, s.Href = q.refer(f.Ref, scalar(v))
	default:
		s.Text = scalar(v)
		if strings.HasPrefix(s.Text, "https://") {
			s.Href = s.Text
		}
		_, isID := id.Parse(s.Text)
		s.Mono = isID || strings.HasPrefix(s.Text, "sha256:")
	}
	return s
}

// refer names the row that a field holds the id (or name) of, and links to it.
func (q *request) refer(ref, value string) (text, href string) {
	kin := q.Door.Kin(ref)
	if len(kin) == 0 || value == "" {
		return value, ""
	}
	if _, isID := id.Parse(value); !isID {
		return value, listPath(kin[0]) + "/" + pathEscape(value)
	}
	key := ref + "/" + value
	if known, ok := q.names[key]; ok {
		return known.name, known.href
	}
	found := referred{value, listPath(kin[0]) + "/" + pathEscape(value)}
	for _, k := range kin {
		if a := (action{k.Service, k.Name, call.Get}); !q.may([]action{a})[a] {
			continue
		}
		if row, err := q.get(k, value); err == nil {
			found = referred{row.M().Name, listPath(k) + "/" + pathEscape(value)}
			break
		}
	}
	if q.names == nil {
		q.names = map[string]referred{}
	}
	q.names[key] = found
	return found.name, found.href
}

// referred is a row by its name, and its page.
type referred struct{ name, href string }

// rowView is a row in a list.
type rowView struct {
	Path, Name, ID string
	State          kind.State
	Reason         string
	Cells          []shown
	Created        time.Time
	Deleted, Purge time.Time
	Tags           []string
	Kind           string
	Restore, Purgp string
}

// column finds the field a column's path names.
func column(k *kind.Def, path string) (kind.Field, []string) {
	parts := strings.Split(path, ".")
	fields := k.Spec
	if parts[0] == "status" {
		fields = k.Status
	}
	var at kind.Field
	for _, p := range parts[1:] {
		for _, f := range fields {
			if f.Name == p {
				at, fields = f, f.Fields
				break
			}
		}
	}
	if at.Name == "" {
		at = kind.Field{Name: parts[len(parts)-1], Type: kind.String}
	}
	return at, parts
}

func (q *request) cells(k *kind.Def, row kind.AnyRow) []shown {
	if len(k.Columns) == 0 {
		return nil
	}
	doc := docOf(row)
	var out []shown
	for _, path := range k.Columns {
		f, parts := column(k, path)
		var v any = doc
		for _, p := range parts {
			v = asMap(v)[p]
		}
		s := q.showOne(f, v)
		s.Label = label(f.Name)
		if s.Mono && f.Type == kind.JSON {
			s.Text = strings.Join(strings.Fields(s.Text), " ")
		}
		s.Text = cut(s.Text, 120)
		out = append(out, s)
	}
	return out
}

func tagList(m map[string]string) []string {
	var out []string
	for k, v := range m {
		if v != "" {
			k += "=" + v
		}
		out = append(out, k)
	}
	sort.Strings(out)
	return out
}

func cut(s string, n int) string {
	r := []rune(s)
	if len(r) <= n {
		return s
	}
	return string(r[:n-1]) + "…"
}

// label turns a JSON name into words: "memory_mib" is "Memory MiB".
func label(name string) string {
	words := strings.FieldsFunc(name, func(r rune) bool { return r == '_' || r == '-' })
	for i, w := range words {
		if up, ok := spellings[w]; ok {
			words[i] = up
		} else if i == 0 && w != "" {
			words[i] = strings.ToUpper(w[:1]) + w[1:]
		}
	}
	return strings.Join(words, " ")
}

var spellings = map[string]string{"url": "URL", "tcp": "TCP", "cpu": "CPU", "id": "ID", "mib": "MiB", "gib": "GiB", "ip": "IP", "dns": "DNS", "tls": "TLS", "http": "HTTP", "vpc": "VPC", "json": "JSON", "env": "Environment variables", "pids": "Processes"}

// tone is the colour class of a state, phase, outcome or level.
func tone(s any) string {
	switch fmt.Sprint(s) {
	case "active", "ready", "live", "succeeded", "done", "attached":
		return "good"
	case "failed", "error", "denied", "exited":
		return "bad"
	case "creating", "updating", "deleting", "rolling", "starting", "planned", "begun", "running", "undoing", "leaving", "attaching", "detaching":
		return "busy"
	case "unready", "warning":
		return "warn"
	}
	return "calm"
}

// number groups digits: 12 345.
func number(v any) string {
	s := fmt.Sprint(v)
	if f, ok := v.(float64); ok {
		s = strconv.FormatFloat(f, 'f', 2, 64)
	}
	whole, frac, dot := strings.Cut(s, ".")
	neg := strings.HasPrefix(whole, "-")
	whole = strings.TrimPrefix(whole, "-")
	var b strings.Builder
	for i, r := range whole {
		if i > 0 && (len(whole)-i)%3 == 0 && len(whole) > 4 {
			b.WriteRune('\u202f')
		}
		b.WriteRune(r)
	}
	out := b.String()
	if neg {
		out = "-" + out
	}
	if dot {
		out += "." + frac
	}
	return out
}

// percent is how full something is, from 0 to 100.
func percent(used, limit int64) int {
	if limit <= 0 {
		return 0
	}
	return int(min(100, max(0, used*100/limit)))
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return number(n) + " " + many
}

func dict(kv ...any) map[string]any {
	m := map[string]any{}
	for i := 0; i+1 < len(kv); i += 2 {
		m[kv[i].(string)] = kv[i+1]
	}
	return m
}

// cores prints thousandths of a core: "0.5 cores".
func cores(milli int64) string {
	if milli == 1000 {
		return "1 core"
	}
	return strconv.FormatFloat(float64(milli)/1000, 'f', -1, 64) + " cores"
}

// span prints a time roughly: "3 min".
func span(d time.Duration) string {
	switch {
	case d < time.Minute:
		return strconv.Itoa(max(0, int(d.Seconds()))) + " s"
	case d < time.Hour:
		return strconv.Itoa(int(d.Minutes())) + " min"
	case d < 48*time.Hour:
		return strconv.Itoa(int(d.Hours())) + " h"
	}
	return strconv.Itoa(int(d.Hours()/24)) + " days"
}

func (c *Console) age(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return span(c.Now().Sub(t))
}

func (c *Console) ago(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	if d := c.Now().Sub(t); d < 10*time.Second {
		return "just now"
	}
	return c.age(t) + " ago"
}

// in prints how long until t.
func (c *Console) in(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return span(t.Sub(c.Now()))
}

func clockText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04:05 UTC")
}

func isoText(t time.Time) string { return t.UTC().Format(time.RFC3339) }
