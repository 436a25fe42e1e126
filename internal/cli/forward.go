package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strconv"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"github.com/awancloud/awan/internal/cli/client"
	"github.com/awancloud/awan/internal/kernel/duplex"
	"github.com/awancloud/awan/internal/kernel/fail"
)

func (s *session) forwardCmd() *cobra.Command {
	var instance, address string
	k := s.component()
	cmd := &cobra.Command{Use: "port-forward APP LOCAL[:REMOTE]...", Short: "reach a port of an app's instance from this machine",
		Long: "Listen on a port of this machine and carry every connection to a port of one of the app's instances, through the\n" +
			"cloud's API. REMOTE is the app's own port when it is left out; LOCAL 0 takes a free one.",
		Example: examples("awan port-forward shop 8080", "awan port-forward db 5432:5432", "awan port-forward shop 0:9090 --instance 3f2a"),
		Args:    cobra.MinimumNArgs(2), ValidArgsFunction: s.names(k, 1)}
	cmd.Flags().StringVar(&instance, "instance", "", "of this instance (`ID`); any ready one when empty")
	cmd.Flags().StringVar(&address, "address", "127.0.0.1", "listen on this `ADDRESS`")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := needs(k, "component"); err != nil {
			return err
		}
		c, err := s.client()
		if err != nil {
			return err
		}
		path := s.collection(c, k) + "/" + url.PathEscape(args[0])
		if err := c.Do(cmd.Context(), client.Request{Method: "GET", Path: path}, nil); err != nil {
			return err // better now than with the first connection
		}
		var ports []ports
		for _, a := range args[1:] {
			p, err := portsOf(a)
			if err != nil {
				return err
			}
			ports = append(ports, p)
		}
		return s.forward(cmd.Context(), c, path, address, instance, ports)
	}
	return cmd
}

type ports struct{ local, remote int }

func portsOf(text string) (p ports, err error) {
	local, remote, both := strings.Cut(text, ":")
	p.local, err = strconv.Atoi(local)
	if err == nil && both {
		p.remote, err = strconv.Atoi(remote)
	}
	if err != nil || p.local < 0 || p.local > 65535 || p.remote < 0 || p.remote > 65535 || both && p.remote == 0 {
		return p, usagef("%q is not LOCAL or LOCAL:REMOTE", text)
	}
	return p, nil
}

// forward serves until ctx ends.
func (s *session) forward(ctx context.Context, c *client.Client, path, address, instance string, all []ports) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var serving sync.WaitGroup
	defer serving.Wait()
	defer cancel()
	for _, p := range all {
		l, err := net.Listen("tcp", net.JoinHostPort(address, strconv.Itoa(p.local)))
		if err != nil {
			return fail.Wrap(err, fail.Conflict, "port %d of %s cannot be taken", p.local, address).Then("choose another: awan port-forward APP 0 takes a free one")
		}
		defer context.AfterFunc(ctx, func() { _ = l.Close() })()
		fmt.Fprintf(s.Stdout, "%s\n", l.Addr())
		in, err := json.Marshal(map[string]any{"port": p.remote, "instance": instance})
		if err != nil {
			return err
		}
		if p.remote == 0 {
			in = fmt.Appendf(nil, `{"instance":%q}`, instance)
		}
		serving.Go(func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				serving.Go(func() {
					if err := carry(ctx, c, path, in, conn.(*net.TCPConn)); err != nil && ctx.Err() == nil {
						fmt.Fprintf(s.Stderr, "error: %s\n", clean(fail.From(err).Public()))
					}
				})
			}
		})
	}
	<-ctx.Done()
	return nil
}

// carry takes one connection through the API.
func carry(ctx context.Context, c *client.Client, path string, in []byte, local *net.TCPConn) error {
	defer local.Close()
	conn, err := c.Duplex(ctx, client.Request{Method: "POST", Path: path + "/actions/port-forward", Query: url.Values{"in": {string(in)}}})
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close(); _ = local.Close() })()
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		if _, err := io.Copy(conn.Writer(duplex.Stdin), local); err != nil {
			_ = conn.Close() // the reading below ends, too
			return
		}
		_ = conn.WriteFrame(duplex.StdinEOF, nil)
	}()
	for {
		kind, p, err := conn.ReadFrame()
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, net.ErrClosed):
			_ = local.Close()
			<-sent
			return nil
		case err != nil:
			_ = local.Close()
			<-sent
			return fail.Wrap(err, fail.Unavailable, "the connection to the instance broke off")
		case kind == duplex.Stdout:
			if _, err := local.Write(p); err != nil {
				_ = local.Close()
				<-sent
				return nil // who connected went away
			}
		case kind == duplex.Exit: // the instance sends no more; the other half may go on
			_ = local.CloseWrite()
			<-sent
			return nil
		}
	}
}
