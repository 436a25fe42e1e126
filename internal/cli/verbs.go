package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/awancloud/awan/internal/cli/client"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kind"
)

// answer is what the API tells of one resource.
type answer struct {
	Resource json.RawMessage   `json:"resource"`
	Job      json.RawMessage   `json:"job"`
	Names    map[string]string `json:"names"`
}

func (a *answer) job() *jobView {
	if len(a.Job) == 0 {
		return nil
	}
	j := new(jobView)
	if json.Unmarshal(a.Job, j) != nil || j.ID == "" {
		return nil
	}
	return j
}

// change holds the flags of commands that change something.
type change struct {
	output       string
	wait, noWait bool
	timeout      time.Duration
	dryRun       bool
	ifRevision   int64
	file         string
	name         string
	tags         []string
	unset        []string
	purge        bool
	enterprise   string
	fields       []*fieldFlag
}

// enterpriseFlag adds the flag that says which enterprise project a row of a project is in.
func (ch *change) enterpriseFlag(cmd *cobra.Command, k *kind.Desc, doc string) {
	if k.Scope == kind.InProject {
		cmd.Flags().StringVar(&ch.enterprise, "enterprise-project", "", doc)
	}
}

// waiting adds the flags that say how to wait for an operation.
func (ch *change) waiting(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&ch.wait, "wait", true, "wait until the operation ends, and show its steps")
	cmd.Flags().BoolVar(&ch.noWait, "no-wait", false, "return as soon as it is accepted")
	cmd.Flags().DurationVar(&ch.timeout, "timeout", 0, "wait at most this `TIME`, 5m say; the operation goes on")
	_ = cmd.Flags().MarkHidden("wait") // it is the default; fails for an unknown flag only
	outputFlag(cmd, &ch.output)
}

func (s *session) createCmd(name string, k *kind.Desc) *cobra.Command {
	ch := new(change)
	cmd := &cobra.Command{Use: "create [NAME]", Short: "create a " + k.Name, Long: "Create a " + k.Name + ". " + k.Doc,
		Example: examples(createExample(name, k), "awan "+name+" create -f FILE.yaml"),
		Args:    cobra.MaximumNArgs(1), ValidArgsFunction: cobra.NoFileCompletions}
	if !k.AnyName {
		cmd.Use = "create NAME"
	}
	f := cmd.Flags()
	f.StringVarP(&ch.file, "file", "f", "", "read name, tags and spec from this YAML or JSON `FILE`; - is standard input")
	f.StringArrayVar(&ch.tags, "tag", nil, "label it `KEY=VALUE` (may be repeated)")
	f.BoolVar(&ch.dryRun, "dry-run", false, "check everything, change nothing")
	ch.enterpriseFlag(cmd, k, "put it into this `ENTERPRISE-PROJECT` (name or id; 0 is the default one)")
	ch.waiting(cmd)
	ch.fields = s.fieldFlags(cmd, k.Spec, dotted)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		body, err := s.body(ch, k)
		if err != nil {
			return err
		}
		if len(args) == 1 {
			body["name"] = args[0]
		}
		if body["name"] == nil && !k.AnyName {
			return usagef("say the name: awan %s create NAME", name)
		}
		c, err := s.client()
		if err != nil {
			return err
		}
		return s.change(cmd.Context(), c, k, ch, client.Request{Method: "POST", Path: s.collection(c, k), In: body})
	}
	return cmd
}

func (s *session) updateCmd(name string, k *kind.Desc) *cobra.Command {
	ch := new(change)
	cmd := &cobra.Command{Use: "update NAME", Short: "change a " + k.Name, Long: "Change a " + k.Name + ". What no flag names stays as it is.",
		Example: examples("awan "+name+" update "+sample(k)+" --tag stage=test", "awan "+name+" show "+sample(k)+" -o yaml > FILE.yaml  # edit, then:",
			"awan "+name+" update "+sample(k)+" -f FILE.yaml"),
		Args: cobra.ExactArgs(1), ValidArgsFunction: s.names(k, 1)}
	f := cmd.Flags()
	f.StringVarP(&ch.file, "file", "f", "", "read name, tags and spec from this YAML or JSON `FILE`; - is standard input")
	if !k.NoRename {
		f.StringVar(&ch.name, "name", "", "rename it to `NAME`")
	}
	f.StringArrayVar(&ch.tags, "tag", nil, "label it `KEY=VALUE`; KEY- takes a label away (may be repeated)")
	f.StringArrayVar(&ch.unset, "unset", nil, "put this `FIELD` (probe.path) back to its default (may be repeated)")
	f.Int64Var(&ch.ifRevision, "if-revision", 0, "only when it is at this revision `N`")
	f.BoolVar(&ch.dryRun, "dry-run", false, "check everything, change nothing")
	ch.enterpriseFlag(cmd, k, "put it into this `ENTERPRISE-PROJECT` (name or id; 0 is the default one)")
	ch.waiting(cmd)
	ch.fields = s.fieldFlags(cmd, k.Spec, dotted)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := s.client()
		if err != nil {
			return err
		}
		path := s.collection(c, k) + "/" + url.PathEscape(args[0])
		body, err := s.body(ch, k)
		if err != nil {
			return err
		}
		if ch.tags != nil {
			if body["tags"], err = s.tagsOf(cmd.Context(), c, path, ch.tags); err != nil {
				return err
			}
		}
		if ch.name != "" {
			body["name"] = ch.name
		}
		if ch.ifRevision != 0 {
			body["if_revision"] = ch.ifRevision
		}
		if len(body) == 0 {
			return usagef("say what to change; see awan %s update --help", name)
		}
		return s.change(cmd.Context(), c, k, ch, client.Request{Method: "PATCH", Path: path, In: body})
	}
	return cmd
}

// body makes what is sent from the file and the flags.
func (s *session) body(ch *change, k *kind.Desc) (map[string]any, error) {
	body := map[string]any{}
	var spec json.RawMessage
	if ch.file != "" {
		var b []byte
		var err error
		if ch.file == "-" {
			b, err = io.ReadAll(s.Stdin)
		} else {
			b, err = os.ReadFile(ch.file)
		}
		if err != nil {
			return nil, fail.Wrap(err, fail.Invalid, "%s cannot be read", ch.file)
		}
		doc, err := fromYAML(b)
		var whole map[string]json.RawMessage
		if err == nil {
			err = json.Unmarshal(doc, &whole)
		}
		if err != nil {
			return nil, fail.New(fail.Invalid, "%s is neither YAML nor JSON: %v", ch.file, err).Because(err)
		}
		if whole["spec"] == nil { // the file holds the spec alone
			spec = doc
		}
		for key, v := range whole {
			if key == "spec" {
				spec = v
			} else if whole["spec"] != nil && (key == "name" || key == "tags") {
				body[key] = v
			}
		}
	}
	flags, err := s.values(ch.fields)
	if err != nil {
		return nil, err
	}
	for _, path := range ch.unset {
		put(flags, strings.Split(strings.ReplaceAll(path, "-", "_"), "."), nil)
	}
	if len(spec) > 0 || len(flags) > 0 {
		if body["spec"], err = merged(spec, flags); err != nil {
			return nil, err
		}
	}
	if ch.tags != nil {
		tags := map[string]string{}
		for _, t := range ch.tags {
			k, v, _ := strings.Cut(t, "=")
			tags[k] = v
		}
		body["tags"] = tags
	}
	if ch.enterprise != "" {
		body["enterprise_project"] = ch.enterprise
	}
	return body, nil
}

// tagsOf lays the given labels over those that are there, for the API takes them whole.
func (s *session) tagsOf(ctx context.Context, c *client.Client, path string, given []string) (map[string]string, error) {
	var have struct {
		Resource struct {
			Tags map[string]string `json:"tags"`
		} `json:"resource"`
	}
	if err := c.Do(ctx, client.Request{Method: "GET", Path: path}, &have); err != nil {
		return nil, err
	}
	tags := map[string]string{}
	for k, v := range have.Resource.Tags {
		tags[k] = v
	}
	for _, t := range given {
		k, v, ok := strings.Cut(t, "=")
		if gone := strings.TrimSuffix(t, "-"); !ok && gone != t {
			delete(tags, gone)
			continue
		}
		tags[k] = v
	}
	return tags, nil
}

func (s *session) deleteCmd(name string, k *kind.Desc) *cobra.Command {
	ch := new(change)
	long := "Delete one or more of them."
	if k.Retention > 0 {
		long = fmt.Sprintf("Delete one or more of them. They stay in the trash for %d days: awan %s restore NAME.", int(k.Retention.Hours()/24), name)
	}
	cmd := &cobra.Command{Use: "delete NAME...", Short: "delete it", Long: long, Example: examples("awan " + name + " delete " + sample(k)),
		Args: cobra.MinimumNArgs(1), ValidArgsFunction: s.names(k, 0)}
	if k.Retention > 0 {
		cmd.Example += "\n" + examples("awan "+name+" delete "+sample(k)+" --purge")
		cmd.Flags().BoolVar(&ch.purge, "purge", false, "for good, without the trash")
	}
	cmd.Flags().Int64Var(&ch.ifRevision, "if-revision", 0, "only when it is at this revision `N`")
	ch.waiting(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := s.client()
		if err != nil {
			return err
		}
		q := url.Values{}
		if ch.purge {
			q.Set("purge", "true")
		}
		if ch.ifRevision != 0 {
			q.Set("if_revision", fmt.Sprint(ch.ifRevision))
		}
		for _, target := range args {
			err := s.change(cmd.Context(), c, k, ch, client.Request{Method: "DELETE", Path: s.collection(c, k) + "/" + url.PathEscape(target), Query: q})
			if err != nil {
				return err
			}
			if ch.output == "table" {
				word := "deleted"
				if ch.noWait || !ch.wait {
					word = "deleting"
				}
				fmt.Fprintf(s.Stderr, "%s %s %s\n", word, k.Name, target)
			}
		}
		return nil
	}
	return cmd
}

func (s *session) restoreCmd(name string, k *kind.Desc) *cobra.Command {
	ch := new(change)
	cmd := &cobra.Command{Use: "restore NAME|ID", Short: "bring it back from the trash", Long: "Bring a deleted " + k.Name + " back from the trash.",
		Example: examples("awan "+name+" list --state trashed", "awan "+name+" restore "+sample(k)), Args: cobra.ExactArgs(1)}
	ch.waiting(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := s.client()
		if err != nil {
			return err
		}
		return s.change(cmd.Context(), c, k, ch, client.Request{Method: "POST", Path: s.collection(c, k) + "/" + url.PathEscape(args[0]) + "/actions/restore"})
	}
	return cmd
}

// actionCmd derives the command of an action that changes a row.
func (s *session) actionCmd(name string, k *kind.Desc, a *kind.ActionDesc) *cobra.Command {
	ch := new(change)
	cmd := &cobra.Command{Use: a.Verb + " NAME", Short: a.Doc, Long: sentence(a.Doc), Example: examples("awan " + name + " " + a.Verb + " " + sample(k)),
		Args: cobra.ExactArgs(1), ValidArgsFunction: s.names(k, 1)}
	ch.waiting(cmd)
	ch.fields = s.fieldFlags(cmd, a.In, dotted)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		in, err := s.values(ch.fields)
		if err != nil {
			return err
		}
		return s.act(cmd.Context(), k, a.Verb, args[0], in, ch)
	}
	return cmd
}

// act calls a changing action of a row.
func (s *session) act(ctx context.Context, k *kind.Desc, verb, target string, in map[string]any, ch *change) error {
	c, err := s.client()
	if err != nil {
		return err
	}
	return s.change(ctx, c, k, ch, client.Request{Method: "POST", Path: s.collection(c, k) + "/" + url.PathEscape(target) + "/actions/" + verb, In: in})
}

func sentence(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + strings.TrimSuffix(s[1:], ".") + "."
}

// change sends a request that changes a row, waits for the operation, and prints the row as it then is.
func (s *session) change(ctx context.Context, c *client.Client, k *kind.Desc, ch *change, q client.Request) error {
	if ch.dryRun {
		if q.Query == nil {
			q.Query = url.Values{}
		}
		q.Query.Set("dry_run", "true")
	}
	if ch.output == "table" && q.Method != "DELETE" {
		if q.Query == nil {
			q.Query = url.Values{}
		}
		q.Query.Set("names", "true")
	}
	var a answer
	if err := c.Do(ctx, q, &a); err != nil {
		return err
	}
	row, names, err := s.settle(ctx, c, k, ch, &a)
	if err != nil {
		return err
	}
	if ch.dryRun {
		fmt.Fprintln(s.Stderr, "everything is right; nothing was changed (--dry-run)")
	}
	return s.changed(k, ch, q.Method, row, names)
}

// settle waits for the operation of an answer and gives the row after it, with the names of what it refers to.
func (s *session) settle(ctx context.Context, c *client.Client, k *kind.Desc, ch *change, a *answer) (json.RawMessage, map[string]string, error) {
	j := a.job()
	if j == nil || j.done() && j.Error == nil || ch.dryRun {
		return a.Resource, a.Names, nil
	}
	if ch.noWait || !ch.wait {
		fmt.Fprintf(s.Stderr, "accepted; follow it with: awan job wait %s\n", j.ID)
		return a.Resource, a.Names, nil
	}
	if ch.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, ch.timeout)
		defer cancel()
	}
	if _, err := s.follow(ctx, c, j.ID, nil, false); err != nil {
		return nil, nil, err
	}
	var after answer
	q := client.Request{Method: "GET", Path: s.collection(c, k) + "/" + url.PathEscape(j.Resource)}
	if ch.output == "table" {
		q.Query = url.Values{"names": {"true"}}
	}
	err := c.Do(ctx, q, &after)
	switch {
	case fail.Is(err, fail.NotFound): // deleted
		return a.Resource, a.Names, nil
	case err != nil:
		return nil, nil, err
	}
	if shownOnce(a.Resource, k) { // a secret that is in the first answer only
		return a.Resource, a.Names, nil
	}
	return after.Resource, after.Names, nil
}

// shownOnce tells whether a row holds a secret in clear, which later answers will not.
func shownOnce(row json.RawMessage, k *kind.Desc) bool {
	doc, err := decode(row)
	if err != nil {
		return false
	}
	for _, f := range k.Status {
		if v := text(at(doc, "status."+f.Name)); f.Secret && v != "" && v != kind.Mask {
			return true
		}
	}
	return false
}

// changed prints a row after a change.
func (s *session) changed(k *kind.Desc, ch *change, method string, row json.RawMessage, names map[string]string) error {
	if len(row) == 0 {
		return nil
	}
	if ch.output != "table" {
		return s.document(ch.output, row)
	}
	if method == "DELETE" {
		return nil // deleteCmd says so
	}
	if shownOnce(row, k) {
		return s.describe(k, row, names)
	}
	return s.rows(k, []json.RawMessage{row}, names)
}
