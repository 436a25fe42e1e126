package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/awancloud/awan/internal/cli/client"
	"github.com/awancloud/awan/internal/kernel/duplex"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kind"
)

// remote is how to run a command in an instance.
type remote struct {
	stdin, tty bool
	instance   string
}

func (r *remote) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.BoolVarP(&r.stdin, "stdin", "i", false, "pass standard input on")
	f.BoolVarP(&r.tty, "tty", "t", false, "give the command a terminal, when there is one here")
	f.StringVar(&r.instance, "instance", "", "in this instance (`ID`); any ready one when empty")
}

func (s *session) execCmd() *cobra.Command {
	r := new(remote)
	var noProxy bool
	k := s.component()
	cmd := &cobra.Command{Use: "exec [APP] -- COMMAND...", Short: "run a command in an app, or on this machine against this cloud",
		Long: "With an APP, run a command inside one of its instances. Without, run a command on this machine with everything set\n" +
			"that Terraform, SDKs, OpenStack, S3 and HTTP clients need to use this cloud: see awan env.\n\n" +
			"It ends with the command's exit code.",
		Example: examples("awan exec -it guestbook -- sh", "awan exec guestbook -- env", "awan exec -- openstack token issue", "awan exec -- terraform apply"),
		ValidArgsFunction: func(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
			if cmd.ArgsLenAtDash() >= 0 || len(args) > 0 {
				return nil, cobra.ShellCompDirectiveDefault
			}
			return s.namesOf(cmd.Context(), k, prefix), cobra.ShellCompDirectiveNoFileComp
		}}
	r.flags(cmd)
	cmd.Flags().BoolVar(&noProxy, "no-proxy", false, "without an app: leave HTTP_PROXY and HTTPS_PROXY as they are")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		dash := cmd.ArgsLenAtDash()
		switch {
		case dash == 0 && len(args) > 0:
			return s.runLocal(cmd.Context(), args, !noProxy)
		case dash == 1 && len(args) > 1, dash < 0 && len(args) > 1:
			if err := needs(k, "component"); err != nil {
				return err
			}
			return s.runRemote(cmd.Context(), k, args[0], args[1:], r)
		}
		return usagef("say what to run: awan exec APP -- COMMAND, or awan exec -- COMMAND")
	}
	return cmd
}

// kindExecCmd is exec as a verb of its kind.
func (s *session) kindExecCmd(name string, k *kind.Desc, a *kind.ActionDesc) *cobra.Command {
	r := new(remote)
	cmd := &cobra.Command{Use: a.Verb + " NAME -- COMMAND...", Short: a.Doc, Long: sentence(a.Doc), Args: cobra.MinimumNArgs(2),
		Example: examples("awan " + name + " " + a.Verb + " -it " + sample(k) + " -- sh"), ValidArgsFunction: s.names(k, 1)}
	r.flags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return s.runRemote(cmd.Context(), k, args[0], args[1:], r)
	}
	return cmd
}

// runRemote runs a command in an instance and ends with its exit code.
func (s *session) runRemote(ctx context.Context, k *kind.Desc, target string, command []string, r *remote) error {
	c, err := s.client()
	if err != nil {
		return err
	}
	term := terminal(s.Stdin)
	tty := r.tty && term != nil // a pipe is none: its end would hang up on the command
	in := map[string]any{"command": command, "tty": tty, "instance": r.instance}
	if tty {
		in["cols"], in["rows"] = term.size()
	}
	b, err := json.Marshal(in)
	if err != nil {
		return fail.Wrap(err, fail.Internal, "the request cannot be written")
	}
	conn, err := c.Duplex(ctx, client.Request{Method: "POST", Path: s.collection(c, k) + "/" + url.PathEscape(target) + "/actions/exec", Query: url.Values{"in": {string(b)}}})
	if err != nil {
		return err
	}
	defer conn.Close()
	if tty {
		if err := term.raw(); err != nil {
			return fail.Wrap(err, fail.Unsupported, "the terminal cannot be put into raw mode")
		}
		defer term.restore()
		stop := followSize(conn, term)
		defer stop()
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() }) // ends the reading below
	defer stop()
	// It ends with its write after the connection closed, or with the process: a read of a terminal cannot be called off.
	go s.sendInput(conn, r.stdin)
	return s.receive(ctx, conn)
}

// sendInput passes standard input on, or says at once that there is none.
func (s *session) sendInput(conn *duplex.Conn, stdin bool) {
	if stdin && s.Stdin != nil {
		if _, err := io.Copy(conn.Writer(duplex.Stdin), s.Stdin); err != nil {
			return // the connection is gone, and who reads it says so
		}
	}
	_ = conn.WriteFrame(duplex.StdinEOF, nil) // as above
}

// receive prints what the command prints until it ends.
func (s *session) receive(ctx context.Context, conn *duplex.Conn) error {
	for {
		kind, p, err := conn.ReadFrame()
		if err != nil {
			if ctx.Err() != nil {
				return fail.New(fail.Canceled, "interrupted")
			}
			return fail.Wrap(err, fail.Unavailable, "the connection to the instance broke off")
		}
		switch kind {
		case duplex.Stdout:
			_, err = s.Stdout.Write(p)
		case duplex.Stderr:
			_, err = s.Stderr.Write(p)
		case duplex.Exit:
			var exit struct {
				Code  int    `json:"code"`
				Error string `json:"error"`
			}
			if err := json.Unmarshal(p, &exit); err != nil {
				return fail.Wrap(err, fail.Internal, "the command's end cannot be read")
			}
			if exit.Error != "" {
				return exitError{code: max(exit.Code, codeFailed), because: exit.Error}
			}
			if exit.Code != 0 {
				return exitError{code: exit.Code}
			}
			return nil
		}
		if err != nil {
			return fail.Wrap(err, fail.Canceled, "what the command prints cannot be written here")
		}
	}
}

// followSize tells the command's terminal when this one changes size.
func followSize(conn *duplex.Conn, term *tty) (stop func()) {
	changes, done := make(chan os.Signal, 1), make(chan struct{})
	signal.Notify(changes, syscall.SIGWINCH)
	go func() {
		defer close(done)
		for range changes {
			cols, rows := term.size()
			if conn.WriteFrame(duplex.Resize, fmt.Appendf(nil, `{"rows":%d,"cols":%d}`, rows, cols)) != nil {
				continue // the connection is gone, and who reads it says so
			}
		}
	}()
	return func() {
		signal.Stop(changes)
		close(changes)
		<-done
	}
}
