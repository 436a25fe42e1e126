package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/awancloud/awan/internal/cli/client"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kind"
)

// codePlanned is the exit code of a plan that changes something.
const codePlanned = 2

// planning holds the flags that apply, plan and delete share.
type planning struct {
	file, environment string
	prune, yes, dry   bool
}

func (pl *planning) flags(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&pl.file, "file", "f", "awan.yaml", "the `FILE` that describes the application; - is standard input")
	cmd.Flags().StringVar(&pl.environment, "environment", "", "in this `ENVIRONMENT` instead of the file's")
}

func (s *session) applyCmd() *cobra.Command {
	pl := new(planning)
	cmd := &cobra.Command{Use: "apply", Short: "make an application as its awan.yaml says",
		Long: "Make an application as a file says: environment, configs, components (built from their folders), schedules. The plan is\n" +
			"shown first, field by field, and done when you agree. Applying again does nothing. What the file does not name\n" +
			"stays as it is; --prune deletes what belongs to the application and the file does not have.",
		Example: examples("awan apply", "awan apply -f shop/awan.yaml --yes", "awan apply --dry-run", "awan apply --environment staging --prune"), Args: cobra.NoArgs}
	pl.flags(cmd)
	cmd.Flags().BoolVarP(&pl.yes, "yes", "y", false, "do not ask")
	cmd.Flags().BoolVar(&pl.prune, "prune", false, "also delete what is not in the file")
	cmd.Flags().BoolVar(&pl.dry, "dry-run", false, "show the plan only; exit code 2 when it changes something, 0 when not, 1 on errors")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return s.apply(cmd.Context(), pl) }
	return cmd
}

func (s *session) planCmd() *cobra.Command {
	pl := &planning{dry: true}
	cmd := &cobra.Command{Use: "plan", Short: "show what awan apply would do",
		Long: "Show what awan apply would do. The exit code is 2 when it would change something, 0 when not, and 1 on errors.", Example: examples("awan plan", "awan plan -f shop/awan.yaml --prune"), Args: cobra.NoArgs}
	pl.flags(cmd)
	cmd.Flags().BoolVar(&pl.prune, "prune", false, "also delete what is not in the file")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return s.apply(cmd.Context(), pl) }
	return cmd
}

func (s *session) newPlan(ctx context.Context, pl *planning) (*plan, error) {
	m, err := s.readManifest(pl.file, pl.environment)
	if err != nil {
		return nil, err
	}
	c, err := s.client()
	if err != nil {
		return nil, err
	}
	p := &plan{s: s, c: c, m: m, prune: pl.prune}
	return p, p.make(ctx)
}

func (s *session) apply(ctx context.Context, pl *planning) error {
	p, err := s.newPlan(ctx, pl)
	if err != nil {
		if pl.dry { // 2 is for plans
			s.report(err)
			return exitError{code: codeFailed}
		}
		return err
	}
	if pl.dry {
		p.print(s.Stdout)
		if !p.empty() {
			return exitError{code: codePlanned}
		}
		return nil
	}
	p.print(s.Stderr)
	if p.empty() {
		return nil
	}
	if !pl.yes {
		if err := s.agree("Do this? [y/N] "); err != nil {
			return err
		}
	}
	return p.do(ctx)
}

func (s *session) agree(question string) error {
	a, err := s.ask("\n"+question, false)
	if err != nil {
		return usagef("nobody answers on standard input: say --yes to go on without being asked")
	}
	if a = strings.ToLower(strings.TrimSpace(a)); a != "y" && a != "yes" {
		return fail.New(fail.Canceled, "nothing was done")
	}
	return nil
}

// do carries the plan out, in order.
func (p *plan) do(ctx context.Context) error {
	for _, st := range p.steps {
		if st.verb == "" {
			continue
		}
		fmt.Fprintf(p.s.Stderr, "%s %s %s\n", st.verb, st.want.kind.Name, st.want.name)
		if err := p.one(ctx, st); err != nil {
			return p.placed(st, err)
		}
	}
	return p.addresses(ctx)
}

// placed says where in the file the field of an error stands.
func (p *plan) placed(st *step, err error) error {
	e := fail.From(err)
	field, ok := strings.CutPrefix(e.Field, "spec.")
	if !ok || st.want.path == "" {
		return err
	}
	return fail.Field(p.m.at(st.want.path+"."+field), "%s", e.Message).Then("%s", e.Next).Because(err)
}

func (p *plan) one(ctx context.Context, st *step) error {
	d := st.want
	if d.build != "" && slices.ContainsFunc(st.changes, func(c fieldChange) bool { return c.field == "source.digest" }) {
		if err := p.upload(ctx, d); err != nil {
			return err
		}
	}
	q := client.Request{Method: "PATCH", Path: p.path(d.kind, d.name), In: map[string]any{"spec": st.patch}}
	switch st.verb {
	case "create":
		q = client.Request{Method: "POST", Path: p.s.collection(p.c, d.kind), In: map[string]any{"name": d.name, "spec": withoutNil(st.patch)}}
	case "delete":
		q = client.Request{Method: "DELETE", Path: p.path(d.kind, d.name)}
	}
	var a answer
	if err := p.send(ctx, d, q, &a); err != nil {
		if st.verb == "delete" && fail.Is(err, fail.NotFound) {
			return nil
		}
		return err
	}
	j := a.job()
	if j == nil || j.done() && j.Error == nil {
		return nil
	}
	if d.build == "" {
		_, err := p.s.follow(ctx, p.c, j.ID, nil, false)
		return err
	}
	return p.deploy(d).follow(ctx, j) // with the end of the build's log when it fails
}

// send repeats a request while an operation runs on the resource: a config that was changed a moment ago may just be rolled
// out.
func (p *plan) send(ctx context.Context, d *desired, q client.Request, a *answer) error {
	for end := time.Now().Add(10 * time.Minute); ; {
		*a = answer{}
		err := p.c.Do(ctx, q, a)
		if !fail.Is(err, fail.Conflict) || time.Now().After(end) {
			return err
		}
		var row struct {
			Resource struct {
				Job string `json:"job"`
			} `json:"resource"`
		}
		if p.c.Do(ctx, client.Request{Method: "GET", Path: p.path(d.kind, d.name)}, &row) != nil {
			return err
		}
		if row.Resource.Job != "" {
			if _, _, jerr := getJob(ctx, p.c, row.Resource.Job, poll); jerr != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return fail.New(fail.Canceled, "interrupted")
		case <-time.After(breath / 5):
		}
	}
}

func (p *plan) deploy(d *desired) *deploy {
	return &deploy{s: p.s, c: p.c, k: d.kind, ch: new(change), dir: d.build, began: time.Now()}
}

func (p *plan) upload(ctx context.Context, d *desired) error {
	digest, err := p.deploy(d).upload(ctx)
	if err == nil && digest != d.digest {
		err = fail.New(fail.Conflict, "%s changed while the plan was made", d.build).Then("apply again")
	}
	return err
}

func withoutNil(spec map[string]any) map[string]any {
	out := map[string]any{}
	for k, v := range spec {
		switch x := v.(type) {
		case nil:
		case map[string]any:
			out[k] = withoutNil(x)
		default:
			out[k] = v
		}
	}
	return out
}

// addresses prints where the components answer.
func (p *plan) addresses(ctx context.Context) error {
	for _, st := range p.steps {
		if st.want.kind.Name != "component" || st.verb == "delete" {
			continue
		}
		var a answer
		if err := p.c.Do(ctx, client.Request{Method: "GET", Path: p.path(st.want.kind, st.want.name)}, &a); err != nil {
			return err
		}
		row, err := decode(a.Resource)
		if err != nil {
			return err
		}
		fmt.Fprintf(p.s.Stdout, "%s  %s\n", clean(st.want.name), clean(text(at(row, "status.url"))))
	}
	return nil
}

// rowsOf reads all rows of a kind that a field finds.
func (p *plan) rowsOf(ctx context.Context, k *kind.Desc, by, value string) ([]map[string]any, error) {
	_, rows, err := p.s.pages(ctx, p.c, client.Request{Method: "GET", Path: p.s.collection(p.c, k), Query: url.Values{"limit": {"1000"}, "by." + by: {value}}}, true)
	var out []map[string]any
	for _, r := range rows.Items {
		row, derr := decode(r)
		if derr != nil {
			return nil, derr
		}
		out = append(out, row)
	}
	return out, err
}

// surplus plans the deletion of what belongs to the application and is not in the file: what uses others first.
func (p *plan) surplus(ctx context.Context) error {
	wanted := func(k, name string) bool {
		return slices.ContainsFunc(p.m.wants, func(d *desired) bool { return d.kind.Name == k && d.name == name })
	}
	gone := func(k *kind.Desc, name string) *step {
		return &step{verb: "delete", want: &desired{kind: k, name: name}}
	}
	component, schedule, config := p.s.component(), p.s.kindOf("app", "schedule"), p.s.kindOf("config", "config")
	mine, err := p.rowsOf(ctx, component, "application", p.m.name)
	if err != nil {
		return err
	}
	var schedules, components, configs []*step
	for _, c := range mine {
		if text(at(c, "spec.environment")) != p.m.environment {
			continue
		}
		name := text(c["name"])
		rows, err := p.rowsOf(ctx, schedule, "component", name)
		if err != nil {
			return err
		}
		for _, r := range rows {
			if n := text(r["name"]); !wanted("schedule", n) {
				schedules = append(schedules, gone(schedule, n))
			}
		}
		if !wanted("component", name) {
			components = append(components, gone(component, name))
		}
	}
	rows, err := p.rowsOf(ctx, config, "group", p.m.name)
	if err != nil {
		return err
	}
	for _, r := range rows {
		if n := text(r["name"]); !wanted("config", n) {
			configs = append(configs, gone(config, n))
		}
	}
	p.steps = slices.Concat(p.steps, schedules, components, configs)
	return nil
}

func (s *session) removeCmd() *cobra.Command {
	pl := new(planning)
	var purge bool
	cmd := &cobra.Command{Use: "delete", Short: "delete what an awan.yaml describes",
		Long: "Delete what a file describes, what uses others first. Components go into the trash, and what they need stays until they\n" +
			"are purged; --purge deletes all of it for good. The environment stays: others may use it.",
		Example: examples("awan delete -f awan.yaml", "awan delete -f awan.yaml --purge --yes"), Args: cobra.NoArgs}
	pl.flags(cmd)
	cmd.Flags().BoolVarP(&pl.yes, "yes", "y", false, "do not ask")
	cmd.Flags().BoolVar(&purge, "purge", false, "for good, without the trash, and configs and the application too")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		m, err := s.readManifest(pl.file, pl.environment)
		if err != nil {
			return err
		}
		c, err := s.client()
		if err != nil {
			return err
		}
		return s.remove(cmd.Context(), &plan{s: s, c: c, m: m}, pl.yes, purge)
	}
	return cmd
}

func (s *session) remove(ctx context.Context, p *plan, yes, purge bool) error {
	var all []*desired
	for _, d := range slices.Backward(p.m.wants) {
		runs := d.kind.Name == "component" || d.kind.Name == "schedule" || d.kind.Name == "task"
		if d.kind.Name == "environment" || !runs && !purge {
			continue
		}
		err := p.c.Do(ctx, client.Request{Method: "GET", Path: p.path(d.kind, d.name)}, nil)
		switch {
		case err == nil:
			all = append(all, d)
			fmt.Fprintf(s.Stderr, "  - delete %s %s\n", d.kind.Name, d.name)
		case !fail.Is(err, fail.NotFound):
			return err
		}
	}
	if len(all) == 0 {
		fmt.Fprintln(s.Stderr, "nothing of it is there: nothing to do")
		return nil
	}
	if !yes {
		if err := s.agree("Delete this? [y/N] "); err != nil {
			return err
		}
	}
	for _, d := range all {
		q := client.Request{Method: "DELETE", Path: p.path(d.kind, d.name)}
		if purge {
			q.Query = url.Values{"purge": {"true"}}
		}
		var a answer
		if err := p.send(ctx, d, q, &a); err != nil {
			if fail.Is(err, fail.NotFound) { // in the trash already
				continue
			}
			return err
		}
		if j := a.job(); j != nil && !j.done() {
			if _, err := s.follow(ctx, p.c, j.ID, nil, false); err != nil {
				return err
			}
		}
		fmt.Fprintf(s.Stderr, "deleted %s %s\n", d.kind.Name, d.name)
	}
	return nil
}

// exportDoc is an application as a file; the order of its fields is the file's.
type exportDoc struct {
	Name        string                    `json:"name"`
	Description string                    `json:"description,omitempty"`
	Environment string                    `json:"environment"`
	Variables   map[string]any            `json:"variables,omitempty"`
	Labels      map[string]any            `json:"labels,omitempty"`
	Secrets     []string                  `json:"secrets,omitempty"`
	Configs     map[string]map[string]any `json:"configs,omitempty"`
	Components  map[string]any            `json:"components,omitempty"`
	Schedules   map[string]any            `json:"schedules,omitempty"`
}

func (s *session) exportCmd() *cobra.Command {
	var environment string
	cmd := &cobra.Command{Use: "export APP", Short: "write an application as awan.yaml",
		Long:    "Write an application, in one environment, as a file that awan apply takes; applying it changes nothing.",
		Example: examples("awan export shop > awan.yaml", "awan export shop --environment live"), Args: cobra.ExactArgs(1),
		ValidArgsFunction: s.names(s.kindOf("app", "application"), 1)}
	cmd.Flags().StringVar(&environment, "environment", "", "the `ENVIRONMENT`; when empty, the one its components run in")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := needs(s.component(), "component"); err != nil {
			return err
		}
		c, err := s.client()
		if err != nil {
			return err
		}
		doc, err := s.export(cmd.Context(), &plan{s: s, c: c, m: &manifest{name: args[0]}}, environment)
		if err != nil {
			return err
		}
		b, err := json.Marshal(doc)
		if err != nil {
			return err
		}
		return s.document("yaml", b)
	}
	return cmd
}

func (s *session) export(ctx context.Context, p *plan, environment string) (*exportDoc, error) {
	var a answer
	if err := p.c.Do(ctx, client.Request{Method: "GET", Path: p.path(s.kindOf("app", "application"), p.m.name)}, &a); err != nil {
		return nil, err
	}
	row, err := decode(a.Resource)
	if err != nil {
		return nil, err
	}
	doc := &exportDoc{Name: text(row["name"]), Description: text(at(row, "spec.description")), Configs: map[string]map[string]any{}, Components: map[string]any{}, Schedules: map[string]any{}}
	components, err := p.rowsOf(ctx, s.component(), "application", doc.Name)
	if err != nil {
		return nil, err
	}
	for _, c := range components {
		in := text(at(c, "spec.environment"))
		switch {
		case environment == "":
			environment = in
		case environment != in && doc.Environment == "" && len(doc.Components) > 0:
			return nil, fail.New(fail.Precondition, "%s runs in several environments", doc.Name).Then("say which: --environment NAME")
		}
		if in != environment {
			continue
		}
		name := text(c["name"])
		for _, m := range list(at(c, "spec.mounts")) {
			if secret := text(mapping(m)["secret"]); secret != "" && !slices.Contains(doc.Secrets, secret) {
				doc.Secrets = append(doc.Secrets, secret)
			}
		}
		doc.Components[name] = trimmed(mapping(c["spec"]), s.component().Spec, "application", "environment")
		k := s.kindOf("app", "schedule")
		rows, err := p.rowsOf(ctx, k, "component", name)
		if err != nil {
			return nil, err
		}
		for _, r := range rows {
			doc.Schedules[text(r["name"])] = trimmed(mapping(r["spec"]), k.Spec)
		}
	}
	if environment == "" {
		environment = "default"
	}
	doc.Environment = environment
	rows, err := p.rowsOf(ctx, s.kindOf("app", "configuration"), "pair", doc.Name+"."+environment)
	if err != nil {
		return nil, err
	}
	for _, r := range rows {
		doc.Variables, doc.Labels = mapping(at(r, "spec.variables")), mapping(at(r, "spec.labels"))
	}
	return doc, s.exportConfigs(ctx, p, doc)
}

func (s *session) exportConfigs(ctx context.Context, p *plan, doc *exportDoc) error {
	k := s.kindOf("config", "config")
	rows, err := p.rowsOf(ctx, k, "group", doc.Name)
	if err != nil {
		return err
	}
	for _, r := range rows {
		spec, name := mapping(r["spec"]), text(r["name"])
		if sensitive, _ := spec["sensitive"].(bool); sensitive {
			fmt.Fprintf(s.Stderr, "config %s is sensitive and left out\n", name)
			continue
		}
		if err := p.readContent(ctx, &desired{kind: k, name: name}, spec); err != nil {
			return err
		}
		out := trimmed(spec, k.Spec, "group", "sensitive")
		out["content"] = spec["content"]
		doc.Configs[name] = out
	}
	return nil
}

// trimmed leaves out what is as it would be by itself.
func trimmed(spec map[string]any, fields []kind.Field, without ...string) map[string]any {
	out := map[string]any{}
	for _, f := range fields {
		v, ok := spec[f.Name]
		if !ok || slices.Contains(without, f.Name) || f.Type != kind.Object && same(nil, v, f) {
			continue
		}
		if f.Type == kind.Object {
			if sub := trimmed(mapping(v), f.Fields); len(sub) > 0 {
				out[f.Name] = sub
			}
			continue
		}
		if x := plain(v, f); f.Type == kind.ListOf && x != nil {
			v = x
		}
		out[f.Name] = v
	}
	return out
}
