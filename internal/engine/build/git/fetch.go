package git

import (
	"bufio"
	"context"
	"errors"
	"net"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/build"
)

// Fetch implements build.Git.
func (e *Engine) Fetch(ctx context.Context, _ id.ID, from build.Repository, file string, log func(string)) (build.Commit, error) {
	u, err := build.CheckRepository(from.URL, from.Ref, from.Path)
	if err != nil {
		return build.Commit{}, err
	}
	dir, done, err := e.workdir()
	if err != nil {
		return build.Commit{}, err
	}
	defer done()
	config := map[string]string{"http.lowSpeedLimit": "1000", "http.lowSpeedTime": "60"}
	var forward string
	if u.Scheme == "ssh" {
		if err := e.check("ssh"); err != nil {
			return build.Commit{}, err
		}
		if from.Credential == nil || from.Credential.PrivateKey == "" || from.Credential.KnownHosts == "" {
			return build.Commit{}, fail.Field("spec.source.git.credential", "ssh needs a credential with a private key and the host's own keys").
				Then("ssh-keyscan %s > hosts; compare the fingerprints; awan credential create NAME --host %s --private-key @KEYFILE --known-hosts @hosts", u.Hostname(), u.Hostname())
		}
		forward = net.JoinHostPort(u.Hostname(), port(u, "22"))
	} else if err := e.check(); err != nil {
		return build.Commit{}, err
	}
	out, err := newOutlet(ctx, e.o.Dial, forward, maxFetch)
	if err != nil {
		return build.Commit{}, err
	}
	defer out.close()
	env, err := e.access(dir, u, from.Credential, out, config)
	if err != nil {
		return build.Commit{}, err
	}
	ref := from.Ref
	if ref == "" {
		ref = "HEAD"
	}
	env = append(environment(config, env...), "TAKE="+takeScript, "SCHEME="+u.Scheme, "HOST="+u.Hostname())
	log("fetching " + u.Redacted() + " " + from.Ref)
	err = e.run(ctx, task{args: []string{"/bin/sh", "-c", takeScript, "take", u.String(), ref, from.Path, "", "0"}, env: env, cwd: "/job", dirs: map[string]string{"/job": dir}, netns: out.netns,
		errs: &lines{each: log}, time: 10 * time.Minute})
	if err != nil {
		if refused := out.refused(); refused != nil {
			return build.Commit{}, fail.Wrap(refused, fail.Invalid, "the repository %s cannot be fetched", u.Redacted())
		}
		return build.Commit{}, explainAt(dir, err, u, from)
	}
	c, err := commitOf(dir, from.Ref)
	if err != nil {
		return c, err
	}
	whole, forget, err := e.fillLFS(ctx, dir, u, from.Path, from.Credential, log)
	defer forget()
	if err != nil {
		return c, err
	}
	return c, moveTo(whole, "source.tar", file)
}

func port(u *url.URL, usual string) string {
	if p := u.Port(); p != "" {
		return p
	}
	return usual
}

// access lays out what opens the repository, and gives the environment that goes with it.
func (e *Engine) access(dir string, u *url.URL, c *build.Access, out *outlet, config map[string]string) ([]string, error) {
	_, local, _ := net.SplitHostPort(out.addr)
	if u.Scheme == "ssh" {
		// The outlet stands for the host, whose keys are looked up under one name wherever it is.
		if err := errors.Join(e.give(dir, "key", strings.TrimRight(strings.ReplaceAll(c.PrivateKey, "\r\n", "\n"), "\n")+"\n", 0o600),
			e.give(dir, "known_hosts", renamed(c.KnownHosts), 0o600)); err != nil {
			return nil, err
		}
		return []string{"GIT_SSH_COMMAND=ssh -F /dev/null -o BatchMode=yes -o IdentitiesOnly=yes -o IdentityFile=/job/key -o StrictHostKeyChecking=yes" +
			" -o UserKnownHostsFile=/job/known_hosts -o GlobalKnownHostsFile=/dev/null -o HostKeyAlias=host -o HostName=127.0.0.1 -o Port=" + local +
			" -o ConnectTimeout=30 -o LogLevel=ERROR"}, nil
	}
	config["http.proxy"] = "http://" + out.addr
	if c == nil {
		return []string{"GIT_ASKPASS=/bin/false"}, nil
	}
	user := c.Username
	if user == "" {
		user = "git" // hosts that take a token do not look at the user
	}
	if err := errors.Join(e.give(dir, "ask", askScript, 0o500), e.give(dir, "host", u.Host+"\n", 0o600), e.give(dir, "user", user+"\n", 0o600), e.give(dir, "password", c.Password+"\n", 0o600)); err != nil {
		return nil, err
	}
	if c.CA != "" {
		if err := e.give(dir, "ca.pem", c.CA, 0o600); err != nil {
			return nil, err
		}
		config["http.https://"+u.Host+"/.sslCAInfo"] = "/job/ca.pem"
	}
	return []string{"GIT_ASKPASS=/job/ask"}, nil
}

// renamed gives the lines of a known_hosts file the one name that the outlet is known by.
func renamed(known string) string {
	var out strings.Builder
	for line := range strings.Lines(known) {
		f := strings.Fields(line)
		if len(f) < 3 || strings.HasPrefix(f[0], "#") || strings.HasPrefix(f[0], "@") {
			continue
		}
		out.WriteString("host " + strings.Join(f[1:3], " ") + "\n")
	}
	return out.String()
}

func commitOf(dir, ref string) (build.Commit, error) {
	f, err := take(dir, "commit")
	if err != nil {
		return build.Commit{}, fail.Wrap(err, fail.Internal, "git named no commit")
	}
	defer func() { _ = f.Close() }()
	in := bufio.NewScanner(f)
	c := build.Commit{Ref: ref}
	if in.Scan() {
		c.ID = in.Text()
	}
	if in.Scan() {
		c.Subject = in.Text()
		if r := []rune(c.Subject); len(r) > 100 {
			c.Subject = string(r[:100]) + "…"
		}
	}
	if filepath.Base(c.ID) != c.ID || len(c.ID) < 40 {
		return c, fail.New(fail.Internal, "git named no commit")
	}
	return c, nil
}

// explain turns what git printed into what its user can do.
func explain(err error, u *url.URL, from build.Repository) error {
	var x *exited
	if !errors.As(err, &x) {
		return err
	}
	where := u.Redacted()
	for _, c := range []struct {
		says []string
		err  *fail.Error
	}{
		{[]string{"could not read Username", "Authentication failed", "returned error: 401", "returned error: 403", "Permission denied (", "unable to read askpass"},
			fail.Field("spec.source.git.credential", "%s does not let us in", where).Then("name a credential that may read it: awan credential create NAME --host %s …", u.Hostname())},
		{[]string{"Host key verification failed", "REMOTE HOST IDENTIFICATION"},
			fail.Field("spec.source.git.credential", "the key of %s is not among the credential's known hosts", u.Hostname()).Then("compare the fingerprints, then: awan credential update NAME --known-hosts @FILE")},
		{[]string{"couldn't find remote ref", "not our ref", "unadvertised object", "invalid refspec"},
			fail.Field("spec.source.git.ref", "%s has no %q", where, from.Ref).Then("name a branch, a tag, or a whole commit id that the host gives out")},
		{[]string{"not a valid object name", "not a tree object", "invalid object name"},
			fail.Field("spec.source.git.path", "there is no folder %q in %s", from.Path, where)},
		{[]string{"not found", "does not appear to be a git repository", "returned error: 404"},
			fail.Field("spec.source.git.url", "there is no repository %s", where).Then("check the address; hosts say the same of one that a credential does not open")},
		{[]string{"SSL certificate problem", "certificate verification failed", "certificate signer not trusted"},
			fail.Field("spec.source.git.url", "the certificate of %s is not trusted", u.Hostname()).Then("give the authority that signed it: awan credential update NAME --ca @FILE")},
		{[]string{"No space left", "File size limit", "file too large"},
			fail.New(fail.TooLarge, "the source is larger than %d MiB", maxSource>>20)},
	} {
		for _, s := range c.says {
			if strings.Contains(x.text, s) {
				return c.err.Because(x)
			}
		}
	}
	return fail.New(fail.Invalid, "%s cannot be fetched: git says: %s", where, last(x.text)).Because(x).Then("check the address, the ref and the credential")
}

// last gives the last line that says something.
func last(text string) string {
	all := strings.Split(strings.TrimSpace(text), "\n")
	for i := len(all) - 1; i >= 0; i-- {
		if l := strings.TrimSpace(all[i]); strings.HasPrefix(l, "fatal:") || strings.HasPrefix(l, "error:") {
			return l
		}
	}
	return strings.TrimSpace(all[len(all)-1])
}

// lines calls each with every line that is written; of what overwrites itself, as progress does, with the end.
type lines struct {
	each func(string)
	part string
}

func (l *lines) Write(p []byte) (int, error) {
	l.part += string(p)
	for {
		line, rest, found := strings.Cut(l.part, "\n")
		if !found {
			if len(l.part) > 64<<10 {
				l.part = ""
			}
			return len(p), nil
		}
		l.part = rest
		if i := strings.LastIndexByte(strings.TrimRight(line, "\r"), '\r'); i >= 0 {
			line = line[i+1:]
		}
		if line = strings.TrimSpace(line); line != "" {
			l.each(line)
		}
	}
}
