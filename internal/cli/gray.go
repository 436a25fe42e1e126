package cli

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/awancloud/awan/internal/cli/client"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kind"
)

// grayCmd is what can be done with a gray release.
func (s *session) grayCmd() *cobra.Command {
	cmd := &cobra.Command{Use: "gray", Short: "check, continue, change or take back a gray release",
		Long: "A gray release runs beside the release before and gets a share of the requests, or those that match rules.\n" +
			"Start one with: awan deploy --strategy gray --weight 10",
		Example: examples("awan gray check shop", "awan gray continue shop --weight 50", "awan gray continue shop", "awan gray rollback shop")}
	cmd.AddCommand(s.grayCheckCmd(), s.grayVerb("continue", "give it a larger share of the requests: the next step, or all", "awan gray continue shop --weight 50"),
		s.grayModifyCmd(), s.grayVerb("rollback", "take it back: the release before gets all requests", "awan gray rollback shop --reason 'wrong prices'"))
	return cmd
}

// grayVerb is an action of a gray release with its input as flags.
func (s *session) grayVerb(verb, short, example string) *cobra.Command {
	ch := new(change)
	cmd := &cobra.Command{Use: verb + " APP", Short: short, Long: sentence(short), Example: examples(example),
		Args: cobra.ExactArgs(1), ValidArgsFunction: s.names(s.component(), 1)}
	ch.waiting(cmd)
	ch.fields = s.fieldFlags(cmd, s.inputOf("gray-"+verb), dotted)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		in, err := s.values(ch.fields)
		if err != nil {
			return err
		}
		return s.grayAct(cmd, "gray-"+verb, args[0], in, ch)
	}
	return cmd
}

func (s *session) grayModifyCmd() *cobra.Command {
	cmd := s.grayVerb("modify", "change which requests it gets", "awan gray modify shop --weight 0 --rules '{\"source\":\"header\",\"name\":\"X-Tester\",\"value\":\"yes\"}'")
	var none bool
	cmd.Flags().BoolVar(&none, "no-rules", false, "take the rules away")
	run := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if !none {
			return run(cmd, args)
		}
		in := map[string]any{"rules": []any{}}
		if w := cmd.Flags().Lookup("weight"); w != nil && w.Changed {
			in["weight"] = json.Number(w.Value.String())
		}
		ch := &change{output: cmd.Flag("output").Value.String(), wait: true}
		return s.grayAct(cmd, "gray-modify", args[0], in, ch)
	}
	return cmd
}

func (s *session) grayAct(cmd *cobra.Command, verb, app string, in map[string]any, ch *change) error {
	k := s.component()
	if err := needs(k, "component"); err != nil {
		return err
	}
	if err := s.act(cmd.Context(), k, verb, app, in, ch); err != nil {
		return err
	}
	if ch.noWait || !ch.wait || ch.output != "table" {
		return nil
	}
	c, err := s.client()
	if err != nil {
		return err
	}
	var a answer
	if err := c.Do(cmd.Context(), client.Request{Method: "GET", Path: s.collection(c, k) + "/" + url.PathEscape(app)}, &a); err != nil {
		return err
	}
	return s.sayGray(a.Resource)
}

func (s *session) inputOf(verb string) []kind.Field {
	if k := s.component(); k != nil {
		for _, a := range k.Actions {
			if a.Verb == verb {
				return a.In
			}
		}
	}
	return nil
}

// sayGray tells the shares of a gray release that is under way, and what can be done.
func (s *session) sayGray(row json.RawMessage) error {
	doc, err := decode(row)
	if err != nil {
		return err
	}
	g, ok := at(doc, "status.gray").(map[string]any)
	if !ok {
		return nil
	}
	name, weight := text(doc["name"]), text(g["weight"])
	rules, _ := g["rules"].([]any)
	matching := ""
	if len(rules) > 0 {
		matching = fmt.Sprintf("the requests that match %d rules, and ", len(rules))
	}
	fmt.Fprintf(s.Stderr, "release %s gets %s%s %% of the requests, release %s the others\nnext: awan gray check %s, awan gray continue %s, or awan gray rollback %s\n",
		text(g["release"]), matching, weight, text(at(doc, "status.release")), name, name, name)
	return nil
}

func (s *session) grayCheckCmd() *cobra.Command {
	var output string
	cmd := &cobra.Command{Use: "check APP", Short: "how it does beside the live release: instances, answers, errors",
		Long:    "Show the gray release beside the live one: share, instances, answers and errors. Answers are counted since the\nrelease began, or since the cloud was last started.",
		Example: examples("awan gray check shop", "awan gray check shop -o json"), Args: cobra.ExactArgs(1), ValidArgsFunction: s.names(s.component(), 1)}
	outputFlag(cmd, &output)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		k := s.component()
		if err := needs(k, "component"); err != nil {
			return err
		}
		c, err := s.client()
		if err != nil {
			return err
		}
		var doc json.RawMessage
		err = c.Lines(cmd.Context(), client.Request{Method: "POST", Path: s.collection(c, k) + "/" + url.PathEscape(args[0]) + "/actions/gray-check", In: map[string]any{}},
			func(line []byte) error { doc = slices.Clone(line); return nil })
		if err != nil {
			return err
		}
		if output != "table" {
			return s.document(output, doc)
		}
		v, err := decode(doc)
		if err != nil {
			return err
		}
		rest := "the others"
		var cells [][]string
		for _, side := range []string{"live", "new"} {
			share := rest
			if side == "new" {
				share = text(v["weight"]) + " %"
				if rules, _ := v["rules"].([]any); len(rules) > 0 {
					share += fmt.Sprintf(" and %d rules", len(rules))
				}
			}
			get := func(f string) string { return text(at(v, side+"."+f)) }
			cells = append(cells, []string{side, get("release"), share, get("ready") + "/" + get("instances"), get("answers"), get("errors"), get("slow")})
		}
		if verdict := text(v["verdict"]); verdict != "" {
			fmt.Fprintln(s.Stderr, "it is about to be taken back:", clean(verdict))
		}
		return s.table([]string{"SIDE", "RELEASE", "REQUESTS", "READY", "ANSWERS", "ERRORS", "SLOW"}, cells)
	}
	return cmd
}

// cloneCmd makes an app like another.
func (s *session) cloneCmd() *cobra.Command {
	ch := new(change)
	var without bool
	k := s.component()
	cmd := &cobra.Command{Use: "clone APP NEW", Short: "make another app from the same source, with the same settings",
		Long:    "Make another app from the same source, with the same settings. Flags change what shall differ. Secrets are never\nread back: give each again with --secret, or leave them out with --without-secrets.",
		Example: examples("awan clone shop shop-next --image library/shop:2", "awan clone shop shop-test --secret DB_PASSWORD=@password.txt"),
		Args:    cobra.ExactArgs(2), ValidArgsFunction: s.names(k, 1)}
	ch.waiting(cmd)
	cmd.Flags().BoolVar(&without, "without-secrets", false, "leave out the secrets that are not given")
	if k != nil {
		ch.fields = s.fieldFlags(cmd, k.Spec, deployFlag)
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := needs(k, "component"); err != nil {
			return err
		}
		given, err := s.values(ch.fields)
		if err != nil {
			return err
		}
		c, err := s.client()
		if err != nil {
			return err
		}
		var a answer
		if err := c.Do(cmd.Context(), client.Request{Method: "GET", Path: s.collection(c, k) + "/" + url.PathEscape(args[0])}, &a); err != nil {
			return err
		}
		doc, err := decode(a.Resource)
		if err != nil {
			return err
		}
		spec, _ := doc["spec"].(map[string]any)
		var lacking []string
		if secrets, _ := spec["secrets"].(map[string]any); len(secrets) > 0 {
			have, _ := given["secrets"].(map[string]any)
			for key := range secrets {
				if _, ok := have[key]; !ok {
					lacking = append(lacking, key)
				}
			}
			delete(spec, "secrets")
		}
		if slices.Sort(lacking); len(lacking) > 0 && !without {
			return fail.New(fail.Invalid, "%s has secrets that cannot be read back: %s", args[0], strings.Join(lacking, ", ")).
				Then("give them with --secret %s=… or leave them out with --without-secrets", lacking[0])
		}
		if at(given, "source.image") != nil {
			delete(spec, "source")
		}
		base, err := json.Marshal(spec)
		if err != nil {
			return fail.Wrap(err, fail.Internal, "the app cannot be read")
		}
		full, err := merged(base, given)
		if err != nil {
			return err
		}
		return s.change(cmd.Context(), c, k, ch, client.Request{Method: "POST", Path: s.collection(c, k), In: map[string]any{"name": args[1], "spec": full}})
	}
	return cmd
}
