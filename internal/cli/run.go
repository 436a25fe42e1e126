package cli

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/awancloud/awan/internal/cli/client"
	"github.com/awancloud/awan/internal/kernel/fail"
)

// taskView is what the API tells of a task.
type taskView struct {
	Name   string `json:"name"`
	Status struct {
		Phase    string `json:"phase"`
		ExitCode int    `json:"exit_code"`
		Reason   string `json:"reason"`
	} `json:"status"`
}

func (s *session) runCmd() *cobra.Command {
	var detach, remove bool
	k, app := s.kindOf("app", "task"), s.component()
	cmd := &cobra.Command{Use: "run APP -- COMMAND...", Short: "run a command to its end, in an instance of its own",
		Long: "Run a command in an app's image, with its configuration and secrets, in an instance of its own that takes no requests:\n" +
			"a migration, an import, a report. What it prints is shown as it comes, and awan ends with its exit code. It stays\n" +
			"listed with its log: awan task list, awan task logs NAME. Interrupted, it is stopped.",
		Example: examples("awan run shop -- ./migrate up", "awan run shop --memory 1024 --timeout 2h --retries 2 -- ./import", "awan run shop --detach -- ./report"),
		Args:    cobra.MinimumNArgs(1), ValidArgsFunction: s.names(app, 1)}
	var fields []*fieldFlag
	if k != nil {
		fields = s.fieldFlags(cmd, k.Spec, func(path []string) string {
			switch path[0] {
			case "env", "cpu", "memory", "timeout", "retries":
				return path[0]
			}
			return ""
		})
	}
	f := cmd.Flags()
	f.BoolVarP(&detach, "detach", "d", false, "return as soon as it is accepted")
	f.BoolVar(&remove, "rm", false, "delete it and its log when it succeeded")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := needs(k, "task"); err != nil {
			return err
		}
		spec, err := s.values(fields)
		if err != nil {
			return err
		}
		spec["component"], spec["command"] = args[0], args[1:]
		c, err := s.client()
		if err != nil {
			return err
		}
		var b [3]byte
		_, _ = rand.Read(b[:]) // never fails
		name := strings.TrimRight(args[0][:min(len(args[0]), 80)], "-") + "-run-" + hex.EncodeToString(b[:])
		path := s.collection(c, k)
		if err := c.Do(cmd.Context(), client.Request{Method: "POST", Path: path, In: map[string]any{"name": name, "spec": spec}}, nil); err != nil {
			return err
		}
		path += "/" + url.PathEscape(name)
		if detach {
			fmt.Fprintln(s.Stderr, "accepted; follow it with: awan task logs --follow "+name)
			_, err := fmt.Fprintln(s.Stdout, name)
			return err
		}
		fmt.Fprintln(s.Stderr, "task "+name)
		return s.followTask(cmd.Context(), c, path, remove)
	}
	return cmd
}

// followTask prints a task's log until it ends, and ends as it did.
func (s *session) followTask(ctx context.Context, c *client.Client, path string, remove bool) error {
	err := c.Lines(ctx, client.Request{Method: "POST", Path: path + "/actions/logs", In: map[string]any{"follow": true}}, func(line []byte) error {
		var l logLine
		if json.Unmarshal(line, &l) != nil || l.Text == nil {
			return nil
		}
		to := s.Stdout
		if l.Stream == "stderr" {
			to = s.Stderr
		}
		_, err := fmt.Fprintln(to, s.logText(*l.Text))
		return err
	})
	if ctx.Err() != nil {
		late, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		if err := c.Do(late, client.Request{Method: "POST", Path: path + "/actions/stop"}, nil); err != nil && !fail.Is(err, fail.Precondition) {
			return err
		}
		return fail.New(fail.Canceled, "interrupted; the task is stopped")
	}
	if err != nil {
		return err
	}
	var a struct {
		Resource taskView `json:"resource"`
	}
	if err := c.Do(ctx, client.Request{Method: "GET", Path: path}, &a); err != nil {
		return err
	}
	t := &a.Resource
	switch {
	case t.Status.Phase == "succeeded" && remove:
		return c.Do(ctx, client.Request{Method: "DELETE", Path: path}, nil)
	case t.Status.Phase == "succeeded":
		return nil
	}
	return exitError{code: max(1, t.Status.ExitCode), because: t.Status.Phase + ": " + t.Status.Reason}
}
