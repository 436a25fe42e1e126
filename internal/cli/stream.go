package cli

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/awancloud/awan/internal/cli/client"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kind"
)

// streamCmd derives the command of an action that answers with a stream.
func (s *session) streamCmd(name string, k *kind.Desc, a *kind.ActionDesc) *cobra.Command {
	var output, file string
	cmd := &cobra.Command{Use: a.Verb + " NAME", Short: a.Doc, Long: sentence(a.Doc), Args: cobra.ExactArgs(1), ValidArgsFunction: s.names(k, 1),
		Example: examples("awan " + name + " " + a.Verb + " " + sample(k))}
	outputFlag(cmd, &output)
	if a.Collection {
		cmd.Use, cmd.Args, cmd.ValidArgsFunction = a.Verb, cobra.NoArgs, nil
		cmd.Example = examples("awan " + name + " " + a.Verb + required(a.In))
		cmd.Flags().StringVarP(&file, "file", "f", "", "send this `FILE`; - is standard input")
	}
	if !a.Collection && a.Verb == "upload" { // its content, as awan image upload ID < FILE
		cmd.Flags().StringVarP(&file, "file", "f", "-", "send this `FILE`; - is standard input")
	}
	fields := s.fieldFlags(cmd, a.In, dotted)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		in, err := s.values(fields)
		if err != nil {
			return err
		}
		c, err := s.client()
		if err != nil {
			return err
		}
		q := client.Request{Method: "POST", Path: s.collection(c, k), Raw: s.Stdout}
		if !a.Collection {
			q.Path += "/" + url.PathEscape(args[0])
		}
		q.Path += "/actions/" + a.Verb
		if file == "" {
			q.In = in
		} else {
			body, err := s.open(file)
			if err != nil {
				return err
			}
			defer body.Close()
			b, err := json.Marshal(in)
			if err != nil {
				return fail.Wrap(err, fail.Internal, "the request cannot be written")
			}
			q.Body, q.ContentType, q.Query = body, "application/octet-stream", url.Values{"in": {string(b)}}
		}
		return c.Lines(cmd.Context(), q, func(line []byte) error { return s.answerLine(k, a.Verb, output, line) })
	}
	return cmd
}

// required is what a command cannot be called without, for its example.
func required(fields []kind.Field) (out string) {
	for _, f := range fields {
		if f.Required {
			out += " --" + dotted([]string{f.Name}) + " " + cmp.Or(f.Example, strings.ToUpper(f.Name))
		}
	}
	return out
}

// items prints a list that no kind describes: its fields, in the order they come in, are the columns.
func (s *session) items(items []json.RawMessage) error {
	var names []string
	var docs []map[string]any
	for _, item := range items {
		doc, err := decode(item)
		if err != nil {
			return err
		}
		docs = append(docs, doc)
		d := json.NewDecoder(bytes.NewReader(item))
		depth := 0
		for t, err := d.Token(); err == nil; t, err = d.Token() {
			name, isName := t.(string)
			switch {
			case t == json.Delim('{') || t == json.Delim('['):
				depth++
			case t == json.Delim('}') || t == json.Delim(']'):
				depth--
			case depth == 1 && isName && !slices.Contains(names, name):
				if _, is := doc[name]; is {
					names = append(names, name)
				}
			}
		}
	}
	header, rows := make([]string, len(names)), make([][]string, len(docs))
	for i, name := range names {
		header[i] = strings.ToUpper(strings.ReplaceAll(strings.TrimSuffix(name, "_bytes"), "_", " "))
		for j, doc := range docs {
			rows[j] = append(rows[j], figure(name, text(doc[name])))
		}
	}
	return s.table(header, rows)
}

// figure prints bytes and times as people read them.
func figure(name, v string) string {
	if n, err := strconv.ParseInt(v, 10, 64); err == nil && strings.HasSuffix(name, "_bytes") {
		return bytesOf(n)
	}
	if f, err := strconv.ParseFloat(v, 64); err == nil && strings.HasSuffix(name, "_seconds") {
		return strconv.FormatFloat(f, 'f', 2, 64)
	}
	if ago := age(v, time.Now()); ago != "" {
		return ago + " ago"
	}
	return v
}

// open opens a file to send; - is standard input.
func (s *session) open(file string) (io.ReadCloser, error) {
	if file == "-" {
		return io.NopCloser(s.Stdin), nil
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, fail.Wrap(err, fail.Invalid, "%s cannot be read", file)
	}
	return f, nil
}

// streamLine prints one line of a stream: logs as their text, anything else as it came.
func (s *session) streamLine(output string, line []byte) error {
	if output == "yaml" {
		if _, err := fmt.Fprintln(s.Stdout, "---"); err != nil {
			return err
		}
		return s.document(output, line)
	}
	var l logLine
	if output == "table" {
		var list page
		if json.Unmarshal(line, &list) == nil && list.Items != nil {
			if len(list.Items) == 0 {
				_, err := fmt.Fprintln(s.Stderr, "there are none")
				return err
			}
			return s.items(list.Items)
		}
		if json.Unmarshal(line, &l) == nil && l.Text != nil {
			line = []byte(s.logText(*l.Text))
		}
	}
	_, err := fmt.Fprintf(s.Stdout, "%s\n", line)
	return err
}

// logLine is one line of a log, of an app or of a build.
type logLine struct {
	At       string  `json:"at"`
	Instance string  `json:"instance"`
	Stream   string  `json:"stream"`
	Step     string  `json:"step"`
	Text     *string `json:"text"`
}

// logText is a log line as it may go to standard output: to a terminal without what could steer it.
func (s *session) logText(t string) string {
	t = strings.TrimRight(t, "\n")
	if terminal(s.Stdout) != nil {
		return clean(t)
	}
	return t
}

func (s *session) logsCmd() *cobra.Command {
	var follow, stamps bool
	var output, since, match, instance string
	var tail int
	past := new(pastLogs)
	k := s.kindOf("app", "component")
	cmd := &cobra.Command{Use: "logs APP", GroupID: groupApps, Short: "show what an app prints", Long: "Show what an app prints, of all its instances. With --past, --grep, --level, --stream, --release, --until, --limit or\n--after all lines that are kept are searched, also those of instances that are gone.",
		Example: examples("awan logs -f guestbook", "awan logs --since 10m --match error guestbook", "awan logs --tail 100 -o json guestbook",
			"awan logs --grep 'timeout|refused' --level warning --since 24h guestbook"),
		Args: cobra.ExactArgs(1), ValidArgsFunction: s.names(k, 1)}
	f := cmd.Flags()
	f.BoolVarP(&follow, "follow", "f", false, "go on with new lines until interrupted")
	f.IntVar(&tail, "tail", 0, "only the last `N` lines")
	f.StringVar(&since, "since", "", "only lines of this last `TIME` (10m, 24h), or after this RFC 3339 time")
	f.StringVar(&match, "match", "", "only lines that hold this `TEXT`")
	f.StringVar(&instance, "instance", "", "only of this instance (`ID`)")
	f.BoolVar(&stamps, "timestamps", false, "put the time before every line")
	past.flags(f)
	complete(cmd, "level", "debug", "info", "warning", "error")
	outputFlag(cmd, &output)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := needs(k, "component"); err != nil {
			return err
		}
		c, err := s.client()
		if err != nil {
			return err
		}
		in := map[string]any{}
		set := func(name string, v any, given bool) {
			if given {
				in[name] = v
			}
		}
		set("follow", true, follow)
		set("tail", tail, tail > 0)
		set("since", since, since != "")
		set("match", match, match != "")
		set("instance", instance, instance != "")
		if past.wanted(f) {
			if follow || tail > 0 {
				return usagef("--follow and --tail are for instances that run; they do not go with --past, --grep, --level, --stream, --release, --until, --limit and --after")
			}
			return s.searchLogs(cmd.Context(), c, s.collection(c, k)+"/"+url.PathEscape(args[0]), past.in(in), output, stamps)
		}
		path := s.collection(c, k) + "/" + url.PathEscape(args[0])
		var several bool
		if output == "table" && instance == "" {
			if several, err = severalInstances(cmd.Context(), c, path); err != nil {
				return err
			}
		}
		return c.Lines(cmd.Context(), client.Request{Method: "POST", Path: path + "/actions/logs", In: in}, func(line []byte) error {
			var l logLine
			if output != "table" || json.Unmarshal(line, &l) != nil || l.Text == nil {
				return s.streamLine(output, line)
			}
			text := s.logText(*l.Text)
			if several && len(l.Instance) >= 8 {
				text = l.Instance[len(l.Instance)-8:] + "  " + text
			}
			if stamps {
				text = l.At + "  " + text
			}
			_, err := fmt.Fprintln(s.Stdout, text)
			return err
		})
	}
	return cmd
}

// severalInstances tells whether lines must say which instance they come from.
func severalInstances(ctx context.Context, c *client.Client, path string) (bool, error) {
	var a struct {
		Resource struct {
			Spec struct {
				Replicas int `json:"replicas"`
			} `json:"spec"`
		} `json:"resource"`
	}
	err := c.Do(ctx, client.Request{Method: "GET", Path: path}, &a)
	return a.Resource.Spec.Replicas > 1, err
}

// needs refuses a command whose kind this build does not have.
func needs(k *kind.Desc, name string) error {
	if k == nil {
		return fail.New(fail.Unsupported, "this awan has no kind %q", name)
	}
	return nil
}
