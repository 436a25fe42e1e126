package cli

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/awancloud/awan/internal/cli/client"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kind"
)

// answers prints what an action of a kind answers for people, where a table of its fields would be none.
var answers = map[string]func(s *session, line []byte) error{
	"identity/policy explain":  (*session).explanation,
	"identity/policy simulate": (*session).verdicts,
	"identity/policy unused":   (*session).unusedRights,
}

func (s *session) auditWhyCmd() *cobra.Command {
	var output string
	cmd := &cobra.Command{Use: "why [ID]", Short: "why a call was allowed or denied", Long: "Tell which statement of which policy allowed or denied a call, on what grounds, and what the answer would be now. The ID is that\nof awan audit; without one it is the newest call that was denied.",
		Example: examples("awan audit why", "awan audit why 01a217f58c9774309df928d5fcd0fbee"), Args: cobra.MaximumNArgs(1), ValidArgsFunction: cobra.NoFileCompletions}
	outputFlag(cmd, &output)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		k := s.kindOf("identity", "policy")
		if err := needs(k, "policy"); err != nil {
			return err
		}
		c, err := s.client()
		if err != nil {
			return err
		}
		entry := ""
		if len(args) == 1 {
			entry = args[0]
		} else {
			var newest struct{ Items []struct{ ID string } }
			if err := c.Do(cmd.Context(), client.Request{Method: "GET", Path: s.domainPath() + "/audit", Query: map[string][]string{"outcome": {"denied"}, "limit": {"1"}}}, &newest); err != nil {
				return err
			}
			if len(newest.Items) == 0 {
				return fail.New(fail.NotFound, "nothing was denied yet").Then("give the ID of a call, from awan audit")
			}
			entry = newest.Items[0].ID
		}
		return c.Lines(cmd.Context(), client.Request{Method: "POST", Path: s.collection(c, k) + "/actions/explain", In: map[string]any{"entry": entry}}, func(line []byte) error {
			return s.answerLine(k, "explain", output, line)
		})
	}
	return cmd
}

// answerLine prints one answer of an action.
func (s *session) answerLine(k *kind.Desc, verb, output string, line []byte) error {
	if p := answers[k.Service+"/"+k.Name+" "+verb]; p != nil && output == "table" {
		return p(s, line)
	}
	return s.streamLine(output, line)
}

// decidedBy is the statement that decided, as the API tells it.
type decidedBy struct {
	Policy, Held, Sid string
	Number            int
	Statement         json.RawMessage
}

func (d *decidedBy) String() string {
	if d == nil {
		return "no statement spoke of it"
	}
	out := fmt.Sprintf("statement %d", d.Number)
	if d.Sid != "" {
		out += fmt.Sprintf(" %q", d.Sid)
	}
	out += " of policy " + d.Policy
	if d.Held != "" {
		out += ", held by " + d.Held
	}
	return out
}

// lines prints names and texts in two columns; those without a text are left out.
func (s *session) lines(pairs ...[2]string) error {
	width := 0
	for _, p := range pairs {
		if p[1] != "" {
			width = max(width, len(p[0]))
		}
	}
	for _, p := range pairs {
		if p[1] == "" {
			continue
		}
		if _, err := fmt.Fprintf(s.Stdout, "%-*s  %s\n", width, p[0], clean(p[1])); err != nil {
			return err
		}
	}
	return nil
}

func allowedOr(allowed bool) string {
	if allowed {
		return "allowed"
	}
	return "denied"
}

func (s *session) explanation(line []byte) error {
	var x struct {
		Entry struct {
			At, Actor, Action, Name, Source, Dialect, Agent, Outcome string
			Decision                                                 *struct {
				Resource string
				Facts    map[string][]string
			}
		}
		Allowed, Changed, Then bool
		Reason                 string
		Deciding               *decidedBy
		Now                    *struct {
			Allowed  bool
			Reason   string
			Deciding *decidedBy
		}
	}
	if err := json.Unmarshal(line, &x); err != nil {
		return fail.Wrap(err, fail.Internal, "the cloud's answer cannot be read")
	}
	e := x.Entry
	out := [][2]string{{"answer", allowedOr(x.Allowed)}, {"call", strings.TrimSpace(e.Action + " " + e.Name)}, {"who", e.Actor}, {"when", localTime(e.At)},
		{"from", strings.TrimSpace(e.Source + " by " + e.Dialect + " " + e.Agent)}, {"came of it", e.Outcome}}
	if e.Decision == nil {
		return s.lines(append(out, [2]string{"because", strings.TrimSpace("policies were not asked. " + x.Reason)})...)
	}
	out = append(out, [2]string{"resource", e.Decision.Resource}, [2]string{"because", x.Reason}, [2]string{"decided by", x.Deciding.String()})
	if d := x.Deciding; d != nil && len(d.Statement) > 0 {
		name := "statement"
		switch {
		case x.Changed && x.Then:
			out = append(out, [2]string{"since then", "the policy was changed or deleted; this is the statement of then"})
		case x.Changed:
			name = "statement now"
			out = append(out, [2]string{"since then", "the policy was changed"})
		}
		out = append(out, [2]string{name, string(d.Statement)})
	}
	for _, key := range slices.Sorted(maps.Keys(e.Decision.Facts)) {
		out = append(out, [2]string{"condition " + key, strings.Join(e.Decision.Facts[key], ", ")})
	}
	if x.Now != nil {
		out = append(out, [2]string{"the same now", x.Now.Reason})
	} else {
		out = append(out, [2]string{"the same now", "cannot be said: who called is not there any more"})
	}
	return s.lines(out...)
}

func (s *session) verdicts(line []byte) error {
	var a struct {
		Items []struct {
			Action, Resource, Reason string
			Allowed                  bool
			Deciding                 *decidedBy
		}
	}
	if err := json.Unmarshal(line, &a); err != nil {
		return fail.Wrap(err, fail.Internal, "the cloud's answer cannot be read")
	}
	var rows [][]string
	for _, v := range a.Items {
		said := ""
		if v.Deciding != nil {
			said = string(v.Deciding.Statement)
		}
		rows = append(rows, []string{allowedOr(v.Allowed), v.Action, v.Resource, v.Reason, said})
	}
	return s.table([]string{"ANSWER", "ACTION", "RESOURCE", "BECAUSE", "STATEMENT"}, rows)
}

func (s *session) unusedRights(line []byte) error {
	var a struct {
		Items []struct {
			User     string
			LastUsed string `json:"last_used"`
			Policies []struct {
				Policy, Held string
				LastUsed     string `json:"last_used"`
			}
			Services, Actions []string
		}
	}
	if err := json.Unmarshal(line, &a); err != nil {
		return fail.Wrap(err, fail.Internal, "the cloud's answer cannot be read")
	}
	if len(a.Items) == 0 {
		_, err := fmt.Fprintln(s.Stderr, "every right that is granted was used in that time")
		return err
	}
	for i, u := range a.Items {
		if i > 0 {
			fmt.Fprintln(s.Stdout)
		}
		out := [][2]string{{"user", u.User}, {"last used", orNever(u.LastUsed)}}
		for _, p := range u.Policies {
			out = append(out, [2]string{"unused policy", fmt.Sprintf("%s (%s), last used by anybody: %s", p.Policy, p.Held, orNever(p.LastUsed))})
		}
		if len(u.Services) > 0 {
			out = append(out, [2]string{"unused services", strings.Join(u.Services, ", ")})
		}
		for k, verbs := range kind.VerbsByKind(u.Actions) {
			out = append(out, [2]string{"unused actions", k + ":{" + strings.Join(verbs, ",") + "}"})
		}
		if err := s.lines(out...); err != nil {
			return err
		}
	}
	return nil
}
