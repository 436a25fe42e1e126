package cli

import (
	"fmt"
	"net/url"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/awancloud/awan/internal/cli/client"
	"github.com/awancloud/awan/internal/kernel/kind"
)

func (s *session) component() *kind.Desc { return s.kindOf("app", "component") }

func (s *session) appsCmd() *cobra.Command {
	var output string
	k := s.component()
	cmd := &cobra.Command{Use: "apps", Short: "list apps and their addresses", Long: "List the apps of the project with their state and address.",
		Example: examples("awan apps", "awan apps -o json"), Args: cobra.NoArgs}
	outputFlag(cmd, &output)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := needs(k, "component"); err != nil {
			return err
		}
		c, err := s.client()
		if err != nil {
			return err
		}
		doc, rows, err := s.pages(cmd.Context(), c, client.Request{Method: "GET", Path: s.collection(c, k), Query: url.Values{"limit": {"1000"}}}, true)
		if err != nil {
			return err
		}
		if output != "table" {
			return s.document(output, doc)
		}
		var cells [][]string
		for _, r := range rows.Items {
			row, err := decode(r)
			if err != nil {
				return err
			}
			state := text(row["state"])
			if stopped, _ := at(row, "spec.stopped").(bool); stopped && state == string(kind.Active) {
				state = "stopped"
			}
			release := text(at(row, "status.release"))
			if release == "0" {
				release = ""
			}
			cells = append(cells, []string{text(row["name"]), state, text(at(row, "status.ready")) + "/" + text(at(row, "spec.replicas")),
				release, text(at(row, "status.url")), age(text(row["created"]), time.Now())})
		}
		if len(cells) == 0 {
			fmt.Fprintln(s.Stderr, "there are no apps yet; make one with: awan deploy DIR")
			return nil
		}
		return s.table([]string{"NAME", "STATE", "READY", "RELEASE", "URL", "AGE"}, cells)
	}
	return cmd
}

func (s *session) scaleCmd() *cobra.Command {
	ch := new(change)
	cmd := &cobra.Command{Use: "scale APP N", Short: "run N instances of an app", Long: "Run N instances of an app.",
		Example: examples("awan scale guestbook 3"), Args: cobra.ExactArgs(2), ValidArgsFunction: s.names(s.component(), 1)}
	ch.waiting(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		n, err := strconv.Atoi(args[1])
		if err != nil {
			return usagef("%q is not a number of instances", args[1])
		}
		if err := needs(s.component(), "component"); err != nil {
			return err
		}
		return s.act(cmd.Context(), s.component(), "scale", args[0], map[string]any{"replicas": n}, ch)
	}
	return cmd
}

func (s *session) rollbackCmd() *cobra.Command {
	ch := new(change)
	cmd := &cobra.Command{Use: "rollback APP [RELEASE]", Short: "go back to an earlier release", Long: "Go back to an earlier release of an app: the one before, or the one with this number.",
		Example: examples("awan release list --by component=guestbook", "awan rollback guestbook", "awan rollback guestbook 3"),
		Args:    cobra.RangeArgs(1, 2), ValidArgsFunction: s.names(s.component(), 1)}
	ch.waiting(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := needs(s.component(), "component"); err != nil {
			return err
		}
		in := map[string]any{}
		if len(args) == 2 {
			v, err := s.release(args[1])
			if err != nil {
				return err
			}
			in["release"] = v
		}
		return s.act(cmd.Context(), s.component(), "rollback", args[0], in, ch)
	}
	return cmd
}

// release reads a release as the action's input describes it: by its number, or as text.
func (s *session) release(v string) (any, error) {
	for _, a := range s.component().Actions {
		for _, f := range a.In {
			if a.Verb == "rollback" && f.Name == "release" {
				return s.scalar(&fieldFlag{flag: "release", field: f}, f, v, "")
			}
		}
	}
	return v, nil
}

// simpleAppCmd is stop, start and restart.
func (s *session) simpleAppCmd(verb string) *cobra.Command {
	short := map[string]string{"stop": "stop an app: no instance runs, its address answers so", "start": "start a stopped app",
		"restart": "replace every instance of an app by a new one"}[verb]
	ch := new(change)
	cmd := &cobra.Command{Use: verb + " APP", Short: short, Long: sentence(short), Example: examples("awan " + verb + " guestbook"),
		Args: cobra.ExactArgs(1), ValidArgsFunction: s.names(s.component(), 1)}
	ch.waiting(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := needs(s.component(), "component"); err != nil {
			return err
		}
		return s.act(cmd.Context(), s.component(), verb, args[0], nil, ch)
	}
	return cmd
}
