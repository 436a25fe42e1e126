package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"

	"github.com/spf13/cobra"

	"github.com/awancloud/awan/internal/cli/client"
	"github.com/awancloud/awan/internal/kernel/duplex"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kind"
)

func (s *session) serverKind() *kind.Desc { return s.kindOf("compute", "server") }

// leave is the key that ends a console: Ctrl-].
const leave = 0x1d

func (s *session) consoleCmd() *cobra.Command {
	k := s.serverKind()
	cmd := &cobra.Command{Use: "console SERVER", Short: "join a server's serial console",
		Long: "Join the serial console of a server, as if you sat before it. It works without a network and without a public address.\n" +
			"Ctrl-] leaves it; the server goes on.",
		Example: examples("awan console web", "awan server console-log web --lines 50"), Args: cobra.ExactArgs(1), ValidArgsFunction: s.names(k, 1)}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := needs(k, "server"); err != nil {
			return err
		}
		c, err := s.client()
		if err != nil {
			return err
		}
		return s.console(cmd.Context(), c, s.collection(c, k)+"/"+url.PathEscape(args[0])+"/actions/console")
	}
	return cmd
}

func (s *session) console(ctx context.Context, c *client.Client, path string) error {
	conn, err := c.Duplex(ctx, client.Request{Method: "POST", Path: path})
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	if term := terminal(s.Stdin); term != nil {
		fmt.Fprintln(s.Stderr, "joined; Ctrl-] leaves, Return may bring the prompt")
		if err := term.raw(); err != nil {
			return fail.Wrap(err, fail.Unsupported, "the terminal cannot be put into raw mode")
		}
		defer term.restore()
	}
	left := make(chan struct{})
	go func() { // ends with its write after the connection closed, or with the process
		if s.typed(conn) {
			close(left)
			_ = conn.Close()
		}
	}()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	for {
		kind, p, err := conn.ReadFrame()
		select {
		case <-left:
			return nil
		default:
		}
		switch {
		case errors.Is(err, io.EOF) || err == nil && kind == duplex.Exit:
			return nil
		case err != nil:
			return fail.Wrap(err, fail.Unavailable, "the connection to the console broke off").Then("is the server still running? awan server list")
		case kind == duplex.Stdout:
			if _, err := s.Stdout.Write(p); err != nil {
				return fail.Wrap(err, fail.Unavailable, "the output cannot be written")
			}
		}
	}
}

// typed passes on what is typed until the end of the input, or until Ctrl-], which it tells.
func (s *session) typed(conn *duplex.Conn) (leaves bool) {
	w, buf := conn.Writer(duplex.Stdin), make([]byte, 4096)
	for {
		n, err := s.Stdin.Read(buf)
		for i, b := range buf[:n] {
			if b == leave {
				_, _ = w.Write(buf[:i])
				return true
			}
		}
		if _, werr := w.Write(buf[:n]); werr != nil {
			return false
		}
		if err != nil {
			_ = conn.WriteFrame(duplex.StdinEOF, nil)
			return false
		}
	}
}

func (s *session) sshCmd() *cobra.Command {
	var user, identity string
	k := s.serverKind()
	cmd := &cobra.Command{Use: "ssh SERVER [-- SSH-ARGUMENTS...]", Short: "log in to a server by ssh, through its public address",
		Long: "Log in to a server by the ssh program of this machine: the address is the server's public one, the user its image's.\n" +
			"What stands behind -- goes to ssh as it is: options, or a command to run.",
		Example: examples("awan ssh web", "awan ssh web --identity ~/.ssh/laptop -- uptime"), Args: cobra.MinimumNArgs(1), ValidArgsFunction: s.names(k, 1)}
	cmd.Flags().StringVarP(&user, "user", "u", "", "log in as this `USER`; the image's when empty")
	cmd.Flags().StringVarP(&identity, "identity", "i", "", "private key `FILE`; ssh's own choice when empty")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := needs(k, "server"); err != nil {
			return err
		}
		c, err := s.client()
		if err != nil {
			return err
		}
		var reply struct {
			Resource struct {
				ID, Name string
				Status   struct {
					Power    string
					PublicIP string `json:"public_ip"`
					User     string
					Disks    []struct{ Volume string }
				}
			}
		}
		if err := c.Do(cmd.Context(), client.Request{Method: "GET", Path: s.collection(c, k) + "/" + url.PathEscape(args[0])}, &reply); err != nil {
			return err
		}
		row := reply.Resource
		switch {
		case row.Status.Power != "running":
			return fail.New(fail.Precondition, "server %s is %s", row.Name, row.Status.Power).Then("start it: awan server start %s", row.ID)
		case row.Status.PublicIP == "":
			return fail.New(fail.Precondition, "server %s has no public address", row.Name).
				Then("give its port one (awan public-ip create --port PORT, the port is in awan server show %s), or use awan console %s", row.ID, row.ID)
		}
		program, err := exec.LookPath("ssh")
		if err != nil {
			return fail.New(fail.Unsupported, "there is no ssh program on this machine").Then("install the Debian package openssh-client")
		}
		// A host key belongs to the system on a server's first disk: not to its address, which other servers may get later,
		// nor to the server, whose rebuild brings another system.
		alias := "awan-" + row.ID
		if len(row.Status.Disks) > 0 {
			alias += "-" + row.Status.Disks[0].Volume
		}
		line := []string{"-o", "HostKeyAlias=" + alias, "-o", "StrictHostKeyChecking=accept-new"}
		if identity != "" {
			line = append(line, "-i", identity)
		}
		line = append(line, cmp.Or(user, row.Status.User, "root")+"@"+row.Status.PublicIP)
		ssh := exec.CommandContext(cmd.Context(), program, append(line, args[1:]...)...)
		ssh.Stdin, ssh.Stdout, ssh.Stderr = s.Stdin, s.Stdout, s.Stderr
		if f, ok := s.Stdin.(*os.File); ok {
			ssh.Stdin = f
		}
		err = ssh.Run()
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			return exitError{code: exit.ExitCode()}
		}
		return err
	}
	return cmd
}
