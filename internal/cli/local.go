package cli

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/awancloud/awan/internal/kernel/fail"
)

// runLocal runs a command on this machine with the cloud's variables set, and ends with its exit code.
func (s *session) runLocal(ctx context.Context, args []string, proxy bool) error {
	p, err := s.place(ctx)
	if err != nil {
		return err
	}
	vars := p.variables()
	if proxy {
		vars = append(vars, p.proxy(s.Env("NO_PROXY"))...)
	}
	path, err := exec.LookPath(args[0])
	if err != nil {
		return fail.New(fail.NotFound, "there is no command %q on this machine", args[0]).Because(err)
	}
	cmd := exec.Command(path, args[1:]...)
	cmd.Args[0] = args[0]
	cmd.Env = environ(os.Environ(), vars)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = s.Stdin, s.Stdout, s.Stderr
	// Ctrl-C reaches the command through the terminal: it decides what that means. SIGTERM comes to us alone.
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)
	if err := cmd.Start(); err != nil {
		return fail.Wrap(err, fail.Unavailable, "%s cannot be started", args[0])
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		select {
		case sig := <-signals:
			if sig != os.Interrupt || terminal(s.Stdin) == nil {
				_ = cmd.Process.Signal(sig) // it has just ended: nothing to tell it
			}
		case err := <-ended:
			return ending(err, args[0])
		}
	}
}

func ending(err error, name string) error {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &exit):
		if st, ok := exit.Sys().(syscall.WaitStatus); ok && st.Signaled() {
			return exitError{code: 128 + int(st.Signal())}
		}
		return exitError{code: exit.ExitCode()}
	}
	return fail.Wrap(err, fail.Unavailable, "%s could not be waited for", name)
}

// proxy sends requests for the cloud's own names to its listener, so that no DNS is needed. Its address itself is
// reached without.
func (p *place) proxy(noProxy string) []pair {
	host, _, err := net.SplitHostPort(p.host)
	if err != nil {
		host = p.host
	}
	// "localhost" in NO_PROXY also means every name under it, and so the whole of a cloud called awan.localhost
	direct := []string{"127.0.0.1", "::1"}
	for _, name := range append([]string{host}, strings.Split(noProxy, ",")...) {
		name = strings.TrimSpace(name)
		covers := name == "*" || p.cloud == name || strings.HasSuffix(p.cloud, "."+strings.TrimPrefix(name, "."))
		if name != "" && !covers && !slices.Contains(direct, name) {
			direct = append(direct, name)
		}
	}
	list, via := strings.Join(direct, ","), "http://"+p.host
	return []pair{{"HTTPS_PROXY", via}, {"https_proxy", via}, {"HTTP_PROXY", via}, {"http_proxy", via}, {"NO_PROXY", list}, {"no_proxy", list}}
}

// environ lays vars over the environment. Variables of the same families that they do not set are taken out, for a
// leftover OS_TOKEN or HW_SECURITY_TOKEN of another cloud would win.
func environ(have []string, vars []pair) []string {
	set := map[string]bool{}
	for _, v := range vars {
		set[v.name] = true
	}
	var out []string
	for _, e := range have {
		name, _, _ := strings.Cut(e, "=")
		family := false
		for _, prefix := range []string{"AWAN_", "OS_", "HW_", "AWS_"} {
			family = family || strings.HasPrefix(name, prefix)
		}
		if !set[name] && !family {
			out = append(out, e)
		}
	}
	for _, v := range vars {
		out = append(out, v.name+"="+v.value)
	}
	return out
}
