package cli

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/awancloud/awan/internal/cli/client"
)

// reading makes a command that prints one document: as it is, or as lines that lines makes of it.
func (s *session) reading(use, short, long, example string, flags func(*cobra.Command), request func(*client.Client) client.Request, lines func(doc []byte) error) *cobra.Command {
	var output string
	cmd := &cobra.Command{Use: use, Short: short, Long: long, Example: example, Args: cobra.NoArgs}
	outputFlag(cmd, &output)
	if flags != nil {
		flags(cmd)
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := s.client()
		if err != nil {
			return err
		}
		var doc json.RawMessage
		if err := c.Do(cmd.Context(), request(c), &doc); err != nil {
			return err
		}
		if output != "table" {
			return s.document(output, doc)
		}
		return lines(doc)
	}
	return cmd
}

// tableOf prints the items of a document; cells picks the columns of one.
func (s *session) tableOf(doc []byte, none string, header []string, cells func(item map[string]any) []string) error {
	v, err := decode(doc)
	if err != nil {
		return err
	}
	items, _ := v["items"].([]any)
	if len(items) == 0 {
		fmt.Fprintln(s.Stderr, none)
		return nil
	}
	var rows [][]string
	for _, i := range items {
		item, _ := i.(map[string]any)
		rows = append(rows, cells(item))
	}
	return s.table(header, rows)
}

func (s *session) whoamiCmd() *cobra.Command {
	return s.reading("whoami", "who you are to the cloud", "Show who you are to the cloud, and how that was found out.", examples("awan whoami"), nil,
		func(*client.Client) client.Request { return client.Request{Method: "GET", Path: "/whoami"} },
		func(doc []byte) error {
			w, err := decode(doc)
			if err != nil {
				return err
			}
			c, err := s.client()
			if err != nil {
				return err
			}
			project := text(w["project"])
			if project == "" {
				project = c.Target().Project
			}
			for _, l := range [][2]string{{"user", text(w["user"])}, {"domain", text(w["domain"])}, {"project", project}, {"method", text(w["method"])},
				{"expires", text(w["expires"])}, {"operator", text(w["cloud_admin"])}, {"cloud", c.Target().URL}, {"found by", c.Target().Origin}} {
				if l[1] != "" {
					fmt.Fprintf(s.Stdout, "%-8s  %s\n", l[0], clean(l[1]))
				}
			}
			return nil
		})
}

func (s *session) projectsCmd() *cobra.Command {
	return s.reading("projects", "list the projects of your domain", "List the projects of your domain; * marks the one you work in.",
		examples("awan projects", "awan apps --project shop"), nil,
		func(*client.Client) client.Request {
			return client.Request{Method: "GET", Path: s.domainPath() + "/identity/projects", Query: url.Values{"limit": {"1000"}}}
		},
		func(doc []byte) error {
			c, err := s.client()
			if err != nil {
				return err
			}
			current := c.Target().Project
			return s.tableOf(doc, "there are no projects", []string{"", "NAME", "ID", "DESCRIPTION", "AGE"}, func(p map[string]any) []string {
				mark := ""
				if current != "" && (text(p["name"]) == current || text(p["id"]) == current) {
					mark = "*"
				}
				return []string{mark, text(p["name"]), text(p["id"]), text(at(p, "spec.description")), age(text(p["created"]), time.Now())}
			})
		})
}

func (s *session) auditCmd() *cobra.Command {
	q := url.Values{}
	names := []struct{ flag, value, doc string }{
		{"since", "TIME", "only after this time (RFC 3339), or in this last time (24h)"}, {"until", "TIME", "only before this time"},
		{"actor", "TEXT", "only what this user or key did"}, {"action", "ACTION", "only this action; app:component:* matches many"},
		{"resource", "ID", "only what was done to this resource"}, {"outcome", "begun|succeeded|failed|denied", "only with this outcome"},
		{"text", "TEXT", "only entries that hold this text"}, {"limit", "N", "at most this many (100)"}, {"marker", "ID", "go on after this entry"}}
	values := make([]string, len(names))
	cmd := s.reading("audit", "who did what, when, and how it ended; why; and that the log is whole", "Search the audit log of your domain, newest first.",
		examples("awan audit --since 24h", "awan audit --actor alice --outcome denied", "awan audit --action 'app:component:*' -o json", "awan audit why", "awan audit verify"),
		func(cmd *cobra.Command) {
			for i, n := range names {
				cmd.Flags().StringVar(&values[i], n.flag, "", "`"+n.value+"`: "+n.doc)
			}
			complete(cmd, "outcome", "begun", "succeeded", "failed", "denied")
		},
		func(*client.Client) client.Request {
			for i, n := range names {
				if values[i] != "" {
					q.Set(n.flag, values[i])
				}
			}
			if s.project != "" {
				q.Set("project", s.project)
			}
			return client.Request{Method: "GET", Path: s.domainPath() + "/audit", Query: q}
		},
		func(doc []byte) error {
			return s.tableOf(doc, "nothing was found", []string{"ID", "TIME", "ACTOR", "ACTION", "NAME", "OUTCOME", "SOURCE", "REASON"}, func(e map[string]any) []string {
				return []string{text(e["id"]), localTime(text(e["at"])), text(e["actor"]), text(e["action"]), text(e["name"]), text(e["outcome"]), text(e["source"]), text(e["reason"])}
			})
		})
	cmd.AddCommand(s.auditWhyCmd(), s.auditVerifyCmd(), s.auditCheckpointCmd())
	return cmd
}

func (s *session) usageCmd() *cobra.Command {
	var from, to string
	return s.reading("usage", "what the project used", "Show what the project used since the first of the month, or in the time given.",
		examples("awan usage", "awan usage --from 24h"),
		func(cmd *cobra.Command) {
			cmd.Flags().StringVar(&from, "from", "", "since this `TIME` (RFC 3339, or 24h back)")
			cmd.Flags().StringVar(&to, "to", "", "until this `TIME`")
		},
		func(c *client.Client) client.Request {
			q := url.Values{}
			for name, v := range map[string]string{"from": from, "to": to} {
				if v != "" {
					q.Set(name, v)
				}
			}
			return client.Request{Method: "GET", Path: s.projectPath(c) + "/usage", Query: q}
		},
		func(doc []byte) error {
			all, err := decode(doc)
			if err != nil {
				return err
			}
			header, currency := []string{"KIND", "NAME", "WHAT", "UNIT-HOURS", "NOW", "PASSED"}, text(all["currency"])
			if currency != "" {
				header = append(header, "COST")
			}
			err = s.tableOf(doc, "nothing was used", header, func(u map[string]any) []string {
				hours := text(u["unit_hours"])
				if f, err := strconv.ParseFloat(hours, 64); err == nil {
					hours = strconv.FormatFloat(f, 'f', 2, 64)
				}
				name := text(u["name"])
				if name == "" {
					name = text(u["resource"])
				}
				line := []string{text(u["kind"]), name, text(u["dim"]), hours, text(u["now"]), text(u["passed"])}
				if currency != "" {
					line = append(line, money(u["cost"]))
				}
				return line
			})
			if err == nil && currency != "" {
				_, err = fmt.Fprintf(s.Stdout, "in all %s %s\n", money(all["cost"]), currency)
			}
			return err
		})
}

// money prints an amount of money; what has no price prints as nothing.
func money(v any) string {
	f, err := strconv.ParseFloat(text(v), 64)
	if err != nil {
		return ""
	}
	return strconv.FormatFloat(f, 'f', 4, 64)
}

func (s *session) quotaCmd() *cobra.Command {
	show := func(doc []byte) error {
		return s.tableOf(doc, "there are no quotas", []string{"NAME", "USED", "LIMIT", ""}, func(q map[string]any) []string {
			limit, own := text(q["limit"]), ""
			if limit == "-1" {
				limit = "none"
			}
			if set, _ := q["own"].(bool); set {
				own = "set for this project"
			}
			return []string{text(q["name"]), text(q["used"]), limit, own}
		})
	}
	cmd := s.reading("quota", "how much the project may have", "Show how much the project has and may have of everything that is limited.",
		examples("awan quota", "awan quota set app.components 50 --project shop"), nil,
		func(c *client.Client) client.Request {
			return client.Request{Method: "GET", Path: s.projectPath(c) + "/quota"}
		}, show)
	cmd.AddCommand(&cobra.Command{Use: "set NAME N", Short: "set a limit for the project (operators)", Long: "Set a limit for the project. It takes an operator of the cloud. -1 is no limit.",
		Example: examples("awan quota set app.components 50 --project shop"), Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := strconv.ParseInt(args[1], 10, 64)
			if err != nil {
				return usagef("%q is not a whole number", args[1])
			}
			c, err := s.client()
			if err != nil {
				return err
			}
			var doc json.RawMessage
			err = c.Do(cmd.Context(), client.Request{Method: "PUT", Path: s.projectPath(c) + "/quota", In: map[string]any{"name": args[0], "limit": n}}, &doc)
			if err != nil {
				return err
			}
			return show(doc)
		}})
	return cmd
}
