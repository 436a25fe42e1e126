package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/awancloud/awan/internal/cli/client"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kind"
)

// page is a list's answer.
type page struct {
	Items []json.RawMessage `json:"items"`
	Next  string            `json:"next,omitempty"`
	Names map[string]string `json:"names,omitempty"`
}

func (s *session) listCmd(name string, k *kind.Desc) *cobra.Command {
	var output, marker, part, state string
	var limit int
	var all bool
	var tags []string
	var by []string
	cmd := &cobra.Command{Use: "list", Short: "list " + k.Plural, Long: "List " + k.Plural + ", newest last.", Args: cobra.NoArgs,
		Example: examples("awan "+name+" list", "awan "+name+" list --state failed -o json")}
	f := cmd.Flags()
	outputFlag(cmd, &output)
	f.StringVar(&part, "name", "", "only those whose name holds this `TEXT`")
	f.StringVar(&state, "state", "", "only those in this `STATE`; trashed shows the trash")
	complete(cmd, "state", string(kind.Active), string(kind.Creating), string(kind.Updating), string(kind.Deleting), string(kind.Failed), string(kind.Trashed))
	f.StringArrayVar(&tags, "tag", nil, "only those labelled `KEY[=VALUE]` (may be repeated)")
	var enterprise string
	if k.Scope == kind.InProject {
		f.StringVar(&enterprise, "enterprise-project", "", "only those of this `ENTERPRISE-PROJECT` (name or id; 0 is the default one)")
	}
	if len(k.IndexBy) > 0 {
		f.StringArrayVar(&by, "by", nil, "only those with `FIELD=VALUE`; fields: "+strings.Join(k.IndexBy, ", "))
		complete(cmd, "by", indexWords(k)...)
	}
	f.IntVar(&limit, "limit", 0, "`N` rows of a page (100; at most 1000)")
	f.StringVar(&marker, "marker", "", "go on after this `ID`, which the page before ended with")
	f.BoolVar(&all, "all", false, "all pages")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := s.client()
		if err != nil {
			return err
		}
		q := url.Values{}
		set := func(key, v string) {
			if v != "" {
				q.Set(key, v)
			}
		}
		set("name", part)
		set("state", state)
		set("enterprise_project", enterprise)
		set("marker", marker)
		for _, b := range by {
			field, v, _ := strings.Cut(b, "=")
			set("by."+field, v)
		}
		q["tag"] = tags
		if output == "table" {
			q.Set("names", "true")
		}
		switch {
		case limit > 0:
			q.Set("limit", strconv.Itoa(limit))
		case all:
			q.Set("limit", "1000")
		}
		request := client.Request{Method: "GET", Path: s.collection(c, k), Query: q}
		doc, rows, err := s.pages(cmd.Context(), c, request, all)
		if err == nil && len(rows.Items) == 0 && s.resolve(cmd.Context(), c, k, q) {
			doc, rows, err = s.pages(cmd.Context(), c, request, all)
		}
		if err != nil {
			return err
		}
		if output != "table" {
			return s.document(output, doc)
		}
		if err := s.rows(k, rows.Items, rows.Names); err != nil {
			return err
		}
		if rows.Next != "" {
			fmt.Fprintf(s.Stderr, "there are more: --marker %s, or --all\n", clean(rows.Next))
		}
		return nil
	}
	return cmd
}

// resolve turns names in by.FIELD filters into ids, which most indexes hold; false when there was none to turn.
func (s *session) resolve(ctx context.Context, c *client.Client, k *kind.Desc, q url.Values) (any bool) {
	for _, f := range k.Spec {
		service, name, _ := strings.Cut(f.Ref, "/")
		of, v := s.kindOf(service, name), q.Get("by."+f.Name)
		if of == nil || v == "" {
			continue
		}
		var a struct {
			Resource struct {
				ID string `json:"id"`
			} `json:"resource"`
		}
		if c.Do(ctx, client.Request{Method: "GET", Path: s.collection(c, of) + "/" + url.PathEscape(v)}, &a) == nil && a.Resource.ID != v {
			q.Set("by."+f.Name, a.Resource.ID)
			any = true
		}
	}
	return any
}

func indexWords(k *kind.Desc) []string {
	var out []string
	for _, i := range k.IndexBy {
		out = append(out, i+"=")
	}
	return out
}

// pages reads one page, or all of them as one; doc is the server's document.
func (s *session) pages(ctx context.Context, c *client.Client, q client.Request, all bool) (doc json.RawMessage, rows page, err error) {
	if err = c.Do(ctx, q, &doc); err != nil {
		return nil, rows, err
	}
	if err = json.Unmarshal(doc, &rows); err != nil {
		return nil, rows, fail.Wrap(err, fail.Internal, "the cloud's answer cannot be read")
	}
	if !all || rows.Next == "" {
		return doc, rows, nil
	}
	for rows.Next != "" {
		q.Query.Set("marker", rows.Next)
		var more page
		if err = c.Do(ctx, q, &more); err != nil {
			return nil, rows, err
		}
		rows.Items, rows.Next = append(rows.Items, more.Items...), more.Next
		if rows.Names == nil {
			rows.Names = map[string]string{}
		}
		maps.Copy(rows.Names, more.Names)
	}
	doc, err = json.Marshal(rows)
	return doc, rows, err
}

// named puts names in the place of ids in the spec of a row.
func named(doc map[string]any, names map[string]string) map[string]any {
	var put func(v any) any
	put = func(v any) any {
		switch v := v.(type) {
		case string:
			return cmp.Or(names[v], v)
		case []any:
			for i := range v {
				v[i] = put(v[i])
			}
		case map[string]any:
			for k := range v {
				v[k] = put(v[k])
			}
		}
		return v
	}
	if len(names) > 0 {
		put(doc["spec"])
	}
	return doc
}

// columnsOf names a kind's columns: what its description lists, between name, state and age.
func columnsOf(k *kind.Desc) (header []string) {
	if k.AnyName {
		header = append(header, "ID")
	}
	header = append(header, "NAME", "STATE")
	for _, path := range k.Columns {
		header = append(header, strings.ToUpper(strings.ReplaceAll(path[strings.LastIndex(path, ".")+1:], "_", " ")))
	}
	return append(header, "AGE")
}

// cellsOf are the cells of a row; names are those of what it refers to by id.
func cellsOf(k *kind.Desc, row json.RawMessage, names map[string]string, now time.Time) ([]string, error) {
	doc, err := decode(row)
	if err != nil {
		return nil, err
	}
	doc = named(doc, names)
	var cells []string
	name := text(doc["name"])
	if k.AnyName {
		cells = append(cells, text(doc["id"]))
		if name == text(doc["id"]) {
			name = "" // it was given none
		}
	}
	cells = append(cells, name, text(doc["state"]))
	for _, path := range k.Columns {
		v := text(at(doc, path))
		cells = append(cells, cmp.Or(when(v, now), v))
	}
	return append(cells, age(text(doc["created"]), now)), nil
}

// rows prints a table of a kind.
func (s *session) rows(k *kind.Desc, rows []json.RawMessage, names map[string]string) error {
	if len(rows) == 0 {
		fmt.Fprintf(s.Stderr, "there are no %s\n", k.Plural)
		return nil
	}
	var cells [][]string
	for _, r := range rows {
		line, err := cellsOf(k, r, names, time.Now())
		if err != nil {
			return err
		}
		cells = append(cells, line)
	}
	return s.table(columnsOf(k), cells)
}

func (s *session) showCmd(name string, k *kind.Desc) *cobra.Command {
	var output string
	cmd := &cobra.Command{Use: "show NAME|ID", Aliases: []string{"get"}, Short: "show one " + k.Name, Long: "Show one " + k.Name + " with all its fields.",
		Example: examples("awan "+name+" show "+sample(k), "awan "+name+" show "+sample(k)+" -o yaml"), Args: cobra.ExactArgs(1), ValidArgsFunction: s.names(k, 1)}
	outputFlag(cmd, &output)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := s.client()
		if err != nil {
			return err
		}
		var a answer
		q := client.Request{Method: "GET", Path: s.collection(c, k) + "/" + url.PathEscape(args[0])}
		if output == "table" {
			q.Query = url.Values{"names": {"true"}}
		}
		if err := c.Do(cmd.Context(), q, &a); err != nil {
			return err
		}
		if output != "table" {
			return s.document(output, a.Resource)
		}
		return s.describe(k, a.Resource, a.Names)
	}
	return cmd
}

func (s *session) eventsCmd(name string, k *kind.Desc) *cobra.Command {
	var output string
	var limit int
	cmd := &cobra.Command{Use: "events NAME|ID", Short: "what happened to it", Long: "Show what happened to a " + k.Name + ", newest last.",
		Example: examples("awan " + name + " events " + sample(k)), Args: cobra.ExactArgs(1), ValidArgsFunction: s.names(k, 1)}
	outputFlag(cmd, &output)
	cmd.Flags().IntVar(&limit, "limit", 0, "the newest `N` (100)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := s.client()
		if err != nil {
			return err
		}
		q := url.Values{}
		if limit > 0 {
			q.Set("limit", strconv.Itoa(limit))
		}
		doc, rows, err := s.pages(cmd.Context(), c, client.Request{Method: "GET", Path: s.collection(c, k) + "/" + url.PathEscape(args[0]) + "/events", Query: q}, false)
		if err != nil {
			return err
		}
		if output != "table" {
			return s.document(output, doc)
		}
		var cells [][]string
		for i := len(rows.Items) - 1; i >= 0; i-- {
			e, err := decode(rows.Items[i])
			if err != nil {
				return err
			}
			when, words := text(e["at"]), text(e["text"])
			if n := text(e["count"]); n != "" {
				when, words = text(e["last"]), words+" (×"+n+")"
			}
			cells = append(cells, []string{age(when, time.Now()), text(e["level"]), text(e["type"]), words})
		}
		return s.table([]string{"AGE", "LEVEL", "TYPE", "WHAT"}, cells)
	}
	return cmd
}

func (s *session) watchCmd(name string, k *kind.Desc) *cobra.Command {
	var output string
	cmd := &cobra.Command{Use: "watch [NAME|ID]", Short: "follow changes", Long: "Show what there is, then every change as it happens, until interrupted.",
		Example: examples("awan "+name+" watch", "awan "+name+" watch "+sample(k)+" -o json"), Args: cobra.MaximumNArgs(1), ValidArgsFunction: s.names(k, 1)}
	outputFlag(cmd, &output)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := s.client()
		if err != nil {
			return err
		}
		q := url.Values{}
		if len(args) == 1 {
			q.Set("id", args[0])
		}
		header := columnsOf(k)
		first := true
		return c.Lines(cmd.Context(), client.Request{Method: "GET", Path: s.collection(c, k) + "/actions/watch", Query: q}, func(line []byte) error {
			if output == "json" {
				_, err := fmt.Fprintf(s.Stdout, "%s\n", line)
				return err
			}
			if output == "yaml" {
				if _, err := fmt.Fprintln(s.Stdout, "---"); err != nil {
					return err
				}
				return s.document(output, line)
			}
			if first {
				first = false
				fmt.Fprintf(s.Stdout, "%-8s  %s\n", "TIME", strings.Join(header, "  "))
			}
			return s.changeLine(k, line)
		})
	}
	return cmd
}

// changeLine prints one change of a watch.
func (s *session) changeLine(k *kind.Desc, line []byte) error {
	var ch struct {
		Type string          `json:"type"`
		Row  json.RawMessage `json:"row"`
		ID   string          `json:"id"`
	}
	if err := json.Unmarshal(line, &ch); err != nil {
		return fail.Wrap(err, fail.Internal, "the cloud's answer cannot be read")
	}
	cells := []string{ch.ID, "gone"}
	if ch.Type == "row" {
		var err error
		if cells, err = cellsOf(k, ch.Row, nil, time.Now()); err != nil {
			return err
		}
	}
	for i := range cells {
		cells[i] = clean(strings.ReplaceAll(cells[i], "\n", " "))
	}
	_, err := fmt.Fprintf(s.Stdout, "%-8s  %s\n", time.Now().Format(time.TimeOnly), strings.Join(cells, "  "))
	return err
}

// describe prints one row for people: what it is, then its spec, then its status.
func (s *session) describe(k *kind.Desc, row json.RawMessage, names map[string]string) error {
	doc, err := decode(row)
	if err != nil {
		return err
	}
	doc = named(doc, names)
	var lines, blocks [][2]string
	add := func(name string, v any) {
		t := clean(strings.TrimRight(text(v), "\n"))
		switch {
		case strings.Contains(t, "\n"): // a key, say: it must be possible to copy it
			blocks = append(blocks, [2]string{name, t})
		case t != "":
			lines = append(lines, [2]string{name, t})
		}
	}
	for _, name := range []string{"name", "id", "state", "reason", "job", "project", "domain", "created", "created_by", "updated", "deleted", "purge", "revision"} {
		add(name, doc[name])
	}
	if tags, ok := doc["tags"].(map[string]any); ok {
		for _, key := range sortedKeys(tags) {
			add("tag "+key, tags[key])
		}
	}
	var lists []kind.Field
	var walk func(prefix string, fields []kind.Field, v any)
	walk = func(prefix string, fields []kind.Field, v any) {
		m, _ := v.(map[string]any)
		for _, f := range fields {
			x := m[f.Name]
			switch {
			case f.Type == kind.Object:
				walk(prefix+f.Name+".", f.Fields, x)
			case f.Type == kind.ListOf && f.Item.Type == kind.Object:
				f.Name = prefix + f.Name
				lists = append(lists, f)
			case f.Type == kind.MapOf:
				entries, _ := x.(map[string]any)
				for _, key := range sortedKeys(entries) {
					add(prefix+f.Name+" "+key, entries[key])
				}
			default:
				if f.Unit == "MiB" && text(x) != "" {
					x = text(x) + " " + f.Unit
				}
				add(prefix+f.Name, x)
			}
		}
	}
	walk("spec.", k.Spec, doc["spec"])
	walk("status.", k.Status, doc["status"])
	width := 0
	for _, l := range lines {
		width = max(width, len(l[0]))
	}
	for _, l := range lines {
		if _, err := fmt.Fprintf(s.Stdout, "%-*s  %s\n", width, l[0], l[1]); err != nil {
			return err
		}
	}
	for _, b := range blocks {
		if _, err := fmt.Fprintf(s.Stdout, "\n%s:\n%s\n", b[0], b[1]); err != nil {
			return err
		}
	}
	for _, f := range lists {
		if err := s.sublist(f, at(doc, f.Name)); err != nil {
			return err
		}
	}
	return nil
}

// sublist prints a list of objects inside a row as a table of its own: what has a value in at least one of them, and is no object
// itself (-o json has those).
func (s *session) sublist(f kind.Field, v any) error {
	items, _ := v.([]any)
	if len(items) == 0 {
		return nil
	}
	fields := slices.DeleteFunc(slices.Clone(f.Item.Fields), func(sub kind.Field) bool {
		return sub.Type == kind.Object || !slices.ContainsFunc(items, func(item any) bool { return text(at(item, sub.Name)) != "" })
	})
	if len(fields) == 0 {
		return nil
	}
	var header []string
	var cells [][]string
	for _, sub := range fields {
		header = append(header, strings.ToUpper(strings.ReplaceAll(sub.Name, "_", " ")))
	}
	for _, item := range items {
		var line []string
		for _, sub := range fields {
			cell := text(at(item, sub.Name))
			if ago := age(cell, time.Now()); sub.Type == kind.Time && ago != "" {
				cell = ago + " ago"
			}
			line = append(line, cell)
		}
		cells = append(cells, line)
	}
	if _, err := fmt.Fprintf(s.Stdout, "\n%s:\n", f.Name); err != nil {
		return err
	}
	return s.table(header, cells)
}
