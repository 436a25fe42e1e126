package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/awancloud/awan/internal/adminenv"
	"github.com/awancloud/awan/internal/cli/client"
	"github.com/awancloud/awan/internal/kernel/fail"
)

// login is what awan login was told.
type login struct {
	user, password, ca, fingerprint string
	token, access, secret           string
	verify                          bool
}

func (s *session) loginCmd() *cobra.Command {
	in := new(login)
	cmd := &cobra.Command{Use: "login [URL]", Short: "log in to a cloud and remember it",
		Long: "Log in to a cloud and remember it as a profile. What is not given is asked for.\n\n" +
			"The first time, the fingerprint of the cloud's CA is shown: compare it with what `awan ca --fingerprint` prints where\n" +
			"the cloud runs. A log-in lasts 24 hours; an access key lasts until it is deleted.",
		Example: examples("awan login https://cloud.example.org:8443", "awan login https://10.0.0.5:8443 --ca ca.pem --domain awan --user alice --project shop",
			"awan login https://10.0.0.5:8443 --profile work --access-key AK --secret-key @secret.txt"),
		Args: cobra.MaximumNArgs(1), ValidArgsFunction: cobra.NoFileCompletions}
	f := cmd.Flags()
	f.StringVar(&in.user, "user", "", "log in as this `USER` (with --domain, the account)")
	f.StringVar(&in.password, "password", "", "`PASSWORD`: @FILE reads a file, - asks; without it, it is asked for")
	f.StringVar(&s.code, "code", "", "the `CODE` of your second factor; without it, it is asked for where there is one")
	f.BoolVar(&in.verify, "verify", false, "give the code of your second factor again, for the critical operations of the next 15 minutes; the log-in stays")
	f.StringVar(&in.ca, "ca", "", "trust the CA in this PEM `FILE`, without asking")
	f.StringVar(&in.fingerprint, "fingerprint", "", "trust the CA with this SHA-256 (`HEX`), without asking")
	f.StringVar(&in.token, "token", "", "use this `TOKEN` instead of a password")
	f.StringVar(&in.access, "access-key", "", "use this access `KEY` instead of a password")
	f.StringVar(&in.secret, "secret-key", "", "the access key's `SECRET`: @FILE reads a file, - asks")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if in.verify {
			return s.verifyAgain(cmd.Context())
		}
		t := client.Target{URL: s.Env(adminenv.URL), Domain: s.domain, Project: s.project}
		if s.data != "" {
			found, err := s.finder().Find()
			if err != nil {
				return err
			}
			t = found
		}
		if len(args) == 1 {
			t.URL = args[0]
		}
		return s.login(cmd.Context(), t, in)
	}
	return cmd
}

// verifyAgain gives the code for the log-in that there is.
func (s *session) verifyAgain(ctx context.Context) error {
	c, err := s.client()
	if err != nil {
		return err
	}
	code := s.code
	if code == "" {
		if code, err = s.ask("Code of your second factor: ", false); err != nil {
			return err
		}
	}
	if err := c.Verify(ctx, code); err != nil {
		return err
	}
	fmt.Fprintln(s.Stderr, "confirmed for the next 15 minutes")
	return nil
}

func (s *session) login(ctx context.Context, t client.Target, in *login) (err error) {
	name := s.profile
	if name == "" {
		name = "default"
	}
	profiles, err := client.ReadProfiles(s.configFile())
	if err != nil {
		return err
	}
	known := profiles.Profiles[name]
	if t.URL == "" {
		if t.URL = known.URL; t.URL == "" {
			return usagef("say where the cloud is: awan login https://HOST:PORT")
		}
	}
	if !strings.Contains(t.URL, "://") {
		t.URL = "https://" + t.URL
	}
	if err := s.trust(ctx, &t, known, in); err != nil {
		return err
	}
	if err := s.credential(&t, known, in); err != nil {
		return err
	}
	who, err := s.verify(ctx, &t)
	if err != nil {
		return err
	}
	profiles.Profiles[name], profiles.Current = t, name
	if err := profiles.Write(s.configFile()); err != nil {
		return err
	}
	fmt.Fprintf(s.Stderr, "logged in to %s as %s of %s", t.URL, clean(who.User), clean(who.Domain))
	if t.Project != "" {
		fmt.Fprintf(s.Stderr, ", project %s", clean(t.Project))
	} else {
		fmt.Fprint(s.Stderr, "; choose a project with --project, see: awan projects")
	}
	fmt.Fprintln(s.Stderr)
	return nil
}

// trust settles which CA the cloud's certificate must come from.
func (s *session) trust(ctx context.Context, t *client.Target, known client.Target, in *login) error {
	switch {
	case in.ca != "":
		b, err := os.ReadFile(in.ca)
		if err != nil {
			return fail.Wrap(err, fail.Invalid, "%s cannot be read", in.ca)
		}
		t.CA = string(b)
		return nil
	case t.CA != "" || strings.HasPrefix(t.URL, "http://"):
		return nil
	case known.CA != "" && known.URL == strings.TrimRight(t.URL, "/"):
		t.CA = known.CA
		return nil
	}
	c, err := client.New(*t, s.Version) // a cloud with a certificate that everybody trusts
	if err != nil {
		return err
	}
	err = c.Do(ctx, client.Request{Method: "GET", Path: "/version", Public: true}, nil)
	if err == nil || !client.Untrusted(err) {
		return err
	}
	pem, fingerprint, err := client.FetchCA(ctx, t.URL)
	if err != nil {
		return err
	}
	if in.fingerprint != "" {
		if strings.ToLower(strings.NewReplacer(" ", "", ":", "").Replace(in.fingerprint)) != fingerprint {
			return fail.New(fail.Denied, "the cloud's CA has another fingerprint: %s", fingerprint).Then("ask the operator which is right; somebody may be in between")
		}
		t.CA = pem
		return nil
	}
	fmt.Fprintf(s.Stderr, "The certificate of %s comes from a CA that is not known here. Its fingerprint (SHA-256):\n  %s\n", t.URL, client.Grouped(fingerprint))
	yes, err := s.ask("Is it the one that `awan ca --fingerprint` prints where the cloud runs? Trust it? [y/N] ", false)
	if err != nil {
		return fail.New(fail.Denied, "the CA is not trusted").Then("give --ca FILE or --fingerprint %s", fingerprint)
	}
	if yes = strings.ToLower(strings.TrimSpace(yes)); yes != "y" && yes != "yes" {
		return fail.New(fail.Denied, "the CA is not trusted, so nothing was sent")
	}
	t.CA = pem
	return nil
}

// credential settles what to log in with, and asks for what is missing.
func (s *session) credential(t *client.Target, known client.Target, in *login) error {
	given := func(flag, v string) (string, error) {
		x, err := s.secret(flag, "", v, false)
		str, _ := x.(string)
		return str, err
	}
	var err error
	switch {
	case in.token != "":
		t.Token, t.User, t.Password, t.AccessKey, t.SecretKey = in.token, "", "", "", ""
		return nil
	case in.access != "":
		if in.secret == "" {
			in.secret = "-"
		}
		t.AccessKey, t.User, t.Password = in.access, "", ""
		t.SecretKey, err = given("secret-key", in.secret)
		return err
	case s.data != "" && in.user == "" && t.AccessKey != "":
		return nil // the administrator's, of the folder
	}
	t.AccessKey, t.SecretKey = "", ""
	ask := func(into *string, flag, env, before, prompt string) error {
		switch {
		case flag != "":
			*into = flag
		case s.Env(env) != "" && *into == "":
			*into = s.Env(env)
		case *into == "":
			if before != "" {
				prompt += " [" + before + "]"
			}
			if *into, err = s.ask(prompt+": ", false); err != nil {
				return err
			}
			if *into == "" {
				*into = before
			}
		}
		return nil
	}
	if err := ask(&t.Domain, s.domain, adminenv.Domain, known.Domain, "Domain (account)"); err != nil {
		return err
	}
	if err := ask(&t.User, in.user, adminenv.User, known.User, "User"); err != nil {
		return err
	}
	if t.Project == "" {
		t.Project = s.Env(adminenv.Project)
	}
	switch {
	case in.password != "":
		t.Password, err = given("password", in.password)
	case s.Env(adminenv.Password) != "":
		t.Password = s.Env(adminenv.Password)
	case t.Password == "" || in.user != "":
		t.Password, err = s.ask("Password: ", true)
	}
	return err
}

type who struct{ User, Domain, Project string }

// verify logs in, and settles the project to work in.
func (s *session) verify(ctx context.Context, t *client.Target) (who, error) {
	var w who
	c, err := client.New(*t, s.Version)
	if err != nil {
		return w, err
	}
	if t.Password != "" && t.AccessKey == "" {
		var doc json.RawMessage
		t.Token, doc, err = c.LogInWithCode(ctx, *t, s.code)
		if e := fail.From(err); e != nil && e.Kind == fail.Unauthenticated && e.Field == "code" && s.code == "" {
			code, aerr := s.ask("Code of your second factor: ", false)
			if aerr != nil {
				return w, err
			}
			t.Token, doc, err = c.LogInWithCode(ctx, *t, code)
		}
		if err != nil {
			return w, err
		}
		s.greet(doc)
		t.Password = ""
		if c, err = client.New(*t, s.Version); err != nil {
			return w, err
		}
	}
	if err := c.Do(ctx, client.Request{Method: "GET", Path: "/whoami"}, &w); err != nil {
		return w, err
	}
	t.URL, t.User, t.Domain = c.Target().URL, w.User, w.Domain
	switch {
	case t.Project != "":
		err := c.Do(ctx, client.Request{Method: "GET", Path: "/domains/-/identity/projects/" + url.PathEscape(t.Project)}, nil)
		if fail.Is(err, fail.NotFound) {
			return w, err
		}
	case w.Project != "":
		t.Project = w.Project
	default:
		var list page
		if c.Do(ctx, client.Request{Method: "GET", Path: "/domains/-/identity/projects", Query: url.Values{"limit": {"2"}}}, &list) == nil && len(list.Items) == 1 {
			var only struct{ Name string }
			if json.Unmarshal(list.Items[0], &only) == nil {
				t.Project = only.Name // the only one there is
			}
		}
	}
	return w, nil
}

func (s *session) logoutCmd() *cobra.Command {
	return &cobra.Command{Use: "logout", Short: "end the log-in and forget it", Long: "End the log-in of a profile and forget its credential.",
		Example: examples("awan logout", "awan logout --profile work"), Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			profiles, err := client.ReadProfiles(s.configFile())
			if err != nil {
				return err
			}
			name := s.profile
			if name == "" {
				name = profiles.Current
			}
			t, ok := profiles.Profiles[name]
			if !ok {
				return fail.New(fail.NotFound, "nobody is logged in").Then("awan login")
			}
			var revoked error
			if t.Token != "" {
				c, err := client.New(t, s.Version)
				if err != nil {
					return err
				}
				revoked = c.Do(cmd.Context(), client.Request{Method: "POST", Path: "/logout"}, nil)
				if fail.Is(revoked, fail.Unauthenticated) {
					revoked = nil // it had ended by itself
				}
			}
			t.Token, t.AccessKey, t.SecretKey = "", "", "" // the address and the CA stay, for the next log-in
			profiles.Profiles[name] = t
			if err := profiles.Write(s.configFile()); err != nil {
				return err
			}
			if revoked != nil {
				fmt.Fprintln(s.Stderr, "the log-in is forgotten here, but the cloud could not be told:")
				return revoked
			}
			fmt.Fprintf(s.Stderr, "logged out of %s\n", t.URL)
			return nil
		}}
}
